#!/usr/bin/env -S python3 -B
"""What only a running agent knows is there again after any restart: under a service manager, which
the tests play, that holds descriptors and sockets meanwhile."""

import contextlib
import os
import threading

from jeton import AGENT_UID, ALICE, BOB, Error, main, root, serial, test, wait_until
from manager import Kept
from peers import Peer, mount, own_mounts
from varlink import Client

POLICY = f"""
[Access]
User={ALICE} {BOB}
Scope=a:read a:write
[Credential held]
[Credential minted]
Kind=minted
Owner={ALICE}
Lifetime=1h
[Fetch]
Credential=held minted
User={ALICE} {BOB}
"""


def last_use(client, id):
    info = client.call("Describe", id=id)["info"]
    return info.get("lastUsedUSec"), info.get("lastUsedBy")


# ---- last uses -----------------------------------------------------------------------------------

@test
def a_kill_right_after_a_verify_leaves_the_last_use():
    agent = Kept(policy=POLICY).start()
    c = agent.connect()
    tokens = [c.call("Issue", name=f"n{n}") for n in range(20)]
    for round in range(3):
        told = [c.call("Verify", token=t["token"])["info"] for t in tokens[round:]]
        agent.again()
        c = agent.connect()
        for info in told:
            assert last_use(c, info["id"]) == (info["lastUsedUSec"], info["lastUsedBy"]), round


@test(needs=[root])
def of_two_verifiers_in_one_second_the_last_one_is_remembered():
    agent = Kept(policy=POLICY).start()
    for n in range(10):
        a, b = agent.connect(ALICE), agent.connect(BOB)
        token = a.call("Issue", name="n")
        order = [a, b, a, b, a][n % 3:]
        for c in order:
            told = c.call("Verify", token=token["token"])["info"]
        agent.again()
        assert last_use(agent.connect(ALICE), token["info"]["id"]) == (told["lastUsedUSec"], told["lastUsedBy"])


@test
def a_kill_right_after_a_fetch_leaves_who_fetched_last_and_when():
    agent = Kept(policy=POLICY).start()
    agent.admin().call("Put", credential="held", text="secret")
    for _ in range(3):
        c = agent.connect()
        for name in ("held", "minted"):
            c.call("Fetch", credential=name)
        before = agent.admin().more("ListCredentials")
        assert all(c["credential"]["lastFetchedUSec"] for c in before)
        agent.again()
        assert agent.admin().more("ListCredentials") == before


@test
def uses_of_many_tokens_over_many_restarts_stay_those_that_verify_told():
    agent = Kept(policy=POLICY).start()
    tokens = [a for a in serial(agent.connect(), [("Issue", {"name": "n"})] * 500)]
    for n in range(4):
        c = agent.connect()
        some = [t for i, t in enumerate(tokens) if i % 4 >= n]
        told = {}
        for info in (a["info"] for a in serial(c, [("Verify", {"token": t["token"]}) for t in some])):
            told[info["id"]] = info["lastUsedUSec"]
        agent.again("kill" if n % 2 == 0 else "restart")
        found = {t["id"]: t["lastUsedUSec"] for t in agent.connect().list()}
        assert found == {**found, **told}


@test(timeout=120)
def more_fetches_than_there_is_room_for_notes_leave_the_last_one():
    agent = Kept(policy=POLICY).start()
    agent.admin().call("Put", credential="held", text="secret")
    c = agent.connect()
    for _ in range(2):
        for _ in range(12):
            answers = serial(c, [("Fetch", {"credential": "held"})] * 4000)
            assert all(a["text"] == "secret" for a in answers)
        before = agent.admin().more("ListCredentials")
        agent.again()
        assert agent.admin().more("ListCredentials") == before
        c = agent.connect()
    assert "last uses" not in agent.log(), agent.log()


@test
def a_change_of_keys_takes_no_last_use_along():
    agent = Kept(policy=POLICY).start()
    agent.admin().call("Put", credential="held", text="secret")
    c = agent.connect()
    tokens = [c.call("Issue", name="n") for _ in range(6)]
    for n in range(3):
        told = [c.call("Verify", token=t["token"])["info"] for t in tokens[:3]]
        c.call("Fetch", credential="held")
        agent.admin().call("Rekey")
        told += [c.call("Verify", token=t["token"])["info"] for t in tokens[3:]]
        before = agent.admin().more("ListCredentials")
        agent.again("kill" if n < 2 else "restart")
        c = agent.connect()
        for info in told:
            assert last_use(c, info["id"]) == (info["lastUsedUSec"], info["lastUsedBy"]), n
        assert agent.admin().more("ListCredentials") == before


@test
def notes_say_nothing_to_who_reads_them_and_altered_ones_are_passed_over():
    agent = Kept(policy=POLICY).start()
    c = agent.connect()
    tokens = [c.call("Issue", name="needle-in-a-name") for _ in range(8)]
    told = [c.call("Verify", token=t["token"])["info"] for t in tokens]
    agent.kill()
    notes = agent.memfds()["jeton-carried"]
    assert notes.strip(b"\0")
    for needle in ("needle-in-a-name", told[0]["lastUsedBy"], *(t["info"]["id"] for t in tokens)):
        assert needle.encode() not in notes
    # From here on nothing of them opens; the ones before count.
    fd = agent.manager.held["jeton-carried"]
    end = notes.rindex(notes.rstrip(b"\0")[-1:])
    os.pwrite(fd, bytes([notes[end] ^ 1]), end)
    agent.start()
    c = agent.connect()
    uses = [last_use(c, t["info"]["id"])[0] for t in tokens]
    assert uses[:-1] == [i["lastUsedUSec"] for i in told[:-1]] and uses[-1] is None
    # It is noted anew where the damage was.
    told = c.call("Verify", token=tokens[-1]["token"])["info"]
    agent.again()
    assert last_use(agent.connect(), tokens[-1]["info"]["id"])[0] == told["lastUsedUSec"]


@test
def what_was_passed_as_notes_and_is_none_is_replaced():
    agent = Kept(policy=POLICY)
    for make in (lambda fd: os.ftruncate(fd, 100), lambda fd: os.ftruncate(fd, 16 << 20), lambda fd: None):
        fd = os.memfd_create("x", os.MFD_ALLOW_SEALING)
        make(fd)
        agent.manager.forget()
        agent.manager.held["jeton-carried"] = fd
        agent.start()
        c = agent.connect()
        token = c.call("Issue", name="n")
        c.call("Verify", token=token["token"])
        agent.again()
        assert last_use(agent.connect(), token["info"]["id"])[0]
        agent.stop()


@test
def notes_of_another_store_are_passed_over():
    one, two = Kept(policy=POLICY).start(), Kept(policy=POLICY).start()
    for agent in (one, two):
        c = agent.connect()
        token = c.call("Issue", name="n")
        c.call("Verify", token=token["token"])
    one.kill()
    two.kill()
    one.manager.held, two.manager.held = two.manager.held, one.manager.held
    one.start()
    two.start()
    # What could not be read was not kept; nothing else came of it.
    for agent in (one, two):
        assert [t["lastUsedUSec"] for t in agent.connect().list()] == [None]


@test
def an_agent_without_a_descriptor_store_works_and_keeps_last_uses_over_a_stop():
    agent = Kept(policy=POLICY, activated=False)
    agent.start(env={"NOTIFY_SOCKET": agent.manager.socket.getsockname()})
    c = agent.connect()
    token = c.call("Issue", name="n")
    told = c.call("Verify", token=token["token"])["info"]
    agent.stop()
    agent.manager.forget()
    agent.start()
    assert last_use(agent.connect(), token["info"]["id"])[0] == told["lastUsedUSec"]


@test(needs=[root])
def a_revocation_that_a_full_disk_could_not_keep_holds_over_restarts_and_kills():
    own_mounts()
    agent = Kept(policy=POLICY)
    os.mkdir(agent.state, 0o700)
    mount("tmpfs", agent.state, "tmpfs", data=f"size=1m,mode=0700,uid={AGENT_UID},gid={AGENT_UID}")
    agent.start()
    c, admin = agent.connect(), agent.admin()
    dead, good = (c.call("Issue", name="n") for _ in range(2))
    child = c.call("Derive", token=dead["token"], name="child")

    def fails(client, method, **parameters):
        """On a disk with not a byte left."""
        with open(f"{agent.state}/filler", "ab") as f:
            while room := os.statvfs(agent.state).f_bavail:
                os.write(f.fileno(), bytes(room * os.statvfs(agent.state).f_bsize))
        try:
            client.call(method, **parameters)
        except Error as e:
            assert e.name == "StoreFailed", e
            return True

    # What room the store has of its own is used up first.
    in_a_row = 0
    while in_a_row < 5:
        in_a_row = in_a_row + 1 if fails(c, "Issue", name="filler") else 0
    assert fails(admin, "Revoke", id=dead["info"]["id"])
    for how in ("kill", "restart", "kill"):
        agent.again(how)
        c = agent.connect()
        assert c.call("Verify", token=good["token"])
        for t in (dead, child):
            assert c.error("Verify", token=t["token"]).name == "TokenRevoked", how
        if how == "kill":
            # The disk has room again; what nobody could keep is still what it was.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{agent.state}/filler")
    agent.admin().call("Revoke", id=dead["info"]["id"])
    agent.again()
    assert agent.connect().error("Verify", token=child["token"]).name == "TokenRevoked"
    agent.stop()


# ---- sockets and calls ---------------------------------------------------------------------------

@test
def calls_made_while_the_agent_is_away_wait_in_its_socket():
    agent = Kept(policy=POLICY).start()
    token = agent.connect().call("Issue", name="n")
    for how in ("kill", "restart") * 3:
        getattr(agent, "kill" if how == "kill" else "stop")()
        answers = []

        def ask():
            c = agent.connect_here()
            answers.append(c.call("Verify", token=token["token"])["info"]["id"])
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for t in threads:
            t.start()
        agent.start()
        for t in threads:
            t.join()
        assert answers == [token["info"]["id"]] * 8


@test
def watchers_go_on_after_the_last_event_they_saw_and_miss_none():
    agent = Kept(policy=POLICY).start()
    seen, made = [], []
    w = agent.connect().watch()
    for n in range(6):
        c = agent.connect()
        for told in (True, False):
            # The second five are told of while nobody hears.
            made += [c.call("Issue", name="n")["info"]["id"] for _ in range(5)]
            while told and len(seen) < len(made):
                seen.append(w.event())
        agent.again("kill" if n % 3 else "restart")
        w = agent.connect().watch(after=seen[-1]["seq"])
    while len(seen) < len(made):
        seen.append(w.event())
    assert [e["token"]["id"] for e in seen] == made
    assert [e["seq"] for e in seen] == list(range(seen[0]["seq"], seen[0]["seq"] + len(seen)))


# ---- holders -------------------------------------------------------------------------------------

@test(needs=[root])
def a_bound_token_lives_over_kills_and_ends_where_its_process_did_meanwhile():
    agent = Kept(policy=POLICY + "[Credential bound]\nKind=minted\nOwner=" + str(ALICE) +
                 f"\nBinding=process\n[Fetch]\nCredential=bound\nUser={ALICE}\n").start()
    stays, goes = Peer(ALICE), Peer(ALICE)
    tokens = [Client(p.connect(agent.socket)).call("Fetch", credential="bound") for p in (stays, goes)]
    for how in ("kill", "restart", "kill"):
        agent.again(how)
        c = Client(stays.connect(agent.socket))
        assert c.call("Verify", token=tokens[0]["text"])["info"]["binding"] == "process"
        assert Client(goes.connect(agent.socket)).call("Verify", token=tokens[1]["text"])
    agent.kill()
    goes.end()
    agent.start()
    c = agent.connect()
    assert c.call("Describe", id=tokens[0]["tokenId"])["info"]["state"] == "active"
    wait_until(lambda: c.call("Describe", id=tokens[1]["tokenId"])["info"]["state"] != "active", "its end")
    assert c.call("Describe", id=tokens[1]["tokenId"])["info"]["ended"] == "binding"


if __name__ == "__main__":
    main()
