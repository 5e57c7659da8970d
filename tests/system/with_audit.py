"""The audit in a real journal: fields, the catalog, and a journald that stands still."""

import json
import time

from box import CREDENTIALS, Box, wait_until
from tap import test

POLICY = """
[Access]
User=root
Scope=a:read
[Credential key]
[Credential other]
[Fetch]
Credential=key
Unit=app.service
"""


def entries(box, *matches):
    """Entries of the audit with all their fields, the oldest first."""
    found = box.sh("journalctl --sync; journalctl -q --no-pager -o json SYSLOG_IDENTIFIER=jetond "
                   + " ".join(f"'{m}'" for m in matches), check=False)
    return [e for e in map(json.loads, found.splitlines()) if "JETON_OPERATION" in e]


def one(box, *matches):
    wait_until(lambda: entries(box, *matches), f"an entry of {matches}")
    found = entries(box, *matches)
    assert len(found) == 1, found
    return found[0]


@test
def an_entry_of_the_journal_has_its_fields_and_is_the_agents():
    box = Box(POLICY)
    token = box.ask("Issue", name="a")["info"]["id"]
    box.ask("Revoke", id=token)
    for operation in ("issue", "revoke"):
        e = one(box, f"JETON_OPERATION={operation}")
        assert (e["JETON_TOKEN_ID"], e["JETON_PEER_UID"], e["JETON_OWNER_UID"], e["JETON_RESULT"]) == \
            (token, "0", "0", "ok")
        assert e["_SYSTEMD_UNIT"] == "jetond.service" and e["PRIORITY"] == "6" and int(e["JETON_PEER_PID"]) > 1
        assert token in e["MESSAGE"] and len(e["MESSAGE_ID"]) == 32
    # Who asks from within a unit is told by it.
    service = box.process(unit="some.service")
    service.call("Issue", name="b")
    assert one(box, "JETON_PEER_UNIT=some.service")["JETON_OPERATION"] == "issue"
    assert service.error("Fetch", credential="other") == "NoSuchCredential"
    e = one(box, "JETON_PEER_UNIT=some.service", "JETON_RESULT=NoSuchCredential")
    assert (e["JETON_CREDENTIAL"], e["JETON_OPERATION"], e["PRIORITY"]) == ("other", "fetch", "4")
    assert "no [Fetch] section" in e["MESSAGE"]


@test
def a_unit_that_loads_a_credential_or_is_refused_it_is_an_entry_with_its_name():
    box = Box(POLICY)
    box.put("key", "x")
    box.service("app.service", "Type=oneshot", f"LoadCredential=key:{CREDENTIALS}", "ExecStart=true")
    box.service("bad.service", "Type=oneshot", f"LoadCredential=key:{CREDENTIALS}", "ExecStart=true")
    box.run("systemctl", "start", "app.service")
    assert box.run("systemctl", "start", "bad.service", check=False).returncode != 0
    good = one(box, "JETON_OPERATION=load-credential", "JETON_RESULT=ok")
    bad = one(box, "JETON_OPERATION=load-credential", "JETON_RESULT=NoSuchCredential")
    assert (good["JETON_PEER_UNIT"], bad["JETON_PEER_UNIT"]) == ("app.service", "bad.service")
    assert good["JETON_CREDENTIAL"] == bad["JETON_CREDENTIAL"] == "key" and good["JETON_PEER_UID"] == "0"
    assert "LoadCredential=key of bad.service is refused: no [Fetch] section" in bad["MESSAGE"]
    # It is told once.
    assert box.journal().count("bad.service is refused") == 1
    table = wait_until(lambda: (said := box.sh("jetonctl audit --no-legend")).count("load-credential") == 2 and said,
                       "both in jetonctl audit")
    assert "app.service" in table and "bad.service" in table


@test
def journalctl_x_says_what_happened_and_what_to_do():
    box = Box(POLICY)
    box.sh("journalctl --update-catalog")
    token = box.ask("Issue", name="a")["info"]["id"]
    assert one(box, "JETON_OPERATION=issue")
    said = box.sh("journalctl -q --no-pager -x JETON_OPERATION=issue")
    assert "A token was issued" in said and f"jetonctl revoke {token}" in said, said


@test(timeout=120)
def a_journald_that_stands_still_keeps_nobody_waiting():
    box = Box(POLICY, settings="MaxTokensPerUser=20000")
    box.ask("GetStatus")
    asker = box.process()
    token = asker.call("Issue", name="first")["token"]
    assert one(box, "JETON_OPERATION=issue")
    journald = "systemctl kill --kill-whom=main -s {} systemd-journald.service"
    box.sh(journald.format("STOP"))
    slowest, n = 0, 0
    end = time.monotonic() + 3
    while time.monotonic() < end or n < 200:
        before = time.monotonic()
        asker.call("Issue", name="x")
        asker.call("Verify", token=token)
        slowest = max(slowest, time.monotonic() - before)
        n += 1
    box.sh(journald.format("CONT"))
    # Who waited for it would wait until it goes on.
    assert slowest < 20, f"{slowest} s"

    def told():
        gaps = entries(box, "JETON_OPERATION=gap")
        return len(entries(box, "JETON_OPERATION=issue")) + sum(int(e["JETON_COUNT"]) for e in gaps) == n + 1
    wait_until(told, "every entry is told, or that it is missing", timeout=200, every=0.5)
    assert "the chain is whole" in box.sh("jetonctl audit --verify")


@test
def the_chain_outlives_restarts_and_is_read_by_administrators():
    box = Box(POLICY)
    tokens = []
    for _ in range(3):
        tokens.append(box.ask("Issue", name="a")["info"]["id"])
        box.sh("systemctl restart jetond.service")
    said = box.sh("jetonctl audit --json")
    found = [json.loads(x) for x in said.splitlines()]
    assert [e["token"] for e in found if e["operation"] == "issue"] == tokens
    assert "the chain is whole" in box.sh("jetonctl audit --verify")
    done = box.run("jetonctl", "audit", user="nobody", check=False)
    assert done.returncode == 4 and not done.stdout, done
