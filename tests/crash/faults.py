"""Calls that fail in the whole agent, at each one that a change makes on the disk, once and for ever:
it is answered StoreFailed or made, nothing in between; reading goes on; nothing is written again to a
file whose sync has failed; and once the disk works again, so does the agent.
"""

import errno
import os
import time

from kills import InChange
from world import (Checkpoint, Derive, Forget, Issue, LastUse, Lock, Put, Rekey, Replace, Revoke, Rotate, Unlock, Use,
                   settle, verify_all)

from jeton import Error, wait_until

CHANGES = [Issue, Derive, Use, LastUse, Rotate, Replace, Revoke, Put, Forget, Rekey, Lock, Unlock, Checkpoint]
NO_ROOM = ("ENOSPC", "EDQUOT", "EIO", "EROFS")
# What a call is told, and what is done to it. A write that a signal cuts short for ever is none that there is.
WAYS = {"pwrite64": (*NO_ROOM, "EINTR", "short"), "write": (*NO_ROOM, "EINTR", "short"),
        "fsync": ("EIO", "ENOSPC"), "fdatasync": ("EIO", "ENOSPC"), "ftruncate": ("EIO", "EROFS"),
        "renameat": ("EIO", "ENOSPC", "EROFS"), "renameat2": ("EIO", "EROFS"), "linkat": ("EIO", "EROFS"),
        "unlinkat": ("EIO", "EROFS"), "unlink": ("EIO", "EROFS"), "fchmod": ("EIO", "EROFS"),
        "openat": ("EIO", "ENOSPC", "EMFILE"), "any": ("EIO", "EROFS")}
NOT_FOR_EVER = ("EINTR",)


class InFault(InChange):
    """Failing calls while a change of that kind is made, which is tried with each of them."""

    def __init__(self, change):
        super().__init__(change)
        self.name = f"{self.name} with failing calls"

    def points(self):
        """[(call, the how-manieth on the disk, what, for ever)]"""
        change = self.change()
        change.ready(self.agent, self.world)
        self.agent.arm("watch")
        change.ask(self.agent)
        counts = {name: n for name, (_, n) in self.agent.off()[2].items() if name in WAYS}
        change.apply(self.world, [])
        if change.is_of_the_lock:
            self.begin_again()
        counts["any"] = sum(n for name, n in counts.items() if name != "openat")
        return [(name, n, what, for_ever) for name, most in sorted(counts.items()) for n in range(1, most + 1)
                for what in WAYS[name] for for_ever in (False, True) if not (for_ever and what in NOT_FOR_EVER)]

    def kill(self, point):
        """Whether the call has failed."""
        name, n, what, for_ever = point
        if len(self.world.tokens) > 60:
            self.begin_again()
        change = self.change()
        change.ready(self.agent, self.world)
        before = self.world.copy()
        if what == "short":
            self.agent.arm("short", name, int(n), 0, for_ever)
        else:
            self.agent.arm("fail", name, int(n), getattr(errno, what), for_ever)
        try:
            change.ask(self.agent)
        except Error as e:
            assert e.name == "StoreFailed", f"{change} was answered {e}"
            change.partly(self.world)
            change.partly(before)
        is_made = change.reply is not None
        self.goes_on(change, is_made, before)
        struck, poisoned, _ = self.agent.off()
        assert is_made or struck, f"{change} was refused for nothing"
        assert not poisoned, f"{change}: {poisoned} calls on a file whose sync had failed"
        # Where nothing whatever can be written any more, what a sync refused can't be taken back either.
        is_sure = is_made or not (name == "any" and for_ever)
        if int(n) % 2:
            self.agent.kill()
            self.agent.start()
            self.world = settle(self.agent, self.world, change, is_made if is_sure else None)
        else:
            self.world = settle(self.agent, self.world, change, is_made)
            self.recovers()
            # Unlocked it is by now; the file of a Lock that was refused goes when something can be written again.
            if change.is_of_the_lock:
                wait_until(lambda: not os.path.exists(f"{self.agent.state}/locked"), "no file says it is locked")
            self.agent.kill()
            self.agent.start()
            self.world = settle(self.agent, self.world)
        return struck > 0

    def goes_on(self, change, is_made, before):
        """With the fault still there: what is only read is answered, as it was before."""
        world = self.world if is_made else before
        if change.is_of_the_lock:
            with self.agent.admin() as c:
                c.call("GetStatus")
            return
        with self.agent.connect() as c:
            listed = {t["id"] for t in c.list()}
            assert is_made or listed == set(before.tokens), f"{change} was refused, and there is {listed}"
        if not is_made:
            verify_all(self.agent, world)

    def recovers(self):
        """A change is made again, in a second or two at the most where a new file was just tried in vain."""
        end = time.monotonic() + 60
        while True:
            change = Issue()
            try:
                change.make(self.agent, self.world)
                return
            except Error as e:
                assert e.name == "StoreFailed" and time.monotonic() < end, f"does not go on: {e}"
                time.sleep(0.1)


def scenarios():
    return {f"{change.__name__.lower()} with failing calls": (lambda c=change: InFault(c)) for change in CHANGES}
