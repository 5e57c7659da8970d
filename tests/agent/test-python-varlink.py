#!/usr/bin/env -S python3 -B
"""python3-varlink, which nobody here wrote, holds every reply against the interface and takes them
all."""

from jeton import ALICE, BOB, IS_ROOT, Agent, has_form, main, now_us, peer, test, wait_until
from outside import python_varlink, trixie

POLICY = f"[Access]\nUser={ALICE}\nScope=acme/risk:read acme/pipeline:*\n"


class Asking:
    """An agent and python3-varlink's handles for it."""

    def __init__(self, settings="MinLifetime=1s"):
        self.varlink = python_varlink()
        self.agent = Agent(settings, POLICY).start()
        self.client = self.varlink.Client.new_with_address(f"unix:{self.agent.socket}")

    def handle(self, uid=ALICE, interface="io.jeton.Agent", **how):
        if not IS_ROOT or uid == 0:
            return self.client.open(interface, **how)
        return self.client.open(interface, connection=peer(uid).connect(self.agent.socket), **how)

    def error(self, function, *arguments, **parameters):
        try:
            result = function(*arguments, **parameters)
        except self.varlink.VarlinkError as e:
            return e.error(), e.parameters() or {}
        raise AssertionError(f"answered: {result}")


@test(needs=[trixie])
def the_service_tells_of_itself():
    asking = Asking()
    service = asking.handle(interface="org.varlink.service")
    info = service.GetInfo()
    assert set(info) == {"vendor", "product", "version", "url", "interfaces"}, info
    assert "method Issue" in service.GetInterfaceDescription("io.jeton.Agent")["description"]
    name, parameters = asking.error(service.GetInterfaceDescription, "no.such.Interface")
    assert name == "org.varlink.service.InterfaceNotFound", name


@test(needs=[trixie])
def a_token_lives_its_whole_life_by_it():
    asking = Asking()
    agent = asking.handle()
    issued = agent.Issue(name="n", scopes=["acme/risk:read"], lifetimeSec=3600)
    token, ident = issued["token"], issued["info"]["id"]
    assert has_form(token) and issued["info"]["ownerUid"] == ALICE
    assert agent.Verify(token)["access"] == ["acme/risk:read"]
    assert agent.Verify(token, ["acme/risk:read"])["info"]["id"] == ident
    assert agent.Describe(ident)["info"]["lastUsedUSec"]
    child = agent.Derive(token=token, name="child", lifetimeSec=60, uses=2)
    assert child["info"]["parent"] == ident and child["info"]["usesLeft"] == 2
    assert agent.Verify(child["token"])["info"]["usesLeft"] == 1
    assert agent.Verify(child["token"])["info"]["state"] == "revoked"
    rotated = agent.Rotate(id=ident, graceSec=600)
    assert rotated["previous"]["replacedBy"] == rotated["info"]["id"]
    ended = agent.Revoke(token=token)["info"]
    assert (ended["state"], ended["ended"]) == ("revoked", "presented")
    assert agent.Revoke(id=rotated["info"]["id"])["info"]["ended"] == "owner"
    status = agent.GetStatus()
    assert status["tokensActive"] == 0 and status["tokensTotal"] == 3
    assert status["state"] == "running" and status["memory"] in ("secretmem", "locked")


@test(needs=[trixie])
def lists_come_by_more_to_their_last():
    asking = Asking()
    agent = asking.handle()
    assert [m.get("info") for m in agent.List(_more=True)] == [None]
    for n in range(50):
        agent.Issue(name=f"n{n}")
    names = [m["info"]["name"] for m in agent.List(_more=True)]
    assert names == [f"n{n}" for n in range(49, -1, -1)]
    assert [m["info"]["name"] for m in agent.List(name="n7", _more=True)] == ["n7"]
    assert [m.get("info") for m in agent.List(state="expired", _more=True)] == [None]
    assert agent.GetStatus()["tokensActive"] == 50


@test(needs=[trixie])
def replies_come_as_objects_too():
    asking = Asking()
    agent = asking.handle(namespaced=True)
    issued = agent.Issue(name="n")
    assert issued.info.state == "active"
    assert agent.Verify(token=issued.token).info.name == "n"
    assert [m.info.id for m in agent.List(_more=True)] == [issued.info.id]


@test(needs=[trixie])
def errors_are_those_of_the_interface_with_their_parameters():
    asking = Asking("MinLifetime=1s\nMaxTokensPerUser=3")
    agent = asking.handle()
    error = asking.error
    own = "io.jeton.Agent."
    issued = agent.Issue(name="n", scopes=["acme/risk:read"], lifetimeSec=4)
    token, ident = issued["token"], issued["info"]["id"]
    assert error(agent.Verify, "x") == (own + "InvalidToken", {})
    assert error(agent.Verify, token, ["a:b"]) == (own + "InsufficientScope", {"scope": "a:b"})
    assert error(agent.Issue, name="n", scopes=["a:b"]) == (
        own + "ScopeExceedsAccess", {"scope": "a:b"})
    assert error(agent.Describe, "0000000000z") == (own + "NoSuchToken", {})
    name, parameters = error(agent.Issue, name="n", lifetimeSec=0)
    assert name == own + "LifetimeOutOfRange" and parameters["minSec"] == 1, (name, parameters)
    wait_until(lambda: now_us() > issued["info"]["expiresUSec"], "its end")
    assert error(agent.Verify, token) == (
        own + "TokenExpired", {"id": ident, "expiredUSec": issued["info"]["expiresUSec"]})
    tokens = [agent.Issue(name="n") for _ in range(3)]
    name, parameters = error(agent.Issue, "n")
    assert name == own + "LimitReached" and parameters["max"] == 3 and parameters["limit"]
    ident = agent.Revoke(id=tokens[0]["info"]["id"])["info"]["id"]
    assert error(agent.Verify, tokens[0]["token"]) == (own + "TokenRevoked", {"id": ident})
    assert error(agent.Issue, "") == (
        "org.varlink.service.InvalidParameter", {"parameter": "name"})
    assert error(agent.List)[0] == "org.varlink.service.ExpectedMore"
    asking.agent.policy("[Access]\nwrong\n")
    name, parameters = error(asking.handle(0).Reload)
    assert name == own + "PolicyInvalid" and parameters["line"] == 2 and parameters["message"]
    assert parameters["file"].endswith("test.policy")
    if IS_ROOT:
        assert error(agent.Reload) == ("org.varlink.service.PermissionDenied", {})
        bob = asking.handle(BOB)
        assert error(bob.Describe, tokens[1]["info"]["id"]) == (own + "NoSuchToken", {})


@test(needs=[trixie])
def oneway_calls_are_carried_out():
    asking = Asking()
    agent = asking.handle()
    issued = agent.Issue(name="n")
    assert agent.Revoke(token=issued["token"], _oneway=True) is None
    name, parameters = asking.error(agent.Verify, issued["token"])
    assert (name, parameters) == ("io.jeton.Agent.TokenRevoked", {"id": issued["info"]["id"]})


main()
