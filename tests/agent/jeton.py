"""Starts real agents on temporary paths, as an unprivileged user, and asks them.

Run as root, the agents are of a user of their own (AGENT), and callers of several others; run as
anybody else, all are that one user, who then is an administrator by AdminGroup=, and what needs
several users is skipped.
"""

import contextlib
import functools
import grp
import os
import re
import resource
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import clock
import peers
import sweep
import tap
from peers import Peer
from tap import Skip, main, scratch, test
from varlink import AGENT as INTERFACE
from varlink import TOP, Client, Closed, Error, Mismatch, full_name

IS_ROOT = os.getuid() == 0
# Numbers of no account, below those that systemd gives out afresh.
AGENT_UID, ALICE, BOB = (30100, 30001, 30002) if IS_ROOT else [os.getuid()] * 3
BUILD = os.path.join(TOP, os.environ.get("JETON_BUILD", "build"))
# Nothing is proved by these: what hangs would hang for longer.
START_TIMEOUT = ANSWER_TIMEOUT = 60
SECRET = re.compile(rb"jeton_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}")


def root():
    """A test's need: several users, mounts, limits."""
    return None if IS_ROOT else "needs root"


def now_us():
    return time.time_ns() // 1000


def wait_until(condition, what, timeout=60, every=0.01):
    """Asks again and again until it holds, for what nothing announces. what: a text, or what makes it at the end."""
    end = time.monotonic() + timeout
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s in vain: {what() if callable(what) else what}")
        time.sleep(every)
    return result


def _reachable(path):
    """Whether every user may run it."""
    path = os.path.realpath(path)
    bits = [os.stat(path).st_mode]
    while path != "/":
        path = os.path.dirname(path)
        bits.append(os.stat(path).st_mode)
    return all(mode & 0o001 for mode in bits)


@functools.cache
def program(name):
    """The path of a program of the build, for any user: a copy where the tree is not for all."""
    path = os.path.join(BUILD, name)
    if not os.path.exists(path):
        raise AssertionError(f"{path} is not there: `make` builds it (JETON_BUILD names the build)")
    if not IS_ROOT or _reachable(path):
        return path
    copy = os.path.join(scratch(), os.path.basename(name))
    shutil.copy(path, copy)
    os.chmod(copy, 0o755)
    return copy


def _trace(pid):
    """Where JETON_TRACE names a directory, every call of the process goes into a file there that is
    named after it: for tests/ground/test-calls. The strace, or None."""
    directory = os.environ.get("JETON_TRACE")
    if not directory:
        return None
    fd, path = tempfile.mkstemp(prefix=f"calls-{pid}-", dir=directory)
    os.close(fd)
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", path, "-p", str(pid)],
                              stdin=subprocess.DEVNULL)

    def is_traced():
        with open(f"/proc/{pid}/status") as f:
            return "\nTracerPid:\t0\n" not in f.read()
    wait_until(is_traced, "strace")
    return tracer


_peers = {}


def peer(uid=None, gid=None, groups=()):
    """The helper process of that user, made once."""
    key = (os.getpid(), uid, gid, tuple(groups))
    if key not in _peers:
        _peers[key] = Peer(uid, gid, groups)
    return _peers[key]


class Exit(AssertionError):
    """The agent ended instead of starting."""

    def __init__(self, status, said):
        super().__init__(f"ended with {status}: {said}")
        self.status, self.said = status, said


class Agent:
    """An agent and what it needs: settings, policies, state and socket in directories of its own.

    settings: lines of [Agent]; policy: the text of one policy file; clocked: it has a clock of its
    own, `clock`, in place of the machine's.
    """

    _n = 0

    def __init__(self, settings="", policy="", name=None, clocked=False):
        Agent._n += 1
        self.dir = os.path.join(scratch(), name or f"a{Agent._n}")
        self.run, self.policies = f"{self.dir}/run", f"{self.dir}/policy"
        self.var = f"{self.dir}/var"
        self.config, self.state = f"{self.dir}/jeton.conf", f"{self.var}/state"
        self.anchor = f"{self.var}/anchor"
        self.socket = f"{self.run}/agent.sock"
        for path in (self.dir, self.run, self.policies, self.var):
            os.mkdir(path, 0o755)
        if IS_ROOT:
            os.chown(self.run, AGENT_UID, AGENT_UID)
            os.chown(self.var, AGENT_UID, AGENT_UID)
        self.uid, self.groups = (AGENT_UID, ()) if IS_ROOT else (None, ())
        self.pid = self.pidfd = self.tracer = None
        # Whether values are looked for at the end of the test, in all that it leaves.
        self.swept = True
        self.log_path = f"{self.dir}/log"
        self.clock = clock.Clock(self.dir, self.uid) if clocked else None
        self.settings(settings)
        if policy:
            self.policy(policy)
        tap.AT_END.append(self._stop_well)
        tap.AT_FAILURE.append(self._show)

    # ---- what it reads

    def settings(self, lines):
        if not IS_ROOT and "AdminGroup" not in lines:
            lines += f"\nAdminGroup={grp.getgrgid(os.getgid()).gr_name}"
        self._write(self.config, f"[Agent]\n{lines}\n")

    def policy(self, text, name="test.policy"):
        """Puts a policy file in place at once, as an editor or a package would."""
        self._write(f"{self.policies}/{name}", text)

    @staticmethod
    def _write(path, text):
        data = text if isinstance(text, bytes) else text.encode()
        with open(f"{path}.new", "wb") as f:
            f.write(data)
        os.chmod(f"{path}.new", 0o644)
        os.rename(f"{path}.new", path)

    # ---- its process

    def arguments(self):
        return ["--socket", self.socket, "--config", self.config, "--policy", self.policies,
                "--state", self.state, "--anchor", self.anchor,
                "--credential-socket", f"{self.run}/credential.sock"]

    def spawn(self, arguments=None, env=None, limits=None, setup=None, listen=(), lockable=False):
        """Starts the process and waits for nothing. limits: {RLIMIT_X: n}; setup() runs in it
        before it changes its user; listen: descriptors passed as by systemd; lockable: it may lock
        any amount of memory, where that can be had, as with a unit's LimitMEMLOCK=."""
        jetond = program("tests/support/jetond-clock" if self.clock else "jetond")
        arguments = [jetond, *(self.arguments() if arguments is None else arguments)]
        environment = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS")}
        environment |= {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **(env or {})}
        if self.clock:
            environment["JETON_TEST_CLOCK"] = self.clock.path
        log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        null = os.open("/dev/null", os.O_RDWR)
        go, said = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(said)
                os.read(go, 1)
                os.close(go)
                self._exec(arguments, environment, limits or {}, setup, listen, null, log, lockable)
            except BaseException as e:
                os.write(log, f"exec: {e!r}\n".encode())
            finally:
                os._exit(126)
        os.close(log)
        os.close(null)
        os.close(go)
        try:
            self.tracer = self._trace()
        finally:
            os.close(said)
        self.pidfd = os.pidfd_open(self.pid)
        return self

    def _trace(self):
        """Who looks on from before its first instruction: a Popen that ends with it, or None."""
        return _trace(self.pid)

    def _exec(self, arguments, environment, limits, setup, listen, null, log, lockable):
        for what, n in limits.items():
            n = n if isinstance(n, tuple) else (n, n)
            resource.setrlimit(what, n)
        if setup:
            setup()
        if IS_ROOT:
            peers.become(self.uid, self.uid, self.groups, lockable)
        if listen:
            # Out of the way first: one of them might be 3 or 4 itself.
            high = [os.dup2(fd, 200 + i) for i, fd in enumerate(listen)]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i, inheritable=True)
                os.close(fd)
            environment.setdefault("LISTEN_FDS", str(len(listen)))
            environment.setdefault("LISTEN_PID", str(os.getpid()))
        for i, fd in enumerate((null, log, log)):
            os.dup2(fd, i, inheritable=True)
        os.execve(arguments[0], arguments, environment)

    def start(self, **how):
        """Starts it and waits until it says that it is ready; Exit where it ends instead."""
        path = f"{self.run}/notify"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            os.chmod(path, 0o666)
            env = {"NOTIFY_SOCKET": path, **how.pop("env", {})}
            mark = self.log_size()
            self.spawn(env=env, **how)
            end = time.monotonic() + START_TIMEOUT
            while True:
                left = end - time.monotonic()
                ready, _, _ = select.select([notify, self.pidfd], [], [], max(0, left))
                if notify in ready and b"READY=1" in notify.recv(4096).split(b"\n"):
                    return self
                if self.pidfd in ready:
                    raise Exit(self.wait(), self.log(mark))
                if left < 0:
                    raise AssertionError(f"not ready after {START_TIMEOUT} s: {self.log(mark)}")

    def fails_to_start(self, **how):
        """What it said as it ended, which must be a status that is not 0 and no signal."""
        try:
            self.start(**how)
        except Exit as e:
            assert e.status > 0, f"status {e.status}: {e.said}"
            assert e.said.strip(), "it ended without a word"
            return e.said
        raise AssertionError(f"it started: {self.log()}")

    def wait(self, timeout=START_TIMEOUT):
        """Waits for its end: its exit status, or minus the signal."""
        if not select.select([self.pidfd], [], [], timeout)[0]:
            raise AssertionError(f"still running after {timeout} s")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        self.pid = self.pidfd = None
        if self.tracer:
            self.tracer.wait()
        return os.waitstatus_to_exitcode(status)

    def signal(self, number):
        signal.pidfd_send_signal(self.pidfd, number)

    def pause(self):
        """Until signal.SIGCONT; it has done its last when this returns."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: set(self.states()) == {"T"}, "each of its threads stands still", every=0.0005)

    def states(self):
        """What each of its threads does, as proc_pid_stat(5) names it."""
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/stat") as f:
                yield f.read().rpartition(")")[2].split()[0]

    def stop(self):
        """Stops it as systemd would; it must end well and have let no secret into its log."""
        self.signal(signal.SIGTERM)
        status = self.wait()
        assert status == 0, f"stopped with {status}: {self.log()}"
        self.check_log()

    def kill(self):
        self.signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def restart(self, **how):
        self.stop()
        return self.start(**how)

    def is_running(self):
        return self.pid is not None and not select.select([self.pidfd], [], [], 0)[0]

    def _stop_well(self):
        """At the end of a test that has passed."""
        if self.pid:
            if self.swept:
                sweep.look_at_process(self)
            self.stop()
        if self.swept:
            sweep.look_at_files(self)

    def _show(self):
        """At the end of a test that has failed."""
        how = "was not running"
        if self.pidfd is not None:
            how = "runs" if self.is_running() else f"ended by itself: {self.wait()}"
        print(f"the agent in {self.dir} {how}; its log:")
        print(*self.log().splitlines()[-40:], sep="\n")

    # ---- its log

    def log_size(self):
        with contextlib.suppress(FileNotFoundError):
            return os.stat(self.log_path).st_size
        return 0

    def log(self, start=0):
        with contextlib.suppress(FileNotFoundError), open(self.log_path, "rb") as f:
            f.seek(start)
            return f.read().decode(errors="backslashreplace")
        return ""

    def check_log(self):
        with open(self.log_path, "rb") as f:
            assert not SECRET.search(f.read()), "a token's value is in the log"

    # ---- its clients

    def connect(self, uid=ALICE, gid=None, groups=(), timeout=ANSWER_TIMEOUT):
        """A connection of an ordinary user's."""
        if not IS_ROOT:
            return self.connect_here(timeout)
        return Client(peer(uid, gid, groups).connect(self.socket), timeout)

    def connect_here(self, timeout=ANSWER_TIMEOUT):
        """A connection of this process itself."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(self.socket)
        return Client(sock, timeout)

    def admin(self, timeout=ANSWER_TIMEOUT):
        """A connection of an administrator's: root, or the one user there is."""
        return self.connect_here(timeout)

    # ---- its state

    def files(self):
        """Every file of the state directory: {path: bytes}."""
        found = {}
        for parent, _, names in os.walk(self.state):
            for name in names:
                path = os.path.join(parent, name)
                if stat.S_ISREG(os.lstat(path).st_mode):
                    with open(path, "rb") as f:
                        found[os.path.relpath(path, self.state)] = f.read()
        return found


# ---- tokens, worked out anew from the contract's words -------------------------------------------

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def digits(number, n):
    """n base62 digits."""
    text = ""
    for _ in range(n):
        number, digit = divmod(number, 62)
        text = DIGITS[digit] + text
    return text


def check_bytes(head):
    """The checksum that ends a token of this head."""
    import zlib
    return digits(zlib.crc32(head.encode()), 6)


def has_form(token):
    match = re.fullmatch(r"jeton_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}", token)
    return bool(match) and check_bytes(token[:-6]) == token[-6:]


def revalued(token, id=None, secret=None):
    """The token with another id or secret, and the checksum that goes with it."""
    head = f"jeton_{id or token[6:17]}_{secret or token[18:61]}"
    return head + check_bytes(head)


def serial(client, calls):
    """Sends all calls at once, (method, parameters), and gives their answers in order: parameters
    or Error. Sent from a thread of its own, so that neither side waits for the other."""
    import threading
    data = b"".join(client.encode(m, p) for m, p in calls)
    client.asked.extend(full_name(m) for m, _ in calls)
    thread = threading.Thread(target=client.send_bytes, args=(data,))
    thread.start()
    answers = []
    for _ in calls:
        try:
            answers.append(client.reply())
        except Error as e:
            answers.append(e)
    thread.join()
    return answers
