#!/usr/bin/env -S python3 -B
"""What calls cost in system calls of their connections: one that receives and one that sends, however many of
them come at once, over one connection or over many."""

import collections
import json
import os
import re
import shutil
import signal
import socket
import subprocess

from jeton import Agent, main, root, test, wait_until
from search import whole_build

AT_ONCE = 64
MANY = 100
POLICY = "[Access]\nUser=*\nScope=a/**:*\n"


def strace():
    """A need."""
    return None if shutil.which("strace") else "no strace"


class Counted:
    """An agent with a token, under strace: what its connections' calls were between two moments."""

    def __init__(self):
        self.agent = Agent(policy=POLICY).start()
        self.own = self.agent.connect()
        token = self.own.call("Issue", name="n", scopes=["a/b:r"])["token"]
        self.message = json.dumps({"method": "io.jeton.Agent.Verify",
                                   "parameters": {"token": token, "scopes": ["a/b:r"]}}).encode() + b"\0"
        self.path = f"{self.agent.dir}/../calls"
        self.tracer = subprocess.Popen(["strace", "-f", "-qq", "-s", "0", "-e", "trace=recvmsg,sendto,sendmsg",
                                        "-o", self.path, "-p", str(self.agent.pid)], stdin=subprocess.DEVNULL)
        wait_until(self.is_traced, "strace")

    def is_traced(self):
        with open(f"/proc/{self.agent.pid}/status") as f:
            return "\nTracerPid:\t0\n" not in f.read()

    def ask(self, n):
        self.own.sock.sendall(self.message * n)
        for _ in range(n):
            assert "parameters" in self.own.receive()

    def ask_all(self, clients):
        """One call of each at once."""
        os.kill(self.agent.pid, signal.SIGSTOP)
        for client in clients:
            client.sock.sendall(self.message)
        os.kill(self.agent.pid, signal.SIGCONT)
        for client in clients:
            assert "parameters" in client.receive()

    def tried(self):
        """How often something was to be received so far, whatever came of it."""
        with open(self.path) as f:
            return len(re.findall(r"recvmsg\(", f.read()))

    def stop(self):
        """{call: how often it moved anything}."""
        self.own.close()
        self.agent.stop()
        self.tracer.wait(60)
        with open(self.path) as f:
            return collections.Counter(m[1] for m in re.finditer(r"(recvmsg|send\w+)\b[^\n]* = [1-9]\d*$", f.read(), re.M))


@test(needs=[root, strace, whole_build])
def a_call_that_is_made_alone_is_received_at_once_and_sent_at_once():
    c = Counted()
    for _ in range(100):
        c.ask(1)
    calls = c.stop()
    assert calls["recvmsg"] == 100 and calls["sendto"] == 100 and calls["sendmsg"] <= 3, calls


@test(needs=[root, strace, whole_build])
def the_replies_to_calls_that_came_at_once_are_sent_at_once():
    c = Counted()
    for _ in range(10):
        c.ask(AT_ONCE)
    calls = c.stop()
    # What was received is looked at by 4 KiB. A batch is one send, or two where a round of calls ends in it.
    assert calls["recvmsg"] <= 10 * (2 + AT_ONCE * len(c.message) // 4096), calls
    assert calls["sendto"] <= 2 * 10, calls


@test(needs=[root, strace, whole_build])
def calls_of_many_connections_at_once_are_each_received_once_and_sent_once():
    c = Counted()
    clients = [c.agent.connect() for _ in range(MANY)]
    c.ask_all(clients)
    before = c.tried()
    for _ in range(10):
        c.ask_all(clients)
    # Nothing is received in vain either, though some of them must wait for the round after.
    tried = c.tried() - before
    calls = c.stop()
    assert 10 * MANY <= tried <= 10 * MANY + 20, tried
    assert calls["recvmsg"] == 11 * MANY and 11 * MANY <= calls["sendto"] <= 11 * MANY + 3, calls


@test()
def who_has_gone_after_asking_is_answered_and_others_are_too():
    agent = Agent(policy=POLICY).start()
    own = agent.connect()
    call = {"method": "io.jeton.Agent.Verify",
            "parameters": {"token": own.call("Issue", name="n", scopes=["a/b:r"])["token"], "scopes": ["a/b:r"]}}
    message = json.dumps(call, separators=(",", ":")).encode() + b"\0"
    clients = [agent.connect() for _ in range(MANY)]
    os.kill(agent.pid, signal.SIGSTOP)
    for i, client in enumerate(clients):
        client.sock.sendall(message if i % 5 != 3 else message[:-20])
        if i % 5 == 1:
            client.sock.shutdown(socket.SHUT_WR)
        if i % 5 == 2:
            client.close()
        if i % 5 == 3:
            client.sock.sendall(message[-20:] + message)
    os.kill(agent.pid, signal.SIGCONT)
    for i, client in enumerate(clients):
        for _ in range({2: 0, 3: 2}.get(i % 5, 1)):
            assert client.receive()["parameters"]["access"] == ["a/b:r"]
        if i % 5 == 1:
            assert client.sock.recv(1) == b""
    assert own.call("GetStatus")["connections"] == 1 + sum(i % 5 not in (1, 2) for i in range(MANY))


main()
