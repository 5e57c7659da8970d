"""Programs that load an agent (load.c), and what is measured of the agent meanwhile."""

import contextlib
import os
import subprocess
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "agent"))

import tap  # noqa: E402,F401
from jeton import BOB, Agent, program  # noqa: E402

# Hostile users, from this one on.
HOSTILE = 31000


class Program:
    """load.c's, told and heard line by line."""

    def __init__(self, *arguments):
        self.child = subprocess.Popen([program("tests/load/load"), *map(str, arguments)], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def line(self):
        line = self.child.stdout.readline()
        assert line, f"the load program ended with {self.child.wait()}"
        return line.strip()

    def tell(self, text):
        self.child.stdin.write(f"{text}\n")
        self.child.stdin.flush()

    def end(self):
        """Has it end; the last that it says."""
        said, _ = self.child.communicate("\n", timeout=300)
        assert self.child.returncode == 0, (self.child.returncode, said)
        return said.strip()


class Asker(Program):
    """Who is to be served."""

    def __init__(self, agent, uid=BOB):
        super().__init__("ask", agent.socket, uid)
        assert self.line() == "ready"

    def ask(self, n):
        """n calls of Verify: µs of the median, of the 99th of 100, of the worst, of nine of ten new connections, and
        how many were refused."""
        self.tell(n)
        return tuple(int(word) for word in self.line().split())


class Hostile:
    """n connections of a kind, by `users` of them."""

    def __init__(self, agent, kind, n, pace=0, users=1, first=HOSTILE):
        self.programs = [Program(kind, agent.socket, first + i, n // users, pace // users)
                         for i in range(users)]
        said = [p.line() for p in self.programs]
        counts = [[int(word.split()[0]) for word in line.split(", ")] for line in said]
        self.standing, self.refused, self.told = map(sum, zip(*counts))

    def end(self):
        """How often they did what they do."""
        return sum(int(p.end()) for p in self.programs)


def in_front(name):
    """The environment of an agent that has tests/load/NAME.c in front of libc."""
    path = f"{tap.scratch()}/{name}.so"
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", path, f"{here}/{name}.c"], check=True)
    os.chmod(path, 0o755)
    # Of a build with sanitizers theirs wants to be first, and is there anyway.
    return {"LD_PRELOAD": path, "ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:verify_asan_link_order=0"}


# ---- what it takes -------------------------------------------------------------------------------

class Group:
    """A control group of the agent's own, where one can be made: the kernel's memory is counted by it."""

    def __init__(self, pid):
        self.path = None
        for parent, counter in (("/sys/fs/cgroup/memory", "memory.usage_in_bytes"),
                                ("/sys/fs/cgroup", "memory.current")):
            path = f"{parent}/jeton-load-{os.getpid()}"
            with contextlib.suppress(OSError):
                os.mkdir(path)
                if not os.path.exists(f"{path}/{counter}"):
                    os.rmdir(path)
                    continue
                with open(f"{path}/cgroup.procs", "w") as f:
                    f.write(str(pid))
                self.path, self.counter = path, f"{path}/{counter}"
                return

    def bytes(self):
        """What is charged to it, or None. Pages of files that were read are in it."""
        if not self.path:
            return None
        with open(self.counter) as f:
            return int(f.read())

    def limit(self, n):
        """No more than so many bytes: who needs another one is killed."""
        name = "memory.max" if self.counter.endswith("current") else "memory.limit_in_bytes"
        with open(f"{self.path}/{name}", "w") as f:
            f.write(str(n))

    def end(self):
        """Once nothing runs in it."""
        if self.path:
            os.rmdir(self.path)
            self.path = None


def status_fields(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def resident(pid):
    """Bytes, locked ones and those of memfd_secret among them."""
    return int(status_fields(pid)["VmRSS"].split()[0]) * 1024
