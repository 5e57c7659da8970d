#!/usr/bin/env -S python3 -B
"""All that tests/agent/inputs.py makes of the interface is answered, or ends the connection, as the
interface says; nothing has changed after it, nothing is left of it, and somebody else is served meanwhile."""

import contextlib
import json
import os
import threading
import time

import inputs
from jeton import ALICE, Agent, Closed, main, test, wait_until

POLICY = f"[Access]\nUser={ALICE}\nUser=0\nScope=a:b\n[Credential held]\n[Fetch]\nCredential=held\nUser=*\n"


def descriptors(agent):
    return os.listdir(f"/proc/{agent.pid}/fd") if os.access(f"/proc/{agent.pid}/fd", os.R_OK) else []


def memory(agent):
    """The agent's resident bytes."""
    with open(f"/proc/{agent.pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def state(c):
    """What must be as before: all tokens, all credentials, whether it runs."""
    status = c.call("GetStatus")
    held = [a["credential"] for a in c.more("ListCredentials")]
    return (c.list(all=True), held, status["state"], status["tokensTotal"])


@contextlib.contextmanager
def somebody_is_served(agent):
    """Meanwhile another client asks again and again, and is answered each time and soon."""
    c = agent.connect()
    token = c.call("Issue", name="another's")["token"]
    over = threading.Event()
    waits, wrong = [], []

    def ask():
        try:
            while not over.wait(0.005):
                start = time.monotonic()
                c.call("Verify", token=token)
                waits.append(time.monotonic() - start)
        except Exception as e:
            wrong.append(e)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert not wrong and waits, wrong
    # On a quiet machine these are milliseconds.
    assert max(waits) < 20 and sorted(waits)[len(waits) // 2] < 2, (max(waits), len(waits))


@contextlib.contextmanager
def nothing_changes():
    """An agent with something in it, which is the same afterwards; gives it."""
    agent = Agent(policy=POLICY).start()
    with agent.admin() as c:
        c.call("Put", credential="held", text="value")
        c.call("Issue", name="kept", scopes=["a:b"])
        with somebody_is_served(agent):
            before, count, bytes_before = state(c), len(descriptors(agent)), memory(agent)
            yield agent
            # The last use, kept to within a minute, is all that may differ, of the token that is used.
            after = state(c)
            for tokens in (before[0], after[0]):
                for info in tokens:
                    info.pop("lastUsedUSec", None), info.pop("lastUsedBy", None)
            assert before == after, (before, after)
        wait_until(lambda: len(descriptors(agent)) <= count, f"{count} descriptors, as before")
        assert memory(agent) - bytes_before < 24 << 20, (bytes_before, memory(agent))


def replies(c, data, n):
    """Sends all and gives n last replies; sent from a thread, so that neither side waits for the other."""
    thread = threading.Thread(target=c.send_bytes, args=(data,))
    thread.start()
    got = []
    try:
        while len(got) < n:
            try:
                reply = c.receive()
            except TimeoutError:
                where = data.split(b"\0")
                raise AssertionError(f"no reply to {where[len(got)][:200]} after {where[len(got) - 1][:200]}") from None
            if not reply.get("continues"):
                got.append(reply)
        return got
    finally:
        thread.join()


def essence(reply):
    """What of a reply is the same each time."""
    return reply.get("error"), json.dumps(reply["parameters"]) if "error" in reply else sorted(reply["parameters"])


def error_of(reply):
    return reply["error"].rpartition(".")[2] if "error" in reply else None


def judge(case, reply, same):
    kind, *wanted = case.expected
    if kind == "named":
        return reply.get("error") == "org.varlink.service.InvalidParameter" \
            and reply["parameters"] == {"parameter": wanted[0]}
    if kind == "same":
        return essence(reply) == essence(same)
    errors, field = wanted
    return error_of(reply) in errors and (
        error_of(reply) != "InvalidParameter" or reply["parameters"] == {"parameter": field})


@test(timeout=120)
def whatever_is_wrong_with_a_parameter_is_told_by_its_name_and_changes_nothing():
    cases = list(inputs.answered())
    # Before each that must be as another, that other.
    sent = [m for case in cases for m in ([case.expected[1]] if case.expected[0] == "same" else []) + [case.data]]
    with nothing_changes() as agent:
        got, c = [], agent.admin()
        for at in range(0, len(sent), 200):
            got += replies(c, b"".join(m + b"\0" for m in sent[at:at + 200]), len(sent[at:at + 200]))
    bad, answers = [], iter(got)
    for case in cases:
        same = next(answers) if case.expected[0] == "same" else None
        reply = next(answers)
        if not judge(case, reply, same):
            bad.append(f"{case}\n    {case.expected}: {str(reply)[:300]}")
    assert not bad, f"{len(bad)} of {len(cases)}:\n" + "\n".join(bad[:20])
    assert len(cases) > 2000, len(cases)
    print(f"# {len(cases)} calls, {len(list(inputs.fields()))} parameters of {len(inputs.methods())} methods")


def of_parameters(longest=3000):
    """Those that are wrong in their parameters alone, the long ones left out."""
    return [case for of in inputs.fields() for case in inputs.wrong_values(*of) if len(case.data) < longest]


def flagged(case, flag, value="true"):
    """The call with a flag beside its method; List and the like have `more` already."""
    return case.data.replace(b'","', f'","{flag}":{value},"'.encode(), 1)


@test
def nothing_is_said_to_a_oneway_call_whatever_is_wrong_with_it():
    cases = of_parameters()
    with nothing_changes() as agent:
        c = agent.admin()
        for at in range(0, len(cases), 200):
            sent = b"".join(flagged(case, "oneway") + b"\0" for case in cases[at:at + 200])
            reply, = replies(c, sent + c.encode("org.varlink.service.GetInfo"), 1)
            assert "vendor" in reply["parameters"], reply
    print(f"# {len(cases)} calls")


@test
def more_changes_no_answer_of_one_reply_and_where_it_is_needed_nothing_is_answered_without():
    cases = of_parameters()
    with nothing_changes() as agent:
        c = agent.admin()
        for case in cases:
            needs_more = b'"more":true' in case.data
            data = case.data.replace(b',"more":true', b"", 1) if needs_more else flagged(case, "more")
            got, = replies(c, data + b"\0", 1)
            if needs_more:
                assert got["error"] == "org.varlink.service.ExpectedMore", (case, got)
                continue
            same = replies(c, case.expected[1] + b"\0", 1)[0] if case.expected[0] == "same" else None
            assert judge(case, got, same), (case, got)
    print(f"# {len(cases)} calls")


@test
def clients_who_send_all_of_it_at_once_each_get_the_answers_to_their_own():
    cases = [case for case in of_parameters() if case.expected[0] == "named"]
    with nothing_changes() as agent:
        clients = [agent.admin() for _ in range(5)]
        # Each begins somewhere else, so that what one hears is never right for another.
        turned = [cases[n * 97:] + cases[:n * 97] for n in range(len(clients))]
        threads = [threading.Thread(target=c.send_bytes, args=(b"".join(x.data + b"\0" for x in mine),))
                   for c, mine in zip(clients, turned)]
        for thread in threads:
            thread.start()
        for n in range(len(cases)):
            for c, mine in zip(clients, turned):
                got = c.receive()
                assert judge(mine[n], got, None), (n, mine[n], got)
        for thread, c in zip(threads, clients):
            thread.join()
            c.close()
    print(f"# {len(clients)} clients, {len(cases)} calls each")


@test(timeout=120)
def whatever_is_no_json_ends_the_connection_in_every_method_and_changes_nothing():
    cases = list(inputs.closed())
    bad = []
    with nothing_changes() as agent:
        for at in range(0, len(cases), 100):
            some = [(case, agent.connect()) for case in cases[at:at + 100]]
            for case, c in some:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    c.send_bytes(case.data + b"\0")
            for case, c in some:
                try:
                    bad.append(f"{case}: {c.receive_text()[:200]!r}")
                except Closed:
                    bad += [f"{case}: {len(c.buffer)} bytes"] if c.buffer else []
                c.close()
        # One line for many, and none of what came.
        assert agent.log().count("\n") < 60 and "nobodys" not in agent.log(), agent.log()
    assert not bad, f"{len(bad)} of {len(cases)}:\n" + "\n".join(bad[:20])
    print(f"# {len(cases)} messages")


main()
