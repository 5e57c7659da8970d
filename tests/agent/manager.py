"""Plays the service manager to an agent: holds the descriptors that it is sent, and passes them to
the next start."""

import contextlib
import os
import select
import socket
import threading
import time

from jeton import START_TIMEOUT, Agent, Exit


class Manager(threading.Thread):
    """What listens at $NOTIFY_SOCKET, for as long as the test runs."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.held = {}  # name: descriptor, in the order they came
        self.heard = []  # (time, fields) of every message
        self.changed = threading.Condition()
        self.start()

    def run(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, 16)
            with self.changed:
                self._take(dict(line.split("=", 1) for line in data.decode().split("\n") if "=" in line), fds)
                self.changed.notify_all()

    def _take(self, message, fds):
        self.heard.append(message)
        name = message.get("FDNAME", "stored")
        if message.get("FDSTOREREMOVE") == "1":
            if name in self.held:
                os.close(self.held.pop(name))
        elif message.get("FDSTORE") == "1":
            assert len(fds) == 1 and name not in self.held, (message, self.held)
            self.held[name] = fds.pop()
        for fd in fds:
            os.close(fd)

    def settle(self):
        """Waits until all that was sent so far has been taken in."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own, self.changed:
            mark = f"{time.monotonic_ns()}"
            own.sendto(f"MARK={mark}".encode(), self.socket.getsockname())
            assert self.changed.wait_for(lambda: {"MARK": mark} in self.heard, START_TIMEOUT)

    def wait_for(self, key, value, since, gone):
        """Waits for such a message after the first `since` of them. False: `gone` was first."""
        end = time.monotonic() + START_TIMEOUT
        while True:
            with self.changed:
                if any(m.get(key) == value for m in self.heard[since:]):
                    return True
                self.changed.wait(0.01)
            if select.select([gone], [], [], 0)[0]:
                return False
            assert time.monotonic() < end, f"no {key}={value} after {START_TIMEOUT} s"

    def forget(self):
        """As a stop does, which is no restart."""
        for fd in self.held.values():
            os.close(fd)
        self.held = {}


class Kept(Agent):
    """An agent under such a manager, which owns its sockets, too: clients wait in them while the
    agent is away. Killed and started again it is the same to them."""

    def __init__(self, *arguments, activated=True, **how):
        super().__init__(*arguments, **how)
        self.manager = Manager(f"{self.dir}/notify")
        self.listener = None
        if activated:
            self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.listener.bind(self.socket)
            os.chmod(self.socket, 0o666)
            self.listener.listen(4096)

    def start(self, **how):
        self.manager.settle()
        since, mark = len(self.manager.heard), self.log_size()
        held = dict(self.manager.held)
        if self.listener:
            held["agent.socket"] = self.listener.fileno()
        env = {"NOTIFY_SOCKET": self.manager.socket.getsockname(), "LISTEN_FDNAMES": ":".join(held),
               **how.pop("env", {})}
        self.spawn(env=env, listen=list(held.values()), **how)
        if not self.manager.wait_for("READY", "1", since, self.pidfd):
            raise Exit(self.wait(), self.log(mark))
        return self

    def again(self, how="kill"):
        """Killed, or stopped and started as by `systemctl restart`."""
        if how == "kill":
            self.kill()
        else:
            self.stop()
        return self.start()

    def memfds(self):
        """What the manager holds: {name: all bytes of it}."""
        self.manager.settle()
        found = {}
        for name, fd in self.manager.held.items():
            with contextlib.ExitStack() as stack:
                f = stack.enter_context(open(f"/proc/self/fd/{fd}", "rb"))
                found[name] = f.read()
        return found
