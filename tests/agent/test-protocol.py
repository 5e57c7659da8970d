#!/usr/bin/env -S python3 -B
"""The protocol, as good clients speak it: how messages are cut, judged and answered in order."""

import json
import signal
import socket

import varlink
from jeton import ALICE, Agent, Closed, full_name, main, serial, test

# These may still say so.
INFO = b'{"method":"org.varlink.service.GetInfo"}\0'


def started(settings="", policy=""):
    return Agent(settings, policy).start()


def is_well(agent):
    with agent.connect() as c:
        return c.call("org.varlink.service.GetInfo")["vendor"]


def invalid(error, parameter):
    assert error.name == "InvalidParameter" and error.interface == "org.varlink.service", error
    assert error.parameter == parameter, error


# ---- org.varlink.service -------------------------------------------------------------------------

@test
def getinfo_tells_who_serves_and_both_interfaces():
    info = started().connect().call("org.varlink.service.GetInfo")
    assert set(info["interfaces"]) == {"org.varlink.service", "io.jeton.Agent"}
    assert all(info[k] for k in ("vendor", "product", "version", "url")), info


@test
def introspection_gives_the_text_of_the_interface_itself():
    c = started().connect()
    answer = c.call("org.varlink.service.GetInterfaceDescription", interface="io.jeton.Agent")
    assert answer["description"] == varlink.TEXT
    answer = c.call("org.varlink.service.GetInterfaceDescription", interface="org.varlink.service")
    read = varlink.Interface(answer["description"])
    assert read.methods == varlink.SERVICE.methods
    assert read.errors == varlink.SERVICE.errors


@test
def a_description_of_an_unknown_interface_is_interface_not_found():
    c = started().connect()
    error = c.error("org.varlink.service.GetInterfaceDescription", interface="io.jeton.Nope")
    assert error.name == "InterfaceNotFound", error
    assert error.parameters == {"interface": "io.jeton.Nope"}, error
    invalid(c.error("org.varlink.service.GetInterfaceDescription"), "interface")


@test
def an_unknown_method_or_interface_is_named_and_the_connection_goes_on():
    c = started().connect()
    for method in ("io.jeton.Agent.Nope", "org.varlink.service.Nope", "io.jeton.Agent.issue",
                   "io.jeton.Agent.Issue2", "io.jeton.Agent.Issu"):
        error = c.error(method)
        assert error.name == "MethodNotFound" and error.parameters == {"method": method}, error
    for interface in ("io.jeton.Nope", "io.jeton", "io.jeton.Agent.Issue", "x", "IO.JETON.AGENT"):
        error = c.error(f"{interface}.Issue")
        assert error.name == "InterfaceNotFound", error
        assert error.parameters == {"interface": interface}, error
    assert c.call("GetStatus")


@test
def a_method_name_of_any_form_is_answered_and_the_connection_goes_on():
    c = started().connect()
    for method in ("", ".", "..", "Issue", ".Issue", "io.jeton.Agent.", "x" * 65536,
                   "io.jeton.Agent." + "x" * 65536, "é.ü", "io.jeton.Agent.Issue\n", "a\u202eb.c"):
        c.send_bytes(json.dumps({"method": method}).encode() + b"\0")
        message = c.receive()
        name = message["error"].rpartition(".")[2]
        assert name in ("MethodNotFound", "InterfaceNotFound"), (method[:40], message)
    assert c.call("GetStatus")


# ---- members of a call ---------------------------------------------------------------------------

@test
def an_unknown_member_beside_method_is_an_invalid_parameter_that_names_it():
    c = started().connect()
    for member in ("extra", "Method", "error", "continues", "parameter"):
        call = {"method": "org.varlink.service.GetInfo", member: 1}
        c.send_bytes(json.dumps(call).encode() + b"\0")
        message = c.receive()
        assert message["error"] == "org.varlink.service.InvalidParameter", message
        assert message["parameters"] == {"parameter": member}, message
    assert c.call("GetStatus")


@test
def a_known_member_of_the_wrong_type_is_an_invalid_parameter_that_names_it():
    c = started().connect()
    wrong = {"parameters": [[], "x", 1, True], "more": ["true", 1, {}], "oneway": ["true", 1, []],
             "upgrade": [True, 1]}
    for member, values in wrong.items():
        for value in values:
            call = {"method": "org.varlink.service.GetInfo", member: value}
            c.send_bytes(json.dumps(call).encode() + b"\0")
            message = c.receive()
            assert message["error"] == "org.varlink.service.InvalidParameter", (call, message)
            assert message["parameters"] == {"parameter": member}, (call, message)
    assert c.call("GetStatus")


@test
def members_that_are_null_are_absent():
    c = started().connect()
    call = {"method": "org.varlink.service.GetInfo", "parameters": None, "more": None,
            "oneway": None}
    c.send_bytes(json.dumps(call).encode() + b"\0")
    assert c.receive()["parameters"]["vendor"]
    assert c.call("Issue", name="n", lifetimeSec=None, scopes=None, binding=None, uses=None,
                  ownerUid=None)


@test
def calls_come_with_empty_parameters_or_without():
    c = started().connect()
    c.send("GetStatus")
    assert c.reply()
    c.send("GetStatus", {})
    assert c.reply()


@test
def a_message_that_is_no_call_changes_nothing():
    agent = started()
    for message in ({}, {"parameters": {}}, {"parameters": {"token": "x"}}, {"method": None},
                    {"error": "io.jeton.Agent.NoSuchToken", "parameters": {}}, {"method": 1},
                    {"continues": True, "parameters": {}}, {"method": ["a"]}):
        with agent.connect() as c:
            c.send_bytes(json.dumps(message).encode() + b"\0")
            try:
                answer = c.receive()
            except Closed:
                continue
            assert answer["error"] == "org.varlink.service.InvalidParameter", (message, answer)
    assert is_well(agent)


@test
def texts_may_be_spelt_with_escapes():
    c = started().connect()
    token = c.call("Issue", name="n")["token"]
    spelt = "".join(f"\\u{ord(x):04X}" if n % 2 else x for n, x in enumerate(token))
    c.send_bytes(b'{"method":"io.jeton.Agent.Verify","parameters":{"token":"' + spelt.encode()
                 + b'"}}\0')
    assert c.receive()["parameters"]["info"]["name"] == "n"
    c.send_bytes(b'{"method":"io.jeton.Agent.Issue","parameters":'
                 b'{"n\\u0061me":"\\ud83d\\ude00\\/\\"\\\\"}}\0')
    assert c.receive()["parameters"]["info"]["name"] == "😀/\"\\"


@test
def white_space_around_a_call_and_escapes_in_it_are_json():
    c = started().connect()
    c.send_bytes(b' \t\r\n{ "m\\u0065thod" : "org.varlink.service.Get\\u0049nfo" , '
                 b'"parameters" : { } } \n\0')
    assert c.receive()["parameters"]["vendor"]


# ---- oneway and more -----------------------------------------------------------------------------

@test
def a_oneway_call_is_carried_out_and_not_answered():
    agent = started()
    c = agent.connect()
    issued = c.call("Issue", name="n")
    c.send("Revoke", {"token": issued["token"]}, oneway=True)
    c.send("Revoke", {"token": "no token"}, oneway=True)
    c.send("Nope", {}, oneway=True)
    c.send("GetStatus", {}, oneway=True)
    c.send("List", {}, oneway=True)
    c.send("List", {}, oneway=True, more=True)
    error = c.error("Verify", token=issued["token"])
    assert error.name == "TokenRevoked", error


@test
def oneway_with_a_method_whose_reply_is_the_point_does_nothing():
    agent = started()
    c = agent.connect()
    token = c.call("Issue", name="only")
    c.send("Issue", {"name": "lost"}, oneway=True)
    c.send("Derive", {"token": token["token"], "name": "lost"}, oneway=True)
    c.send("Rotate", {"id": token["info"]["id"]}, oneway=True)
    c.send("Fetch", {"credential": "x"}, oneway=True)
    tokens = c.list()
    assert [t["name"] for t in tokens] == ["only"], tokens
    assert not tokens[0].get("replacedBy")
    assert c.call("Verify", token=token["token"])


@test
def list_without_more_expects_more():
    c = started().connect()
    error = c.error("List")
    assert (error.interface, error.name) == ("org.varlink.service", "ExpectedMore")
    assert c.list() == []


@test
def more_with_a_method_of_one_reply_gets_that_one():
    c = started().connect()
    assert len(c.more("GetStatus")) == 1
    assert len(c.more("org.varlink.service.GetInfo")) == 1
    assert len(c.more("Issue", name="n")) == 1
    assert len(c.list()) == 1


@test
def list_continues_until_its_last_reply():
    c = started().connect()
    for n in range(3):
        c.call("Issue", name=f"t{n}")
    c.send("List", {}, more=True)
    continues = [bool(c.receive().get("continues")) for _ in range(3)]
    assert continues == [True, True, False]
    c.send("GetStatus")
    assert c.reply()


# ---- order ---------------------------------------------------------------------------------------

@test
def ten_thousand_calls_in_one_write_are_answered_in_order():
    c = started().connect()
    calls = [("org.varlink.service.GetInfo", {}) if n % 2 else (f"io.jeton.Agent.N{n}", {})
             for n in range(10000)]
    answers = serial(c, calls)
    for n, answer in enumerate(answers):
        if n % 2:
            assert "vendor" in answer
        else:
            assert answer.parameters == {"method": f"io.jeton.Agent.N{n}"}


@test
def replies_come_to_the_connection_that_asked_however_many_are_asked_at_once():
    agent = started()
    clients = [agent.connect() for _ in range(4)]
    for n in (1, 255, 256, 257, 300, 600):
        # All of it lies there before the agent looks at any.
        agent.pause()
        for k, c in enumerate(clients):
            c.send_bytes(b"".join(c.encode(f"x{k}.N{i}") for i in range(n)))
        agent.signal(signal.SIGCONT)
        for k, c in enumerate(clients):
            assert {c.receive()["parameters"]["interface"] for _ in range(n)} == {f"x{k}"}, n
    for k, c in enumerate(clients):
        assert c.call("org.varlink.service.GetInfo")["vendor"], k


@test
def calls_that_wait_for_the_store_keep_their_place():
    c = started().connect()
    calls = []
    for n in range(300):
        calls += [("Issue", {"name": f"n{n}"}), ("GetStatus", {}), (f"N{n}", {})]
    answers = serial(c, calls)
    for n in range(300):
        issued, status, error = answers[3 * n:3 * n + 3]
        assert issued["info"]["name"] == f"n{n}"
        assert status["tokensActive"] == n + 1
        assert error.parameters == {"method": f"io.jeton.Agent.N{n}"}


@test
def a_change_is_seen_by_the_next_call_of_the_same_write():
    c = started().connect()
    first = c.call("Issue", name="n")
    answers = serial(c, [("Verify", {"token": first["token"]}),
                         ("Revoke", {"id": first["info"]["id"]}),
                         ("Verify", {"token": first["token"]})])
    assert answers[0]["info"]["state"] == "active"
    assert answers[1]["info"]["state"] == "revoked"
    assert answers[2].name == "TokenRevoked"


@test
def a_call_cut_at_every_byte_is_answered_the_same():
    agent = started()
    cut, clock = agent.connect(), agent.connect()
    call = '{"method":"io.jeton.Agent.Describe","parameters":{"id":"é00"}}'.encode() + b"\0"
    cut.send_bytes(call)
    whole = cut.receive_text()
    for n in range(1, len(call)):
        cut.send_bytes(call[:n])
        clock.call("GetStatus")  # by then the agent has read the first part
        cut.send_bytes(call[n:])
        assert cut.receive_text() == whole, n


@test
def two_calls_cut_at_every_byte_are_both_answered():
    agent = started()
    cut, clock = agent.connect(), agent.connect()
    calls = b'{"method":"a.B"}\0{"method":"a.C.D"}\0'
    for n in range(1, len(calls)):
        cut.send_bytes(calls[:n])
        clock.call("GetStatus")
        cut.send_bytes(calls[n:])
        assert [cut.receive()["parameters"]["interface"] for _ in range(2)] == ["a", "a.C"]


@test
def a_call_that_comes_byte_by_byte_is_answered():
    agent = started()
    c, clock = agent.connect(), agent.connect()
    for byte in INFO:
        c.send_bytes(bytes([byte]))
        clock.call("GetStatus")
    assert c.receive()["parameters"]["vendor"]


@test
def a_client_that_ends_its_sending_side_still_gets_its_replies():
    agent = started()
    c = agent.connect()
    calls = [("Issue", {"name": "n"}), ("GetStatus", {}), ("org.varlink.service.GetInfo", {})]
    c.send_bytes(b"".join(c.encode(*call) for call in calls))
    c.asked.extend(full_name(m) for m, _ in calls)
    c.sock.shutdown(socket.SHUT_WR)
    assert c.reply()["info"]["name"] == "n"
    assert c.reply()["tokensActive"] == 1
    assert c.reply()["vendor"]
    assert c.is_closed()


@test
def a_client_that_ends_its_sending_side_at_once_is_let_go():
    agent = started()
    c = agent.connect()
    c.sock.shutdown(socket.SHUT_WR)
    assert c.is_closed()


@test
def a_client_that_leaves_in_the_midst_of_a_list_harms_nobody():
    agent = started()
    c = agent.connect()
    answers = serial(c, [("Issue", {"name": f"n{n}"}) for n in range(400)])
    serial(c, [("Revoke", {"id": a["info"]["id"]}) for a in answers[:200]])
    for n in range(60):
        with agent.connect() as other:
            for _ in range(1 + n % 3):
                other.send("List", {"state": "revoked"} if n % 2 else {}, more=True)
            for _ in range(n % 7):
                other.receive()
    assert len(c.list()) == 400


@test
def a_client_that_leaves_before_its_reply_harms_nobody():
    agent = started()
    for n in range(50):
        c = agent.connect()
        c.send_bytes(c.encode("Issue", {"name": f"n{n}"}) * 3)
        c.close()
    c = agent.connect()
    c.call("Issue", name="last")
    assert all(t["state"] == "active" for t in c.list())


# ---- every method --------------------------------------------------------------------------------

@test
def every_method_of_the_interface_is_there():
    parameters = {
        "Put": {"credential": "x", "text": "y"}, "Forget": {"credential": "x"},
        "Fetch": {"credential": "x"}, "Explain": {"scope": "a:b"}, "Unlock": {"passphrase": "x"},
    }
    for method in set(varlink.AGENT.methods) - {"Lock"}:
        with started(policy=f"[Access]\nUser={ALICE}\nScope=a:b\n").admin() as c:
            streams = ("List", "ListCredentials", "Watch", "ReadAudit")
            more = {"more": True} if method in streams else {}
            c.send(method, parameters.get(method, {}), **more)
            error = c.receive().get("error", "")
            assert error not in ("org.varlink.service.MethodNotFound",
                                 "org.varlink.service.MethodNotImplemented"), method


main()
