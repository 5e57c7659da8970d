"""A clock that one agent has to itself: see tests/support/clock.h."""

import mmap
import os
import struct
import time

SECOND, MINUTE, HOUR, DAY = 10**6, 60 * 10**6, 3600 * 10**6, 86400 * 10**6
YEAR = 365 * DAY

# struct test_clock_page
_OFFSETS, _TURN, _SEEN = struct.Struct("=qqq"), struct.Struct("=I"), struct.Struct("=I")
_TURN_AT, _SEEN_AT = 24, 28


class Clock:
    """Its offsets from the real clocks stay over restarts of the agent."""

    def __init__(self, directory, uid=None):
        self.path = f"{directory}/clock"
        with open(self.path, "wb") as f:
            f.write(bytes(4096))
        os.mkfifo(f"{self.path}.bell")
        for path in (self.path, f"{self.path}.bell"):
            if uid is not None:
                os.chown(path, uid, uid)
        with open(self.path, "r+b") as f:
            self._page = mmap.mmap(f.fileno(), 4096)
        self._bell = os.open(f"{self.path}.bell", os.O_RDWR | os.O_NONBLOCK)

    def now_us(self):
        """What the agent takes CLOCK_REALTIME for."""
        return max(0, time.time_ns() // 1000 + self._offsets()[0])

    def _offsets(self):
        return list(_OFFSETS.unpack_from(self._page))

    def move(self, real=0, boot=0, mono=0, running=True):
        """Moves the clocks by so many µs. An agent that runs has seen it when this returns."""
        offsets = [a + b for a, b in zip(self._offsets(), (real, boot, mono))]
        _OFFSETS.pack_into(self._page, 0, *offsets)
        turn = (_TURN.unpack_from(self._page, _TURN_AT)[0] + 1) & 0xFFFFFFFF
        _TURN.pack_into(self._page, _TURN_AT, turn)
        if not running:
            return
        os.write(self._bell, b"!")
        end = time.monotonic() + 60
        while _SEEN.unpack_from(self._page, _SEEN_AT)[0] != turn:
            if time.monotonic() > end:
                raise AssertionError("the agent does not see that its clock was moved")
            time.sleep(0.0002)

    def set(self, us, running=True):
        """CLOCK_REALTIME is set, as by an administrator or by time synchronisation."""
        self.move(real=us - self.now_us(), running=running)

    def suspend(self, us, running=True):
        """The machine sleeps for so long: CLOCK_MONOTONIC stands still."""
        self.move(real=us, boot=us, running=running)

    def pass_by(self, us, running=True):
        """So much time passes, by all clocks."""
        self.move(real=us, boot=us, mono=us, running=running)
