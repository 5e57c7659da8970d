#!/usr/bin/env -S python3 -B
"""The audit: every change and every refusal is an entry in the journal and in the store's chain."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time

from credentials import CAROL, POLICY, start
from jeton import AGENT_UID, ALICE, BOB, BUILD, IS_ROOT, SECRET, Agent, Error, main, now_us, program, root, scratch, \
    test, wait_until

FIELDS = re.compile(rb"[A-Z_]+=[^\n]*")


class Journal:
    """A socket that takes entries as journald does, or does not."""

    def __init__(self, agent):
        self.path = f"{agent.dir}/journal"
        self.entries = []
        self.open()

    def open(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.setblocking(False)

    def close(self):
        self.take()
        self.socket.close()
        os.unlink(self.path)

    def take(self):
        """Takes all that has come, and gives all that ever came."""
        with contextlib.suppress(BlockingIOError):
            while message := self.socket.recv(65536):
                assert message.endswith(b"\n") and not SECRET.search(message), message
                assert all(FIELDS.fullmatch(x) for x in message[:-1].split(b"\n")), message
                fields = dict(x.decode().split("=", 1) for x in message[:-1].split(b"\n"))
                assert fields["SYSLOG_IDENTIFIER"] == "jetond" and re.fullmatch("[0-9a-f]{32}", fields["MESSAGE_ID"])
                assert fields["MESSAGE"] and fields["PRIORITY"] in "3456"
                self.entries.append(fields)
        return self.entries

    def find(self, operation, result="ok", **fields):
        fields = {f"JETON_{k}": str(v) for k, v in fields.items()} | {"JETON_OPERATION": operation,
                                                                      "JETON_RESULT": result}
        return [e for e in self.take() if fields.items() <= e.items()]

    def one(self, operation, result="ok", **fields):
        wait_until(lambda: self.find(operation, result, **fields), f"{operation} {result} {fields}")
        found = self.find(operation, result, **fields)
        assert len(found) == 1, found
        return found[0]


def begin(policy=POLICY, settings=""):
    agent = Agent(settings, policy)
    agent.journal = Journal(agent)
    arguments = agent.arguments
    agent.arguments = lambda: [*arguments(), "--journal", agent.journal.path]
    agent.start()
    return agent, agent.admin(), agent.journal


def chain(admin, **parameters):
    """What ReadAudit has; it comes in the order of its numbers, with no gap and no damage."""
    entries = [r["entry"] for r in admin.more("ReadAudit", **parameters)]
    if entries == [None]:
        return []
    if not parameters:
        assert [e["seq"] for e in entries] == list(range(entries[0]["seq"], entries[0]["seq"] + len(entries)))
    assert not [e for e in entries if e["operation"] == "damage"]
    return entries


def in_chain(admin, operation, result="ok", **fields):
    return [e for e in chain(admin) if {**fields, "operation": operation, "result": result}.items() <= e.items()]


def wait_in_chain(admin, operation, result="ok", **fields):
    wait_until(lambda: in_chain(admin, operation, result, **fields), f"{operation} {result} in the chain")
    found = in_chain(admin, operation, result, **fields)
    assert len(found) == 1, found
    return found[0]


@test
def a_reload_by_signal_is_an_entry_and_wrong_policies_are_one_with_their_line():
    agent, admin, journal = begin()
    agent.signal(signal.SIGHUP)
    journal.one("reload", PEER_UID=AGENT_UID if IS_ROOT else os.getuid())
    agent.policy("[Access]\nNonsense=1\n")
    mark = agent.log_size()
    admin.error("Reload")
    entry = journal.one("reload", "PolicyInvalid")
    assert f"{agent.policies}/test.policy:2: " in entry["MESSAGE"], entry
    assert "test.policy" not in agent.log(mark), "told twice"


# ---- changes -------------------------------------------------------------------------------------

@test
def every_change_is_one_entry_with_its_fields_and_one_of_the_chain():
    agent, admin, journal = begin(POLICY.replace("[Fetch]\nCredential=api-key fresh short few\nUser",
                                                 "[Fetch]\nCredential=fresh\nUser"))
    c = agent.connect(ALICE)
    pid = None
    issued = c.call("Issue", name="a")
    derived = c.call("Derive", token=issued["token"], name="b")
    rotated = c.call("Rotate", id=issued["info"]["id"], graceSec=300)
    c.call("Revoke", id=derived["info"]["id"])
    once = c.call("Issue", name="c", uses=1)
    c.call("Verify", token=once["token"])
    admin.call("Put", credential="api-key", text="the value of it")
    admin.call("Forget", credential="api-key")
    admin.call("Reload")
    minted = agent.connect(BOB).call("Fetch", credential="fresh")
    for operation, fields in (
            ("issue", {"TOKEN_ID": issued["info"]["id"], "OWNER_UID": ALICE}),
            ("derive", {"TOKEN_ID": derived["info"]["id"], "OWNER_UID": ALICE}),
            ("issue", {"TOKEN_ID": rotated["info"]["id"]}),
            ("rotate", {"TOKEN_ID": issued["info"]["id"]}),
            ("revoke", {"TOKEN_ID": derived["info"]["id"]}),
            ("issue", {"TOKEN_ID": once["info"]["id"]}),
            ("spend", {"TOKEN_ID": once["info"]["id"]})):
        entry = journal.one(operation, PEER_UID=ALICE, COUNT=1, **fields)
        assert fields["TOKEN_ID"] in entry["MESSAGE"] and "the value" not in entry["MESSAGE"]
        pid = pid or entry["JETON_PEER_PID"]
        assert entry["JETON_PEER_PID"] == pid
        wait_in_chain(admin, operation, token=fields["TOKEN_ID"], peerUid=ALICE, peerPid=int(pid))
    own = 0 if IS_ROOT else os.getuid()
    for operation in ("put", "forget"):
        assert journal.one(operation, CREDENTIAL="api-key", PEER_UID=own)["PRIORITY"] == "6"
        wait_in_chain(admin, operation, credential="api-key", peerUid=own)
    journal.one("reload", PEER_UID=own)
    wait_in_chain(admin, "reload", peerUid=own)
    journal.one("mint", CREDENTIAL="fresh", TOKEN_ID=minted["tokenId"], PEER_UID=BOB, OWNER_UID=ALICE)
    wait_in_chain(admin, "mint", credential="fresh", token=minted["tokenId"], peerUid=BOB)
    assert len({e["MESSAGE_ID"] for e in journal.take()}) == 9


@test
def what_ends_by_itself_is_an_entry_of_the_agents_own():
    agent, admin, journal = begin(settings="MinLifetime=1s")
    token = agent.connect(ALICE).call("Issue", name="a", lifetimeSec=1)
    uid = AGENT_UID if IS_ROOT else os.getuid()
    entry = journal.one("expire", TOKEN_ID=token["info"]["id"], PEER_UID=uid)
    assert "JETON_PEER_PID" not in entry
    found = wait_in_chain(admin, "expire", token=token["info"]["id"], peerUid=uid)
    assert found["peerPid"] is None and found["peerUnit"] is None


# ---- refusals ------------------------------------------------------------------------------------

@test(needs=[root])
def every_refusal_is_an_entry_with_its_result():
    agent, admin, journal = begin()
    alice, bob = agent.connect(ALICE), agent.connect(BOB)
    token = alice.call("Issue", name="a", scopes=["acme/a:read"])
    ended = alice.call("Issue", name="b")
    alice.call("Revoke", id=ended["info"]["id"])
    bob.error("Put", credential="api-key", text="x")
    bob.error("Fetch", credential="api-key")
    bob.error("Fetch", credential="other")
    bob.error("Verify", token="jeton_nothing")
    bob.error("Verify", token=ended["token"])
    bob.error("Verify", token=token["token"], scopes=["acme/b:write"])
    bob.error("Derive", token=token["token"], name="x", scopes=["acme/b:write"])
    bob.error("Describe", id=token["info"]["id"])
    bob.error("Issue", name="x", lifetimeSec=10 ** 12)
    bob.error("Issue", name="x", scopes=["acme/a:read"])
    bob.error("Issue", name="x", scopes=[])
    bob.error("Reload")
    journal.one("put", "PermissionDenied", PEER_UID=BOB)
    journal.one("reload", "PermissionDenied", PEER_UID=BOB)
    journal.one("fetch", "CredentialEmpty", CREDENTIAL="api-key", PEER_UID=BOB)
    why = journal.one("fetch", "NoSuchCredential", CREDENTIAL="other", PEER_UID=BOB)["MESSAGE"]
    assert "no [Fetch] section" in why and "refused: Fetch of other by uid" in why
    journal.one("verify", "InvalidToken", PEER_UID=BOB)
    journal.one("verify", "TokenRevoked", TOKEN_ID=ended["info"]["id"], PEER_UID=BOB)
    journal.one("verify", "InsufficientScope", TOKEN_ID=token["info"]["id"], PEER_UID=BOB)
    journal.one("derive", "ScopeExceedsAccess", TOKEN_ID=token["info"]["id"], PEER_UID=BOB)
    journal.one("describe", "NoSuchToken", TOKEN_ID=token["info"]["id"], PEER_UID=BOB)
    journal.one("issue", "LifetimeOutOfRange", PEER_UID=BOB)
    journal.one("issue", "ScopeExceedsAccess", PEER_UID=BOB)
    wait_in_chain(admin, "put", "PermissionDenied", peerUid=BOB)
    wait_in_chain(admin, "issue", "ScopeExceedsAccess", peerUid=BOB)
    for nobodys in ("0" * 11, "z" * 11):
        assert chain(admin, token=nobodys) == []
    # A mistake in a call is none.
    assert not [e for e in journal.take() if e["JETON_RESULT"] == "InvalidParameter"]
    # Nor are there lines that say the same.
    assert "refused" not in agent.log()


@test(needs=[root])
def without_a_journal_the_log_has_the_first_refusal_of_each_kind_and_why():
    agent, _ = start(POLICY)
    bob = agent.connect(BOB)
    for _ in range(100):
        bob.error("Reload")
        bob.error("Fetch", credential="other")
        bob.error("Verify", token="jeton_nothing")
    lines = [x for x in agent.log().splitlines() if "refused" in x]
    for wanted in ("Reload by uid .*: PermissionDenied", "Verify by uid .*: InvalidToken",
                   "Fetch of other by uid .*: NoSuchCredential: no \\[Fetch\\] section"):
        assert sum(bool(re.search(wanted, x)) for x in lines) == 1, (wanted, lines)
    assert len(lines) == 3, lines


@test(needs=[root])
def refusals_that_a_peer_repeats_are_one_entry_with_their_number():
    agent, admin, journal = begin()
    bob, carol = agent.connect(BOB), agent.connect(CAROL)
    for _ in range(18):
        bob.error("Verify", token="jeton_nothing")
    carol.error("Verify", token="jeton_nothing")
    first = journal.one("verify", "InvalidToken", PEER_UID=BOB)
    assert first["JETON_COUNT"] == "1" and "times" not in first["MESSAGE"]
    journal.one("verify", "InvalidToken", PEER_UID=CAROL)
    agent.restart()
    again = journal.one("verify", "InvalidToken", PEER_UID=BOB, COUNT=17)
    assert ", 17 times" in again["MESSAGE"] and again["MESSAGE_ID"] == first["MESSAGE_ID"]
    results = [e["result"] for e in chain(agent.admin()) if e["peerUid"] == BOB]
    assert results == ["InvalidToken", "InvalidToken, 17 times"], results


@test
def a_flood_of_refusals_is_few_entries():
    agent, admin, journal = begin()
    c = agent.connect(BOB)
    names = ("Verify", "Derive")
    for i in range(3000):
        c.error(names[i % 2], token=f"jeton_{i}", **({"name": "x"} if i % 2 else {}))
    agent.stop()
    assert len(journal.take()) <= 4
    agent.start()
    assert sum(int(e["JETON_COUNT"]) for e in journal.take()) == 3000
    assert len(chain(agent.admin())) <= 4


@test
def what_administrators_have_done_to_the_agent_is_an_entry_too():
    agent, admin, journal = begin()
    c = agent.connect(ALICE)
    token = c.call("Issue", name="a")["info"]["id"]
    passphrase, wrong = "the right passphrase", "the wrong passphrase"
    assert admin.error("Unlock", passphrase=passphrase).name == "NotLocked"
    admin.call("Lock", passphrase=passphrase)
    assert c.error("Describe", id=token).name == "AgentLocked"
    assert admin.error("Unlock", passphrase=wrong).name == "WrongPassphrase"
    admin.call("Revoke", id=token)

    def unlocked():
        with contextlib.suppress(Error):
            return admin.call("Unlock", passphrase=passphrase) == {}
    wait_until(unlocked, "it is unlocked", every=0.2)
    admin.call("Rekey")
    uid = os.getuid()
    for operation, result in (("lock", "ok"), ("unlock", "NotLocked"), ("unlock", "ok"), ("rekey", "ok")):
        journal.one(operation, result, PEER_UID=uid)
        wait_in_chain(admin, operation, result, peerUid=uid)
    assert journal.find("unlock", "WrongPassphrase", PEER_UID=uid, COUNT=1)
    journal.one("describe", "AgentLocked", PEER_UID=ALICE)
    journal.one("revoke", TOKEN_ID=token, PEER_UID=uid)
    before = chain(admin)
    agent.restart()
    assert chain(agent.admin())[:len(before)] == before
    assert not [e for e in journal.take() for v in e.values() if "passphrase" in v and ("right" in v or "wrong" in v)]


def tool(agent, *words):
    done = subprocess.run([program("jetonctl"), "--socket", agent.socket, *words], input="a passphrase of it\n",
                          capture_output=True, text=True)
    assert done.returncode == 0, done
    return done.stdout + done.stderr


@test(needs=[root])
def a_backup_is_an_entry_and_each_token_that_a_restore_brings_in():
    agent, admin, journal = begin()
    c = agent.connect(ALICE)
    tokens = [c.call("Issue", name=n)["info"]["id"] for n in "abc"]
    c.call("Revoke", id=tokens[2])
    path = f"{scratch()}/backup"
    tool(agent, "backup", path)
    journal.one("backup", PEER_UID=0)
    wait_in_chain(admin, "backup", peerUid=0)
    agent.stop()
    other, admin, journal = begin()
    tool(other, "restore", path, "--state", other.state)
    for id in tokens:
        journal.one("restore", TOKEN_ID=id, OWNER_UID=ALICE, PEER_UID=AGENT_UID)
        wait_in_chain(admin, "restore", token=id, peerUid=AGENT_UID)
    assert not journal.find("issue")


# ---- what is good --------------------------------------------------------------------------------

@test
def verifications_are_counted_by_token_and_verifier_and_not_told_one_by_one():
    agent, admin, journal = begin()
    c = agent.connect(ALICE)
    tokens = [c.call("Issue", name=f"t{i}") for i in range(3)]
    verifiers = [agent.connect(ALICE), agent.connect(BOB)]
    for i, token in enumerate(tokens):
        for v in verifiers:
            for _ in range(100 + i):
                v.call("Verify", token=token["token"])
    assert not journal.find("verify")
    agent.stop()
    for i, token in enumerate(tokens):
        found = journal.find("verify", TOKEN_ID=token["info"]["id"])
        expected = {str(ALICE): 100 + i, str(BOB): 100 + i} if IS_ROOT else {str(ALICE): 2 * (100 + i)}
        assert {e["JETON_PEER_UID"]: int(e["JETON_COUNT"]) for e in found} == expected, found
    agent.start()
    assert not in_chain(agent.admin(), "verify")


@test
def more_tokens_than_are_told_one_by_one_are_all_counted():
    agent, admin, journal = begin(settings="MaxTokensPerUser=5000")
    c = agent.connect(ALICE)
    tokens = [c.call("Issue", name="t")["token"] for _ in range(900)]
    derived = [c.call("Derive", token=t, name="d")["token"] for t in tokens]
    for token in tokens + derived:
        c.call("Verify", token=token)
        journal.take()
    mark = len(journal.take())
    agent.signal(15)
    while agent.is_running():
        journal.take()
    assert agent.wait() == 0
    sums = [e for e in journal.take()[mark:] if e["JETON_OPERATION"] == "verify"]
    assert sum(int(e["JETON_COUNT"]) for e in sums) == 1800
    assert len(sums) <= 1025


@test
def the_first_fetch_of_a_peer_is_told_at_once_and_the_rest_as_a_sum():
    agent, admin, journal = begin()
    admin.call("Put", credential="api-key", text="x")
    c = agent.connect(ALICE)
    for _ in range(5):
        c.call("Fetch", credential="api-key")
    assert journal.one("fetch", CREDENTIAL="api-key", PEER_UID=ALICE)["JETON_COUNT"] == "1"
    agent.stop()
    journal.one("fetch", CREDENTIAL="api-key", PEER_UID=ALICE, COUNT=4)
    agent.start()
    results = [e["result"] for e in chain(agent.admin()) if e["operation"] == "fetch"]
    assert results == ["ok", "ok, 4 times"], results


@test(timeout=180)
def sums_are_told_once_a_minute_while_it_goes_on():
    agent, admin, journal = begin()
    admin.call("Put", credential="api-key", text="x")
    c = agent.connect(ALICE)
    token = c.call("Issue", name="a")
    for _ in range(3):
        c.call("Verify", token=token["token"])
        c.call("Fetch", credential="api-key")
        c.error("Verify", token="jeton_nothing")
    wait_until(lambda: journal.find("verify", TOKEN_ID=token["info"]["id"]), "the sum", timeout=150, every=0.5)
    journal.one("verify", TOKEN_ID=token["info"]["id"], COUNT=3)
    journal.one("fetch", CREDENTIAL="api-key", COUNT=2)
    journal.one("verify", "InvalidToken", COUNT=2)
    wait_in_chain(admin, "verify", "InvalidToken, 2 times")
    wait_in_chain(admin, "fetch", "ok, 2 times")


# ---- values --------------------------------------------------------------------------------------

@test
def no_value_is_in_any_entry():
    agent, admin, journal = begin()
    c = agent.connect(ALICE)
    values = ["the-secret-of-it"]
    admin.call("Put", credential="api-key", text=values[0])
    c.call("Fetch", credential="api-key")
    token = c.call("Issue", name="a")
    c.call("Verify", token=token["token"])
    c.call("Revoke", token=token["token"])
    c.error("Verify", token=token["token"])
    c.error("Verify", token=token["token"][:-1] + "x")
    values += [token["token"][18:]]
    agent.stop()
    for entry in journal.take():
        assert not any(v in x for v in values for x in entry.values()), entry
    agent.start()
    assert not any(v in str(chain(agent.admin())) for v in values)


@test
def names_of_credentials_that_could_steer_a_terminal_never_come_into_an_entry():
    agent, admin, journal = begin()
    c = agent.connect(ALICE)
    for name in ("a\nPRIORITY=0", "a\x1b[1m", "ä", ""):
        assert "InvalidParameter" in str(c.error("Fetch", credential=name))
    c.error("Fetch", credential="nothing")
    assert len(journal.find("fetch", "NoSuchCredential")) <= 1


# ---- a journal that is slow or gone --------------------------------------------------------------

def fill(c, n):
    """Makes n entries; who waited for such a journal would wait for ever."""
    for i in range(n):
        c.call("Issue", name=f"t{i}")


@test
def a_journal_that_does_not_read_keeps_nobody_waiting_and_misses_nothing_that_the_ring_holds():
    agent, admin, journal = begin(settings="MaxTokensPerUser=5000")
    c = agent.connect(ALICE)
    fill(c, 1000)
    seqs = []
    wait_until(lambda: len([e for e in journal.take() if e["JETON_OPERATION"] == "issue"]) == 1000, "all entries")
    seqs = [int(e["JETON_SEQ"]) for e in journal.take() if "JETON_SEQ" in e]
    assert seqs == sorted(seqs) and len(set(seqs)) == 1000
    assert not journal.find("gap", "journal")


@test(timeout=120)
def what_a_journal_that_stands_still_misses_is_one_entry_in_its_place():
    agent, admin, journal = begin(settings="MaxTokensPerUser=5000")
    c = agent.connect(ALICE)
    fill(c, 2500)
    wait_until(lambda: journal.find("gap", "journal"), "the gap is told")
    gap = journal.one("gap", "journal")
    told = len(journal.find("issue"))
    lost = int(gap["JETON_COUNT"])
    assert told + lost == 2500 and f"{lost} entries are missing here" in gap["MESSAGE"], (told, lost)
    after = c.call("Issue", name="after")
    journal.one("issue", TOKEN_ID=after["info"]["id"])
    order = [e["JETON_OPERATION"] for e in journal.take()]
    assert order[-2:] == ["gap", "issue"]
    # The chain has them all, and says that the journal has not.
    wait_in_chain(admin, "gap", f"journal, {lost} times")
    assert len(in_chain(admin, "issue")) == 2501


@test
def a_journal_that_goes_and_comes_back_has_what_happened_meanwhile():
    agent, admin, journal = begin()
    c = agent.connect(ALICE)
    first = c.call("Issue", name="first")
    journal.one("issue", TOKEN_ID=first["info"]["id"])
    journal.close()
    meanwhile = [c.call("Issue", name="x")["info"]["id"] for _ in range(10)]
    journal.open()
    for id in meanwhile:
        journal.one("issue", TOKEN_ID=id)
    last = c.call("Issue", name="last")
    journal.one("issue", TOKEN_ID=last["info"]["id"])
    assert not journal.find("gap", "journal")


@test
def without_a_journal_the_agent_serves_and_its_chain_grows():
    agent, admin, journal = begin()
    journal.close()
    fill(agent.connect(ALICE), 10)
    assert len(in_chain(admin, "issue")) == 10
    agent.restart()
    assert len(in_chain(agent.admin(), "issue")) == 10


# ---- the chain -----------------------------------------------------------------------------------

@test
def the_chain_goes_on_after_a_restart_and_a_kill():
    agent, admin, journal = begin()
    for i in range(3):
        agent.connect(ALICE).call("Issue", name=f"a{i}")
        before = chain(admin)
        assert len([e for e in before if e["operation"] == "issue"]) == i + 1
        if i == 0:
            agent.restart()
        else:
            agent.kill()
            agent.start()
        admin = agent.admin()
        now = chain(admin)
        assert now[:len(before)] == before


@test(needs=[root])
def whoever_reads_it_finds_what_was_refused_just_before():
    agent, admin, _ = begin()
    for uid in (ALICE, BOB):
        agent.connect(uid).error("Put", credential="api-key", text="x")
        assert in_chain(admin, "put", "PermissionDenied", peerUid=uid), chain(admin)


@test
def it_is_read_since_an_instant_and_of_a_token():
    agent, admin, journal = begin()
    c = agent.connect(ALICE)
    first = c.call("Issue", name="a")["info"]["id"]
    wait_until(lambda: now_us() > chain(admin)[-1]["atUSec"] + 1000, "time goes on")
    since = now_us()
    second = c.call("Issue", name="b")["info"]["id"]
    c.call("Revoke", id=first)
    assert [(e["operation"], e["token"]) for e in chain(admin, sinceUSec=since)] == [("issue", second),
                                                                                    ("revoke", first)]
    assert [e["operation"] for e in chain(admin, token=first)] == ["issue", "revoke"]
    assert chain(admin, token=first, sinceUSec=now_us() + 10 ** 9) == []
    assert [r["entry"] for r in admin.more("ReadAudit", token="0" * 10 + "1")] == [None]
    for bad in ({"token": "x"}, {"sinceUSec": -1}, {"sinceUSec": "x"}, {"token": token_value(c)}):
        with contextlib.suppress(Error):
            raise AssertionError(admin.more("ReadAudit", **bad))


def token_value(c):
    return c.call("Issue", name="x")["token"]


@test(needs=[root])
def only_administrators_read_it():
    agent, admin, journal = begin()
    with contextlib.suppress(Error):
        raise AssertionError(agent.connect(ALICE).more("ReadAudit"))
    journal.one("read-audit", "PermissionDenied", PEER_UID=ALICE)
    assert "ExpectedMore" in str(admin.error("ReadAudit"))


@test(timeout=120)
def it_is_read_whole_while_it_grows():
    agent, admin, journal = begin(settings="MaxTokensPerUser=5000")
    c, reader = agent.connect(ALICE), agent.admin()
    for _ in range(20):
        for i in range(20):
            c.call("Issue", name=f"t{i}")
        chain(reader)
        journal.take()


def own(directory, uid):
    for path in [directory, *(os.path.join(directory, n) for n in os.listdir(directory))]:
        os.chown(path, uid, uid if IS_ROOT else -1)


def damages(admin):
    return [(r["entry"]["seq"], r["entry"]["result"]) for r in admin.more("ReadAudit")
            if r["entry"]["operation"] == "damage"]


@test(timeout=120)
def an_entry_altered_removed_or_moved_by_somebody_with_the_keys_is_told_at_its_place():
    alter = os.path.join(BUILD, "tests/unit/test-audit-store")
    for what, found in (("alter", [(5, "altered")]), ("remove", [(5, "missing")]),
                        ("exchange", [(5, "reordered"), (6, "reordered")])):
        agent = Agent(name=f"of-{what}").start()
        c = agent.connect(ALICE)
        for i in range(100):
            c.call("Issue", name=f"t{i}")
        agent.stop()
        own(agent.state, os.getuid())
        subprocess.run([alter, what, agent.state, "5"], check=True)
        own(agent.state, AGENT_UID)
        agent.start()
        assert damages(agent.admin()) == found, (what, damages(agent.admin()))
        # All others are told, and the chain goes on.
        entries = [r["entry"] for r in agent.admin().more("ReadAudit")]
        seqs = [e["seq"] for e in entries if e["operation"] != "damage"]
        assert set(range(1, 101)) - set(seqs) <= {5, 6} and seqs == sorted(seqs), seqs
        agent.connect(ALICE).call("Issue", name="after")
        assert damages(agent.admin()) == found
        # Filters leave damage in.
        assert [r["entry"]["operation"] for r in agent.admin().more("ReadAudit", sinceUSec=now_us() + 10 ** 9)] \
            == ["damage"] * len(found)
        agent.stop()


if __name__ == "__main__":
    main()
