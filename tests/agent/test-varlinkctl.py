#!/usr/bin/env -S python3 -B
"""varlinkctl of a newer systemd, which nobody here wrote, works against the agent as it is."""

import json

import varlink
from jeton import ALICE, BOB, Agent, has_form, main, test, wait_until
from outside import can_chroot, trixie, varlinkctl

HERE = [can_chroot, trixie]
POLICY = f"[Access]\nUser={ALICE}\nScope=acme/risk:read\n"


def started():
    return Agent(policy=POLICY).start()


def call(agent, method, parameters, *flags, uid=ALICE):
    done = varlinkctl(agent, "call", "--json=short", *flags, "$SOCKET", method,
                      json.dumps(parameters), uid=uid)
    assert done.returncode == 0, done
    lines = done.stdout.replace("\x1e", "").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def fails(agent, method, parameters, *flags, uid=ALICE):
    done = varlinkctl(agent, "call", "--json=short", *flags, "$SOCKET", method,
                      json.dumps(parameters), uid=uid)
    assert done.returncode != 0, done
    return done.stderr


@test(needs=HERE)
def info_tells_who_serves():
    done = varlinkctl(started(), "info", "$SOCKET")
    assert done.returncode == 0 and "io.jeton.Agent" in done.stdout, done
    done = varlinkctl(started(), "info", "--json=short", "$SOCKET")
    assert set(json.loads(done.stdout)["interfaces"]) == {"org.varlink.service", "io.jeton.Agent"}


@test(needs=HERE)
def interfaces_and_methods_are_listed():
    agent = started()
    done = varlinkctl(agent, "list-interfaces", "$SOCKET")
    assert done.returncode == 0 and "io.jeton.Agent" in done.stdout.split(), done
    done = varlinkctl(agent, "list-methods", "$SOCKET", "io.jeton.Agent")
    assert done.returncode == 0, done
    assert {m.rpartition(".")[2] for m in done.stdout.split()} == set(varlink.AGENT.methods), done


@test(needs=HERE)
def introspect_reads_the_interface_and_takes_it():
    agent = started()
    done = varlinkctl(agent, "introspect", "$SOCKET", "io.jeton.Agent")
    assert done.returncode == 0 and "method Issue" in done.stdout, done
    assert not done.stderr.strip(), done.stderr
    done = varlinkctl(agent, "introspect", "$SOCKET")
    assert done.returncode == 0, done
    done = varlinkctl(agent, "validate-idl", stdin=varlink.TEXT)
    assert done.returncode == 0, done.stderr


@test(needs=HERE)
def a_token_lives_its_whole_life_by_it():
    agent = started()
    issued, = call(agent, "io.jeton.Agent.Issue", {"name": "n", "scopes": ["acme/risk:read"]})
    assert has_form(issued["token"])
    good, = call(agent, "io.jeton.Agent.Verify",
                 {"token": issued["token"], "scopes": ["acme/risk:read"]})
    assert good["access"] == ["acme/risk:read"]
    assert "InsufficientScope" in fails(agent, "io.jeton.Agent.Verify",
                                        {"token": issued["token"], "scopes": ["x:y"]})
    derived, = call(agent, "io.jeton.Agent.Derive", {"token": issued["token"], "name": "child"})
    rotated, = call(agent, "io.jeton.Agent.Rotate", {"id": issued["info"]["id"], "graceSec": 60})
    assert rotated["previous"]["replacedBy"] == rotated["info"]["id"]
    told, = call(agent, "io.jeton.Agent.Describe", {"id": derived["info"]["id"]})
    assert told["info"]["parent"] == issued["info"]["id"]
    ended, = call(agent, "io.jeton.Agent.Revoke", {"token": issued["token"]})
    assert ended["info"]["state"] == "revoked"
    assert "TokenRevoked" in fails(agent, "io.jeton.Agent.Verify", {"token": derived["token"]})
    status, = call(agent, "io.jeton.Agent.GetStatus", {})
    assert status["tokensActive"] == 1


@test(needs=HERE)
def more_is_answered_to_the_last():
    agent = started()
    assert call(agent, "io.jeton.Agent.List", {}, "--more") in ([{}], [{"info": None}])
    for n in range(3):
        call(agent, "io.jeton.Agent.Issue", {"name": f"n{n}"})
    names = [a["info"]["name"] for a in call(agent, "io.jeton.Agent.List", {}, "--more")]
    assert names == ["n2", "n1", "n0"]
    collected = call(agent, "io.jeton.Agent.List", {}, "--collect")
    assert len(collected[0]) == 3
    assert "ExpectedMore" in fails(agent, "io.jeton.Agent.List", {}) \
        or "more" in fails(agent, "io.jeton.Agent.List", {})
    assert len(call(agent, "io.jeton.Agent.GetStatus", {}, "--more")) == 1


@test(needs=HERE)
def oneway_is_carried_out():
    agent = started()
    issued, = call(agent, "io.jeton.Agent.Issue", {"name": "n"})
    assert call(agent, "io.jeton.Agent.Revoke", {"token": issued["token"]}, "--oneway") == []
    # Nobody is told when it holds, so it may be on its way to the disk yet.
    alice = agent.connect(ALICE)
    wait_until(lambda: alice.call("Describe", id=issued["info"]["id"])["info"]["state"] == "revoked", "the revocation")
    assert "TokenRevoked" in fails(agent, "io.jeton.Agent.Verify", {"token": issued["token"]})


@test(needs=HERE)
def each_caller_is_known_by_its_uid_and_errors_are_named():
    agent = started()
    issued, = call(agent, "io.jeton.Agent.Issue", {"name": "n"})
    assert issued["info"]["ownerUid"] == ALICE
    assert "NoSuchToken" in fails(agent, "io.jeton.Agent.Describe", {"id": issued["info"]["id"]},
                                  uid=BOB)
    said = fails(agent, "io.jeton.Agent.Reload", {})
    assert "Permission" in said or "permission" in said or "denied" in said, said
    assert call(agent, "io.jeton.Agent.Reload", {}, uid=0) == [{}]
    said = fails(agent, "io.jeton.Agent.Nope", {})
    assert "Nope" in said or "not" in said, said
    said = fails(agent, "io.jeton.Agent.Issue", {"name": 1})
    assert "name" in said or "arameter" in said, said


main()
