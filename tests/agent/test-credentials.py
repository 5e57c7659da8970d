#!/usr/bin/env -S python3 -B
"""Put, Forget, ListCredentials and Fetch: who gets what, in the form it was put in; revisions that
never start again; descriptors; tokens minted for each fetch; nothing of a value left behind."""

import array
import base64
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

from jeton import (ALICE, BOB, IS_ROOT, SECRET, Agent, Client, Error, Mismatch, has_form, main, now_us, peer, root,
                   serial, test, wait_until)
from peers import Peer

CAROL = 30003 if IS_ROOT else BOB
KIB = 1024
VALUE_MAX = 48 * KIB
SECOND = 1000000
F_GET_SEALS, SEALS = 1034, 0x1 | 0x2 | 0x4 | 0x8

# api-key is Alice's and Bob's; other is nobody's; fresh, short and few are minted for Bob.
POLICY = f"""
[Access]
User={ALICE}
Scope=acme/a:read acme/b:write
[Credential api-key]
Description=The key of an API
[Credential other]
[Credential fresh]
Kind=minted
Owner={ALICE}
Scope=acme/a:* acme/z:read
[Credential short]
Kind=minted
Owner={ALICE}
Lifetime=1min
[Credential few]
Kind=minted
Owner={ALICE}
MaxTokens=3
[Fetch]
Credential=api-key
User={ALICE}
[Fetch]
Credential=api-key fresh short few
User={BOB}
"""


def b64(data):
    return base64.b64encode(data).decode()


def start(policy=POLICY, settings=""):
    agent = Agent(settings, policy).start()
    return agent, agent.admin()


def nothing_but(answer, **members):
    """The members of a reply that are not null."""
    got = {k: v for k, v in answer.items() if v is not None}
    assert got == members, got


def invalid(error, parameter):
    assert error.name == "InvalidParameter" and error.parameter == parameter, error


def no_such(error, name):
    assert error.name == "NoSuchCredential" and error.parameters == {"credential": name}, error


def credentials(client):
    answers = [a["credential"] for a in client.more("ListCredentials")]
    if None in answers and len(answers) > 1:
        raise Mismatch("null among credentials")
    return [] if answers == [None] else answers


def with_fd(client, text_only=False):
    """Receives one message and its descriptor, which must have come with that message's first byte.
    (parameters, descriptor or None)"""
    import json
    data, fds = b"", []
    while not data.endswith(b"\0"):
        piece, ancillary, flags, _ = client.sock.recvmsg(1, socket.CMSG_SPACE(64), socket.MSG_CMSG_CLOEXEC)
        assert piece and not flags & socket.MSG_CTRUNC
        for _, _, rights in ancillary:
            got = array.array("i", rights)
            assert not data and not fds, "a descriptor came with another byte than the first"
            fds += got
        data += piece
    client.asked.popleft()
    assert len(fds) <= 1
    message = json.loads(data[:-1])
    return message.get("parameters"), fds[0] if fds else None


def fetch_fd(client, credential, **more):
    client.send("Fetch", {"credential": credential, "asFd": True, **more})
    answer, fd = with_fd(client)
    assert fd is not None, answer
    return answer, fd


def content(fd):
    """What the descriptor holds, by the path that a program would be given; closes it."""
    with open(f"/proc/self/fd/{fd}", "rb") as f:
        data = f.read()
    os.close(fd)
    return data


# ---- Put and Fetch -------------------------------------------------------------------------------

@test
def what_was_put_is_fetched_as_it_was_put():
    agent, admin = start()
    c = agent.connect(BOB)
    texts = ["x", "a key", "line\nline\n", "\t\"quoted\\\" \x7f\x01\x1f", "é€😀\ufeff", " " * 100, "a" * VALUE_MAX]
    revision = 0
    for text in texts:
        revision += 1
        assert admin.call("Put", credential="api-key", text=text) == {"revision": revision}
        nothing_but(c.call("Fetch", credential="api-key"), text=text, revision=revision)
    for data in (b"\0", b"\xff\xfe", bytes(range(256)), os.urandom(1000), b"text as data", os.urandom(VALUE_MAX)):
        revision += 1
        assert admin.call("Put", credential="api-key", data=b64(data)) == {"revision": revision}
        nothing_but(c.call("Fetch", credential="api-key"), data=b64(data), revision=revision)


@test(timeout=180)
def binary_values_of_every_size_around_the_limits_come_back():
    agent, admin = start()
    c = agent.connect(BOB)
    for n in [*range(1, 70), *range(4000, 4110, 3), *range(VALUE_MAX - 8, VALUE_MAX + 1)]:
        data = os.urandom(n)
        admin.call("Put", credential="api-key", data=b64(data))
        assert c.call("Fetch", credential="api-key")["data"] == b64(data)
        answer, fd = fetch_fd(c, "api-key")
        assert content(fd) == data, n
    for n in (VALUE_MAX + 1, VALUE_MAX + 2, VALUE_MAX + 3, 80000):
        invalid(admin.error("Put", credential="api-key", data=b64(os.urandom(n))), "data")
        invalid(admin.error("Put", credential="api-key", text="x" * n), "text")


@test
def a_text_counts_by_its_bytes():
    _, admin = start()
    admin.call("Put", credential="api-key", text="é" * (VALUE_MAX // 2))
    invalid(admin.error("Put", credential="api-key", text="é" * (VALUE_MAX // 2) + "x"), "text")
    admin.call("Put", credential="api-key", text="😀" * (VALUE_MAX // 4))


@test
def a_text_that_can_be_put_can_be_fetched_however_many_escapes_it_has():
    agent, admin = start()
    c = agent.connect(BOB)
    # So many that the message is as long as one may be, with the shortest name and the longest.
    for n in (21000, 21500, 21700, 21800, 21810, 21820, 21825, 21830):
        try:
            admin.call("Put", credential="api-key", text="\x01" * n)
        except Error as e:
            invalid(e, "text")
            continue
        assert c.call("Fetch", credential="api-key")["text"] == "\x01" * n
    text = "\"\\" * (VALUE_MAX // 2)
    admin.call("Put", credential="api-key", text=text)
    assert c.call("Fetch", credential="api-key")["text"] == text


@test
def exactly_one_of_text_and_data():
    _, admin = start()
    invalid(admin.error("Put", credential="api-key"), "text")
    invalid(admin.error("Put", credential="api-key", text=None, data=None), "text")
    invalid(admin.error("Put", credential="api-key", text="x", data="eA=="), "data")
    invalid(admin.error("Put", credential="api-key", text=""), "text")
    invalid(admin.error("Put", credential="api-key", data=""), "data")


@test
def base64_is_taken_in_one_way_only():
    agent, admin = start()
    for bad in ("eA", "eA=", "eA===", "e===", "====", "=", "eB==", "eHl=", "eH=l", "eA==\n", " eA==", "eA ==", "eHh4eA",
                "-_8=", "__8=", "eA==eA==", "e A=", "eA=\0"[:3], "é" * 4, "eHh4!Hh4", "eHh4eHh4eA=a", "eHh4\n", "@@@@",
                "eHh4" * 40000):
        invalid(admin.error("Put", credential="api-key", data=bad), "data")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for number in range(1, 0x250):
        if chr(number) not in alphabet:
            for bad in (f"eHh4{chr(number)}Hh4", f"eHh{chr(number)}", f"e{chr(number)}==")[:2 if chr(number) == "=" else 3]:
                if bad != "eHh=":
                    invalid(admin.error("Put", credential="api-key", data=bad), "data")
    # Slashes may be written with a backslash in JSON: the same text.
    admin.send_bytes(b'{"method":"io.jeton.Agent.Put","parameters":{"credential":"api-key","data":"\\/\\/\\u002f\\/"}}\0')
    admin.asked.append("io.jeton.Agent.Put")
    assert admin.reply() == {"revision": 1}
    assert agent.connect(BOB).call("Fetch", credential="api-key")["data"] == "////"


@test
def a_full_size_value_may_be_written_in_escapes_alone():
    agent, admin = start()
    data = b"\xff" * 21 * KIB
    text = b64(data).replace("/", "\\/")
    admin.send_bytes(b'{"method":"io.jeton.Agent.Put","parameters":{"credential":"api-key","data":"%s"}}\0' % text.encode())
    admin.asked.append("io.jeton.Agent.Put")
    admin.reply()
    assert agent.connect(BOB).call("Fetch", credential="api-key")["data"] == b64(data)


@test
def only_what_a_policy_defines_as_held_can_be_put():
    _, admin = start()
    no_such(admin.error("Put", credential="nothing", text="x"), "nothing")
    no_such(admin.error("Forget", credential="nothing"), "nothing")
    invalid(admin.error("Put", credential="fresh", text="x"), "credential")
    invalid(admin.error("Forget", credential="fresh"), "credential")
    for name in ("", ".", "..", "a/b", "x" * 65, "é", "a b", "a\n"):
        for method, more in (("Put", {"text": "x"}), ("Forget", {}), ("Fetch", {})):
            invalid(admin.error(method, credential=name, **more), "credential")


@test(needs=[root])
def only_administrators_put_and_forget():
    agent, admin = start()
    c = agent.connect(BOB)
    for method, more in (("Put", {"text": "x"}), ("Forget", {})):
        assert c.error(method, credential="api-key", **more).name == "PermissionDenied"
    assert admin.call("GetStatus")["credentials"] == 0


@test
def a_revision_grows_with_each_put_and_never_starts_again():
    agent, admin = start()
    for i in range(1, 30):
        assert admin.call("Put", credential="api-key", text=f"value {i}") == {"revision": i}
        if i % 5 == 0:
            assert admin.call("Forget", credential="api-key") == {}
        if i % 7 == 0:
            agent.restart()
            admin = agent.admin()
    assert admin.call("Put", credential="other", text="x") == {"revision": 1}


@test
def an_empty_one_says_so_to_those_who_may_have_it():
    agent, admin = start()
    c = agent.connect(BOB)
    for _ in range(2):
        error = c.error("Fetch", credential="api-key")
        assert error.name == "CredentialEmpty" and error.credential == "api-key"
        admin.call("Put", credential="api-key", text="x")
        assert c.call("Fetch", credential="api-key")["text"] == "x"
        admin.call("Forget", credential="api-key")
    # Whoever lost the reply asks again.
    assert admin.call("Forget", credential="api-key") == {}


@test
def it_expires_when_it_is_said_to():
    agent, admin = start()
    c = agent.connect(BOB)
    for when in (now_us() - SECOND, now_us() - 60 * SECOND, 0, 1, -1, -(1 << 63), 1 << 58, (1 << 63) - 1):
        invalid(admin.error("Put", credential="api-key", text="x", expiresUSec=when), "expiresUSec")
    end = now_us() + SECOND
    admin.call("Put", credential="api-key", text="x", expiresUSec=end)
    nothing_but(c.call("Fetch", credential="api-key"), text="x", revision=1, expiresUSec=end)
    wait_until(lambda: now_us() >= end, "the end")
    error = c.error("Fetch", credential="api-key")
    assert error.name == "CredentialExpired" and error.credential == "api-key" and error.expiredUSec == end
    assert c.error("Fetch", credential="api-key", minLifetimeSec=1).name == "CredentialExpired"
    agent.restart()
    assert agent.connect(BOB).error("Fetch", credential="api-key").name == "CredentialExpired"
    agent.admin().call("Put", credential="api-key", text="y")
    nothing_but(agent.connect(BOB).call("Fetch", credential="api-key"), text="y", revision=2)


@test
def a_value_that_ends_too_soon_is_not_given():
    agent, admin = start()
    c = agent.connect(BOB)
    admin.call("Put", credential="api-key", text="x", expiresUSec=now_us() + 100 * SECOND)
    for seconds in (0, 1, 90):
        assert c.call("Fetch", credential="api-key", minLifetimeSec=seconds)["text"] == "x"
    for seconds in (100, 101, 1 << 40, (1 << 63) - 1):
        error = c.error("Fetch", credential="api-key", minLifetimeSec=seconds)
        assert error.name == "LifetimeOutOfRange" and error.minSec == 0 and 90 < error.maxSec < 100, error
    invalid(c.error("Fetch", credential="api-key", minLifetimeSec=-1), "minLifetimeSec")
    # What never ends lasts as long as anyone likes.
    admin.call("Put", credential="api-key", text="y")
    assert c.call("Fetch", credential="api-key", minLifetimeSec=(1 << 63) - 1)["text"] == "y"


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
    thread = threading.Thread(target=c.sock.sendall, args=(data,))
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
    thread = threading.Thread(target=c.sock.sendall, args=(b"".join(c.encode(*x) for x in calls),))
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
    before = shmem_kib()
    hoarders = [agent.connect(BOB) for _ in range(20)]
    for c in hoarders:
        c.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                c.sock.send(c.encode("Fetch", {"credential": "api-key", "asFd": True}) * 50)
    assert agent.connect(ALICE).call("Fetch", credential="api-key")["data"]
    # In 20 connections at most some 8 of 48 KiB each.
    assert shmem_kib() - before < 20 * 8 * 48 + 2000, shmem_kib() - before
    for c in hoarders:
        c.close()
    wait_until(lambda: n_open(agent) < 60, "they are closed")


def shmem_kib():
    with open("/proc/meminfo") as f:
        return int(next(line for line in f if line.startswith("Shmem:")).split()[1])


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


# ---- ListCredentials -----------------------------------------------------------------------------

@test
def everyone_is_told_of_what_they_may_fetch():
    agent, admin = start()
    bob = agent.connect(BOB)
    if IS_ROOT:
        assert [x["name"] for x in credentials(bob)] == ["api-key", "few", "fresh", "short"]
        assert [x["name"] for x in credentials(agent.connect(ALICE))] == ["api-key"]
        assert credentials(agent.connect(CAROL)) == []
    assert [x["name"] for x in credentials(admin)] == ["api-key", "few", "fresh", "other", "short"]
    assert admin.error("ListCredentials").name == "ExpectedMore"


@test
def the_list_has_what_is_known_of_each():
    agent, admin = start()
    bob = agent.connect(BOB)

    def facts(name):
        return next(x for x in credentials(admin) if x["name"] == name)

    nothing_but(facts("api-key"), name="api-key", kind="held", description="The key of an API")
    nothing_but(facts("fresh"), name="fresh", kind="minted")
    before, end = now_us(), now_us() + 3600 * SECOND
    admin.call("Put", credential="api-key", text="x", expiresUSec=end)
    x = facts("api-key")
    assert x["revision"] == 1 and x["expiresUSec"] == end and before <= x["updatedUSec"] <= now_us()
    assert x["lastFetchedUSec"] is None and x["lastFetchedBy"] is None
    before = now_us()
    bob.call("Fetch", credential="api-key")
    bob.call("Fetch", credential="fresh")
    for name in ("api-key", "fresh"):
        x = facts(name)
        assert before <= x["lastFetchedUSec"] <= now_us() and x["lastFetchedBy"], x
    # Kept when the agent stops, and not told anew by a look.
    last = facts("api-key")["lastFetchedUSec"], facts("fresh")["lastFetchedUSec"]
    agent.restart()
    admin = agent.admin()
    assert last == (facts("api-key")["lastFetchedUSec"], facts("fresh")["lastFetchedUSec"])
    admin.call("Forget", credential="api-key")
    x = facts("api-key")
    assert x["updatedUSec"] is None and x["expiresUSec"] is None and x["revision"] == 1


@test
def a_refused_fetch_is_no_fetch():
    agent, admin = start()
    bob = agent.connect(BOB)
    bob.error("Fetch", credential="api-key")
    admin.call("Put", credential="api-key", text="x", expiresUSec=now_us() + 10 * SECOND)
    bob.error("Fetch", credential="api-key", minLifetimeSec=100)
    admin.error("Fetch", credential="other")
    assert all(x["lastFetchedUSec"] is None for x in credentials(admin))


@test(timeout=120)
def many_credentials_are_listed_in_order_and_in_slices():
    names = sorted(f"c{i:05d}" for i in range(5000))
    files = [names[i:i + 1000] for i in range(0, 5000, 1000)]
    agent = Agent(policy=f"[Fetch]\nCredential={names[7]} {names[4321]}\nUser={BOB}\n")
    for i, some in enumerate(files):
        agent.policy("".join(f"[Credential {n}]\nDescription={'d' * 200}\n" for n in some), f"many{i}.policy")
    agent.start()
    admin = agent.admin()
    for n in names[::50]:
        admin.call("Put", credential=n, text=n)
    assert [x["name"] for x in credentials(admin)] == names
    if IS_ROOT:
        assert [x["name"] for x in credentials(agent.connect(BOB))] == [names[7], names[4321]]
    # With others served meanwhile, and put and reloaded under it.
    admin.send("ListCredentials", more=True)
    other = agent.admin()
    for n in names[:20]:
        other.call("Put", credential=n, text="new")
    other.call("Reload")
    got = []
    while True:
        message = admin.receive()
        got.append(message["parameters"]["credential"]["name"])
        if not message.get("continues"):
            break
    assert got == names
    assert agent.admin().call("GetStatus")["credentials"] == 100 + 19


@test
def no_credentials_are_one_null():
    agent, admin = start("[Access]\nUser=1\nScope=a:b\n")
    assert admin.more("ListCredentials") == [{"credential": None}]


# ---- the store -----------------------------------------------------------------------------------

@test
def what_was_acknowledged_survives_a_kill():
    agent, admin = start()
    for i in range(1, 8):
        value = b64(os.urandom(random.Random(i).choice((1, 100, VALUE_MAX))))
        assert admin.call("Put", credential="api-key", data=value) == {"revision": i}
        if i % 3 == 0:
            admin.call("Forget", credential="api-key")
        agent.kill()
        agent.start()
        admin, c = agent.admin(), agent.connect(BOB)
        if i % 3 == 0:
            assert c.error("Fetch", credential="api-key").name == "CredentialEmpty"
        else:
            nothing_but(c.call("Fetch", credential="api-key"), data=value, revision=i)


@test
def puts_of_one_name_at_once_are_one_after_the_other():
    agent, admin = start()
    clients = [agent.admin() for _ in range(30)]
    for i, x in enumerate(clients):
        x.send("Put", {"credential": "api-key", "text": f"value {i}"})
    revisions = [x.reply()["revision"] for x in clients]
    assert sorted(revisions) == list(range(1, 31))
    last = revisions.index(30)
    nothing_but(agent.connect(BOB).call("Fetch", credential="api-key"), text=f"value {last}", revision=30)
    answers = serial(admin, [("Put", {"credential": "api-key", "text": "x"}), ("Forget", {"credential": "api-key"}),
                             ("Put", {"credential": "other", "text": "y"})] * 20)
    assert [a["revision"] for a in answers[::3]] == list(range(31, 51))
    assert [a["revision"] for a in answers[2::3]] == list(range(1, 21))
    agent.kill()
    agent.start()
    assert agent.connect(BOB).error("Fetch", credential="api-key").name == "CredentialEmpty"


@test(needs=[root])
def a_put_that_can_not_be_kept_changes_nothing():
    agent = Agent(policy=POLICY)

    def small():
        import peers
        peers.own_mounts()
        os.makedirs(agent.var, exist_ok=True)
        peers.mount("tmpfs", agent.var, "tmpfs", 0, f"size=1m,mode=0755,uid={agent.uid},gid={agent.uid}")

    agent.start(setup=small)
    admin, c = agent.admin(), agent.connect(BOB)
    kept, revision, failed = b"kept", 1, 0
    admin.call("Put", credential="api-key", data=b64(kept))
    for i in range(60):
        # What grows fills the disk; a small one may fit again.
        value = os.urandom(VALUE_MAX if i % 3 else 100)
        try:
            put = admin.call("Put", credential="api-key" if i % 2 else "other", data=b64(value))["revision"]
            if i % 2:
                kept, revision = value, put
        except Error as e:
            assert e.name == "StoreFailed", e
            failed += 1
        nothing_but(c.call("Fetch", credential="api-key"), data=b64(kept), revision=revision)
        fill = os.path.join(f"/proc/{agent.pid}/root", agent.state.lstrip("/"), f"fill{i}")
        if i == 20:
            with contextlib.suppress(OSError), open(fill, "wb") as f:
                while True:
                    f.write(bytes(4096))
    assert failed, "the disk never was full"


# ---- what is left behind -------------------------------------------------------------------------

def memory_of(pid):
    """Every byte of a process that root can read."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode = line.split()[:2]
            if "r" not in mode or "[v" in line:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            with contextlib.suppress(OSError, OverflowError):
                mem.seek(start)
                yield mem.read(end - start)


def forms(value):
    """As it is, and as it would be in JSON, hex or base64 at any of three places."""
    yield value
    yield value.hex().encode()
    for skip in range(3):
        yield base64.b64encode(value[skip:])[:-4]


def is_in_memory(agent, values):
    needles = [n for v in values for n in forms(v)]
    return [n for block in memory_of(agent.pid) for n in needles if n in block]


@test(needs=[root], timeout=120)
def a_value_is_in_no_memory_that_root_can_read_nor_on_the_disk():
    agent, admin = start()
    c = agent.connect(BOB)
    values = []
    for i in range(6):
        values.append(os.urandom(24).hex().encode() * 3)
        put = {"text": values[-1].decode()} if i % 2 else {"data": b64(values[-1])}
        admin.call("Put", credential="api-key", **put)
        # A reply of a few KiB, one with escapes, one that waits, one as a descriptor.
        c.call("Fetch", credential="api-key")
        os.close(fetch_fd(c, "api-key")[1])
        serial(c, [("Fetch", {"credential": "api-key"})] * 200)
    minted = [c.call("Fetch", credential="fresh")["text"].encode() for _ in range(3)]
    assert not is_in_memory(agent, values + [m[18:61] for m in minted])
    # The name is there: the search finds what there is.
    assert is_in_memory(agent, [b"api-key"])
    admin.call("Forget", credential="api-key")
    agent.stop()
    agent.start()
    assert not is_in_memory(agent, values)
    for path, data in agent.files().items():
        assert not any(v in data for v in values), path
        assert not SECRET.search(data)
    assert not any(v.decode() in agent.log() for v in values)


@test
def a_value_is_in_no_error_and_no_log():
    agent, admin = start()
    secret = "sk-" + os.urandom(16).hex()
    for parameters in ({"credential": "nothing", "text": secret}, {"credential": "fresh", "text": secret},
                       {"credential": "api-key", "text": secret, "expiresUSec": 1},
                       {"credential": "api-key", "text": secret, "data": secret}, {"credential": "api-key", "data": secret},
                       {"credential": "api-key", "text": secret, "more": 1}):
        assert secret not in str(admin.error("Put", **parameters))
    assert secret not in agent.log()


main()
