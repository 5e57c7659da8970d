"""list, show, revoke, status, reload."""

import json
import os
import time

from fake_agent import DIGITS, error, now_us
from tap import test
from tool import STRANGER, Tool

DAY_US = 86400 * 1000000


@test
def list_shows_active_tokens_one_a_line():
    tool = Tool()
    first = tool.agent.add("first", scopes=["a:b", "c:d"], lastUsedUSec=now_us() - 3 * 3600 * 1000000)
    second = tool.agent.add("second")
    tool.agent.add("gone", state="revoked", endedUSec=now_us())
    lines = tool("list").has(0, None, "^$").out.splitlines()
    assert lines[0].split("  ")[0] == "NAME" and lines[0].split()[-1] == "STATE", lines
    assert len(lines) == 3
    for word in ("second", second, "(all)", "in 29 days", "never", "active"):
        assert word in lines[1], lines
    for word in ("first", first, "a:b c:d", "in 29 days", "3 hours ago", "active"):
        assert word in lines[2], lines
    assert tool("--no-legend", "list").out.splitlines() == lines[1:]


@test
def list_with_nothing_to_show_says_so_beside_it():
    tool = Tool()
    tool("list").has(0, "^$", "no token to list")
    tool("-q", "list").has(0, "^$", "^$")
    tool("list", "--json").has(0, r"^\[\]\n$", "^$")
    tool("list", "--json=short").has(0, r"^\[\]\n$", "^$")


@test
def list_filters_are_all_applied():
    tool = Tool()
    old = now_us() - 100 * DAY_US
    tool.agent.add("soon", expiresUSec=now_us() + DAY_US // 2, createdUSec=old)
    tool.agent.add("soon-used", expiresUSec=now_us() + DAY_US // 2, createdUSec=old, lastUsedUSec=now_us() - DAY_US)
    tool.agent.add("late", createdUSec=old)
    tool.agent.add("ended", state="expired", createdUSec=old, expiresUSec=old + 1, endedUSec=old + 1)
    tool.agent.add("young")

    def names(*words):
        found = json.loads(tool("list", "--json", *words).has(0).out)
        return sorted(t["name"] for t in found)
    assert names() == ["late", "soon", "soon-used", "young"]
    assert names("--ended") == ["ended", "late", "soon", "soon-used", "young"]
    assert names("--expiring", "1d") == ["soon", "soon-used"]
    assert names("--expiring", "1d", "--ended") == ["soon", "soon-used"]
    assert names("--unused", "30d") == ["late", "soon"]
    assert names("--unused", "30d", "--expiring", "1d") == ["soon"]
    assert names("--unused", "30d", "--ended") == ["ended", "late", "soon"]
    assert names("--unused", "12h") == ["late", "soon", "soon-used"]
    assert names("--unused", "200y") == []


@test
def a_parent_counts_as_used_by_what_was_derived_from_it_even_if_that_has_ended():
    tool = Tool()
    old = now_us() - 100 * DAY_US
    grandparent = tool.agent.add("grandparent", createdUSec=old)
    parent = tool.agent.add("parent", createdUSec=old, parent=grandparent)
    tool.agent.add("child", createdUSec=old, lastUsedUSec=now_us(), parent=parent, state="revoked", endedUSec=now_us())
    tool.agent.add("alone", createdUSec=old)
    found = json.loads(tool("list", "--json", "--unused", "30d").has(0).out)
    assert [t["name"] for t in found] == ["alone"]


@test
def list_asks_for_whose_tokens_it_was_told():
    tool = Tool()
    tool("list", "--owner", "12345").has(0)
    tool("list", "--all-users").has(0)
    tool("list").has(0)
    a, b, c = tool.agent.called("List")
    assert a == {"ownerUid": 12345, "state": "active"} and b == {"all": True, "state": "active"}, (a, b)
    assert c == {"state": "active"}
    tool("list", "--owner", "root", "--all-users").has(2)
    tool("list", "--owner", "no-such-user-here").has(1, "^$", "no user no-such-user-here")
    tool("list", "word").has(2)
    tool.agent.answers["List"] = error("org.varlink.service.PermissionDenied")
    tool("list", "--all-users").has(4, "^$", "administrators")


@test
def list_as_json_is_an_array_of_what_the_agent_said():
    tool = Tool()
    for i in range(300):
        tool.agent.add(f"token {i} \x1b[31m日本", scopes=["a:b"] * (i % 32 + 1))
    for mode in ("pretty", "short"):
        r = tool("list", f"--json={mode}").has(0)
        assert json.loads(r.out) == list(reversed(tool.agent.tokens.values()))
        assert mode == "pretty" or r.out.count("\n") == 1


@test
def names_can_not_steer_a_terminal_and_are_exact_as_json():
    tool = Tool()
    name = "a\x1b]0;title\x07\n\u202eb"
    id = tool.agent.add(name, lastUsedBy="\x1b[2J", lastUsedUSec=now_us())
    for words in (["list"], ["show", id], ["revoke", id]):
        out = tool(*words).has(0).out
        assert "\x1b" not in out and "\x07" not in out and "\u202e" not in out, out
        assert "a\\x1b]0;title\\x07\\n\\u202eb" in out, out
    assert json.loads(tool("show", id, "--json").out)["info"]["name"] == name


@test
def show_tells_all_there_is():
    tool = Tool()
    id = tool.agent.add("ci", state="revoked", ended="administrator", endedUSec=now_us() - DAY_US, usesLeft=3,
                        parent="0000000000A", replacedBy="0000000000B", binding="unit", credential="db",
                        lastUsedBy="nightly.service", lastUsedUSec=now_us() - 2 * DAY_US, owner=None)
    r = tool("show", id)
    for line in ("Name: +ci", f"ID: +{id}", "State: +revoked", "Owner: +no name", "Scopes: +all that its owner",
                 "Last used: +2 days ago .* by nightly.service", "Uses left: +3", "Bound to: +its unit",
                 "Derived from: +0000000000A", "Replaced by: +0000000000B", "Credential: +db",
                 "Ended: +1 day ago .*by an administrator"):
        r.has(0, line)
    assert json.loads(tool("show", id, "--json=short").out) == {"info": tool.agent.tokens[id]}
    tool("show", "0000000000C").has(1, "^$", "no token of this id")


@test
def a_name_means_the_one_active_token_that_has_it_and_was_not_replaced():
    tool = Tool()
    tool.agent.add("ci", state="revoked", endedUSec=now_us())
    old = tool.agent.add("ci")
    new = tool.agent.add("ci")
    tool.agent.tokens[old]["replacedBy"] = new
    tool("show", "ci").has(0, f"ID: +{new}")
    tool("show", "nobody").has(1, "^$", "no active token named 'nobody'")
    tool("show", "a" * 5000).has(1, "^$", "no active token named")
    tool("show", "ci", "--owner", f"{os.getuid() + 1}").has(1, "^$", "of [0-9]")
    assert tool.agent.called("List")[-1]["ownerUid"] == os.getuid() + 1


@test
def a_name_that_several_have_is_an_error_that_lists_their_ids():
    tool = Tool()
    ids = [tool.agent.add("ci") for _ in range(3)]
    r = tool("revoke", "ci").has(1, "^$", "3 tokens are named 'ci'")
    assert all(id in r.err for id in ids) and r.err.count("\n") == 1
    assert not tool.agent.called("Revoke")
    for _ in range(20):
        tool.agent.add("ci")
    tool("rotate", "ci").has(1, "^$", "23 tokens .* and 15 more")


@test
def a_name_that_is_also_an_id_is_an_error_that_lists_both():
    tool = Tool()
    id = tool.agent.add("plain")
    named = tool.agent.add(id)
    r = tool("revoke", id).has(1, "^$", f"{id}.*{named}")
    assert not tool.agent.called("Revoke"), r
    # An id by its form alone is a name, where no token has it.
    tool.agent.add("Deployments"[:11], id="0000000000Z")
    tool("show", "Deployments").has(0, "ID: +0000000000Z")


@test
def revoke_ends_what_it_was_told_and_says_so():
    tool = Tool()
    ids = [tool.agent.add(n) for n in ("a", "b", "c")]
    r = tool("revoke", "a", ids[1], "a", ids[0]).has(0, f"{ids[0]} \\(a\\) revoked\n{ids[1]} \\(b\\) revoked\n$")
    assert [p["id"] for p in tool.agent.called("Revoke")] == ids[:2]
    tool("revoke", ids[0]).has(0)
    tool.agent.tokens[ids[0]]["endedUSec"] -= 5000000
    tool("revoke", ids[0]).has(0, "had been revoked before")
    assert tool("-q", "revoke", "c").has(0).out == ""
    r = tool("revoke", ids[2], "--json=short").has(0)
    assert json.loads(r.out) == {"info": tool.agent.tokens[ids[2]]}


@test
def a_mistake_in_one_name_ends_nothing():
    tool = Tool()
    tool.agent.add("a")
    tool("revoke", "a", "oops").has(1, "^$", "oops")
    assert not tool.agent.called("Revoke")


@test
def a_revocation_that_fails_does_not_keep_the_next_one_from_being_made():
    tool = Tool()
    good = tool.agent.add("good")
    r = tool("revoke", "0000000000B", good).has(1, f"^{good}", "no token of this id")
    assert r.err.count("\n") == 1
    tool("revoke").has(2, "^$", "TOKEN..., --unused SPAN, --leaked")
    tool("revoke", "a", "--unused", "1d").has(2)
    tool("revoke", "a", "--yes").has(2)
    tool("revoke", "--leaked", "--unused", "1d").has(2)
    tool("revoke", "a", "--all-users").has(2)


@test
def revoke_unused_without_a_terminal_needs_yes():
    tool = Tool()
    old = now_us() - 100 * DAY_US
    parent = tool.agent.add("parent", createdUSec=old)
    tool.agent.add("child", createdUSec=old, parent=parent)
    tool.agent.add("used", createdUSec=old, lastUsedUSec=now_us())
    tool("revoke", "--unused", "30d").has(1, "^$", "parent.*\n.*--yes|child")
    assert not tool.agent.called("Revoke")
    r = tool("revoke", "--unused", "30d", "--yes").has(0, f"{parent} \\(parent\\) revoked")
    assert [p["id"] for p in tool.agent.called("Revoke")] == [parent], r
    tool("revoke", "--unused", "30d", "--yes").has(0, "^$", "no such token")


@test
def revoke_leaked_proves_each_value_and_prints_none():
    tool = Tool()
    good, gone = tool.agent.add("good"), tool.agent.add("gone")
    tool.agent.end(gone)
    tool.agent.tokens[gone]["endedUSec"] -= 5000000
    values = [tool.agent.value(good), tool.agent.value(gone), STRANGER, "rubbish", ""]
    r = tool("revoke", "--leaked", stdin="\n".join(values) + "\r\n" + tool.agent.value(good)).has(1)
    assert r.out.splitlines() == [
        f"{good} revoked; it was good until now", f"{gone} had been revoked before",
        "0000000000A is no token of this agent's", f"{good} revoked; it was good until now"], r
    assert r.err == "jetonctl: line 4 is no token\n", r
    assert tool.agent.called("Revoke")[0] == {"token": values[0]}
    tool("revoke", "--leaked", stdin=values[0]).has(0)
    r = tool("revoke", "--leaked", "--json=short", stdin=values[0]).has(0)
    assert json.loads(r.out)["info"]["id"] == good


@test
def lines_of_leaked_values_may_come_in_any_pieces_and_length():
    tool = Tool()
    ids = [tool.agent.add(f"t{i}") for i in range(500)]
    lines = [tool.agent.value(i) for i in ids]
    lines[250:250] = ["x" * 10000, "", "y" * 4096, "z" * 4095]
    r = tool("revoke", "--leaked", stdin="\n".join(lines)).has(1)
    assert r.err.splitlines() == [f"jetonctl: line {n} is no token" for n in (251, 253, 254)], r.err
    assert all(t["state"] == "revoked" for t in tool.agent.tokens.values())


@test
def status_tells_how_the_agent_is():
    tool = Tool()
    r = tool("status")
    for line in ("Version: +9.8.7", "State: +running", r"Memory: +1.2M of 256M used \(secretmem\)", "Tokens: +3 active",
                 "Verified: +42, and 7 refused", "Socket: +/"):
        r.has(0, line)
    assert json.loads(tool("status", "--json").out)["verifiedTotal"] == 42
    status = tool.agent.GetStatus({})
    for change, says in (({"memory": "unlocked"}, "unlocked: secrets may reach"), ({"state": "refusing"}, "mistake"),
                         ({"state": "locked"}, "locked"), ({"memory": "granite"}, "other")):
        tool.agent.answers["GetStatus"] = lambda _, c=change: {**status, **c}
        tool("status").has(0, says)


@test
def reload_says_what_came_of_it():
    tool = Tool()
    tool("reload").has(0, "^$", "in force")
    tool("-q", "reload").has(0, "^$", "^$")
    assert json.loads(tool("reload", "--json").out) == {}
    tool.agent.answers["Reload"] = error("PolicyInvalid", file="/etc/x.policy", line=7, message="no such key")
    tool("reload").has(1, "^$", "/etc/x.policy:7: no such key")
    tool.agent.answers["Reload"] = error("org.varlink.service.PermissionDenied")
    tool("reload").has(4)


@test
def rekey_says_what_came_of_it_however_long_it_takes():
    tool = Tool()

    def slowly(_):
        time.sleep(11)
        return {}
    tool.agent.answers["Rekey"] = slowly
    tool("rekey").has(0, "^$", "under new keys")
    tool.agent.answers["Rekey"] = lambda _: {}
    tool("-q", "rekey").has(0, "^$", "^$")
    assert json.loads(tool("rekey", "--json").out) == {}
    tool.agent.answers["Rekey"] = error("StoreFailed")
    tool("rekey").has(1, "^$", "the old ones, and nothing has changed")
    tool.agent.answers["Rekey"] = error("org.varlink.service.PermissionDenied")
    tool("rekey").has(4)
    tool("rekey", "x").has(2)


@test
def ids_that_can_be_none_are_names():
    tool = Tool()
    for name in ("zzzzzzzzzzz", "deployments", "0000000000", "000000000000", "000000-0000", DIGITS[:11] + "x"):
        id = tool.agent.add(name)
        tool("show", name).has(0, f"ID: +{id}")
