"""Words, places and surroundings that nobody means: bytes of any kind, no terminal type, no room."""

import os
import re
import resource
import signal
import subprocess

from fake_agent import Bytes, Close, error
from tap import scratch, test
from tool import JETONCTL, STRANGER, Tool, environment, run
from varlink import AGENT

# Every command that asks an agent, with words that are right.
ASKING = [["issue", "n"], ["list"], ["show", "n"], ["revoke", "n"], ["rotate", "n"], ["forget", "c"], ["credentials"],
          ["get", "c"], ["run", "--env", "V=c", "--", "true"], ["watch"], ["audit"], ["status"], ["reload"], ["rekey"],
          ["backup", "FILE"], ["policy", "explain", "fetch", "c"], ["policy", "explain", "access", "a:b"],
          ["policy", "explain", "verify"]]
WITH_INPUT = {"derive": STRANGER, "verify": STRANGER, "put": "x", "lock": "x", "unlock": "x"}
ODD = [b"\xff\xfe", b"a\x80b", b"\xc3", b"\xed\xa0\x80", b"\x1b[31mred", b"a\nb", b"a\rb", b"a\tb", b"\x7f",
       "a\u202eb".encode(), "\u009b31m".encode(), b"-", b"%s%n%d", b"$(id)", b"x" * 100000]


def clean(text):
    """Whether nothing in it could steer a terminal."""
    return not re.search("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]", text)


@test(timeout=120)
def odd_bytes_in_any_word_are_a_mistake_or_a_name_and_never_reach_a_terminal_as_they_are():
    tool = Tool()
    tool.agent.add("n")
    for method in set(AGENT.methods) - set(dir(tool.agent)):
        tool.agent.answers[method] = error("org.varlink.service.PermissionDenied")
    words = [w for w in ASKING if w[0] not in ("watch", "run", "backup")] + [
        ["policy", "check", "f"], ["help", "f"], ["scan", "/nowhere/f"], ["derive", "n"], ["put", "c"],
        ["issue", "n", "--scope", "a:b"], ["issue", "n", "--lifetime", "1h"], ["issue", "n", "--uses", "1"],
        ["list", "--owner", "u"], ["list", "--unused", "1d"], ["rotate", "n", "--grace", "1h"]]
    n = 0
    for line in words:
        for odd in ODD[n % 3::3]:
            asked = len(tool.agent.calls)
            r = tool(*line[:-1], odd if len(line) > 1 else line[0].encode() + odd, stdin=STRANGER)
            assert r.status in (0, 1, 2, 3, 4), (line, odd[:20], r)
            assert clean(r.err) and r.err.count("\n") <= 8, (line, odd[:20], r)
            if r.status == 2:
                assert len(tool.agent.calls) == asked and r.err.count("\n") == 1, (line, odd[:20], r)
        n += 1
    assert not tool.agent.bad_calls, tool.agent.bad_calls


@test
def two_dashes_end_the_options():
    tool = Tool()
    tool("issue", "--", "--lifetime").has(0)
    assert tool.agent.called("Issue")[-1]["name"] == "--lifetime"
    tool("issue", "--lifetime", "2h", "--", "-q").has(0)
    assert tool.agent.called("Issue")[-1] == {"name": "-q", "lifetimeSec": 7200}
    tool("list", "--", "--all-users").has(2, "^$", "too many")
    tool("--", "list").has(0)
    tool("--").has(2, "^$", "a command is needed")


@test
def as_many_words_as_the_kernel_takes_are_only_a_mistake():
    def unlimited():
        resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY,) * 2)
    n = 1000000
    while True:
        try:
            done = subprocess.run([JETONCTL, "list", *["x"] * n], preexec_fn=unlimited, capture_output=True,
                                  env=environment(), timeout=60)
            break
        except OSError:
            n -= n // 10
    assert done.returncode == 2 and not done.stdout and done.stderr.count(b"\n") == 1, (n, done)
    assert n > 100000
    print(f"# {n} words")


@test
def no_terminal_type_and_a_locale_that_there_is_not_change_nothing_on_a_terminal():
    tool = Tool()
    tool.agent.add("a\u00e9")
    seen = set()
    for env in ({"TERM": "xterm"}, {"TERM": "no-such-terminal"}, {"LC_ALL": "xx"}, {"LC_ALL": "xx_YY.UTF-8"},
                {"LANG": "\u00ff"}, {"TERM": "x" * 10000}, {"TERM": "\x1b[31m"}):
        t = tool.terminal("list", env={"NO_COLOR": "1", **env})
        assert t.wait() == 0, (env, t.said)
        seen.add(t.said)
    assert len(seen) == 1, seen
    # Not set at all.
    done = subprocess.run(["env", "-i", JETONCTL, "--socket", tool.socket, "list"], capture_output=True, timeout=100)
    assert done.returncode == 0 and b"a\xc3\xa9" in done.stdout, done


def every_command():
    """All that ask an agent: (words, standard input)."""
    for words in [*ASKING, *([w, "n"] if w in ("derive", "put") else [w] for w in WITH_INPUT)]:
        yield [f"{scratch()}/backup" if w == "FILE" else w for w in words], WITH_INPUT.get(words[0], "x")


@test
def every_command_says_in_one_line_that_there_is_no_agent():
    nowhere = f"{scratch()}/nowhere.sock"
    for words, given in every_command():
        r = run("--socket", nowhere, *words, stdin=given)
        # `run` has the statuses of a shell.
        r.has(125 if words[0] == "run" else 5, "^$", nowhere)
        assert r.err.count("\n") == 1, (words, r)
    assert not os.path.exists(f"{scratch()}/backup")


def raising(what):
    def answer(_):
        raise what
    return answer


@test(timeout=120)
def every_command_tells_an_agent_that_is_older_newer_gone_or_none_from_the_others():
    tool = Tool()
    strange = {
        "does not have the method .* older than this program": lambda method: error(
            "org.varlink.service.MethodNotFound", method=f"io.jeton.Agent.{method}"),
        "FromTheFuture, an error that this program does not know": lambda _: error(
            "io.jeton.Agent.FromTheFuture", what=1),
        "closed the connection": lambda _: raising(Close()),
        "no valid answer": lambda _: raising(Bytes(b'{"parameters":{"x":[}}\0')),
    }
    for says, answer in strange.items():
        for method in AGENT.methods:
            tool.agent.answers[method] = answer(method)
        for words, given in every_command():
            r = tool(*words, stdin=given).has(125 if words[0] == "run" else 1, "^$", says)
            assert r.err.count("\n") == 1, (words, r)
    assert not os.path.exists(f"{scratch()}/backup")


@test
def a_value_that_nobody_could_be_given_is_no_agents_any_more_whatever_the_command():
    tool = Tool()
    parent = tool.agent.add("parent")
    for words, stdin in ((["issue", "a"], ""), (["derive", "b"], tool.agent.value(parent)), (["rotate", "parent"], "")):
        for how in ("/dev/full", "a pipe"):
            tool.agent.tokens[parent]["state"] = "active"
            tool.agent.tokens[parent].pop("replacedBy", None)
            if how == "a pipe":
                reader, out = os.pipe()
                os.close(reader)
            else:
                out = os.open(how, os.O_WRONLY)
            r = tool(*words, stdin=stdin, stdout=out).has(1)
            os.close(out)
            id = tool.agent.called("Revoke")[-1]["id"]
            assert f"{id} was revoked" in r.err and tool.agent.tokens[id]["state"] == "revoked", (words, how, r)


def limited():
    """A file may have no byte: the kernel says so with a signal, where nobody has it ignored."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


@test
def a_file_that_may_not_grow_is_output_that_can_not_be_written():
    tool = Tool()
    with open(f"{scratch()}/out", "wb") as out:
        done = subprocess.run([JETONCTL, "--socket", tool.socket, "issue", "n"], stdout=out, preexec_fn=limited,
                              stderr=subprocess.PIPE, env=environment(), timeout=100)
    states = [t["state"] for t in tool.agent.tokens.values()]
    assert done.returncode == 1 and b"was revoked" in done.stderr and states == ["revoked"], (done, states)
