#!/usr/bin/env -S python3 -B
"""After each operation and each error no value, passphrase or key is anywhere that root can look: not in
the agent's memory, descriptors, arguments, environment or files, nor in a log, the journal or the audit."""

import base64
import ctypes
import os
import signal
import socket
import time

import memory
import search
from credentials import CAROL, POLICY, credentials, fetch_fd
from jeton import ALICE, AGENT_UID, BOB, IS_ROOT, Agent, Error, main, program, revalued, root, scratch, test, wait_until
from peers import Peer

SETTINGS = "MinLifetime=1s"


def secretmem():
    """A need: memory that root can't read."""
    fd = search.LIBC.syscall(memory.MEMFD_SECRET, 0)
    if fd < 0:
        return "a kernel without memfd_secret"
    os.close(fd)
    return None


def thoroughly():
    """A need, of what takes long."""
    return None if os.environ.get("JETON_MEMORY") == "all" else "takes long: JETON_MEMORY=all"


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


# ---- tests ---------------------------------------------------------------------------------------

def looked_at_after_each(w):
    # What is mapped from files is looked at once, at the end: it is large.
    ways = [way for way in search.PASSIVE if way is not search.mapped_files]
    for operation in EVERYTHING:
        do(w, operation)
        assert (found := w.found(ways)) == {}, (operation.__name__, found)
    for _ in locked_and_unlocked(w):
        assert (found := w.found(ways)) == {}, found
    assert (found := w.found()) == {}, found
    assert (found := w.needles.among(w.told())) == {}, found


@test(needs=[root, secretmem, search.whole_build], timeout=200)
def after_each_operation_and_each_error_nothing_secret_is_where_root_can_read_nor_a_key():
    w = World()
    assert w.admin.call("GetStatus")["memory"] == "secretmem"
    looked_at_after_each(w)
    assert (found := w.found(needles=w.kept)) == {}, found


@test(needs=[root, search.whole_build], timeout=200)
def without_memfd_secret_root_can_read_the_keys_in_use_and_no_value():
    w = World(setup=memory.readable)
    assert w.admin.call("GetStatus")["memory"] == "locked"
    looked_at_after_each(w)
    # Said as it is: this is what memfd_secret is for.
    assert {*w.found(needles=w.kept)} == {"memory_file", "memory_call"}


@test(needs=[root, thoroughly, search.gdb, search.whole_build], timeout=280)
def a_core_of_all_that_a_debugger_gets_has_nothing_secret_in_it():
    # Without memfd_secret, so that it has all of the agent's memory in it.
    w = World(setup=memory.readable)
    for operation in EVERYTHING:
        do(w, operation)
    for _ in locked_and_unlocked(w):
        pass
    assert (found := w.found([search.core])) == {}, found


def registers():
    """A need: names that gdb has for them."""
    return None if os.uname().machine == "x86_64" else "registers of x86-64"


@test(needs=[root, thoroughly, search.gdb, registers, search.whole_build], timeout=280)
def a_core_has_what_leaked_to_the_heap_to_a_stack_and_to_a_register():
    w = World(leaks=True)
    for operation in (issue, put):
        do(w, operation)
    raw = os.urandom(16)
    in_register = search.Needles(register=raw)
    halves = [int.from_bytes(raw[at:at + 8], "little") for at in (0, 8)]
    pieces = [*search.core(w.agent.pid, *(f"set var $xmm9.v2_int64[{i}] = {half}" for i, half in enumerate(halves)))]
    assert {n.split()[0] for n in w.needles.among(pieces)} == {"issue", "put"}
    assert in_register.among(pieces)
    w.agent.kill()


@test(needs=[root, search.whole_build], timeout=200)
def each_way_to_look_finds_what_an_agent_that_leaks_leaves_there():
    w = World(leaks=True)
    for operation in (issue, verify, put, derive):
        do(w, operation)
    for _ in locked_and_unlocked(w):
        pass
    found = w.found()
    assert {*found} == {way.__name__ for way in search.PASSIVE}, {*found}
    places = " ".join(p for hits in found["memory_file"].values() for p in hits)
    assert "[heap]" in places and "[stack]" in places, places
    assert {p for hits in found["told"].values() for p in hits} == {"cmdline", "environ"}
    words = " ".join(p for hits in w.needles.among(w.told()).values() for p in hits)
    assert f"{w.agent.var}/leak" in words and w.agent.log_path in words, words
    # Tokens, what was put, and passphrases.
    assert {n.split()[0] for n in found["memory_file"]} >= {"issue", "verify", "put", "lock"}
    w.agent.kill()


main()
