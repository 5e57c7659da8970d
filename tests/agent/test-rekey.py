#!/usr/bin/env -S python3 -B
"""Rekey: other keys for a store in use, and a master key that comes from systemd."""

import os
import socket
import stat
import threading

from jeton import AGENT_UID, ALICE, IS_ROOT, Agent, Closed, Error, main, test, wait_until

POLICY = f"""
[Access]
User={ALICE}
Scope=a:read a:write
[Credential held]
[Fetch]
Credential=held
User={ALICE}
"""


def started(settings="", **how):
    return Agent(settings, POLICY).start(**how)


def key_file(agent):
    with open(f"{agent.state}/master.key", "rb") as f:
        return f.read()


def put_file(path, data, mode=0o600):
    with open(f"{path}.new", "wb") as f:
        f.write(data)
    os.chmod(f"{path}.new", mode)
    if IS_ROOT:
        os.chown(f"{path}.new", AGENT_UID, AGENT_UID)
    os.rename(f"{path}.new", path)


def credentials(agent, **keys):
    """A directory of credentials, as LoadCredential= makes it; jeton_master is jeton.master."""
    directory = f"{agent.dir}/credentials"
    os.makedirs(directory, exist_ok=True)
    for name in os.listdir(directory):
        os.unlink(f"{directory}/{name}")
    for name, key in keys.items():
        put_file(f"{directory}/{name.replace('_', '.')}", key, 0o400)
    return {"CREDENTIALS_DIRECTORY": directory}


def ids(client):
    return [(t["id"], t["name"], t["state"]) for t in client.list()]


# ---- the file ------------------------------------------------------------------------------------

@test
def all_is_there_under_other_keys_and_the_old_key_is_refused():
    agent = started()
    c, admin = agent.connect(), agent.admin()
    good = c.call("Issue", name="good")
    gone = c.call("Issue", name="gone")
    c.call("Revoke", id=gone["info"]["id"])
    admin.call("Put", credential="held", text="secret")
    before, old, files = ids(c), key_file(agent), agent.files()
    assert admin.call("Rekey") == {}
    assert key_file(agent) != old
    assert stat.S_IMODE(os.stat(f"{agent.state}/master.key").st_mode) == 0o600
    assert not [n for n in agent.files() if n.endswith((".next", ".new", ".1"))], agent.files().keys()
    assert agent.files()["restore.pub"] != files["restore.pub"]
    for _ in range(2):
        c = agent.connect()
        assert ids(c) == before
        assert c.call("Verify", token=good["token"])
        assert c.error("Verify", token=gone["token"]).name == "TokenRevoked"
        assert c.call("Fetch", credential="held")["text"] == "secret"
        agent.restart()
    agent.stop()
    new = key_file(agent)
    put_file(f"{agent.state}/master.key", old)
    assert "another master key" in agent.fails_to_start()
    put_file(f"{agent.state}/master.key", new)
    agent.start()
    assert agent.connect().call("Verify", token=good["token"])


@test
def only_administrators_change_keys():
    agent = started()
    old = key_file(agent)
    if IS_ROOT:
        assert agent.connect().error("Rekey").name == "PermissionDenied"
        assert key_file(agent) == old
    assert agent.admin().error("Rekey", key="x").name == "InvalidParameter"
    assert key_file(agent) == old


@test
def a_listing_that_is_read_slowly_goes_on_over_a_change_of_keys():
    agent = started("MaxTokensPerUser=1000")
    c = agent.connect()
    wanted = []
    for i in range(1000):
        info = c.call("Issue", name=f"{i}-{'x' * 100}")["info"]
        c.call("Revoke", id=info["id"])
        wanted.append(info["id"])
    slow = agent.connect()
    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.send("List", {"state": "revoked"}, more=True)
    seen = [slow.receive()["parameters"]["info"]["id"]]
    for n in range(1, 1000):
        # The first of these while most of it is still in the store.
        if n % 300 == 1:
            agent.admin().call("Rekey")
        seen.append(slow.receive()["parameters"]["info"]["id"])
    assert seen == wanted[::-1]
    assert len(c.list(state="revoked")) == 1000


class Load:
    """Issues, revokes and verifies without a pause, and keeps what was acknowledged."""

    def __init__(self, agent, n=6):
        self.agent, self.over, self.n_verified = agent, threading.Event(), 0
        self.good, self.revoked, self.unsure, self.wrong = [], [], set(), []
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(n)]
        self.clients = [agent.connect() for _ in range(n)]
        for t in self.threads:
            t.start()

    def _run(self, i):
        c, n = self.clients[i], 0
        try:
            while not self.over.is_set():
                n += 1
                answer = c.call("Issue", name=f"l{i}-{n}", lifetimeSec=3600)
                if n % 3 == 0:
                    self.unsure.add(answer["token"])
                    c.call("Revoke", id=answer["info"]["id"])
                    self.unsure.discard(answer["token"])
                    self.revoked.append(answer["token"])
                else:
                    self.good.append(answer["token"])
                c.call("Verify", token=self.good[-1])
                self.n_verified += 1
        except Closed:
            pass
        except Error as e:
            self.wrong.append(e)

    def end(self):
        self.over.set()
        for t in self.threads:
            t.join()
        assert not self.wrong, self.wrong

    def check(self):
        c = self.agent.connect()
        for token in self.good:
            assert c.call("Verify", token=token)
        for token in self.revoked:
            assert c.error("Verify", token=token).name == "TokenRevoked"


@test
def a_change_of_keys_under_load_keeps_all_that_was_acknowledged():
    agent = started("MaxTokensPerUser=100000")
    load = Load(agent)
    admin = agent.admin()
    for _ in range(20):
        n = load.n_verified
        admin.call("Rekey")
        wait_until(lambda n=n: load.n_verified != n or load.wrong, "a verification", every=0.001)
    load.end()
    assert len(load.good) > 20 and len(load.revoked) > 5
    load.check()
    agent.kill()
    agent.start()
    load.check()
    agent.restart()
    load.check()


@test
def a_kill_in_the_midst_of_a_change_of_keys_loses_nothing_that_was_acknowledged():
    agent = started("MaxTokensPerUser=100000")
    for delay in range(12):
        load = Load(agent, 3)
        rekeying = agent.admin()
        wait_until(lambda load=load: len(load.good) >= 20 or load.wrong, "tokens", every=0.001)
        rekeying.send("Rekey")
        for _ in range(delay):
            agent.admin().call("GetStatus")
        agent.kill()
        load.end()
        agent.start()
        assert "master.key.next" not in agent.files()
        assert "store.db.new" not in agent.files()
        load.check()


# ---- the credential ------------------------------------------------------------------------------

@test
def a_credential_stays_while_the_stores_keys_change():
    agent = Agent("", POLICY)
    key = os.urandom(32)
    env = credentials(agent, jeton_master=key)
    agent.start(env=env)
    token = agent.connect().call("Issue", name="n")["token"]
    before = agent.files()["store.db"]
    mark = agent.log_size()
    agent.admin().call("Rekey")
    assert "the credential jeton.master stays" in agent.log(mark)
    assert agent.files()["store.db"] != before
    assert not [n for n in agent.files() if n.startswith("master.key")]
    for how in (agent.stop, agent.kill):
        how()
        agent.start(env=env)
        assert agent.connect().call("Verify", token=token)


@test
def a_credential_that_is_another_by_now_changes_nothing():
    agent = Agent("", POLICY)
    key = os.urandom(32)
    env = credentials(agent, jeton_master=key)
    agent.start(env=env)
    token = agent.connect().call("Issue", name="n")["token"]
    credentials(agent, jeton_master=os.urandom(32))
    mark = agent.log_size()
    assert agent.admin().error("Rekey").name == "StoreFailed"
    assert "not the key that the store was opened with" in agent.log(mark)
    credentials(agent, jeton_master=b"short")
    assert agent.admin().error("Rekey").name == "StoreFailed"
    agent.stop()
    agent.start(env=credentials(agent, jeton_master=key))
    assert agent.connect().call("Verify", token=token)


@test
def another_credential_with_the_old_one_beside_it_takes_its_place():
    agent = Agent("", POLICY)
    old, new = os.urandom(32), os.urandom(32)
    agent.start(env=credentials(agent, jeton_master=old))
    token = agent.connect().call("Issue", name="n")["token"]
    agent.stop()
    said = agent.fails_to_start(env=credentials(agent, jeton_master=new))
    assert "jeton.master.old" in said, said
    agent.fails_to_start(env=credentials(agent, jeton_master=new, jeton_master_old=os.urandom(32)))
    mark = agent.log_size()
    agent.start(env=credentials(agent, jeton_master=new, jeton_master_old=old))
    assert "sealed under the new master key" in agent.log(mark)
    assert agent.connect().call("Verify", token=token)
    mark = agent.log_size()
    agent.restart(env=credentials(agent, jeton_master=new, jeton_master_old=old))
    assert "jeton.master.old is not needed" in agent.log(mark)
    agent.restart(env=credentials(agent, jeton_master=new))
    assert agent.connect().call("Verify", token=token)
    agent.admin().call("Rekey")
    agent.stop()
    assert "another master key" in agent.fails_to_start(env=credentials(agent, jeton_master=old))
    # From the file to a credential: nothing but the file's own bytes, given another way.
    agent.start(env=credentials(agent, jeton_master=new))
    assert agent.connect().call("Verify", token=token)


@test
def a_key_file_given_as_the_old_credential_makes_way_for_a_new_one():
    agent = started()
    token = agent.connect().call("Issue", name="n")["token"]
    agent.stop()
    old, new = key_file(agent), os.urandom(32)
    agent.start(env=credentials(agent, jeton_master=new, jeton_master_old=old))
    assert agent.connect().call("Verify", token=token)
    agent.stop()
    assert "another master key" in agent.fails_to_start()
    agent.start(env=credentials(agent, jeton_master=new))
    assert agent.connect().call("Verify", token=token)


# ---- what else there is --------------------------------------------------------------------------

@test
def a_locked_agent_changes_no_keys():
    agent = started()
    admin = agent.admin()
    admin.call("Put", credential="held", text="secret")
    admin.call("Lock", passphrase="p")
    old = key_file(agent)
    assert admin.error("Rekey").name == "AgentLocked"
    assert key_file(agent) == old
    admin.call("Unlock", passphrase="p")
    admin.call("Rekey")
    admin.call("Lock", passphrase="q")
    agent.restart()
    agent.admin().call("Unlock", passphrase="q")
    assert agent.connect().call("Fetch", credential="held")["text"] == "secret"


@test
def lock_and_rekey_at_once_are_one_after_the_other():
    agent = started()
    agent.admin().call("Put", credential="held", text="secret")
    for first, second in (("Rekey", "Lock"), ("Lock", "Rekey")) * 3:
        a, b = agent.admin(), agent.admin()
        for c, method in ((a, first), (b, second)):
            c.send(method, {"passphrase": "p"} if method == "Lock" else {})
        for c in (a, b):
            try:
                c.reply()
            except Error as e:
                assert e.name == "AgentLocked"
        agent.restart()
        agent.admin().call("Unlock", passphrase="p")
        assert agent.connect().call("Fetch", credential="held")["text"] == "secret"


@test
def it_is_an_entry_of_the_audit_and_the_chain_goes_on():
    agent = started()
    admin = agent.admin()
    agent.connect().call("Issue", name="n")
    admin.call("Rekey")
    agent.connect().call("Issue", name="m")
    agent.restart()
    entries = [e["entry"] for e in agent.admin().more("ReadAudit")]
    assert "rekey" in [e["operation"] for e in entries], entries


if __name__ == "__main__":
    main()
