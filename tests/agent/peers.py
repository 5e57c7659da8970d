"""Others who connect: processes of other users, groups and namespaces.

The kernel tells the agent who called connect(), so a helper process of that user connects and
hands the connection over. It lives on for as long as the connection is to be believed.
"""

import array
import ctypes
import os
import signal
import socket

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x10000000, 0x20000000
PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 4, 8, 47, 2
CAP_IPC_LOCK = 14
MS_BIND, MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 4096, 16384, 1 << 18, 2, 4
LIBC = ctypes.CDLL(None, use_errno=True)


def _checked(result, what):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def unshare(flags):
    _checked(LIBC.unshare(flags), "unshare")


def mount(source, target, kind=None, flags=0, data=None):
    def text(s):
        return s.encode() if s is not None else None
    _checked(LIBC.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data)),
             f"mount {target}")


def own_mounts():
    """From here on this process mounts for itself alone."""
    unshare(CLONE_NEWNS)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def become(uid, gid=None, groups=(), lockable=False):
    """Becomes another user for good. lockable: with CAP_IPC_LOCK, over exec too."""
    os.setgroups(list(groups))
    if lockable:
        LIBC.prctl(PR_SET_KEEPCAPS, 1)
    os.setresgid(*[uid if gid is None else gid] * 3)
    os.setresuid(uid, uid, uid)
    if lockable:
        mask = 1 << CAP_IPC_LOCK
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        data = (ctypes.c_uint32 * 6)(mask, mask, mask)  # effective, permitted, inheritable
        _checked(LIBC.capset(header, data), "capset")
        _checked(LIBC.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_IPC_LOCK, 0, 0), "ambient")
    LIBC.prctl(PR_SET_DUMPABLE, 1)  # its /proc is its own again


class Peer:
    """A process of that user; `setup` runs in it first, while it may still do anything, and
    in_pid_namespace puts it into one of its own."""

    def __init__(self, uid=None, gid=None, groups=(), setup=None, in_pid_namespace=False):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                # Nothing of the test's own stays open here when the test closes it.
                os.closerange(3, theirs.fileno())
                os.closerange(theirs.fileno() + 1, 65536)
                if in_pid_namespace:
                    self._enter_pid_namespace(theirs)
                if setup:
                    setup()
                if uid is not None:
                    become(uid, gid, groups)
                theirs.send(b"ready")
                self._serve(theirs)
            except OSError as e:
                theirs.send(f"failed: {e}".encode())
            finally:
                os._exit(0)
        theirs.close()
        answer = self.sock.recv(4096)
        if answer != b"ready":
            os.waitpid(self.pid, 0)
            raise OSError(answer.decode())

    @staticmethod
    def _enter_pid_namespace(theirs):
        unshare(CLONE_NEWPID)
        inner = os.fork()
        if inner:
            theirs.close()
            os.waitpid(inner, 0)
            os._exit(0)

    @staticmethod
    def _serve(theirs):
        """Connects wherever it is told to."""
        while path := theirs.recv(4096):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.connect(path)
            except OSError as e:
                theirs.send(e.errno.to_bytes(4, "little"))
            else:
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))
                theirs.sendmsg([b"ok"], [rights])
            sock.close()

    def connect(self, path):
        """A connection that this peer made."""
        self.sock.send(os.fsencode(path))
        data, fds, _, _ = socket.recv_fds(self.sock, 4096, 1)
        if data != b"ok":
            raise OSError(int.from_bytes(data, "little"),
                          os.strerror(int.from_bytes(data, "little")))
        return socket.socket(fileno=fds[0])

    def end(self):
        """Ends it; connections that it made stay open, with nobody behind them."""
        self.sock.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Accounts:
    """Users and groups that are there for this process and what it starts: not the machine's."""

    def __init__(self, directory, users, groups=None):
        own_mounts()
        self.directory = directory
        for name in ("passwd", "group"):
            with open(f"{directory}/{name}", "w") as f:
                f.write(f"root:x:0:{'0:root:/root:/bin/sh' if name == 'passwd' else ''}\n")
            os.chmod(f"{directory}/{name}", 0o644)
            mount(f"{directory}/{name}", f"/etc/{name}", flags=MS_BIND)
        self.set(users, groups)

    def set(self, users, groups=None):
        """users: {name: uid} or {name: (uid, gid)}; groups: {name: (gid, [members])}."""
        lines = ["root:x:0:0:root:/root:/bin/sh"]
        for name, number in users.items():
            uid, gid = number if isinstance(number, tuple) else (number, number)
            lines.append(f"{name}:x:{uid}:{gid}::/:/bin/sh")
        self._rewrite("passwd", lines)
        self._rewrite("group", ["root:x:0:"] + [
            f"{name}:x:{gid}:{','.join(members)}"
            for name, (gid, members) in (groups or {}).items()])

    def _rewrite(self, name, lines):
        # In place: what is mounted is this very file.
        with open(f"{self.directory}/{name}", "w") as f:
            f.write("\n".join(lines) + "\n")
