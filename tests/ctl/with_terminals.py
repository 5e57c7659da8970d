"""What is different on a terminal: tables that fit, colour, questions, values unseen."""

import os
import re
import signal
import time
import unicodedata

from fake_agent import now_us
from tap import scratch, test
from tool import SECRET, Tool

DAY_US = 86400 * 1000000
STYLE = re.compile(r"\x1b\[[0-9]*m")


def columns(line):
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@test
def tables_fit_the_terminal():
    tool = Tool()
    tool.agent.add("日本語のトークンの長い名前" * 3, scopes=["acme/risk:read"] * 20)
    tool.agent.add("a" * 128, scopes=["acme/risk:read"])
    tool.agent.add("x" * 100, state="revoked", endedUSec=now_us() - DAY_US)
    for width in (80, 90, 100, 132, 200, 1000):
        t = tool.terminal("list", columns=width)
        assert t.wait() == 0
        lines = STYLE.sub("", t.said).splitlines()
        assert len(lines) == 3 and max(map(columns, lines)) <= width, (width, lines)
        assert ("…" in lines[1]) == (width < 1000), lines
    out = tool("list").has(0).out
    assert "…" not in out and "\x1b" not in out


@test
def colour_is_for_terminals_that_want_it():
    tool = Tool()
    tool.agent.add("ci")
    for env, colour in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False),
                        ({"TERM": ""}, True)):
        t = tool.terminal("list", env=env)
        assert t.wait() == 0
        assert bool(STYLE.search(t.said)) == colour, (env, t.said)


@test
def a_value_that_goes_to_a_terminal_goes_there_with_a_warning():
    tool = Tool()
    t = tool.terminal("issue", "ci")
    assert t.wait() == 0
    assert t.said.count("Careful") == 1 and SECRET.search(t.said), t.said
    t = tool.terminal("-q", "issue", "ci")
    assert t.wait() == 0
    assert "Careful" not in t.said and SECRET.search(t.said), t.said
    with open(f"{scratch()}/out", "wb") as out:
        t = tool.terminal("issue", "ci", stdout=out.fileno())
        assert t.wait() == 0
    assert "Careful" not in t.said and not SECRET.search(t.said), t.said


@test
def a_value_is_asked_for_without_echo():
    tool = Tool()
    id = tool.agent.add("ci")
    t = tool.terminal("verify")
    t.read("Token: ")
    assert not t.echoes()
    t.write(tool.agent.value(id) + "\n")
    t.read("Last used")
    assert t.echoes()
    assert t.wait() == 0 and not SECRET.search(t.said), t.said


@test
def echo_is_back_when_a_signal_ends_the_asking():
    tool = Tool()
    for key, number in (("\x03", signal.SIGINT), ("\x1c", signal.SIGQUIT), (None, signal.SIGTERM), (None, signal.SIGHUP)):
        t = tool.terminal("verify")
        t.read("Token: ")
        held = t.hold()
        assert not t.echoes()
        if key:
            t.write(key)
        else:
            t.signal(number)
        assert t.wait() == -number
        assert t.echoes(), key or number
        os.close(held)
    assert not tool.agent.calls


@test
def echo_is_back_while_the_asking_is_stopped_and_gone_again_after():
    tool = Tool()
    id = tool.agent.add("ci")
    t = tool.terminal("verify", as_job=True)
    for stops in range(3):
        t.read("(?s)" + "Token: .*" * stops + "Token: ")
        assert not t.echoes()
        t.write("\x1a")
        t.read("(?s)" + r"\[stopped\].*" * stops + r"\[stopped\]")
        assert t.echoes()
        t.resume()
    t.read("(?s)" + "Token: .*" * 3 + "Token: ")
    t.write(tool.agent.value(id) + "\n")
    assert t.wait() == 0, t.said
    assert not SECRET.search(t.said), t.said


@test
def the_end_of_the_terminal_is_no_value():
    tool = Tool()
    t = tool.terminal("verify")
    t.read("Token: ")
    t.write("\x04")
    assert t.wait() == 3
    assert "empty" in t.said and not tool.agent.calls


@test
def a_backups_passphrase_is_asked_for_twice_and_must_be_the_same():
    tool = Tool()
    path = f"{scratch()}/backup"
    t = tool.terminal("backup", path)
    t.read("Passphrase for the backup: ")
    assert not t.echoes()
    t.write("one thing\n")
    t.read("Passphrase for the backup, again: ")
    assert not t.echoes()
    t.write("another\n")
    assert t.wait() == 1
    assert "the two are not the same" in t.said and "one thing" not in t.said and t.echoes(), t.said
    t = tool.terminal("backup", path)
    t.read("Passphrase for the backup: ")
    t.write("\n")
    assert t.wait() == 1 and "empty" in t.said, t.said
    t = tool.terminal("backup", path)
    t.read("Passphrase for the backup: ")
    t.write("\x03")
    assert t.wait() == -signal.SIGINT
    assert not tool.agent.calls and not os.path.exists(path) and not os.path.exists(f"{path}.part")


@test
def revoke_unused_shows_and_asks_and_takes_only_yes():
    tool = Tool()
    for answer, status, revoked in (("n\n", 1, 0), ("\n", 1, 0), ("\x04", 1, 0), ("y\n", 0, 1)):
        tool.agent.tokens.clear()
        tool.agent.add("idle", createdUSec=now_us() - 90 * DAY_US)
        before = len(tool.agent.called("Revoke"))
        t = tool.terminal("revoke", "--unused", "30d")
        t.read(r"(?s)NAME.*idle.*Revoke this token\? \[y/N\] ")
        t.write(answer)
        assert t.wait() == status, t.said
        assert len(tool.agent.called("Revoke")) - before == revoked, t.said


@test
def what_was_used_while_the_question_stood_is_left_alone():
    tool = Tool()
    old = now_us() - 90 * DAY_US
    idle, busy = tool.agent.add("idle", createdUSec=old), tool.agent.add("busy", createdUSec=old)
    t = tool.terminal("revoke", "--unused", "30d")
    t.read(r"all of these tokens\? ")
    tool.agent.tokens[busy]["lastUsedUSec"] = now_us()
    tool.agent.add("new-idle", createdUSec=old)
    time.sleep(0.05)
    t.write("y\n")
    assert t.wait() == 0, t.said
    assert [p["id"] for p in tool.agent.called("Revoke")] == [idle]
