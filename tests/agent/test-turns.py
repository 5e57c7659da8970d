#!/usr/bin/env -S python3 -B
"""What calls cost in system calls of their connections: one that receives and one that sends, however many of
them come at once."""

import collections
import json
import re
import shutil
import subprocess

from jeton import Agent, main, root, test, wait_until
from search import whole_build

AT_ONCE = 64
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


main()
