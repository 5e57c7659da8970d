"""What an agent must hold, kept beside it from its replies alone; and the changes that are made to
both, of which the last one may have been cut off.

A change is a class: ready() makes what it needs, ask() makes the call, apply() says what becomes of
the world once it is made. After a kill the agent holds the world before the change or the one after
it, and nothing else; what was acknowledged, the latter.
"""

import copy
import os
import signal
import socket

from striker import HERE, Struck

from credentials import with_fd
from jeton import ALICE, Closed, Error, serial

GONE = (Closed, BrokenPipeError, ConnectionResetError, ConnectionRefusedError, FileNotFoundError)
PASSPHRASE = "correct horse battery staple"
SETTINGS = "MaxLifetime=10y\nMaxTokensPerUser=5000"
POLICY = f"""
[Access]
User={ALICE}
Scope=a:read a:write
[Credential held]
[Fetch]
Credential=held
User={ALICE}
"""
# What a test of the first version's store finds in it (format-1/): names to values.
FORMAT_1 = {
    "good": "jeton_7gmOE1Rqg5O_c7GEklnixyLcer6OFxVpRUGSwfkbSV4eBmJ5rjEJ9to3gh8g1",
    "gone": "jeton_8aqFL61nlzP_g8DiHGaPK63jyoNp1bhEWbLChnrWEVTZkeJLZbutogh0QcxhK",
    "kid": "jeton_D1yepK12urh_LvF57cupsitwzX7u0YQIqQV4hUnU0oS5d7lcpyP156m1CQrO6",
    "few": "jeton_9C4hgCexGos_JOSOUVZaf2qxsNI21KriaxFjkmg9AxwMTFB91JdUz470gIS4n",
    "late": "jeton_KUI1MDKgYGy_LoaniPnziWXuWB3qOSmtikxLdqD9i1drC6h5vGncBIc0edkn4",
}
OLD_STORE_SIZE = 256 * 1024  # its zeros at the end are left out in the sources


def id_of(value):
    return value[6:17]


class World:
    """tokens: {id: {what is known of it}}; values: {id: value}, of some."""

    def __init__(self):
        self.tokens, self.values = {}, {}
        self.held = None  # (revision, text) of the credential; None: nothing was ever put
        self.revision = 0
        self.is_locked = False

    def copy(self):
        return copy.deepcopy(self)

    def add(self, ident, name, value=None, **more):
        self.tokens[ident] = {"name": name, "state": "active", "usesLeft": None, "parent": None,
                              "replacedBy": None, **more}
        if value:
            self.values[ident] = value

    def end(self, ident):
        """With all that was derived from it."""
        self.tokens[ident]["state"] = "revoked"
        for child, t in self.tokens.items():
            if t["parent"] == ident and t["state"] == "active":
                self.end(child)


def seen(agent):
    """What the agent holds, in the same form, as it lists and fetches it."""
    world = World()
    with agent.admin() as admin:
        world.is_locked = admin.call("GetStatus")["state"] == "locked"
        if world.is_locked:
            admin.call("Unlock", passphrase=PASSPHRASE)
    with agent.connect() as c:
        for t in c.list():
            world.add(t["id"], **{k: t.get(k) for k in ("name", "state", "usesLeft", "parent", "replacedBy")})
        try:
            got = c.call("Fetch", credential="held")
            world.held = got["revision"], got["text"]
        except Error as e:
            assert e.name == "CredentialEmpty", e
    return world


def differences(found, expected):
    """Sentences; none: they are the same."""
    said = []
    for ident in found.tokens.keys() | expected.tokens.keys():
        here, there = found.tokens.get(ident), expected.tokens.get(ident)
        if here != there:
            said.append(f"token {ident}: {here} is there, {there} was expected")
    if found.held != expected.held:
        said.append(f"credential: {found.held} is there, {expected.held} was expected")
    if found.is_locked != expected.is_locked:
        said.append(f"locked: {found.is_locked}, {expected.is_locked} was expected")
    return said


def verify_all(agent, world):
    """Every value of the world is as good as the world says; uses are left alone."""
    with agent.connect() as c:
        idents = [i for i in world.values if world.tokens[i]["usesLeft"] is None or world.tokens[i]["state"] != "active"]
        answers = serial(c, [("Verify", {"token": world.values[i], "scopes": ["a:read"]}) for i in idents])
        for ident, answer in zip(idents, answers):
            if world.tokens[ident]["state"] == "active":
                assert not isinstance(answer, Error), f"{ident} is not good: {answer}"
            else:
                assert isinstance(answer, Error) and answer.name == "TokenRevoked", f"{ident} is ended: {answer}"


def settle(agent, world, change=None, is_made=None):
    """Holds the agent against the world, after this change was made (is_made True), refused (False),
    or cut off (None: either). Gives the world that it is."""
    found = seen(agent)
    new = [i for i in found.tokens if i not in world.tokens]
    if change and is_made is None and not differences(found, world):
        is_made = False
    if change and is_made is not False:
        after = world.copy()
        change.apply(after, new)
        if is_made is None and found.is_locked != after.is_locked and not change.is_of_the_lock:
            after.is_locked = found.is_locked
        world = after
    said = differences(found, world)
    assert not said, f"after {change} (acknowledged: {is_made}): {'; '.join(said)}"
    if new and change:
        with agent.admin() as admin:
            entries = [a["entry"] for a in admin.more("ReadAudit", token=new[0])]
            assert None not in entries, f"{new[0]} is there, and no entry of the audit tells of it"
    verify_all(agent, world)
    world.is_locked = False  # seen() has unlocked it
    return world


# ---- changes -------------------------------------------------------------------------------------

class Change:
    """One for each time that it is made."""

    is_of_the_lock = False
    _n = 0

    def __init__(self):
        Change._n += 1
        self.n = Change._n
        self.reply = None

    def __str__(self):
        return f"{type(self).__name__} {self.n}"

    def ready(self, agent, world):
        """What has to be there first: made, and put into the world."""

    def ask(self, agent):
        """The call; raises one of GONE, or Error."""

    def apply(self, world, new):
        """new: ids that are there and were not in the world."""

    def partly(self, world):
        """Refused: of several calls those before were answered, and are put into the world."""

    def make(self, agent, world):
        """All three, for what others need."""
        self.ready(agent, world)
        self.ask(agent)
        self.apply(world, [])
        return self

    def takes_token(self, world, new, name, **more):
        """The token of the reply, or the one that is new."""
        if self.reply:
            world.add(id_of(self.reply["token"]), name, self.reply["token"], **more)
            return id_of(self.reply["token"])
        assert len(new) == 1, f"{self}: {len(new)} new tokens are there"
        world.add(new[0], name, **more)
        return new[0]


class Issue(Change):
    uses = None

    def ask(self, agent):
        with agent.connect() as c:
            self.reply = c.call("Issue", name=f"issued-{self.n}", scopes=["a:read"], uses=self.uses)

    def apply(self, world, new):
        self.ident = self.takes_token(world, new, f"issued-{self.n}", usesLeft=self.uses)


class IssueOnce(Issue):
    uses = 1


class IssueMany(Issue):
    uses = 1000000


class Derive(Change):
    parent = None

    def ready(self, agent, world):
        self.parent = self.parent or Issue().make(agent, world).reply["token"]

    def ask(self, agent):
        with agent.connect() as c:
            self.reply = c.call("Derive", token=self.parent, name=f"derived-{self.n}")

    def apply(self, world, new):
        self.ident = self.takes_token(world, new, f"derived-{self.n}", parent=id_of(self.parent))


class Use(Change):
    """A Verify of a token with many uses."""

    def ready(self, agent, world):
        have = [i for i, t in world.tokens.items() if t["usesLeft"] and t["usesLeft"] > 1 and i in world.values]
        ident = have[0] if have else IssueMany().make(agent, world).ident
        self.value = world.values[ident]

    def ask(self, agent):
        with agent.connect() as c:
            self.reply = c.call("Verify", token=self.value)

    def apply(self, world, new):
        t = world.tokens[id_of(self.value)]
        t["usesLeft"] -= 1
        if self.reply:
            assert self.reply["info"]["usesLeft"] == t["usesLeft"], self.reply
        if t["usesLeft"] == 0:
            t["state"] = "revoked"


class LastUse(Use):
    """Of a token with one."""

    def ready(self, agent, world):
        self.value = IssueOnce().make(agent, world).reply["token"]


class Rotate(Change):
    """With a grace: both are good."""

    grace = 3600

    def ready(self, agent, world):
        self.old = Issue().make(agent, world)

    def ask(self, agent):
        with agent.connect() as c:
            self.reply = c.call("Rotate", id=self.old.ident, graceSec=self.grace)

    def apply(self, world, new):
        ident = self.takes_token(world, new, f"issued-{self.old.n}")
        world.tokens[self.old.ident]["replacedBy"] = ident
        if self.grace == 0:
            world.end(self.old.ident)


class Replace(Rotate):
    """Without one."""

    grace = 0


class Revoke(Change):
    """With all that was derived."""

    def ready(self, agent, world):
        self.first = Issue().make(agent, world)
        for _ in range(2):
            child = Derive()
            child.parent = self.first.reply["token"]
            child.make(agent, world)
        grandchild = Derive()
        grandchild.parent = child.reply["token"]
        grandchild.make(agent, world)

    def ask(self, agent):
        with agent.connect() as c:
            self.reply = c.call("Revoke", id=self.first.ident)

    def apply(self, world, new):
        world.end(self.first.ident)


class Put(Change):
    def ask(self, agent):
        with agent.admin() as c:
            self.reply = c.call("Put", credential="held", text=f"value {self.n} " * 1000)

    def apply(self, world, new):
        world.revision += 1
        world.held = world.revision, f"value {self.n} " * 1000
        assert not self.reply or self.reply["revision"] == world.revision, self.reply


class Forget(Change):
    def ready(self, agent, world):
        if world.held is None:
            Put().make(agent, world)

    def ask(self, agent):
        with agent.admin() as c:
            self.reply = c.call("Forget", credential="held")

    def apply(self, world, new):
        world.held = None


class Lock(Change):
    is_of_the_lock = True

    def ask(self, agent):
        with agent.admin() as c:
            self.reply = c.call("Lock", passphrase=PASSPHRASE)

    def apply(self, world, new):
        world.is_locked = True


class Unlock(Change):
    is_of_the_lock = True

    def ready(self, agent, world):
        Lock().make(agent, world)

    def ask(self, agent):
        with agent.admin() as c:
            self.reply = c.call("Unlock", passphrase=PASSPHRASE)

    def apply(self, world, new):
        world.is_locked = False


class Nothing(Change):
    """What is asked leaves all as it is."""

    def apply(self, world, new):
        assert not new, f"{self}: new tokens"


class Rekey(Nothing):
    def ask(self, agent):
        with agent.admin() as c:
            self.reply = c.call("Rekey")


class Backup(Nothing):
    def ask(self, agent):
        with agent.admin() as c:
            c.send("Backup", {})
            if not c.sock.recv(1, socket.MSG_PEEK):
                raise Closed("before the reply")
            answer, fd = with_fd(c)
            assert fd is not None, answer
            with socket.socket(fileno=fd) as sock:
                n = 0
                while piece := sock.recv(1 << 20):
                    n += len(piece)
            if n < 72 + 65553:
                raise Closed("the copy is cut short")
            self.reply = answer


class Reload(Nothing):
    def ask(self, agent):
        with agent.admin() as c:
            self.reply = c.call("Reload")


class Verify(Nothing):
    """Of a token with no limit; its last use is noted."""

    def ready(self, agent, world):
        self.token = Issue().make(agent, world).reply["token"]

    def ask(self, agent):
        with agent.connect() as c:
            self.reply = c.call("Verify", token=self.token)


class Fetch(Nothing):
    def ready(self, agent, world):
        if world.held is None:
            Put().make(agent, world)

    def ask(self, agent):
        with agent.connect() as c:
            self.reply = c.call("Fetch", credential="held")


class Stop(Nothing):
    """As systemd stops it: the log is written back."""

    def ready(self, agent, world):
        Issue().make(agent, world)

    def ask(self, agent):
        agent.signal(signal.SIGTERM)
        assert agent.wait() in (0, -signal.SIGKILL), agent.log()[-2000:]
        raise Closed("stopped")


FRAME = 4120
CHECKPOINT = 1000  # frames of the log, then it is written back


class Checkpoint(Change):
    """Tokens until the log is written back, the last ones of them within reach of the kill."""

    def log_size(self, agent):
        try:
            return os.stat(f"{agent.state}/store.db-wal").st_size // FRAME
        except FileNotFoundError:
            return 0

    def ready(self, agent, world):
        # Each alone, as changes that are asked at once are one commit.
        with agent.connect() as c:
            while self.log_size(agent) < CHECKPOINT - 15:
                reply = c.call("Issue", name="filling", lifetimeSec=3600)
                c.call("Revoke", id=reply["info"]["id"])
                world.add(reply["info"]["id"], "filling", reply["token"], state="revoked")
                world.values.pop(reply["info"]["id"])
        self.replies = []

    def ask(self, agent):
        with agent.connect() as c:
            for n in range(8):
                self.replies.append(c.call("Issue", name=f"check-{self.n}-{n}"))
        self.reply = self.replies[-1]

    def partly(self, world):
        for n, reply in enumerate(self.replies):
            world.add(id_of(reply["token"]), f"check-{self.n}-{n}", reply["token"])

    def apply(self, world, new):
        self.partly(world)
        rest = [i for i in new if i not in world.tokens]
        assert len(rest) <= 1 and (not rest or len(self.replies) < 8), f"{self}: {rest} are there"
        for ident in rest:
            world.add(ident, f"check-{self.n}-{len(self.replies)}")


CHANGES = [Issue, Derive, Use, LastUse, Rotate, Replace, Revoke, Put, Forget, Rekey, Backup, Reload, Verify, Fetch,
           Stop, Checkpoint, Lock, Unlock]


# ---- what an agent starts from -------------------------------------------------------------------

def furnish(agent, world):
    """A bit of everything."""
    for change in (Put, Issue, Derive, Use, LastUse, Rotate, Replace, Revoke):
        change().make(agent, world)


def old_store(agent, with_log):
    """The files of a store of the first version, and what is in it."""
    directory = f"{agent.fast}/format-1{'-log' if with_log else ''}"
    os.makedirs(f"{directory}/state", 0o700)
    for name in os.listdir(f"{HERE}/format-1"):
        if name.endswith("-wal") and not with_log:
            continue
        with open(f"{HERE}/format-1/{name}", "rb") as f:
            data = f.read()
        if name == "store.db":
            data = data.ljust(OLD_STORE_SIZE, b"\0")
        fd = os.open(f"{directory}/state/{name}", os.O_WRONLY | os.O_CREAT, 0o600)
        with open(fd, "wb") as f:
            f.write(data)
    world = World()
    for name, value in FORMAT_1.items():
        if name != "late" or with_log:
            world.add(id_of(value), name, value)
    world.tokens[id_of(FORMAT_1["gone"])]["state"] = "revoked"
    world.tokens[id_of(FORMAT_1["kid"])]["parent"] = id_of(FORMAT_1["good"])
    world.tokens[id_of(FORMAT_1["few"])]["usesLeft"] = 999999
    world.held, world.revision = (1, "of format 1"), 1
    return directory, world


def new_agent():
    return Struck(SETTINGS, POLICY)
