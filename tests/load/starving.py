"""Hostile connections, and what one user's calls take meanwhile.

What is asked is whom the agent serves, not whom the scheduler does: as root, the agent and who is to be served run
before all else, and hostile programs have what is left of the processors. Each round measures an agent that is left
alone, and then the same one beset.
"""

import contextlib
import functools
import os
import resource
import statistics
import time

from load import Agent, Asker, Group, Hostile, program, resident

CALLS = 3000
# What each of them does, and how often a second in all (0: without pause).
KINDS = {"idle": 0, "dribble": 20000, "hoard": 0, "churn": 0, "garbage": 0, "flood": 0}


@contextlib.contextmanager
def first_of_all(*pids):
    """Meanwhile they run before whatever else there is to run, where that can be had."""
    with contextlib.suppress(OSError):
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for pid in pids:
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def apart(*pids):
    """Each has a processor: a call costs twice as much between two as on one, and is to cost the same throughout."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) > 1:
        for i, pid in enumerate(pids):
            os.sched_setaffinity(pid, {processors[i]})


class Siege:
    """An agent, who is to be served, and room to measure."""

    def __init__(self, settings="", env=None):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.agent = Agent(settings, "[Access]\nUser=*\nScope=a:read\n").start(
            lockable=True, limits={resource.RLIMIT_NOFILE: hard}, env=env or {})
        self.group = Group(self.agent.pid)
        self.asker = Asker(self.agent)
        apart(self.agent.pid, self.asker.child.pid)
        self.ask()

    def ask(self, n=CALLS):
        # For a moment each, since others' tests have nothing of the processors meanwhile.
        with first_of_all(self.agent.pid, self.asker.child.pid):
            return self.asker.ask(n)

    def measure(self, result, n, rounds):
        """Adds so many rounds to it."""
        kind, users = result.kind, result.users
        for _ in range(rounds):
            result.idle.append(self.ask())
            hostile = Hostile(self.agent, kind, n, KINDS[kind], users)
            result.beset.append(self.ask())
            # Some more of it, until whoever fills something has filled it.
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                self.asker.ask(10)
                result.bytes = max(result.bytes, self.group.bytes() or 0, resident(self.agent.pid))
            result.done += hostile.end()
            result.counts = hostile.standing, hostile.refused, hostile.told

    def end(self):
        self.asker.end()
        self.agent.stop()
        self.group.end()


class Result:
    def __init__(self, kind, users):
        self.kind, self.users = kind, users
        self.idle, self.beset = [], []
        self.bytes = self.done = 0
        self.counts = (0, 0, 0)

    def p99(self):
        """The 99th of 100, left alone and beset: the best of the rounds, since what else this machine has to do only
        makes it worse."""
        return min(i[1] for i in self.idle), min(b[1] for b in self.beset)

    def holds(self, times):
        """With some slack for what a clock and a scheduler can tell apart. Of one user's: those of many are processes
        enough to be in one another's way and in the asker's, agent or none, so that theirs is told only."""
        idle, beset = self.p99()
        return self.users > 1 or beset < most(self.kind, times) * idle + 10

    def refusals(self):
        return sum(r[4] for r in self.idle + self.beset)

    def __str__(self):
        idle, beset = self.p99()
        medians = [statistics.median(r[i] for r in rounds) for rounds in (self.idle, self.beset) for i in (0, 3)]
        return (f"{self.kind} by {self.users}: {self.counts[0]} stand, {self.counts[1]} refused; p99 {idle} -> {beset} us, "
                f"median {medians[0]:.0f} -> {medians[2]:.0f}, connecting anew {medians[1]:.0f} -> {medians[3]:.0f}; "
                f"{self.refusals()} of theirs refused; {self.bytes / (1 << 20):.1f} MiB; done {self.done} times")


# ---- what must hold ------------------------------------------------------------------------------

ALL_MIB = 64
# Others' calls are to take under TIMES what they take anyway. Where other work shares the processors and their caches,
# as where every change is tested, a call that is not delayed at all may take more: there only what is out of all
# proportion is a failure, as a call is that waits for a thousand others.
TIMES, TIMES_BESIDE_OTHERS = 2, 8


def most(kind, times):
    """Where a user asks without pause there is a queue to wait in, which must not grow with that user's connections."""
    return 60 if kind == "flood" else times


@functools.cache
def sanitized():
    """Whether the agent is of a build with sanitizers, which keep what was freed."""
    with open(program("jetond"), "rb") as f:
        return b"san_init" in f.read()


def hold(siege, kind, n, rounds=1, users=1, tries=6, most_mib=ALL_MIB, times=TIMES):
    """Measures what must hold, and some rounds more where something else may have been in the way."""
    result = Result(kind, users)
    for _ in range(tries):
        siege.measure(result, n, rounds)
        if result.holds(times):
            break
    print(f"# {result}", flush=True)
    assert result.holds(times), str(result)
    assert result.refusals() == 0, str(result)
    standing, refused, told = result.counts
    # Those of many users are also closed to make room for others.
    assert standing + refused == n and (told == refused or users > 1), "some were refused without a word"
    assert result.bytes < most_mib << 20 or sanitized(), str(result)
    assert result.done > 0 or kind == "idle", "nothing was done"
