"""put, get, credentials, run, policy explain, doctor: what only an agent of a test's own can show."""

import base64
import json
import os
import re
import shutil
import subprocess
import time

from fake_agent import Bytes, Close, Error, error, now_us
from tap import Skip, scratch, test
from tool import JETONCTL, SECRET, STRANGER, Tool, environment, run

DAY_US = 86400 * 1000000


def credential(name, **facts):
    return {"name": name, "kind": "held", "description": None, "revision": 1, "updatedUSec": now_us() - DAY_US,
            "expiresUSec": None, "lastFetchedUSec": None, "lastFetchedBy": None, **facts}


def fetched(text=None, data=None, **more):
    answer = {"text": text, "data": data and base64.b64encode(data).decode(), "fd": None, "revision": 1,
              "expiresUSec": None, "tokenId": None, **more}
    return lambda _: answer


def holding(tool, text=None, data=None, **more):
    tool.agent.answers["Fetch"] = fetched(text, data, **more)
    return tool


# ---- put


@test
def put_sends_text_as_text_and_bytes_as_bytes():
    tool = Tool()
    tool.agent.answers["Put"] = lambda _: {"revision": 7}
    tool("put", "modulos", "--expires", "2d", stdin="s3cret\n").has(0, "^$", "modulos has a new value, revision 7")
    tool("put", "modulos", "--binary", stdin="s3cret\n").has(0)
    tool("-q", "put", "modulos", stdin="\n\n").has(0, "^$", "^$")
    assert json.loads(tool("--json", "put", "modulos", stdin="x").has(0).out) == {"revision": 7}
    first, second, third, _ = tool.agent.called("Put")
    assert first["text"] == "s3cret" and abs(first["expiresUSec"] - now_us() - 2 * DAY_US) < 10 ** 7
    assert base64.b64decode(second["data"]) == b"s3cret\n" and "text" not in second
    assert third == {"credential": "modulos", "text": "\n"}, third


@test
def a_value_never_comes_from_the_command_line():
    tool = Tool()
    tool("put", "modulos", "s3cret").has(2, "^$", "standard input")
    tool("run", "--env", f"A={STRANGER}", "--", "true").has(2, "^$", "ps")
    tool("run", "--", "echo", STRANGER).has(2, "^$", "ps")
    assert not tool.agent.calls


@test
def on_a_terminal_put_asks_without_echo():
    tool = Tool()
    tool.agent.answers["Put"] = lambda _: {"revision": 1}
    for words in (("put", "modulos"), ("put", "modulos", "--binary")):
        t = tool.terminal(*words)
        t.read("Value of modulos: ")
        assert not t.echoes()
        t.write("typed s3cret\n")
        assert t.wait() == 0 and "typed" not in t.said, t.said
    text, binary = tool.agent.called("Put")
    assert text["text"] == "typed s3cret" and base64.b64decode(binary["data"]) == b"typed s3cret"


# ---- get


@test
def get_prints_exactly_what_came():
    tool = Tool()
    for value in ("s3cret", "a\n\n", "\x1b[31m", "x" * 49152):
        r = holding(tool, value)("get", "modulos").has(0, None, "^$")
        assert r.out == value
    assert holding(tool, data=bytes(range(256)))("get", "modulos", text=False).out == bytes(range(256))
    answer = json.loads(holding(tool, "x")("get", "modulos", "--json").has(0).out)
    assert answer["text"] == "x" and answer["revision"] == 1


@test
def on_a_terminal_get_warns_and_ends_the_line():
    tool = holding(Tool(), "s3cret")
    t = tool.terminal("get", "modulos")
    assert t.wait() == 0
    assert re.fullmatch(r"Careful: .*\r\ns3cret\r\n", t.said), t.said
    t = tool.terminal("-q", "get", "modulos")
    assert t.wait() == 0 and t.said == "s3cret\r\n", t.said


@test
def get_fails_as_the_agent_says():
    tool = Tool()
    for name, parameters, status, says in (
            ("NoSuchCredential", {"credential": "m"}, 4, "no credential m for you"),
            ("CredentialEmpty", {"credential": "m"}, 1, "Nothing was put"),
            ("CredentialExpired", {"credential": "m", "expiredUSec": now_us()}, 1, "expired"),
            ("LifetimeOutOfRange", {"minSec": 0, "maxSec": 5}, 1, "between"),
            ("AgentLocked", {}, 1, "locked"), ("LimitReached", {"limit": "MaxTokens", "max": 5}, 1, "MaxTokens"),
            ("BindingUnavailable", {"binding": "unit"}, 1, "unit"),
            ("org.varlink.service.PermissionDenied", {}, 4, "may not")):
        tool.agent.answers["Fetch"] = error(name, **parameters)
        tool("get", "m").has(status, "^$", says)
        tool("run", "--env", "A=m", "--", "true").has(125, "^$", says)
        tool("run", "--env", "A=m", "--renew=restart", "--", "true").has(125, "^$", says)


@test
def an_answer_that_can_not_be_right_gives_nothing():
    tool = Tool()
    for answer in (fetched(), fetched("x", b"y"), fetched("x", fd=0), lambda _: {}, lambda _: {"text": 5}):
        tool.agent.answers["Fetch"] = answer
        tool("get", "modulos").has(1, "^$", "no valid answer")
        for how in ("--env", "--file"):
            tool("run", how, "A=modulos", "--", "echo", "ran").has(125, "^$", "no valid answer")

    def close(_):
        raise Close

    tool.agent.answers["Fetch"] = close
    tool("get", "modulos").has(1, "^$", "closed the connection")
    # An agent that gives no descriptor where one was asked for.
    holding(tool, "x")("run", "--file", "A=modulos", "--", "echo", "ran").has(125, "^$", "no valid answer")


@test
def a_minted_token_is_looked_at_before_it_is_handed_on():
    tool = Tool()
    id = tool.agent.add("pipeline", binding="process", credential="pipeline")
    tool.agent.answers["Fetch"] = fetched(tool.agent.value(id), tokenId=id)
    r = tool("get", "pipeline").has(1, "^$", "jetonctl run")
    assert not SECRET.search(r.err) and tool.agent.tokens[id]["state"] == "revoked"
    for binding in ("none", "unit"):
        id = tool.agent.add("pipeline", binding=binding)
        tool.agent.answers["Fetch"] = fetched(tool.agent.value(id), tokenId=id)
        assert tool("get", "pipeline").has(0, None, "^$").out == tool.agent.value(id)
        assert tool.agent.tokens[id]["state"] == "active"


@test
def a_credential_goes_from_standard_input_to_the_socket_and_back_and_nowhere_else():
    if not shutil.which("strace"):
        raise Skip("needs strace")
    tool = holding(Tool(), "s3cret-needle")
    tool.agent.answers["Put"] = lambda _: {"revision": 1}
    helper = os.path.join(os.path.dirname(JETONCTL), "jeton-helper")
    given = {"put": "s3cret-needle\n", "git": "protocol=https\nhost=x\n\n"}
    for words, to in (([JETONCTL, "put", "modulos"], "sendmsg(3"), ([JETONCTL, "get", "modulos"], "write(1"),
                      ([JETONCTL, "get", "modulos", "--json"], "write(1"),
                      ([JETONCTL, "run", "--env", "K=modulos", "--", "true"], "execve("),
                      ([helper, "git", "--credential", "modulos", "get"], "write(1"),
                      ([helper, "curl", "--credential", "modulos"], "write(1")):
        log = f"{scratch()}/strace"
        done = subprocess.run(["strace", "-v", "-f", "-s", "4096", "-o", log, *words], capture_output=True,
                              input=given.get(words[1], "").encode(),
                              env=environment(ASAN_OPTIONS="detect_leaks=0", JETON_SOCKET=tool.socket), check=False)
        assert done.returncode == 0 and b"needle" not in done.stderr, done
        with open(log, encoding="utf-8", errors="replace") as f:
            lines = [line.split(None, 1)[1] for line in f if "needle" in line]
        assert any(line.startswith(to) for line in lines), (words, lines)
        for line in lines:
            assert line.startswith(("read(0", "sendmsg(3", "recvmsg(3", to)), (words, line)


# ---- credentials


@test
def credentials_are_a_table_or_the_agents_words():
    tool = Tool()
    rows = [credential("modulos", description="Modulos\x1b[31m", lastFetchedUSec=now_us() - 5 * 10 ** 6, lastFetchedBy="ci",
                       expiresUSec=now_us() + 3 * DAY_US + 10 ** 7),
            credential("new", revision=None, updatedUSec=None), credential("mint", kind="minted", revision=None, updatedUSec=None)]
    tool.agent.answers["ListCredentials"] = lambda _: [{"credential": r} for r in rows]
    out = tool("credentials").has(0, None, "^$").out
    assert re.search(r"^modulos +held +1 +1 day ago +in 3 days +\d seconds ago +ci +Modulos\\x1b\[31m$", out, re.M), out
    assert re.search(r"^new +held +empty +never", out, re.M) and re.search(r"^mint +minted +never", out, re.M), out
    assert json.loads(tool("credentials", "--json").has(0).out) == rows
    assert json.loads(tool("credentials", "--json=short").has(0, r"^\[.*\]\n$").out) == rows
    tool.agent.answers["ListCredentials"] = lambda _: [{"credential": None}]
    tool("credentials").has(0, "^$", "no credential that you may fetch")
    assert tool("credentials", "--json").has(0).out == "[]\n"
    tool.agent.answers["ListCredentials"] = error("AgentLocked")
    tool("credentials", "--json").has(1, "^$", "locked")


# ---- watch


@test
def events_of_any_kind_are_told():
    tool = Tool()
    id = tool.agent.add("ci\x1b", owner=None, ownerUid=77)
    events = [{"seq": 1, "kind": "issued", "atUSec": 0, "token": tool.agent.tokens[id], "credential": None},
              {"seq": 2, "kind": "put", "atUSec": 0, "token": None, "credential": "m"},
              {"seq": 3, "kind": "reloaded", "atUSec": 0, "token": None, "credential": None}]

    def watch(p):
        if p.get("after") is not None:
            raise Error("EventsMissed")
        text = b"".join(json.dumps({"parameters": {"event": e}, "continues": True}).encode() + b"\0" for e in [None, *events])
        raise Bytes(text + json.dumps({"error": "io.jeton.Agent.EventsMissed", "parameters": {}}).encode() + b"\0")

    tool.agent.answers["Watch"] = watch
    out = tool("watch").has(1, None, "missed").out
    assert re.fullmatch(rf"1  1970-.* UTC  issued     {id}  ci\\x1b, of uid 77\n2  .*  put        m\n3  .*  reloaded\n", out), out
    out = tool("watch", "--json").has(1).out
    assert [json.loads(line) for line in out.splitlines()] == events
    tool("watch", "--after", "5").has(1, "^$", "missed")
    assert tool.agent.called("Watch")[-1] == {"after": 5}


# ---- policy explain


@test
def explain_says_yes_or_no_and_all_the_lines():
    tool = Tool()
    for allowed, word in ((True, "yes"), (False, "no"), (None, "not to be said")):
        tool.agent.answers["Explain"] = lambda _, a=allowed: {"allowed": a, "lines": ["a:1 \x1b because", "b:2 so"]}
        tool("policy", "explain", "fetch", "m", "--user", "ci", "--unit", "u.service").has(
            0, rf"^Allowed: +{word}\nBecause: +a:1 \\x1b because\n +b:2 so\n$", "^$")
    assert tool.agent.called("Explain")[0] == {"user": "ci", "unit": "u.service", "credential": "m"}
    tool("policy", "explain", "access", "a/**:*").has(0)
    tool("policy", "explain", "verify").has(0)
    tool("policy", "explain", "verify", "--unit", "nightly").has(0)
    assert tool.agent.called("Explain")[3:] == [{"scope": "a/**:*"}, {}, {"unit": "nightly.service"}]
    # Before the command --user is whose agent is asked.
    run("--user", "policy", "explain", "verify", env={"XDG_RUNTIME_DIR": "/nowhere"}).has(5)


# ---- doctor


@test
def doctor_sees_how_the_agent_is():
    tool = Tool()
    os.mkdir(f"{scratch()}/policy")
    tool.agent.answers["ListCredentials"] = lambda _: [{"credential": None}]
    status = tool.agent.GetStatus(None)

    def doctor(**facts):
        tool.agent.answers["GetStatus"] = lambda _: {**status, "policiesLoadedUSec": now_us(), **facts}
        return tool("doctor", "--policy", f"{scratch()}/policy")

    doctor().has(0, "Policies: +none yet, so nobody .* put one into ", "All is well")
    doctor().has(0, "Agent: +runs", "All is well")
    doctor(version="0.0.1").has(0, "Warning: is of version 0.0.1")
    doctor(memory="unlocked").has(1, "Memory: +Wrong: is not locked.*LimitMEMLOCK=")
    doctor(state="locked").has(1, "Agent: +Wrong: .*jetonctl unlock")
    doctor(state="refusing").has(1, "Agent: +Wrong: .*policy check")
    doctor(lockedBytes=95, lockedLimit=100).has(1, "MemoryLimit=")
    for facts, status_, says in (({"updatedUSec": None}, 1, "is defined and empty"),
                                 ({"expiresUSec": now_us() - 1}, 1, "has expired"),
                                 ({"expiresUSec": now_us() + DAY_US}, 0, "Warning: m expires in"),
                                 ({"expiresUSec": now_us() + 30 * DAY_US}, 0, "1 for you to fetch")):
        tool.agent.answers["ListCredentials"] = lambda _, f=facts: [{"credential": credential("m", **f)}]
        doctor().has(status_, says)
    tool.agent.answers["GetStatus"] = error("org.varlink.service.MethodNotFound", method="GetStatus")
    tool("doctor").has(1, "older than this program")


@test
def doctor_sees_what_is_wrong_with_the_socket():
    for path, says in ((f"{scratch()}/nowhere", "systemctl start jetond.socket"), (f"{scratch()}/file", "is no socket")):
        if path.endswith("file"):
            open(path, "w").close()
        run("--socket", path, "doctor").has(1, f"Socket: +Wrong: .*{says}")
    tool = Tool()
    tool.agent.answers["ListCredentials"] = lambda _: [{"credential": None}]
    os.chmod(scratch(), 0o777)
    tool("doctor").has(1, "others can write to")
    os.chmod(scratch(), 0o755)
    found = json.loads(tool("doctor", "--json").has(0).out)["findings"]
    assert {f["about"] for f in found} == {"Socket", "Agent", "Memory", "Kernel", "Policies", "Credentials"}, found
    assert {f["result"] for f in found} <= {"good", "warning"}, found


# ---- rotate --when-unused


def rotated(tool, old_used, new_used, **old):
    """A token that was rotated, and the new one; each use is (by, seconds ago), or None."""

    def facts(use):
        return {"lastUsedBy": use and use[0], "lastUsedUSec": use and now_us() - use[1] * 1000000}

    new = tool.agent.add("ci", **facts(new_used))
    return tool.agent.add("ci", replacedBy=new, **{**facts(old_used), **old}), new


@test
def an_old_token_goes_where_all_that_used_it_use_the_new_one():
    tool = Tool()
    for old_used, new_used in ((("unit a", 100), ("unit a", 50)), (None, ("unit a", 1))):
        old, _ = rotated(tool, old_used, new_used)
        r = tool("rotate", old, "--when-unused").has(0, "^$", f"{old}, was revoked")
        assert tool.agent.tokens[old]["state"] == "revoked" and not tool.agent.called("Rotate"), r


@test
def an_old_token_stays_while_anyone_uses_it():
    tool = Tool()
    for old_used, new_used in ((("unit a", 100), None), (("unit a", 100), ("unit b", 50)), (("unit a", 100), ("unit a", 150)),
                               (("unit a", 30), ("unit a", 20)), (None, None)):
        old, _ = rotated(tool, old_used, new_used)
        t = tool.terminal("rotate", old, "--when-unused")
        t.read("goes on")
        time.sleep(1.5)
        assert tool.agent.tokens[old]["state"] == "active", (old_used, new_used)
        t.signal(2)
        assert t.wait() == -2


@test
def a_rotation_whose_tokens_have_ended_is_waited_for_no_longer():
    tool = Tool()
    old, new = rotated(tool, ("a", 100), None, state="expired")
    tool("rotate", old, "--when-unused").has(0, "^$", "has ended")
    old, new = rotated(tool, ("a", 100), None)
    tool.agent.end(new)
    tool("rotate", old, "--when-unused").has(1, "^$", "left as it is")
    assert tool.agent.tokens[old]["state"] == "active"


@test
def when_unused_rotates_with_the_longest_grace_unless_another_is_given():
    tool = Tool()
    tool.agent.add("ci")
    tool.agent.add("other")
    tool.agent.answers["Describe"] = lambda p: {"info": tool.agent.tokens[p["id"]]}
    for words, grace in ((("ci",), 30 * 86400), (("other", "--grace", "1h"), 3600)):
        t = tool.terminal("rotate", "--when-unused", *words)
        t.read("goes on")
        t.signal(15)
        assert t.wait() == -15 and SECRET.search(t.said), t.said
        assert tool.agent.called("Rotate")[-1]["graceSec"] == grace
