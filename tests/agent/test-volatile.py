#!/usr/bin/env -S python3 -B
"""Storage=volatile: nothing on a disk, and a restart under a service manager, which the tests play,
loses nothing."""

import os
import random
import threading

from jeton import AGENT_UID, ALICE, IS_ROOT, Agent, Closed, Error, main, serial, test, wait_until
from manager import Kept

POLICY = f"""
[Access]
User={ALICE}
Scope=a:read a:write
[Credential held]
[Fetch]
Credential=held
User={ALICE}
"""


def with_key(agent, key=b"\x5a" * 32):
    """Its credentials, as LoadCredential= gives them."""
    directory = f"{agent.dir}/credentials"
    os.makedirs(directory, exist_ok=True)
    path = f"{directory}/jeton.master"
    with open(path, "wb") as f:
        f.write(key)
    os.chmod(path, 0o400)
    if IS_ROOT:
        os.chown(path, AGENT_UID, AGENT_UID)
    return {"CREDENTIALS_DIRECTORY": directory}


class Volatile(Kept):
    def __init__(self, settings="", **how):
        super().__init__(settings + "\nStorage=volatile", POLICY, **how)
        self.env = with_key(self)

    def start(self, **how):
        return super().start(env={**self.env, **how.pop("env", {})}, **how)

    def left_nothing(self):
        """Nothing of the agent's is in any directory that it can write to."""
        assert not os.path.exists(self.state), os.listdir(self.state)
        assert os.listdir(self.var) == []
        assert {*os.listdir(self.run)} <= {"agent.sock", "credential.sock"}, os.listdir(self.run)


# ---- restarts ------------------------------------------------------------------------------------

@test
def a_restart_keeps_everything_and_nothing_is_on_a_disk():
    agent = Volatile().start()
    c = agent.connect()
    agent.admin().call("Put", credential="held", text="secret")
    plain = c.call("Issue", name="plain", scopes=["a:read"])
    parent = c.call("Issue", name="parent")
    child = c.call("Derive", token=parent["token"], name="child")
    gone = c.call("Issue", name="gone")
    c.call("Revoke", id=gone["info"]["id"])
    limited = c.call("Issue", name="limited", uses=9)
    uses = 9
    for how in ("kill", "restart", "kill", "kill", "restart"):
        uses = c.call("Verify", token=limited["token"])["info"]["usesLeft"]
        c.call("Verify", token=plain["token"])
        c.call("Fetch", credential="held")
        before = c.list(), c.more("List", state="revoked"), agent.admin().more("ListCredentials")
        agent.again(how)
        c = agent.connect()
        assert (c.list(), c.more("List", state="revoked"), agent.admin().more("ListCredentials")) == before
        for good in (plain, parent, child):
            assert c.call("Verify", token=good["token"], scopes=["a:read"])
        assert c.error("Verify", token=gone["token"]).name == "TokenRevoked"
        assert c.call("Fetch", credential="held")["text"] == "secret"
        agent.left_nothing()
    assert uses == 4
    assert "forgets" not in agent.log()


class Load(threading.Thread):
    """A client that changes things until the agent is gone, and notes what it was told."""

    def __init__(self, agent, seed, live, ended):
        super().__init__()
        self.c, self.random = agent.connect(), random.Random(seed)
        self.live, self.ended, self.unsure = live, ended, set()
        # One that is still in the queue would be the next agent's, which is not asked to end.
        self.c.call("GetStatus")

    def run(self):
        try:
            while True:
                self.step()
        except (Closed, ConnectionError):
            pass

    def step(self):
        if len(self.live) < 20 or self.random.random() < 0.6:
            answer = self.c.call("Issue", name="n")
            self.live[answer["info"]["id"]] = answer["token"]
        else:
            id = self.random.choice([*self.live])
            value = self.live.pop(id)
            self.unsure.add(id)
            self.c.call("Revoke", id=id)
            self.unsure.remove(id)
            self.ended[id] = value


@test(timeout=240)
def fifty_kills_under_load_lose_nothing_that_was_acknowledged():
    agent = Volatile("MaxTokensPerUser=100000").start()
    live, ended, unsure = {}, {}, set()
    chance = random.Random(7)
    for n in range(50):
        loads = [Load(agent, 100 * n + i, dict(list(live.items())[i::3]), {}) for i in range(3)]
        for load in loads:
            load.start()
        agent.manager.changed.acquire()
        agent.manager.changed.wait(0.01 + chance.random() * 0.06)
        agent.manager.changed.release()
        agent.again("kill" if n % 10 else "restart")
        live = {}
        for load in loads:
            load.join()
            live |= load.live
            ended |= load.ended
            unsure |= load.unsure
        c = agent.connect()
        there = {t["id"] for t in c.list(state="active")}
        assert live.keys() <= there, f"kill {n}: {len(live.keys() - there)} tokens are gone"
        assert not there & ended.keys(), f"kill {n}: revoked tokens are good again"
    answers = serial(c, [("Verify", {"token": t}) for t in live.values()])
    assert not [a for a in answers if isinstance(a, Error)]
    some = dict(list(ended.items())[:500])
    assert {a.name for a in serial(c, [("Verify", {"token": t}) for t in some.values()])} <= {"TokenRevoked"}
    # On a quiet machine thousands.
    assert len(live) + len(ended) > 50, (len(live), len(ended))
    agent.left_nothing()
    print(f"# {len(live)} tokens live, {len(ended)} revoked, {len(unsure)} unsure")


@test
def what_the_service_manager_holds_can_be_read_by_nobody_else():
    agent = Volatile().start()
    c = agent.connect()
    agent.admin().call("Put", credential="held", text="needle-in-a-secret")
    values = [c.call("Issue", name="needle-in-a-name", scopes=["a:read"]) for _ in range(50)]
    c.call("Verify", token=values[0]["token"])
    agent.kill()
    held = agent.memfds()
    assert sum(len(data) for name, data in held.items() if name.startswith("jeton-file")) > 50 * 100
    for name, data in held.items():
        for needle in ("needle-in", "a:read", values[0]["token"], values[0]["token"][18:61], values[0]["info"]["id"]):
            assert needle.encode() not in data, (name, needle)


@test
def a_stop_and_a_start_begin_with_an_empty_store():
    agent = Volatile().start()
    token = agent.connect().call("Issue", name="n")
    agent.stop()
    agent.manager.forget()
    agent.start()
    assert agent.connect().list() == []
    assert agent.connect().error("Verify", token=token["token"]).name == "InvalidToken"


@test
def a_locked_one_comes_up_locked_again_and_what_was_fetched_last_is_not_lost():
    agent = Volatile().start()
    admin = agent.admin()
    admin.call("Put", credential="held", text="secret")
    token = agent.connect().call("Issue", name="n")
    agent.connect().call("Fetch", credential="held")
    fetched = admin.more("ListCredentials")
    admin.call("Lock", passphrase="right")
    for how in ("kill", "restart", "kill"):
        agent.again(how)
        admin = agent.admin()
        assert admin.call("GetStatus")["state"] == "locked"
        assert agent.connect().error("Fetch", credential="held").name == "AgentLocked"
    assert admin.error("Unlock", passphrase="wrong").name == "WrongPassphrase"
    admin.call("Revoke", id=token["info"]["id"])
    wait_until(lambda: unlocks(admin), "the time after a wrong passphrase")
    assert admin.more("ListCredentials") == fetched
    assert agent.connect().call("Fetch", credential="held")["text"] == "secret"
    agent.again()
    assert agent.admin().call("GetStatus")["state"] == "running"
    assert agent.connect().error("Verify", token=token["token"]).name == "TokenRevoked"
    agent.left_nothing()


@test
def keys_are_changed_in_memory_too():
    agent = Volatile().start()
    agent.admin().call("Put", credential="held", text="secret")
    tokens = []
    for how in ("kill", "restart", "kill"):
        tokens.append(agent.connect().call("Issue", name="n"))
        before = agent.memfds()
        agent.admin().call("Rekey")
        after = agent.memfds()
        assert not {d for n, d in before.items() if n.startswith("jeton-file")} & {*after.values()}
        agent.again(how)
        for t in tokens:
            assert agent.connect().call("Verify", token=t["token"])
        assert agent.connect().call("Fetch", credential="held")["text"] == "secret"
    agent.left_nothing()


def unlocks(admin):
    try:
        admin.call("Unlock", passphrase="right")
    except Error as e:
        assert e.name == "WrongPassphrase", e
        return False
    return True


# ---- what is refused -----------------------------------------------------------------------------

@test
def without_the_master_key_as_a_credential_it_does_not_start_and_says_what_to_do():
    agent = Volatile()
    said = agent.fails_to_start(env={"CREDENTIALS_DIRECTORY": agent.policies})
    assert "jeton.master" in said and "LoadCredentialEncrypted=" in said, said
    agent.left_nothing()


@test
def with_another_master_key_it_does_not_start_and_nothing_is_lost():
    agent = Volatile().start()
    token = agent.connect().call("Issue", name="n")
    agent.kill()
    with_key(agent, b"\x5b" * 32)
    said = agent.fails_to_start()
    assert "another master key" in said, said
    with_key(agent)
    agent.start()
    assert agent.connect().call("Verify", token=token["token"])


@test
def without_a_service_manager_it_works_and_says_once_that_a_restart_forgets():
    agent = Agent("Storage=volatile", POLICY)
    env = with_key(agent)
    for n in range(2):
        agent.spawn(env=env)
        wait_until(lambda: agent.log().count(" serves ") > n or not agent.is_running(), "its start")
        c = agent.connect()
        assert c.list() == []
        assert c.call("Verify", token=c.call("Issue", name="n")["token"])
        assert agent.log().count("a restart forgets all") == n + 1, agent.log()
        agent.stop()
    assert not os.path.exists(agent.state)


@test
def damage_to_what_was_held_is_found_at_the_start():
    agent = Volatile().start()
    c = agent.connect()
    for _ in range(30):
        c.call("Issue", name="n")
    agent.stop()
    agent.manager.settle()
    held = {name: fd for name, fd in agent.manager.held.items() if name.startswith("jeton-file")}
    # The largest is the store; a clean stop has left no log beside it.
    name = max(held, key=lambda n: os.fstat(held[n]).st_size)
    size = os.fstat(held[name]).st_size
    whole = os.pread(held[name], size, 0)
    at = next(i for i in range(size - 1, 0, -1) if whole[i])
    for where in (at, 20):
        os.pwrite(held[name], bytes([whole[where] ^ 4]), where)
        said = agent.fails_to_start()
        assert "to begin with an empty store, stop the service" in said, said
        os.pwrite(held[name], whole, 0)
    # A descriptor that the manager has dropped is missed by name.
    fd = agent.manager.held.pop(name)
    said = agent.fails_to_start()
    assert "store.db" in said and "FileDescriptorStoreMax=" in said, said
    agent.manager.held[name] = fd
    agent.start()
    assert len(agent.connect().list()) == 30


@test
def persistent_storage_forgets_what_volatile_storage_held_and_the_other_way_round_nothing_mixes():
    agent = Volatile().start()
    agent.connect().call("Issue", name="volatile")
    agent.stop()
    agent.settings("Storage=persistent")
    agent.start()
    assert agent.connect().list() == []
    agent.connect().call("Issue", name="persistent")
    agent.manager.settle()
    assert [n for n in agent.manager.held if not n.startswith("jeton-carried")] == []
    assert "is gone" in agent.log()
    agent.stop()
    agent.settings("Storage=volatile")
    before = agent.files()
    agent.start()
    assert agent.connect().list() == []
    agent.stop()
    assert agent.files() == before
    agent.settings("Storage=persistent")
    agent.start()
    assert [t["name"] for t in agent.connect().list()] == ["persistent"]


if __name__ == "__main__":
    main()
