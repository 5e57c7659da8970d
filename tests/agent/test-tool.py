#!/usr/bin/env -S python3 -B
"""The tool against a real agent: a token's whole life, and the exit statuses that scripts go by."""

import json
import os
import subprocess

from jeton import AGENT_UID, ALICE, IS_ROOT, Agent, has_form, main, program, root, test
from peers import become

POLICY = f"[Access]\nUser={AGENT_UID}\nScope=acme/risk:read\n"


class Tool:
    """Runs the tool as the agent's own user, whom it trusts."""

    def __init__(self, agent, uid=AGENT_UID):
        self.agent, self.uid = agent, uid

    def __call__(self, *arguments, stdin="", status=0):
        def enter():
            if IS_ROOT:
                become(self.uid, self.uid)

        done = subprocess.run([program("jetonctl"), "--socket", self.agent.socket, *arguments],
                              input=stdin, capture_output=True, text=True, timeout=100,
                              preexec_fn=enter,
                              env={"PATH": "/usr/bin:/bin", "HOME": "/"})
        assert done.returncode == status, (arguments, done)
        return done

    def json(self, *arguments, **how):
        return json.loads(self("--json=short", *arguments, **how).stdout)


def started(settings=""):
    agent = Agent(settings, POLICY).start()
    return agent, Tool(agent)


@test
def a_token_lives_its_whole_life_by_the_tool():
    _, tool = started()
    done = tool("issue", "nightly", "--scope", "acme/risk:read", "--lifetime", "2h")
    token = done.stdout.strip()
    assert done.stdout == token + "\n" and has_form(token)
    assert token[6:17] in done.stderr and token not in done.stderr
    assert "nightly" in tool("verify", "--scope", "acme/risk:read", stdin=token + "\n").stdout
    tool("verify", "--scope", "acme/risk:write", stdin=token, status=3)
    assert "nightly" in tool("list").stdout and "nightly" in tool("show", "nightly").stdout
    child = tool("derive", "child", stdin=token).stdout.strip()
    assert has_form(child)
    new = tool("rotate", "nightly", "--grace", "1min").stdout.strip()
    assert has_form(new) and new != token
    tool("revoke", token[6:17])
    for ended in (token, child):
        tool("verify", stdin=ended, status=3)
    tool("verify", stdin=new)
    tool("revoke", "nightly")
    tool("verify", stdin=new, status=3)


@test
def json_is_what_the_protocol_says():
    agent, tool = started()
    issued = tool.json("issue", "n", "--uses", "3")
    assert issued["info"]["usesLeft"] == 3 and has_form(issued["token"])
    assert [t["id"] for t in tool.json("list")] == [issued["info"]["id"]]
    c = agent.connect(AGENT_UID)
    told = c.call("Describe", id=issued["info"]["id"])["info"]
    assert tool.json("show", issued["info"]["id"])["info"] == told
    status = tool.json("status")
    assert status["tokensActive"] == 1 and status["state"] == "running"


@test
def exit_statuses_are_those_that_scripts_go_by():
    agent, tool = started()
    tool("nonsense", status=2)
    tool("issue", status=2)
    tool("issue", "n", "--lifetime", "soon", status=2)
    tool("issue", "n", "--lifetime", "1s", status=1)
    tool("verify", stdin="no token", status=3)
    if IS_ROOT:
        tool("reload", status=4)
    agent.stop()
    tool("list", status=5)
    tool("status", status=5)


@test(needs=[root])
def a_secret_is_not_sent_to_an_agent_of_another_user():
    agent, tool = started()
    token = tool("issue", "n").stdout.strip()
    done = Tool(agent, ALICE)("verify", stdin=token, status=1)
    assert token not in done.stderr and done.stderr.strip()


@test
def policies_are_checked_and_reloaded():
    agent, tool = started()
    admin = Tool(agent, 0)
    agent.policy("[Access]\nwrong\n")
    done = tool("policy", "check", f"{agent.policies}/test.policy", status=1)
    assert f"{agent.policies}/test.policy:2: " in done.stderr + done.stdout
    done = admin("reload", status=1)
    assert f"{agent.policies}/test.policy:2: " in done.stderr
    agent.policy(POLICY)
    tool("policy", "check", f"{agent.policies}/test.policy")
    admin("reload")


@test
def an_agents_own_paths_are_found_by_its_command_line():
    agent, tool = started()
    assert "changed" not in tool("policy", "explain", "access", "acme/risk:read").stderr
    agent.policy(POLICY, "later.policy")
    done = tool("policy", "explain", "access", "acme/risk:read")
    assert f"{agent.policies}/later.policy was changed" in done.stderr, done
    assert "later.policy was changed" in tool("doctor", "--json=short", status=1).stdout
    backup = f"{agent.dir}/backup"
    Tool(agent, 0)("backup", backup, stdin="a passphrase")
    os.chmod(backup, 0o644)
    # As root's test the agent's user is no administrator, and can only lay it there.
    done = tool("restore", backup, stdin="a passphrase", status=4 if IS_ROOT else 0)
    assert not IS_ROOT or f"{agent.state}/restore" in done.stderr, done


@test
def what_the_agent_would_not_take_is_told_before_it_is_asked():
    agent, tool = started()
    value = tool("issue", "n").stdout
    assert "plain" in tool("verify", "--scope", "acme/*:read", stdin=value, status=2).stderr
    assert "30d" in tool("rotate", "n", "--grace", "31d", status=2).stderr
    assert "narrows" not in tool("rotate", "n", "--grace", "30d").stderr


main()
