#!/usr/bin/env -S python3 -B
"""The test client itself, against a server that says what it is told to."""

import json
import os
import socket
import threading

import varlink
from jeton import (BUILD, Client, Error, Mismatch, check_bytes, digits, has_form, main, revalued,
                   test)

TOKEN = {
    "id": "00000000001", "name": "n", "ownerUid": 1, "createdUSec": 1, "expiresUSec": 2,
    "state": "active", "binding": "none",
}


def served(*replies):
    """A client of a server that answers each call with the next of these."""
    ours, theirs = socket.socketpair()

    def serve():
        heard = b""
        for reply in replies:
            while b"\0" not in heard:
                heard += theirs.recv(4096)
            heard = heard.partition(b"\0")[2]
            text = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            theirs.sendall(text + b"\0")
        theirs.close()

    threading.Thread(target=serve, daemon=True).start()
    return Client(ours)


def refused(reply, method="Describe", **parameters):
    try:
        served(reply).call(method, **parameters)
    except Mismatch:
        return True
    return False


@test
def the_interface_is_read_with_all_its_methods_types_and_errors():
    agent = varlink.AGENT
    assert agent.name == "io.jeton.Agent"
    assert agent.methods["Verify"] == (
        ("struct", {"token": ("string",), "scopes": ("maybe", ("array", ("string",))),
                    "bearer": ("maybe", ("int",))}),
        ("struct", {"info": ("named", "Token"), "access": ("array", ("string",))}))
    assert agent.types["TokenState"] == ("enum", ["active", "expired", "revoked"])
    assert agent.errors["io.jeton.Agent.TokenExpired"][1].keys() == {"id", "expiredUSec"}
    assert len(agent.methods) == varlink.TEXT.count("\nmethod ")
    assert len(agent.errors) == varlink.TEXT.count("\nerror ")


@test
def a_reply_of_the_interface_is_taken():
    answer = served({"parameters": {"info": TOKEN}}).call("Describe", id="00000000001")
    assert answer["info"]["name"] == "n"


@test
def a_reply_that_differs_from_the_interface_is_refused():
    assert refused({"parameters": {"info": TOKEN, "more": 1}})
    assert refused({"parameters": {"info": {**TOKEN, "surprise": None}}})
    assert refused({"parameters": {"info": {k: v for k, v in TOKEN.items() if k != "state"}}})
    assert refused({"parameters": {"info": {**TOKEN, "state": "asleep"}}})
    assert refused({"parameters": {"info": {**TOKEN, "ownerUid": "1"}}})
    assert refused({"parameters": {"info": {**TOKEN, "ownerUid": True}}})
    assert refused({"parameters": {"info": {**TOKEN, "scopes": [None]}}})
    assert refused({"parameters": {"info": TOKEN}, "extra": 1})
    assert refused({"parameters": {"info": TOKEN}, "continues": True})
    assert refused({"parameters": []})
    assert refused(b'{"parameters":{"info":null,"info":null}}')


@test
def an_error_is_raised_and_must_be_one_of_the_interface():
    error = served({"error": "io.jeton.Agent.TokenRevoked", "parameters": {"id": "x"}}).error(
        "Describe", id="x")
    assert (error.interface, error.name, error.id) == ("io.jeton.Agent", "TokenRevoked", "x")
    assert refused({"error": "io.jeton.Agent.NoSuchError"})
    assert refused({"error": "io.jeton.Agent.TokenRevoked", "parameters": {}})
    assert refused({"error": "org.varlink.service.PermissionDenied", "parameters": {"why": "x"}})


@test
def more_gives_all_replies_and_knows_the_last():
    client = served({"parameters": {}})
    client.send_bytes(b"")
    replies = [{"parameters": {"info": TOKEN}, "continues": True}, {"parameters": {"info": TOKEN}}]
    client = served(b"\0".join(json.dumps(r).encode() for r in replies))
    assert len(client.list()) == 2
    assert served({"parameters": {"info": None}}).list() == []


@test
def an_end_of_the_connection_is_told_from_an_answer():
    ours, theirs = socket.socketpair()
    theirs.close()
    assert Client(ours).is_closed()
    ours, theirs = socket.socketpair()
    theirs.sendall(b"{}\0")
    try:
        Client(ours).is_closed()
    except AssertionError:
        return
    raise AssertionError("an answer was taken for an end")


@test
def token_values_are_made_and_judged_as_the_contract_says():
    assert digits(61, 2) == "0z" and digits(62, 2) == "10"
    head = "jeton_" + "0" * 11 + "_" + "1" * 43
    assert len(head + check_bytes(head)) == 67
    assert has_form(head + check_bytes(head))
    assert not has_form(head + digits(0, 6))
    assert has_form(revalued(head + check_bytes(head), secret="2" * 43))


@test
def the_build_under_test_is_there():
    assert os.path.exists(os.path.join(BUILD, "jetond")), f"{BUILD}/jetond is not there: run `make`"


@test
def an_error_reply_knows_no_member_that_it_does_not_have():
    error = Error("io.jeton.Agent.TokenRevoked", {"id": "x"})
    assert not hasattr(error, "scope")


main()
