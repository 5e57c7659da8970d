#!/usr/bin/env -S python3 -B
"""No store is opened that is not whole, ours and of this key, and none that is refused is changed;
a disk that is full costs changes only."""

import os
import random
import re
import shutil
import sqlite3

from jeton import (AGENT_UID, ALICE, IS_ROOT, Agent, Error, Exit, main, root, scratch, test,
                   wait_until)
from peers import mount, own_mounts

POLICY = f"[Access]\nUser={ALICE}\nScope=a:read a:write\n"


def started(settings="", **how):
    return Agent(settings, POLICY).start(**how)


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
    changed = [p for p in before | after if before.get(p) != after.get(p)]
    assert not changed, changed
    assert len(said.splitlines()) <= 3 and agent.state in said, said
    return said


@test
def an_old_copy_put_back_is_refused_and_the_way_out_that_it_names_is_one():
    agent = started()
    tokens = [agent.connect().call("Issue", name=f"t{i}") for i in range(3)]
    agent.kill()
    old = copied(agent, Agent())
    agent.start()
    c = agent.connect()
    c.call("Revoke", id=tokens[0]["info"]["id"])
    # The moment after its reply, with no second for anything.
    agent.kill()
    copied(old, agent)
    said = refused_untouched(agent)
    assert "is an old copy" in said and len(said.splitlines()) == 1, said
    way_out = re.search(r"remove (\S+/anchor),", said)[1]
    assert way_out == f"{agent.anchor}/anchor", said
    os.unlink(way_out)
    agent.start()
    assert agent.connect().call("Verify", token=tokens[0]["token"])["info"]["name"] == "t0"
    assert "there was no anchor in" in agent.log()
    agent.stop()
    agent.start()
    assert agent.log().count("there was no anchor in") == 1


@test
def an_anchor_that_can_not_be_written_keeps_nobody_back_and_is_told_once():
    agent = started()
    c = agent.connect()
    agent.stop()
    os.chmod(agent.anchor, 0o500)
    agent.start()
    c = agent.connect()
    token = c.call("Issue", name="t")
    # The mark is written in its place; a new file, after that one has gone, could not be.
    agent.stop()
    os.unlink(f"{agent.anchor}/anchor")
    agent.start()
    wait_until(lambda: "can't be written: " in agent.log(), "a line")
    c = agent.connect()
    c.call("Revoke", id=token["info"]["id"])
    assert c.error("Verify", token=token["token"]).name == "TokenRevoked"
    assert agent.log().count("can't be written: ") == 1
    os.chmod(agent.anchor, 0o700)
    agent.stop()
    agent.start()
    assert agent.connect().error("Verify", token=token["token"]).name == "TokenRevoked"


def key_file(agent):
    names = [n for n in os.listdir(agent.state) if "key" in n]
    assert len(names) == 1, os.listdir(agent.state)
    return os.path.join(agent.state, names[0])


@test
def a_wrong_key_is_refused_with_not_a_byte_changed():
    agent, tokens = filled()
    path = key_file(agent)
    good = open(path, "rb").read()
    for wrong in (bytes(b ^ 1 for b in good), bytes(len(good)), os.urandom(len(good)), good[:-1],
                  good[:5],
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
    keys = [n for n in os.listdir(agent.state) if "key" in n]
    assert not keys, "a key file beside the credential"
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
        places = sorted({*range(0, min(size, 100), 7),
                         *(chosen.randrange(size) for _ in range(100))})
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
    """A copy of the state in which change(database) was made to the rows."""
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
                    db.execute(f"insert into {table} values ({','.join('?' * (len(row) - 1))})",
                               row[1:])

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
