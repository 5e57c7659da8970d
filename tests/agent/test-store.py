#!/usr/bin/env -S python3 -B
"""What was acknowledged is kept: over restarts, kills and full disks; and nothing is opened that is
not whole, ours and of this key."""

import os
import random
import shutil
import sqlite3
import stat
import threading

from jeton import (AGENT_UID, ALICE, IS_ROOT, Agent, Closed, Error, Exit, main, root, scratch,
                   serial, test, wait_until)
from peers import mount, own_mounts

POLICY = f"[Access]\nUser={ALICE}\nScope=a:read a:write\n"


def started(settings="", **how):
    return Agent(settings, POLICY).start(**how)


# ---- restarts ------------------------------------------------------------------------------------

@test
def a_restart_keeps_everything():
    agent = started()
    c = agent.connect()
    plain = c.call("Issue", name="plain", scopes=["a:read"])
    parent = c.call("Issue", name="parent")
    child = c.call("Derive", token=parent["token"], name="child")
    gone = c.call("Issue", name="gone")
    c.call("Revoke", id=gone["info"]["id"])
    limited = c.call("Issue", name="limited", uses=5)
    c.call("Verify", token=limited["token"])
    old = c.call("Issue", name="old")
    new = c.call("Rotate", id=old["info"]["id"])
    c.call("Verify", token=plain["token"])
    before, status = c.list(), c.call("GetStatus")
    agent.restart()
    c = agent.connect()
    assert c.list() == before, (before, c.list())
    after = c.call("GetStatus")
    for same in ("tokensActive", "tokensTotal"):
        assert after[same] == status[same]
    for good in (plain, parent, child, old, new):
        assert c.call("Verify", token=good["token"], scopes=["a:read"])
    assert c.error("Verify", token=gone["token"]).name == "TokenRevoked"
    assert c.call("Verify", token=limited["token"])["info"]["usesLeft"] == 3
    c.call("Revoke", id=parent["info"]["id"])
    assert c.error("Verify", token=child["token"]).name == "TokenRevoked"
    agent.restart()
    c = agent.connect()
    assert c.error("Verify", token=child["token"]).name == "TokenRevoked"


@test
def the_last_use_is_kept_over_a_stop():
    agent = started()
    c = agent.connect()
    answer = c.call("Issue", name="n")
    c.call("Verify", token=answer["token"])
    used = c.call("Describe", id=answer["info"]["id"])["info"]["lastUsedUSec"]
    assert used
    agent.restart()
    assert agent.connect().call("Describe", id=answer["info"]["id"])["info"]["lastUsedUSec"] == used


@test
def ids_are_not_given_again_after_a_restart():
    agent = started("KeepEnded=1s\nMaxTokensPerUser=5000")
    seen = set()
    for _ in range(4):
        c = agent.connect()
        answers = serial(c, [("Issue", {"name": "n"})] * 300)
        ids = {a["info"]["id"] for a in answers}
        assert len(ids) == 300 and not ids & seen
        seen |= ids
        serial(c, [("Revoke", {"id": ident}) for ident in ids])
        agent.restart()


@test
def nothing_readable_lies_on_the_disk():
    agent = started()
    c = agent.connect()
    values = []
    for n in range(50):
        answer = c.call("Issue", name=f"needle-in-a-name-{n}", scopes=["a:read"])
        values += [answer["token"], answer["token"][18:61], answer["info"]["id"]]
        c.call("Verify", token=answer["token"])
        if n % 2:
            c.call("Revoke", id=answer["info"]["id"])
    agent.kill()
    files = agent.files()
    assert sum(map(len, files.values())) > 50 * 100
    for path, data in files.items():
        for needle in [b"needle-in-a-name", b"a:read", *(v.encode() for v in values)]:
            assert needle not in data, (path, needle[:20])


@test
def the_state_is_the_agents_alone_whatever_the_umask():
    for umask in (0o000, 0o777, 0o022):
        agent = started(setup=lambda umask=umask: os.umask(umask))
        agent.connect().call("Issue", name="n")
        assert stat.S_IMODE(os.stat(agent.state).st_mode) == 0o700
        for parent, _, names in os.walk(agent.state):
            for name in names:
                mode = stat.S_IMODE(os.lstat(os.path.join(parent, name)).st_mode)
                assert not mode & 0o077, (umask, name, oct(mode))
        agent.restart()
        assert len(agent.connect().list()) == 1
        agent.stop()


@test
def a_volatile_store_keeps_nothing_on_disk():
    agent = started("Storage=volatile")
    c = agent.connect()
    answer = c.call("Issue", name="n")
    assert c.call("Verify", token=answer["token"], scopes=["a:read"])
    c.call("Revoke", id=answer["info"]["id"])
    assert c.error("Verify", token=answer["token"]).name == "TokenRevoked"
    assert c.list(state="revoked")
    assert agent.files() == {} if os.path.exists(agent.state) else True
    agent.restart()
    c = agent.connect()
    assert c.error("Verify", token=answer["token"]).name == "InvalidToken" and c.list() == []


# ---- kills ---------------------------------------------------------------------------------------

class Stream(threading.Thread):
    """A client that changes things without pause until the agent is gone, and notes what it was told."""

    def __init__(self, client, seed):
        super().__init__()
        self.c, self.random = client, random.Random(seed)
        self.live, self.ended, self.unsure = {}, {}, set()
        self.uses = {}
        self.done = 0

    def run(self):
        try:
            while True:
                self.step()
                self.done += 1
        except (Closed, BrokenPipeError, ConnectionResetError):
            pass

    def step(self):
        action = self.random.choice(["issue", "issue", "revoke", "derive", "rotate", "use"])
        token = self.random.choice(list(self.live)) if self.live else None
        if action == "issue" or not token:
            uses = self.random.choice([None, 50])
            self.take(self.c.call("Issue", name="n", uses=uses))
        elif action == "revoke":
            self.unsure.add(token)
            self.c.call("Revoke", token=token)
            self.end(token)
        elif action == "derive" and self.uses.get(token) is None:
            try:
                self.take(self.c.call("Derive", token=token, name="c"))
            except Error as e:
                assert e.name == "LimitReached", e
        elif action == "rotate" and self.uses.get(token) is None:
            self.unsure.add(token)
            answer = self.c.call("Rotate", id=token[6:17], graceSec=0)
            self.end(token)
            self.take(answer)
        elif action == "use" and self.uses.get(token):
            self.uses[token] = self.c.call("Verify", token=token)["info"]["usesLeft"]
            if self.uses[token] == 0:
                self.end(token)

    def take(self, answer):
        self.live[answer["token"]] = answer["info"].get("parent")
        if answer["info"].get("usesLeft"):
            self.uses[answer["token"]] = answer["info"]["usesLeft"]

    def end(self, token):
        """It is acknowledged to be ended, and all that came of it."""
        self.ended[token] = True
        self.live.pop(token, None)
        self.unsure.discard(token)
        for child in [t for t, parent in self.live.items() if parent == token[6:17]]:
            self.end(child)

    def check(self, c):
        under_way = {t[6:17] for t in self.unsure}
        for token, parent in self.live.items():
            if token in self.unsure or self.is_below(token, under_way):
                continue
            if self.uses.get(token, 2) < 2:
                continue  # what was under way may have been its last use
            good = c.call("Verify", token=token, scopes=["a:read"])
            if token in self.uses:
                assert good["info"]["usesLeft"] < self.uses[token], "a use was given back"
                self.uses[token] = good["info"]["usesLeft"]
        for token in self.ended:
            error = c.error("Verify", token=token)
            # Of many ended ones the oldest are forgotten.
            assert error.name in ("TokenRevoked", "InvalidToken"), (error, token)

    def is_below(self, token, ids):
        parents = {t[6:17]: p for t, p in self.live.items()}
        ident = token[6:17]
        while ident:
            if ident in ids:
                return True
            ident = parents.get(ident)
        return False


@test(timeout=120)
def everything_acknowledged_is_there_after_a_kill_in_the_midst_of_changes():
    agent = started("MaxTokensPerUser=100000")
    past = []
    for round_ in range(6):
        streams = [Stream(agent.connect(), f"{round_}/{n}") for n in range(8)]
        for s in streams:
            s.start()
        n = 100 + round_ * 150
        wait_until(lambda n=n, streams=streams: sum(s.done for s in streams) >= n, "changes", 30, 0.001)
        agent.kill()
        for s in streams:
            s.join()
        agent.start()
        c = agent.connect()
        past += streams
        for s in past:
            s.check(c)
    assert sum(len(s.live) + len(s.ended) for s in past) > 1000


@test
def a_kill_right_after_a_reply_loses_nothing():
    agent = started()
    tokens = []
    for n in range(15):
        c = agent.connect()
        tokens.append(c.call("Issue", name=f"n{n}"))
        if n % 3 == 2:
            c.call("Revoke", id=tokens.pop(0)["info"]["id"])
        agent.kill()
        agent.start()
        c = agent.connect()
        assert {t["id"] for t in c.list(state="active")} == {t["info"]["id"] for t in tokens}


def has_files(directory, n):
    try:
        return len(os.listdir(directory)) >= n
    except FileNotFoundError:
        return False


@test
def a_kill_while_it_starts_for_the_first_time_leaves_nothing_in_the_way():
    for n in range(20):
        agent = Agent(policy=POLICY).spawn()
        wait_until(lambda agent=agent, n=n: has_files(agent.state, n % 5) or os.path.exists(agent.socket),
                   "some of the state", 5, 0.0001)
        agent.kill()
        agent.start()
        assert agent.connect().call("Issue", name="n")
        agent.stop()


@test
def a_stale_socket_of_an_agent_that_was_killed_is_replaced():
    agent = started()
    agent.kill()
    assert os.path.exists(agent.socket)
    agent.start()
    assert agent.connect().call("GetStatus")


# ---- side by side --------------------------------------------------------------------------------

@test
def two_agents_side_by_side_know_nothing_of_each_other():
    one, other = started(), started()
    a, b = one.connect(), other.connect()
    token = a.call("Issue", name="n")["token"]
    assert b.error("Verify", token=token).name == "InvalidToken"
    assert b.error("Revoke", token=token).name == "InvalidToken"
    assert b.list() == [] and len(a.list()) == 1
    one.stop()
    assert b.call("Issue", name="n")


def second(agent, **other):
    """Another agent on the state of this one, with its own socket."""
    twin = Agent(policy=POLICY)
    twin.state = agent.state
    for name, value in other.items():
        setattr(twin, name, value)
    return twin


@test
def a_second_agent_on_the_same_state_is_refused_and_the_first_goes_on():
    agent = started()
    c = agent.connect()
    token = c.call("Issue", name="n")["token"]
    said = second(agent).fails_to_start()
    assert agent.state in said, said
    assert c.call("Verify", token=token) and c.call("Issue", name="n")
    agent.kill()
    twin = second(agent).start()
    assert len(twin.connect().list()) == 2
    twin.stop()


@test
def a_second_agent_does_not_take_the_socket_of_one_that_runs():
    agent = started()
    token = agent.connect().call("Issue", name="n")["token"]
    twin = Agent(policy=POLICY)
    twin.socket = agent.socket
    said = twin.fails_to_start()
    assert agent.socket in said, said
    assert agent.connect().call("Verify", token=token)


# ---- keys and damage -----------------------------------------------------------------------------

def filled(n=30):
    """An agent that was stopped with tokens in its store, and these."""
    agent = started()
    c = agent.connect()
    tokens = [c.call("Issue", name=f"token-{i}") for i in range(n)]
    for t in tokens[:5]:
        c.call("Revoke", id=t["info"]["id"])
    agent.stop()
    return agent, tokens


def copied(agent, to):
    """An agent on a copy of the other's state."""
    shutil.rmtree(to.state, ignore_errors=True)
    shutil.copytree(agent.state, to.state, symlinks=True)
    if IS_ROOT:
        for path in [to.state, *(os.path.join(to.state, name) for name in os.listdir(to.state))]:
            os.chown(path, AGENT_UID, AGENT_UID)
    return to


def is_whole(agent, tokens):
    c = agent.connect()
    for n, t in enumerate(tokens):
        if n < 5:
            assert c.error("Verify", token=t["token"]).name == "TokenRevoked"
        else:
            assert c.call("Verify", token=t["token"])["info"]["name"] == f"token-{n}"
    assert sorted(t["name"] for t in c.list()) == sorted(t["info"]["name"] for t in tokens)


def refused_untouched(agent):
    before = agent.files()
    said = agent.fails_to_start()
    after = agent.files()
    assert before == after, f"changed: {[p for p in before | after if before.get(p) != after.get(p)]}"
    assert len(said.splitlines()) <= 3 and agent.state in said, said
    return said


def key_file(agent):
    names = [n for n in os.listdir(agent.state) if "key" in n]
    assert len(names) == 1, os.listdir(agent.state)
    return os.path.join(agent.state, names[0])


@test
def a_wrong_key_is_refused_with_not_a_byte_changed():
    agent, tokens = filled()
    path = key_file(agent)
    good = open(path, "rb").read()
    for wrong in (bytes(b ^ 1 for b in good), bytes(len(good)), os.urandom(len(good)), good[:-1], good[:5],
                  b"", good + good):
        with open(path, "r+b") as f:
            f.truncate()
            f.write(wrong)
        refused_untouched(agent)
    with open(path, "r+b") as f:
        f.truncate()
        f.write(good)
    is_whole(agent.start(), tokens)


@test
def a_lost_key_is_not_made_anew_while_there_is_a_store():
    agent, tokens = filled()
    path = key_file(agent)
    os.rename(path, f"{scratch()}/key")
    refused_untouched(agent)
    shutil.move(f"{scratch()}/key", path)
    is_whole(agent.start(), tokens)


@test
def a_key_that_others_can_read_is_refused():
    agent, tokens = filled()
    path = key_file(agent)
    for mode in (0o640, 0o604, 0o666):
        os.chmod(path, mode)
        refused_untouched(agent)
    os.chmod(path, 0o600)
    is_whole(agent.start(), tokens)


@test
def the_key_comes_as_a_credential_of_systemd_where_there_is_one():
    agent = Agent(policy=POLICY)
    directory = f"{agent.dir}/credentials"
    os.mkdir(directory, 0o755)
    path = f"{directory}/jeton.master"
    env = {"CREDENTIALS_DIRECTORY": directory}

    def put(data):
        with open(path, "wb") as f:
            f.write(data)
        os.chmod(path, 0o400)
        if IS_ROOT:
            os.chown(path, AGENT_UID, AGENT_UID)

    good = os.urandom(32)
    put(good)
    agent.start(env=env)
    token = agent.connect().call("Issue", name="n")["token"]
    assert not [n for n in os.listdir(agent.state) if "key" in n], "a key file beside the credential"
    agent.restart(env=env)
    assert agent.connect().call("Verify", token=token)
    agent.stop()
    os.unlink(path)
    put(good.hex().encode())
    agent.start(env=env)
    assert agent.connect().call("Verify", token=token)
    agent.stop()
    for wrong in (os.urandom(32), good[:31], good + b"x", b""):
        os.unlink(path)
        put(wrong)
        before = agent.files()
        agent.fails_to_start(env=env)
        assert agent.files() == before


def each_store_file(agent):
    return [n for n, data in agent.files().items() if "key" not in n and data]


@test(timeout=120)
def a_store_with_any_bit_turned_is_refused_untouched_or_was_whole_anyway():
    agent, tokens = filled()
    copy = Agent(policy=POLICY)
    chosen = random.Random(4711)
    refusals = tries = 0
    for name in each_store_file(agent):
        size = os.path.getsize(f"{agent.state}/{name}")
        places = sorted({*range(0, min(size, 100), 7), *(chosen.randrange(size) for _ in range(100))})
        for place in places:
            copied(agent, copy)
            with open(f"{copy.state}/{name}", "r+b") as f:
                f.seek(place)
                byte = f.read(1)[0]
                f.seek(place)
                f.write(bytes([byte ^ (1 << chosen.randrange(8))]))
            before = copy.files()
            tries += 1
            try:
                copy.start()
            except Exit as e:
                assert e.status > 0, e
                assert copy.files() == before, f"{name} at {place}: changed by a refused start"
                refusals += 1
            else:
                is_whole(copy, tokens)
                copy.stop()
    assert refusals > tries / 20, f"{refusals} of {tries}"


@test
def a_store_cut_short_is_refused_untouched_or_whole_by_its_log():
    agent, tokens = filled()
    copy = Agent(policy=POLICY)
    name = max(each_store_file(agent), key=lambda n: os.path.getsize(f"{agent.state}/{n}"))
    size = os.path.getsize(f"{agent.state}/{name}")
    for n in (1, 15, 100, 512, 4095, 4096, size // 2, size - 4096, size - 1):
        copied(agent, copy)
        os.truncate(f"{copy.state}/{name}", n)
        before = copy.files()
        try:
            copy.start()
        except Exit as e:
            assert e.status > 0 and copy.files() == before, (n, e)
        else:
            is_whole(copy, tokens)
            copy.stop()


@test
def a_store_that_has_become_empty_is_not_taken_for_a_new_one():
    agent, _ = filled()
    name = max(each_store_file(agent), key=lambda n: os.path.getsize(f"{agent.state}/{n}"))
    os.truncate(f"{agent.state}/{name}", 0)
    refused_untouched(agent)


@test
def something_else_in_the_stores_place_is_refused_untouched():
    agent, _ = filled()
    copy = Agent(policy=POLICY)
    name = max(each_store_file(agent), key=lambda n: os.path.getsize(f"{agent.state}/{n}"))
    for data in (b"this is a text\n" * 1000, bytes(40960), os.urandom(40960)):
        copied(agent, copy)
        with open(f"{copy.state}/{name}", "r+b") as f:
            f.truncate()
            f.write(data)
        refused_untouched(copy)
    copied(agent, copy)
    os.unlink(f"{copy.state}/{name}")
    with sqlite3.connect(f"{copy.state}/{name}") as foreign:
        foreign.execute("create table somebodys (data blob)")
        foreign.execute("insert into somebodys values (1)")
    foreign.close()
    os.chmod(f"{copy.state}/{name}", 0o600)
    if IS_ROOT:
        os.chown(f"{copy.state}/{name}", AGENT_UID, AGENT_UID)
    refused_untouched(copy)


def database(agent):
    for name, data in agent.files().items():
        if data.startswith(b"SQLite format 3\0"):
            return f"{agent.state}/{name}"
    raise AssertionError(f"no database among {list(agent.files())}")


def tampered(agent, copy, change):
    """A copy of the state in which change(connection, table, columns) was made to a table of rows."""
    copied(agent, copy)
    path = database(copy)
    with sqlite3.connect(path) as db:
        change(db)
        db.commit()
        db.execute("pragma wal_checkpoint(truncate)")
    db.close()
    for name in os.listdir(copy.state):
        if IS_ROOT:
            os.chown(f"{copy.state}/{name}", AGENT_UID, AGENT_UID)
    return copy


@test
def rows_left_out_exchanged_or_doubled_are_found():
    agent, tokens = filled()
    copy = Agent(policy=POLICY)
    with sqlite3.connect(database(agent)) as db:
        tables = [r[0] for r in db.execute("select name from sqlite_master where type='table'")]
        rows = {t: db.execute(f"select count(*) from {t}").fetchone()[0] for t in tables}
        columns = {t: [r[1] for r in db.execute(f"pragma table_info({t})")] for t in tables}
        types = {t: {c: db.execute(f"select typeof({c}) from {t}").fetchone() for c in columns[t]}
                 for t in tables}
    db.close()
    largest = max(tables, key=lambda t: rows[t])
    assert rows[largest] >= 20, rows
    blob = [c for c in columns[largest] if types[largest][c] == ("blob",)][-1]
    key = f"(select max(rowid) from {largest})"

    def drop(db):
        db.execute(f"delete from {largest} where rowid = {key}")

    def exchange(db):
        one, other = db.execute(f"select rowid, {blob} from {largest} limit 2").fetchall()
        db.execute(f"update {largest} set {blob} = ? where rowid = ?", (other[1], one[0]))
        db.execute(f"update {largest} set {blob} = ? where rowid = ?", (one[1], other[0]))

    def cut(db):
        db.execute(f"update {largest} set {blob} = substr({blob}, 1, 20) where rowid = {key}")

    def empty(db):
        db.execute(f"delete from {largest}")

    for change in (drop, exchange, cut, empty):
        said = refused_untouched(tampered(agent, copy, change))
        assert "Traceback" not in said, change.__name__
    is_whole(agent.start(), tokens)


@test
def a_row_put_back_from_before_is_found():
    agent = started()
    c = agent.connect()
    answer = c.call("Issue", name="n")
    agent.stop()
    before = Agent(policy=POLICY)
    copied(agent, before)
    agent.start()
    agent.connect().call("Revoke", id=answer["info"]["id"])
    agent.stop()
    with sqlite3.connect(database(before)) as db:
        tables = [r[0] for r in db.execute("select name from sqlite_master where type='table'")]
        old = {t: db.execute(f"select rowid, * from {t}").fetchall() for t in tables}
    db.close()
    copy = Agent(policy=POLICY)
    tried = 0
    for table in tables:
        with sqlite3.connect(database(agent)) as db:
            now = db.execute(f"select rowid, * from {table}").fetchall()
        db.close()
        for rows in ({r[0]: r for r in now + old[table]}, {r[0]: r for r in old[table]}):
            if sorted(rows.values()) == sorted(now):
                continue

            def put_back(db, table=table, rows=rows):
                db.execute(f"delete from {table}")
                for row in rows.values():
                    db.execute(f"insert into {table} values ({','.join('?' * (len(row) - 1))})", row[1:])

            tried += 1
            refused_untouched(tampered(agent, copy, put_back))
    assert tried >= 3


# ---- the disk ------------------------------------------------------------------------------------

@test(needs=[root])
def a_full_disk_is_store_failed_and_the_agent_goes_on():
    own_mounts()
    agent = Agent(policy=POLICY)
    os.mkdir(agent.state, 0o700)
    mount("tmpfs", agent.state, "tmpfs", data=f"size=1m,mode=0700,uid={AGENT_UID},gid={AGENT_UID}")
    agent.start()
    c, admin = agent.connect(), agent.admin()
    tokens = [c.call("Issue", name=f"n{n}") for n in range(10)]
    limited = c.call("Issue", name="limited", uses=1000)
    filler = f"{agent.state}/filler"

    def brim():
        """Not a byte is free any more."""
        with open(filler, "ab") as f:
            while (room := os.statvfs(agent.state)).f_bavail:
                os.write(f.fileno(), bytes(room.f_bavail * room.f_bsize))

    def fails(client, method, **parameters):
        brim()
        error = client.error(method, **parameters)
        assert error.name == "StoreFailed" and not error.parameters, error

    issued, in_a_row = [], 0
    while in_a_row < 5:
        brim()
        if answer := tries(c, "Issue", name="more"):
            issued.append(answer)
        in_a_row = 0 if answer else in_a_row + 1
        assert len(issued) < 3000, "a disk of 1 MiB is still not full"

    # Nothing has changed, all can be read, and what needs the disk says that it failed.
    assert c.call("GetStatus")["state"] == "running"
    for t in tokens + issued:
        assert c.call("Verify", token=t["token"], scopes=["a:read"])
    assert len(c.list()) == len(tokens) + len(issued) + 1
    fails(c, "Issue", name="again")
    fails(c, "Revoke", id=tokens[0]["info"]["id"])
    assert c.call("Verify", token=tokens[0]["token"])
    fails(c, "Rotate", id=tokens[0]["info"]["id"])
    assert c.call("Verify", token=tokens[0]["token"])
    left = c.call("Describe", id=limited["info"]["id"])["info"]["usesLeft"]
    fails(c, "Verify", token=limited["token"])
    assert c.call("Describe", id=limited["info"]["id"])["info"]["usesLeft"] == left
    # What an administrator revokes holds at least until the agent stops.
    fails(admin, "Revoke", id=tokens[1]["info"]["id"])
    assert c.error("Verify", token=tokens[1]["token"]).name == "TokenRevoked"
    fails(c, "Issue", name="again")
    assert c.error("Verify", token=tokens[1]["token"]).name == "TokenRevoked"

    os.unlink(filler)
    wait_until(lambda: tries(c, "Issue", name="free"), "changes are kept again")
    assert c.call("Revoke", id=tokens[2]["info"]["id"])
    assert c.error("Verify", token=tokens[1]["token"]).name == "TokenRevoked"
    known = {t["id"]: t["state"] for t in c.list()}
    agent.restart()
    c = agent.connect()
    after = {t["id"]: t["state"] for t in c.list()}
    after.pop(tokens[1]["info"]["id"]), known.pop(tokens[1]["info"]["id"])
    assert after == known
    assert c.error("Verify", token=tokens[2]["token"]).name == "TokenRevoked"
    agent.stop()


def tries(c, method, **parameters):
    try:
        return c.call(method, **parameters)
    except Error as e:
        assert e.name == "StoreFailed", e
        return None


@test(needs=[root])
def a_state_directory_that_cannot_be_written_stops_the_start_with_a_word():
    agent = Agent(policy=POLICY)
    os.mkdir(agent.state, 0o700)  # root's
    assert agent.state in agent.fails_to_start()


main()
