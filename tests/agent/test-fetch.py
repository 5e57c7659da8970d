#!/usr/bin/env -S python3 -B
"""Fetch: who gets what, values as descriptors, and tokens minted for each fetch."""

import array
import contextlib
import fcntl
import os
import random
import resource
import select
import signal
import socket
import threading
import time

from credentials import CAROL, POLICY, SECOND, VALUE_MAX, b64, content, credentials, fetch_fd, no_such, nothing_but, \
    start, with_fd
from jeton import (ALICE, BOB, IS_ROOT, Agent, Client, Error, has_form, main, now_us, root, test, wait_until)
from peers import Peer

F_GET_SEALS, SEALS = 1034, 0x1 | 0x2 | 0x4 | 0x8


# ---- who may -------------------------------------------------------------------------------------

@test(needs=[root])
def what_is_not_for_a_peer_is_to_it_as_if_it_were_not_there():
    agent, admin = start()
    admin.call("Put", credential="api-key", text="x")
    admin.call("Put", credential="other", text="x")
    for client, names in ((agent.connect(CAROL), ("api-key", "fresh", "other", "nothing")),
                          (agent.connect(ALICE), ("fresh", "other", "nothing")),
                          (admin, ("api-key", "fresh", "other", "nothing"))):
        for name in names:
            for more in ({}, {"asFd": True}, {"minLifetimeSec": 1}):
                no_such(client.error("Fetch", credential=name, **more), name)
    assert agent.connect(ALICE).call("Fetch", credential="api-key")["text"] == "x"
    assert "refused: Fetch of" in agent.log()


@test(needs=[root])
def groups_count_as_the_kernel_has_them():
    agent, admin = start("[Credential k]\n[Fetch]\nCredential=k\nGroup=4711\n")
    admin.call("Put", credential="k", text="x")
    assert agent.connect(CAROL, groups=(4711,)).call("Fetch", credential="k")["text"] == "x"
    assert agent.connect(CAROL, gid=4711).call("Fetch", credential="k")["text"] == "x"
    no_such(agent.connect(CAROL, groups=(4712,)).error("Fetch", credential="k"), "k")


@test(needs=[root])
def a_peer_of_another_pid_namespace_gets_only_what_containers_may():
    agent, admin = start("[Credential here]\n[Credential there]\n[Fetch]\nCredential=here\nUser=*\n"
                         "[Fetch]\nCredential=there\nUser=*\nContainer=yes\n")
    for name in ("here", "there"):
        admin.call("Put", credential=name, text=name)
    inside = Peer(BOB, in_pid_namespace=True)
    c = Client(inside.connect(agent.socket), 20)
    no_such(c.error("Fetch", credential="here"), "here")
    assert c.call("Fetch", credential="there")["text"] == "there"
    assert [x["name"] for x in credentials(c)] == ["there"]


@test(needs=[root])
def a_peer_whose_process_has_gone_gets_nothing():
    agent, admin = start("[Credential k]\n[Fetch]\nCredential=k\nUser=*\nContainer=yes\n")
    admin.call("Put", credential="k", text="x")
    gone = Peer(BOB)
    c = Client(gone.connect(agent.socket), 20)
    assert c.call("Fetch", credential="k")["text"] == "x"
    assert c.call("Fetch", credential="k")["text"] == "x"
    os.kill(gone.pid, signal.SIGKILL)
    os.waitpid(gone.pid, 0)
    no_such(c.error("Fetch", credential="k"), "k")
    assert credentials(c) == []


@test
def a_reload_gives_and_takes():
    agent, admin = start()
    c = agent.connect(BOB)
    admin.call("Put", credential="api-key", text="x")
    assert c.call("Fetch", credential="api-key")["text"] == "x"
    agent.policy("[Credential api-key]\n")
    admin.call("Reload")
    no_such(c.error("Fetch", credential="api-key"), "api-key")
    # Without a definition it can't be put, but it can be seen and forgotten.
    agent.policy("[Credential another]\n")
    admin.call("Reload")
    no_such(admin.error("Put", credential="api-key", text="y"), "api-key")
    assert [x["name"] for x in credentials(admin)] == ["another", "api-key"]
    admin.call("Forget", credential="api-key")
    assert [x["name"] for x in credentials(admin)] == ["another"]
    no_such(admin.error("Forget", credential="api-key"), "api-key")
    agent.policy(POLICY)
    admin.call("Reload")
    assert c.error("Fetch", credential="api-key").name == "CredentialEmpty"
    assert admin.call("Put", credential="api-key", text="z") == {"revision": 2}


@test
def oneway_fetches_nothing_and_puts():
    agent, admin = start()
    c = agent.connect(BOB)
    admin.send("Put", {"credential": "api-key", "text": "x"}, oneway=True)
    assert admin.call("GetStatus")["credentials"] == 1
    c.send("Fetch", {"credential": "few"}, oneway=True)
    c.send("Fetch", {"credential": "api-key", "asFd": True}, oneway=True)
    c.send("ListCredentials", oneway=True, more=True)
    assert c.call("GetStatus")["tokensActive"] == 0
    admin.send("Forget", {"credential": "api-key"}, oneway=True)
    assert admin.call("GetStatus")["credentials"] == 0


# ---- descriptors ---------------------------------------------------------------------------------

@test
def a_descriptor_holds_the_value_and_nobody_can_change_it():
    agent, admin = start()
    c = agent.connect(BOB)
    for value in (b"x", os.urandom(VALUE_MAX)):
        admin.call("Put", credential="api-key", data=b64(value))
        answer, fd = fetch_fd(c, "api-key")
        nothing_but(answer, fd=0, revision=admin.call("Put", credential="other", text="x")["revision"])
        assert os.lseek(fd, 0, os.SEEK_CUR) == 0 and os.read(fd, 1 << 20) == value
        assert fcntl.fcntl(fd, F_GET_SEALS) & SEALS == SEALS
        for change in (lambda: os.write(fd, b"y"), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 1 << 20)):
            try:
                change()
                raise AssertionError("it was changed")
            except PermissionError:
                pass
        assert content(fd) == value


@test
def each_fetch_has_a_file_of_its_own():
    agent, admin = start()
    c = agent.connect(BOB)
    admin.call("Put", credential="api-key", text="shared?")
    _, first = fetch_fd(c, "api-key")
    _, second = fetch_fd(c, "api-key")
    assert os.read(first, 3) == b"sha" and os.read(second, 7) == b"shared?"
    assert os.fstat(first).st_ino != os.fstat(second).st_ino


@test(needs=[root])
def another_user_can_open_it_by_its_path():
    agent, admin = start()
    admin.call("Put", credential="api-key", text="by path")
    _, fd = fetch_fd(agent.connect(BOB), "api-key")
    child = os.fork()
    if child == 0:
        os.setresuid(BOB, BOB, BOB)
        with contextlib.suppress(OSError):
            os._exit(0 if open(f"/proc/self/fd/{fd}", "rb").read() == b"by path" else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@test
def descriptors_and_texts_may_be_asked_for_in_one_go():
    agent, admin = start()
    c = agent.connect(BOB)
    admin.call("Put", credential="api-key", text="v")
    rng = random.Random(1)
    kinds = [rng.choice(("fd", "text", "error", "status", "minted")) for _ in range(400)]
    calls = {"fd": ("Fetch", {"credential": "api-key", "asFd": True}), "text": ("Fetch", {"credential": "api-key"}),
             "error": ("Fetch", {"credential": "nothing", "asFd": True}), "status": ("GetStatus", {}),
             "minted": ("Fetch", {"credential": "fresh", "asFd": True})}
    data = b"".join(c.encode(*calls[k]) for k in kinds)
    c.asked.extend([None] * len(kinds))
    thread = threading.Thread(target=c.send_bytes, args=(data,))
    thread.start()
    for kind in kinds:
        answer, fd = with_fd(c)
        assert (fd is not None) == (kind in ("fd", "minted")), (kind, answer)
        if kind == "fd":
            assert content(fd) == b"v" and answer["text"] is None
        elif kind == "minted":
            token = content(fd).decode()
            assert has_form(token) and token[6:17] == answer["tokenId"]
        elif kind == "text":
            assert answer["text"] == "v"
    thread.join()


@test
def descriptors_wait_for_a_client_that_reads_slowly():
    agent, admin = start()
    admin.call("Put", credential="api-key", text="v" * 1000)
    c = agent.connect(BOB)
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    # Long replies fill the socket before, between and after.
    text, fd_call = ("Fetch", {"credential": "api-key"}), ("Fetch", {"credential": "api-key", "asFd": True})
    calls = ([text] * 300 + [fd_call] * 20 + [text] * 2) * 3
    c.asked.extend([None] * len(calls))
    thread = threading.Thread(target=c.send_bytes, args=(b"".join(c.encode(*x) for x in calls),))
    thread.start()
    time.sleep(0.3)
    for call in calls:
        answer, fd = with_fd(c)
        if call is fd_call:
            assert content(fd) == b"v" * 1000
        else:
            assert answer["text"] == "v" * 1000 and fd is None
    thread.join()


def n_open(agent):
    return len(os.listdir(f"/proc/{agent.pid}/fd"))


@test(needs=[root])
def who_does_not_read_hoards_only_a_few_descriptors():
    agent, admin = start()
    admin.call("Put", credential="api-key", data=b64(os.urandom(VALUE_MAX)))
    hoarders = [agent.connect(BOB) for _ in range(20)]
    for c in hoarders:
        c.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                c.sock.send(c.encode("Fetch", {"credential": "api-key", "asFd": True}) * 50)
    assert agent.connect(ALICE).call("Fetch", credential="api-key")["data"]
    for c in hoarders:
        assert select.select([c.sock], [], [], 30)[0]
    # While it stands still, nothing more comes than what was on its way.
    agent.pause()
    for c in hoarders:
        n = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                _, ancillary, _, _ = c.sock.recvmsg(1 << 16, socket.CMSG_SPACE(64))
                n += len(ancillary)
                for _, _, rights in ancillary:
                    for fd in array.array("i", rights):
                        os.close(fd)
        assert 1 <= n <= 8, n
    agent.signal(signal.SIGCONT)
    for c in hoarders:
        c.close()
    wait_until(lambda: n_open(agent) < 60, "they are closed")


@test(needs=[root])
def no_descriptor_leaks():
    agent, admin = start()
    c, gone = agent.connect(BOB), [agent.connect(BOB) for _ in range(10)]
    admin.call("Put", credential="api-key", text="v")
    for _ in range(2):
        os.close(fetch_fd(c, "api-key")[1])
        os.close(fetch_fd(c, "fresh")[1])
    before = n_open(agent)
    for _ in range(300):
        os.close(fetch_fd(c, "api-key")[1])
        c.error("Fetch", credential="nothing", asFd=True)
    for x in gone:
        x.send_bytes(x.encode("Fetch", {"credential": "fresh", "asFd": True}) * 20)
        x.close()
    wait_until(lambda: n_open(agent) <= before, "as many as before")


@test
def descriptors_run_out_for_clients_before_they_do_for_fetches():
    agent = Agent(policy=POLICY).start(limits={resource.RLIMIT_NOFILE: 150})
    admin, c = agent.admin(), agent.connect(BOB)
    admin.call("Put", credential="api-key", text="v")
    clients = []
    with contextlib.suppress(Exception):
        while len(clients) < 200:
            clients.append(agent.connect(BOB))
            clients[-1].call("Fetch", credential="api-key")
            clients[-1].call("Fetch", credential="api-key")
    assert 20 < len(clients) < 200
    for _ in range(20):
        assert content(fetch_fd(c, "api-key")[1]) == b"v"
        assert has_form(content(fetch_fd(c, "fresh")[1]).decode())


# ---- minted ones ---------------------------------------------------------------------------------

@test
def a_fresh_token_is_minted_for_each_fetch():
    agent, admin = start()
    c = agent.connect(BOB)
    seen = set()
    for _ in range(5):
        before = now_us()
        answer = c.call("Fetch", credential="fresh")
        token = answer["text"]
        assert has_form(token) and token not in seen and answer["tokenId"] == token[6:17]
        assert answer["revision"] is answer["data"] is answer["fd"] is None
        seen.add(token)
        verified = c.call("Verify", token=token, scopes=["acme/a:read"])
        info = verified["info"]
        # Its scopes are cut to what the owner has.
        assert verified["access"] == ["acme/a:read"], verified["access"]
        assert info["name"] == info["credential"] == "fresh" and info["ownerUid"] == ALICE
        assert info["scopes"] == ["acme/a:*", "acme/z:read"] and info["binding"] == "none"
        assert info["issuedTo"] and info["expiresUSec"] == answer["expiresUSec"]
        assert 0 <= info["expiresUSec"] - before - 30 * 86400 * SECOND < 20 * SECOND
        assert c.error("Verify", token=token, scopes=["acme/b:write"]).name == "InsufficientScope"
        assert c.error("Verify", token=token, scopes=["acme/z:read"]).name == "InsufficientScope"
    assert len(agent.connect(ALICE).list(state="active")) == 5
    agent.restart()
    for token in seen:
        assert agent.connect(BOB).call("Verify", token=token)["info"]["credential"] == "fresh"


@test
def a_minted_token_may_be_shorter_lived_than_others():
    agent, _ = start()
    c = agent.connect(BOB)
    answer = c.call("Fetch", credential="short", minLifetimeSec=60)
    assert 55 * SECOND < answer["expiresUSec"] - now_us() <= 60 * SECOND
    assert c.call("Verify", token=answer["text"])["info"]["scopes"] is None
    error = c.error("Fetch", credential="short", minLifetimeSec=61)
    assert error.name == "LifetimeOutOfRange" and error.minSec == 0 and error.maxSec == 60


@test
def a_credential_has_at_most_maxtokens_active_ones():
    agent, _ = start()
    c = agent.connect(BOB)

    def full(client):
        error = client.error("Fetch", credential="few")
        return error.name == "LimitReached" and error.limit == "MaxTokens" and error.max == 3

    answers = [c.call("Fetch", credential="few") for _ in range(3)]
    assert full(c)
    assert c.call("Fetch", credential="fresh")
    agent.restart()
    c = agent.connect(BOB)
    assert full(c)
    c.call("Revoke", token=answers[1]["text"])
    assert c.call("Fetch", credential="few")
    assert full(c)
    # By its owner's rotation as little as by a fetch; one that takes the old one's place is no more.
    alice = agent.connect(ALICE)
    ident = alice.list(name="few", state="active")[0]["id"]
    error = alice.error("Rotate", id=ident)
    assert error.name == "LimitReached" and error.limit == "MaxTokens" and error.max == 3, error
    assert alice.call("Rotate", id=ident, graceSec=0)
    assert full(c)
    # Calls at once.
    for answer in agent.connect(ALICE).list(name="few", state="active"):
        agent.connect(ALICE).call("Revoke", id=answer["id"])
    clients = [agent.connect(BOB) for _ in range(10)]
    for x in clients:
        x.send("Fetch", {"credential": "few"})
    good = 0
    for x in clients:
        try:
            good += bool(x.reply()["text"])
        except Error as e:
            assert e.name == "LimitReached", e
    assert good == 3


@test
def the_owners_own_limit_is_not_touched_by_what_is_minted():
    agent, _ = start(settings="MaxTokensPerUser=2")
    c, alice = agent.connect(BOB), agent.connect(ALICE)
    for _ in range(3):
        c.call("Fetch", credential="few")
    for _ in range(2):
        c.call("Fetch", credential="fresh")
        alice.call("Issue", name="own")
    assert alice.error("Issue", name="own").name == "LimitReached"
    assert c.call("Fetch", credential="fresh")
    assert alice.call("Rotate", id=alice.list(name="fresh", state="active")[0]["id"])
    agent.restart()
    assert agent.connect(ALICE).error("Issue", name="own").name == "LimitReached"
    assert agent.connect(BOB).call("Fetch", credential="fresh")


@test
def an_owner_who_does_not_exist_has_nothing_minted():
    agent, _ = start(f"[Credential k]\nKind=minted\nOwner=no-such-user-here\n[Fetch]\nCredential=k\nUser={BOB}\n")
    no_such(agent.connect(BOB).error("Fetch", credential="k"), "k")
    assert "Owner=" in agent.log()


@test
def a_token_bound_to_the_process_that_fetched_ends_with_it():
    agent, _ = start(f"[Access]\nUser={ALICE}\nScope=a:read\n[Credential k]\nKind=minted\nOwner={ALICE}\n"
                     f"Binding=process\n[Fetch]\nCredential=k\nUser={BOB}\n")
    if not IS_ROOT:
        return
    one, two = Peer(BOB), Peer(BOB)
    mine, other = Client(one.connect(agent.socket), 20), Client(two.connect(agent.socket), 20)
    answer = mine.call("Fetch", credential="k")
    _, fd = fetch_fd(mine, "k")
    second = content(fd).decode()
    for token in (answer["text"], second):
        assert mine.call("Verify", token=token)["info"]["binding"] == "process"
        assert other.error("Verify", token=token).name == "WrongBearer"
    os.kill(one.pid, signal.SIGKILL)
    os.waitpid(one.pid, 0)
    alice = agent.connect(ALICE)
    wait_until(lambda: not alice.list(state="active"), "both end")
    assert {t["ended"] for t in alice.list()} == {"binding"}


main()
