#!/usr/bin/env -S python3 -B
"""What was acknowledged is kept, over restarts and kills; and agents stay apart."""

import os
import random
import stat
import threading

from jeton import ALICE, Agent, Closed, Error, main, serial, test, wait_until

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


# ---- kills ---------------------------------------------------------------------------------------

class Stream(threading.Thread):
    """A client that changes things without pause until the agent is gone, and notes what it
    was told."""

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
        streams = [Stream(agent.connect(), f"{os.getpid()}/{round_}/{n}") for n in range(8)]
        for s in streams:
            s.start()
        n = 100 + round_ * 150
        wait_until(lambda n=n, streams=streams: sum(s.done for s in streams) >= n, "changes",
                   every=0.001)
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
        wait_until(lambda a=agent, n=n: has_files(a.state, n % 5) or os.path.exists(a.socket),
                   "some of the state", every=0.0001)
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


main()
