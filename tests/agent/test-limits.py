#!/usr/bin/env -S python3 -B
"""What is bounded: tokens, children, connections, memory, descriptors. Who comes to a bound hears
of it, and everybody else is served as before."""

import array
import contextlib
import fcntl
import json
import os
import resource
import shutil
import signal
import subprocess
import termios
import threading
import time

from jeton import (ALICE, BOB, Agent, Client, Closed, Error, main, peer, root, serial,
                   test, wait_until)

MIB = 1 << 20


def memlock(n):
    return {resource.RLIMIT_MEMLOCK: n}


def limit_reached(answer, n=None):
    assert isinstance(answer, Error) and answer.name == "LimitReached", answer
    assert answer.limit and (n is None or answer.max == n), answer


# ---- tokens --------------------------------------------------------------------------------------

@test
def a_user_has_at_most_maxtokensperuser_active_tokens():
    c = Agent("MaxTokensPerUser=5").start().connect()
    answers = [c.call("Issue", name="n") for _ in range(5)]
    limit_reached(c.error("Issue", name="n"), 5)
    limit_reached(c.error("Derive", token=answers[0]["token"], name="c"), 5)
    c.call("Revoke", id=answers[0]["info"]["id"])
    assert c.call("Issue", name="n")
    limit_reached(c.error("Issue", name="n"), 5)


@test
def the_limit_of_tokens_holds_for_calls_at_once():
    agent = Agent("MaxTokensPerUser=10").start()
    clients = [agent.connect() for _ in range(64)]
    for c in clients:
        c.send("Issue", {"name": "n"})
    good = 0
    for c in clients:
        try:
            c.reply()
            good += 1
        except Error as e:
            limit_reached(e, 10)
    assert good == 10 and len(clients[0].list(state="active")) == 10


@test(needs=[root])
def one_users_limit_is_not_anothers():
    agent = Agent("MaxTokensPerUser=2").start()
    alice, bob = agent.connect(ALICE), agent.connect(BOB)
    for c in (alice, bob):
        c.call("Issue", name="n")
        c.call("Issue", name="n")
        limit_reached(c.error("Issue", name="n"), 2)


@test
def a_token_has_at_most_100_active_children():
    c = Agent().start().connect()
    parent = c.call("Issue", name="p")["token"]
    answers = serial(c, [("Derive", {"token": parent, "name": "c"})] * 101)
    assert all("info" in a for a in answers[:100])
    limit_reached(answers[100], 100)
    c.call("Revoke", id=answers[0]["info"]["id"])
    child = c.call("Derive", token=parent, name="c")
    limit_reached(c.error("Derive", token=parent, name="c"), 100)
    assert c.call("Derive", token=child["token"], name="grandchild")


@test
def a_rotation_makes_no_more_children_than_are_allowed():
    c = Agent().start().connect()
    parent = c.call("Issue", name="p")
    children = serial(c, [("Derive", {"token": parent["token"], "name": "c"})] * 100)
    for child in children[:5]:
        try:
            c.call("Rotate", id=child["info"]["id"], graceSec=100)
        except Error as e:
            limit_reached(e, 100)
    active = [t for t in c.list(state="active") if t.get("parent") == parent["info"]["id"]]
    assert len(active) <= 100, len(active)


@test
def who_has_all_tokens_allowed_may_still_rotate_one_without_grace():
    c = Agent("MaxTokensPerUser=3").start().connect()
    tokens = [c.call("Issue", name="n") for _ in range(3)]
    new = c.call("Rotate", id=tokens[0]["info"]["id"], graceSec=0)
    assert c.call("Verify", token=new["token"])
    assert len(c.list(state="active")) == 3
    limit_reached(c.error("Issue", name="n"), 3)


@test(needs=[root])
def an_administrator_gives_no_user_more_than_is_allowed():
    agent = Agent("MaxTokensPerUser=2").start()
    admin = agent.admin()
    for _ in range(2):
        admin.call("Issue", name="n", ownerUid=ALICE)
    limit_reached(admin.error("Issue", name="n", ownerUid=ALICE), 2)
    assert admin.call("Issue", name="n", ownerUid=BOB)


# ---- memory --------------------------------------------------------------------------------------

def fill(agent, most):
    """Issues over many connections, so that many are kept by one sync, until that fails: the
    tokens, and the error."""
    clients = [agent.connect() for _ in range(64)]
    tokens = []
    call = Client.encode("Issue", {"name": "sixteen-bytes-is", "scopes": ["acme/risk:read"]}) * 16
    while len(tokens) < most:
        for c in clients:
            c.send_bytes(call)
        answers = [json.loads(c.receive_text()) for c in clients for _ in range(16)]
        tokens += [a["parameters"] for a in answers if "error" not in a]
        errors = [a for a in answers if "error" in a]
        if errors:
            assert {e["error"] for e in errors} == {"io.jeton.Agent.LimitReached"}, errors[0]
            return tokens, errors[0]["parameters"]
    raise AssertionError(f"{len(tokens)} tokens, and no limit")


def goes_on_when_full(agent, c, tokens):
    for t in (tokens[0], tokens[-1]):
        assert c.call("Verify", token=t["token"], scopes=["acme/risk:read"])
    assert c.call("GetStatus")["tokensActive"] == len(tokens)
    for t in tokens[:100]:
        c.call("Revoke", id=t["info"]["id"])
    for _ in range(50):
        c.call("Issue", name="sixteen-bytes-is", scopes=["acme/risk:read"])
    assert agent.connect().call("GetStatus")["state"] == "running"


FULL = "MaxTokensPerUser=1000000\nMemoryLimit="
REACH = f"[Access]\nUser={ALICE}\nScope=acme/risk:read\n"


@test(timeout=120)
def a_full_arena_is_limit_reached_and_the_agent_goes_on():
    agent = Agent(FULL + "4M", REACH).start(lockable=True)
    c = agent.connect()
    tokens, error = fill(agent, 200000)
    assert error == {"limit": "MemoryLimit", "max": 4 * MIB}, error
    goes_on_when_full(agent, c, tokens)


@test(timeout=120)
def a_token_of_a_16_byte_name_and_one_scope_costs_at_most_160_bytes():
    agent = Agent(FULL + "8M", REACH).start(lockable=True)
    tokens, _ = fill(agent, 200000)
    assert len(tokens) >= 8 * MIB // 160 * 0.97, f"{8 * MIB / len(tokens):.1f} bytes a token"


@test(timeout=120, needs=[root])
def locked_memory_that_runs_out_is_limit_reached_and_the_agent_goes_on():
    agent = Agent(FULL + "256M", REACH).start(limits=memlock(8 * MIB))
    c = agent.connect()
    status = c.call("GetStatus")
    assert status["memory"] in ("secretmem", "locked")
    assert status["lockedLimit"] <= 8 * MIB
    tokens, error = fill(agent, 100000)
    assert error["limit"] and error["max"] <= 8 * MIB, error
    assert c.call("GetStatus")["lockedBytes"] <= 8 * MIB
    goes_on_when_full(agent, c, tokens)


@test
def the_status_tells_of_locked_memory():
    status = Agent("MemoryLimit=16M").start(lockable=True).connect().call("GetStatus")
    assert 0 < status["lockedBytes"] <= status["lockedLimit"]
    assert status["memory"] in ("secretmem", "locked")


@test(needs=[root])
def too_little_lockable_memory_stops_the_start_with_the_figure_needed():
    for n in (0, 4096, 65536):
        said = Agent().fails_to_start(limits=memlock(n))
        assert any(word.strip("(),.;:").rstrip("KMGTiB").isdigit() for word in said.split()), said
        assert "MEMLOCK" in said.upper(), said


@test(needs=[root])
def memory_is_pageable_only_where_the_settings_allow_it():
    agent = Agent("AllowUnlocked=yes").start(limits=memlock(0))
    c = agent.connect()
    assert c.call("GetStatus")["memory"] == "unlocked"
    assert c.call("Verify", token=c.call("Issue", name="n")["token"])
    assert "lock" in agent.log().lower()
    agent.stop()
    agent = Agent("AllowUnlocked=yes").start(lockable=True)
    assert agent.connect().call("GetStatus")["memory"] != "unlocked"


# ---- connections ---------------------------------------------------------------------------------

def serves(client):
    """Whether the connection is served: True, or False where it is refused clearly."""
    try:
        client.send("GetStatus")
        client.reply()
        return True
    except (Closed, BrokenPipeError, ConnectionResetError):
        return False
    except Error as e:
        assert e.name in ("LimitReached", "PermissionDenied"), e
        return False


@test(needs=[root])
def a_user_has_at_most_maxconnectionsperuser_connections():
    agent = Agent("MaxConnectionsPerUser=10").start()
    clients = [agent.connect(ALICE) for _ in range(13)]
    served = [serves(c) for c in clients]
    assert served == [True] * 10 + [False] * 3, served
    assert serves(agent.connect(BOB)), "one user's connections are at another's cost"
    assert serves(agent.admin())
    clients[0].close()
    wait_until(lambda: serves(agent.connect(ALICE)), "a place that became free is given")


@test(needs=[root])
def of_all_connections_64_are_kept_for_administrators():
    agent = Agent("MaxConnections=200\nMaxConnectionsPerUser=100").start()
    clients = [agent.connect(ALICE + n % 4) for n in range(140)]
    served = [serves(c) for c in clients]
    assert served == [True] * 136 + [False] * 4, served
    admins = [agent.admin() for _ in range(64)]
    assert all(serves(a) for a in admins)


@test(needs=[root], timeout=120)
def four_thousand_and_96_connections_stand_and_are_all_served():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    n = 4096
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    agent = Agent("MaxConnections=4200\nMaxConnectionsPerUser=4200").start(
        lockable=True, limits={resource.RLIMIT_NOFILE: hard})
    helper = peer(ALICE)
    clients = [Client(helper.connect(agent.socket)) for _ in range(n)]
    for c in clients:
        c.send("GetStatus")
    for c in clients:
        assert c.reply()["state"] == "running"
    assert clients[0].call("GetStatus")["connections"] >= n
    token = clients[0].call("Issue", name="n")["token"]
    for c in clients[::100]:
        assert c.call("Verify", token=token)
    for c in clients:
        c.close()
    wait_until(lambda: agent.admin().call("GetStatus")["connections"] < 10, "all are let go")


@test(needs=[root])
def idle_connections_of_one_user_delay_nobody_else():
    agent = Agent().start(lockable=True)
    bob = agent.connect(BOB)
    token = bob.call("Issue", name="n")["token"]

    def least():
        """What a call takes when nothing else is in its way: not the agent, and no other process."""
        times = []
        for _ in range(400):
            start = time.monotonic()
            bob.call("Verify", token=token)
            times.append(time.monotonic() - start)
        return min(times)

    before = least()
    idle = [agent.connect(ALICE) for _ in range(250)]
    assert serves(idle[0])
    assert (beside := least()) < before * 3, (before, beside)


@test
def all_who_ask_far_ahead_are_answered_however_many_they_are():
    agent = Agent().start()
    token = agent.connect().call("Issue", name="n")["token"]
    clients = [agent.connect() for _ in range(40)]
    calls = clients[0].encode("Verify", {"token": token}) * 1500
    threads = [threading.Thread(target=c.sock.sendall, args=(calls,)) for c in clients]
    for t in threads:
        t.start()
    # Each socket is full of replies before anybody reads.
    for c in clients:
        wait_until(lambda c=c: unread(c) > 10000, "replies lie unread")
    for c in clients:
        for _ in range(1500):
            assert "error" not in c.receive()
    for t in threads:
        t.join()


def unread(c):
    n = array.array("i", [0])
    fcntl.ioctl(c.sock, termios.FIONREAD, n)
    return n[0]


# ---- descriptors ---------------------------------------------------------------------------------

def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@test(needs=[root])
def running_out_of_descriptors_neither_spins_nor_stops_the_agent():
    agent = Agent("MaxConnectionsPerUser=1000").start(limits={resource.RLIMIT_NOFILE: 64})
    first = agent.connect(BOB)
    token = first.call("Issue", name="n")["token"]
    clients = [agent.connect(ALICE) for _ in range(150)]
    for c in clients[:20]:
        assert serves(c)
    assert first.call("Verify", token=token)
    before, start = cpu_seconds(agent.pid), time.monotonic()
    time.sleep(1.5)  # the time in which it must not be busy
    used = (cpu_seconds(agent.pid) - before) / (time.monotonic() - start)
    assert used < 0.2, f"{used:.0%} of a processor while nobody asks anything"
    assert first.call("Verify", token=token)
    assert first.call("Issue", name="n")
    for c in clients:
        c.close()
    wait_until(lambda: serves(agent.connect(ALICE)), "new clients are served again")
    assert len(agent.log().splitlines()) < 60, "a line for each refusal"


def strace():
    return None if shutil.which("strace") else "no strace"


@contextlib.contextmanager
def failing(agent, call, error):
    """All calls of this name fail in the agent with this error."""
    with open(f"{agent.dir}/../strace-{call}", "w", encoding="ascii") as said:
        tracer = subprocess.Popen(["strace", "-f", "-e", f"trace={call}", "-e", f"inject={call}:error={error}", "-p",
                                   str(agent.pid)], stdin=subprocess.DEVNULL, stderr=said)

    def calls():
        with open(said.name, encoding="utf-8", errors="replace") as f:
            return f.read().count("(INJECTED)")

    def is_traced():
        with open(f"/proc/{agent.pid}/status", encoding="ascii") as f:
            return "\nTracerPid:\t0\n" not in f.read()
    wait_until(is_traced, "strace")
    try:
        yield calls
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(60)


@test(needs=[root, strace], timeout=150)
def where_the_whole_machine_has_no_files_left_who_is_connected_is_served_and_others_wait_and_come_in():
    agent = Agent().start()
    first = agent.connect(BOB)
    token = first.call("Issue", name="n")["token"]
    with failing(agent, "accept4", "ENFILE") as calls:
        waiting = [agent.connect(ALICE) for _ in range(10)]
        wait_until(lambda: calls() > 0, "nobody can be let in")
        assert first.call("Verify", token=token) and first.call("Issue", name="m")
        before, start, used = calls(), time.monotonic(), cpu_seconds(agent.pid)
        wait_until(lambda: calls() > before + 4, "it tries again")
        took = time.monotonic() - start
        # As often as it rests, and twice each time: once with what it keeps for such a moment.
        assert calls() - before < 10 + 20 * took, f"{calls() - before} tries in {took:.2f} s"
        assert cpu_seconds(agent.pid) - used < 0.1 + took / 2
        assert first.call("Verify", token=token)
    assert all(serves(c) for c in waiting), "they come in"
    assert serves(agent.connect(ALICE))
    assert len(agent.log().splitlines()) < 20, "a line for each try"


@test(needs=[root])
def a_client_that_waits_for_a_descriptor_is_served_or_refused_but_not_forgotten():
    agent = Agent("MaxConnectionsPerUser=1000").start(limits={resource.RLIMIT_NOFILE: 64})
    clients = [agent.connect(ALICE) for _ in range(100)]
    assert serves(clients[0])
    for c in clients[:60]:
        c.close()
    for c in clients[60:]:
        serves(c)  # raises TimeoutError where nobody answers


main()
