#!/usr/bin/env -S python3 -B
"""The verifier's map: that it says what Verify says at the moment of each reply, to whom it is given, what is in it
and what is not, that nobody can change it, and what it says when its agent is gone or stuck."""

import maps
from jeton import BOB, Agent, Error, main, test, wait_until

ACCESS = "[Access]\nUser=*\nScope=acme/**:*\n"
ALL = ACCESS + "[Verify]\nUser=*\nMap=yes\n"


def started(policy=ALL, settings="", **how):
    agent = Agent(settings, policy, **how)
    agent.start()
    return agent


def filled(client, *tokens):
    """The client's map, once all of it is there."""
    m = maps.get(client)
    wait_until(lambda: all(m.find(t["info"]["id"]) for t in tokens), "the map is filled")
    wait_until(lambda: m.is_good(), "the map is good")
    return m


def agree(client, m, token, scopes=()):
    """Whether Verify finds it good; where the map says so, that must be so, and with the same access."""
    says = m.says(token)
    try:
        answer = client.call("Verify", token=token["token"], scopes=list(scopes))
    except Error:
        answer = None
    if says is not None:
        assert answer is not None and sorted(answer["access"]) == sorted(says), (says, answer)
        assert answer["info"]["expiresUSec"] == m.find(token["info"]["id"])[0]
    return says is not None, answer is not None


@test
def a_map_says_what_verify_says_after_each_kind_of_change():
    agent = started()
    c, v = agent.connect(), agent.connect(BOB)
    first = c.call("Issue", name="first")
    m = filled(v, first)
    for how in ({}, {"scopes": ["acme/a:read", "acme/b/**:run"]}, {"lifetimeSec": 3600}):
        token = c.call("Issue", name="n", **how)
        assert agree(v, m, token) == (True, True), how
        c.call("Revoke", id=token["info"]["id"])
        assert m.find(token["info"]["id"]) is None and agree(v, m, token) == (False, False)
    parent = c.call("Issue", name="p", scopes=["acme/**:read"])
    child = c.call("Derive", token=parent["token"], name="c", scopes=["acme/x:read"])
    assert agree(v, m, child) == agree(v, m, parent) == (True, True)
    new = c.call("Rotate", id=child["info"]["id"], graceSec=600)
    assert agree(v, m, new) == agree(v, m, child) == (True, True)
    newer = c.call("Rotate", id=new["info"]["id"], graceSec=0)
    assert agree(v, m, new) == (False, False) and agree(v, m, newer) == (True, True)
    c.call("Revoke", token=parent["token"])
    for token in (parent, child, new, newer):
        assert agree(v, m, token) == (False, False) and m.find(token["info"]["id"]) is None
    assert agree(v, m, first) == (True, True)


main()
