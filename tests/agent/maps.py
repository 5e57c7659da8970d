"""The verifier's map as a verifier has it: a small reader of the memory, with nothing of Jeton's.

It says what the map says and no more; whether that may be believed (state, owner, beat) is asked
apart. docs/map-format.md has the layout.
"""

import hashlib
import mmap
import os
import struct
import time

from credentials import with_fd
from jeton import DIGITS, now_us

GOOD, ASK, RETIRED = 1, 2, 3
OWNER_DIED, TID_MASK = 0x40000000, 0x3fffffff
HEAD, SLOT = 65536, 64
PROBES_MAX = 256


def number(token_id):
    """An id's 11 digits as the number that they write."""
    n = 0
    for digit in token_id:
        n = n * 62 + DIGITS.index(digit)
    return n


class Map:
    """The memory behind a descriptor, which is taken over."""

    def __init__(self, fd):
        self.fd = fd
        self.size = os.fstat(fd).st_size
        self.memory = mmap.mmap(fd, self.size, mmap.MAP_SHARED, mmap.PROT_READ)
        magic, version, head, self.n_slots, self.text_at, self.text_bytes = struct.unpack_from(
            "=8sIIQQQ", self.memory, 0)
        assert (magic, version, head) == (b"JETONMAP", 1, HEAD), (magic, version, head)
        assert self.n_slots & (self.n_slots - 1) == 0
        assert self.text_at == HEAD + self.n_slots * SLOT
        assert self.text_at + self.text_bytes == self.size

    def close(self):
        self.memory.close()
        os.close(self.fd)

    @property
    def state(self):
        return struct.unpack_from("=I", self.memory, HEAD - 64)[0]

    @property
    def beat_us(self):
        return struct.unpack_from("=Q", self.memory, HEAD - 56)[0]

    @property
    def owner(self):
        return struct.unpack_from("=I", self.memory, HEAD - 24)[0]

    def is_alive(self):
        return bool(self.owner & TID_MASK) and not self.owner & OWNER_DIED

    def is_fresh(self):
        return abs(time.monotonic_ns() // 1000 - self.beat_us) < 2_000_000

    def is_good(self):
        return self.state == GOOD and self.is_alive() and self.is_fresh()

    def _slot(self, i):
        return struct.unpack_from("=IIQQ32sQ", self.memory, HEAD + i * SLOT)

    def access(self, at, n):
        start = self.text_at + at
        text = self.memory[start:start + n]
        assert at + n <= self.text_bytes and text.endswith(b"\0"), (at, n, text)
        return text[:-1].decode().split("\0")

    def find(self, token_id):
        """What it says of the token: (expiry, hash, scopes); or None."""
        id_ = number(token_id)
        i = (id_ * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> (64 - (self.n_slots.bit_length() - 1))
        for _ in range(PROBES_MAX):
            seq, n, at_id, expires, hash_, at = self._slot(i)
            assert seq % 2 == 0
            if at_id == id_:
                return (expires, hash_, self.access(at, n)) if n else None
            if at_id == 0:
                return None
            i = (i + 1) & (self.n_slots - 1)
        return None

    def ids(self):
        """All that live in it: numbers."""
        return {s[2] for s in map(self._slot, range(self.n_slots)) if s[1]}

    def says(self, token):
        """The scopes that a value is good for by the map alone, now; or None."""
        text = token if isinstance(token, str) else token["token"]
        found = self.find(text[6:17])
        if not self.is_good() or not found or found[0] <= now_us():
            return None
        return found[2] if found[1] == hashlib.sha256(text[18:61].encode()).digest() else None


def get(client):
    """The map that the client is given."""
    client.send("io.jeton.Verifier.GetMap", {})
    answer, fd = with_fd(client)
    assert fd is not None and answer == {"fd": 0, "format": 1}, answer
    return Map(fd)
