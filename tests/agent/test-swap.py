#!/usr/bin/env -S python3 -B
"""What the kernel writes to a swap device when it takes an agent's memory from it: nothing that is secret."""

import contextlib
import ctypes
import mmap
import os
import subprocess
import sys

import memory
import search
from everything import EVERYTHING, World, do, locked_and_unlocked
from jeton import main, root, scratch, test, wait_until

PROCESS_MADVISE, MADV_PAGEOUT = 440, 21  # on all architectures
SIZE = 32 << 20
HOLD = "import os, sys; held = bytearray(sys.stdin.buffer.read(64)) * 4096; os.write(1, b'!'); os.read(0, 1)"


@contextlib.contextmanager
def swap():
    """A swap file of the test's own, used before any other."""
    path = f"{scratch()}/swap"
    with open(path, "wb") as f:
        # Written, not only reserved: of what was never written a read gives zeros, whatever the kernel swapped there.
        for _ in range(SIZE >> 20):
            f.write(bytes(1 << 20))
        f.flush()
        os.fsync(f.fileno())
    os.chmod(path, 0o600)
    subprocess.run(["mkswap", path], check=True, capture_output=True)
    subprocess.run(["swapon", "--priority", "32767", path], check=True, capture_output=True)
    try:
        yield path
    finally:
        subprocess.run(["swapoff", path], check=True)


def can_swap():
    """A need."""
    try:
        with swap():
            return None
    except (OSError, subprocess.CalledProcessError) as e:
        return f"no swap file can be had here: {getattr(e, 'stderr', None) or e}"


def press_out(pid):
    """Takes from the process all that the kernel may, as it does where memory is short. How many bytes are in swap."""
    pidfd = os.pidfd_open(pid)
    with open(f"/proc/{pid}/maps") as maps:
        spans = [line.split("-", 1) for line in maps if "[v" not in line]
    for start, rest in spans:
        start, end = int(start, 16), int(rest.split()[0], 16)
        iovec = (ctypes.c_size_t * 2)(start, end - start)
        search.LIBC.syscall(PROCESS_MADVISE, pidfd, iovec, ctypes.c_size_t(1), MADV_PAGEOUT, 0)
    os.close(pidfd)
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSwap"))


def on_disk(path):
    """What lies there, past all caches."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, 1 << 20) as room:
            at = 0
            while (n := os.preadv(fd, [room], at)) > 0:
                yield f"swap {at:x}", room[:n]
                at += n
    finally:
        os.close(fd)


def a_holder(value):
    """A process that has it in ordinary memory."""
    held = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    held.stdin.write(value)
    held.stdin.flush()
    assert held.stdout.read(1) == b"!"
    return held


@test(needs=[root, search.whole_build, can_swap], timeout=200)
def what_is_pressed_out_of_an_agent_has_no_value_passphrase_or_key_in_it():
    # Without memfd_secret, so that what is only locked is looked for as well.
    w = World(setup=memory.readable)
    with swap() as path:
        for operation in EVERYTHING:
            do(w, operation)
        for _ in locked_and_unlocked(w):
            press_out(w.agent.pid)
        wait_until(lambda: press_out(w.agent.pid) > 0, "something of the agent in swap")
        control = os.urandom(64)
        holder = a_holder(control)
        try:
            search_for = search.Needles(control=control)

            def is_seen():
                press_out(holder.pid)
                return "control" in search_for.among(on_disk(path))
            # The eye sees: what lies in ordinary memory does get there.
            wait_until(is_seen, "what a process has in ordinary memory, in swap", every=0.1)
        finally:
            holder.kill()
            holder.wait()
        for needles in (w.needles, w.kept):
            assert (found := needles.among(on_disk(path))) == {}, found
        assert w.admin.call("GetStatus")


main()
