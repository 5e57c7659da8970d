#!/usr/bin/env -S python3 -B
"""Lock and Unlock: what a locked agent still does, that the passphrase alone opens it, that it stays
locked whatever happens, and that nothing is left in its memory meanwhile."""

import contextlib
import ctypes
import os
import socket
import sqlite3
import struct
import tempfile
import threading
import time

import memory
import peers
from credentials import POLICY, VALUE_MAX, invalid, start, with_fd
from jeton import (ANSWER_TIMEOUT, BOB, INTERFACE, IS_ROOT, Agent, Closed, Error, main, program, root, scratch, serial, test,
                   wait_until)

RIGHT = "correct horse battery staple"
# What a locked agent answers as ever; Revoke by id.
GOES_ON = {"GetStatus", "Unlock", "Revoke"}
MORE = {"List", "ListCredentials", "Watch", "ReadAudit"}


def state(client):
    return client.call("GetStatus")["state"]


def locked(policy=POLICY, settings="", value="the value"):
    agent, admin = start(policy, settings)
    admin.call("Put", credential="api-key", text=value)
    assert admin.call("Lock", passphrase=RIGHT) == {}
    return agent, admin


def fetched(agent):
    with agent.connect(BOB) as c:
        return c.call("Fetch", credential="api-key")["text"]


def answer(client, method, parameters):
    """The first reply, or Error."""
    client.send(method, parameters, **({"more": True} if method in MORE else {}))
    try:
        return client.reply()
    except Error as e:
        return e


def right_parameters(token):
    """Of every method."""
    return {
        "Issue": {"name": "n"}, "Derive": {"token": token["token"], "name": "n"},
        "Verify": {"token": token["token"]}, "Describe": {"id": token["info"]["id"]},
        "Revoke": {"token": token["token"]}, "Rotate": {"id": token["info"]["id"]},
        "Put": {"credential": "other", "text": "x"}, "Forget": {"credential": "api-key"},
        "Fetch": {"credential": "api-key"}, "Explain": {"credential": "api-key"},
        "Lock": {"passphrase": "another"},
    }


# ---- what goes on --------------------------------------------------------------------------------

@test
def a_locked_agent_answers_what_the_interface_says_and_nothing_else():
    agent, admin = start()
    alice = agent.connect()
    token = alice.call("Issue", name="n")
    admin.call("Put", credential="api-key", text="x")
    before = {t["id"]: t for t in alice.list()}
    admin.call("Lock", passphrase=RIGHT)
    parameters = right_parameters(token)
    for client in (admin, alice, agent.connect(BOB)):
        for method in INTERFACE.methods.keys() - (GOES_ON - {"Revoke"}):
            for given in (parameters.get(method, {}), {}, {"no-such": 1}):
                if method == "Revoke" and given != parameters["Revoke"]:
                    continue
                e = answer(client, method, given)
                assert isinstance(e, Error) and e.name == "AgentLocked" and not e.parameters, (method, given, e)
        assert state(client) == "locked"
        assert client.call("org.varlink.service.GetInfo")["interfaces"]
        assert client.call("org.varlink.service.GetInterfaceDescription",
                           interface="io.jeton.Agent")["description"]
        assert client.error("Nothing").name == "MethodNotFound"
    if IS_ROOT:
        assert alice.error("Unlock", passphrase=RIGHT).name == "PermissionDenied"
    admin.call("Unlock", passphrase=RIGHT)
    assert state(alice) == "running" and {t["id"]: t for t in alice.list()} == before
    assert alice.call("Verify", token=token["token"])["info"]["id"] == token["info"]["id"]
    assert fetched(agent) == "x"
    assert admin.call("Put", credential="api-key", text="y") == {"revision": 2} and fetched(agent) == "y"


@test
def a_token_is_revoked_by_id_while_locked_and_stays_so_after_a_kill():
    agent, admin = start()
    alice = agent.connect()
    tokens = [alice.call("Issue", name=f"n{i}") for i in range(4)]
    child = alice.call("Derive", token=tokens[0]["token"], name="child")
    admin.call("Lock", passphrase=RIGHT)
    info = alice.call("Revoke", id=tokens[0]["info"]["id"])["info"]
    assert info["state"] == "revoked" and info["ended"] == "owner"
    assert admin.call("Revoke", id=tokens[1]["info"]["id"])["info"]["state"] == "revoked"
    # Once more is no error, and what is not there is one.
    assert alice.call("Revoke", id=tokens[0]["info"]["id"])["info"] == info
    assert alice.error("Revoke", id="1" * 11).name == "NoSuchToken"
    invalid(alice.error("Revoke"), "id")
    invalid(alice.error("Revoke", id="x"), "id")
    assert alice.error("Revoke", token=tokens[2]["token"]).name == "AgentLocked"
    agent.kill()
    agent.start()
    alice, admin = agent.connect(), agent.admin()
    assert alice.call("Revoke", id=tokens[3]["info"]["id"])["info"]["state"] == "revoked"
    agent.kill()
    agent.start()
    agent.admin().call("Unlock", passphrase=RIGHT)
    alice = agent.connect()
    for t in (tokens[0], child, tokens[1], tokens[3]):
        assert alice.error("Verify", token=t["token"]).name == "TokenRevoked"
    assert alice.call("Verify", token=tokens[2]["token"])["info"]["state"] == "active"


@test
def tokens_expire_while_locked_and_those_who_watch_hear_of_it():
    agent, admin = start(settings="MinLifetime=1s")
    alice = agent.connect()
    w = alice.watch()
    admin_w = agent.admin().watch()
    token = agent.connect().call("Issue", name="brief", lifetimeSec=1)
    assert w.event()["kind"] == admin_w.event()["kind"] == "issued"
    admin.call("Lock", passphrase=RIGHT)
    kinds = [(e["kind"], e["seq"]) for e in (admin_w.event(), admin_w.event())]
    assert sorted(k for k, _ in kinds) == ["expired", "locked"], kinds
    assert [s for _, s in kinds] == [2, 3]
    assert sorted(w.event()["kind"] for _ in range(2)) == ["expired", "locked"]
    admin.call("Unlock", passphrase=RIGHT)
    event = w.event()
    assert event["kind"] == "unlocked" and event["seq"] == 4 and not event.get("token")
    assert agent.connect().error("Verify", token=token["token"]).name == "TokenExpired"
    # And they are in the store.
    agent.kill()
    agent.start()
    later = agent.connect().watch(after=1)
    assert {later.event()["kind"] for _ in range(3)} == {"locked", "unlocked", "expired"}


@test
def lists_that_were_begun_come_to_their_end():
    agent, admin = start()
    alice = agent.connect()
    serial(alice, [("Issue", {"name": f"n{i}" + "x" * 100}) for i in range(900)])
    slow = agent.connect()
    slow.send("List", more=True)
    first = slow.receive()
    admin.call("Lock", passphrase=RIGHT)
    n = 1
    while first.get("continues"):
        first, n = slow.receive(), n + 1
    assert n == 900


# ---- the passphrase ------------------------------------------------------------------------------

@test
def only_the_very_passphrase_unlocks():
    for right, wrong in ((RIGHT, RIGHT + " "), ("x" * 1024, "x" * 1023), ("é" * 512, "e" * 512), (" ", "  "),
                         ("\\\"\t\x01", "\\\"\t")):
        agent, admin = start()
        admin.call("Put", credential="api-key", text="x")
        admin.call("Lock", passphrase=right)
        assert admin.error("Unlock", passphrase=wrong).name == "WrongPassphrase"
        wait_until(lambda: answer(admin, "Unlock", {"passphrase": right}) == {}, "the delay")
        assert fetched(agent) == "x"
        assert admin.error("Unlock", passphrase=right).name == "NotLocked"
        agent.stop()


@test
def a_passphrase_has_1_to_1024_bytes():
    agent, admin = start()
    for bad in ("", "x" * 1025, "é" * 512 + "x"):
        invalid(admin.error("Lock", passphrase=bad), "passphrase")
        invalid(admin.error("Unlock", passphrase=bad), "passphrase")
    assert admin.error("Unlock", passphrase="x").name == "NotLocked" and state(admin) == "running"
    admin.call("Lock", passphrase=RIGHT)
    for bad in ("", "x" * 1025):
        invalid(admin.error("Unlock", passphrase=bad), "passphrase")
    # None of these was an attempt.
    admin.call("Unlock", passphrase=RIGHT)


@test(needs=[root])
def only_administrators_lock_and_unlock():
    agent, admin = start()
    alice = agent.connect()
    assert alice.error("Lock", passphrase=RIGHT).name == "PermissionDenied"
    assert alice.error("Unlock", passphrase=RIGHT).name == "PermissionDenied"
    admin.call("Lock", passphrase=RIGHT)
    for _ in range(3):
        assert alice.error("Unlock", passphrase="wrong").name == "PermissionDenied"
    # And others' attempts are none.
    admin.call("Unlock", passphrase=RIGHT)


@test
def the_passphrase_is_in_no_log_and_no_file():
    agent, admin = start()
    right, wrong = os.urandom(20).hex(), os.urandom(20).hex()
    admin.call("Lock", passphrase=right)
    admin.error("Unlock", passphrase=wrong)
    admin.error("Lock", passphrase=wrong)
    wait_until(lambda: answer(admin, "Unlock", {"passphrase": right}) == {}, "the delay")
    admin.call("Lock", passphrase=right)
    agent.stop()
    for text in (right, wrong):
        assert text not in agent.log()
        assert not any(text.encode() in data for data in agent.files().values())


# ---- wrong ones ----------------------------------------------------------------------------------

@test
def after_each_wrong_one_the_next_is_looked_at_later():
    agent, admin = locked()
    begun = time.monotonic()

    def delay_now():
        """What a wrong one is told. Until then not even the right one is looked at, and that costs nothing: it lies there
        before the wrong one is answered."""
        e, after = serial(admin, [("Unlock", {"passphrase": "wrong"}), ("Unlock", {"passphrase": RIGHT})])
        assert e.name == after.name == "WrongPassphrase" and 1 <= after.retryAfterSec <= e.retryAfterSec, (e, after)
        return e.retryAfterSec
    assert delay_now() == 1
    for delay in (2, 4):
        wait_until(lambda: delay_now() == delay, "the next to be looked at")
        assert time.monotonic() - begun >= delay - 1
    wait_until(lambda: answer(admin, "Unlock", {"passphrase": RIGHT}) == {}, "the delay")
    assert time.monotonic() - begun >= 7
    # It begins anew.
    admin.call("Lock", passphrase=RIGHT)
    assert admin.error("Unlock", passphrase="wrong").retryAfterSec == 1


@test
def a_thousand_wrong_ones_at_once_are_one_and_delay_nobody():
    # Who asks may have no processor while the first of them is being looked at.
    for _ in range(10):
        if (told := wrong_ones_at_once()) > 5:
            return
        print(f"# asked {told} times meanwhile")
    raise AssertionError("nobody was answered while a passphrase was looked at")


def wrong_ones_at_once():
    """How often others were answered while the first of them was looked at."""
    agent, admin = locked()
    other = agent.admin()
    clients = [agent.admin() for _ in range(20)]
    begun = time.monotonic()
    for c in clients:
        c.send_bytes(c.encode("Unlock", {"passphrase": "wrong"}) * 50)
    # Status is told while the first of them is being looked at, and before it is answered.
    told = 0
    clients[0].sock.setblocking(False)
    while True:
        assert state(other) == "locked"
        told += 1
        try:
            if clients[0].sock.recv(1, socket.MSG_PEEK):
                break
        except BlockingIOError:
            pass
    clients[0].sock.settimeout(ANSWER_TIMEOUT)
    for c in clients:
        for _ in range(50):
            message = c.receive()
            assert message["error"] == "io.jeton.Agent.WrongPassphrase", message
            assert message["parameters"]["retryAfterSec"] >= 1, message
    # One; where it took seconds to tell all of them so, as many more as would have been looked at one by one.
    assert 1 <= agent.log().count("gave a wrong passphrase") <= 1 + (time.monotonic() - begun)
    wait_until(lambda: answer(admin, "Unlock", {"passphrase": RIGHT}) == {}, "the delay")
    agent.stop()
    return told


@test
def locks_and_unlocks_at_once_are_one_after_the_other():
    agent, admin = start()
    clients = [agent.admin() for _ in range(6)]
    for c in clients:
        c.send("Lock", {"passphrase": RIGHT})
    answers = []
    for c in clients:
        try:
            answers.append(c.reply())
        except Error as e:
            answers.append(e.name)
    assert answers.count({}) == 1 and answers.count("AgentLocked") == 5, answers
    for c in clients:
        c.send("Unlock", {"passphrase": RIGHT})
    answers = []
    for c in clients:
        try:
            answers.append(c.reply())
        except Error as e:
            answers.append(e.name)
    assert answers.count({}) == 1 and answers.count("NotLocked") == 5, answers
    answers = serial(admin, [("Lock", {"passphrase": "a"}), ("GetStatus", {}), ("Unlock", {"passphrase": "a"}),
                             ("Lock", {"passphrase": "b"}), ("Unlock", {"passphrase": "a"}), ("GetStatus", {})])
    assert [answers[i] for i in (0, 2, 3)] == [{}] * 3 and answers[4].name == "WrongPassphrase"
    assert answers[1]["state"] == answers[5]["state"] == "locked"


@test
def a_caller_that_leaves_changes_nothing():
    agent, admin = start()
    admin.call("Put", credential="api-key", text="x")
    for method, then in (("Lock", "locked"), ("Unlock", "running")):
        c = agent.admin()
        c.send("GetStatus")
        c.reply()
        c.send(method, {"passphrase": RIGHT})
        c.send(method, {"passphrase": RIGHT})
        c.close()
        wait_until(lambda: state(admin) == then, then)
    assert fetched(agent) == "x"


# ---- it stays locked -----------------------------------------------------------------------------

@test
def a_restart_stays_locked():
    agent, admin = locked()
    for how in (agent.stop, agent.kill, agent.kill):
        how()
        agent.start()
        admin = agent.admin()
        status = admin.call("GetStatus")
        assert status["state"] == "locked" and status["credentials"] == 1, status
        assert agent.connect(BOB).error("Fetch", credential="api-key").name == "AgentLocked"
        assert admin.error("Unlock", passphrase="wrong").name == "WrongPassphrase"
        assert "locked since" in agent.log()
    wait_until(lambda: answer(admin, "Unlock", {"passphrase": RIGHT}) == {}, "the delay")
    assert fetched(agent) == "the value"
    # And unlocked it stays unlocked.
    agent.kill()
    agent.start()
    assert state(agent.admin()) == "running" and fetched(agent) == "the value"


@test
def a_file_that_root_removes_leaves_it_unlocked_at_the_next_start():
    agent, admin = locked()
    agent.kill()
    path = f"{agent.state}/locked"
    assert os.stat(path).st_mode & 0o7777 == 0o600
    os.unlink(path)
    agent.start()
    assert state(agent.admin()) == "running" and fetched(agent) == "the value"


@test
def a_file_that_is_no_good_stops_the_start_and_says_what_to_do():
    agent, admin = locked()
    agent.stop()
    path = f"{agent.state}/locked"
    before = agent.files()
    for spoil in (lambda d: d[:50] + bytes([d[50] ^ 1]) + d[51:], lambda d: d[:100], lambda d: b"",
                  lambda d: b"locked\n"):
        with open(path, "wb") as f:
            f.write(spoil(before["locked"]))
        said = agent.fails_to_start()
        assert path in said and "remove it" in said, said
    with open(path, "wb") as f:
        f.write(before["locked"])
    assert agent.files() == before
    agent.start()
    agent.admin().call("Unlock", passphrase=RIGHT)
    assert fetched(agent) == "the value"


@test
def the_passphrase_may_be_another_each_time():
    agent, admin = start()
    admin.call("Put", credential="api-key", text="x")
    files = set()
    for word in ("first", "second"):
        admin.call("Lock", passphrase=word)
        files.add(agent.files()["locked"])
        agent.restart()
        admin = agent.admin()
        other = "second" if word == "first" else "first"
        assert admin.error("Unlock", passphrase=other).name == "WrongPassphrase"
        wait_until(lambda: answer(admin, "Unlock", {"passphrase": word}) == {}, "the delay")
        assert "locked" not in agent.files() and fetched(agent) == "x"
    assert len(files) == 2


@test
def what_was_put_and_fetched_just_before_is_kept():
    agent, admin = start()
    admin.send("Put", {"credential": "api-key", "text": "old"})
    admin.reply()
    fetched(agent)
    answers = serial(admin, [("Put", {"credential": "api-key", "text": f"v{i}"}) for i in range(30)] +
                     [("Lock", {"passphrase": RIGHT})])
    assert answers[29] == {"revision": 31} and answers[30] == {}
    agent.kill()
    agent.start()
    admin = agent.admin()
    admin.call("Unlock", passphrase=RIGHT)
    listed = next(c["credential"] for c in admin.more("ListCredentials") if c["credential"]["name"] == "api-key")
    assert listed["revision"] == 31 and listed["lastFetchedUSec"], listed
    assert fetched(agent) == "v29"


# ---- races and failures --------------------------------------------------------------------------

@test(timeout=120)
def what_races_with_lock_is_refused_or_durable():
    agent, admin = start(settings="MaxTokensPerUser=100000")
    issued, refused, stop = [], [], threading.Event()

    def issue(client):
        while not stop.is_set():
            for a in serial(client, [("Issue", {"name": "n"})] * 20):
                (refused if isinstance(a, Error) else issued).append(a)
    threads = [threading.Thread(target=issue, args=(agent.connect(),)) for _ in range(4)]
    for t in threads:
        t.start()
    wait_until(lambda: len(issued) > 200, "some to be issued")
    admin.call("Lock", passphrase=RIGHT)
    n = len(issued)
    wait_until(lambda: len(refused) > 200, "some to be refused")
    stop.set()
    for t in threads:
        t.join()
    # Replies to what was answered before may have been on their way; no more than a batch each.
    assert len(issued) - n <= 80
    assert all(e.name == "AgentLocked" for e in refused)
    agent.kill()
    agent.start()
    agent.admin().call("Unlock", passphrase=RIGHT)
    alice = agent.connect()
    assert {t["id"] for t in alice.list()} == {a["info"]["id"] for a in issued}
    assert not any(isinstance(a, Error) for a in serial(alice, [("Verify", {"token": a["token"]}) for a in issued]))


@test
def a_change_of_keys_and_a_lock_at_once_are_one_after_the_other():
    agent, admin = start()
    admin.call("Put", credential="api-key", text="x")
    other = agent.admin()
    for _ in range(5):
        admin.send("Lock", {"passphrase": RIGHT})
        # Before it is locked, or when it is.
        rekeyed = answer(other, "Rekey", {})
        assert rekeyed == {} or rekeyed.name == "AgentLocked", rekeyed
        assert admin.reply() == {} and other.error("Rekey").name == "AgentLocked"
        agent.kill()
        agent.start()
        admin, other = agent.admin(), agent.admin()
        admin.call("Unlock", passphrase=RIGHT)
        assert fetched(agent) == "x"


@test(needs=[root])
def a_file_that_can_not_be_kept_leaves_it_unlocked_and_one_that_can_not_go_locked():
    agent, admin = start()
    admin.call("Put", credential="api-key", text="x")
    os.chmod(agent.state, 0o500)
    assert admin.error("Lock", passphrase=RIGHT).name == "StoreFailed"
    assert state(admin) == "running" and fetched(agent) == "x"
    os.chmod(agent.state, 0o700)
    admin.call("Lock", passphrase=RIGHT)
    os.chmod(agent.state, 0o500)
    # The right one is no wrong attempt, whatever becomes of it.
    for _ in range(2):
        assert admin.error("Unlock", passphrase=RIGHT).name == "StoreFailed"
    assert state(admin) == "locked"
    os.chmod(agent.state, 0o700)
    admin.call("Unlock", passphrase=RIGHT)
    assert fetched(agent) == "x"


@test(needs=[root])
def a_full_disk_leaves_it_unlocked():
    agent = Agent(policy=POLICY)

    def small():
        peers.own_mounts()
        peers.mount("tmpfs", agent.var, "tmpfs", 0, f"size=1m,mode=0755,uid={agent.uid},gid={agent.uid}")

    agent.start(setup=small)
    admin = agent.admin()
    admin.call("Put", credential="api-key", text="x")
    fill = os.path.join(f"/proc/{agent.pid}/root", agent.state.lstrip("/"), "fill")
    with contextlib.suppress(OSError), open(fill, "wb", 0) as f:
        while True:
            f.write(bytes(4096))
    assert admin.error("Lock", passphrase=RIGHT).name == "StoreFailed"
    assert state(admin) == "running" and fetched(agent) == "x"
    os.unlink(fill)
    admin.call("Lock", passphrase=RIGHT)
    assert state(admin) == "locked"


@test
def an_agent_with_wrong_policies_can_be_unlocked_and_then_mended():
    agent, admin = locked()
    agent.stop()
    agent.policy("[Nonsense]\n")
    agent.start()
    admin = agent.admin()
    assert state(admin) == "locked"
    assert admin.error("Reload").name == admin.error("Lock", passphrase=RIGHT).name == "AgentLocked"
    admin.call("Unlock", passphrase=RIGHT)
    assert state(admin) == "refusing"
    assert admin.error("Lock", passphrase=RIGHT).name == "PolicyInvalid"
    agent.policy(POLICY)
    admin.call("Reload")
    assert state(admin) == "running" and fetched(agent) == "the value"


@test
def clients_that_stand_still_with_a_value_are_closed_and_no_others():
    agent, admin = start()
    admin.call("Put", credential="api-key", text="x" * VALUE_MAX)
    half, unread, idle, watcher = agent.admin(), agent.connect(BOB), agent.connect(), agent.connect()
    watcher = watcher.watch()
    half.send_bytes(half.encode("Put", {"credential": "api-key", "text": "half"})[:-5])
    unread.send_bytes(unread.encode("Fetch", {"credential": "api-key"}) * 20)
    wait_until(lambda: unread.sock.recv(1, socket.MSG_PEEK), "a reply")
    assert state(idle) == "running"
    begun = time.monotonic()
    admin.call("Lock", passphrase=RIGHT)
    # What is unread is given up after thirty seconds otherwise.
    assert time.monotonic() - begun < 25
    for c in (half, unread):
        try:
            while c.receive_text():
                pass
        except Closed:
            pass
    assert state(idle) == "locked" and watcher.event()["kind"] == "locked"


# ---- memory --------------------------------------------------------------------------------------

def secret_half(data, passphrase):
    """The secret half in the file `locked`, opened as docs/store-format.md has it."""
    key, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
    passes, room = struct.unpack("<IQ", data[12:24])
    passphrase = passphrase.encode()
    assert memory.SODIUM.crypto_pwhash(key, ctypes.c_ulonglong(32), passphrase, ctypes.c_ulonglong(len(passphrase)),
                                       data[24:40], ctypes.c_ulonglong(passes), ctypes.c_size_t(room), 2) == 0
    assert memory.SODIUM.crypto_aead_xchacha20poly1305_ietf_decrypt(
        secret, None, None, data[108:156], ctypes.c_ulonglong(48), data[:84], ctypes.c_ulonglong(84),
        data[84:108], key) == 0
    return key.raw, secret.raw


def libcs_heap():
    """A need: memory.open_held() knows no other."""
    with open(program("jetond"), "rb") as f:
        return "a build with sanitizers" if b"san_init" in f.read() else None


def backup(client, pieces):
    """Reads so many pieces of a backup: the socket."""
    client.send("Backup")
    sock = socket.socket(fileno=with_fd(client)[1])
    while pieces and sock.recv(65536):
        pieces -= 1
    return sock


@test(needs=[root, libcs_heap], timeout=280)
def while_it_is_locked_no_value_and_no_key_to_one_is_in_its_memory():
    agent = Agent(policy=POLICY).start(setup=memory.readable)
    admin, bob = agent.admin(), agent.connect(BOB)
    assert admin.call("GetStatus")["memory"] == "locked"
    value, half = os.urandom(500).hex(), os.urandom(40).hex()
    large = os.urandom(VALUE_MAX // 2).hex()
    passphrase = os.urandom(16).hex()
    admin.call("Put", credential="api-key", text=large)
    unread, putting = agent.connect(BOB), agent.admin()
    unread.send_bytes(unread.encode("Fetch", {"credential": "api-key"}) * 20)
    wait_until(lambda: unread.sock.recv(1, socket.MSG_PEEK), "a reply")
    putting.send_bytes(putting.encode("Put", {"credential": "other", "text": half})[:-4])
    admin.call("Put", credential="api-key", text=value)
    minted = [bob.call("Fetch", credential="fresh")["text"] for _ in range(3)]
    assert bob.call("Fetch", credential="api-key")["text"] == value
    serial(bob, [("Fetch", {"credential": "api-key"})] * 100)
    backup(admin, -1).close()
    assert admin.call("Rekey") == {}
    half_read = backup(admin, 1)

    # Whoever has the memory of an agent that is not locked has the values: at least this finds them.
    on_their_way = [large[-150:-50].encode(), half.encode()]
    assert memory.found_in_memory(agent.pid, on_their_way) == on_their_way
    key, opened = memory.open_held(agent.pid, b"api-key", len(value))
    assert opened == value.encode()
    keys = [key, memory.store_keys(agent.files())[memory.CREDENTIALS]]
    assert memory.found_in_memory(agent.pid, keys) == keys

    admin.call("Lock", passphrase=passphrase)
    half_read.close()
    derived, secret = secret_half(agent.files()["locked"], passphrase)
    needles = [*on_their_way, value[:100].encode(), *keys, derived, secret, passphrase.encode(),
               *(m[18:61].encode() for m in minted)]
    assert memory.found_in_memory(agent.pid, needles) == []
    # What is there is found, still.
    assert memory.found_in_memory(agent.pid, [b"api-key"])
    admin.error("Unlock", passphrase=passphrase + "x")
    assert memory.found_in_memory(agent.pid, [*needles, (passphrase + "x").encode()]) == []

    wait_until(lambda: answer(admin, "Unlock", {"passphrase": passphrase}) == {}, "the delay")
    assert memory.found_in_memory(agent.pid, keys) == keys
    assert memory.found_in_memory(agent.pid, [derived, secret, passphrase.encode()]) == []
    assert bob.call("Fetch", credential="api-key")["text"] == value

    # A start that comes up locked leaves none, either.
    admin.call("Lock", passphrase=passphrase)
    agent.stop()
    agent.start(setup=memory.readable)
    assert state(agent.admin()) == "locked"
    assert memory.found_in_memory(agent.pid, [value[:100].encode(), *keys, passphrase.encode()]) == []
    assert memory.open_held(agent.pid, b"api-key", len(value)) is None


main()
