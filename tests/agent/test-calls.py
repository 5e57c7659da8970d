#!/usr/bin/env -S python3 -B
"""What is secret is in no argument of a system call but those that take it in and give it out: the reads and sends of
connections, and the master key's of its own file."""

import re
import shutil
import subprocess

import memory
import search
from everything import EVERYTHING, World, do, issue, locked_and_unlocked, put
from jeton import main, root, test, wait_until

CALL = re.compile(rb"^(\d+) +(?:(\w+)\((?:\d+<([^>]*)>)?|<\.\.\. (\w+) resumed>)")
STRING = re.compile(rb'"((?:\\x[0-9a-f]{2})+)"')


def unescaped(text):
    return bytes.fromhex(text.replace(b"\\x", b"").decode()) if text.startswith(b"\\x") else text


def is_own(call, what):
    """Whether it is its way: a connection's, the master key's, or where chance comes from."""
    if call.startswith((b"recv", b"send")):
        return what.startswith(b"socket:")
    # A value that is fetched as a descriptor goes into a file in memory of its own.
    return call == b"getrandom" or b"/master.key" in what or (call == b"pwrite64" and what.startswith(b"/memfd:credential"))


def strace():
    """A need."""
    return None if shutil.which("strace") else "no strace"


class Traced(World):
    """World, with each system call of it in a file, strings in full."""

    def start(self):
        self.agent._trace = self.trace
        self.calls = getattr(self, "calls", 0)
        super().start()

    def trace(self):
        self.calls += 1
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-xx", "-y", "-s", "300000", "-e", "trace=!futex,epoll_wait",
                                   "-o", f"{self.agent.dir}/../calls-{self.calls}", "-p", str(self.agent.pid)],
                                  stdin=subprocess.DEVNULL)

        def is_traced():
            with open(f"/proc/{self.agent.pid}/status") as f:
                return "\nTracerPid:\t0\n" not in f.read()
        wait_until(is_traced, "strace")
        return tracer

    def lines(self):
        for n in range(1, self.calls + 1):
            with open(f"{self.agent.dir}/../calls-{n}", "rb") as f:
                yield from f

    def strings(self):
        """Of each call: its name, whether it is its own way, and the strings among its arguments."""
        under_way = {}
        for line in self.lines():
            if not (match := CALL.match(line)):
                continue
            pid, call, what, resumed = match.groups()
            if resumed:
                call, own = resumed, under_way.pop(pid, False)
            else:
                own = is_own(call, unescaped(what or b""))
            if line.rstrip().endswith(b"<unfinished ...>"):
                under_way[pid] = own
            yield call.decode(), own, b"\n".join(map(unescaped, STRING.findall(line)))

    def found_in(self, own, needles):
        """{name: [calls]} of needles in the calls that are, or are not, their own way."""
        texts = {}
        for call, is_its_own, strings in self.strings():
            if is_its_own == own:
                texts.setdefault(call, []).append(strings)
        return needles.among((call, b"\n".join(strings)) for call, strings in texts.items())


@test(needs=[root, strace, search.whole_build], timeout=200)
def no_value_passphrase_or_key_is_in_any_argument_of_a_call_but_those_that_take_and_give_it():
    w = Traced(setup=memory.readable)
    for operation in EVERYTHING:
        do(w, operation)
    for _ in locked_and_unlocked(w):
        pass
    w.agent.stop()
    assert (found := w.found_in(False, w.needles)) == {}, found
    assert (found := w.found_in(False, w.kept)) == {}, found
    # The eye sees: each kind went in or out.
    seen = {name.split()[0] for name in w.found_in(True, w.needles)}
    assert seen >= {"issue", "derive", "verify", "rotate", "put", "fetch", "lock", "locked"}, seen


@test(needs=[root, strace, search.whole_build], timeout=100)
def what_an_agent_that_leaks_writes_elsewhere_is_seen():
    w = Traced(leaks=True)
    for operation in (issue, put):
        do(w, operation)
    w.agent.kill()
    found = w.found_in(False, w.needles)
    assert any(name.startswith("issue ") and calls == ["write"] for name, calls in found.items()), found


main()
