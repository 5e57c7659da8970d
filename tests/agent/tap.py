"""Runs the tests of one file and prints TAP.

A test is a function whose name is the sentence that it proves, under @test. Each runs in a process
of its own, in a session of its own, several at once: what a test leaves behind (agents, helpers,
descriptors, files) ends with it, and one that hangs is ended alone.
"""

import contextlib
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import time
import traceback

TESTS = []
# What a test that has passed must pass as well, called at its end.
AT_END = []
# What is told of a test that has failed, by functions that print it.
AT_FAILURE = []
# A test's limit is what it may take on a quiet machine. One that hangs ends as surely a little later; one that only
# shares its processors with others is none.
PATIENCE = 5


class Skip(Exception):
    """Raised by a test that can't be made here; its text is the reason."""


class Test:
    def __init__(self, function, timeout, needs):
        self.function = function
        self.sentence = function.__name__.replace("_", " ").strip()
        self.timeout = timeout
        self.needs = needs
        self.pid = self.pipe = self.output = self.deadline = self.directory = None
        self.heard = b""


def test(function=None, *, timeout=60, needs=()):
    """Registers a test, which takes fewer seconds than that where nothing else runs. Each of `needs` is called and
    returns why it can't be had here, or None."""
    def register(f):
        TESTS.append(Test(f, timeout, needs))
        return f
    return register(function) if function else register


def scratch():
    """The directory of the test that runs: all may enter it, and it goes with the test."""
    return _current.directory


_current = None


@contextlib.contextmanager
def outside_of_tests(where="/tmp"):
    """scratch() for a program that is no test, in that directory."""
    global _current
    _current = Test(outside_of_tests, timeout=0, needs=())
    with tempfile.TemporaryDirectory(prefix="jeton-", dir=where) as _current.directory:
        os.chmod(_current.directory, 0o755)
        yield


def _run_here(t):
    """In the test's process: what came of it."""
    for need in t.needs:
        if reason := need():
            return "skip", reason
    try:
        t.function()
        for f in reversed(AT_END):
            f()
    except Skip as skip:
        return "skip", str(skip)
    except BaseException:  # SystemExit too: a test ends by returning
        traceback.print_exc()
        for f in AT_FAILURE:
            f()
        return "failed", ""
    return "ok", ""


def _start(t):
    global _current
    _current = t
    t.directory = tempfile.mkdtemp(prefix="jeton-", dir="/tmp")
    os.chmod(t.directory, 0o755)
    reader, writer = os.pipe()
    t.output = tempfile.TemporaryFile()
    sys.stdout.flush()
    t.pid = os.fork()
    if t.pid == 0:
        os.close(reader)
        os.setsid()
        os.dup2(t.output.fileno(), 1)
        os.dup2(t.output.fileno(), 2)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        result = _run_here(t)
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(writer, json.dumps(result).encode()[:4096])
        os._exit(0)
    os.close(writer)
    t.pipe = reader
    t.started = time.monotonic()
    t.deadline = t.started + PATIENCE * t.timeout


def _end(t, why=None):
    """The test has said what it had to, or its time is over: nothing of it stays."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(t.pid, signal.SIGKILL)
    _, status = os.waitpid(t.pid, 0)
    os.close(t.pipe)
    shutil.rmtree(t.directory, ignore_errors=True)
    try:
        kind, reason = json.loads(t.heard)
    except ValueError:
        kind, reason = "failed", why or f"its process ended with wait status {status}"
    t.output.seek(0)
    t.said = t.output.read().decode(errors="backslashreplace")
    t.output.close()
    t.kind, t.reason, t.took = kind, reason, time.monotonic() - t.started


def _print(number, t):
    if t.kind == "ok":
        print(f"ok {number} - {t.sentence}")
        # What it measured.
        for line in t.said.splitlines():
            if line.startswith("# "):
                print(line)
    elif t.kind == "skip":
        print(f"ok {number} - {t.sentence} # SKIP {t.reason}")
    else:
        print(f"not ok {number} - {t.sentence}")
        for line in [t.reason, *t.said.splitlines()]:
            if line:
                print(f"#   {line}")
    if t.took > 10:
        print(f"#   took {t.took:.0f} s")
    sys.stdout.flush()


def _chosen(arguments):
    words = [a.replace("_", " ") for a in arguments]
    return [t for t in TESTS if not words or any(w in t.sentence for w in words)]


def _wait(selector, running):
    """Takes in what running tests say, and ends those that are through or late."""
    wait = min(t.deadline for t in running) - time.monotonic()
    for key, _ in selector.select(max(0, wait)):
        t = key.data
        # It says all at once, or nothing: what it has started may hold the other end open for
        # longer.
        t.heard = os.read(t.pipe, 65536)
        selector.unregister(t.pipe)
        _end(t)
        running.remove(t)
    for t in [t for t in running if t.deadline < time.monotonic()]:
        selector.unregister(t.pipe)
        _end(t, f"not through after {PATIENCE * t.timeout} s")
        running.remove(t)


def main():
    """Runs the file's tests, or those whose sentence contains one of the arguments."""
    tests = _chosen(sys.argv[1:])
    jobs = int(os.environ.get("JETON_JOBS", "4"))
    # Those with the longest time limit first, so that nothing is waited for at the end.
    waiting = sorted(tests, key=lambda t: -t.timeout)
    running, printed = [], 0
    selector = selectors.DefaultSelector()
    print(f"1..{len(tests)}", flush=True)
    try:
        while printed < len(tests):
            while waiting and len(running) < jobs:
                t = waiting.pop(0)
                _start(t)
                selector.register(t.pipe, selectors.EVENT_READ, t)
                running.append(t)
            if running:
                _wait(selector, running)
            while printed < len(tests) and hasattr(tests[printed], "kind"):
                printed += 1
                _print(printed, tests[printed - 1])
    finally:
        for t in running:
            _end(t)
    sys.exit(any(t.kind == "failed" for t in tests))
