#!/usr/bin/env -S python3 -B
"""Watch: what happens is told to those who may list it, once, in order, over restarts and crashes;
and whoever does not listen is not waited for."""

import os
import signal
import socket
import threading
import time

from jeton import (AGENT_UID, ALICE, ANSWER_TIMEOUT, BOB, BUILD, Agent, Closed, Error, main, now_us, root, scratch,
                   serial, test, wait_until)
from peers import Accounts, Peer, mount, own_mounts
from varlink import Client

KEPT = 10000
POLICY = f"[Access]\nUser={ALICE}\nUser={BOB}\nUser=0\nScope=a:read\n"


def started(settings="", policy=POLICY):
    return Agent(settings, policy).start()


def told(event):
    """What an event says, short: ("issued", a token's name), or its credential."""
    return event["kind"], (event.get("token") or {}).get("name") or event.get("credential")


def events(client, n):
    return [client.event() for _ in range(n)]


def is_silent(client, seconds=0.3):
    client.sock.settimeout(seconds)
    try:
        return client.buffer == b"" and not client.sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return True
    finally:
        client.sock.settimeout(ANSWER_TIMEOUT)


# ---- what is told --------------------------------------------------------------------------------

@test
def the_first_reply_has_no_event_and_what_follows_is_what_happens():
    agent = started()
    w, c = agent.connect().watch(), agent.connect()
    before = now_us()
    one = c.call("Issue", name="one")
    event = w.event()
    assert event["seq"] == 1 and told(event) == ("issued", "one"), event
    assert event["token"] == one["info"] and event.get("credential") is None
    assert before <= event["atUSec"] <= now_us()
    c.call("Derive", token=one["token"], name="child")
    event = w.event()
    assert told(event) == ("derived", "child") and event["token"]["parent"] == one["info"]["id"]
    new = c.call("Rotate", id=one["info"]["id"])
    issued, rotated = events(w, 2)
    assert told(issued) == ("issued", "one") and issued["token"] == new["info"]
    assert told(rotated) == ("rotated", "one") and rotated["token"] == new["previous"]
    assert rotated["token"]["replacedBy"] == new["info"]["id"]
    c.call("Revoke", id=one["info"]["id"])
    first, second = events(w, 2)
    assert told(first) == ("revoked", "one") and first["token"]["ended"] == "owner"
    assert told(second) == ("revoked", "child") and second["token"]["ended"] == "parent"
    assert second["seq"] == 6 and is_silent(w)


@test
def a_rotation_without_grace_is_told_as_issued_rotated_and_revoked():
    agent = started()
    w, c = agent.connect().watch(), agent.connect()
    old = c.call("Issue", name="n")["info"]["id"]
    new = c.call("Rotate", id=old, graceSec=0)["info"]["id"]
    assert [(e["kind"], e["token"]["id"]) for e in events(w, 4)] == \
        [("issued", old), ("issued", new), ("rotated", old), ("revoked", old)]


@test
def what_ends_by_itself_is_told():
    agent = started("MinLifetime=1s")
    w, c = agent.connect().watch(), agent.connect()
    c.call("Issue", name="short", lifetimeSec=1)
    used = c.call("Issue", name="used", uses=2)
    for _ in range(2):
        c.call("Verify", token=used["token"])
    old = c.call("Issue", name="old")
    c.call("Rotate", id=old["info"]["id"], graceSec=1)
    got = events(w, 8)
    assert sorted(map(told, got)) == sorted(
        [("issued", "short"), ("issued", "used"), ("revoked", "used"), ("issued", "old"),
         ("issued", "old"), ("rotated", "old"), ("expired", "short"), ("expired", "old")]), got
    ended = {e["token"]["name"]: e["token"] for e in got if e["kind"] in ("expired", "revoked")}
    assert ended["short"]["ended"] == "expired" and ended["short"]["state"] == "expired"
    assert ended["used"]["ended"] == "uses" and ended["old"]["ended"] == "rotated"


@test
def what_changes_nothing_or_fails_is_not_told():
    agent = started()
    w, c = agent.connect().watch(), agent.connect()
    token = c.call("Issue", name="n", uses=5)
    w.event()
    c.call("Verify", token=token["token"])
    c.error("Issue", name="")
    c.error("Issue", name="n", scopes=["b:c"])
    c.list()
    c.call("Revoke", id=token["info"]["id"])
    c.call("Revoke", id=token["info"]["id"])
    event = w.event()
    assert event["seq"] == 2 and told(event) == ("revoked", "n") and is_silent(w)


@test
def a_token_is_told_as_it_stands_now():
    agent = started()
    c = agent.connect()
    token = c.call("Issue", name="n")
    c.call("Verify", token=token["token"])
    c.call("Revoke", id=token["info"]["id"])
    stands = c.call("Describe", id=token["info"]["id"])["info"]
    got = events(agent.connect().watch(after=0), 2)
    assert [e["kind"] for e in got] == ["issued", "revoked"]
    assert all(e["token"] == stands for e in got), got


@test
def a_token_that_is_no_longer_kept_is_told_without_its_facts():
    agent = started("KeepEnded=1s")
    c = agent.connect()
    c.call("Revoke", id=c.call("Issue", name="n")["info"]["id"])
    wait_until(lambda: c.call("GetStatus")["tokensTotal"] == 0, "it is forgotten", every=0.5)
    got = events(agent.connect().watch(after=0), 2)
    assert [(e["kind"], e.get("token")) for e in got] == [("issued", None), ("revoked", None)]


@test
def a_reload_is_told_to_everyone_and_one_that_is_refused_is_not():
    agent = started()
    w = agent.connect().watch()
    agent.admin().call("Reload")
    agent.policy("[Access]\n")
    assert agent.admin().error("Reload").name == "PolicyInvalid"
    agent.policy(POLICY)
    agent.signal(signal.SIGHUP)
    got = events(w, 2)
    assert [told(e) for e in got] == [("reloaded", None)] * 2 and [e["seq"] for e in got] == [1, 2]
    assert is_silent(w)


@test
def it_needs_more_and_after_is_no_negative_number():
    c = started().connect()
    assert c.error("Watch").name == "ExpectedMore"
    c.send("Watch", {"after": -1}, more=True)
    try:
        c.event()
        raise AssertionError("after -1")
    except Error as e:
        assert e.name == "InvalidParameter" and e.parameter == "after", e
    assert c.call("GetStatus")


# ---- to whom -------------------------------------------------------------------------------------

@test(needs=[root])
def everyone_hears_of_their_own_and_administrators_of_all():
    agent = started()
    alice, bob, admin = (x.watch() for x in (agent.connect(), agent.connect(BOB), agent.admin()))
    for n in range(3):
        one = agent.connect().call("Issue", name=f"alice{n}")
        agent.connect(BOB).call("Issue", name=f"bob{n}")
        agent.admin().call("Revoke", id=one["info"]["id"])
    agent.admin().call("Issue", name="given", ownerUid=BOB)
    agent.admin().call("Reload")
    mine = [e for n in range(3) for e in (("issued", f"alice{n}"), ("revoked", f"alice{n}"))]
    its = [("issued", f"bob{n}") for n in range(3)] + [("issued", "given")]
    assert [told(e) for e in events(alice, 7)] == mine + [("reloaded", None)]
    assert [told(e) for e in events(bob, 5)] == its + [("reloaded", None)]
    all_ = events(admin, 11)
    assert [e["seq"] for e in all_] == list(range(1, 12))
    assert sorted(map(told, all_[:-1])) == sorted(mine + its)
    assert is_silent(alice) and is_silent(bob)


@test(needs=[root])
def a_uid_that_has_gone_to_somebody_else_hears_nothing_of_the_one_before():
    accounts = Accounts(scratch(), {"alice": ALICE})
    agent = Agent(policy=f"[Access]\nUser={ALICE}\nScope=a:read\n").start()
    early, c = agent.connect().watch(), agent.connect()
    token = c.call("Issue", name="alices")
    assert told(early.event()) == ("issued", "alices")
    accounts.set({"mallory": ALICE})
    agent.admin().call("Reload")
    assert told(early.event()) == ("reloaded", None)
    wait_until(lambda: agent.connect().list() == [], "the name is known")
    agent.admin().call("Revoke", id=token["info"]["id"])
    agent.connect().call("Issue", name="mallorys")
    assert told(early.event()) == ("issued", "mallorys"), "by the same connection"
    late = agent.connect().watch(after=0)
    assert [told(e) for e in events(late, 2)] == [("reloaded", None), ("issued", "mallorys")]
    assert [told(e) for e in events(agent.admin().watch(after=0), 4)] == [
        ("issued", "alices"), ("reloaded", None), ("revoked", "alices"), ("issued", "mallorys")]


@test(needs=[root])
def an_administrator_who_is_none_any_more_hears_only_of_their_own():
    accounts = Accounts(scratch(), {"alice": ALICE}, {"admins": (40100, [])})
    agent = Agent("AdminGroup=admins", f"[Access]\nUser=*\nScope=a:read\n").start()
    w = agent.connect(ALICE, groups=[40100]).watch()
    agent.connect(BOB).call("Issue", name="bobs")
    assert told(w.event()) == ("issued", "bobs")
    accounts.set({"alice": ALICE}, {"admins": (40101, [])})
    agent.admin().call("Reload")
    assert told(w.event()) == ("reloaded", None)
    agent.connect(BOB).call("Issue", name="bobs")
    agent.connect(ALICE).call("Issue", name="alices")
    assert told(w.event()) == ("issued", "alices")


@test(needs=[root])
def credentials_are_told_to_those_who_may_fetch_them_and_to_administrators():
    policy = POLICY + f"[Credential one]\n[Credential two]\n" \
        f"[Fetch]\nCredential=one\nUser={ALICE}\n[Fetch]\nCredential=two\nUser={BOB}\n"
    agent = started(policy=policy)
    alice, bob, root_ = (x.watch() for x in (agent.connect(), agent.connect(BOB), agent.admin()))
    admin = agent.admin()
    for name in ("one", "two", "one"):
        admin.call("Put", credential=name, text="value")
    admin.call("Forget", credential="one")
    admin.call("Forget", credential="two")
    assert [told(e) for e in events(alice, 3)] == [("put", "one")] * 2 + [("forgotten", "one")]
    assert [told(e) for e in events(bob, 2)] == [("put", "two"), ("forgotten", "two")]
    assert [told(e) for e in events(root_, 5)] == [
        ("put", "one"), ("put", "two"), ("put", "one"), ("forgotten", "one"), ("forgotten", "two")]
    # Who may have it now counts, not who might when it was put.
    agent.policy(policy.replace(f"User={BOB}\n", f"User={ALICE}\n"))
    admin.call("Reload")
    got = [told(e) for e in events(agent.connect().watch(after=0), 6)]
    assert ("put", "two") in got and ("forgotten", "two") in got, got
    assert told(events(agent.connect(BOB).watch(after=0), 1)[0]) == ("reloaded", None)
    agent.restart()
    assert [told(e) for e in events(agent.connect().watch(after=0), 6)] == got


@test(needs=[root])
def a_peer_whose_process_has_ended_hears_nothing():
    agent = started()
    peer = Peer(ALICE)
    stays, late = Client(peer.connect(agent.socket)).watch(), Client(peer.connect(agent.socket))
    peer.end()
    assert agent.connect().call("Issue", name="n")
    assert stays.is_closed()
    late.send("Watch", more=True)
    try:
        late.event()
        raise AssertionError("it watches")
    except Error as e:
        assert e.name == "PermissionDenied", e
    except Closed:
        pass


# ---- from where ----------------------------------------------------------------------------------

@test
def a_watch_goes_on_after_the_last_event_that_was_seen():
    agent = started()
    c = agent.connect()
    for n in range(9):
        c.call("Issue", name=f"n{n}")
    for after in range(10):
        w = agent.connect().watch(after=after)
        assert [(e["seq"], e["token"]["name"]) for e in events(w, 9 - after)] == \
            [(n + 1, f"n{n}") for n in range(after, 9)]
        assert is_silent(w, 0.05)
        w.sock.close()
    w = agent.connect().watch()
    assert is_silent(w)
    c.call("Issue", name="next")
    assert w.event()["seq"] == 10


@test
def a_future_event_is_of_another_store_and_missed():
    c = started().connect()
    c.call("Issue", name="n")
    for after in (2, 3, 1 << 40, (1 << 63) - 1):
        c.send("Watch", {"after": after}, more=True)
        try:
            c.event()
            raise AssertionError(after)
        except Error as e:
            assert e.name == "EventsMissed", e
    assert c.watch(after=1)


@test
def numbers_and_events_go_on_over_restarts():
    agent = started()
    seen = []
    for n in range(4):
        c = agent.connect()
        c.call("Revoke", id=c.call("Issue", name=f"n{n}")["info"]["id"])
        seen += [(2 * n + 1, "issued", f"n{n}"), (2 * n + 2, "revoked", f"n{n}")]
        w = agent.connect().watch(after=0)
        assert [(e["seq"], *told(e)) for e in events(w, len(seen))] == seen
        agent.restart()


class Changer(threading.Thread):
    """Changes things until the agent is gone; notes what was acknowledged."""

    def __init__(self, client):
        super().__init__()
        self.c, self.issued, self.revoked = client, [], []

    def run(self):
        try:
            while True:
                ident = self.c.call("Issue", name="n")["info"]["id"]
                self.issued.append(ident)
                if len(self.issued) % 2:
                    self.c.call("Revoke", id=ident)
                    self.revoked.append(ident)
        except (Closed, OSError):
            pass


@test(timeout=120)
def what_was_acknowledged_before_a_crash_was_told_or_will_be():
    agent = started("MaxTokensPerUser=100000")
    heard, after = [], 0
    changers = []
    for n in range(5):
        w = agent.connect().watch(after=after)
        new = [Changer(agent.connect()) for _ in range(6)]
        for changer in new:
            changer.start()
        changers += new
        for _ in range(100 + 50 * n):
            heard.append(w.event())
        agent.kill()
        for changer in new:
            changer.join()
        try:
            while True:
                heard.append(w.event())
        except (Closed, OSError):
            pass
        after = heard[-1]["seq"]
        agent.start()
    last = agent.connect().call("Issue", name="last")["info"]["id"]
    w = agent.connect().watch(after=after)
    while not heard[-1]["token"] or heard[-1]["token"]["id"] != last:
        heard.append(w.event())
    assert [e["seq"] for e in heard] == list(range(1, len(heard) + 1)), "a gap, or one twice"
    kinds = {}
    for e in heard:
        if e["token"]:
            kinds.setdefault(e["token"]["id"], []).append(e["kind"])
    for changer in changers:
        assert all(kinds[i][0] == "issued" for i in changer.issued)
        assert all(kinds[i] == ["issued", "revoked"] for i in changer.revoked)
    # What was heard of has happened.
    alive = {t["id"] for t in agent.connect().list(state="active")}
    assert {i for i, k in kinds.items() if k == ["issued"]} == alive


def churn(agent, n):
    """n issues and n revocations, many at once."""
    c = agent.connect(timeout=60)
    for start in range(0, n, 500):
        answers = serial(c, [("Issue", {"name": "n"})] * min(500, n - start))
        serial(c, [("Revoke", {"id": a["info"]["id"]}) for a in answers])


@test(timeout=120)
def the_last_ten_thousand_are_kept_and_no_more():
    agent = started()
    churn(agent, KEPT // 2 + 100)
    last = KEPT + 200
    c = agent.connect()
    for _ in range(2):
        for after in (0, last - KEPT - 1):
            c.send("Watch", {"after": after}, more=True)
            try:
                c.event()
                raise AssertionError(after)
            except Error as e:
                assert e.name == "EventsMissed", e
        w = agent.connect().watch(after=last - KEPT)
        assert [e["seq"] for e in events(w, KEPT)] == list(range(last - KEPT + 1, last + 1))
        agent.restart()
        c = agent.connect()
    c.call("Issue", name="n")
    assert agent.connect().watch(after=last).event()["seq"] == last + 1


# ---- whoever does not listen ---------------------------------------------------------------------

def is_sanitized():
    with open(f"{BUILD}/config.key") as f:
        return "-fsanitize" in f.read()


def memory(agent):
    with open(f"/proc/{agent.pid}/status") as f:
        return int(next(line for line in f if line.startswith("VmRSS")).split()[1])


@test(timeout=120)
def a_watcher_that_is_too_slow_is_not_waited_for_and_hears_that_it_missed_events():
    agent = started()
    slow = [agent.connect().watch() for _ in range(20)]
    begun = time.monotonic()
    churn(agent, 500)
    before = memory(agent)
    churn(agent, KEPT // 2)
    assert is_sanitized() or memory(agent) < before + 4096, (before, memory(agent))
    for w in slow:
        seqs = []
        try:
            while True:
                seqs.append(w.event()["seq"])
        except Error as e:
            assert e.name == "EventsMissed", e
            assert w.is_closed()
        except Closed:
            # On a machine that needed so long for all this.
            assert time.monotonic() - begun > 30 and "left its replies unread for 30 s" in agent.log()
        assert seqs == list(range(1, len(seqs) + 1)) and 0 < len(seqs) < KEPT
        again = agent.connect()
        again.send("Watch", {"after": seqs[-1]}, more=True)
        try:
            again.event()
            raise AssertionError("nothing was missed")
        except Error as e:
            assert e.name == "EventsMissed", e


@test(timeout=120)
def a_watcher_that_keeps_up_hears_everything_once_in_order():
    agent = started("MaxTokensPerUser=5000")
    watchers = [agent.connect(timeout=60).watch() for _ in range(3)]
    heard = [[] for _ in watchers]

    def listen(w, to):
        while len(to) < 6000:
            to.append(w.event())

    threads = [threading.Thread(target=listen, args=x) for x in zip(watchers, heard)]
    for t in threads:
        t.start()
    changers = [threading.Thread(target=churn, args=(agent, 1000)) for _ in range(3)]
    for t in changers:
        t.start()
    for t in threads + changers:
        t.join()
    for got in heard:
        assert [e["seq"] for e in got] == list(range(1, 6001))
        kinds = {}
        for e in got:
            kinds.setdefault(e["token"]["id"], []).append(e["kind"])
        assert all(k == ["issued", "revoked"] for k in kinds.values())
        assert all(e["token"]["state"] == "revoked" for e in got if e["kind"] == "revoked")


# ---- the connection ------------------------------------------------------------------------------

@test
def calls_that_follow_a_watch_are_not_answered_and_nothing_is_held_for_them():
    agent = started("MaxConnectionsPerUser=64")
    c = agent.connect()
    files = f"/proc/{agent.pid}/fd"
    before, locked = len(os.listdir(files)), c.call("GetStatus")["lockedBytes"]
    watchers = []
    for n in range(60):
        w = agent.connect()
        # All in one, the call filled up such that what follows comes with it in a large buffer.
        calls = w.encode("Watch", {}, more=True)[:-1] + b" " * 60000 + b"\0" \
            + w.encode("Issue", {"name": "piped"}) * 3 + b"half a message"
        if n % 2:
            w.send_with_fds(calls, [0] * 5)
        else:
            w.send_bytes(calls)
        w.asked.append("io.jeton.Agent.Watch")
        assert w.event() is None
        w.send_with_fds(w.encode("Issue", {"name": "late"}), [0])
        watchers.append(w)
    assert c.list() == []
    wait_until(lambda: len(os.listdir(files)) <= before + 60 + 10, "descriptors are closed")
    assert c.call("GetStatus")["lockedBytes"] <= locked + 2 * 160 * 1024
    c.call("Issue", name="n")
    assert [told(w.event()) for w in watchers] == [("issued", "n")] * 60


@test
def a_watch_ends_when_its_client_closes_and_leaves_nothing():
    agent = started()
    c = agent.connect()
    n = c.call("GetStatus")["connections"]
    for _ in range(50):
        agent.connect().watch(after=0).sock.close()
    wait_until(lambda: c.call("GetStatus")["connections"] == n, "all are gone")
    c.call("Issue", name="n")


@test
def a_client_that_only_shuts_its_half_goes_on_hearing():
    agent = started()
    w = agent.connect().watch()
    w.sock.shutdown(socket.SHUT_WR)
    agent.connect().call("Issue", name="n")
    assert told(w.event()) == ("issued", "n")


@test
def watchers_do_not_keep_the_agent_from_stopping():
    def stopped():
        agent = started()
        watchers = [agent.connect().watch() for _ in range(10)]
        agent.connect().call("Issue", name="n")
        start = time.monotonic()
        agent.stop()
        took = time.monotonic() - start
        for w in watchers:
            assert told(w.event()) == ("issued", "n")
            assert w.is_closed()
        return took
    # What is not read is waited for a second. One stop that was not kept by the machine tells.
    assert any(stopped() < 0.8 for _ in range(10))


@test
def an_idle_watcher_is_left_alone():
    agent = started()
    w = agent.connect().watch()
    time.sleep(6)
    agent.connect().call("Issue", name="n")
    assert told(w.event()) == ("issued", "n")


# ---- the disk ------------------------------------------------------------------------------------

@test(needs=[root])
def what_could_not_be_kept_is_not_told_and_leaves_no_gap():
    own_mounts()
    agent = Agent(policy=POLICY)
    os.mkdir(agent.state, 0o700)
    mount("tmpfs", agent.state, "tmpfs", data=f"size=1m,mode=0700,uid={AGENT_UID},gid={AGENT_UID}")
    agent.start()
    w, c = agent.connect().watch(), agent.connect()
    kept, failed = [], 0
    filler = f"{agent.state}/filler"
    while failed < 3:
        with open(filler, "ab") as f:
            while (room := os.statvfs(agent.state)).f_bavail:
                os.write(f.fileno(), bytes(room.f_bavail * room.f_bsize))
        answers = serial(c, [("Issue", {"name": "n" * 100})] * 8)
        kept += [a["info"]["id"] for a in answers if not isinstance(a, Error)]
        failed += sum(isinstance(a, Error) for a in answers)
        assert len(kept) < 900
    os.unlink(filler)
    kept.append(wait_until(lambda: succeeds(c), "there is room")["info"]["id"])
    got = events(w, len(kept))
    assert [e["token"]["id"] for e in got] == kept
    assert [e["seq"] for e in got] == list(range(1, len(kept) + 1))
    agent.restart()
    assert [e["token"]["id"] for e in events(agent.connect().watch(after=0), len(kept))] == kept


def succeeds(c):
    try:
        return c.call("Issue", name="after")
    except Error as e:
        assert e.name == "StoreFailed", e
        return None


main()
