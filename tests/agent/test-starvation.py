#!/usr/bin/env -S python3 -B
"""Thousands of hostile connections: others are served as fast as without them, and the agent stays small.

tests/load/starve does the same with 10,000 of them, in several rounds."""

import os
import sys
from contextlib import suppress

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "load"))

from jeton import main, root, test, wait_until  # noqa: E402
from load import Hostile, in_front  # noqa: E402
from starving import KINDS, TIMES_BESIDE_OTHERS, Siege, hold  # noqa: E402


@test(needs=[root], timeout=120)
def hostile_connections_of_one_user_make_others_calls_no_slower_and_the_agent_no_larger():
    siege = Siege()
    for kind in KINDS:
        hold(siege, kind, 1000, times=TIMES_BESIDE_OTHERS)
    siege.end()


@test(needs=[root], timeout=120)
def hostile_users_that_take_every_connection_there_is_keep_nobody_else_out():
    siege = Siege("MaxConnections=600\nMaxConnectionsPerUser=100")
    for kind in ("idle", "hoard", "churn"):
        hold(siege, kind, 2000, users=10)
    siege.end()


@test(needs=[root], timeout=180)
def halves_that_take_every_buffer_there_is_cost_nobody_else_theirs():
    siege = Siege("MaxConnections=12000\nMaxConnectionsPerUser=10000")
    all_taken = False
    # A half stands for 5 s. Where the pages of locked memory come more slowly than that, those of the times before are
    # there already.
    for _ in range(6):
        hostile = Hostile(siege.agent, "dribble", 5000, 100000)
        assert hostile.standing == 5000
        with suppress(AssertionError):
            wait_until(lambda: "others needed the buffer" in siege.agent.log(), "all buffers are taken", timeout=8)
            all_taken = True
        assert siege.ask()[4] == 0
        hostile.end()
        if all_taken:
            break
    assert all_taken
    siege.end()


@test(needs=[root], timeout=60)
def an_agent_that_starves_somebody_is_found():
    """A control: of its answers three in a hundred are late."""
    siege = Siege()
    idle = min(siege.ask()[1] for _ in range(3))
    siege.end()
    siege = Siege(env=in_front("late"))
    beset = min(siege.ask()[1] for _ in range(3))
    siege.end()
    assert beset > TIMES_BESIDE_OTHERS * idle + 10, (idle, beset)


main()
