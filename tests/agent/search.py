"""Every way to look for a value in a process that root has here, and every form that a value may have.

What a way does not find says something once the same way has found what tests/agent/leak.c put there:
`leaking()` is the environment of an agent, a tool or a program that leaks.
"""

import base64
import contextlib
import ctypes
import functools
import glob
import mmap
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile

from jeton import BUILD, DIGITS, TOP, scratch

LIBC = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD = 438  # on all architectures
ROOM = "LEAK_ROOM" + "." * 100000


# ---- what is looked for --------------------------------------------------------------------------

def _of_bytes(raw):
    """Forms of bytes: as they are, backwards, by halves, in hex, base64 and base62."""
    half = len(raw) // 2
    yield from (raw, raw[::-1], raw[:half], raw[half:], raw.hex().encode(), raw.hex().upper().encode())
    for skip in range(3):
        yield base64.b64encode(raw[skip:])[:-4]
        yield base64.urlsafe_b64encode(raw[skip:])[:-4]
    number, text = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 62)
        text = DIGITS[digit] + text
    yield text.encode()


def _in_base62(text):
    number = 0
    for c in text:
        number = number * 62 + DIGITS.index(c)
    return number.to_bytes(32, "big")


def forms(value):
    """What to look for so as to find this value: bytes, a token, or text, whose first 64 are enough.
    None is shorter than 16 bytes: chance gives no such."""
    if isinstance(value, bytes):
        found = [*_of_bytes(value[:64])]
    elif re.fullmatch("jeton_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}", value):
        secret = value[18:61]
        found = [*_of_bytes(secret.encode()), *_of_bytes(_in_base62(secret))]
    else:
        found = [*_of_bytes(value[:64].encode())]
        with contextlib.suppress(ValueError):
            found += _of_bytes(bytes.fromhex(value[:64]))
    return {f for f in found if len(f) >= 16}


class _Needle(ctypes.Structure):
    _fields_ = [("p", ctypes.c_char_p), ("n", ctypes.c_size_t)]


@functools.cache
def compiled(name, *flags):
    """A file of tests/agent/ as a library that can be loaded."""
    path = f"{scratch()}/{name}.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-fPIC", "-shared", "-D_GNU_SOURCE", *flags,
                    f"{TOP}/tests/agent/{name}.c", "-o", path], check=True)
    os.chmod(path, 0o755)
    return path


class Needles:
    """Values by name, looked for in all their forms at once."""

    def __init__(self, **values):
        self.values = {}
        self.add(**values)

    def add(self, **values):
        for name, value in values.items():
            for form in forms(value):
                self.values[form] = name
        every = [*self.values]
        self.array = (_Needle * len(every))(*((ctypes.c_char_p(f), len(f)) for f in every))
        return self

    def within(self, data):
        """Names of those that are in the bytes."""
        if not len(data):
            return set()
        marks = ctypes.create_string_buffer(len(self.array))
        find = ctypes.CDLL(compiled("needles")).needles_find
        view = (ctypes.c_char * len(data)).from_buffer(data) if isinstance(data, (bytearray, mmap.mmap)) else data
        r = find(view, ctypes.c_size_t(len(data)), self.array, ctypes.c_size_t(len(self.array)), marks)
        del view
        assert r == 0, "no memory"
        return {name for mark, name in zip(marks.raw, self.values.values()) if mark != 0} if any(marks.raw) else set()

    def among(self, pieces):
        """{name: [places]} of those that are in any of the pieces: (place, bytes)."""
        found = {}
        for place, data in pieces:
            for name in self.within(data):
                found.setdefault(name, []).append(place)
        return found


# ---- where it is looked for ----------------------------------------------------------------------

def _spans(pid):
    with open(f"/proc/{pid}/maps") as maps:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(x, 16) for x in span.split("-"))
            # Not what is only reserved, nor the kernel's own.
            if "r" in rights and "[v" not in line and end - start <= 1 << 30:
                yield start, end, line.split(None, 5)[5].strip() if line.count("/") or "[" in line else ""


def memory_file(pid):
    """/proc/PID/mem."""
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for start, end, name in _spans(pid):
            with contextlib.suppress(OSError, OverflowError):
                mem.seek(start)
                yield f"{start:x} {name}", mem.read(end - start)


class _Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("n", ctypes.c_size_t)]


def memory_call(pid):
    """process_vm_readv(2)."""
    for start, end, name in _spans(pid):
        room = ctypes.create_string_buffer(end - start)
        got = LIBC.process_vm_readv(pid, ctypes.byref(_Iovec(ctypes.addressof(room), end - start)), ctypes.c_ulong(1),
                                    ctypes.byref(_Iovec(start, end - start)), ctypes.c_ulong(1), ctypes.c_ulong(0))
        if got > 0:
            yield f"{start:x} {name}", room.raw[:got]


def mapped_files(pid):
    """/proc/PID/map_files: what is mapped and has a file, also one that has no name any more."""
    for path in glob.glob(f"/proc/{pid}/map_files/*"):
        with contextlib.suppress(OSError):
            if os.stat(path).st_size <= 1 << 28:
                with open(path, "rb") as f:
                    yield path, f.read()


def _descriptor(pidfd, number):
    fd = LIBC.syscall(PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return fd


def _peeked(fd):
    """What waits in a socket to be read, and stays there."""
    with socket.socket(fileno=os.dup(fd)) as sock, contextlib.suppress(OSError):
        return sock.recv(1 << 20, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return b""


def descriptors(pid):
    """Each descriptor taken by pidfd_getfd(2): files and memfds read and mapped, sockets peeked into."""
    pidfd = os.pidfd_open(pid)
    try:
        for number in map(int, os.listdir(f"/proc/{pid}/fd")):
            with contextlib.suppress(OSError, ValueError):
                fd = _descriptor(pidfd, number)
                try:
                    place, found = f"descriptor {number} {os.readlink(f'/proc/self/fd/{fd}')}", os.fstat(fd)
                    if stat.S_ISSOCK(found.st_mode):
                        yield place, _peeked(fd)
                    elif stat.S_ISREG(found.st_mode) and found.st_size:
                        with mmap.mmap(fd, found.st_size, prot=mmap.PROT_READ) as data:
                            yield place, data[:]
                finally:
                    os.close(fd)
    finally:
        os.close(pidfd)


def gdb():
    """A need."""
    return None if shutil.which("gdb") else "no gdb"


def core(pid, *before):
    """A core of all that a debugger gets: filters off, excluded mappings too, registers of all threads.
    before: commands of gdb's, before it."""
    with tempfile.TemporaryDirectory(dir=scratch()) as directory:
        path = f"{directory}/core"
        commands = ["set pagination off", "set debuginfod enabled off", "set auto-solib-add off",
                    "set use-coredump-filter off", "set dump-excluded-mappings on", *before, f"gcore {path}", "detach"]
        done = subprocess.run(["gdb", "-nx", "-batch", *(x for c in commands[:3] for x in ("-iex", c)), "-p", str(pid),
                               *(x for c in commands[3:] for x in ("-ex", c))], capture_output=True, text=True,
                              errors="backslashreplace", timeout=100, stdin=subprocess.DEVNULL)
        assert os.path.exists(path), done.stdout + done.stderr
        with open(path, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as data:
            # By pieces: what is reserved is a hole.
            piece, overlap = 64 << 20, 64 << 10
            for at in range(0, len(data), piece):
                yield f"core {at:x}", data[at:at + piece + overlap]


def told(pid):
    """What any process may read of it, or root: arguments, environment, title, and the like."""
    for name in ("cmdline", "environ", "comm", "status", "limits", "maps", "mountinfo"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as f:
            yield name, f.read()
    for path in glob.glob(f"/proc/{pid}/task/*/comm"):
        with open(path, "rb") as f:
            yield path, f.read()


def files(*directories, skip=()):
    """All that lies there, names too, but for what is skipped."""
    for directory in directories:
        for parent, inside, names in os.walk(directory):
            inside[:] = (n for n in inside if os.path.join(parent, n) not in skip)
            yield parent, "\n".join([*inside, *names]).encode("utf-8", "surrogateescape")
            for path in (os.path.join(parent, n) for n in names):
                with contextlib.suppress(OSError):
                    if path not in skip and stat.S_ISREG(os.lstat(path).st_mode):
                        with open(path, "rb") as f:
                            yield path, f.read()


# Those that need nothing but the process.
PASSIVE = (memory_file, memory_call, mapped_files, descriptors, told)


# ---- what must be found --------------------------------------------------------------------------

def whole_build():
    """A need: a library that comes before all others."""
    with open(f"{BUILD}/config.key") as key:
        return "a build with sanitizers" if "-fsanitize" in key.read() else None


def leaking(path):
    """The environment of a process that leaks, into the file too."""
    return {"LD_PRELOAD": compiled("leak"), "LEAK_ROOM": ROOM, "LEAK_FILE": path}
