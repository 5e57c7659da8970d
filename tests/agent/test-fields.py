#!/usr/bin/env -S python3 -B
"""Made from the interface's own text: every parameter of every method absent, null, of each wrong
type, empty and too long. Each is told by its name, nothing changes, and the connection goes on."""

import json

from inputs import NEEDS_MORE, fields
from jeton import ALICE, INTERFACE, Agent, Closed, Error, full_name, main, test
from varlink import SERVICE

POLICY = f"[Access]\nUser={ALICE}\nUser=0\nScope=a:read\n" \
    "[Credential x]\n[Fetch]\nCredential=x\nUser=*\n"

WRONG = {
    "string": [1, 0, -1, 1.5, True, False, [], {}, ["x"], {"x": "y"}],
    "int": ["1", "", 1.5, 1.0, 1e3, True, False, [], {}, [1]],
    "bool": [0, 1, "true", "", [], {}, 1.5],
    "enum": [0, 1, True, [], {}, "", "no-such-word", "Active", "ACTIVE", " active", ["active"]],
    "array": ["a:read", "", 1, True, {}, [None], [1], [True], [[]], [{}], [["a:read"]],
              ["a:read", None],
              [1.5], {"0": "a:read"}],
}


class Base:
    """Parameters that are right, made anew for each call that may use them up."""

    def __init__(self, client):
        self.c = client

    def token(self):
        return self.c.call("Issue", name="base")

    def make(self, method, field):
        """Right parameters for the method, without the field."""
        right = {
            "Issue": lambda: {"name": "n"},
            "Derive": lambda: {"token": self.token()["token"], "name": "n"},
            "Verify": lambda: {"token": self.token()["token"]},
            "Describe": lambda: {"id": self.token()["info"]["id"]},
            "Revoke": lambda: {"id": self.token()["info"]["id"]} if field != "id" else {},
            "Rotate": lambda: {"id": self.token()["info"]["id"]},
            "GetInterfaceDescription": lambda: {"interface": "io.jeton.Agent"},
            "Put": lambda: {"credential": "x", "text": "y"}, "Forget": lambda: {"credential": "x"},
            "Fetch": lambda: self.c.call("Put", credential="x", text="y") and {"credential": "x"},
            "Lock": lambda: {"passphrase": "x"},
            "Unlock": lambda: {"passphrase": "x"},
        }.get(method, dict)()
        right.pop(field, None)
        if method == "Revoke" and field == "token":
            right.pop("id")
        return right


def ask(c, method, parameters, name=None):
    """The first reply; a stream is read to its end, where it has one."""
    if method == "Watch":
        with c.again() as other:
            other.send("Watch", parameters, more=True)
            return other.receive()
    flags = {"more": True} if method in NEEDS_MORE else {}
    c.send(name or full_name(method), parameters, **flags)
    first = message = c.receive()
    while message.get("continues"):
        message = c.receive()
    return first


def is_named(message, method, field):
    return message.get("error") == "org.varlink.service.InvalidParameter" \
        and message["parameters"] == {"parameter": field}


def clients():
    agent = Agent("MaxTokensPerUser=1000000", POLICY).start()
    c = agent.admin()
    c.again = agent.admin
    return c, Base(agent.admin())


@test
def a_required_parameter_that_is_absent_or_null_is_named():
    c, base = clients()
    for interface, method, field, _, optional in fields():
        if optional:
            continue
        right = base.make(method, field)
        for parameters in (right, {**right, field: None}):
            message = ask(c, method, parameters, f"{interface.name}.{method}")
            assert is_named(message, method, field), (method, parameters, message)


@test
def an_optional_parameter_that_is_null_is_as_if_it_were_absent():
    c, base = clients()
    for interface, method, field, _, optional in fields():
        if not optional:
            continue
        answers = []
        for extra in ({}, {field: None}):
            message = ask(c, method, {**base.make(method, field), **extra},
                          f"{interface.name}.{method}")
            answers.append((message.get("error"), message["parameters"].keys(),
                            message.get("continues")))
        assert answers[0] == answers[1], (method, field, answers)


@test
def a_parameter_of_each_wrong_type_is_named():
    c, base = clients()
    for interface, method, field, kind, _ in fields():
        for value in WRONG[kind[0]]:
            parameters = {**base.make(method, field), field: value}
            message = ask(c, method, parameters, f"{interface.name}.{method}")
            assert is_named(message, method, field), (method, field, value, message)


@test
def a_parameter_that_the_method_does_not_have_is_named():
    c, base = clients()
    for interface in (INTERFACE, SERVICE):
        for method in interface.methods:
            for name in ("surprise", "Name", "", "token ", "ünknown"):
                parameters = {**base.make(method, None), name: None if name == "surprise" else 1}
                message = ask(c, method, parameters, f"{interface.name}.{method}")
                if name != "surprise":
                    assert is_named(message, method, name), (method, name, message)


# What a text may be answered with, beside InvalidParameter that names it. Where it may be any text,
# or another parameter is wrong as well, nothing is said of it.
ODD_TEXT = {"token": {"InvalidToken"}, "id": {"NoSuchToken"}, "interface": {"InterfaceNotFound"},
            "credential": {"NoSuchCredential"}, "text": {"NoSuchCredential"},
            "data": {"NoSuchCredential"}}
ANY_TEXT = {("List", "name"), ("Put", "text"), ("Lock", "passphrase"), ("Unlock", "passphrase"),
            ("Explain", "user"),
            ("Explain", "unit"), ("Explain", "credential"), ("ReadAudit", "token")}


@test
def texts_that_are_empty_or_very_long_are_answered_and_change_nothing():
    c, base = clients()
    for interface, method, field, kind, _ in fields():
        if kind[0] not in ("string", "array") or (method, field) == ("Lock", "passphrase"):
            continue
        for text in ("", "x" * 100000, "é" * 50000, "\\\"/\b\f\n\r\t" * 4000, "\u0001"):
            value = text if kind[0] == "string" else [text]
            message = ask(c, method, {**base.make(method, field), field: value},
                          f"{interface.name}.{method}")
            error = message.get("error", "").rpartition(".")[2]
            good = is_named(message, method, field) or error in ODD_TEXT.get(field, set()) \
                or (method, field) in ANY_TEXT
            assert good, (method, field, text[:10], message)
    assert {t["name"] for t in c.list()} <= {"base", "n"}


@test
def arrays_that_are_very_long_are_answered():
    c, base = clients()
    for interface, method, field, kind, _ in fields():
        if kind[0] != "array":
            continue
        for value in (["a:read"] * 33, ["a:read"] * 10000, ["x"] * 20000):
            message = ask(c, method, {**base.make(method, field), field: value},
                          f"{interface.name}.{method}")
            assert is_named(message, method, field), (method, field, len(value), message)


@test
def numbers_at_the_ends_of_their_range_are_answered():
    c, base = clients()
    for interface, method, field, kind, _ in fields():
        if kind[0] != "int":
            continue
        for value in ((1 << 63) - 1, -(1 << 63), 1 << 63, -(1 << 63) - 1, 1 << 64, 10 ** 400,
                      (1 << 32), -1):
            message = ask(c, method, {**base.make(method, field), field: value},
                          f"{interface.name}.{method}")
            error = message.get("error", "").rpartition(".")[2]
            if (1 << 63) > value >= -(1 << 63):
                good = is_named(message, method, field) or error in ("LifetimeOutOfRange", "EventsMissed") \
                    or not error and value > 0
            else:
                good = is_named(message, method, field)
            assert good, (method, field, value, message)


@test
def methods_without_parameters_take_none():
    c, _ = clients()
    for method in ("GetStatus", "Reload", "org.varlink.service.GetInfo"):
        for parameters in (None, {}):
            c.send(method, parameters)
            assert "error" not in c.receive()
        c.send(method, {"x": 1})
        assert is_named(c.receive(), method, "x")


@test
def who_may_call_is_decided_before_a_parameter_is_looked_at():
    agent = Agent(policy=POLICY).start()
    if agent.uid is None:
        return
    c = agent.connect(ALICE)
    for parameters in ({}, {"x": 1}, {"x": None}):
        c.send("Reload", parameters)
        assert c.receive()["error"] == "org.varlink.service.PermissionDenied"


@test
def every_call_with_a_byte_changed_is_answered_or_closed_and_nothing_more():
    agent = Agent("MaxTokensPerUser=1000000", POLICY).start()
    c = agent.connect()
    token = c.call("Issue", name="kept", scopes=["a:read"])
    calls = [c.encode("Verify", {"token": token["token"], "scopes": ["a:read"]}),
             c.encode("Describe", {"id": token["info"]["id"]}),
             c.encode("Rotate", {"id": "0" * 11, "graceSec": 10, "lifetimeSec": None})]
    for call in calls:
        for at in range(len(call) - 1):
            for byte in b'\0"\\{}[],:x0\xff':
                changed = call[:at] + bytes([byte]) + call[at + 1:]
                c.send_bytes(changed)
                try:
                    json.loads(c.receive_text())
                except Closed:
                    c = agent.connect()
                    continue
                if byte == 0:
                    # Two messages were made of it: the second one ends the connection.
                    c.close()
                    c = agent.connect()
    try:
        info = c.call("Describe", id=token["info"]["id"])["info"]
    except Error as e:
        raise AssertionError(f"the token is gone: {e}") from None
    assert info["state"] == "active" and info["name"] == "kept"


main()
