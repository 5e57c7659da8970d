#!/usr/bin/env -S python3 -B
"""Put, Forget and ListCredentials, and Fetch of what was put: in the form it was put in, with revisions
that never start again, and nothing of a value left behind."""

import contextlib
import os
import random

import peers
from credentials import CAROL, POLICY, SECOND, VALUE_MAX, KIB, b64, content, credentials, fetch_fd, invalid, no_such, \
    nothing_but, start
from jeton import (ALICE, BOB, IS_ROOT, SECRET, Agent, Error, main, now_us, root, serial, test,
                   wait_until)
from memory import found_in_memory


# ---- Put and Fetch -------------------------------------------------------------------------------

@test
def what_was_put_is_fetched_as_it_was_put():
    agent, admin = start()
    c = agent.connect(BOB)
    texts = ["x", "a key", "line\nline\n", "\t\"quoted\\\" \x7f\x01\x1f", "é€😀\ufeff", " " * 100, "a" * VALUE_MAX]
    revision = 0
    for text in texts:
        revision += 1
        assert admin.call("Put", credential="api-key", text=text) == {"revision": revision}
        nothing_but(c.call("Fetch", credential="api-key"), text=text, revision=revision)
    for data in (b"\0", b"\xff\xfe", bytes(range(256)), os.urandom(1000), b"text as data", os.urandom(VALUE_MAX)):
        revision += 1
        assert admin.call("Put", credential="api-key", data=b64(data)) == {"revision": revision}
        nothing_but(c.call("Fetch", credential="api-key"), data=b64(data), revision=revision)


@test(timeout=180)
def binary_values_of_every_size_around_the_limits_come_back():
    agent, admin = start()
    c = agent.connect(BOB)
    for n in [*range(1, 70), *range(4000, 4110, 3), *range(VALUE_MAX - 8, VALUE_MAX + 1)]:
        data = os.urandom(n)
        admin.call("Put", credential="api-key", data=b64(data))
        assert c.call("Fetch", credential="api-key")["data"] == b64(data)
        answer, fd = fetch_fd(c, "api-key")
        assert content(fd) == data, n
    for n in (VALUE_MAX + 1, VALUE_MAX + 2, VALUE_MAX + 3, 80000):
        invalid(admin.error("Put", credential="api-key", data=b64(os.urandom(n))), "data")
        invalid(admin.error("Put", credential="api-key", text="x" * n), "text")


@test
def a_text_counts_by_its_bytes():
    _, admin = start()
    admin.call("Put", credential="api-key", text="é" * (VALUE_MAX // 2))
    invalid(admin.error("Put", credential="api-key", text="é" * (VALUE_MAX // 2) + "x"), "text")
    admin.call("Put", credential="api-key", text="😀" * (VALUE_MAX // 4))


@test
def a_text_that_can_be_put_can_be_fetched_however_many_escapes_it_has():
    agent, admin = start()
    c = agent.connect(BOB)
    # So many that the message is as long as one may be, with the shortest name and the longest.
    for n in (21000, 21500, 21700, 21800, 21810, 21820, 21825, 21830):
        try:
            admin.call("Put", credential="api-key", text="\x01" * n)
        except Error as e:
            invalid(e, "text")
            continue
        assert c.call("Fetch", credential="api-key")["text"] == "\x01" * n
    text = "\"\\" * (VALUE_MAX // 2)
    admin.call("Put", credential="api-key", text=text)
    assert c.call("Fetch", credential="api-key")["text"] == text


@test
def exactly_one_of_text_and_data():
    _, admin = start()
    invalid(admin.error("Put", credential="api-key"), "text")
    invalid(admin.error("Put", credential="api-key", text=None, data=None), "text")
    invalid(admin.error("Put", credential="api-key", text="x", data="eA=="), "data")
    invalid(admin.error("Put", credential="api-key", text=""), "text")
    invalid(admin.error("Put", credential="api-key", data=""), "data")


@test
def base64_is_taken_in_one_way_only():
    agent, admin = start()
    for bad in ("eA", "eA=", "eA===", "e===", "====", "=", "eB==", "eHl=", "eH=l", "eA==\n", " eA==", "eA ==", "eHh4eA",
                "-_8=", "__8=", "eA==eA==", "e A=", "eA=\0"[:3], "é" * 4, "eHh4!Hh4", "eHh4eHh4eA=a", "eHh4\n", "@@@@",
                "eHh4" * 30000):
        invalid(admin.error("Put", credential="api-key", data=bad), "data")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    for odd in map(chr, range(1, 0x250)):
        if odd not in alphabet + "=":
            for bad in (f"eHh4{odd}Hh4", f"eHh{odd}", f"e{odd}=="):
                invalid(admin.error("Put", credential="api-key", data=bad), "data")
    # Slashes may be written with a backslash in JSON: the same text.
    admin.send_bytes(b'{"method":"io.jeton.Agent.Put","parameters":{"credential":"api-key","data":"\\/\\/\\u002f\\/"}}\0')
    admin.asked.append("io.jeton.Agent.Put")
    assert admin.reply() == {"revision": 1}
    assert agent.connect(BOB).call("Fetch", credential="api-key")["data"] == "////"


@test
def a_full_size_value_may_be_written_in_escapes_alone():
    agent, admin = start()
    data = b"\xff" * 21 * KIB
    text = b64(data).replace("/", "\\/")
    admin.send_bytes(b'{"method":"io.jeton.Agent.Put","parameters":{"credential":"api-key","data":"%s"}}\0' % text.encode())
    admin.asked.append("io.jeton.Agent.Put")
    admin.reply()
    assert agent.connect(BOB).call("Fetch", credential="api-key")["data"] == b64(data)


@test
def only_what_a_policy_defines_as_held_can_be_put():
    _, admin = start()
    no_such(admin.error("Put", credential="nothing", text="x"), "nothing")
    no_such(admin.error("Forget", credential="nothing"), "nothing")
    invalid(admin.error("Put", credential="fresh", text="x"), "credential")
    invalid(admin.error("Forget", credential="fresh"), "credential")
    for name in ("", ".", "..", "a/b", "x" * 65, "é", "a b", "a\n"):
        for method, more in (("Put", {"text": "x"}), ("Forget", {}), ("Fetch", {})):
            invalid(admin.error(method, credential=name, **more), "credential")


@test(needs=[root])
def only_administrators_put_and_forget():
    agent, admin = start()
    c = agent.connect(BOB)
    for method, more in (("Put", {"text": "x"}), ("Forget", {})):
        assert c.error(method, credential="api-key", **more).name == "PermissionDenied"
    assert admin.call("GetStatus")["credentials"] == 0


@test
def a_revision_grows_with_each_put_and_never_starts_again():
    agent, admin = start()
    for i in range(1, 30):
        assert admin.call("Put", credential="api-key", text=f"value {i}") == {"revision": i}
        if i % 5 == 0:
            assert admin.call("Forget", credential="api-key") == {}
        if i % 7 == 0:
            agent.restart()
            admin = agent.admin()
    assert admin.call("Put", credential="other", text="x") == {"revision": 1}


@test
def an_empty_one_says_so_to_those_who_may_have_it():
    agent, admin = start()
    c = agent.connect(BOB)
    for _ in range(2):
        error = c.error("Fetch", credential="api-key")
        assert error.name == "CredentialEmpty" and error.credential == "api-key"
        admin.call("Put", credential="api-key", text="x")
        assert c.call("Fetch", credential="api-key")["text"] == "x"
        admin.call("Forget", credential="api-key")
    # Whoever lost the reply asks again.
    assert admin.call("Forget", credential="api-key") == {}


@test
def it_expires_when_it_is_said_to():
    agent, admin = start()
    c = agent.connect(BOB)
    for when in (now_us() - SECOND, now_us() - 60 * SECOND, 0, 1, -1, -(1 << 63), 1 << 58, (1 << 63) - 1):
        invalid(admin.error("Put", credential="api-key", text="x", expiresUSec=when), "expiresUSec")
    end = now_us() + 3 * SECOND
    admin.call("Put", credential="api-key", text="x", expiresUSec=end)
    nothing_but(c.call("Fetch", credential="api-key"), text="x", revision=1, expiresUSec=end)
    wait_until(lambda: now_us() >= end, "the end")
    error = c.error("Fetch", credential="api-key")
    assert error.name == "CredentialExpired" and error.credential == "api-key" and error.expiredUSec == end
    assert c.error("Fetch", credential="api-key", minLifetimeSec=1).name == "CredentialExpired"
    agent.restart()
    assert agent.connect(BOB).error("Fetch", credential="api-key").name == "CredentialExpired"
    agent.admin().call("Put", credential="api-key", text="y")
    nothing_but(agent.connect(BOB).call("Fetch", credential="api-key"), text="y", revision=2)


@test
def a_value_that_ends_too_soon_is_not_given():
    agent, admin = start()
    c = agent.connect(BOB)
    admin.call("Put", credential="api-key", text="x", expiresUSec=now_us() + 100 * SECOND)
    for seconds in (0, 1, 90):
        assert c.call("Fetch", credential="api-key", minLifetimeSec=seconds)["text"] == "x"
    for seconds in (100, 101, 1 << 40, (1 << 63) - 1):
        error = c.error("Fetch", credential="api-key", minLifetimeSec=seconds)
        assert error.name == "LifetimeOutOfRange" and error.minSec == 0 and 90 < error.maxSec < 100, error
    invalid(c.error("Fetch", credential="api-key", minLifetimeSec=-1), "minLifetimeSec")
    # What never ends lasts as long as anyone likes.
    admin.call("Put", credential="api-key", text="y")
    assert c.call("Fetch", credential="api-key", minLifetimeSec=(1 << 63) - 1)["text"] == "y"


# ---- ListCredentials -----------------------------------------------------------------------------

@test
def everyone_is_told_of_what_they_may_fetch():
    agent, admin = start()
    bob = agent.connect(BOB)
    if IS_ROOT:
        assert [x["name"] for x in credentials(bob)] == ["api-key", "few", "fresh", "short"]
        assert [x["name"] for x in credentials(agent.connect(ALICE))] == ["api-key"]
        assert credentials(agent.connect(CAROL)) == []
    assert [x["name"] for x in credentials(admin)] == ["api-key", "few", "fresh", "other", "short"]
    assert admin.error("ListCredentials").name == "ExpectedMore"


@test
def the_list_has_what_is_known_of_each():
    agent, admin = start()
    bob = agent.connect(BOB)

    def facts(name):
        return next(x for x in credentials(admin) if x["name"] == name)

    nothing_but(facts("api-key"), name="api-key", kind="held", description="The key of an API")
    nothing_but(facts("fresh"), name="fresh", kind="minted")
    before, end = now_us(), now_us() + 3600 * SECOND
    admin.call("Put", credential="api-key", text="x", expiresUSec=end)
    x = facts("api-key")
    assert x["revision"] == 1 and x["expiresUSec"] == end and before <= x["updatedUSec"] <= now_us()
    assert x["lastFetchedUSec"] is None and x["lastFetchedBy"] is None
    before = now_us()
    bob.call("Fetch", credential="api-key")
    bob.call("Fetch", credential="fresh")
    for name in ("api-key", "fresh"):
        x = facts(name)
        assert before <= x["lastFetchedUSec"] <= now_us() and x["lastFetchedBy"], x
    # Kept when the agent stops, and not told anew by a look.
    last = facts("api-key")["lastFetchedUSec"], facts("fresh")["lastFetchedUSec"]
    agent.restart()
    admin = agent.admin()
    assert last == (facts("api-key")["lastFetchedUSec"], facts("fresh")["lastFetchedUSec"])
    admin.call("Forget", credential="api-key")
    x = facts("api-key")
    assert x["updatedUSec"] is None and x["expiresUSec"] is None and x["revision"] == 1


@test
def a_refused_fetch_is_no_fetch():
    agent, admin = start()
    bob = agent.connect(BOB)
    bob.error("Fetch", credential="api-key")
    admin.call("Put", credential="api-key", text="x", expiresUSec=now_us() + 10 * SECOND)
    bob.error("Fetch", credential="api-key", minLifetimeSec=100)
    admin.error("Fetch", credential="other")
    assert all(x["lastFetchedUSec"] is None for x in credentials(admin))


@test(timeout=120)
def many_credentials_are_listed_in_order_and_in_slices():
    names = sorted(f"c{i:05d}" for i in range(5000))
    files = [names[i:i + 1000] for i in range(0, 5000, 1000)]
    agent = Agent(policy=f"[Fetch]\nCredential={names[7]} {names[4321]}\nUser={BOB}\n")
    for i, some in enumerate(files):
        agent.policy("".join(f"[Credential {n}]\nDescription={'d' * 200}\n" for n in some), f"many{i}.policy")
    agent.start()
    admin = agent.admin()
    for n in names[::50]:
        admin.call("Put", credential=n, text=n)
    assert [x["name"] for x in credentials(admin)] == names
    if IS_ROOT:
        assert [x["name"] for x in credentials(agent.connect(BOB))] == [names[7], names[4321]]
    # With others served meanwhile, and put and reloaded under it.
    admin.send("ListCredentials", more=True)
    other = agent.admin()
    for n in names[:20]:
        other.call("Put", credential=n, text="new")
    other.call("Reload")
    got = []
    while True:
        message = admin.receive()
        got.append(message["parameters"]["credential"]["name"])
        if not message.get("continues"):
            break
    assert got == names
    assert agent.admin().call("GetStatus")["credentials"] == 100 + 19


@test
def no_credentials_are_one_null():
    agent, admin = start("[Access]\nUser=1\nScope=a:b\n")
    assert admin.more("ListCredentials") == [{"credential": None}]


# ---- the store -----------------------------------------------------------------------------------

@test
def what_was_acknowledged_survives_a_kill():
    agent, admin = start()
    for i in range(1, 8):
        value = b64(os.urandom(random.Random(i).choice((1, 100, VALUE_MAX))))
        assert admin.call("Put", credential="api-key", data=value) == {"revision": i}
        if i % 3 == 0:
            admin.call("Forget", credential="api-key")
        agent.kill()
        agent.start()
        admin, c = agent.admin(), agent.connect(BOB)
        if i % 3 == 0:
            assert c.error("Fetch", credential="api-key").name == "CredentialEmpty"
        else:
            nothing_but(c.call("Fetch", credential="api-key"), data=value, revision=i)


@test
def puts_of_one_name_at_once_are_one_after_the_other():
    agent, admin = start()
    clients = [agent.admin() for _ in range(30)]
    for i, x in enumerate(clients):
        x.send("Put", {"credential": "api-key", "text": f"value {i}"})
    revisions = [x.reply()["revision"] for x in clients]
    assert sorted(revisions) == list(range(1, 31))
    last = revisions.index(30)
    nothing_but(agent.connect(BOB).call("Fetch", credential="api-key"), text=f"value {last}", revision=30)
    answers = serial(admin, [("Put", {"credential": "api-key", "text": "x"}), ("Forget", {"credential": "api-key"}),
                             ("Put", {"credential": "other", "text": "y"})] * 20)
    assert [a["revision"] for a in answers[::3]] == list(range(31, 51))
    assert [a["revision"] for a in answers[2::3]] == list(range(1, 21))
    agent.kill()
    agent.start()
    assert agent.connect(BOB).error("Fetch", credential="api-key").name == "CredentialEmpty"


@test(needs=[root])
def a_put_that_can_not_be_kept_changes_nothing():
    agent = Agent(policy=POLICY)

    def small():
        peers.own_mounts()
        os.makedirs(agent.var, exist_ok=True)
        peers.mount("tmpfs", agent.var, "tmpfs", 0, f"size=1m,mode=0755,uid={agent.uid},gid={agent.uid}")

    agent.start(setup=small)
    admin, c = agent.admin(), agent.connect(BOB)
    kept, revision, failed = b"kept", 1, 0
    admin.call("Put", credential="api-key", data=b64(kept))
    for i in range(60):
        # What grows fills the disk; a small one may fit again.
        value = os.urandom(VALUE_MAX if i % 3 else 100)
        try:
            put = admin.call("Put", credential="api-key" if i % 2 else "other", data=b64(value))["revision"]
            if i % 2:
                kept, revision = value, put
        except Error as e:
            assert e.name == "StoreFailed", e
            failed += 1
        nothing_but(c.call("Fetch", credential="api-key"), data=b64(kept), revision=revision)
        fill = os.path.join(f"/proc/{agent.pid}/root", agent.state.lstrip("/"), f"fill{i}")
        if i == 20:
            with contextlib.suppress(OSError), open(fill, "wb") as f:
                while True:
                    f.write(bytes(4096))
    assert failed, "the disk never was full"


# ---- what is left behind -------------------------------------------------------------------------

@test(needs=[root], timeout=120)
def a_value_is_in_no_memory_that_root_can_read_nor_on_the_disk():
    agent, admin = start()
    c = agent.connect(BOB)
    values = []
    for i in range(6):
        values.append(os.urandom(24).hex().encode() * 3)
        put = {"text": values[-1].decode()} if i % 2 else {"data": b64(values[-1])}
        admin.call("Put", credential="api-key", **put)
        # A reply of a few KiB, one with escapes, one that waits, one as a descriptor.
        c.call("Fetch", credential="api-key")
        os.close(fetch_fd(c, "api-key")[1])
        serial(c, [("Fetch", {"credential": "api-key"})] * 200)
    minted = [c.call("Fetch", credential="fresh")["text"].encode() for _ in range(3)]
    assert not found_in_memory(agent.pid, values + [m[18:61] for m in minted])
    # The name is there: the search finds what there is.
    assert found_in_memory(agent.pid, [b"api-key"])
    admin.call("Forget", credential="api-key")
    agent.stop()
    agent.start()
    assert not found_in_memory(agent.pid, values)
    for path, data in agent.files().items():
        assert not any(v in data for v in values), path
        assert not SECRET.search(data)
    assert not any(v.decode() in agent.log() for v in values)


@test
def a_value_is_in_no_error_and_no_log():
    agent, admin = start()
    secret = "sk-" + os.urandom(16).hex()
    for parameters in ({"credential": "nothing", "text": secret}, {"credential": "fresh", "text": secret},
                       {"credential": "api-key", "text": secret, "expiresUSec": 1},
                       {"credential": "api-key", "text": secret, "data": secret}, {"credential": "api-key", "data": secret},
                       {"credential": "api-key", "text": secret, "more": 1}):
        assert secret not in str(admin.error("Put", **parameters))
    assert secret not in agent.log()


main()
