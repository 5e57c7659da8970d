"""issue, derive, rotate, verify: where values come from and go to."""

import json
import os
import shutil
import subprocess

from fake_agent import error, now_us
from tap import Skip, scratch, test
from tool import JETONCTL, SECRET, STRANGER, Tool, environment

DAY_US = 86400 * 1000000


@test
def issue_prints_the_value_alone_and_the_rest_beside_it():
    tool = Tool()
    r = tool("issue", "ci").has(0, rf"^{SECRET.pattern}\n$", "shown this once")
    id = r.out[6:17]
    assert tool.agent.tokens[id]["name"] == "ci"
    r.has(0, None, id).has(0, None, "in (29|30) days").has(0, None, "all that tester has access to, now and later")
    assert not SECRET.search(r.err)


@test
def issue_asks_for_just_what_it_was_told():
    tool = Tool()
    tool("issue", "ci", "--lifetime", "1h 30min", "--scope", "acme/risk:read", "--scope=acme/**:*",
         "--uses", "3", "--owner", "12345").has(0)
    tool("issue", "other").has(0)
    first, second = tool.agent.called("Issue")
    assert first == {"name": "ci", "lifetimeSec": 5400, "scopes": ["acme/risk:read", "acme/**:*"],
                     "uses": 3, "ownerUid": 12345}, first
    assert second == {"name": "other"}, second


@test
def expires_is_sent_as_the_seconds_until_then_rounded_down():
    tool = Tool()
    tool("issue", "ci", "--expires", "2d").has(0)
    assert tool.agent.called("Issue")[0]["lifetimeSec"] in (172799, 172800)
    tool("issue", "ci", "--expires", "2020-01-01").has(2, "^$", "has passed")
    tool("issue", "ci", "--expires", "2d", "--lifetime", "2d").has(2, "^$", "one of them")
    assert len(tool.agent.calls) == 1


@test
def with_scopes_issue_does_not_speak_of_all_access():
    r = Tool()("issue", "ci", "--scope", "acme/risk:read").has(0)
    assert "access" not in r.err


@test
def quiet_leaves_the_value():
    r = Tool()("-q", "issue", "ci").has(0, SECRET.pattern)
    assert r.err == ""


@test
def issue_as_json_is_the_agents_answer():
    tool = Tool()
    for mode, lines in (("short", 1), ("pretty", 10)):
        r = tool("issue", "ci", f"--json={mode}").has(0)
        answer = json.loads(r.out)
        assert answer["info"] == tool.agent.tokens[answer["token"][6:17]], answer
        assert r.out.count("\n") >= lines and (mode != "short" or r.out.count("\n") == 1), r.out


@test
def a_name_that_no_token_can_have_is_refused_here():
    tool = Tool()
    for name in ("", "a" * 129, "a\nb", "\u202eabc"):
        tool("issue", "--", name).has(2, "^$", "a token's name is")
    assert not tool.agent.calls
    for name in ("a", "a" * 128, "-x", "日本"):
        tool("issue", "--", name).has(0)


@test
def a_value_that_can_not_be_printed_is_revoked_again():
    tool = Tool()
    tool.agent.add("old")
    for words in (["issue", "ci"], ["issue", "ci", "--json"], ["rotate", "old"]):
        with open("/dev/full", "wb") as full:
            r = tool(*words, stdout=full)
        id = tool.agent.called("Revoke")[-1]["id"]
        r.has(1, None, f"No space left on device.*{id} was revoked")
        assert tool.agent.tokens[id]["state"] == "revoked"
        assert r.err.count("\n") == 1, r
    r.has(1, None, "rotate it again")


@test
def a_value_whose_reader_is_gone_is_revoked_again():
    tool = Tool()
    reader, writer = os.pipe()
    os.close(reader)
    tool("issue", "ci", stdout=writer).has(1, None, "Broken pipe.*was revoked")
    assert [t["state"] for t in tool.agent.tokens.values()] == ["revoked"]


@test
def what_could_not_be_revoked_is_named_with_what_to_do():
    tool = Tool()
    tool.agent.answers["Revoke"] = error("StoreFailed")
    with open("/dev/full", "wb") as full:
        r = tool("issue", "ci", stdout=full)
    id = next(iter(tool.agent.tokens))
    r.has(1, None, f"could not be revoked.*jetonctl revoke {id}")


@test
def with_standard_output_closed_no_token_is_made():
    tool = Tool()
    for words in ("issue ci", "rotate ci", "derive ci"):
        r = subprocess.run(["sh", "-c", f'exec "$0" --socket "$1" {words} >&-', *_program(tool)],
                           stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert r.returncode == 1 and b"no token was made" in r.stderr, r
    assert not tool.agent.calls


def _program(tool):
    return JETONCTL, tool.socket


@test
def descriptors_that_are_closed_do_not_become_the_socket():
    tool = Tool()
    tool.agent.add("ci")
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        r = subprocess.run(["sh", "-c", f'exec "$0" --socket "$1" list {closed}', *_program(tool)],
                           stdout=subprocess.PIPE)
        assert r.returncode == (1 if ">&- " in closed + " " and not closed.startswith("2") else 0), (closed, r)
    assert not tool.agent.bad_calls


@test
def derive_takes_its_parent_from_standard_input():
    tool = Tool()
    parent = tool.agent.add("parent")
    value = tool.agent.value(parent)
    r = tool("derive", "child", "--scope", "a:b", "--lifetime", "1d", stdin=value + "\n")
    r.has(0, rf"^{SECRET.pattern}\n$", f"ends with {parent}")
    assert tool.agent.called("Derive") == [
        {"token": value, "name": "child", "scopes": ["a:b"], "lifetimeSec": 86400}]
    tool("derive", "child", stdin=STRANGER).has(1, "^$", "no token that this agent issued")
    tool("derive", "child", stdin="rubbish").has(1, "^$", "no token")
    tool("derive", "child", "--owner", "me", stdin=value).has(2)


@test
def rotate_prints_the_new_value_and_says_until_when_the_old_one_is_good():
    tool = Tool()
    id = tool.agent.add("ci")
    r = tool("rotate", "ci", "--grace", "1h", "--lifetime", "7d").has(0, rf"^{SECRET.pattern}\n$")
    r.has(0, None, f"{id}, is good until it ends (in 1 hour|in 59 minutes)")
    assert tool.agent.called("Rotate") == [{"id": id, "graceSec": 3600, "lifetimeSec": 604800}]
    r = tool("rotate", "ci", "--grace", "0", "--json=short").has(0, None, "good no more")
    assert set(json.loads(r.out)) == {"token", "info", "previous"}


@test
def verify_prints_facts_and_takes_scopes():
    tool = Tool()
    id = tool.agent.add("ci", scopes=["acme/risk:read"])
    value = tool.agent.value(id)
    r = tool("verify", stdin=value + "\n").has(0, f"ID: +{id}", "^$").has(0, "Access now: +acme/risk:read")
    assert not SECRET.search(r.out)
    tool("verify", "--scope", "acme/risk:read", stdin=value).has(0)
    r = tool("verify", "--scope", "acme/risk:write", stdin=value)
    r.has(3, "^$", "does not reach acme/risk:write")
    assert tool("-q", "verify", stdin=value).has(0).out == ""
    answer = json.loads(tool("verify", "--json", stdin=value).has(0).out)
    assert answer == {"info": tool.agent.tokens[id], "access": ["acme/risk:read"]}


@test
def verify_ends_with_3_for_all_that_is_not_good():
    tool = Tool()
    for state, says in (("expired", "expired"), ("revoked", "revoked")):
        id = tool.agent.add("x", state=state, endedUSec=now_us(), expiresUSec=now_us() - DAY_US)
        tool("verify", stdin=tool.agent.value(id)).has(3, "^$", f"{id}.*{says}")
    tool("verify", stdin=STRANGER).has(3, "^$", "no token that this agent issued")
    tool.agent.answers["Verify"] = error("WrongBearer", id="0000000000A")
    tool("verify", stdin=STRANGER).has(3, "^$", "bound to another")
    tool.agent.answers["Verify"] = error("org.varlink.service.PermissionDenied")
    tool("verify", stdin=STRANGER).has(4, "^$", "may not")


@test
def what_is_no_token_is_not_sent_anywhere():
    tool = Tool()
    value = tool.agent.value(tool.agent.add("ci"))
    bad = ["", "\n", " " + value, value + " ", value + "\n\n", value + "\n" + value, value[:-1], value + "x",
           value.lower(), value.replace("_", "-"), value + "\0", "x" * 100000, "\xff", "password\n",
           value[:-1] + ("0" if value[-1] != "0" else "1"), value + "\r\n"]
    for text in bad:
        r = tool("verify", stdin=text).has(3, "^$", "standard input")
        assert text.strip()[:40] not in r.err or len(text.strip()) < 8, r
        assert r.err.count("\n") == 1, r
    assert not tool.agent.calls


@test
def a_value_on_the_command_line_is_refused_with_the_right_way():
    tool = Tool()
    value = tool.agent.value(tool.agent.add("ci"))
    for words in (["verify", value], ["show", value], ["revoke", value], [value], ["issue", f"--scope={value}"],
                  ["scan", f"/tmp/{value}"], ["list", "--", value], ["verify", value[:-5]], ["--socket", value]):
        r = tool(*words).has(2, "^$", "ps.*revoke --leaked")
        assert value[20:40] not in r.err
    tool("verify", "not-a-value").has(2, "^$", "standard input")
    assert not tool.agent.calls


@test
def a_value_goes_from_standard_input_to_the_socket_and_nowhere_else():
    if not shutil.which("strace"):
        raise Skip("needs strace")
    # A sanitizer looks for leaks by ptrace(), which is taken.
    env = environment(ASAN_OPTIONS="detect_leaks=0")
    tool = Tool()
    value = tool.agent.value(tool.agent.add("ci"))
    for words, given, to in (("verify", value, "sendmsg(3"), ("issue x", "", "write(1"), ("derive x", value, "write(1")):
        log = f"{scratch()}/strace"
        subprocess.run(["strace", "-f", "-s", "4096", "-o", log, *_program(tool)[:1], "--socket", tool.socket,
                        *words.split()], input=given.encode(), capture_output=True, env=env, check=True)
        with open(log, encoding="utf-8", errors="replace") as f:
            lines = [line.split(None, 1)[1] for line in f if SECRET.search(line)]
        assert lines and any(line.startswith(to) for line in lines), lines
        for line in lines:
            assert line.startswith(("read(0", "sendmsg(3", "recvmsg(3", "write(1")), line
