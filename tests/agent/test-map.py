#!/usr/bin/env -S python3 -B
"""The verifier's map: that it says what Verify says at the moment of each reply, to whom it is given, what is in it
and what is not, that nobody can change it, and what it says when its agent is gone or stuck."""

import bisect
import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time

import maps
import peers
from clock import HOUR, SECOND
from jeton import (AGENT_UID, ALICE, BOB, IS_ROOT, Agent, Error, main, now_us, program, root, serial, test,
                   wait_until)
from search import whole_build
from tap import scratch
from maps import ASK, GOOD, RETIRED

ACCESS = "[Access]\nUser=*\nScope=acme/**:*\n"
ALL = ACCESS + "[Verify]\nUser=*\nMap=yes\n"


def started(policy=ALL, settings="", **how):
    agent = Agent(settings, policy, **how)
    agent.start()
    return agent


def filled(client, *tokens):
    """The client's map, once all of it is there."""
    m = maps.get(client)
    wait_until(lambda: all(m.find(t["info"]["id"]) for t in tokens), "the map is filled")
    wait_until(lambda: m.is_good(), "the map is good")
    return m


def agree(client, m, token, scopes=()):
    """Whether Verify finds it good; where the map says so, that must be so, and with the same access."""
    says = m.says(token)
    try:
        answer = client.call("Verify", token=token["token"], scopes=list(scopes))
    except Error:
        answer = None
    if says is not None:
        assert answer is not None and sorted(answer["access"]) == sorted(says), (says, answer)
        assert answer["info"]["expiresUSec"] == m.find(token["info"]["id"])[0]
    return says is not None, answer is not None


@test
def a_map_says_what_verify_says_after_each_kind_of_change():
    agent = started()
    c, v = agent.connect(), agent.connect(BOB)
    first = c.call("Issue", name="first")
    m = filled(v, first)
    for how in ({}, {"scopes": ["acme/a:read", "acme/b/**:run"]}, {"lifetimeSec": 3600}):
        token = c.call("Issue", name="n", **how)
        assert agree(v, m, token) == (True, True), how
        c.call("Revoke", id=token["info"]["id"])
        assert m.find(token["info"]["id"]) is None and agree(v, m, token) == (False, False)
    parent = c.call("Issue", name="p", scopes=["acme/**:read"])
    child = c.call("Derive", token=parent["token"], name="c", scopes=["acme/x:read"])
    assert agree(v, m, child) == agree(v, m, parent) == (True, True)
    new = c.call("Rotate", id=child["info"]["id"], graceSec=600)
    assert agree(v, m, new) == agree(v, m, child) == (True, True)
    newer = c.call("Rotate", id=new["info"]["id"], graceSec=0)
    assert agree(v, m, new) == (False, False) and agree(v, m, newer) == (True, True)
    c.call("Revoke", token=parent["token"])
    for token in (parent, child, new, newer):
        assert agree(v, m, token) == (False, False) and m.find(token["info"]["id"]) is None
    assert agree(v, m, first) == (True, True)

@test
def tokens_with_uses_and_bound_ones_are_not_in_it_and_verify_has_them():
    agent = started()
    c, v = agent.connect(), agent.connect(BOB)
    first = c.call("Issue", name="first")
    m = filled(v, first)
    few = c.call("Issue", name="few", uses=2)
    bound = c.call("Issue", name="bound", binding="process")
    assert m.find(few["info"]["id"]) is None and m.find(bound["info"]["id"]) is None
    assert agree(v, m, few) == (False, True)
    assert agree(c, m, bound) == (False, True)
    m = maps.get(v)
    wait_until(lambda: m.find(first["info"]["id"]), "another map is the same one")
    assert len(m.ids()) == 1


@test
def what_a_reload_takes_away_no_map_tells_from_its_reply_on():
    agent = started()
    c, v, admin = agent.connect(), agent.connect(BOB), agent.admin()
    token = c.call("Issue", name="n", scopes=["acme/a:read", "acme/b:read"])
    m = filled(v, token)
    assert sorted(m.says(token)) == ["acme/a:read", "acme/b:read"]
    agent.policy(ALL.replace("acme/**:*", "acme/b:*"))
    admin.call("Reload")
    assert m.state == RETIRED and not m.is_alive() and m.says(token) is None
    m = filled(v, token)
    assert m.says(token) == ["acme/b:read"] and agree(v, m, token) == (True, True)
    agent.policy(ALL.replace("acme/**:*", "other:*"))
    admin.call("Reload")
    other = c.call("Issue", name="n")
    m = filled(v, other)
    assert m.find(token["info"]["id"]) is None
    agent.policy(ACCESS)
    admin.call("Reload")
    assert m.state == RETIRED
    assert v.error("io.jeton.Verifier.GetMap").name == "InterfaceNotFound"


@test(needs=[root])
def each_verifier_has_a_map_of_what_it_may_know_and_who_may_not_has_none():
    agent = started(ACCESS + f"[Verify]\nUser={ALICE}\nScope=acme/a:*\nMap=yes\n"
                    "[Verify]\nGroup=40100\nScope=acme/b:read\nMap=yes\n"
                    f"[Verify]\nUser={BOB}\n")
    c, alice, group = agent.connect(30007), agent.connect(), agent.connect(30005, groups=[40100])
    both, bob = agent.connect(ALICE, groups=[40100]), agent.connect(BOB)
    wide = c.call("Issue", name="n")
    a = c.call("Issue", name="n", scopes=["acme/a:read"])
    b = c.call("Issue", name="n", scopes=["acme/b:read"])
    other = c.call("Issue", name="n", scopes=["acme/c:read"])
    of_alice, of_group, of_both = filled(alice, wide, a), filled(group, wide, b), filled(both, wide, a, b)
    assert of_alice.says(wide) == ["acme/a:*"] and of_alice.find(b["info"]["id"]) is None
    assert of_group.says(wide) == ["acme/b:read"] and of_group.find(a["info"]["id"]) is None
    assert sorted(of_both.says(wide)) == ["acme/a:*", "acme/b:read"]
    for m, v in ((of_alice, alice), (of_group, group), (of_both, both)):
        assert m.find(other["info"]["id"]) is None
        for token in (wide, a, b):
            agree(v, m, token)
    assert bob.call("Verify", token=wide["token"])
    for method, parameters in (("GetMap", {}), ("ReportUses", {"uses": []})):
        assert bob.error(f"io.jeton.Verifier.{method}", **parameters).name == "PermissionDenied"


@test
def the_interface_is_there_only_where_a_policy_gives_maps():
    agent = started(ACCESS + "[Verify]\nUser=*\nMap=no\n")
    c, service = agent.connect(), "org.varlink.service"
    assert c.call(f"{service}.GetInfo")["interfaces"] == ["io.jeton.Agent", service]
    for method in ("GetMap", "ReportUses", "Nothing"):
        assert c.error(f"io.jeton.Verifier.{method}").name == "InterfaceNotFound"
    error = c.error(f"{service}.GetInterfaceDescription", interface="io.jeton.Verifier")
    assert error.name == "InterfaceNotFound"
    agent.policy(ALL)
    agent.admin().call("Reload")
    assert sorted(c.call(f"{service}.GetInfo")["interfaces"]) == ["io.jeton.Agent", "io.jeton.Verifier", service]
    text = c.call(f"{service}.GetInterfaceDescription", interface="io.jeton.Verifier")["description"]
    assert "method GetMap()" in text
    assert c.error("io.jeton.Verifier.Nothing").name == "MethodNotFound"
    assert c.error("io.jeton.Verifier.GetMap", more=1).name == "InvalidParameter"


@test
def a_locked_agents_map_says_ask_from_the_reply_on_and_is_good_again_after():
    agent = started()
    c, v, admin = agent.connect(), agent.connect(BOB), agent.admin()
    token = c.call("Issue", name="n")
    m = filled(v, token)
    admin.call("Lock", passphrase="correct horse battery staple")
    assert m.state == ASK and m.says(token) is None
    assert v.error("io.jeton.Verifier.GetMap").name == "AgentLocked"
    c.call("Revoke", id=token["info"]["id"])
    assert m.find(token["info"]["id"]) is None
    admin.call("Unlock", passphrase="correct horse battery staple")
    assert m.state == GOOD and m.is_good()


@test
def a_map_grows_beside_the_old_one_which_is_right_until_it_is_retired():
    agent = started(settings="MaxTokensPerUser=5000")
    c, v = agent.connect(), agent.connect(BOB)
    tokens = [c.call("Issue", name="first")]
    m = filled(v, tokens[0])
    n_slots = m.n_slots
    while m.state != RETIRED:
        assert len(tokens) < 4000, "it is never retired"
        batch = serial(c, [("Issue", {"name": "n"})] * 50)
        if m.state == GOOD:
            assert all(m.find(t["info"]["id"]) for t in batch), "a new token is not in it"
        tokens += batch
        c.call("Revoke", id=tokens.pop()["info"]["id"])
    m = filled(v, *tokens)
    assert m.n_slots > n_slots and len(m.ids()) == len(tokens)
    for token in tokens[::100]:
        assert agree(v, m, token) == (True, True)


@test
def nothing_but_ids_hashes_expiry_and_access_is_in_a_map():
    agent = started()
    c, v = agent.connect(), agent.connect(BOB)
    token = c.call("Issue", name="a-name-to-look-for", scopes=["acme/needle:read"])
    m = filled(v, token)
    value, memory = token["token"].encode(), m.memory[:]
    assert b"acme/needle:read\0" in memory, "what is in it is not found"
    assert hashlib.sha256(value[18:61]).digest() in memory
    owner = token["info"]["owner"]
    for needle in (b"a-name-to-look-for", value, value[18:61], value[18:40], *([owner.encode()] if owner else [])):
        assert needle not in memory, needle
    assert (ALICE if IS_ROOT else os.getuid()).to_bytes(4, "little") not in memory[maps.HEAD:]
    expires, hash_, scopes = m.find(token["info"]["id"])
    assert expires == token["info"]["expiresUSec"] and scopes == ["acme/needle:read"]
    used = m.memory[maps.HEAD:m.text_at]
    assert sum(used[i:i + 64] != bytes(64) for i in range(0, len(used), 64)) == 1


def mapped(pid):
    """Where the agent has anything: (from, to)."""
    with open(f"/proc/{pid}/maps") as f:
        return sorted(tuple(int(n, 16) for n in line.split()[0].split("-")) for line in f)


def addresses_in(memory, ranges):
    """The words of it, at any multiple of four, that are addresses within the ranges."""
    starts = [start for start, _ in ranges]
    for shift in (0, 4):
        for word in {w for w, in struct.iter_unpack("=Q", memory[shift:shift + (len(memory) - shift) // 8 * 8])}:
            i = bisect.bisect_right(starts, word) - 1
            if i >= 0 and word < ranges[i][1]:
                yield word


# With sanitizers nearly every number is an address that is mapped.
@test(needs=[root, whole_build])
def no_address_of_the_agents_is_in_a_map_and_its_death_still_marks_it():
    agent = started(ACCESS + f"[Verify]\nUser={BOB}\nMap=yes\n[Verify]\nUser={ALICE}\nScope=acme/a:*\nMap=yes\n")
    c, v, other = agent.connect(30007), agent.connect(BOB), agent.connect(ALICE)
    token = c.call("Issue", name="n")
    # Two of them: the links of one mutex lead to the other's.
    held = [filled(v, token), filled(other, token)]
    ranges = mapped(agent.pid)
    heap = next(start for start, _ in ranges)
    assert list(addresses_in(bytes(12) + struct.pack("=Q", heap), ranges)) == [heap], "the method is blind"
    for m in held:
        assert list(addresses_in(m.memory[:], ranges)) == []
    agent.kill()
    for m in held:
        assert m.owner & maps.OWNER_DIED and not m.owner & maps.TID_MASK


def fails_with(numbers, function, *arguments):
    try:
        function(*arguments)
    except OSError as e:
        return e.errno in numbers
    except ValueError:
        return False
    return False


@test
def who_has_a_map_can_neither_write_nor_resize_nor_seal_it():
    agent = started()
    c = agent.connect(BOB)
    m = maps.get(c)
    refused = (errno.EPERM, errno.EACCES, errno.EBADF, errno.EINVAL)
    assert fcntl.fcntl(m.fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
    assert fails_with(refused, os.pwrite, m.fd, b"x", 64)
    assert fails_with(refused, os.ftruncate, m.fd, 0)
    assert fails_with(refused, os.ftruncate, m.fd, m.size * 2)
    assert fails_with(refused, fcntl.fcntl, m.fd, 1033, 8), "sealed"
    assert fails_with(refused, mmap.mmap, m.fd, m.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    # This process is root, or of the agent's own user: it can open it anew, and gains nothing.
    with contextlib.suppress(OSError):
        again = os.open(f"/proc/self/fd/{m.fd}", os.O_RDWR)
        assert fails_with(refused, os.pwrite, again, b"x", 64)
        assert fails_with(refused, mmap.mmap, again, m.size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        os.close(again)
    if IS_ROOT:
        child = os.fork()
        if child == 0:
            os.setgroups([])
            os.setresgid(BOB, BOB, BOB)
            os.setresuid(BOB, BOB, BOB)
            mine = os.open(f"/proc/self/fd/{m.fd}", os.O_RDONLY) if False else m.fd
            closed = [fails_with(refused, os.open, f"/proc/self/fd/{mine}", os.O_RDWR),
                      fails_with(refused, os.open, f"/proc/self/fd/{mine}", os.O_RDONLY),
                      fails_with(refused, os.fchmod, mine, 0o600)]
            os._exit(0 if all(closed) else 1)
        assert os.waitpid(child, 0)[1] == 0


@test
def a_killed_agents_map_has_no_owner_at_once_and_a_stopped_one_is_retired():
    agent = started()
    c, v = agent.connect(), agent.connect(BOB)
    token = c.call("Issue", name="n")
    m = filled(v, token)
    assert m.owner & maps.TID_MASK == agent.pid
    agent.kill()
    assert m.owner & maps.OWNER_DIED and not m.owner & maps.TID_MASK and m.says(token) is None
    agent.start()
    m = filled(agent.connect(BOB), token)
    assert m.says(token)
    agent.stop()
    assert m.state == RETIRED and not m.is_alive()


@test
def a_stuck_agents_beat_stands_and_goes_on_with_it():
    agent = started()
    m = filled(agent.connect(BOB), agent.connect().call("Issue", name="n"))
    before = m.beat_us
    wait_until(lambda: m.beat_us != before, "the beat")
    agent.signal(signal.SIGSTOP)
    wait_until(lambda: set(agent.states()) <= {"T", "t"}, "it is stopped")
    stands = m.beat_us
    wait_until(lambda: not m.is_fresh(), "2 s")
    assert m.beat_us == stands and not m.is_good()
    agent.signal(signal.SIGCONT)
    wait_until(m.is_good, "it beats again")


class Verifier:
    """A process with libjeton's verifier, asked from several threads at once. It is the agent's own user: to no other
    agent does the library tell values."""

    def __init__(self, agent, timeout_ms=10000):
        path = program("tests/agent/test-verifier")
        self.process = subprocess.Popen([path, "--serve", agent.socket, str(timeout_ms)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1,
                                        preexec_fn=lambda: peers.become(AGENT_UID))

    def ask(self, token, scope="acme/a:read"):
        """What the threads are told: results, with an m behind each that came by the map."""
        self.process.stdin.write(f"{token['token']} {scope}\n")
        return self.process.stdout.readline().split()

    def by_map(self, token):
        wait_until(lambda: self.ask(token) == ["0m"] * 3, "all its threads verify by the map")

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(60) == 0


@test(needs=[root], timeout=180)
def the_library_says_in_all_its_threads_what_its_agent_would_through_all_that_befalls_it():
    names = {"alice": ALICE, "bob": BOB}
    accounts = peers.Accounts(scratch(), names, {"team": (40100, ["alice"])})
    policy = f"[Access]\nGroup=team\nScope=acme/a:*\n[Access]\nUser=alice\nScope=acme/b:*\n[Verify]\nUser=*\nMap=yes\n"
    agent = started(policy)
    c, admin = agent.connect(), agent.admin()
    token = c.call("Issue", name="n")
    v, m = Verifier(agent, timeout_ms=500), filled(agent.connect(BOB), token)
    v.by_map(token)
    # Stuck: within two seconds nothing is believed, and the call fails by its deadline.
    agent.signal(signal.SIGSTOP)
    # (The library goes by the coarse clock, which may be a tick behind.)
    wait_until(lambda: time.monotonic_ns() // 1000 - m.beat_us > 2_050_000, "2 s")
    told = v.ask(token)
    assert told == [str(-errno.ETIMEDOUT)] * 3, told
    agent.signal(signal.SIGCONT)
    v.by_map(token)

    def takes_away(change, restore):
        change()
        admin.call("Reload")
        told = v.ask(token)
        assert len(set(told)) == 1 and int(told[0]) > 0, told
        restore()
        admin.call("Reload")
        v.by_map(token)
    takes_away(lambda: agent.policy(policy.replace("Scope=acme/a:*", "Scope=acme/c:*")), lambda: agent.policy(policy))
    takes_away(lambda: accounts.set(names, {"team": (40100, [])}),
               lambda: accounts.set(names, {"team": (40100, ["alice"])}))
    admin.call("Lock", passphrase="correct horse battery staple")
    told = v.ask(token)
    assert len(set(told)) == 1 and "m" not in told[0], told
    admin.call("Unlock", passphrase="correct horse battery staple")
    v.by_map(token)
    agent.restart()
    v.by_map(token)
    other = agent.connect().call("Issue", name="n")
    v.by_map(other)
    agent.connect().call("Revoke", id=other["info"]["id"])
    told = v.ask(other)
    assert len(set(told)) == 1 and int(told[0]) > 0, told
    v.by_map(token)
    agent.kill()
    told = v.ask(token)
    assert all("m" not in one and int(one) < 0 for one in told), told
    v.end()


@test
def a_clock_that_is_set_forward_and_back_gives_no_token_in_a_map_more_time():
    agent = started(settings="MinLifetime=1s", clocked=True)
    c, v = agent.connect(), agent.connect(BOB)
    short, long = c.call("Issue", name="n", lifetimeSec=60), c.call("Issue", name="n", lifetimeSec=36000)
    m = filled(v, short, long)
    agent.clock.move(real=61 * SECOND)
    wait_until(lambda: c.call("Describe", id=short["info"]["id"])["info"]["state"] == "expired", "it has ended")
    assert m.find(short["info"]["id"]) is None and m.find(long["info"]["id"])
    agent.clock.move(real=-HOUR)
    assert m.find(short["info"]["id"]) is None and m.state == GOOD
    agent.clock.move(real=3 * HOUR)
    wait_until(lambda: m.state == ASK, "a clock that is doubted")
    agent.clock.move(real=-2 * HOUR - 61 * SECOND)
    wait_until(lambda: m.state == GOOD, "a clock that is right")


@test(needs=[root])
def where_the_store_fails_a_map_says_what_verify_does():
    agent = Agent("MinLifetime=1s", ALL)

    def small():
        peers.own_mounts()
        peers.mount("none", agent.var, "tmpfs", data="size=8m,mode=777")
    agent.start(setup=small)
    c, v, admin = agent.connect(), agent.connect(BOB), agent.admin()
    token, other = c.call("Issue", name="n"), c.call("Issue", name="n")
    m = filled(v, token, other)
    fill = f"/proc/{agent.pid}/root{agent.var}/fill"
    for _ in range(100):
        with open(fill, "ab", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))
        # A small change may still fit, so until none of these does.
        serial(c, [("Issue", {"name": "n" * 128})] * 50)
        try:
            token = c.call("Rotate", id=token["info"]["id"], graceSec=60)
        except Error as e:
            assert e.name == "StoreFailed", e
            break
    else:
        raise AssertionError("the store does not fail")
    assert m.find(token["info"]["id"])[0] == token["info"]["expiresUSec"], "the cut was not taken back"
    assert agree(v, m, token) == (True, True)
    # What an administrator revokes is dead, whether that can be kept or not.
    try:
        admin.call("Revoke", id=other["info"]["id"])
    except Error as e:
        assert e.name == "StoreFailed", e
    assert m.says(other) is None
    m = filled(v, token)
    assert agree(v, m, other) == (False, False) and agree(v, m, token) == (True, True)
    os.unlink(fill)


def report(client, *uses):
    return client.call("io.jeton.Verifier.ReportUses",
                       uses=[{"id": i, "count": n, "lastUSec": at} for i, n, at in uses])


@test
def reported_uses_are_counted_and_kept_as_last_uses_that_never_go_back():
    agent = started()
    c, v = agent.connect(), agent.connect(BOB)
    maps.get(v).close()
    token, few, ended = (c.call("Issue", name="n", **how)["info"]["id"] for how in ({}, {"uses": 3}, {}))
    c.call("Revoke", id=ended)
    created = c.call("Describe", id=token)["info"]["createdUSec"]

    def now():
        info = c.call("Describe", id=token)["info"]
        return info["lastUsedUSec"], c.call("GetStatus")["verifiedTotal"]
    # Of last uses whole seconds are kept, and none in the token's own second is told to be before it was there.
    wait_until(lambda: now_us() // SECOND > created // SECOND, "the next second")
    at = now_us() // SECOND * SECOND
    assert now() == (None, 0)
    report(v, (token, 5, at + 7))
    assert now() == (at, 5)
    report(v, (token, 2, at - 10 * SECOND), (few, 9, at), (ended, 9, at), ("00000000001", 9, at))
    assert now() == (at, 7), "an earlier use, or one of a token that no map has"
    report(v, (token, 1, at + HOUR))
    last, total = now()
    assert total == 8 and at <= last <= now_us(), "a use in the future"
    report(v)
    for bad in ({"id": token, "count": 0, "lastUSec": at}, {"id": token, "count": 1, "lastUSec": -1},
                {"id": "x", "count": 1, "lastUSec": at}, {"id": token, "count": 1}, "x", None,
                {"id": token, "count": 1, "lastUSec": at, "more": 1}):
        good = {"id": token, "count": 1, "lastUSec": at}
        assert v.error("io.jeton.Verifier.ReportUses", uses=[good, bad]).parameter == "uses", bad
    too_many = [{"id": token, "count": 1, "lastUSec": at}] * 1001
    assert v.error("io.jeton.Verifier.ReportUses", uses=too_many).name == "InvalidParameter"
    assert now()[1] == 8, "a part of what was refused was counted"
    report(v, *[(token, 1, at)] * 1000)
    assert now()[1] == 1008


@test(needs=[root])
def there_are_eight_maps_at_most_and_they_have_their_limit_of_memory():
    agent = started(ACCESS + "".join(f"[Verify]\nUser={uid}\nScope=acme/u{uid}:*\nMap=yes\n"
                                     for uid in range(30010, 30019)))
    held = [maps.get(agent.connect(uid)) for uid in range(30010, 30018)]
    error = agent.connect(30018).error("io.jeton.Verifier.GetMap")
    assert (error.name, error.limit, error.max) == ("LimitReached", "maps", 8), error
    assert maps.get(agent.connect(30010)).size == held[0].size
    small = started(settings="MemoryLimit=1M\nMaxTokensPerUser=10000")
    c = small.connect()
    m = maps.get(c)
    assert m.size <= 1 << 20
    with contextlib.suppress(Error):
        for _ in range(20):
            serial(c, [("Issue", {"name": "n"})] * 100)
    # What it has no room for is not in it, and what it has is right.
    wait_until(lambda: m.state == RETIRED or m.is_good(), "a map")


@test(timeout=240)
def a_great_many_tokens_are_filled_in_without_a_pause():
    """JETON_MAP_TOKENS says how many."""
    n = int(os.environ.get("JETON_MAP_TOKENS", "3000"))
    agent = Agent(f"MaxTokensPerUser={n + 100}\nMemoryLimit=512M", ALL)
    agent.start(lockable=True)
    c, v = agent.connect(), agent.connect(BOB)
    first = c.call("Issue", name="first")
    for at in range(0, n, 500):
        serial(c, [("Issue", {"name": "n", "scopes": ["acme/a:read"]})] * min(500, n - at))

    def longest(until):
        worst = 0
        while not until():
            start = time.monotonic()
            c.call("Verify", token=first["token"])
            worst = max(worst, time.monotonic() - start)
        return worst
    end = time.monotonic() + 0.5
    idle = longest(lambda: time.monotonic() > end)
    admin, m = agent.admin(), None
    for turn in range(4):
        if m:
            m.close()
        got = []

        # The one before is retired, and freed: nobody has it any more.
        def renew():
            admin.call("Reload")
            got.append(maps.get(v))
        thread = threading.Thread(target=renew)
        start = time.monotonic()
        thread.start()
        # The token that was first is the last to be filled in.
        busy = longest(lambda: got and got[0].find(first["info"]["id"]))
        took = time.monotonic() - start
        thread.join()
        m = got[0]
        print(f"# {n} tokens: {took:.3f} s, longest Verify {busy * 1e3:.2f} ms, idle {idle * 1e3:.2f} ms; "
              f"{m.size / n:.0f} bytes a token", file=sys.stderr)
        if turn and busy < 4 * idle + 0.02:
            break
    else:
        raise AssertionError(f"a Verify took {busy} s while the map was filled")
    assert len(m.ids()) == n + 1


main()
