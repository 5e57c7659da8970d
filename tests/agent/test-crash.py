#!/usr/bin/env -S python3 -B
"""The whole agent is killed at its system calls, or they fail; then it is held against what it had
acknowledged: at a few calls of each kind here, at all of them with tests/crash/run --all."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "crash"))

import faults
import kills
import striker
from jeton import main, test

FEW = 8
FEWER = 3  # where each costs a passphrase that is thought about


def struck_at_some(scenario, few=FEW):
    """At a few of its points, from first to last; others in each run."""
    few = FEWER if "lock" in scenario.name else few
    try:
        points = scenario.points()
        start = os.getpid() % max(1, len(points) // few)
        struck = 0
        for i in range(few):
            point = points[(start + i * len(points) // few) % len(points)]
            print(*point, flush=True)
            struck += scenario.kill(point)
        # Some are only there the first time, as the start of a thread.
        assert struck > 0 or any(scenario.kill(p) for p in points), "none was struck in time"
    finally:
        scenario.close()


def a_kill_at_any_call_of_a_change_loses_nothing_acknowledged(name):
    struck_at_some(kills.scenarios()[name]())


def a_kill_at_any_call_of_a_start_loses_nothing_acknowledged(name):
    struck_at_some(kills.scenarios()[name]())


def a_failing_call_in_a_change_is_told_and_nothing_else_is_lost(name):
    struck_at_some(faults.scenarios()[name](), FEWER)


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
    for name in faults.scenarios():
        def failing(name=name):
            a_failing_call_in_a_change_is_told_and_nothing_else_is_lost(name)
        failing.__name__ = f"what_fails_in_{name.replace(' ', '_')}_is_told_and_nothing_else_is_lost"
        test(failing, timeout=120, needs=[striker.why_not])


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


class Careless(striker.Struck):
    """No agent: a program that goes on with a file whose sync has failed."""

    def _exec(self, *_):
        os.mkdir(self.state)
        os.execv(sys.executable, [sys.executable, "-c", f"""
import os
fd = os.open("{self.state}/file", os.O_WRONLY | os.O_CREAT)
os.write(fd, b"one")
try:
    os.fsync(fd)
except OSError as e:
    os._exit(3 if e.errno != 5 else os.write(fd, b"two") and 0)
os._exit(4)
"""])


@test(needs=[striker.why_not])
def a_write_to_a_file_whose_sync_has_failed_would_be_noticed():
    """A control."""
    careless = Careless()
    careless.at_start = "fail fsync 1 5 0"
    careless.spawn()
    assert careless.wait() == 0
    struck, poisoned, _ = careless.off()
    assert (struck, poisoned) == (1, 1), (struck, poisoned)
    careless.clear()


striker.strike_program()
main()
