#!/usr/bin/env -S python3 -B
"""The whole agent is killed at its system calls, started again, and held against what it had
acknowledged: at a few calls of each kind here, at all of them with tests/crash/run --all."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "crash"))

import kills
import striker
from jeton import main, test

FEW = 8
FEWER = 3  # where each costs a passphrase that is thought about


def killed_at_some(scenario):
    """At a few of its calls, from first to last; others in each run."""
    few = FEWER if "lock" in scenario.name else FEW
    try:
        points = scenario.points()
        start = os.getpid() % max(1, len(points) // few)
        struck = 0
        for i in range(few):
            point = points[(start + i * len(points) // few) % len(points)]
            print(*point, flush=True)
            struck += scenario.kill(point)
        assert struck > 0, "no kill came in time"
    finally:
        scenario.close()


def a_kill_at_any_call_of_a_change_loses_nothing_acknowledged(name):
    killed_at_some(kills.scenarios()[name]())


def a_kill_at_any_call_of_a_start_loses_nothing_acknowledged(name):
    killed_at_some(kills.scenarios()[name]())


def for_each_of_them():
    """A test for each kind of change and each kind of start, which may all run at once."""
    for name in kills.scenarios():
        is_start = name in kills.STARTS
        of_any = a_kill_at_any_call_of_a_start_loses_nothing_acknowledged if is_start else \
            a_kill_at_any_call_of_a_change_loses_nothing_acknowledged

        def one(of_any=of_any, name=name):
            of_any(name)
        which = name if is_start else f"change_{name}"
        one.__name__ = f"a_kill_at_any_call_of_a_{which.replace(' ', '_')}_loses_nothing_acknowledged"
        test(one, timeout=120, needs=[striker.why_not])


for_each_of_them()


@test(timeout=120, needs=[striker.why_not])
def ten_kills_in_a_row_while_it_recovers_come_to_the_same_end():
    for name in ("start after a kill", "start from format 1 with a log"):
        scenario = kills.AtStart(name)
        try:
            assert scenario.kill_in_a_row(scenario.points()) > 3
        finally:
            scenario.close()


@test(needs=[striker.why_not])
def what_was_acknowledged_and_is_not_there_would_be_noticed():
    """A control: the world has a token that the agent has not, and one revoked that is active."""
    scenario = kills.InChange(kills.Issue)
    try:
        for harm in (lambda w: w.add("1" * 11, "never issued"), lambda w: w.end(list(w.values)[0])):
            world = scenario.world.copy()
            harm(world)
            try:
                kills.settle(scenario.agent, world)
            except AssertionError as e:
                assert "expected" in str(e), e
            else:
                raise AssertionError("it was not noticed")
    finally:
        scenario.close()


striker.strike_program()
main()
