#!/usr/bin/env -S python3 -B
"""Backups: all that was acknowledged is in one, nothing of it in the clear, and it comes back as it should."""

import ctypes
import ctypes.util
import json
import os
import random
import shutil
import socket
import struct
import subprocess
import threading

from credentials import with_fd
from jeton import AGENT_UID, ALICE, BOB, IS_ROOT, Agent, main, now_us, program, root, scratch, test, wait_until

PASSPHRASE = "correct horse battery staple"
POLICY = f"""
[Access]
User={ALICE} {BOB}
Scope=acme/a:read acme/b:write
[Credential api-key]
[Credential other]
[Credential third]
[Fetch]
Credential=api-key other third
User={ALICE}
"""
STREAM_HEAD, FILE_HEAD, BLOCK, SEALED = 72, 136, 65536, 65553
HEAD, ACTIVE, ENDED, CREDENTIAL, END = 1, 2, 3, 4, 5


def issue(client, n, name="n"):
    """Issues that many tokens: [(value, info)]."""
    made = []
    for at in range(0, n, 100):
        some = range(at, min(n, at + 100))
        for i in some:
            client.send("Issue", {"name": f"{name}-{i}"})
        made += [client.reply() for _ in some]
    return [(answer["token"], answer["info"]) for answer in made]


def started(settings="", policy=POLICY, **how):
    return Agent(settings, policy).start(**how)


# ---- a backup, opened by the page of its format --------------------------------------------------

_sodium = None


def sodium():
    global _sodium
    if not _sodium:
        _sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
        assert _sodium.sodium_init() >= 0
    return _sodium


def opened(key, start, blocks):
    """The blocks of a stream, opened; the last one must be marked as such."""
    state = ctypes.create_string_buffer(1024)
    prefix = "crypto_secretstream_xchacha20poly1305_"
    assert getattr(sodium(), prefix + "init_pull")(state, start, key) == 0
    assert len(blocks) % SEALED == 0, len(blocks)
    plain, tag = ctypes.create_string_buffer(BLOCK), ctypes.c_ubyte()
    out = []
    for at in range(0, len(blocks), SEALED):
        assert tag.value == 0, "something follows the last block"
        piece = blocks[at:at + SEALED]
        assert getattr(sodium(), prefix + "pull")(state, plain, None, ctypes.byref(tag), piece,
                                                  ctypes.c_ulonglong(SEALED), None, ctypes.c_ulonglong(0)) == 0
        out.append(plain.raw)
    assert tag.value == 3, "the last block is missing"
    return out


def entries(blocks):
    """[(kind, bytes)]"""
    found = []
    for block in blocks:
        at = 0
        while at + 3 <= BLOCK and block[at]:
            kind, n = struct.unpack_from("<BH", block, at)
            found.append((kind, block[at + 3:at + 3 + n]))
            at += 3 + n
        assert not any(block[at:])
    assert found[0][0] == HEAD and found[-1][0] == END
    kinds = [kind for kind, _ in found]
    assert kinds == sorted(kinds)
    assert struct.unpack("<QQQ", found[-1][1]) == tuple(kinds.count(k) for k in (ACTIVE, ENDED, CREDENTIAL))
    return found


def token_id(inside):
    """The id in the record of a token."""
    return struct.unpack_from("<Q", inside, 2 + struct.unpack_from("<H", inside)[0] + 8)[0]


def number_of(text):
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    n = 0
    for c in text:
        n = n * 62 + digits.index(c)
    return n


def ask(client):
    """A socket to read a backup from."""
    client.send("Backup", {})
    answer, fd = with_fd(client)
    assert fd is not None and answer == {"fd": 0}, answer
    sock = socket.socket(fileno=fd)
    sock.settimeout(60)
    return sock


def read_all(sock):
    data = bytearray()
    while piece := sock.recv(1 << 20):
        data += piece
    sock.close()
    return bytes(data)


def take(client):
    """All entries of a backup that is made now."""
    data = read_all(ask(client))
    assert data[:16] == b"jeton stream\0\0\0\1"
    return entries(opened(data[16:48], data[48:72], data[72:]))


def ids(found, *kinds):
    return {token_id(inside) for kind, inside in found if kind in kinds}


# ---- the tool ------------------------------------------------------------------------------------

def tool(*words, stdin=PASSPHRASE + "\n", status=0, env=None):
    process = subprocess.run([program("jetonctl"), *words], input=stdin.encode(), capture_output=True, timeout=120,
                             check=False, env={"PATH": "/usr/bin:/bin", "HOME": "/", **(env or {})})
    out, err = process.stdout.decode(), process.stderr.decode()
    assert process.returncode == status, f"{words} ended with {process.returncode}: {out}{err}"
    assert PASSPHRASE not in out + err
    return out + err


def backup(agent, path=None, **how):
    path = path or f"{scratch()}/backup-{random.randrange(1 << 60):x}"
    tool("--socket", agent.socket, "backup", path, **how)
    return path


def restore(agent, path, *words, **how):
    return tool("--socket", agent.socket, *words, "restore", path, "--state", agent.state, **how)


def altered(data, at):
    """With one byte that is another, whichever it was."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def left(agent):
    """What a restore has left in the state directory."""
    return sorted(name for name in os.listdir(agent.state) if name.startswith("restore") and name != "restore.pub")


# ---- what is in one ------------------------------------------------------------------------------

@test
def a_backup_holds_all_that_was_acknowledged():
    agent = started()
    c, admin = agent.connect(), agent.admin()
    good = [info["id"] for _, info in issue(c, 700)]
    gone = [good.pop() for _ in range(50)]
    for i in gone:
        c.call("Revoke", id=i)
    admin.call("Put", credential="api-key", text="secret value")
    admin.call("Put", credential="other", text="x" * 48 * 1024)
    admin.call("Put", credential="third", text="y" * 48 * 1024)
    found = take(admin)
    assert ids(found, ACTIVE) == set(map(number_of, good))
    assert ids(found, ENDED) == set(map(number_of, gone))
    assert sum(kind == CREDENTIAL for kind, _ in found) == 3
    assert abs(struct.unpack_from("<Q", found[0][1])[0] - now_us()) < 60e6
    assert found[0][1][8:].decode() == socket.gethostname()[:64]
    # Again, and the agent is as before.
    assert ids(take(admin), ACTIVE, ENDED) == ids(found, ACTIVE, ENDED)


@test
def a_backup_of_an_empty_agent_is_whole():
    found = take(started().admin())
    assert [kind for kind, _ in found] == [HEAD, END]


@test
def a_backup_under_load_holds_every_token_acknowledged_before_it_in_one_state_at_least():
    agent = started("MaxTokensPerUser=100000")
    acknowledged, stop, failed = [], threading.Event(), []

    def work(seed, c):
        try:
            rng, mine = random.Random(seed), []
            while not stop.is_set():
                mine.append(c.call("Issue", name="n")["info"]["id"])
                acknowledged.append(mine[-1])
                if rng.random() < 0.5:
                    c.call("Revoke", id=mine.pop(rng.randrange(len(mine))))
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=work, args=(i, agent.connect())) for i in range(4)]
    for t in threads:
        t.start()
    try:
        admin = agent.admin()
        wait_until(lambda: len(acknowledged) > 300, "tokens")
        for _ in range(3):
            before = set(map(number_of, list(acknowledged)))
            found = take(admin)
            assert before <= ids(found, ACTIVE, ENDED), "an acknowledged token is missing"
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not failed, failed


@test(needs=[root])
def only_administrators_make_backups():
    agent = started()
    assert agent.connect().error("Backup").name == "PermissionDenied"


@test
def a_backup_that_nobody_can_hear_of_is_not_begun():
    agent = started()
    c = agent.admin()
    c.send("Backup", {}, oneway=True)
    for _ in range(4):
        assert c.call("GetStatus")
    socks = [ask(c) for _ in range(4)]
    for s in socks:
        read_all(s)


@test
def four_at_a_time_and_one_that_is_dropped_makes_room():
    agent = started("MaxTokensPerUser=100000")
    c, admin = agent.connect(), agent.admin()
    # More than fits into a socket, so that none is done before it is read.
    admin.call("Put", credential="api-key", text="x" * 48 * 1024)
    issue(c, 3000, "x" * 100)
    socks = [ask(admin) for _ in range(4)]
    error = admin.error("Backup")
    assert error.name == "LimitReached" and error.parameters == {"limit": "backups", "max": 4}, error
    socks.pop().close()
    socks.append(wait_until(lambda: try_ask(admin), "room for another"))
    for s in socks:
        data = read_all(s)
        assert len(ids(entries(opened(data[16:48], data[48:72], data[72:])), ACTIVE)) == 3000
    assert "before it was whole" in agent.log()


def try_ask(client):
    client.send("Backup", {})
    answer, fd = with_fd(client)
    return socket.socket(fileno=fd) if fd is not None else None



# ---- restoring -----------------------------------------------------------------------------------

def by_id(client, **how):
    return {info["id"]: info for info in client.list(**how)}


def same_facts(a, b, but=()):
    return {k: v for k, v in a.items() if k not in but} == {k: v for k, v in b.items() if k not in but}


@test
def a_new_agent_gets_all_of_it_and_it_is_good_there():
    old, new = started(), started()
    c = old.connect()
    plain, parent = c.call("Issue", name="plain", scopes=["acme/a:read"]), c.call("Issue", name="parent")
    child = c.call("Derive", token=parent["token"], name="child", lifetimeSec=600)
    grandchild = c.call("Derive", token=child["token"], name="grandchild")
    limited = c.call("Issue", name="limited", uses=5)
    c.call("Verify", token=limited["token"])
    rotated = c.call("Issue", name="rotated")
    after = c.call("Rotate", id=rotated["info"]["id"])
    gone = c.call("Issue", name="gone")
    c.call("Revoke", id=gone["info"]["id"])
    old.admin().call("Put", credential="api-key", text="the key's value")
    old.admin().call("Put", credential="api-key", text="the key's second value")
    old.admin().call("Put", credential="third", data="AAEC")
    old.admin().call("Put", credential="other", text="soon gone")
    old.admin().call("Forget", credential="other")
    said = restore(new, backup(old))
    assert "7 came back" in said and "1 came back among those that have ended" in said, said
    assert socket.gethostname() in said and left(new) == []
    there, d = by_id(c), new.connect()
    assert {i: t for i, t in by_id(d).items()} == there
    for good in (plain, parent, child, grandchild, rotated, after):
        assert d.call("Verify", token=good["token"], scopes=["acme/a:read"])
    assert d.call("Verify", token=limited["token"])["info"]["usesLeft"] == 3
    assert d.error("Verify", token=gone["token"]).name == "TokenRevoked"
    assert d.call("Fetch", credential="api-key")["text"] == "the key's second value"
    assert d.call("Fetch", credential="api-key")["revision"] == 2
    assert d.call("Fetch", credential="third")["data"] == "AAEC"
    assert d.error("Fetch", credential="other").name == "CredentialEmpty"
    assert new.admin().call("Put", credential="other", text="new") == {"revision": 2}
    # What ends there takes along what was derived, and all of it is as durable as any.
    d.call("Revoke", id=parent["info"]["id"])
    new.restart()
    d = new.connect()
    for bad in (parent, child, grandchild):
        assert d.error("Verify", token=bad["token"]).name == "TokenRevoked"
    assert d.call("Verify", token=plain["token"])


@test
def revocations_that_the_agent_knows_stay_and_so_does_all_else_that_came_later():
    agent = started()
    c, admin = agent.connect(), agent.admin()
    revoked, kept, parent = (c.call("Issue", name=n) for n in ("revoked", "kept", "parent"))
    child = c.call("Derive", token=parent["token"], name="child")
    for name in ("api-key", "other", "third"):
        admin.call("Put", credential=name, text="old")
    path = backup(agent)
    c.call("Revoke", id=revoked["info"]["id"])
    c.call("Revoke", id=parent["info"]["id"])
    later = c.call("Issue", name="later")
    admin.call("Put", credential="api-key", text="new")
    admin.call("Forget", credential="other")
    before = by_id(c), agent.admin().call("GetStatus")["tokensTotal"]
    for _ in range(2):
        said = restore(agent, path)
        assert "0 came back" in said and "good again" not in said, said
        assert (by_id(c), agent.admin().call("GetStatus")["tokensTotal"]) == before
    for bad in (revoked, parent, child):
        assert c.error("Verify", token=bad["token"]).name == "TokenRevoked"
    for good in (kept, later):
        assert c.call("Verify", token=good["token"])
    assert c.call("Fetch", credential="api-key")["text"] == "new"
    assert c.error("Fetch", credential="other").name == "CredentialEmpty"
    assert c.call("Fetch", credential="third")["text"] == "old"


@test
def what_the_backup_knows_to_have_ended_ends_and_what_is_not_known_comes_back():
    agent = started()
    c = agent.connect()
    ended, parent = c.call("Issue", name="ended"), c.call("Issue", name="parent")
    child = c.call("Derive", token=parent["token"], name="child")
    agent.stop()
    shutil.copytree(agent.state, f"{agent.state}.old", copy_function=shutil.copy2)
    agent.start()
    c = agent.connect()
    later = c.call("Issue", name="later")
    c.call("Revoke", id=ended["info"]["id"])
    c.call("Revoke", id=parent["info"]["id"])
    path = backup(agent)
    agent.stop()
    # The disk of some time ago, all of it.
    os.unlink(f"{agent.anchor}/anchor")
    for name in os.listdir(f"{agent.state}.old"):
        if name.startswith("store"):
            shutil.copyfile(f"{agent.state}.old/{name}", f"{agent.state}/{name}")
    agent.start()
    c = agent.connect()
    assert c.call("Verify", token=ended["token"])
    said = restore(agent, path)
    assert "1 came back" in said and "ended in the copy" in said, said
    for bad in (ended, parent, child):
        assert c.error("Verify", token=bad["token"]).name == "TokenRevoked"
    assert c.call("Verify", token=later["token"])


@test
def without_an_agent_it_waits_and_is_taken_in_at_the_next_start():
    old, new = started(), started()
    made = issue(old.connect(), 5)
    path = backup(old)
    new.stop()
    said = restore(new, path)
    assert "No agent runs" in said and left(new) == ["restore"], (said, left(new))
    assert "is there already" in restore(new, path, status=1)
    new.start()
    wait_until(lambda: "restore" not in left(new), "it is taken in")
    d = new.connect()
    for value, _ in made:
        assert d.call("Verify", token=value)
    assert "5 active tokens came back" in new.log()


@test(timeout=150)
def killed_in_the_midst_of_a_restore_it_is_taken_up_again():
    old, new = started("MaxTokensPerUser=100000"), started("MaxTokensPerUser=100000")
    c = old.connect()
    made = issue(c, 2000)
    ended = made[::7]
    for at in range(0, len(ended), 50):
        for _, info in ended[at:at + 50]:
            c.send("Revoke", {"id": info["id"]})
        for _ in ended[at:at + 50]:
            c.reply()
    active = {info["id"] for _, info in made} - {info["id"] for _, info in ended}
    path = backup(old)
    # Who looks may have no processor while it is in the midst of it.
    for _ in range(10):
        if kill_while_it_restores(new, path, made):
            break
        new = started("MaxTokensPerUser=100000")
    else:
        raise AssertionError("it was never in the midst")
    if not new.pid:
        new.start()
    status = new.admin().call("GetStatus")
    assert status["tokensActive"] == len(active) and status["tokensTotal"] == len(made), status
    d = new.connect()
    assert {t["id"] for t in d.list(state="active")} == active
    for value, info in made[::97]:
        if info["id"] in active:
            assert d.call("Verify", token=value)
        else:
            assert d.error("Verify", token=value).name == "TokenRevoked"


def kill_while_it_restores(new, path, made):
    """Has it take in the backup, and kills it again and again meanwhile: how often."""
    new.stop()
    restore(new, path)
    n, kills = 0, 0
    while "restore" in left(new):
        new.start()
        admin = new.admin()
        wait_until(lambda: admin.call("GetStatus")["tokensTotal"] > n or "restore" not in left(new), "more", every=0.001)
        n = admin.call("GetStatus")["tokensTotal"]
        if "restore" not in left(new):
            break
        kills += 0 < n < len(made)
        new.kill()
    return kills



# ---- what is left out ----------------------------------------------------------------------------

def with_accounts(accounts):
    """For spawn(): this agent alone sees these users, {name: uid}."""
    path = f"{scratch()}/passwd-{random.randrange(1 << 60):x}"
    with open("/etc/passwd", encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "".join(f"{name}:x:{uid}:{uid}::/:/bin/false\n" for name, uid in accounts.items()))

    def setup():
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(0x20000) == 0, "unshare"
        assert libc.mount(None, b"/", None, 0x44000, None) == 0, "private"
        assert libc.mount(path.encode(), b"/etc/passwd", None, 0x1000, None) == 0, "bind"

    return setup


@test(needs=[root])
def owners_are_found_by_their_names_on_another_host():
    policy = POLICY.replace(f"User={ALICE} {BOB}\nScope", "User=ann ben\nScope")
    old, new = Agent("", policy), Agent("", policy)
    old.start(setup=with_accounts({"ann": ALICE, "ben": BOB}))
    anns, bens = old.connect(ALICE), old.connect(BOB)
    hers, his = anns.call("Issue", name="hers"), bens.call("Issue", name="his")
    child = anns.call("Derive", token=hers["token"], name="child")
    ended = bens.call("Issue", name="ended")
    bens.call("Revoke", id=ended["info"]["id"])
    path = backup(old)
    # There ann has ben's number, ben another one.
    new.start(setup=with_accounts({"ann": BOB, "ben": BOB + 1}))
    said = restore(new, path)
    assert "3 came back" in said, said
    # The tool looks in the host's own accounts, which have neither.
    assert "ann (2 active tokens left out)" in said and "ben (1 active" in said, said
    anns, bens = new.connect(BOB), new.connect(BOB + 1)
    assert {t["name"] for t in anns.list()} == {"hers", "child"}
    assert {t["name"] for t in bens.list()} == {"his", "ended"}
    assert all((t["owner"], t["ownerUid"]) == ("ann", BOB) for t in anns.list())
    for good in (hers, his, child):
        assert new.admin().call("Verify", token=good["token"], scopes=["acme/a:read"])
    assert bens.error("Verify", token=ended["token"]).name == "TokenRevoked"
    new.restart(setup=with_accounts({"ann": BOB, "ben": BOB + 1}))
    assert {t["name"] for t in new.connect(BOB).list()} == {"hers", "child"}


@test(needs=[root])
def tokens_of_users_that_are_not_here_are_left_out_and_told_of():
    policy = POLICY.replace(f"User={ALICE} {BOB}\nScope", "User=ann ben\nScope")
    old, new = Agent("", policy), Agent("", policy)
    old.start(setup=with_accounts({"ann": ALICE, "ben": BOB}))
    hers = old.connect(ALICE).call("Issue", name="hers")
    his = old.connect(BOB).call("Issue", name="his")
    path = backup(old)
    new.start(setup=with_accounts({"ben": BOB}))
    said = restore(new, path)
    assert "1 came back" in said and "1 of users that are not on this host" in said, said
    assert "1 tokens of that backup were left out: their owners" in new.log()
    c = new.connect(BOB)
    assert c.call("Verify", token=his["token"]) and c.error("Verify", token=hers["token"]).name == "InvalidToken"
    # Once she has an account, again.
    new.restart(setup=with_accounts({"ann": ALICE, "ben": BOB}))
    said = restore(new, path)
    assert "1 came back" in said and "1 known here" in said, said
    assert new.connect(BOB).call("Verify", token=hers["token"])


def sealed_by_hand(agent, found):
    """Puts these entries, [(kind, bytes)], into the agent's state directory as what it is to restore."""
    lib, state = sodium(), ctypes.create_string_buffer(1024)
    key, start, block = os.urandom(32), ctypes.create_string_buffer(24), ctypes.create_string_buffer(SEALED)
    boxed = ctypes.create_string_buffer(80)
    with open(f"{agent.state}/restore.pub", "rb") as f:
        assert lib.crypto_box_seal(boxed, key, ctypes.c_ulonglong(32), f.read()) == 0
    plain = b"".join(struct.pack("<BH", kind, len(inside)) + inside for kind, inside in found)
    prefix = "crypto_secretstream_xchacha20poly1305_"
    assert getattr(lib, prefix + "init_push")(state, start, key) == 0
    assert getattr(lib, prefix + "push")(state, block, None, plain.ljust(BLOCK, b"\0"), ctypes.c_ulonglong(BLOCK),
                                         None, ctypes.c_ulonglong(0), ctypes.c_ubyte(3)) == 0
    with open(f"{agent.state}/restore", "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
        os.fchown(f.fileno(), os.stat(agent.state).st_uid, -1)
        f.write(b"jeton restore\0\0\1" + boxed.raw + start.raw + block.raw)
    with agent.admin() as admin:
        admin.call("Reload")
    wait_until(lambda: "restore" not in left(agent), "what lies there to be taken in")


@test(needs=[root])
def what_a_backup_says_has_ended_comes_back_by_no_other_entry_though_its_owner_is_not_here():
    policy = POLICY.replace(f"User={ALICE} {BOB}\nScope", "User=ann ben\nScope")
    old, new = Agent("", policy), Agent("", policy)
    old.start(setup=with_accounts({"ann": ALICE, "ben": BOB}))
    c = old.connect(BOB)
    his, other = c.call("Issue", name="his"), c.call("Issue", name="other")
    before = {token_id(inside): inside for kind, inside in take(old.admin()) if kind == ACTIVE}
    c.call("Revoke", id=his["info"]["id"])
    (ended,) = (inside for kind, inside in take(old.admin()) if kind == ENDED)
    assert b"ben" in ended
    new.start(setup=with_accounts({"ben": BOB}))
    made = [(HEAD, bytes(8)), *((ACTIVE, inside) for inside in before.values()),
            (ENDED, ended.replace(b"ben", b"ann")), (END, struct.pack("<QQQ", 2, 1, 0))]
    for _ in range(2):
        sealed_by_hand(new, made)
        assert "restore.bad" not in left(new), new.log()
        c = new.connect(BOB)
        assert c.call("Verify", token=other["token"])
        assert c.error("Verify", token=his["token"]).name == "InvalidToken"


@test
def what_has_expired_since_or_was_bound_is_left_out():
    old, new = started("MinLifetime=1s"), started()
    c = old.connect()
    bound = c.call("Issue", name="bound", binding="process")
    child = c.call("Derive", token=bound["token"], name="child")
    short, good = c.call("Issue", name="short", lifetimeSec=30), c.call("Issue", name="good")
    path = backup(old)
    wait_until(lambda: now_us() > short["info"]["expiresUSec"], "its end")
    said = restore(new, path)
    assert "1 came back" in said and "1 expired since" in said and "2 bound to" in said, said
    d = new.connect()
    for bad in (short, bound, child):
        assert d.error("Verify", token=bad["token"]).name == "InvalidToken"
    assert d.call("Verify", token=good["token"])


@test(timeout=150)
def what_does_not_fit_is_told_and_comes_when_there_is_room():
    old, new = started("MaxTokensPerUser=100000"), started("MemoryLimit=1M")
    made = issue(old.connect(), 12000, "x" * 20)
    path = backup(old)
    said = restore(new, path)
    assert "for want of room: raise MemoryLimit=" in said, said
    n = new.admin().call("GetStatus")["tokensActive"]
    assert 1000 < n < 12000 and f"{n} came back" in said, (n, said)
    new.settings("MemoryLimit=64M")
    new.restart()
    assert f"{12000 - n} came back" in restore(new, path)
    d = new.connect()
    for value, _ in made[::1000]:
        assert d.call("Verify", token=value)


# ---- what is wrong with a file -------------------------------------------------------------------

def state_of(agent):
    return sorted(agent.files()), by_id(agent.connect())


@test(timeout=150)
def a_file_that_is_not_as_it_was_made_is_refused_with_nothing_changed():
    agent = started()
    issue(agent.connect(), 700, "x" * 100)
    path, bad = backup(agent), f"{scratch()}/bad"
    with open(path, "rb") as f:
        good = f.read()
    assert len(good) > FILE_HEAD + 2 * SEALED
    before = state_of(agent)
    cost = struct.pack("<II", 3, 100 << 20)
    cases = [
        (good[:50], "cut short"), (good[:FILE_HEAD + 1], "cut short"), (good[:-1], "cut short"),
        (good[:-SEALED], "cut short"), (good + b"x", "goes on after its end"),
        (altered(good, 9), "is no backup"), (b"", "is no backup"), (os.urandom(5000), "is no backup"),
        (good[:15] + b"\2" + good[16:], "newer Jeton"), (good[:15] + b"\0" + good[16:], "older Jeton"),
        (good[:16] + cost + good[24:], "more than any backup's"),
        (good[:24] + b"salt" + good[28:], "wrong passphrase"), (good[:70] + b"key" + good[73:], "wrong passphrase"),
        (good[:115] + b"head" + good[119:], "altered or is damaged"),
        (altered(good, 70000), f"altered or is damaged, in the 64 KiB from byte {FILE_HEAD + SEALED}"),
        (good[:FILE_HEAD] + good[FILE_HEAD + SEALED:], "altered or is damaged"),
    ]
    for data, sentence in cases:
        with open(bad, "wb") as f:
            f.write(data)
        said = restore(agent, bad, status=1)
        assert sentence in said and "nothing has changed" in said and said.count("\n") == 1, (sentence, said)
    assert "wrong passphrase" in restore(agent, path, stdin="another\n", status=1)
    assert "empty" in restore(agent, path, stdin="\n", status=1)
    assert "No such file" in restore(agent, f"{scratch()}/nowhere", status=1)
    assert state_of(agent) == before and agent.is_running()
    assert "0 came back" in restore(agent, path)


@test
def what_lies_there_and_is_no_good_is_set_aside_and_the_agent_goes_on():
    old, agent, other = started(), started(), started()
    made = issue(old.connect(), 300, "x" * 100)
    path = backup(old)
    other.stop()
    restore(other, path)
    with open(f"{other.state}/restore", "rb") as f:
        foreign = f.read()
    agent.stop()
    restore(agent, path)
    with open(f"{agent.state}/restore", "rb") as f:
        own = f.read()
    os.unlink(f"{agent.state}/restore")
    agent.start()

    def lay(data, mode=0o600):
        with open(f"{agent.state}/restore", "wb") as f:
            f.write(data)
        os.chmod(f"{agent.state}/restore", mode)
        if IS_ROOT:
            os.chown(f"{agent.state}/restore", AGENT_UID, AGENT_UID)

    for data, mode, why in ((b"", 0o600, "nothing that jetonctl made"), (b"x" * 200, 0o600, "nothing that jetonctl made"),
                            (foreign, 0o600, "for another agent"), (own[:-1], 0o600, "altered or is damaged"),
                            (altered(own, 200), 0o600, "altered or is damaged"),
                            (own + b"x", 0o600, "altered or is damaged"), (own[:-SEALED], 0o600, "altered or is damaged"),
                            (own, 0o640, "others could have written it")):
        lay(data, mode)
        mark = agent.log_size()
        agent.admin().call("Reload")
        assert why in agent.log(mark) and "restore.bad" in agent.log(mark), (why, agent.log(mark))
        assert "restore" not in left(agent) and "restore.bad" in left(agent), left(agent)
        assert agent.admin().call("GetStatus")["tokensTotal"] == 0
    os.symlink(f"{agent.dir}/elsewhere", f"{agent.state}/restore")
    agent.admin().call("Reload")
    os.mkfifo(f"{agent.state}/restore")
    agent.restart()
    agent.admin().call("Reload")
    assert "no plain file" in agent.log() and "restore" not in left(agent)
    lay(own)
    agent.admin().call("Reload")
    assert left(agent) == ["restore.bad", "restore.result"]
    assert agent.connect().call("Verify", token=made[0][0])


@test
def a_file_tells_no_name_no_value_and_nothing_else_that_was_put():
    agent = started()
    c = agent.connect()
    needles = [os.urandom(16).hex() for _ in range(3)]
    token = c.call("Issue", name=needles[0], scopes=["acme/a:read"])
    agent.admin().call("Put", credential="api-key", text=needles[1])
    ended = c.call("Issue", name=needles[2])
    c.call("Revoke", id=ended["info"]["id"])
    path = backup(agent)
    with open(path, "rb") as f:
        data = f.read()
    assert os.stat(path).st_mode & 0o7777 == 0o600 and len(data) == FILE_HEAD + SEALED
    opened_again = b"".join(inside for _, inside in take(agent.admin()))
    words = [n.encode() for n in needles] + [b"acme/a:read", b"api-key"]
    for word in words:
        assert word in opened_again, f"{word} is not even in the copy"
        assert word not in data, word
    secret = token["token"][18:61].encode()
    assert secret not in opened_again and secret not in data
    # Nor does what lies in the state directory, nor what is said.
    other = started()
    other.stop()
    restore(other, path)
    for name, content in other.files().items():
        for word in words:
            assert word not in content, (name, word)


# ---- the tool's manners --------------------------------------------------------------------------

@test
def a_backup_is_written_over_nothing_and_leaves_nothing_where_it_fails():
    agent = started()
    where = f"{scratch()}/where"
    os.mkdir(where)
    path = f"{where}/file"
    backup(agent, path)
    with open(path, "rb") as f:
        before = f.read()
    assert "is there already" in tool("--socket", agent.socket, "backup", path, status=1)
    with open(path, "rb") as f:
        assert f.read() == before
    assert "empty" in tool("--socket", agent.socket, "backup", f"{path}2", stdin="", status=1)
    assert "over 1024 bytes" in tool("--socket", agent.socket, "backup", f"{path}2", stdin="x" * 1025, status=1)
    tool("--socket", f"{where}/none", "backup", f"{path}2", status=5)
    assert "No such file" in tool("--socket", agent.socket, "backup", f"{where}/no/file", status=1)
    agent.stop()
    tool("--socket", agent.socket, "backup", f"{path}2", status=5)
    assert os.listdir(where) == ["file"]


@test(needs=[root])
def a_full_disk_leaves_nothing():
    agent = started()
    issue(agent.connect(), 500, "x" * 100)
    where = f"{scratch()}/full"
    os.mkdir(where)
    script = (f"mount -t tmpfs -o size=64k none {where} && {program('jetonctl')} --socket {agent.socket} backup {where}/f;"
              f"echo status $?; ls -A {where}")
    process = subprocess.run(["unshare", "-m", "sh", "-c", script], input=PASSPHRASE.encode(), capture_output=True,
                             timeout=60, check=True)
    assert process.stdout.decode() == "status 1\n", process.stdout
    assert "No space left" in process.stderr.decode() and "nothing of it is left" in process.stderr.decode()


@test(timeout=150)
def a_reader_that_stands_still_is_let_go_and_holds_up_nobody():
    agent = started("MaxTokensPerUser=100000")
    issue(agent.connect(), 3000, "x" * 100)
    sock = ask(agent.admin())
    for _ in range(20):
        assert agent.admin().call("GetStatus")
    assert len(take(agent.admin())) == 3002
    wait_until(lambda: "nothing of it was read for 30 s" in agent.log(), "it is let go", timeout=120, every=0.2)
    data = read_all(sock)
    assert len(data) % SEALED != STREAM_HEAD or len(data) < 3000 * 200


@test
def wrong_policies_do_not_keep_a_backup_from_coming_back():
    old, new = started(), started()
    made = issue(old.connect(), 3)
    path = backup(old)
    new.policy("[Nonsense]\n", "wrong.policy")
    assert "3 came back" in restore(new, path)
    assert new.connect().call("Verify", token=made[0][0])


@test(needs=[root])
def only_root_and_the_agents_user_restore():
    agent = started()
    path = backup(agent)
    os.chmod(path, 0o644)
    for uid, status, sentence in ((BOB, 4, "for root, or for the user that the agent runs as"),):
        process = subprocess.run(["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups",
                                  program("jetonctl"), "--socket", agent.socket, "restore", path, "--state", agent.state],
                                 input=PASSPHRASE.encode(), capture_output=True, timeout=60, check=False)
        assert process.returncode == status and sentence in process.stderr.decode(), process


@test
def where_the_state_is_must_be_known():
    agent = started()
    path = backup(agent)
    assert "--state DIR says where" in tool("--socket", agent.socket, "restore", path, status=2)
    assert "there is no restore.pub" in tool("--socket", agent.socket, "restore", path, "--state", scratch(), status=1)
    assert "there is no state directory" in tool("--socket", agent.socket, "restore", path, "--state", f"{scratch()}/no", status=1)



# ---- with a lock ---------------------------------------------------------------------------------

@test
def locking_ends_a_backup_that_is_under_way_and_allows_no_other():
    agent = started("MaxTokensPerUser=100000")
    issue(agent.connect(), 3000, "x" * 100)
    admin = agent.admin()
    sock = ask(admin)
    admin.call("Lock", passphrase="locked")
    assert len(read_all(sock)) < 3000 * 200
    assert admin.error("Backup").name == "AgentLocked"
    said = tool("--socket", agent.socket, "backup", f"{scratch()}/no", status=1)
    assert "locked" in said and not os.path.exists(f"{scratch()}/no"), said
    admin.call("Unlock", passphrase="locked")
    assert len(take(admin)) == 3002


@test
def a_locked_agent_takes_a_backup_in_when_it_is_unlocked():
    old, new = started(), started()
    made = issue(old.connect(), 3)
    old.admin().call("Put", credential="api-key", text="a value")
    path = backup(old)
    new.admin().call("Lock", passphrase="locked")
    said = restore(new, path)
    assert "The agent is locked" in said and left(new) == ["restore"], (said, left(new))
    new.restart()
    assert left(new) == ["restore"] and new.admin().call("GetStatus")["state"] == "locked"
    new.admin().call("Unlock", passphrase="locked")
    wait_until(lambda: "restore" not in left(new), "it is taken in")
    assert new.connect().call("Verify", token=made[0][0])
    assert new.connect().call("Fetch", credential="api-key")["text"] == "a value"


@test(timeout=150)
def locked_in_the_midst_of_a_restore_it_begins_anew_when_it_is_unlocked():
    old, new = started("MaxTokensPerUser=100000"), started("MaxTokensPerUser=100000")
    made = issue(old.connect(), 2000)
    old.admin().call("Put", credential="api-key", text="a value")
    path = backup(old)
    new.stop()
    restore(new, path)
    new.start()
    n = new.admin().call("GetStatus")["tokensActive"]
    new.admin().call("Lock", passphrase="locked")
    while "restore" in left(new) and n < 1900:
        new.admin().call("Unlock", passphrase="locked")
        wait_until(lambda: "restore" not in left(new) or new.admin().call("GetStatus")["tokensActive"] > n, "more")
        new.admin().call("Lock", passphrase="locked")
        n = new.admin().call("GetStatus")["tokensActive"]
    new.admin().call("Unlock", passphrase="locked")
    wait_until(lambda: "restore" not in left(new), "it is taken in")
    assert new.admin().call("GetStatus")["tokensActive"] == len(made)
    assert new.connect().call("Fetch", credential="api-key")["text"] == "a value"


# ---- as JSON -------------------------------------------------------------------------------------

@test
def both_tell_their_figures_as_json():
    agent = started()
    issue(agent.connect(), 3)
    path = f"{scratch()}/as-json"
    told = json.loads(tool("--json=short", "--socket", agent.socket, "backup", path))
    assert (told.pop("tokensActive"), told.pop("tokensEnded"), told.pop("credentials")) == (3, 0, 0)
    assert abs(told.pop("takenUSec") - now_us()) < 60e6 and not told, told
    told = json.loads(restore(agent, path, "--json=pretty"))
    assert told["tokensKnown"] == 3 and told["tokensRestored"] == 0 and len(told) == 12, told


@test
def an_agent_without_a_disk_is_backed_up_as_any():
    agent = Agent("Storage=volatile", POLICY)
    os.makedirs(f"{agent.dir}/keys", mode=0o755)
    with open(f"{agent.dir}/keys/jeton.master", "wb") as f:
        f.write(os.urandom(32))
    os.chmod(f"{agent.dir}/keys/jeton.master", 0o600)
    if IS_ROOT:
        os.chown(f"{agent.dir}/keys/jeton.master", AGENT_UID, AGENT_UID)
    agent.start(env={"CREDENTIALS_DIRECTORY": f"{agent.dir}/keys"})
    made, other = issue(agent.connect(), 3), started()
    assert "3 came back" in restore(other, backup(agent))
    assert other.connect().call("Verify", token=made[0][0])
    assert not os.path.exists(agent.state)


main()
