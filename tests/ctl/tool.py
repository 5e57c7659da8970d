"""Runs jetonctl, with pipes or on a terminal of its own, against a fake agent."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for folder in ("agent", "support"):
    sys.path.append(os.path.join(TOP, "tests", folder))

import tap  # noqa: E402
from fake_agent import FakeAgent, value_of  # noqa: E402
from tap import scratch  # noqa: E402

BUILD = os.path.join(TOP, os.environ.get("JETON_BUILD", "build"))
JETONCTL = os.path.join(BUILD, "jetonctl")
SECRET = re.compile(r"jeton_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}")
# No token of any agent's, but of the right form.
STRANGER = value_of("0000000000A", "1" * 43)


def environment(**more):
    """What the tool sees: nothing of who runs the tests."""
    env = {"PATH": "/usr/bin:/bin", "HOME": scratch(), "LC_ALL": "C.UTF-8", "TZ": "UTC",
           "TERM": "xterm", "XDG_RUNTIME_DIR": scratch()}
    env |= {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
    return env | more


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}\nout: {self.out}\nerr: {self.err}"

    def has(self, status, out=None, err=None):
        """Holds where the status is this and the texts match these patterns; gives itself."""
        assert self.status == status, f"status {status} expected: {self}"
        for name, pattern in (("out", out), ("err", err)):
            text = getattr(self, name)
            assert pattern is None or re.search(pattern, text), f"{name}: no {pattern!r} in {self}"
        return self


class Tool:
    """The tool and an agent to ask, of one test."""

    def __init__(self):
        self.socket = os.path.join(scratch(), "agent.sock")
        self.agent = FakeAgent(self.socket)
        tap.AT_END.append(self._calls_were_right)

    def _calls_were_right(self):
        assert not self.agent.bad_calls, self.agent.bad_calls

    def __call__(self, *words, stdin="", env=None, stdout=None, timeout=100, text=True):
        return run("--socket", self.socket, *words, stdin=stdin, env=env, stdout=stdout,
                   timeout=timeout, text=text)

    def terminal(self, *words, **how):
        return Terminal("--socket", self.socket, *words, **how)


def run(*words, stdin="", env=None, stdout=None, timeout=100, text=True):
    """stdin: text, or a descriptor."""
    given = {"stdin": stdin} if isinstance(stdin, int) else {
        "input": stdin if isinstance(stdin, bytes) else stdin.encode()}
    done = subprocess.run([JETONCTL, *words], stdout=stdout or subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment(**(env or {})),
                          timeout=timeout, **given)
    out = (done.stdout or b"").decode(errors="backslashreplace") if text else done.stdout
    return Result(done.returncode, out, done.stderr.decode(errors="backslashreplace"))


class Terminal:
    """The tool on a terminal. `said` is all that it showed."""

    def __init__(self, *words, env=None, columns=100, stdout=None, as_job=False):
        """as_job: as a job of a shell's, which ^Z stops and resume() lets go on."""
        self.said = ""
        env = environment(COLUMNS=str(columns), **(env or {}))
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                if stdout is not None:
                    os.dup2(stdout, 1)
                if as_job:
                    _be_shell()
                os.execve(JETONCTL, [JETONCTL, *words], env)
            finally:
                os._exit(126)

    def hold(self):
        """Keeps the terminal there after its last process has gone."""
        return os.open(os.readlink(f"/proc/{self.pid}/fd/0"), os.O_RDWR | os.O_NOCTTY)

    def resume(self):
        self.signal(signal.SIGUSR1)

    def read(self, until, timeout=100):
        """Reads until the pattern has come."""
        end = time.monotonic() + timeout
        while not re.search(until, self.said):
            left = end - time.monotonic()
            if left < 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"waited in vain for {until!r} in {self.said!r}")
            try:
                piece = os.read(self.fd, 65536)
            except OSError:
                piece = b""
            if not piece:
                raise AssertionError(f"ended without {until!r}: {self.said!r}")
            self.said += piece.decode(errors="backslashreplace")
        return self.said

    def write(self, text):
        os.write(self.fd, text.encode())

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def signal(self, number):
        os.kill(self.pid, number)

    def _hear(self):
        """Whether there was more to read."""
        piece = b""
        with contextlib.suppress(OSError):
            if select.select([self.fd], [], [], 0.01)[0]:
                piece = os.read(self.fd, 65536)
        self.said += piece.decode(errors="backslashreplace")
        return bool(piece)

    def wait(self, timeout=100):
        """To its end: its exit status, or minus the signal."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self._hear():
                continue
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                # What it said last, after the look before.
                while self._hear():
                    pass
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        raise AssertionError(f"still running: {self.said!r}")


def _be_shell():
    """Returns in a child that is the terminal's foreground job; looks after it as a shell would."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        return
    while True:
        _, status = os.waitpid(job, os.WUNTRACED)
        os.tcsetpgrp(0, os.getpgrp())
        if not os.WIFSTOPPED(status):
            os._exit(os.waitstatus_to_exitcode(status) & 0xff)
        os.write(2, b"[stopped]\r\n")
        signal.sigwait([signal.SIGUSR1])
        os.tcsetpgrp(0, job)
        os.killpg(job, signal.SIGCONT)
