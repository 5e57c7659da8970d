"""An agent that does everything, once, with values that nobody has seen before: for whoever looks where they are left."""

import base64
import os
import socket
import time

import memory
import search
from credentials import CAROL, POLICY, credentials, fetch_fd
from jeton import ALICE, BOB, IS_ROOT, Agent, Error, revalued, wait_until
from peers import Peer

SETTINGS = "MinLifetime=1s"


class World:
    """An agent that does everything, once, with values that nobody has seen before."""

    def __init__(self, leaks=False, setup=None):
        self.agent = Agent(SETTINGS, POLICY)
        self.arguments, self.env = self.agent.arguments, {}
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.journal.bind(f"{self.agent.dir}/journal")
        os.chmod(f"{self.agent.dir}/journal", 0o666)
        self.entries = []
        self.agent.arguments = self._arguments
        self.leaks, self.setup = leaks, setup
        self.agent.swept = not leaks
        if leaks:
            self.env = search.leaking(f"{self.agent.var}/leak")
        # kept: what an agent needs while it runs, so that it must be somewhere.
        self.needles, self.kept, self.name, self.n = search.Needles(), search.Needles(), "", 0
        self.start()

    def _arguments(self):
        # Of two the second counts, so that the first is room.
        room = ["--config", search.ROOM] if self.leaks else []
        return [*room, *self.arguments(), "--journal", f"{self.agent.dir}/journal"]

    def start(self):
        self.agent.start(env=self.env, setup=self.setup)
        self.admin, self.alice, self.bob = self.agent.admin(), self.agent.connect(), self.agent.connect(BOB)

    # ---- values

    def keep(self, value):
        """Remembers a value as one of this operation's, and gives it."""
        self.n += 1
        self.needles.add(**{f"{self.name} {self.n}": value})
        return value

    def text(self, n=64):
        return self.keep(os.urandom(n // 2).hex())

    def issued(self, client=None, **more):
        answer = (client or self.alice).call("Issue", name="n", **more)
        self.keep(answer["token"])
        return answer

    def wrong(self, token):
        return self.keep(revalued(token, secret=("0123456789abcdefghijABCDEFGHIJ" + os.urandom(7).hex())[:43]))

    # ---- looking

    def take_journal(self):
        while True:
            try:
                self.entries.append(("journal", self.journal.recv(1 << 18, socket.MSG_DONTWAIT)))
            except BlockingIOError:
                return self.entries

    def told(self):
        """What is left behind in words: journal, log, audit, files of every kind but the master key's."""
        yield from self.take_journal()
        yield from search.files(self.agent.dir, skip=[f"{self.agent.state}/master.key"])
        for entry in (a["entry"] for a in self.admin.more("ReadAudit")):
            yield "audit", repr(entry).encode()

    def found(self, ways=search.PASSIVE, needles=None):
        """{way: {name: places}}"""
        needles = needles or self.needles
        return {way.__name__: hits for way in ways if (hits := needles.among(way(self.agent.pid)))}


# ---- everything that an agent does with what is secret -------------------------------------------

def issue(w):
    w.issued()
    w.issued(binding="process", uses=3)
    w.issued(w.admin, ownerUid=ALICE)
    for parameters in ({"name": w.text(), "lifetimeSec": 0}, {"name": "n", "scopes": [w.text() + "/x:read"]},
                       {"name": "n", w.text(): 1}, {"name": w.text() + "\n"}):
        w.alice.error("Issue", **parameters)


def derive(w):
    parent = w.issued()["token"]
    w.keep(w.alice.call("Derive", token=parent, name="child")["token"])
    assert w.alice.error("Derive", token=w.wrong(parent), name="child").name == "InvalidToken"
    w.alice.error("Derive", token=parent, name="child", scopes=["acme/z:read"])


def verify(w):
    token = w.issued()["token"]
    w.bob.call("Verify", token=token)
    w.bob.error("Verify", token=token, scopes=["acme/z:read"])
    w.bob.error("Verify", token=w.wrong(token))
    w.bob.error("Verify", token=w.wrong(revalued(token, id="0" * 11)))


def verify_what_has_ended(w):
    spent, revoked, expired = w.issued(uses=1), w.issued(), w.issued(lifetimeSec=1)
    w.bob.call("Verify", token=spent["token"])
    w.alice.call("Revoke", id=revoked["info"]["id"])
    wait_until(lambda: time.time_ns() // 1000 > expired["info"]["expiresUSec"], "the end")
    for answer in (spent, revoked, expired):
        assert w.bob.error("Verify", token=answer["token"]).name in ("TokenRevoked", "TokenExpired")


def verify_what_is_none(w):
    for token in (w.text(), "jeton_" + w.text(), "jeton_0123456789A_" + w.text(48) + "A", w.text(4000)):
        assert w.bob.error("Verify", token=token).name == "InvalidToken"
    w.bob.error("Verify", token=[w.text()])
    w.bob.error("Verify", tokens=w.text())
    w.bob.error("Verify", token=w.issued(binding="process")["token"])


def rotate(w):
    old = w.issued()["info"]["id"]
    w.keep(w.alice.call("Rotate", id=old)["token"])
    w.bob.error("Rotate", id=old)


def revoke_by_value(w):
    token = w.issued()["token"]
    w.bob.error("Revoke", token=w.wrong(token))
    w.bob.call("Revoke", token=token)
    w.bob.call("Revoke", token=token)
    w.bob.error("Revoke", id=w.text())


def put(w):
    w.admin.call("Put", credential="api-key", text=w.text())
    w.admin.call("Put", credential="other", data=base64.b64encode(w.keep(os.urandom(48))).decode())
    w.admin.call("Put", credential="other", data=base64.b64encode(w.keep(os.urandom(32)) + bytes(48000)).decode())


def put_what_is_refused(w):
    w.admin.error("Put", credential="other", text=w.text() + "x" * 49152)
    w.admin.error("Put", credential="other", data=w.text() + "=")
    w.admin.error("Put", credential="other", data="-" + w.text())
    w.admin.error("Put", credential="other", text=w.text(), data=w.text())
    w.admin.error("Put", credential="fresh", text=w.text())
    w.admin.error("Put", credential="nobody", text=w.text())
    w.admin.error("Put", credential="other", text=w.text(), expiresUSec=1)
    w.alice.error("Put", credential="other", text=w.text())


def fetch(w):
    value = w.text()
    w.admin.call("Put", credential="api-key", text=value)
    assert w.alice.call("Fetch", credential="api-key")["text"] == value
    os.close(fetch_fd(w.bob, "api-key")[1])
    w.keep(w.bob.call("Fetch", credential="fresh")["text"])
    w.agent.connect(CAROL).error("Fetch", credential="api-key")
    w.bob.error("Fetch", credential="api-key", minLifetimeSec=-1)
    for _ in range(3):
        w.keep(w.bob.call("Fetch", credential="few")["text"])
    w.bob.error("Fetch", credential="few")
    credentials(w.bob)


def load_credential(w):
    path = f"{w.agent.run}/credential.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(b"\0" + os.urandom(8).hex().encode() + b"/unit/x.service/api-key")
        sock.settimeout(20)
        sock.connect(path)
        got = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        assert len(got) > 1 << 20 and not any(got), "refused by more zeros than systemd takes"


def forget(w):
    w.admin.call("Put", credential="other", text=w.text())
    w.admin.call("Forget", credential="other")


def a_call_that_is_half_sent(w):
    half = w.agent.admin()
    half.send_bytes(half.encode("Put", {"credential": "other", "text": w.text()})[:-4])
    verifying = w.agent.connect()
    verifying.send_bytes(verifying.encode("Verify", {"token": w.issued()["token"]})[:-1])
    w.admin.call("GetStatus")
    half.close()
    verifying.close()


def a_call_that_is_too_long(w):
    with w.agent.connect() as c:
        c.send_bytes(c.encode("Verify", {"token": w.text() + "x" * (1 << 17)})[:(1 << 17) + 1])
        assert c.is_closed()


def bytes_that_are_no_call(w):
    for text in (w.text(), '{"method":"io.jeton.Agent.Verify","parameters":{"token":"' + w.text() + '"',
                 '{"method":"io.jeton.Agent.' + w.text() + '"} x'):
        with w.agent.connect() as c:
            c.send_bytes(text.encode() + b"\0")
            assert c.is_closed()


def peers_that_vanish(w):
    w.admin.call("Put", credential="api-key", text=w.text())
    for method, parameters in (("Fetch", {"credential": "api-key"}), ("Verify", {"token": w.issued()["token"]})):
        with w.agent.connect(BOB) as c:
            c.send_bytes(c.encode(method, parameters) * 20)
            c.send_bytes(c.encode(method, parameters)[:-1])
    if IS_ROOT:
        gone = Peer(BOB)
        sock = gone.connect(w.agent.socket)
        gone.end()
        sock.sendall(w.bob.encode("Fetch", {"credential": "api-key"}) * 20)
        sock.close()


def everything_full(w):
    many = [w.agent.connect() for _ in range(40)]
    for c in many:
        c.send_bytes(c.encode("Verify", {"token": w.text() + "x" * 100000})[:-1])
    w.admin.call("GetStatus")
    for c in many:
        c.close()


def backup(w):
    w.admin.call("Put", credential="api-key", text=w.text())
    w.admin.send("Backup")
    message, fds, _, _ = socket.recv_fds(w.admin.sock, 65536, 1)
    assert message.endswith(b"\0") and w.admin.asked.popleft()
    with socket.socket(fileno=fds[0]) as sock:
        while piece := sock.recv(1 << 16):
            assert not w.needles.within(piece)


def rekey(w):
    keep_keys(w)
    w.admin.call("Rekey")
    keep_keys(w)


def wait_for_quiet(w):
    """Until what peers left is gone: the agent has closed what they closed."""
    wait_until(lambda: w.admin.call("GetStatus")["connections"] <= 3 + (not IS_ROOT), "closed connections")


def a_restart_and_a_kill(w):
    w.agent.stop()
    w.start()
    w.agent.kill()
    w.start()


def keep_keys(w):
    """The master key and the store's are gone after the start, those derived lie in locked memory."""
    files = w.agent.files()
    keys = memory.store_keys(files)
    w.keep(files["master.key"])
    w.keep(keys.pop(memory.STORE))
    w.kept.add(**{f"key {number}": key for number, key in keys.items()})


EVERYTHING = (keep_keys, issue, derive, verify, verify_what_has_ended, verify_what_is_none, rotate, revoke_by_value, put,
              put_what_is_refused, fetch, load_credential, forget, a_call_that_is_half_sent, a_call_that_is_too_long,
              bytes_that_are_no_call, peers_that_vanish, everything_full, backup, rekey, a_restart_and_a_kill)


def do(w, operation):
    w.name = operation.__name__
    operation(w)
    wait_for_quiet(w)


def locked_and_unlocked(w):
    """Each step of it, to be looked at after."""
    w.name, right = "lock", w.text()
    w.admin.error("Lock", passphrase="")
    w.alice.error("Lock", passphrase=w.text())
    yield
    w.admin.call("Lock", passphrase=right)
    yield
    w.name = "locked"
    w.bob.error("Fetch", credential="api-key")
    w.bob.error("Verify", token=w.wrong("jeton_" + "0" * 11 + "_" + "0" * 49))
    w.admin.error("Put", credential="other", text=w.text())
    w.admin.error("Unlock", passphrase=w.text())
    yield
    wait_until(lambda: answered(w.admin, "Unlock", passphrase=right), "the delay")
    yield


def answered(client, method, **parameters):
    try:
        client.call(method, **parameters)
        return True
    except Error:
        return False
