"""Plays a sequence against a real agent with a clock of its own, and holds every answer against
the model."""

import contextlib
import ctypes
import ctypes.util
import os
import socket
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "agent"))

import jeton  # noqa: E402
import steps as sequences  # noqa: E402
from credentials import with_fd  # noqa: E402
from jeton import ALICE, BOB, IS_ROOT, Agent, Client, revalued, wait_until  # noqa: E402
from model import DEFAULT, MAX, MIN, MINTED_LENGTH, YEAR, Model, reach  # noqa: E402
from peers import Peer  # noqa: E402
from varlink import Error, Mismatch  # noqa: E402

UNIT = sequences.UNIT
ME = os.getuid()
# Unprivileged there is one user, who is everybody.
USERS = {"alice": (ALICE, not IS_ROOT), "bob": (BOB, not IS_ROOT), "admin": (ME, True),
         "process": (ALICE, not IS_ROOT)}

_WIDE = {ALICE: ["acme/**:*", "other:read"], BOB: ["acme/risk:read", "acme/pub/**:*"]}
_NARROW = {ALICE: ["acme/risk:*"], BOB: ["acme/*:read"]}
_FETCH = {"held": [ALICE, BOB], "minted": [ALICE]}
POLICIES = {
    "wide": {"access": _WIDE, "fetch": _FETCH, "verify": None},
    "narrow": {"access": _NARROW, "fetch": {"held": [BOB], "minted": [BOB]}, "verify": None},
    "none": {"access": {ALICE: ["acme/risk:read"]}, "fetch": {}, "verify": None},
    "verifiers": {"access": _WIDE, "fetch": _FETCH, "verify": [BOB]},
}
if not IS_ROOT:
    for _p in POLICIES.values():
        _p["access"] = {ME: sorted({s for scopes in _p["access"].values() for s in scopes})}


class Difference(AssertionError):
    """What the agent did and what it should have done, at a step."""

    def __init__(self, step, text):
        super().__init__(f"{step}: {text}")
        self.step = step


def policy_text(policy):
    """The policy as its file has it; None: a file that is wrong."""
    if policy is None:
        return "[Access]\nUser=\nScope=nonsense\n"
    lines = ["[Credential held]", "[Credential minted]", "Kind=minted", f"Owner={ALICE}",
             "Scope=acme/risk:read", f"Lifetime={MINTED_LENGTH}s"]
    for uid, scopes in policy["access"].items():
        lines += ["[Access]", f"User={uid}", f"Scope={' '.join(scopes)}"]
    for credential, uids in policy["fetch"].items():
        lines += ["[Fetch]", f"Credential={credential}", f"User={' '.join(map(str, uids))}"]
    if policy["verify"] is not None:
        lines += ["[Verify]", f"User={' '.join(map(str, policy['verify']))}", "Scope=**:*"]
    return "\n".join(lines) + "\n"


def sealed_box(data, public_key):
    """As libsodium's crypto_box_seal."""
    sodium = ctypes.CDLL(ctypes.util.find_library("sodium") or "libsodium.so.23")
    out = ctypes.create_string_buffer(len(data) + 48)
    assert sodium.sodium_init() >= 0
    assert sodium.crypto_box_seal(out, data, ctypes.c_ulonglong(len(data)), public_key) == 0
    return out.raw


def _lifetime(step, depth):
    """In seconds. Tokens of different depths end at different parts of a unit, graces at yet
    another, and none at a whole one, so that no end comes close to another or to now."""
    units = step["lifetime"]
    if units in ("short", "long", "zero"):
        return {"short": MIN - 1, "long": MAX + 1, "zero": 0}[units]
    if units is None or depth > 4:
        return None
    return units * UNIT + UNIT // 2 - depth * UNIT // 10


class Watcher:
    """client: None between one connection and the next. at: how many of the model's events it is past."""

    def __init__(self):
        self.client, self.at = None, 0

    def close(self):
        if self.client:
            self.client.close()
        self.client = None


class Player:
    def __init__(self, steps, patience):
        self.steps, self.patience, self.at = steps, patience, None
        self.agent = Agent(f"MinLifetime={MIN}s\nMaxLifetime={MAX}s\nDefaultLifetime={DEFAULT}s\n"
                           f"MaxTokensPerUser={25}\nKeepEnded=10y",
                           policy_text(POLICIES["wide"]), clocked=True)
        self.model = Model(USERS, POLICIES, "wide", ALICE)
        self.made = {}  # by the number of the step: the model's token
        self.batch = []  # what was sent and not yet answered: (step, answer, expected)
        self.client, self.user, self.clients = None, None, {}
        self.process = None  # a child, while there is one
        self.watchers, self.numbers = {}, {}  # what was told by its number: once and for all
        self.backup = None, None  # the bytes, and what was held
        self.strayed = self.started_behind = False  # see do_astray()
        self.n_calls = 0

    def play(self):
        """Raises Difference at the first one. Gives the number of calls."""
        self.agent.start()
        try:
            for self.at in self.steps:
                self.step(self.at)
                self.keep_up()
            self.flush()
            self.check_count()
            if self.model.passphrase is None:
                # Everybody hears of it, and before it of all that nobody should have.
                self.do_reload({**self.at, "user": "admin", "policy": "wide"})
                self.listen()
            self.agent.stop()
        finally:
            self.disconnect()
            if self.process:
                self.process.end()
            if self.agent.pid:
                with contextlib.suppress(AssertionError):
                    self.agent.kill()
        return self.n_calls

    # ---- sending and receiving

    def connect(self, user):
        if user == "process":
            self.process = self.process or Peer(ALICE if IS_ROOT else None)
            return Client(self.process.connect(self.agent.socket))
        return self.agent.admin() if user == "admin" else self.agent.connect(USERS[user][0])

    def connection(self, user):
        if user not in self.clients:
            self.clients[user] = self.connect(user)
        return self.clients[user]

    def disconnect(self):
        for client in [*self.clients.values(), *self.watchers.values()]:
            client.close()
        self.clients.clear()

    def send(self, step, method, parameters, answer, check, more=False):
        """Notes the call, to be sent with others of the same user."""
        if self.model.passphrase is not None and method not in ("Unlock", "GetStatus") and not (
                method == "Revoke" and "id" in parameters):
            raise AssertionError("not to be asked")
        if self.user != step["user"] or len(self.batch) >= 24:
            self.flush()
        self.user = step["user"]
        self.n_calls += 1
        self.batch.append((step, method, parameters, answer, check, more))

    def flush(self):
        batch, self.batch = self.batch, []
        if not batch:
            return
        client = self.connection(self.user)
        client.sock.sendall(b"".join(
            client.encode(method, {k: v for k, v in parameters.items() if v is not None},
                          **({"more": True} if more else {}))
            for _, method, parameters, _, _, more in batch))
        client.asked.extend(f"io.jeton.Agent.{call[1]}" for call in batch)
        for step, _, _, answer, check, more in batch:
            self.hear(client, step, answer, check, more)

    @staticmethod
    def hear(client, step, answer, check, more):
        try:
            replies = [client.receive()]
            while more and replies[-1].get("continues"):
                replies.append(client.receive())
        except Mismatch as e:
            raise Difference(step, str(e)) from None
        error = replies[-1].get("error")
        if error:
            if error.rpartition(".")[2] not in answer.errors:
                raise Difference(step, f"answered {error} {replies[-1].get('parameters')}, and not "
                                 f"{' or '.join(sorted(answer.errors)) or 'well'}")
            return
        if answer.errors:
            raise Difference(step, f"answered {replies[0]['parameters']}, and not "
                             f"{' or '.join(sorted(answer.errors))}")
        try:
            parts = [r.get("parameters", {}) for r in replies]
            check(parts if more else parts[0])
        except AssertionError as e:
            raise Difference(step, str(e)) from None

    # ---- what watchers hear

    def listen(self):
        """All that they have to hear by now, for which they may have to wait."""
        for user, watcher in self.watchers.items():
            while watcher.client and watcher.at < len(self.model.events):
                self.hear_bunch(user, watcher)

    def keep_up(self):
        """Between steps: in the midst of one the model is ahead of what was sent."""
        if any(len(self.model.events) - w.at > 100 for w in self.watchers.values() if w.client):
            self.flush()
            self.listen()

    def hear_bunch(self, user, watcher):
        events, begin = self.model.events, watcher.at
        while watcher.at < len(events) and events[watcher.at][2] == events[begin][2]:
            watcher.at += 1
        expected = [e for e in events[begin:watcher.at] if self.model.hears(user, e)]
        while expected:
            try:
                said = watcher.client.event()
                self.check_event(said, expected)
                assert begin < said["seq"] <= watcher.at, f"numbered {said['seq']}: {said}"
            except (AssertionError, Error, Mismatch, OSError, EOFError, jeton.Closed) as e:
                raise Difference(self.at, f"{user}, who watches, and should hear of "
                                 f"{[(k, getattr(w, 'id', w)) for k, w, _ in expected]} after {begin}: "
                                 f"{type(e).__name__} {e}") from None

    def check_event(self, said, expected):
        token = said["token"] or {}
        short = said["kind"], token.get("id", said["credential"])
        assert self.numbers.setdefault(said["seq"], short) == short, f"was told as another: {said}"
        found = [e for e in expected if (e[0], getattr(e[1], "id", e[1])) == short]
        assert found, f"is told {said}"
        expected.remove(found[0])
        kind, what, _ = found[0]
        if token:
            assert (token["name"], token["ownerUid"]) == (what.name, what.owner), said
            assert token["binding"] == ("process" if what.holder else "none"), said
        if kind in ("revoked", "expired"):
            assert token["state"] == kind and token["ended"] == what.ended, f"{said}, not {what.ended}"

    def watch(self):
        """Whoever was watching goes on where it was."""
        for user, watcher in self.watchers.items():
            if not watcher.client and self.model.passphrase is None:
                watcher.client = self.connect(user).watch(after=watcher.at)

    def do_watch(self, step):
        """Begins to; or goes away, and comes back: to where it was, to now, or to the very first event."""
        self.flush()
        self.await_reloaded()
        user = "alice" if step["user"] == "process" else step["user"]
        self.n_calls += 1
        if user not in self.watchers:
            self.watchers[user] = Watcher()
            self.watchers[user].at = len(self.model.events)
        elif self.watchers[user].client:
            self.listen()
            self.watchers[user].close()
            return
        else:
            at = {"first": 0, "now": len(self.model.events)}
            self.watchers[user].at = at.get(step["after"], self.watchers[user].at)
        self.watchers[user].client = self.connect(user).watch(after=self.watchers[user].at)

    def await_reloaded(self):
        """A reload is answered once the policies are in force. That it was is kept after that, and has a number of
        which anybody may know only then; all else has its number by the time it is answered."""
        events = self.model.events
        if not events or events[-1][0] != "reloaded":
            return

        def is_kept():
            with contextlib.closing(self.connect("admin")) as client:
                try:
                    return client.watch(after=len(events))
                except Error as e:
                    if e.name != "EventsMissed":
                        raise
            return None
        try:
            wait_until(is_kept, "", self.patience, 0.002)
        except AssertionError:
            raise Difference(self.at, f"event {len(events)}, a reload, is never told") from None

    def check_count(self):
        """Also what the agent does by itself is done when this returns."""
        self.flush()
        expected, said = self.model.n_active(), None

        def agrees():
            nonlocal said
            said = self.connection("admin").call("GetStatus")["tokensActive"]
            return said == expected
        try:
            wait_until(agrees, "", self.patience, 0.002)
        except AssertionError:
            raise Difference(self.at, f"{said} tokens are active, and not {expected}") from None

    # ---- one step

    def step(self, step):
        what = step["do"]
        token = None
        if "token" in step:
            token = self.made.get(step["token"])
            if token is None:
                return
            if token.value is None:
                self.flush()
        if self.model.passphrase is not None and what not in (
                "unlock", "revoke_by_id", "pass", "restart"):
            return self.locked(step)
        getattr(self, f"do_{what}")(*([step] if token is None else [step, token]))

    def locked(self, step):
        """All else is refused, to everybody, whatever it asks."""
        self.flush()
        self.n_calls += 1
        e = self.connection(step["user"]).error("Verify", token="jeton_whatever")
        if e.name != "AgentLocked":
            raise Difference(step, f"answered {e} while locked")

    # ---- tokens in replies

    def facts(self, info, token, frozen):
        """frozen: the model's facts as they were when it was asked."""
        for key, value in frozen.items():
            if callable(value):
                value = value()
            assert info.get(key) == value, f"{key} is {info.get(key)!r}, and not {value!r}: {info}"
        assert info["expiresUSec"] - info["createdUSec"] <= token.length * 10**6

    @staticmethod
    def frozen(token):
        return {
            "id": lambda: token.id, "name": token.name, "ownerUid": token.owner,
            "scopes": token.scopes, "state": token.state, "ended": token.ended,
            "usesLeft": token.uses, "credential": token.credential,
            "binding": "process" if token.holder else "none",
            "parent": (lambda p=token.parent: p.id) if token.parent else None,
            "replacedBy": (lambda r=token.replaced_by: r.id) if token.replaced_by else None,
        }

    def new(self, step, answer):
        """What to do with the reply that brings the step's token."""
        if answer.errors:
            return None
        token = answer.facts["token"]
        self.made[step["n"]] = token
        frozen = self.frozen(token)
        previous = answer.facts.get("previous")
        frozen_previous = self.frozen(previous) if previous else None

        def check(reply):
            token.id, token.value = reply["info"]["id"], reply["token"]
            self.facts(reply["info"], token, frozen)
            life = (reply["info"]["expiresUSec"] - reply["info"]["createdUSec"]) / 10**6
            assert abs(life - token.length) < UNIT / 25, f"lives for {life} s"
            if previous:
                self.facts(reply["previous"], previous, frozen_previous)
        return check

    def about(self, answer):
        if answer.errors:
            return None
        token = answer.facts["info"]
        frozen = self.frozen(token)
        return lambda reply: self.facts(reply["info"], token, frozen)

    # ---- calls

    def do_issue(self, step):
        owner = USERS[step["owner"]][0] if step["owner"] else None
        lifetime = _lifetime(step, 0)
        answer = self.model.issue(step["user"], step["name"], lifetime, step["scopes"],
                                  step["uses"], owner, "bound" in step)
        self.send(step, "Issue", {"name": step["name"], "lifetimeSec": lifetime,
                                  "scopes": step["scopes"], "uses": step["uses"],
                                  "binding": "process" if "bound" in step else None,
                                  "ownerUid": owner}, answer, self.new(step, answer))

    def do_derive(self, step, parent):
        lifetime = _lifetime(step, parent.depth() + 1)
        answer = self.model.derive(step["user"], parent, step["name"], lifetime, step["scopes"],
                                   step["uses"], "bound" in step)
        self.send(step, "Derive", {"token": parent.value, "name": step["name"],
                                   "lifetimeSec": lifetime, "scopes": step["scopes"],
                                   "binding": "process" if "bound" in step else None,
                                   "uses": step["uses"]}, answer, self.new(step, answer))

    def do_verify(self, step, token):
        answer = self.model.verify(step["user"], token, step["scopes"])
        about = self.about(answer)

        def check(reply):
            about(reply)
            said = reach(reply["access"])
            assert said == answer.facts["access"], (
                f"access {reply['access']} has {sorted(said ^ answer.facts['access'])} too much "
                "or too little")
            assert reply["info"]["lastUsedUSec"] is not None
        self.send(step, "Verify", {"token": token.value, "scopes": step["scopes"] or None},
                  answer, check)

    def do_verify_other(self, step, token):
        value = {"secret": lambda: revalued(token.value, secret=token.value[18:60] + (
                     "1" if token.value[60] == "0" else "0")),
                 "id": lambda: revalued(token.value, id="0" * 8 + token.value[6:9]),
                 "word": lambda: token.value[:-1]}[step["what"]]()
        self.send(step, "Verify", {"token": value}, self.model.not_a_token(step["user"]), None)

    def _list(self, step, **parameters):
        answer = self.model.list(step["user"], **parameters)
        expected = [(t, self.frozen(t)) for t in answer.facts.get("list", ())]

        def check(replies):
            infos = [r["info"] for r in replies if r.get("info")]
            got, want = [i["id"] for i in infos], [t.id for t, _ in expected]
            assert got == want, (f"listed are {len(got)} tokens, and not {len(want)}: "
                                 f"{sorted(set(got) ^ set(want))} or their order")
            for info, (token, frozen) in zip(infos, expected):
                self.facts(info, token, frozen)
        parameters["ownerUid"] = parameters.pop("owner", None)
        self.send(step, "List", {k: v for k, v in parameters.items() if v}, answer, check, True)

    def do_list(self, step):
        owner = USERS[step["owner"]][0] if step["owner"] else None
        self._list(step, owner=owner, state=step["state"], name=step["name"])

    def do_list_all(self, step):
        self._list(step, all=True, state=step["state"])

    def do_describe(self, step, token):
        answer = self.model.describe(step["user"], token)
        self.send(step, "Describe", {"id": token.id}, answer, self.about(answer))

    def do_rotate(self, step, token):
        if token.credential or self.model.is_uncertain(token):
            return
        grace = step["grace"] * UNIT + (UNIT * 9 // 20 if step["grace"] else 0)
        lifetime = _lifetime(step, token.depth())
        answer = self.model.rotate(step["user"], token, grace, lifetime)
        self.send(step, "Rotate", {"id": token.id, "graceSec": grace, "lifetimeSec": lifetime},
                  answer, self.new(step, answer))

    def do_revoke_by_id(self, step, token):
        answer = self.model.revoke_by_id(step["user"], token)
        self.send(step, "Revoke", {"id": token.id}, answer, self.about(answer))

    def do_revoke_by_value(self, step, token):
        answer = self.model.revoke_by_value(step["user"], token)
        self.send(step, "Revoke", {"token": token.value}, answer, self.about(answer))

    def do_revoke_all(self, step):
        """As `revoke` of the tool does with many: one after the other."""
        self.flush()
        for token in [t for t in self.model.tokens if t.state == "active"]:
            answer = self.model.revoke_by_id(step["user"], token)
            self.send(step, "Revoke", {"id": token.id}, answer, self.about(answer))

    def do_put(self, step):
        answer = self.model.put(step["user"], step["text"])
        self.send(step, "Put", {"credential": "held", "text": step["text"]}, answer,
                  lambda reply, want=answer.facts: self.same(reply, want))

    def do_forget(self, step):
        self.send(step, "Forget", {"credential": "held"}, self.model.forget(step["user"]),
                  lambda reply: None)

    def do_fetch(self, step):
        answer = self.model.fetch(step["user"], step["credential"])
        token = answer.facts.get("minted")
        if token:
            self.made[step["n"]] = token

        def check(reply):
            if token:
                token.id, token.value = reply["tokenId"], reply["text"]
            else:
                self.same(reply, answer.facts)
        self.send(step, "Fetch", {"credential": step["credential"]}, answer, check)

    @staticmethod
    def same(reply, want):
        for key, value in want.items():
            assert reply.get(key) == value, f"{key} is {reply.get(key)!r}, and not {value!r}"

    def do_reload(self, step):
        self.flush()
        self.listen()  # what is told is judged by the policies of then
        policy = POLICIES.get(step["policy"])
        answer = self.model.reload(step["user"], step["policy"])
        if "PermissionDenied" not in answer.errors:
            self.agent.policy(policy_text(policy))
        self.send(step, "Reload", {}, answer, lambda reply: None)
        self.flush()
        if policy is None and answer.errors == {"PolicyInvalid"}:
            # Those before stay in force; and would not be found at the next start.
            self.agent.policy(policy_text(self.model.policy))

    def do_lock(self, step):
        self.flush()
        self.listen()
        answer = self.model.lock(step["user"], step["passphrase"])
        self.passphrase, asked = step["passphrase"], self.model.passphrase
        self.model.passphrase = None
        self.send(step, "Lock", {"passphrase": self.passphrase}, answer, lambda reply: None)
        self.flush()
        self.model.passphrase = asked

    def do_unlock(self, step):
        self.flush()
        answer = self.model.unlock(step["user"])
        self.send(step, "Unlock", {"passphrase": getattr(self, "passphrase", "none")}, answer,
                  lambda reply: None)
        self.flush()
        self.watch()

    # ---- keys and copies

    def do_rekey(self, step):
        self.send(step, "Rekey", {}, self.model.administers(step["user"]), lambda reply: None)

    def do_backup(self, step):
        self.flush()
        if not self.model.is_admin(step["user"]):
            self.send(step, "Backup", {}, self.model.administers(step["user"]), None)
            return
        self.n_calls += 1
        client = self.connection(step["user"])
        client.send("Backup", {})
        data = bytearray()
        with socket.socket(fileno=with_fd(client)[1]) as sock:
            sock.settimeout(100)
            while piece := sock.recv(1 << 20):
                data += piece
        self.backup = bytes(data), self.held()

    def held(self):
        return self.model.held.value, self.model.held.revision

    def do_restore(self, step):
        """What this very agent once told comes back to it: it knows all of it, and later. Not where the value that
        is held was changed since: one that was forgotten comes back."""
        self.flush()
        data, held = self.backup
        if data is None or held != self.held():
            return
        with open(f"{self.agent.state}/restore.pub", "rb") as f:
            boxed = sealed_box(data[16:48], f.read())
        path = f"{self.agent.state}/restore"
        with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as f:
            os.fchown(f.fileno(), os.stat(self.agent.state).st_uid, -1)
            f.write(b"jeton restore\0\0\1" + boxed + data[48:])
        self.send({**step, "user": "admin"}, "Reload", {}, self.model.taken_in(), lambda reply: None)
        self.flush()
        try:
            wait_until(lambda: not os.path.exists(path), "", self.patience, 0.002)
        except AssertionError:
            raise Difference(step, "a backup is not taken in") from None
        if os.path.exists(f"{path}.bad"):
            raise Difference(step, f"a backup is refused: {self.agent.log()[-2000:]}")
        self.check_count()

    # ---- time, and the agent's own

    def do_pass(self, step):
        self.flush()
        self.agent.clock.pass_by(step["units"] * UNIT * 10**6)
        self.model.passes(step["units"] * UNIT)
        self.check_count()

    def do_set_back(self, step):
        self.check_count()
        self.agent.clock.move(real=-step["units"] * UNIT * 10**6)
        self.model.set_back(step["units"] * UNIT)
        # The agent looks every 30 s: a clock that is doubted has to stand from when it saw it move.
        self.agent.clock.move(mono=40 * 10**6)
        self.check_count()
        self.check_count()

    def do_astray(self, step, token):
        """Ten years ahead and back: what is asked for meanwhile ends for good, nothing else. Not where the
        agent was started with its last change ten years ahead: then it takes that for the time that it had,
        and has nothing against the clock's being there again (docs/security.md, "Not promised")."""
        self.check_count()
        if self.started_behind:
            return
        self.strayed = True
        self.agent.clock.move(real=10 * YEAR * 10**6)
        self.model.now += 10 * YEAR
        self.do_verify({**step, "scopes": []}, token)
        self.flush()
        self.model.now -= 10 * YEAR
        self.agent.clock.move(real=-10 * YEAR * 10**6)

    def do_restart(self, step):
        self.check_count()
        if self.model.passphrase is None:
            self.listen()
            self.await_reloaded()  # one that was killed before it was kept nobody ever hears of
        self.disconnect()
        if step["kill"]:
            self.agent.kill()
            self.model.was_killed()
        else:
            self.agent.stop()
        moved = (step["away"] - step["back"]) * UNIT
        gone = step.get("process_ends") and self.model.passphrase is None
        if gone:
            self.end_process()
        self.agent.clock.move(real=moved * 10**6, boot=step["away"] * UNIT * 10**6, running=False)
        self.agent.start()
        self.started_behind = self.strayed
        self.model.starts(moved)
        if gone:
            self.model.process_ends("process")
        self.check_count()
        self.watch()

    def do_process_ends(self, step):
        del step
        self.flush()
        self.end_process()
        self.model.process_ends("process")
        self.check_count()

    def end_process(self):
        """What it had connected is closed, too: it would be nobody's."""
        if self.process:
            self.process.end()
        if client := self.clients.pop("process", None):
            client.close()
        self.process = None


def play(steps, patience=100):
    """Plays it on a fresh agent. (calls, None), or (calls, Difference). Its state is in memory where
    it can be: what a disk does is another test's matter, and takes its time. patience: how many
    seconds it waits for what the agent does by itself."""
    with jeton.tap.outside_of_tests("/dev/shm" if os.access("/dev/shm", os.W_OK) else "/tmp"):
        jeton.tap.AT_END.clear()
        jeton.tap.AT_FAILURE.clear()
        player = Player(steps, patience)
        try:
            return player.play(), None
        except Difference as e:
            return player.n_calls, e
        except (jeton.Exit, jeton.tap.Skip, Error, AssertionError, OSError, EOFError,
                jeton.Closed) as e:
            return player.n_calls, Difference(player.at, f"{type(e).__name__}: {e}\n"
                                              f"{player.agent.log()[-2000:]}")
