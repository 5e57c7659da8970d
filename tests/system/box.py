"""Disposable machines with Jeton installed, and processes in them."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "tests", "agent"))

import tap  # noqa: E402

BUILD = os.path.join(TOP, os.environ.get("JETON_BUILD", "build"))
TOOL = os.path.join(TOP, "tests", "system", "systemd-box")
# Where the tree of the project is in a machine.
INSIDE = "/run/jeton-tests"
CLIENT = f"{INSIDE}/client.py"
# Any user may run it, which another in the PATH of whoever runs the tests need not be for.
PYTHON = "/usr/bin/python3"
SOCKET, CREDENTIALS = "/run/jeton/agent.sock", "/run/jeton/credential.sock"
SECRET = re.compile(r"jeton_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}")
FAILED_CREDENTIALS = "243"

# Set by installed(); tests run in processes that have it from there.
_tree = None


def why_not():
    """Why no machine can be had here, or None."""
    if os.getuid() != 0:
        return "needs root, to boot machines"
    with tempfile.TemporaryDirectory(prefix="jeton-box-") as directory:
        done = subprocess.run([TOOL, "run", "--timeout", "120", "true"], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, env=_environment(directory), timeout=150)
    if done.returncode == 0:
        return None
    return "no machine can be booted here: " + (done.stderr.strip() or "?").splitlines()[-1]


def _environment(directory):
    return {**os.environ, "SYSTEMD_BOX_DIR": f"{directory}/boxes", "LC_ALL": "C.UTF-8"}


@contextlib.contextmanager
def installed():
    """The result of `make install` that machines are given, for as long as tests run."""
    global _tree
    with tempfile.TemporaryDirectory(prefix="jeton-tree-") as directory:
        _tree = f"{directory}/tree"
        subprocess.run(["make", "-s", "-C", TOP, "install", f"B={BUILD}", f"DESTDIR={_tree}", "PREFIX=/usr",
                        "SYSCONFDIR=/etc"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        yield


class Failed(AssertionError):
    """A command in a machine ended with another status than 0."""


class Box:
    """A machine of one test, which ends with it."""

    _n = 0

    def __init__(self, policy="", settings="", root="/", start=True, bare=False, binds=()):
        """bare: with nothing of Jeton's. binds: what else is to be seen in it, as systemd-box has it."""
        # Control groups go by the name alone, whatever directory machines are noted in.
        Box._n += 1
        self.name = f"jeton-{os.getpid()}" + (f"-{Box._n}" if Box._n > 1 else "")
        self.environment = _environment(tap.scratch())
        tap.AT_END.insert(0, self.stop)
        tap.AT_FAILURE.insert(0, self._show)
        shown = [w for b in [f"{TOP}/tests/system:{INSIDE}:ro", *binds] for w in ("--bind", b)]
        if bare:
            self._tool("start", self.name, "--root", root, *shown, "--with", str(os.getpid()))
            return
        overlay = f"{tap.scratch()}/overlay-{Box._n}"
        os.makedirs(f"{overlay}/etc/jeton/policy.d")
        os.makedirs(f"{overlay}/etc/jeton/jeton.conf.d")
        self._put(f"{overlay}/etc/jeton/policy.d/test.policy", policy or "[Access]\nUser=root\nScope=a:read\n")
        if settings:
            self._put(f"{overlay}/etc/jeton/jeton.conf.d/test.conf", f"[Agent]\n{settings}\n")
        if root != "/":
            self._bring_libraries(overlay)
        self._tool("start", self.name, "--root", root, "--overlay", _tree, "--overlay", overlay,
                   *shown, "--with", str(os.getpid()))
        self.sh("systemd-sysusers && systemd-tmpfiles --create jeton.conf")
        if start:
            self.sh("systemctl start jetond.socket jetond-credential.socket")

    @staticmethod
    def _put(path, text):
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)

    @staticmethod
    def _bring_libraries(overlay):
        """Those that the programs are linked with, for a tree that has not all of them."""
        there = f"{overlay}/usr/lib/x86_64-linux-gnu"
        os.makedirs(there)
        for line in subprocess.check_output(["ldd", f"{BUILD}/jetond"], text=True).splitlines():
            if match := re.search(r"=> (\S*lib(?:sodium|sqlite3|inih)\.so\S*)", line):
                shutil.copy(os.path.realpath(match[1]), f"{there}/{os.path.basename(match[1])}")

    def _tool(self, *arguments, check=True, **how):
        how = {"stdin": subprocess.DEVNULL, "timeout": 200, **how} if "input" not in how else {"timeout": 200, **how}
        done = subprocess.run([TOOL, *arguments], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, **how)
        if check and done.returncode:
            raise Failed(f"{shlex.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def stop(self):
        """At the end of a test that has passed: no value was logged, and nothing of it is left."""
        log = self.journal()
        assert not SECRET.search(log), "a token's value is in the journal"
        self._tool("stop", self.name)

    def _show(self):
        print("the machine's journal:")
        print(*self.sh("journalctl -q --no-pager -o short-precise | tail -n 60", check=False).splitlines(), sep="\n")
        self._tool("stop", self.name, check=False)

    # ---- from outside

    @property
    def init(self):
        """The number of its first process."""
        with open(f"{self.environment['SYSTEMD_BOX_DIR']}/{self.name}/init", encoding="ascii") as f:
            return int(f.read())

    @property
    def upper(self):
        """The directory of what it has written over its tree. Only who stands above its first process sees it."""
        with open(f"/proc/{self.init}/stat", encoding="ascii") as f:
            above = f.read().rpartition(")")[2].split()[1]
        return f"/proc/{above}/root{self.environment['SYSTEMD_BOX_DIR']}/{self.name}/mnt/upper"

    # ---- commands

    @staticmethod
    def _how(user, unit, login, properties):
        options = ["--user", user] if user else []
        options += ["--unit", unit] if unit else []
        options += ["--login"] if login else []
        for p in properties:
            options += ["--property", p]
        return options

    def run(self, *command, user=None, unit=None, login=False, properties=(), check=True, input=None):
        how = {"input": input} if input is not None else {}
        return self._tool("exec", self.name, *self._how(user, unit, login, properties), "--", *command,
                          check=check, **how)

    def sh(self, script, **how):
        """What the script writes to standard output."""
        return self.run("sh", "-c", script, **how).stdout

    def write(self, path, text, mode="0644"):
        self.run("sh", "-c", f"umask 077; cat >{path}.new && chmod {mode} {path}.new && mv {path}.new {path}",
                 input=text)

    def service(self, name, *lines):
        """A unit file with these lines of [Service]."""
        self.write(f"/run/systemd/system/{name}", "[Service]\n" + "\n".join(lines) + "\n")
        self.sh("systemctl daemon-reload")

    def status(self, unit):
        """How its last run ended: (Result, ExecMainStatus)."""
        lines = self.sh(f"systemctl show -p Result,ExecMainStatus '{unit}'").splitlines()
        shown = dict(line.split("=", 1) for line in lines)
        return shown["Result"], shown["ExecMainStatus"]

    def journal(self, unit="jetond.service"):
        # What services wrote may be on its way.
        return self.sh(f"journalctl --sync; journalctl -q --no-pager -o cat -u '{unit}'", check=False)

    def logged(self, pattern, unit="jetond.service", timeout=60):
        """Waits until the unit's journal has it."""
        return wait_until(lambda: re.search(pattern, self.journal(unit)), f"{pattern} in the journal", timeout)

    # ---- the agent

    def ask(self, method, **parameters):
        """One call by root, outside of any unit: the reply's parameters."""
        return json.loads(self.run(PYTHON, CLIENT, method, json.dumps(parameters)).stdout)

    def is_active(self, id):
        return self.ask("Describe", id=id)["info"]["state"] == "active"

    def policy(self, text):
        self.write("/etc/jeton/policy.d/test.policy", text)
        self.ask("Reload")

    def put(self, credential, text):
        self.ask("Put", credential=credential, text=text)

    def process(self, **how):
        return Process(self, **how)


class Process:
    """A process in a machine that asks the agent what it is told to, from the unit it is in."""

    def __init__(self, box, socket=SOCKET, **how):
        options = box._how(how.get("user"), how.get("unit"), how.get("login", False), how.get("properties", ()))
        self.child = subprocess.Popen(
            [TOOL, "exec", box.name, *options, "--", PYTHON, CLIENT, "--socket", socket, "--serve"],
            env=box.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, method, **parameters):
        """The reply's parameters; AssertionError where it is an error."""
        answer = self._ask(method, parameters)
        assert "error" not in answer, (method, answer)
        return answer.get("parameters", {})

    def error(self, method, **parameters):
        """The error's name, without its interface."""
        answer = self._ask(method, parameters)
        assert "error" in answer, (method, answer)
        return answer["error"].rpartition(".")[2]

    def _ask(self, method, parameters):
        self.child.stdin.write(f"{method} {json.dumps(parameters)}\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        assert line, f"the process ended with {self.child.wait()}"
        return json.loads(line)

    def end(self):
        """Lets it end by itself, and waits for that."""
        self.child.stdin.close()
        self.child.wait(timeout=100)


def wait_until(condition, what, timeout=60, every=0.05):
    end = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain: {what}")
        time.sleep(every)
    return result
