#!/usr/bin/env -S python3 -B
"""How calls come, whatever they are: cut anywhere, with any descriptors, from clients that leave."""

import json
import os
import random
import re
import select
import signal
import socket
import threading

import inputs
from jeton import ALICE, IS_ROOT, Agent, main, test, wait_until

POLICY = f"[Access]\nUser={ALICE}\nUser=0\nScope=a:b\n[Credential x]\n[Fetch]\nCredential=x\nUser=*\n"
INFO = b'{"method":"org.varlink.service.GetInfo"}\0'
# How many sockets that hold themselves are sent; 100,000 take a minute.
CYCLES = int(os.environ.get("JETON_CYCLES", "20000"))
# How often many clients ask many things at once.
ROUNDS = int(os.environ.get("JETON_ROUNDS", "4"))
# These cost half a second or rewrite the store each time; to who may not call them it is all the same.
FOR_ADMINISTRATORS = {"Lock", "Unlock", "Rekey", "Backup", "Reload"}
AT_ONCE = 100  # connections


def good_calls(token):
    """A good call of every method, as bytes: what changes something does it, too."""
    good = {
        "Issue": {"name": "é\"n", "lifetimeSec": 3600, "scopes": ["a:b"], "binding": "none", "uses": 7},
        # Refused, since a token has at most 100 children.
        "Derive": {"token": token["token"], "name": "child", "scopes": ["not/held:x"]},
        "Verify": {"token": token["token"], "scopes": ["a:b"]},
        "List": {"name": "nobody's"}, "Describe": {"id": token["info"]["id"]},
        "Revoke": {"id": inputs.NOBODYS_ID}, "Rotate": {"id": inputs.NOBODYS_ID, "graceSec": 0},
        "Put": {"credential": "x", "data": "eA=="}, "Forget": {"credential": "nobodys"},
        "Fetch": {"credential": "x"}, "Watch": {"after": 1 << 62}, "Explain": {"scope": "a:b"},
        "ReadAudit": {"sinceUSec": 1 << 60}, "Lock": {"passphrase": "é"}, "Unlock": {"passphrase": "x"},
        "GetInterfaceDescription": {"interface": "org.varlink.service"},
    }
    for interface, method in inputs.methods():
        members = [(name, json.dumps(value)) for name, value in good.get(method, {}).items()]
        yield method, inputs.message(interface, method, members) + b"\0"


def essence(text):
    """A reply without what differs from one to the next: values, numbers, instants."""
    return re.sub(rb'jeton_\w{61}|"[0-9A-Za-z]{11}"|\d+', b"", text)


@test(timeout=120)
def a_call_of_any_method_cut_at_any_byte_is_answered_as_if_it_came_whole():
    agent = Agent("MaxTokensPerUser=100000", POLICY).start()
    admin, clock = agent.admin(), agent.connect()
    admin.call("Put", credential="x", text="value")
    n = 0
    for method, call in good_calls(admin.call("Issue", name="n")):
        if method in FOR_ADMINISTRATORS and not IS_ROOT:
            continue
        connect = agent.connect if method in FOR_ADMINISTRATORS else agent.admin
        with connect() as c:
            c.send_bytes(call)
            whole = c.receive_text()
        assert json.loads(whole).get("error") not in (
            "org.varlink.service.InvalidParameter", "org.varlink.service.MethodNotFound"), (method, whole)
        places = range(1, len(call))
        for at in range(0, len(places), AT_ONCE):
            some = [(place, connect()) for place in places[at:at + AT_ONCE]]
            for place, c in some:
                c.send_bytes(call[:place])
            # By the second answer the agent has read all of these.
            for _ in range(2):
                clock.call("GetStatus")
            for place, c in some:
                c.send_bytes(call[place:])
            for place, c in some:
                text = c.receive_text()
                assert essence(text) == essence(whole), (method, place, whole, text)
                c.close()
            n += len(some)
    print(f"# {n} cuts")


@test
def who_leaves_between_an_issue_and_its_reply_leaves_a_token_that_stands_and_is_in_the_audit():
    agent = Agent(policy=POLICY).start()
    for n in range(40):
        c = agent.connect()
        agent.pause()
        c.send_bytes(c.encode("Issue", {"name": f"n{n}"}))
        if n % 2:
            c.sock.shutdown(socket.SHUT_RD)
        c.close()
        agent.signal(signal.SIGCONT)
    admin = agent.admin()
    wait_until(lambda: len(admin.list(all=True)) == 40, "40 tokens")
    tokens = admin.list(all=True)
    assert {t["state"] for t in tokens} == {"active"}
    told = [a["entry"] for a in admin.more("ReadAudit") if a["entry"]]
    issued = [e["token"] for e in told if e["operation"] == "issue" and e["result"] == "ok"]
    assert sorted(issued) == sorted(t["id"] for t in tokens), told[:3]
    assert agent.is_running()


@test
def who_leaves_before_the_reply_to_any_change_has_made_it_once_and_it_is_in_the_audit():
    agent = Agent(policy=POLICY).start()
    admin = agent.admin()
    for n in range(5):
        kept = admin.call("Issue", name=f"n{n}")
        ident = kept["info"]["id"]
        changes = {
            "derive": ("Derive", {"token": kept["token"], "name": f"child{n}"}),
            "put": ("Put", {"credential": "x", "text": f"{n}"}),
            "rotate": ("Rotate", {"id": ident, "graceSec": 3600}),
            "revoke": ("Revoke", {"id": ident}),
            "forget": ("Forget", {"credential": "x"}),
        }
        for method, parameters in changes.values():
            with agent.admin() as c:
                agent.pause()
                c.send_bytes(c.encode(method, parameters))
            agent.signal(signal.SIGCONT)
            # Another connection's call may be looked at before the one that was left.
            wait_until(lambda: agent_has_done(admin, method, ident, n), f"{method} is done")
    told = [a["entry"] for a in admin.more("ReadAudit") if a["entry"]]
    for operation in changes:
        times = len([e for e in told if (e["operation"], e["result"]) == (operation, "ok")])
        # A revocation ends the child as well, and says so of each.
        assert times == (10 if operation == "revoke" else 5), (operation, times, told)
    names = [t["name"] for t in admin.list(all=True)]
    assert sorted(names) == sorted([f"n{n}" for n in range(5)] * 2 + [f"child{n}" for n in range(5)])


def agent_has_done(c, method, ident, n):
    info = c.call("Describe", id=ident)["info"]
    return {
        "Derive": lambda: c.list(name=f"child{n}"),
        "Put": lambda: {a["credential"]["revision"] for a in c.more("ListCredentials")} == {n + 1},
        "Rotate": lambda: info.get("replacedBy"), "Revoke": lambda: info["state"] == "revoked",
        "Forget": lambda: {a["credential"]["updatedUSec"] for a in c.more("ListCredentials")} == {None},
    }[method]()


class Asker:
    """A client that asks for things with names of its own, many at once, and knows what must come."""

    def __init__(self, agent, n, shuffle):
        self.c, self.n, self.shuffle = agent.admin(), n, shuffle
        self.tokens, self.asked = [], 0
        for _ in range(3):
            self.tokens.append(self.c.call("Issue", name=f"of{n}"))

    def one(self):
        """A call and who judges what is answered: the last reply."""
        self.asked += 1
        token = self.shuffle.choice(self.tokens)
        ident, name, as_fd = token["info"]["id"], f"{self.n}-{self.asked}", bool(self.asked % 2)
        return self.shuffle.choice([
            (f"x{self.n}.N{self.asked}", {}, False, lambda r: r["error"].endswith("InterfaceNotFound")
             and r["parameters"] == {"interface": f"x{self.n}"}),
            (f"N{name}", {}, False, lambda r: r["parameters"] == {"method": f"io.jeton.Agent.N{name}"}),
            ("Describe", {"id": ident}, False, lambda r: r["parameters"]["info"]["id"] == ident),
            ("Verify", {"token": token["token"]}, False, lambda r: r["parameters"]["info"]["id"] == ident),
            ("Verify", {"token": token["token"], "scopes": [f"x{name}:y"]}, False,
             lambda r: r["parameters"] == {"scope": f"x{name}:y"}),
            ("Issue", {"name": name}, False, lambda r: r["parameters"]["info"]["name"] == name),
            ("List", {"all": True, "name": f"of{self.n}"}, True,
             lambda r: r["parameters"]["info"]["name"] == f"of{self.n}"),
            ("Put", {"credential": name, "text": "x"}, False, lambda r: r["parameters"] == {"credential": name}),
            ("Fetch", {"credential": "x", "asFd": as_fd}, False,
             lambda r: r["parameters"]["revision"] == 1 and (r["parameters"].get("fd") == 0) == as_fd),
            ("Issue", {"name": name, "lifetimeSec": 1}, False, lambda r: "minSec" in r["parameters"]),
            ("Verify", {name: 1}, False, lambda r: r["parameters"] == {"parameter": name}),
            ("Explain", {"credential": name}, False, lambda r: name in str(r["parameters"]["lines"])),
        ])

    def ask(self, n):
        """Sends n calls at once, from a thread."""
        self.judges, data = [], b""
        for _ in range(n):
            method, parameters, more, judge = self.one()
            data += self.c.encode(method, parameters, **({"more": True} if more else {}))
            self.judges.append((method, parameters, judge))
        self.thread = threading.Thread(target=self.c.send_bytes, args=(data,))
        self.thread.start()

    def hear(self):
        for method, parameters, judge in self.judges:
            while (reply := self.c.receive()).get("continues"):
                assert method == "List" and judge(reply), (self.n, method, parameters, reply)
            assert judge(reply), (self.n, method, parameters, reply)
        self.thread.join()


@test(timeout=150)
def among_many_who_ask_all_kinds_of_things_at_once_each_hears_what_it_asked_for():
    agent = Agent("MaxTokensPerUser=1000000", POLICY).start()
    with agent.admin() as c:
        c.call("Put", credential="x", text="value")
    shuffle = random.Random(7)
    askers = [Asker(agent, n, shuffle) for n in range(6)]
    for _ in range(ROUNDS):
        for asker in askers:
            asker.ask(shuffle.choice([1, 20, 255, 256, 257, 300]))
        for asker in askers:
            asker.hear()
    print(f"# {sum(a.asked for a in askers)} calls of {len(askers)} clients")


def is_let_go(reader):
    """Whether every copy of the pipe's other end is closed, or soon is."""
    return select.select([reader], [], [], 10)[0] and os.read(reader, 1) == b""


@test
def any_number_of_descriptors_with_a_call_are_closed_and_it_is_answered():
    agent = Agent(policy=POLICY).start()
    c = agent.connect()
    for n in range(1, 254):
        reader, writer = os.pipe()
        c.send_with_fds(INFO, [writer] * n)
        os.close(writer)
        assert c.receive()["parameters"]["vendor"], n
        assert is_let_go(reader), n
        os.close(reader)


def send_cycle(c, writer):
    """Sends a socket in whose queue it lies itself, with another descriptor beside it."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        socket.send_fds(one, [b"x"], [other.fileno(), one.fileno(), writer])
        c.send_with_fds(INFO, [one.fileno(), other.fileno()])


@test(timeout=300)
def sockets_that_hold_themselves_are_let_go_however_many_are_sent():
    agent = Agent(policy=POLICY).start()
    c = agent.connect()

    def descriptors():
        return len(os.listdir(f"/proc/{agent.pid}/fd")) if IS_ROOT else 0

    reader, writer = os.pipe()
    send_cycle(c, writer)
    c.receive()
    before = descriptors()
    for _ in range(CYCLES // 50):
        for _ in range(50):
            send_cycle(c, writer)
        for _ in range(50):
            c.receive()
    os.close(writer)
    # The kernel looks for such when the next socket is closed that was on its way.
    one, other = socket.socketpair()
    socket.send_fds(one, [b"x"], [one.fileno()])
    one.close(), other.close()
    assert is_let_go(reader), "a socket that holds itself is still there"
    wait_until(lambda: descriptors() <= before, f"{before} descriptors, as before")
    assert c.call("GetStatus")
    print(f"# {CYCLES} sockets that hold themselves")


main()
