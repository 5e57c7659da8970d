"""The whole agent is killed at every call (a system call's name, and the how-manieth of that name)
of each change and of each kind of start, started again, and held against what it had acknowledged.
"""

import os
import random
import signal
import subprocess

import tap
from jeton import Exit, program, wait_until
from world import (CHANGES, GONE, PASSPHRASE, Issue, Lock, Rekey, World, furnish, new_agent, old_store, settle,
                   verify_all)

# Of what is chosen at random: the same in each run where JETON_SEED is set.
SEED = os.environ.get("JETON_SEED") or str(random.SystemRandom().randrange(1 << 32))
_random = random.Random(SEED)

# So many tokens, and the next point begins with few again.
MANY = 60


def points_of(counts):
    """Every call that was made: [(name, the how-manieth)]."""
    return sorted((name, n) for name, (calls, _) in counts.items() for n in range(1, calls + 1))


# ---- within a change -----------------------------------------------------------------------------

class InChange:
    """Kills while a change of that kind is made."""

    def __init__(self, change):
        self.change, self.name = change, change.__name__.lower()
        self.agent = new_agent()
        self.agent.start()
        self.world = World()
        furnish(self.agent, self.world)
        self.agent.kill()
        self.image, self.first = self.agent.keep(), self.world.copy()
        self.begin_again()

    def begin_again(self):
        if self.agent.pid:
            self.agent.kill()
        self.agent.give(self.image)
        self.agent.start()
        self.world = self.first.copy()

    def once(self, what, name="-", at=0):
        """Makes the change with the agent armed. (whether it was answered, the counts or None)"""
        if len(self.world.tokens) > MANY:
            self.begin_again()
        change = self.change()
        change.ready(self.agent, self.world)
        try:
            # It may strike at once, while the other threads are being stopped.
            if self.agent.arm(what, name, at):
                change.ask(self.agent)
        except GONE:
            pass
        counts = self.agent.off() if self.agent.pid else None
        if self.agent.pid and counts is None:
            self.agent.reaped()
        elif self.agent.pid:
            assert change.reply is not None, f"{change}: no answer, and no kill"
            self.agent.kill()
        self.agent.start()
        self.world = settle(self.agent, self.world, change, True if change.reply is not None else None)
        return change.reply is not None, counts[2] if counts else None

    def points(self):
        """All of them, from a few changes that nothing befalls."""
        most = {}
        for _ in range(2):
            if self.change.__name__ == "Stop":
                counts = self._counts_of_stop()
            else:
                counts = self.once("watch")[1]
            for name, n in counts.items():
                most[name] = max(n, most.get(name, (0, 0)))
        return points_of(most)

    def _counts_of_stop(self):
        """One that ends tells its counts as it goes."""
        change = self.change()
        change.ready(self.agent, self.world)
        self.agent.arm("watch")
        self.agent.signal(signal.SIGTERM)
        assert self.agent.wait() == 0, self.agent.log()[-2000:]
        counts = self.agent.off()[2]
        self.agent.start()
        return counts

    def kill(self, point):
        """Whether the kill came before the answer."""
        return not self.once("kill", *point)[0]

    def close(self):
        self.agent.clear()


# ---- at a start ----------------------------------------------------------------------------------

class AtStart:
    """Kills while an agent starts from such a state."""

    def __init__(self, name):
        self.name = name
        self.agent = new_agent()
        self.image, self.world = getattr(self, name.replace(" ", "_"))()

    def furnished(self):
        self.agent.start()
        world = World()
        furnish(self.agent, world)
        return world

    def first_start(self):
        return None, World()

    def start_after_a_kill(self):
        world = self.furnished()
        self.agent.kill()
        return self.agent.keep(), world

    def start_after_a_stop(self):
        world = self.furnished()
        self.agent.stop()
        return self.agent.keep(), world

    def start_while_locked(self):
        world = self.furnished()
        Lock().make(self.agent, world)
        self.agent.kill()
        return self.agent.keep(), world

    def start_from_format_1(self):
        return old_store(self.agent, False)

    def start_from_format_1_with_a_log(self):
        return old_store(self.agent, True)

    def start_after_a_kill_in_rekey(self):
        """With both keys there, and the store sealed under one of them."""
        world = self.furnished()
        self.agent.arm("kill", "renameat", 2)
        try:
            Rekey().ask(self.agent)
        except GONE:
            pass
        self.agent.off()
        self.agent.reaped()
        image = self.agent.keep()
        assert "master.key.next" in os.listdir(self.agent.state), "the kill did not come between the names"
        return image, world

    def start_with_a_restore(self):
        """Of all that another agent had, which is taken in after the start."""
        world = self.furnished()
        backup = f"{tap.scratch()}/backup-{random.randrange(1 << 60):x}"
        self.tool("--socket", self.agent.socket, "backup", backup)
        self.agent.stop()
        self.agent.give(None)
        self.agent.start()
        self.agent.stop()
        self.tool("restore", backup, "--state", self.agent.state)
        assert self.is_restoring(), "nothing is left to be restored"
        # What was replaced or revoked says so, and not by whom.
        return self.agent.keep(), world

    def tool(self, *words):
        subprocess.run([program("jetonctl"), *words], input=PASSPHRASE.encode() + b"\n", check=True,
                       stdout=subprocess.DEVNULL, timeout=300, env={"PATH": "/usr/bin:/bin", "HOME": "/"})

    def is_restoring(self):
        return os.path.exists(f"{self.agent.state}/restore")

    def wait_for_restore(self):
        wait_until(lambda: not self.is_restoring() or not self.agent.is_running(), "the restore", 20, 0.001)

    def once(self, line):
        """Starts it, armed: the counts, or None where it was killed before it was ready."""
        self.agent.at_start = line
        try:
            self.agent.start()
        except Exit as e:
            assert e.status == -9, f"{line}: {e}"
            return None
        finally:
            self.agent.at_start = None
        self.wait_for_restore()
        counts = self.agent.off()
        if counts is None:
            self.agent.reaped()
        return counts and counts[2]

    def points(self):
        self.agent.give(self.image)
        counts = self.once("watch - 0")
        self.agent.kill()
        return points_of(counts)

    def must_hold(self):
        self.agent.start()
        self.wait_for_restore()
        world = settle(self.agent, self.world.copy())
        change = Issue()
        change.make(self.agent, world)
        verify_all(self.agent, world)
        self.agent.kill()

    def kill(self, point):
        self.agent.give(self.image)
        struck = self.once("kill {} {}".format(*point)) is None
        if not struck:
            self.agent.kill()
        self.must_hold()
        return struck

    def kill_in_a_row(self, points, n=10):
        """So many starts are killed, one after the other, none of them given a fresh state."""
        self.agent.give(self.image)
        struck = 0
        for _ in range(n):
            if self.once("kill {} {}".format(*_random.choice(points))) is None:
                struck += 1
            else:
                self.agent.kill()
        self.must_hold()
        return struck

    def close(self):
        self.agent.clear()


STARTS = ["first start", "start after a kill", "start after a stop", "start while locked", "start from format 1",
          "start from format 1 with a log", "start after a kill in rekey", "start with a restore"]


def scenarios():
    """{name: how to set it up}"""
    made = {change.__name__.lower(): (lambda c=change: InChange(c)) for change in CHANGES}
    made |= {name: (lambda n=name: AtStart(n)) for name in STARTS}
    return made

