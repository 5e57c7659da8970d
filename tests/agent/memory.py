"""An agent's memory, as root reads it; and what somebody could do with it.

Where the kernel has memfd_secret not even root reads locked memory through /proc: `readable` is for
Agent.start(setup=…) and makes the agent believe in a kernel that has none, so that a search that finds
nothing says something.
"""

import base64
import contextlib
import ctypes
import sqlite3
import struct
import tempfile

from tap import scratch

SODIUM = ctypes.CDLL("libsodium.so.23")
NONCE, OVERHEAD = 24, 40
# Numbers of keys: the store's own, and some of those derived from it (docs/store-format.md).
STORE, ROWS, CREDENTIALS, NOTES = 0, 1, 4, 9
MEMFD_SECRET = 447  # on all architectures
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LIBC = ctypes.CDLL(None, use_errno=True)


def readable():
    """From here on this process and what it becomes have no memfd_secret."""
    ld, jeq, ret, allow, enosys = 0x20, 0x15, 0x06, 0x7fff0000, 0x00050000 | 38
    program = b"".join(struct.pack("HBBI", *x) for x in (
        (ld, 0, 0, 0), (jeq, 0, 1, MEMFD_SECRET), (ret, 0, 0, enosys), (ret, 0, 0, allow)))
    code = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HxxxxxxP", 4, ctypes.addressof(code))
    assert LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog) == 0, ctypes.get_errno()


def maps(pid):
    """Every part of a process that root can read: (its flags as smaps has them, its bytes)."""
    found, span = [], None
    with open(f"/proc/{pid}/smaps") as smaps:
        for line in smaps:
            words = line.split()
            if words[0] == "VmFlags:":
                if span:
                    found.append((*span, words[1:]))
            elif not words[0].endswith(":"):
                start, end = (int(x, 16) for x in words[0].split("-"))
                # Not what a sanitizer reserves, nor the kernel's own.
                span = (start, end) if "r" in words[1] and "[v" not in line and end - start <= 1 << 30 else None
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for start, end, flags in found:
            with contextlib.suppress(OSError, OverflowError):
                mem.seek(start)
                yield flags, mem.read(end - start)


def forms(value):
    """As it is, and as it would be in JSON, hex or base64 at any of three places."""
    yield value
    yield value.hex().encode()
    for skip in range(3):
        yield base64.b64encode(value[skip:])[:-4]


def found_in_memory(pid, values):
    """Which of the values are there, in whatever form."""
    blocks = [block for _, block in maps(pid)]
    return [v for v in values if any(n in block for n in forms(v) for block in blocks)]


def _opens(key, sealed, name):
    """What was sealed for the name as agent/credential.c seals it, or None."""
    out = ctypes.create_string_buffer(len(sealed))
    n = len(sealed) - NONCE
    r = SODIUM.crypto_aead_xchacha20poly1305_ietf_decrypt(
        out, None, None, sealed[NONCE:], ctypes.c_ulonglong(n), name, ctypes.c_ulonglong(len(name)),
        sealed[:NONCE], key)
    return out.raw[:n - 16] if r == 0 else None


def _sealed_in(blocks, n):
    """Pieces of the heap that are as long as a sealed value of n bytes is: by the length that malloc keeps
    before each, of 16 bytes more where they were over, and by whether what is before it is in use."""
    size = (n + OVERHEAD + 8 + 15) // 16 * 16
    for block in blocks:
        for head in (struct.pack("<Q", size + more | used) for more in (0, 16) for used in (0, 1)):
            at = block.find(head)
            while at >= 0:
                sealed = block[at + 8:at + 8 + n + OVERHEAD]
                if at % 8 == 0 and len(sealed) == n + OVERHEAD and len(set(sealed)) > 100:
                    yield sealed
                at = block.find(head, at + 1)


def _keys_in(block, step):
    """All that could be a key: 32 bytes that are not of one kind."""
    for page in range(0, len(block), 4096):
        part = block[page:page + 4096 + 31]
        if part.count(0) == len(part):
            continue
        for at in range(0, min(4096, len(part) - 31), step):
            key = part[at:at + 32]
            if key.count(0) < 4 and len(set(key)) > 16:
                yield key


def open_held(pid, name, n):
    """Does what one with all of the memory could: tries every 32 bytes as the key on all that may be the
    sealed value of this name, of n bytes. (key, value), or None."""
    blocks = list(maps(pid))
    sealed = list(_sealed_in([b for _, b in blocks], n))
    assert sealed, "the sealed value was not found, so nothing was tried"
    for flags, block in blocks:
        if "wr" in flags:
            for key in _keys_in(block, 1 if "lo" in flags else 8):
                for s in sealed:
                    if value := _opens(key, s, name):
                        return key, value
    return None


def _kdf(key, number, context):
    out = ctypes.create_string_buffer(32)
    SODIUM.crypto_kdf_derive_from_key(out, ctypes.c_size_t(32), ctypes.c_ulonglong(number), context, key)
    return out.raw


def store_keys(files):
    """The store's key and those derived from it, {number: key}, worked out from the files of the state
    directory as docs/store-format.md has it."""
    with tempfile.TemporaryDirectory(dir=scratch()) as copy:
        for name in ("store.db", "store.db-wal"):
            with open(f"{copy}/{name}", "wb") as f:
                f.write(files.get(name, b""))
        with contextlib.closing(sqlite3.connect(f"{copy}/store.db")) as db:
            meta = dict(db.execute("SELECT key, value FROM meta"))
    key, head = ctypes.create_string_buffer(32), bytes([2, 4]) + meta[2]
    assert SODIUM.crypto_aead_xchacha20poly1305_ietf_decrypt(
        key, None, None, meta[4][24:], ctypes.c_ulonglong(48), head, ctypes.c_ulonglong(len(head)), meta[4][:24],
        _kdf(files["master.key"], 2, b"JetonMst")) == 0
    return {STORE: key.raw} | {n: _kdf(key.raw, n, b"JetonSto") for n in (ROWS, CREDENTIALS, NOTES)}
