"""audit: what was done and refused, and whether the chain is whole."""

import json
import re

from fake_agent import error, now_us
from tap import test
from tool import Tool

HOUR_US = 3600 * 1000000
AT = 1800000000000000  # 2027-01-15 08:00:00 UTC


def entry(seq, operation="issue", result="ok", **more):
    return {"entry": {"seq": seq, "atUSec": AT + seq * 1000000, "operation": operation, "result": result,
                      "token": None, "credential": None, "peerUid": 4000000000, "peerPid": 42,
                      "peerUnit": None, **more}}


def tool_with(*entries):
    tool = Tool()
    tool.agent.answers["ReadAudit"] = lambda p: list(entries) or {"entry": None}
    return tool


@test
def audit_is_a_table_with_the_newest_last():
    tool = tool_with(entry(1, token="0000000000A", peerUid=0, peerUnit="nightly.service"),
                     entry(2, "fetch", "NoSuchCredential, 17 times", credential="modulos", peerPid=None),
                     entry(3, "mint", token="0000000000B", credential="pipeline"))
    lines = tool("audit").has(0, None, "^$").out.splitlines()
    assert lines[0].split() == ["TIME", "OPERATION", "RESULT", "ABOUT", "BY"], lines
    for line, words in zip(lines[1:], (("2027-01-15 08:00:01 UTC", "issue", "ok", "0000000000A",
                                        "nightly.service, root (42)"),
                                       ("2027-01-15 08:00:02 UTC", "fetch", "NoSuchCredential, 17 times", "modulos",
                                        "uid 4000000000"),
                                       ("2027-01-15 08:00:03 UTC", "mint", "ok", "0000000000B, pipeline",
                                        "uid 4000000000 (42)"))):
        assert re.split("  +", line.strip()) == list(words), line
    assert [x.split() for x in tool("--no-legend", "audit").out.splitlines()] == [x.split() for x in lines[1:]]
    assert tool.agent.called("ReadAudit")[0] == {}


@test
def audit_with_json_is_an_object_a_line():
    tool = tool_with(entry(1), entry(2, "verify", "InvalidToken"))
    lines = tool("audit", "--json").has(0, None, "^$").out.splitlines()
    assert [json.loads(x) for x in lines] == [entry(1)["entry"], entry(2, "verify", "InvalidToken")["entry"]]
    assert [json.loads(x)["seq"] for x in tool("--json=short", "audit", "--refused").out.splitlines()] == [2]


@test
def audit_with_nothing_to_show_says_so_beside_it():
    tool = tool_with()
    tool("audit").has(0, "^$", "nothing of that kind")
    tool("-q", "audit").has(0, "^$", "^$")
    tool("audit", "--json").has(0, "^$", "^$")


@test
def audit_refused_leaves_out_what_is_ok():
    tool = tool_with(entry(1), entry(2, "fetch", "ok, 4 times"), entry(3, "put", "PermissionDenied"),
                     entry(4, "gap", "journal, 9 times"), entry(5, "damage", "missing"))
    lines = tool("--no-legend", "audit", "--refused").has(0).out.splitlines()
    assert [re.split("  +", x)[1] for x in lines] == ["put", "gap", "damage"], lines


@test
def audit_since_is_a_span_ago_or_an_instant():
    tool = tool_with(entry(1))
    before = now_us()
    tool("audit", "--since", "2h").has(0)
    tool("audit", "--since", "2027-01-15T08:00:00Z").has(0)
    ago, at = (p["sinceUSec"] for p in tool.agent.called("ReadAudit"))
    assert 0 <= ago - (before - 2 * HOUR_US) < 60 * 1000000 and at == AT
    tool("audit", "--since", "soon").has(2, "^$", "--since.*is no time")


@test
def audit_token_takes_an_id_or_a_name():
    tool = tool_with(entry(1))
    id = tool.agent.add("nightly")
    tool("audit", "--token", "nightly").has(0)
    tool("audit", "--token", "00000000001").has(0)
    assert [p["token"] for p in tool.agent.called("ReadAudit")] == [id, "00000000001"]
    tool("audit", "--token", "nothing").has(1, "^$", "nothing")


@test
def audit_verify_says_that_the_chain_is_whole():
    tool = tool_with(*(entry(i) for i in range(1, 6)))
    said = tool("audit", "--verify").has(0, None, "^$").out
    assert said == "5 entries, from 2027-01-15 08:00:01 UTC to 2027-01-15 08:00:05 UTC: the chain is whole\n", said
    tool("audit", "--verify", "--json").has(0, "^$", "^$")
    tool.agent.answers["ReadAudit"] = lambda p: {"entry": None}
    tool("audit", "--verify").has(0, "^no entries yet\n$", "^$")


@test
def audit_verify_says_where_the_chain_is_broken_and_fails():
    tool = tool_with(entry(1), entry(2, "damage", "altered", peerPid=None), entry(3),
                     entry(7, "damage", "missing", peerPid=None), entry(9))
    said = tool("audit", "--verify").has(1, "^entry 2: altered\nentry 7: missing\n$", "broken in 2 places").err
    assert said.count("\n") == 1
    lines = tool("audit", "--verify", "--json").has(1).out.splitlines()
    assert [json.loads(x)["seq"] for x in lines] == [2, 7]
    # And whoever only looks hears of it.
    tool("audit").has(0, "damage +altered +entry 2", "--verify says where")


@test
def audit_verify_takes_no_filter():
    tool = tool_with()
    for words in (["--refused"], ["--since", "2h"], ["--token", "x"]):
        tool("audit", "--verify", *words).has(2, "^$", "--verify reads all of it")
    assert not tool.agent.called("ReadAudit")


@test
def audit_is_not_for_everybody():
    tool = Tool()
    tool.agent.answers["ReadAudit"] = error("org.varlink.service.PermissionDenied")
    for words in ([], ["--verify"], ["--json"]):
        tool("audit", *words).has(4, "^$", "administrator|permitted")


@test
def audit_of_what_is_not_clean_steers_no_terminal():
    tool = tool_with(entry(1, "is\x1b[1msue", "o\nk", peerUnit="a\x07.service"))
    for words in (["audit"], ["audit", "--json"]):
        out = tool(*words).has(0).out
        assert not re.search("[\x00-\x09\x0b-\x1f]", out), out
