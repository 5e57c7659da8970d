"""Agents that are not there, not willing, not well."""

import os
import socket
import subprocess

from fake_agent import Bytes, Close, Hang, error
from tap import Skip, scratch, test
from tool import JETONCTL, STRANGER, Tool, environment, run


def hang(_):
    raise Hang


def close(_):
    raise Close


@test
def absent_denied_hung_and_strange_agents_are_told_apart():
    tool = Tool()
    said = set()

    def told(r, status, says):
        r.has(status, "^$", says)
        assert r.err.count("\n") == 1, r
        said.add(r.err.replace(tool.socket, "").strip())
    told(run("--socket", "/nowhere/at.all", "status"), 5, "no agent at /nowhere/at.all")
    dead = f"{scratch()}/dead.sock"
    socket.socket(socket.AF_UNIX).bind(dead)
    told(run("--socket", dead, "status"), 5, "listens")
    tool.agent.answers["GetStatus"] = close
    told(tool("status"), 1, "closed the connection")
    tool.agent.answers["GetStatus"] = hang
    told(tool("status"), 1, "did not answer")
    for wrong in (b"HTTP/1.1 400 Bad Request\r\n\r\n\0", b"\0", b"{}\0"[:2] + b"]\0", b'{"parameters":[]}\0'):
        tool.agent.answers["GetStatus"] = lambda _, w=wrong: (_ for _ in ()).throw(Bytes(w))
        tool("status").has(1, "^$", "no valid answer")
    tool.agent.answers["GetStatus"] = error("org.varlink.service.MethodNotFound", method="io.jeton.Agent.GetStatus")
    told(tool("status"), 1, "older than this program")
    tool.agent.answers["GetStatus"] = error("io.jeton.Agent.FromTheFuture", what=1)
    told(tool("status"), 1, "FromTheFuture")
    tool.agent.answers["GetStatus"] = error("org.varlink.service.PermissionDenied")
    told(tool("status"), 4, "may not")
    assert len(said) == 7, said


@test
def a_socket_that_one_may_not_use_is_denied():
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    tool = Tool()
    os.chmod(tool.socket, 0o600)
    r = subprocess.run(["setpriv", "--reuid=12345", "--clear-groups", _copy(), "--socket", tool.socket, "status"],
                       capture_output=True, text=True, env=environment())
    assert r.returncode == 4 and "may not connect" in r.stderr, r


@test
def no_value_is_sent_to_an_agent_of_somebody_else():
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    tool = Tool()
    script = f"{scratch()}/impostor"
    path = f"{scratch()}/impostor.sock"
    with open(script, "w", encoding="utf-8") as f:
        f.write("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n"
                "print(flush=True)\nc, _ = s.accept()\nprint(c.recv(9999), flush=True)\n")
    os.chmod(scratch(), 0o777)
    impostor = subprocess.Popen(["setpriv", "--reuid=12345", "--clear-groups", "python3", script, path],
                                stdout=subprocess.PIPE)
    impostor.stdout.readline()
    run("--socket", path, "verify", stdin=STRANGER).has(1, "^$", "served by uid 12345")
    assert impostor.stdout.readline().strip() == b"b''"
    impostor.wait()
    assert tool.agent.calls == []


def _copy():
    """The tool where everybody can reach it."""
    path = f"{scratch()}/jetonctl"
    subprocess.run(["install", "-m", "755", JETONCTL, path], check=True)
    return path


@test
def after_an_answer_that_did_not_come_one_is_told_to_look():
    tool = Tool()
    tool.agent.add("ci")
    for method, words in (("Issue", ["issue", "x"]), ("Rotate", ["rotate", "ci"])):
        tool.agent.answers[method] = close
        tool(*words).has(1, "^$", "jetonctl list")


@test
def every_error_of_the_interface_has_its_status_and_sentence():
    tool = Tool()
    tool.agent.add("ci")
    errors = {
        "ScopeExceedsAccess": ({"scope": "a:b"}, 1, "a:b"),
        "LifetimeOutOfRange": ({"minSec": 3600, "maxSec": 86400}, 1, "between 1h and 1d"),
        "LimitReached": ({"limit": "MaxTokensPerUser", "max": 1000}, 1, "MaxTokensPerUser.*1000"),
        "StoreFailed": ({}, 1, "disk"),
        "AgentLocked": ({}, 1, "locked"),
        "PolicyInvalid": ({"file": "/a.policy", "line": 3, "message": "wrong"}, 1, "/a.policy:3: wrong"),
        "NoSuchToken": ({}, 1, "no token"),
        "org.varlink.service.PermissionDenied": ({}, 4, "may not"),
        "org.varlink.service.InvalidParameter": ({"parameter": "uses"}, 1, "uses"),
        "org.varlink.service.InterfaceNotFound": ({"interface": "io.jeton.Agent"}, 1, "io.jeton.Agent"),
    }
    for name, (parameters, status, says) in errors.items():
        for method, words in (("Issue", ["issue", "x"]), ("Rotate", ["rotate", "ci"]), ("Revoke", ["revoke", "ci"])):
            tool.agent.answers[method] = error(name, **parameters)
            r = tool(*words).has(status, "^$", says)
            assert r.err.count("\n") == 1, r


@test
def output_that_can_not_be_written_is_a_failure():
    tool = Tool()
    tool.agent.add("ci")
    for words in (["list"], ["status"], ["show", "ci"], ["list", "--json"], ["--help"], ["--version"]):
        with open("/dev/full", "wb") as full:
            tool(*words, stdout=full).has(1, None, "can't write to standard output: No space left")
        reader, writer = os.pipe()
        os.close(reader)
        tool(*words, stdout=writer).has(1, None, "^$")
        os.close(writer)
