#!/usr/bin/env -S python3 -B
"""What becomes of tokens and credentials when the clock does what clocks do."""

import contextlib
import os
import subprocess
import time

import peers
from clock import DAY, HOUR, MINUTE, SECOND, YEAR
from jeton import (IS_ROOT, ALICE, Agent, Error, main, now_us, program, root, serial, test,
                   wait_until)

POLICY = f"""
[Access]
User={ALICE}
Scope=acme/**:*

[Credential held]
[Credential minted]
Kind=minted
Owner={ALICE}
Scope=acme/risk:read
Lifetime=15min

[Fetch]
Credential=held minted
User={ALICE}
"""


def started(settings="", policy=POLICY, **how):
    return Agent(f"MinLifetime=1s\nMaxLifetime=10y\n{settings}", policy, clocked=True).start(**how)


def issue(c, seconds=600, **parameters):
    return c.call("Issue", name="n", lifetimeSec=seconds, **parameters)


def verdict(c, answer):
    """What Verify says of the token: "good" or an error's name."""
    try:
        c.call("Verify", token=answer["token"])
    except Error as e:
        return e.name
    return "good"


def state(c, answer):
    return c.call("Describe", id=answer["info"]["id"])["info"]["state"]


def away(agent, **step):
    """The clock is moved while no agent runs."""
    agent.stop()
    agent.clock.move(running=False, **step)
    return agent.start().connect()


def all_ended(c, n=0):
    wait_until(lambda: c.call("GetStatus")["tokensActive"] == n, "what is over has ended")


# ---- the clock of the tests itself

@test
def the_tests_own_clock_is_the_agents_and_moves_while_it_runs():
    agent = started()
    c = agent.connect()
    assert abs(issue(c)["info"]["createdUSec"] - now_us()) < 20 * SECOND
    agent.clock.move(real=YEAR)
    assert abs(issue(c)["info"]["createdUSec"] - now_us() - YEAR) < 20 * SECOND
    assert abs(agent.clock.now_us() - now_us() - YEAR) < SECOND
    agent.restart()
    there = issue(agent.connect())["info"]["createdUSec"]
    assert abs(there - now_us() - YEAR) < 20 * SECOND, "a restart has another clock"


@test
def timers_by_the_tests_own_clock_fire_when_it_comes_to_them():
    agent = started()
    c, watch = agent.connect(), agent.connect().watch()
    issue(c)
    assert watch.event()["kind"] == "issued"
    agent.clock.suspend(600 * SECOND)
    event = watch.event()
    assert event["kind"] == "expired", event
    assert event["token"]["endedUSec"] == event["token"]["expiresUSec"], event


# ---- set back

@test
def an_expired_token_stays_so_when_the_clock_is_set_back():
    agent = started()
    c = agent.connect()
    for back in (SECOND, HOUR, YEAR):
        told, untold, stays = issue(c), issue(c), issue(c, 3600)
        agent.clock.pass_by(600 * SECOND)
        assert verdict(c, told) == "TokenExpired"
        all_ended(c, 1)
        agent.clock.move(real=-back)
        for answer in (told, untold):
            assert verdict(c, answer) == "TokenExpired" and state(c, answer) == "expired"
        assert verdict(c, stays) == "good"
        c.call("Revoke", id=stays["info"]["id"])
        agent.clock.pass_by(40 * SECOND)
        wait_until(lambda: agent.log().count("behind what it was") == (back > SECOND)
                   + (back > HOUR), "it is told of once")
    agent.clock.pass_by(40 * SECOND)
    assert agent.log().count("behind what it was") == 2, agent.log()


@test
def what_was_told_to_have_expired_is_not_good_after_a_kill_and_a_clock_set_back():
    agent = started("MaxTokensPerUser=5000")
    c = agent.connect()
    # Of many that end at one moment the newest are seen to first, so the first ones last.
    many = serial(c, [("Issue", {"name": "n", "lifetimeSec": 60})] * 800)
    last = max(a["info"]["expiresUSec"] for a in many)
    agent.clock.pass_by(last - agent.clock.now_us() + 1000)
    told = [a for a in many[:20] if verdict(c, a) == "TokenExpired"]
    assert len(told) == 20
    agent.kill()
    agent.clock.move(real=-HOUR, running=False)
    c = agent.start().connect()
    for answer in told:
        assert verdict(c, answer) == "TokenExpired", "it was told to have expired"


@test
def what_was_listed_as_expired_is_not_good_after_a_kill_and_a_clock_set_back():
    agent = started("MaxTokensPerUser=5000")
    for look in ("List", "Describe", "Rotate", "Revoke", "Derive"):
        c = agent.connect()
        many = serial(c, [("Issue", {"name": look, "lifetimeSec": 60})] * 300)
        first = many[0]
        ident = first["info"]["id"]
        last = max(a["info"]["expiresUSec"] for a in many)
        agent.clock.pass_by(last - agent.clock.now_us() + 1000)
        if look == "List":
            assert {t["id"] for t in c.list(state="expired", name=look)} == {
                a["info"]["id"] for a in many}, "not listed as expired at once"
        elif look == "Describe":
            assert c.call("Describe", id=ident)["info"]["state"] == "expired"
        elif look == "Rotate":
            assert c.error("Rotate", id=ident).name == "TokenExpired"
        elif look == "Revoke":
            assert c.call("Revoke", token=first["token"])["info"]["state"] == "expired"
        else:
            assert c.error("Derive", token=first["token"], name="c").name == "TokenExpired"
        agent.kill()
        agent.clock.move(real=-HOUR, running=False)
        c = agent.start().connect()
        for answer in many if look == "List" else [first]:
            assert verdict(c, answer) == "TokenExpired", look
        agent.clock.move(real=HOUR)


@test
def an_expired_token_stays_so_when_the_clock_is_set_back_while_no_agent_runs():
    agent = started()
    for back in (SECOND, YEAR):
        c = agent.connect()
        over, stays = issue(c), issue(c, 3600)
        agent.clock.pass_by(600 * SECOND)
        all_ended(c, 1)
        c = away(agent, real=-back)
        assert verdict(c, over) == "TokenExpired" and verdict(c, stays) == "good"
        c.call("Revoke", id=stays["info"]["id"])
    assert agent.log().count("behind what it was") == 1, agent.log()


@test(needs=[root])
def where_the_disk_is_full_what_has_expired_stays_so_for_as_long_as_the_agent_runs():
    agent = Agent("MinLifetime=1s", POLICY, clocked=True)

    def small():
        peers.own_mounts()
        peers.mount("none", agent.var, "tmpfs", data="size=8m,mode=777")
    agent.start(setup=small)
    c = agent.connect()
    over = issue(c, 60)
    with open(f"/proc/{agent.pid}/root{agent.var}/fill", "wb", buffering=0) as f, \
            contextlib.suppress(OSError):
        while True:
            f.write(bytes(4096))
    for answer in iter(lambda: serial(c, [("Issue", {"name": "n" * 128})] * 50)[-1], None):
        if isinstance(answer, Error):
            assert answer.name == "StoreFailed", answer
            break
    agent.clock.pass_by(61 * SECOND)
    assert verdict(c, over) == "TokenExpired" and state(c, over) == "expired"
    agent.clock.move(real=-HOUR)
    assert verdict(c, over) == "TokenExpired" and state(c, over) == "expired"
    os.unlink(f"/proc/{agent.pid}/root{agent.var}/fill")


# ---- ahead

@test
def a_clock_that_goes_ten_years_ahead_and_back_ends_nothing_that_nobody_asked_for():
    agent = started()
    c, watch = agent.connect(), agent.connect()
    ours = [issue(c, s) for s in (3600, 86400, 30 * 86400)]
    asked = issue(c, 3600)
    watch.watch()
    agent.clock.move(real=10 * YEAR)
    assert verdict(c, asked) == "TokenExpired", "by the clock its time is over"
    assert watch.event()["token"]["id"] == asked["info"]["id"]
    assert {state(c, a) for a in ours} == {"active"} and len(c.list(state="active")) == 3
    agent.clock.pass_by(40 * SECOND)
    # Nor where the agent is started anew meanwhile.
    for how in (agent.stop, agent.kill):
        how()
        agent.start()
    c = agent.connect()
    assert {state(c, a) for a in ours} == {"active"}
    agent.clock.move(real=-10 * YEAR)
    for answer in ours:
        assert verdict(c, answer) == "good"
    assert verdict(c, asked) == "TokenExpired" and state(c, asked) == "expired", "it came back"
    assert agent.log().count("ahead of what it should be") == 3, "not once for each start"


@test
def a_clock_that_goes_ahead_while_no_agent_runs_ends_nothing_that_nobody_asked_for():
    agent = started()
    c = agent.connect()
    ours = [issue(c, 86400), issue(c, 30 * 86400)]
    c = away(agent, real=10 * YEAR)
    assert {state(c, a) for a in ours} == {"active"}
    agent.clock.move(real=-10 * YEAR)
    assert [verdict(c, a) for a in ours] == ["good", "good"]


@test
def a_clock_ahead_is_believed_when_it_has_stood_for_an_hour():
    agent = started()
    c = agent.connect()
    ours = [issue(c, 86400), issue(c, 86400)]
    agent.clock.move(real=10 * YEAR)
    agent.clock.pass_by(40 * SECOND)
    wait_until(lambda: "ahead of what" in agent.log(), "it is told of")
    agent.clock.pass_by(50 * MINUTE)
    assert {state(c, a) for a in ours} == {"active"}
    agent.clock.pass_by(11 * MINUTE)
    all_ended(c)
    assert {state(c, a) for a in ours} == {"expired"}
    assert "is believed as it is" in agent.log()


@test(needs=[root])
def a_clock_ahead_is_believed_when_time_synchronisation_confirms_it():
    agent = Agent("MinLifetime=1s", POLICY, clocked=True)
    mark = f"{agent.dir}/timesync"
    os.mkdir(mark)

    def timesync():
        peers.own_mounts()
        peers.mount("none", "/run", "tmpfs")
        os.makedirs("/run/systemd/timesync")
        peers.mount(mark, "/run/systemd/timesync", flags=peers.MS_BIND)

    def synchronized(at_us):
        with open(f"{mark}/synchronized", "w"):
            pass
        os.utime(f"{mark}/synchronized", ns=(at_us * 1000, at_us * 1000))
    synchronized(now_us())
    agent.start(setup=timesync)
    c = agent.connect()
    ours = issue(c, 86400)
    agent.clock.move(real=2 * DAY)
    agent.clock.pass_by(40 * SECOND)
    assert state(c, ours) == "active", "a mark of before confirms nothing"
    synchronized(agent.clock.now_us())
    agent.clock.pass_by(40 * SECOND)
    all_ended(c)
    # And one that is set by it is not doubted at all.
    ours, n = issue(c, 86400), agent.log().count("ahead of what")
    synchronized(agent.clock.now_us() + 2 * DAY)
    agent.clock.move(real=2 * DAY)
    all_ended(c)
    assert agent.log().count("ahead of what") == n == 1, agent.log()


@test
def ended_tokens_are_not_forgotten_by_a_clock_that_is_ahead():
    agent = started("KeepEnded=1d")
    c = agent.connect()
    ours, stays = issue(c), issue(c, 3600)
    c.call("Revoke", id=ours["info"]["id"])
    agent.clock.move(real=10 * YEAR)
    agent.clock.pass_by(40 * SECOND)
    agent.clock.pass_by(40 * SECOND)
    agent.clock.move(real=-10 * YEAR)
    assert verdict(c, ours) == "TokenRevoked" and state(c, ours) == "revoked"
    assert verdict(c, stays) == "good" and len(c.list()) == 2


# ---- suspended, lost

@test
def what_comes_to_its_end_while_the_machine_sleeps_has_ended_when_it_wakes():
    agent = started()
    c, watch = agent.connect(), agent.connect().watch()
    over, stays = issue(c), issue(c, 30 * 86400)
    rotated = issue(c, 30 * 86400)
    c.call("Rotate", id=rotated["info"]["id"], graceSec=3600)
    agent.clock.suspend(7 * DAY)
    assert verdict(c, over) == "TokenExpired" and verdict(c, rotated) == "TokenExpired"
    assert verdict(c, stays) == "good"
    all_ended(c, 2)
    kinds = [watch.event()["kind"] for _ in range(7)]
    assert sorted(kinds[-2:]) == ["expired", "expired"], kinds
    assert "ahead of what" not in agent.log(), "a sleep is no step"


@test
def a_clock_lost_at_boot_neither_ends_a_token_nor_brings_one_back():
    agent = started()
    c = agent.connect()
    over, revoked, stays, soon = issue(c), issue(c), issue(c, 86400), issue(c, 3600)
    c.call("Revoke", id=revoked["info"]["id"])
    agent.clock.pass_by(600 * SECOND)
    all_ended(c, 2)
    right = agent.clock.now_us()
    c = away(agent, real=60 * SECOND - right)
    assert agent.clock.now_us() < HOUR, "it is 1970"
    want = {"TokenExpired": over, "TokenRevoked": revoked}
    for name, answer in want.items():
        assert verdict(c, answer) == name
    assert verdict(c, stays) == verdict(c, soon) == "good"
    agent.clock.pass_by(40 * SECOND)
    assert agent.log().count("behind what it was") == 1, "it is told of once"
    # Time synchronisation, after a while.
    agent.clock.set(right + 2 * MINUTE)
    for name, answer in want.items():
        assert verdict(c, answer) == name
    assert verdict(c, stays) == verdict(c, soon) == "good"
    agent.clock.pass_by(3600 * SECOND)
    all_ended(c, 1)
    assert verdict(c, soon) == "TokenExpired" and verdict(c, stays) == "good"
    assert "ahead of what" not in agent.log(), "it has come back to where it was"


# ---- dates

@test
def days_on_which_clocks_run_over_are_days_as_others():
    agent = started()
    c = agent.connect()
    start = agent.clock.now_us()
    for at in (2**31, 2**32, 4102444800, 7258118400):  # 2038, 2106, 2100, 2200
        agent.clock.move(real=at * SECOND - agent.clock.now_us() - 300 * SECOND)
        stays, over = issue(c, 86400), issue(c, 600)
        info = c.call("Verify", token=over["token"])["info"]
        if at < 2**32:
            assert abs(info["lastUsedUSec"] - agent.clock.now_us()) < 20 * SECOND, info
        assert info["expiresUSec"] - info["createdUSec"] == 600 * SECOND
        assert info["createdUSec"] < at * SECOND < info["expiresUSec"], info
        agent.clock.pass_by(600 * SECOND)
        assert verdict(c, over) == "TokenExpired" and verdict(c, stays) == "good"
        assert c.list(name="n")[0]["id"] == over["info"]["id"]
    agent.clock.move(real=start - agent.clock.now_us())
    agent.restart()
    assert verdict(agent.connect(), stays) == "good"


@test
def an_instant_that_a_credential_ends_at_is_taken_or_refused_by_name():
    agent = started()
    admin, c = agent.admin(), agent.connect()
    now = agent.clock.now_us()
    taken = (now + HOUR, 2**31 * SECOND, 4102444800 * SECOND, 253402300799 * SECOND)
    for at in taken:
        admin.call("Put", credential="held", text="v", expiresUSec=at)
        assert c.call("Fetch", credential="held")["expiresUSec"] == at
    for at in (-2**63, -1, 0, 1, now - SECOND):
        error = admin.error("Put", credential="held", text="v", expiresUSec=at)
        assert (error.name, error.parameter) == ("InvalidParameter", "expiresUSec"), at
    for at in (2**62, 2**63 - 1):
        try:
            admin.call("Put", credential="held", text="v", expiresUSec=at)
            assert c.call("Fetch", credential="held")["expiresUSec"] == at
        except Error as e:
            assert (e.name, e.parameter) == ("InvalidParameter", "expiresUSec"), e
    for seconds in (2**63 - 1, 2**62, 2**63 // 10**6, -2**63, 0):
        assert c.error("Issue", name="n", lifetimeSec=seconds).name == "LifetimeOutOfRange"
    assert c.call("GetStatus")


# ---- exactly

def is_good_to_the_tool(agent, token):
    """By `jetonctl verify`, which asks through the library."""
    done = subprocess.run([program("jetonctl"), "--socket", agent.socket, "verify"], input=token,
                          capture_output=True, text=True, timeout=100, user=agent.uid)
    assert done.returncode in (0, 3), done
    return done.returncode == 0


def first_not_good(agent, look, end):
    """Asks until it is over. It must be good when asked before its end, and over when answered at
    or after it was asked."""
    while True:
        before = agent.clock.now_us()
        good = look()
        after = agent.clock.now_us()
        assert good or after >= end, f"over {end - after} µs before its end"
        assert not good or before < end, f"good {before - end} µs after its end"
        if not good:
            return


@test
def the_end_is_the_same_microsecond_for_verify_list_describe_the_library_and_the_tool():
    agent = started()
    c = agent.connect()
    ways = {
        "Verify": lambda a: verdict(c, a) == "good",
        "Describe": lambda a: state(c, a) == "active",
        "List": lambda a: a["info"]["id"] in [t["id"] for t in c.list(state="active")],
        "List of all": lambda a: [t["state"] for t in c.list()
                                  if t["id"] == a["info"]["id"]] == ["active"],
        "Derive": lambda a: not isinstance(
            serial(c, [("Derive", {"token": a["token"], "name": "c"})])[0], Error),
        "the library and the tool": lambda a: is_good_to_the_tool(agent, a["token"]),
    }
    for name, look in ways.items():
        answer = issue(c)
        end = answer["info"]["expiresUSec"]
        # Nothing is left over from one that was asked before, and the end is near.
        agent.clock.pass_by(end - agent.clock.now_us() - 40000)
        try:
            first_not_good(agent, lambda: look(answer), end)
        except AssertionError as e:
            raise AssertionError(f"{name}: {e}") from None


@test
def whoever_watches_hears_of_an_end_within_milliseconds_of_it():
    agent = started()
    c, watch = agent.connect(), agent.connect().watch()
    late = []
    for _ in range(20):
        end = issue(c)["info"]["expiresUSec"]
        assert watch.event()["kind"] == "issued"
        agent.clock.pass_by(end - agent.clock.now_us() - 5000)
        event = watch.event()
        heard = agent.clock.now_us()
        assert event["kind"] == "expired" and event["token"]["state"] == "expired", event
        assert event["atUSec"] >= end and heard >= end, "before its end"
        assert event["token"]["endedUSec"] == end, event
        late.append(heard - end)
    # A machine with much to do is late now and then.
    assert sorted(late)[4] < 500000, late
    print(f"# heard {sorted(late)[10] / 1000:.1f} ms after the end (median of 20)")


# ---- many at once

@test(timeout=240)
def very_many_that_end_in_one_microsecond_end_in_slices_while_others_are_served():
    n = int(os.environ.get("JETON_EXPIRIES", "3000"))
    for _ in range(5):
        if end_at_once(n):
            return
    raise AssertionError("they do not end in slices")


def end_at_once(n):
    """Whether it was seen that they end in slices: who looks may have had no processor meanwhile."""
    # A hundred thousand need more than is locked by default.
    agent = started(f"MaxTokensPerUser={n + 1000}\nKeepEnded=1s", lockable=IS_ROOT and n > 10000)
    c, other = agent.connect(), agent.connect()
    stays = issue(other, 86400)
    # What is derived for all of the parent's rest ends with it, in that very microsecond.
    level, made = [issue(c, 3600)], 1
    while made < n:
        calls = [("Derive", {"token": a["token"], "name": "c"}) for a in level for _ in range(100)]
        level = serial(c, calls[:n - made])
        made += len(level)
    assert {a["info"]["expiresUSec"] for a in level[:5] + level[-5:]} == {
        level[0]["info"]["expiresUSec"]}
    idle, busy, seen = [], [], set()

    def ask(times):
        begin = time.monotonic()
        assert verdict(other, stays) == "good"
        times.append(time.monotonic() - begin)
    for _ in range(200):
        ask(idle)
    begin = time.monotonic()
    agent.clock.suspend(HOUR)
    while (left := other.call("GetStatus")["tokensActive"] - 1) > 0:
        seen.add(left)
        ask(busy)
    took = time.monotonic() - begin
    if len(seen) < n // 1000:
        print(f"# not seen in slices: {seen}")
        return False
    assert sorted(busy)[len(busy) // 2] < 5, "others were kept waiting"
    print(f"# {n} ended in {took:.2f} s, a slice of {n // max(1, len(seen))} at a time as seen; "
          f"Verify meanwhile {sorted(busy)[len(busy) // 2] * 1e3:.2f} ms (median), "
          f"{max(busy) * 1e3:.1f} ms at most, idle {sorted(idle)[100] * 1e3:.2f} ms")
    assert verdict(c, level[0]) in ("TokenExpired", "InvalidToken")
    return True


# ---- what else goes by time

@test
def a_token_whose_grace_is_over_stays_so_when_the_clock_is_set_back():
    agent = started()
    c = agent.connect()
    old = issue(c, 86400)
    new = c.call("Rotate", id=old["info"]["id"], graceSec=300)
    agent.clock.move(real=-HOUR)
    assert verdict(c, old) == verdict(c, new) == "good"
    agent.clock.pass_by(HOUR + 300 * SECOND)
    assert verdict(c, old) == "TokenExpired" and verdict(c, new) == "good"
    agent.clock.move(real=-YEAR)
    assert verdict(c, old) == "TokenExpired" and verdict(c, new) == "good"
    agent.kill()
    c = agent.start().connect()
    assert verdict(c, old) == "TokenExpired" and verdict(c, new) == "good"


@test
def a_minted_token_ends_at_its_time_and_stays_ended():
    agent = started()
    c = agent.connect()
    minted = {"token": c.call("Fetch", credential="minted")["text"]}
    assert verdict(c, minted) == "good"
    agent.clock.pass_by(15 * MINUTE)
    assert verdict(c, minted) == "TokenExpired"
    agent.clock.move(real=-HOUR)
    assert verdict(c, minted) == "TokenExpired"


@test
def guesses_at_the_passphrase_are_slowed_by_no_clock_that_can_be_set():
    agent = started()
    admin = agent.admin()
    admin.call("Lock", passphrase="right horse")
    delays = []
    for _ in range(3):
        def wrong():
            e = admin.error("Unlock", passphrase="wrong horse")
            return e.retryAfterSec if e.retryAfterSec not in delays else None
        delays.append(wait_until(wrong, "a wrong one is looked at", 30))
        agent.clock.move(real=YEAR)
        agent.clock.move(real=-2 * YEAR)
    assert delays == sorted(delays) and delays[-1] >= 2, delays
    left = admin.error("Unlock", passphrase="right horse").retryAfterSec
    agent.clock.move(real=YEAR)
    assert left >= 1 and admin.error("Unlock", passphrase="right horse").retryAfterSec >= left - 1
    agent.clock.pass_by(delays[-1] * SECOND)
    assert admin.call("Unlock", passphrase="right horse") == {}


@test
def the_last_use_is_the_last_one_though_the_clock_was_set_back():
    agent = started()
    c = agent.connect()
    ours = issue(c, 86400)
    c.call("Verify", token=ours["token"])
    agent.clock.move(real=-HOUR)
    used = c.call("Verify", token=ours["token"])["info"]["lastUsedUSec"]
    assert abs(used - agent.clock.now_us()) < 20 * SECOND
    agent.restart()
    info = agent.connect().call("Describe", id=ours["info"]["id"])["info"]
    assert info["lastUsedUSec"] == used, info


main()
