"""Agents that are killed, or whose calls fail, at the very system call that a test names: the other
half of strike.c."""

import atexit
import contextlib
import functools
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "agent"))

import tap  # noqa: E402
from jeton import AGENT_UID, BUILD, IS_ROOT, Agent  # noqa: E402


def why_not():
    """A test's need."""
    if platform.machine() != "x86_64":
        return "calls are struck on x86-64 only"
    if os.environ.get("JETON_TRACE"):
        return "another looks on already"
    with open(os.path.join(BUILD, "jetond"), "rb") as f:
        if b"san_init" in f.read():
            return "a build with sanitizers, which want no tracer"
    return None


@functools.cache
def made(source, *flags):
    """What is compiled of a file beside this one; one for all tests of this process and those it starts."""
    directory = os.environ.get("JETON_STRIKE") or tempfile.mkdtemp(prefix="jeton-strike-", dir="/tmp")
    path = os.path.join(directory, source.removesuffix(".c"))
    if not os.path.exists(path):
        subprocess.run([os.environ.get("CC", "cc"), "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
                        "-Werror", os.path.join(HERE, source), "-o", path, *flags], check=True)
    if not os.environ.get("JETON_STRIKE"):
        os.chmod(directory, 0o755)
        owner = os.getpid()
        atexit.register(lambda: os.getpid() == owner and shutil.rmtree(directory))
        os.environ["JETON_STRIKE"] = directory
    return path


def strike_program():
    return made("strike.c", "-lseccomp")


def fast_directory():
    """Where a sync costs nothing, as these tests are not about power cuts; goes with the test."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tap.scratch()
    path = tempfile.mkdtemp(prefix="jeton-", dir=place)
    os.chmod(path, 0o755)
    return path


class Struck(Agent):
    """An agent under strike. With at_start it is armed as it starts, else by arm()."""

    def __init__(self, settings="", policy=""):
        super().__init__(settings, policy)
        self.fast = fast_directory()
        self.var = f"{self.fast}/var"
        self.state, self.anchor = f"{self.var}/state", f"{self.var}/anchor"
        os.mkdir(self.var, 0o755)
        if IS_ROOT:
            os.chown(self.var, AGENT_UID, AGENT_UID)
        self.at_start = None
        self.is_traced = True

    def _trace(self):
        if not self.is_traced:
            return None
        tracer = subprocess.Popen([strike_program(), str(self.pid), self.var], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True, bufsize=1)
        self.tracer, self.is_killed = tracer, False
        self._hear("seized")
        if self.at_start:
            self._arm(self.at_start)
        return tracer

    def _hear(self, word):
        """The words behind this one, once it is told; None where the process is killed before."""
        while not self.is_killed:
            line = self.tracer.stdout.readline().split()
            if line and line[0] == word:
                return line[1:]
            self.is_killed = not line or line[0] in ("gone", "killed")
        return None

    def _tell(self, line):
        with contextlib.suppress(BrokenPipeError):
            self.tracer.stdin.write(line + "\n")
            self.tracer.stdin.flush()

    def _arm(self, line):
        self._tell(line)
        return self._hear("armed") is not None

    def arm(self, what, name="-", at=0, error=0, more=False):
        """From now on; see strike.c. False: it is gone already."""
        return self._arm(f"{what} {name} {at} {int(error)} {int(more)}")

    def off(self):
        """(how often it struck, how often a poisoned file was written to,
        {name: (calls, of them on the state)}), or None where it was killed."""
        self._tell("off")
        words = self._hear("off")
        if words is None:
            return None
        counts = {}
        for word in words[2:]:
            name, _, n = word.partition("=")
            counts[name] = tuple(map(int, n.split("/")))
        return int(words[0]), int(words[1]), counts

    def reaped(self):
        """Waits for the end of one that was killed."""
        status = self.wait()
        assert status == -signal.SIGKILL, f"ended with {status}: {self.log()[-2000:]}"

    # ---- its files, to begin again from

    def keep(self):
        """A copy of its state, and of the anchor that is kept apart from it, as they are now."""
        copy = tempfile.mkdtemp(prefix="image-", dir=self.fast)
        shutil.copytree(self.var, copy, dirs_exist_ok=True)
        return copy

    def give(self, copy):
        """Makes them what that copy is; None: nothing."""
        shutil.rmtree(self.var, ignore_errors=True)
        if copy is None:
            os.mkdir(self.var, 0o755)
        else:
            shutil.copytree(copy, self.var)
        for path, _, names in os.walk(self.var):
            for one in [path, *(os.path.join(path, n) for n in names)]:
                if IS_ROOT:
                    os.chown(one, AGENT_UID, AGENT_UID)

    def clear(self):
        """After the last use of it."""
        if self.pid:
            self.kill()
        shutil.rmtree(self.fast, ignore_errors=True)
