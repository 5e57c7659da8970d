"""lock and unlock: where the passphrase comes from, and what is said."""

import json

from fake_agent import error
from tap import test
from tool import Tool, run


def asked(tool, method):
    return [p["passphrase"] for m, p in tool.agent.calls if m == method]


def new_tool():
    tool = Tool()
    for method in ("Lock", "Unlock"):
        tool.agent.answers[method] = lambda _: {}
    return tool


@test
def the_passphrase_is_all_of_standard_input_less_one_newline():
    tool = new_tool()
    given = ("correct horse\n", "correct horse", "a\n\n", " a ", "é\tß\n", "x" * 1024, "x" * 1024 + "\n")
    for text in given:
        tool("lock", stdin=text).has(0, "^$", "locked, until jetonctl unlock")
        tool("unlock", stdin=text).has(0, "^$", "unlocked")
    wanted = [t.removesuffix("\n") for t in given]
    assert asked(tool, "Lock") == asked(tool, "Unlock") == wanted
    tool("-q", "lock", stdin="x").has(0, "^$", "^$")
    assert json.loads(tool("--json", "unlock", stdin="x").has(0).out) == {}


@test
def what_can_be_no_passphrase_is_not_sent():
    tool = new_tool()
    for command in ("lock", "unlock"):
        for text, says in (("", "empty"), ("\n", "empty"), ("x" * 1025, "over 1024"), ("x" * 5000, "over 1024"),
                           (b"a\0b", "no text"), (b"\xff\xfe", "no text")):
            tool(command, stdin=text).has(1, "^$", says)
        # Where ps would show it.
        tool(command, "correct horse", stdin="x").has(2, "^$", "too many")
    assert not tool.agent.calls


@test
def on_a_terminal_lock_asks_twice_and_unlock_once_unseen():
    tool = new_tool()
    t = tool.terminal("lock")
    t.read("Passphrase for the lock: ")
    assert not t.echoes()
    t.write("correct horse\n")
    t.read(", again: ")
    assert not t.echoes()
    t.write("correct horse\n")
    assert t.wait() == 0 and "correct" not in t.said, t.said
    t = tool.terminal("unlock")
    t.read("Passphrase: ")
    assert not t.echoes()
    t.write("correct horse\n")
    assert t.wait() == 0 and "correct" not in t.said, t.said
    assert asked(tool, "Lock") == asked(tool, "Unlock") == ["correct horse"]


@test
def two_that_differ_lock_nothing():
    tool = new_tool()
    t = tool.terminal("lock")
    t.read("Passphrase for the lock: ")
    t.write("correct horse\n")
    t.read(", again: ")
    t.write("correct hors\n")
    assert t.wait() == 1 and "not the same" in t.said, t.said
    assert not asked(tool, "Lock")


@test
def refusals_are_told_with_what_to_do():
    tool = new_tool()
    for command, name, more, status, says in (
            ("lock", "AgentLocked", {}, 1, "locked already"),
            ("lock", "StoreFailed", {}, 1, "nothing was changed"),
            ("lock", "org.varlink.service.PermissionDenied", {}, 4, "administrators"),
            ("unlock", "NotLocked", {}, 1, "not locked"),
            ("unlock", "WrongPassphrase", {"retryAfterSec": 8}, 1, "not the passphrase .* in 8s"),
            ("unlock", "org.varlink.service.PermissionDenied", {}, 4, "administrators")):
        tool.agent.answers[command.capitalize()] = error(name, **more)
        r = tool(command, stdin="correct horse").has(status, "^$", says)
        assert "correct" not in r.err and r.err.count("\n") == 1, r


@test
def without_an_agent_no_passphrase_is_asked_for():
    for command in ("lock", "unlock"):
        run("--socket", "/nowhere/agent.sock", command, stdin="").has(5, "^$", "no agent")
