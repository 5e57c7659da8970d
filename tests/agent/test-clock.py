#!/usr/bin/env -S python3 -B
"""What becomes of tokens when the clock does what clocks do."""

from clock import SECOND, YEAR
from jeton import Agent, main, now_us, test


def started(settings="", policy=""):
    return Agent(f"MinLifetime=1s\nMaxLifetime=10y\n{settings}", policy, clocked=True).start()


# ---- the clock of the tests itself

@test
def the_tests_own_clock_is_the_agents_and_moves_while_it_runs():
    agent = started()
    c = agent.connect()
    assert abs(c.call("Issue", name="n")["info"]["createdUSec"] - now_us()) < 20 * SECOND
    agent.clock.move(real=YEAR)
    assert abs(c.call("Issue", name="n")["info"]["createdUSec"] - now_us() - YEAR) < 20 * SECOND
    assert abs(agent.clock.now_us() - now_us() - YEAR) < SECOND
    agent.restart()
    assert abs(agent.connect().call("Issue", name="n")["info"]["createdUSec"]
               - now_us() - YEAR) < 20 * SECOND, "a restart has another clock"


@test
def timers_by_the_tests_own_clock_fire_when_it_comes_to_them():
    agent = started()
    c, watch = agent.connect(), agent.connect().watch()
    c.call("Issue", name="n", lifetimeSec=600)
    assert watch.event()["kind"] == "issued"
    agent.clock.suspend(600 * SECOND)
    event = watch.event()
    assert event["kind"] == "expired", event
    assert event["token"]["endedUSec"] == event["token"]["expiresUSec"], event


main()
