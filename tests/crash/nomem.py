"""Programs whose requests for memory fail: the other half of nomem.c."""

import mmap
import os
import struct
import tempfile

from striker import made

import tap


class Heap:
    """What a program is told by env, and what it tells of its requests."""

    def __init__(self):
        fd, self.path = tempfile.mkstemp(prefix="nomem-", dir=tap.scratch())
        os.fchmod(fd, 0o666)
        os.ftruncate(fd, 4096)
        self.page = mmap.mmap(fd, 4096)
        os.close(fd)
        self.env = {"LD_PRELOAD": made("nomem.c", "-fPIC", "-shared"), "JETON_TEST_NOMEM": self.path}

    def fail(self, at, more=False):
        """From now on the at-th request fails, and, if more, all after it."""
        self.page[:16] = struct.pack("=4I", 0, int(more), 0, 0)
        self.page[:4] = struct.pack("=I", at)

    def off(self):
        """(how many failed, how many there were) since fail()."""
        self.page[:4] = struct.pack("=I", 0)
        n, struck = struct.unpack("=2I", self.page[8:16])
        return struck, n

    def live(self):
        """Blocks that the program has, but for SQLite's."""
        return struct.unpack("=i", self.page[16:20])[0]

    def cached(self):
        """SQLite's, with the pages of the store that it keeps."""
        return struct.unpack("=i", self.page[20:24])[0]
