#!/usr/bin/env -S python3 -B
"""What is not to the letter a token of this agent's is none, whichever method it is given to: the same
answer each time, with nothing in it, at no cost for each."""

import json
import os
import random
import shutil
import threading
import zlib

from jeton import ALICE, DIGITS, Agent, Closed, digits, main, revalued, test

POLICY = f"[Access]\nUser={ALICE}\nUser=0\nScope=a:b\n"
METHODS = {"Verify": {}, "Revoke": {}, "Derive": {"name": "n"}}
INVALID = b'{"error":"io.jeton.Agent.InvalidToken","parameters":{}}\0'
# How many guesses are made; a million take ten seconds.
GUESSES = int(os.environ.get("JETON_GUESSES", "50000"))


def number(text):
    value = 0
    for digit in text:
        value = value * 62 + DIGITS.index(digit)
    return value


def with_check(head):
    return head + digits(zlib.crc32(head.encode()), 6)


def changed(token):
    """Each bit of each byte turned, alone and with the checksum made right again."""
    for at in range(len(token)):
        for bit in range(7):
            other = token[:at] + chr(ord(token[at]) ^ 1 << bit) + token[at + 1:]
            yield other
            if at < 61:
                yield with_check(other[:61])


def cut(token):
    for n in range(len(token)):
        yield token[:n]
        yield token[n + 1:]
        yield token[:n] + token[n + 1:]
        yield with_check(token[:n])


def lengthened(token):
    more = [" ", "\t", "\n", "\r", "\v", "\f", "\u00a0", "\u2003", "\u200b", "\ufeff", "0", "_", "=", "/", "\x01"]
    for extra in more:
        for at in range(len(token) + 1):
            yield token[:at] + extra + token[at:]
        yield with_check(token[:61] + extra)
        yield with_check(extra + token[:61])


def spelt_otherwise(token):
    """The same to whoever folds case or width, or takes a number for its remainder."""
    head, ident, secret = "jeton_", token[6:17], token[18:61]
    yield from (token.upper(), token.lower(), token.swapcase(), token.capitalize(), token.title())
    for at in range(len(token)):
        wide = token[:at] + chr(ord(token[at]) + 0xfee0) + token[at + 1:]
        yield wide
        yield with_check(wide[:61])
        yield token[:at] + "\\u%04x" % ord(token[at]) + token[at + 1:]
        yield token[:at] + "%%%02X" % ord(token[at]) + token[at + 1:]
    for n in range(1, 3):
        if number(ident) + (n << 64) < 62 ** 11:
            yield revalued(token, id=digits(number(ident) + (n << 64), 11))
        if number(secret) + (n << 256) < 62 ** 43:
            yield revalued(token, secret=digits(number(secret) + (n << 256), 43))
    yield revalued(token, id="z" * 11)
    yield revalued(token, secret="z" * 43)
    yield with_check(f"{head}{'z' * 11}_{'z' * 43}")
    yield token[:61] + "z" * 6
    yield token[:61] + digits((number(token[61:]) + (1 << 32)) % 62 ** 6, 6)
    for other in ("jeton-", "jeton", "", "Jeton_", "token_", "jeton__", " jeton_"):
        yield with_check(other + token[6:61])
    yield token * 2
    yield token.replace("_", "-")
    yield f'"{token}"'


def not_the_right_one(token, another):
    """Well formed, of this agent's even, and no token."""
    yield revalued(token, secret=another[18:61])
    yield revalued(another, secret=token[18:61])
    yield revalued(token, id=another[6:17])
    for at in range(18, 61):
        for digit in DIGITS[::7]:
            if digit != token[at]:
                yield revalued(token, secret=token[18:at] + digit + token[at + 1:61])


def forms(token, another):
    for kind in (changed, cut, lengthened, spelt_otherwise):
        yield from kind(token)
    yield from not_the_right_one(token, another)
    yield from ("", " ", "jeton_", "jeton_" + "_" * 61, "null", "x" * 67, "é" * 33 + "x", "x" * 100000)


def raw_replies(c, data, n):
    """The n replies to this, as they are; sent from a thread, so that neither side waits."""
    thread = threading.Thread(target=c.send_bytes, args=(data,))
    thread.start()
    try:
        return [c.receive_text() + b"\0" for _ in range(n)]
    finally:
        thread.join()


@test(timeout=120)
def whatever_is_not_to_the_letter_a_token_is_the_same_answer_of_every_method():
    agent = Agent(policy=POLICY).start()
    c = agent.connect()
    token, another = (c.call("Issue", name="n")["token"] for _ in range(2))
    before = c.list()
    some = [text for text in forms(token, another) if text not in (token, another)]
    for method, more in METHODS.items():
        for at in range(0, len(some), 500):
            part = some[at:at + 500]
            got = raw_replies(c, b"".join(c.encode(method, {"token": t, **more}) for t in part), len(part))
            for text, reply in zip(part, got):
                assert reply == INVALID, (method, text[:100], reply)
    assert c.list() == before
    assert c.call("Verify", token=token) and c.call("Verify", token=another)
    print(f"# {len(some)} forms, {len(METHODS)} methods")


@test
def a_token_with_a_nul_in_it_or_longer_than_any_message_ends_the_connection():
    agent = Agent(policy=POLICY).start()
    kept = agent.connect()
    token = kept.call("Issue", name="n")["token"]
    texts = [json.dumps(token[:n] + "\0" + token[n:]) for n in (0, 6, 61, 67)]
    texts += [json.dumps(token + "x" * (1 << 20)), json.dumps("x" * (1 << 20))]
    texts += [json.dumps(token)[:-1] + "\0" + '"']
    for text in texts:
        with agent.connect() as c:
            try:
                c.send_bytes(b'{"method":"io.jeton.Agent.Verify","parameters":{"token":%s}}\0' % text.encode())
            except (BrokenPipeError, ConnectionResetError):
                pass
            try:
                assert c.is_closed(), text[:80]
            except Closed:
                pass
    assert kept.call("Verify", token=token)


@test
def a_token_of_another_agent_or_of_a_store_that_is_gone_is_none():
    one, other = Agent(policy=POLICY).start(), Agent(policy=POLICY).start()
    token = one.connect().call("Issue", name="n")["token"]

    def is_none(agent):
        with agent.connect() as c:
            for method, more in METHODS.items():
                error = c.error(method, token=token, **more)
                assert error.name == "InvalidToken" and not error.parameters, (method, error)
            assert c.error("Describe", id=token[6:17]).name == "NoSuchToken"
            assert c.error("Rotate", id=token[6:17]).name == "NoSuchToken"
    is_none(other)
    one.stop()
    shutil.rmtree(one.state)
    one.start()
    is_none(one)


@test
def a_use_that_was_spent_stays_spent_after_a_kill():
    agent = Agent(policy=POLICY).start()
    c = agent.connect()
    once, often = (c.call("Issue", name="n", uses=uses)["token"] for uses in (1, 3))
    assert c.call("Verify", token=once)["info"]["usesLeft"] == 0
    assert c.call("Verify", token=often)["info"]["usesLeft"] == 2
    agent.kill()
    agent.start()
    c = agent.connect()
    assert c.error("Verify", token=once).name == "TokenRevoked"
    assert c.call("Verify", token=often)["info"]["usesLeft"] == 1


@test(timeout=240)
def guesses_are_all_alike_and_leave_nothing_however_many_they_are():
    agent = Agent(policy=POLICY).start()
    c, admin = agent.connect(), agent.admin()
    token = c.call("Issue", name="n")["token"]
    shuffle = random.Random(1)
    # A round before, for what is made once.
    ask(c, shuffle, token, 2000)
    before, entries = admin.call("GetStatus"), audited(admin)
    for _ in range(GUESSES // 1000):
        ask(c, shuffle, token, 1000)
    after = admin.call("GetStatus")
    assert after["lockedBytes"] == before["lockedBytes"], (before, after)
    assert after["tokensTotal"] == before["tokensTotal"]
    assert after["deniedTotal"] - before["deniedTotal"] == GUESSES // 1000 * 1000
    # They are told as a few sums.
    assert audited(admin) - entries < 50 + GUESSES // 1000, audited(admin)
    assert c.call("Verify", token=token)
    print(f"# {GUESSES} guesses, {audited(admin) - entries} entries of the audit")


def ask(c, shuffle, token, n):
    """n guesses: random ones, and random secrets of a token that there is."""
    def guess():
        ident = digits(shuffle.getrandbits(64), 11) if shuffle.getrandbits(1) else token[6:17]
        return revalued(token, id=ident, secret=digits(shuffle.getrandbits(255), 43))
    got = raw_replies(c, b"".join(c.encode("Verify", {"token": guess()}) for _ in range(n)), n)
    assert set(got) == {INVALID}, set(got)


def audited(admin):
    return len([a for a in admin.more("ReadAudit") if a["entry"]])


main()
