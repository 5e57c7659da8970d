#!/usr/bin/env -S python3 -B
"""What the methods of tokens do: issued, verified, counted, listed, described; and whose they are."""

import threading

from jeton import (ALICE, BOB, DIGITS, Agent, Error, check_bytes, digits, has_form, main, now_us,
                   revalued, root, serial, test)

DAY = 86400
POLICY = f"""
[Access]
User={ALICE}
Scope=acme/risk:read acme/risk:write acme/pipeline:*
"""


def started(settings="", policy=POLICY):
    return Agent(settings, policy).start()


def invalid(error, parameter):
    assert error.name == "InvalidParameter" and error.parameter == parameter, (error, parameter)


# ---- Issue ---------------------------------------------------------------------------------------

@test
def a_token_is_issued_with_the_form_and_facts_that_the_contract_says():
    c = started().connect()
    before = now_us()
    answer = c.call("Issue", name="nightly", scopes=["acme/risk:read"], lifetimeSec=7200)
    token, info = answer["token"], answer["info"]
    assert has_form(token), "not of the form that was promised"
    assert info["id"] == token[6:17]
    assert info["name"] == "nightly" and info["ownerUid"] == ALICE
    assert info["scopes"] == ["acme/risk:read"]
    assert before <= info["createdUSec"] <= now_us()
    assert info["expiresUSec"] - info["createdUSec"] == 7200 * 1000000
    assert info["state"] == "active" and info["binding"] == "none"
    for absent in ("lastUsedUSec", "lastUsedBy", "usesLeft", "parent", "replacedBy", "credential",
                   "endedUSec", "ended"):
        assert info.get(absent) is None, absent


@test
def a_token_lives_thirty_days_unless_it_is_said_otherwise():
    info = started().connect().call("Issue", name="n")["info"]
    assert info["expiresUSec"] - info["createdUSec"] == 30 * DAY * 1000000
    assert info.get("scopes") is None


@test
def ids_and_secrets_are_never_given_twice_and_tell_no_number():
    c = started("MaxTokensPerUser=10000").connect()
    tokens = [a["token"] for a in serial(c, [("Issue", {"name": "n"})] * 2000)]
    assert len({t[6:17] for t in tokens}) == len({t[18:61] for t in tokens}) == 2000
    ids = [t[6:17] for t in tokens]
    assert ids != sorted(ids) and ids != sorted(ids, reverse=True)
    # A number of 64 bits at random has its first digit spread over nearly all of 0 to L.
    assert len({i[0] for i in ids}) > 15, "the ids are close together"
    assert len({i[-1] for i in ids}) == 62


@test
def names_of_one_to_128_bytes_are_taken_as_they_are():
    c = started().connect()
    for name in ("x", "y" * 128, "é" * 64, "a b\"c\\d/e", "名前", "😀", "'; --", "%s%n", "jeton_"):
        assert c.call("Issue", name=name)["info"]["name"] == name
    assert len(c.list(name="é" * 64)) == 1


@test
def names_that_are_empty_too_long_or_hold_control_characters_are_refused():
    c = started().connect()
    for name in ("", "x" * 129, "é" * 65, "a\nb", "a\tb", "\x1b[31m", "a\x7f", "a\u0085b",
                 "a\u009bb"):
        invalid(c.error("Issue", name=name), "name")
    assert c.list() == []


@test
def scopes_out_of_bounds_or_form_are_refused():
    c = started().connect()
    bad = [[], [""], ["acme"], [":read"], ["acme:"], ["acme/:read"], ["/acme:read"],
           ["acme//x:read"],
           ["acme:read:write"], ["acme:read "], ["acme/**/x:read"], ["ac*me:read"], ["acme:re*"],
           ["acme:**"], ["é:read"], ["a:" + "b" * 127], ["acme/risk:read", ""],
           ["acme/risk:read"] * 33, ["acme/risk:read"] * 2, ["acme/risk:read", "acme/risk:write", "acme/risk:read"]]
    for scopes in bad:
        invalid(c.error("Issue", name="n", scopes=scopes), "scopes")
    assert c.list() == []


@test
def scopes_beyond_the_owners_access_are_refused_and_named():
    c = started().connect()
    for scope in ("acme/risk:delete", "acme:read", "acme/**:read", "acme/risk:*", "*/risk:read",
                  "acme/*:run", "other/risk:read", "acme/risk/x:read"):
        error = c.error("Issue", name="n", scopes=["acme/risk:read", scope])
        assert error.name == "ScopeExceedsAccess" and error.scope == scope, error
    for scope in ("acme/pipeline:*", "acme/pipeline:run", "acme/risk:write"):
        assert c.call("Issue", name="n", scopes=[scope])["info"]["scopes"] == [scope]


@test
def as_many_scopes_as_allowed_and_as_long_are_kept():
    scope = "acme/pipeline:" + "x" * (128 - 14 - 2)
    scopes = [f"{scope}{n:02}" for n in range(32)]
    c = started().connect()
    answer = c.call("Issue", name="x" * 128, scopes=scopes)
    assert answer["info"]["scopes"] == scopes
    assert sorted(c.call("Verify", token=answer["token"], scopes=scopes)["access"]) == scopes


@test
def lifetimes_within_the_bounds_are_taken_and_others_told_the_bounds():
    c = started().connect()
    year = 365 * DAY
    for seconds in (3600, 3601, year):
        info = c.call("Issue", name="n", lifetimeSec=seconds)["info"]
        assert info["expiresUSec"] - info["createdUSec"] == seconds * 1000000
    for seconds in (3599, 1, 0, -1, 366 * DAY, 1 << 40, (1 << 63) - 1, -(1 << 63)):
        error = c.error("Issue", name="n", lifetimeSec=seconds)
        assert error.name == "LifetimeOutOfRange" and error.minSec == 3600, error
        assert 365 * DAY <= error.maxSec < 366 * DAY, error


@test
def numbers_that_are_no_64_bit_integers_are_refused_and_never_rounded():
    c = started().connect()
    for number in ("1e999", "1E400", "3600.0", "3600.5", "36e2", "3.6e3", "9223372036854775808",
                   "18446744073709551616", "-9223372036854775809", "9" * 100000, "0." + "1" * 1000):
        c.send_bytes(b'{"method":"io.jeton.Agent.Issue","parameters":{"name":"n","lifetimeSec":'
                     + number.encode() + b"}}\0")
        message = c.receive()
        assert message["error"] == "org.varlink.service.InvalidParameter", (number[:30], message)
        assert message["parameters"] == {"parameter": "lifetimeSec"}
    assert c.list() == []


@test
def bindings_are_those_of_the_interface():
    c = started().connect()
    assert c.call("Issue", name="n", binding="none")["info"]["binding"] == "none"
    for binding in ("", "None", "other", "process "):
        invalid(c.error("Issue", name="n", binding=binding), "binding")


# ---- Verify --------------------------------------------------------------------------------------

@test
def a_token_that_was_issued_verifies_with_the_access_it_reaches():
    c = started().connect()
    answer = c.call("Issue", name="n", scopes=["acme/risk:read", "acme/pipeline:run"])
    good = c.call("Verify", token=answer["token"])
    assert sorted(good["access"]) == ["acme/pipeline:run", "acme/risk:read"]
    assert good["info"]["id"] == answer["info"]["id"] and good["info"]["state"] == "active"
    good = c.call("Verify", token=answer["token"], scopes=["acme/risk:read"])
    assert sorted(good["access"]) == ["acme/pipeline:run", "acme/risk:read"]


@test
def a_token_without_scopes_reaches_all_that_its_owner_has():
    c = started().connect()
    token = c.call("Issue", name="n")["token"]
    assert sorted(c.call("Verify", token=token)["access"]) == [
        "acme/pipeline:*", "acme/risk:read", "acme/risk:write"]


@test
def a_scope_that_the_token_does_not_reach_is_refused_and_named():
    c = started().connect()
    token = c.call("Issue", name="n", scopes=["acme/pipeline:*"])["token"]
    for scope in ("acme/risk:read", "acme/pipeline/x:run", "acme:run", "other/pipeline:run"):
        error = c.error("Verify", token=token, scopes=["acme/pipeline:run", scope])
        assert error.name == "InsufficientScope" and error.scope == scope, error
    assert c.call("Verify", token=token, scopes=["acme/pipeline:anything", "acme/pipeline:run"])


@test
def verify_takes_plain_scopes_only():
    c = started().connect()
    token = c.call("Issue", name="n")["token"]
    for scope in ("acme/pipeline:*", "acme/*:run", "acme/**:run", "", "acme", "acme/risk:"):
        invalid(c.error("Verify", token=token, scopes=[scope]), "scopes")
    invalid(c.error("Verify", token=token, scopes=["acme/risk:read"] * 33), "scopes")


@test
def the_last_use_is_told_after_the_first_verify():
    agent = started()
    c = agent.connect()
    answer = c.call("Issue", name="n")
    before = now_us()
    assert c.call("Verify", token=answer["token"])
    info = c.call("Describe", id=answer["info"]["id"])["info"]
    assert before - 1000000 <= info["lastUsedUSec"] <= now_us()
    # Kept in whole seconds, and yet not before it was there.
    assert info["lastUsedUSec"] >= info["createdUSec"]
    assert info["lastUsedBy"]
    assert info["issuedTo"]


@test
def a_refused_verify_is_no_use():
    c = started().connect()
    answer = c.call("Issue", name="n", uses=3)
    for _ in range(5):
        assert c.error("Verify", token=answer["token"], scopes=["x:y"]).name == "InsufficientScope"
    info = c.call("Describe", id=answer["info"]["id"])["info"]
    assert info["usesLeft"] == 3 and info.get("lastUsedUSec") is None


@test
def whatever_is_no_token_is_an_invalid_token():
    c = started().connect()
    token = c.call("Issue", name="n")["token"]
    wrong = ["jeton_", "jeton", "x", " ", token[:-1], token + "0", " " + token, token + " ",
             token + "\n",
             token.upper(), token.swapcase(), token.lower(), "j" * 67, "é" * 40, token * 2,
             token.replace("jeton_", "Jeton_"), token[6:],
             "jeton_" + token[6:17] + "-" + token[18:],
             "jeton_" + "z" * 11 + "_" + "z" * 49, "jeton_" + "０" * 11 + token[17:],
             revalued(token, id="z" * 11), revalued(token, secret="z" * 43),
             revalued(token, id=digits(1 << 64, 11)), token + "x" * 100000]
    wrong += [token[:n] for n in range(1, len(token))]
    for text in wrong:
        error = c.error("Verify", token=text)
        assert error.name == "InvalidToken" and not error.parameters, (text[:80], error)
    assert c.call("Verify", token=token)


@test
def a_token_with_any_one_digit_changed_is_an_invalid_token():
    c = started().connect()
    token = c.call("Issue", name="n")["token"]
    for n in range(6, len(token)):
        if token[n] == "_":
            continue
        other = DIGITS[(DIGITS.index(token[n]) + 1) % 62]
        changed = token[:n] + other + token[n + 1:]
        assert c.error("Verify", token=changed).name == "InvalidToken", n
        if n < 61:  # with a checksum that is right again
            changed = changed[:61] + check_bytes(changed[:61])
            assert c.error("Verify", token=changed).name == "InvalidToken", n
    assert c.call("Verify", token=token)


@test
def the_secret_of_one_token_is_none_of_another():
    c = started().connect()
    one, other = (c.call("Issue", name="n")["token"] for _ in range(2))
    assert c.error("Verify", token=revalued(one, secret=other[18:61])).name == "InvalidToken"
    assert c.error("Verify", token=revalued(other, secret=one[18:61])).name == "InvalidToken"


@test
def who_has_the_wrong_secret_does_not_hear_that_a_token_has_ended():
    c = started().connect()
    answer = c.call("Issue", name="n")
    c.call("Revoke", id=answer["info"]["id"])
    guess = revalued(answer["token"], secret="0" * 43)
    assert c.error("Verify", token=guess).name == "InvalidToken"
    assert c.error("Revoke", token=guess).name == "InvalidToken"
    error = c.error("Verify", token=answer["token"])
    assert error.name == "TokenRevoked" and error.id == answer["info"]["id"]


@test
def what_was_verified_and_denied_is_counted():
    c = started().connect()
    token = c.call("Issue", name="n")["token"]
    before = c.call("GetStatus")
    for _ in range(3):
        c.call("Verify", token=token)
    c.error("Verify", token="x")
    c.error("Verify", token=token, scopes=["x:y"])
    after = c.call("GetStatus")
    assert after["verifiedTotal"] - before["verifiedTotal"] == 3
    assert after["deniedTotal"] - before["deniedTotal"] == 2


# ---- uses ----------------------------------------------------------------------------------------

@test
def uses_are_counted_down_and_the_last_one_ends_the_token():
    c = started().connect()
    answer = c.call("Issue", name="n", uses=3)
    assert answer["info"]["usesLeft"] == 3
    for left in (2, 1):
        info = c.call("Verify", token=answer["token"])["info"]
        assert info["usesLeft"] == left and info["state"] == "active"
    info = c.call("Verify", token=answer["token"])["info"]
    assert info["usesLeft"] == 0 and info["state"] == "revoked", info
    error = c.error("Verify", token=answer["token"])
    assert error.name == "TokenRevoked" and error.id == info["id"]
    info = c.call("Describe", id=info["id"])["info"]
    assert info["state"] == "revoked" and info["ended"] == "uses" and info["endedUSec"]


@test
def uses_below_one_are_refused():
    c = started().connect()
    for uses in (0, -1, -(1 << 63)):
        invalid(c.error("Issue", name="n", uses=uses), "uses")


def hammer(agent, n, token, **parameters):
    """n clients verify at once until each is refused: the answers that were good."""
    good, lock = [], threading.Lock()
    clients = [agent.connect() for _ in range(n)]
    start = threading.Barrier(n)

    def run(c):
        start.wait()
        while True:
            try:
                answer = c.call("Verify", token=token, **parameters)
            except Error as e:
                assert e.name == "TokenRevoked", e
                return
            with lock:
                good.append(answer)

    threads = [threading.Thread(target=run, args=(c,)) for c in clients]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return good


@test
def a_token_of_one_use_is_good_once_for_64_clients_at_once():
    agent = started()
    c = agent.connect()
    for _ in range(10):
        token = c.call("Issue", name="n", uses=1)["token"]
        good = hammer(agent, 64, token)
        assert len(good) == 1 and good[0]["info"]["usesLeft"] == 0


@test
def a_token_of_100_uses_is_good_for_exactly_100_of_64_clients_at_once():
    agent = started()
    token = agent.connect().call("Issue", name="n", uses=100)["token"]
    good = hammer(agent, 64, token)
    assert sorted(a["info"]["usesLeft"] for a in good) == list(range(100))


# ---- List and Describe ---------------------------------------------------------------------------

@test
def list_gives_the_newest_first_and_takes_a_state_and_a_name():
    c = started().connect()
    assert c.list() == []
    for n in range(5):
        c.call("Issue", name=f"t{n}")
    c.call("Issue", name="t1")
    tokens = c.list()
    assert [t["name"] for t in tokens] == ["t1", "t4", "t3", "t2", "t1", "t0"]
    c.call("Revoke", id=tokens[2]["id"])
    assert [t["name"] for t in c.list(state="active")] == ["t1", "t4", "t2", "t1", "t0"]
    assert [t["name"] for t in c.list(state="revoked")] == ["t3"]
    assert c.list(state="expired") == []
    assert len(c.list()) == 6
    assert [t["name"] for t in c.list(name="t1")] == ["t1", "t1"]
    assert c.list(name="t") == [] and c.list(name="t1", state="revoked") == []
    invalid(error_of_list(c, state="gone"), "state")


def error_of_list(c, **parameters):
    try:
        c.list(**parameters)
    except Error as e:
        return e
    raise AssertionError("listed")


@test
def ended_tokens_are_listed_after_a_long_list_too():
    c = started().connect()
    answers = serial(c, [("Issue", {"name": f"n{n}"}) for n in range(900)])
    serial(c, [("Revoke", {"id": a["info"]["id"]}) for a in answers[:400]])
    assert [t["name"] for t in c.list(state="active")] == [f"n{n}" for n in range(899, 399, -1)]
    assert [t["name"] for t in c.list(state="revoked")] == [f"n{n}" for n in range(399, -1, -1)]
    assert sorted(t["id"] for t in c.list()) == sorted(a["info"]["id"] for a in answers)


@test
def tokens_with_the_greatest_facts_are_listed_as_they_were_issued():
    c = started().connect()
    scopes = [f"acme/pipeline:{'x' * 112}{n:02}" for n in range(32)]
    calls = [("Issue", {"name": '"' * 125 + f"{n:03}", "scopes": scopes}) for n in range(200)]
    issued = {a["info"]["id"]: a["info"] for a in serial(c, calls)}
    for ident in list(issued)[:50]:
        issued[ident] = c.call("Revoke", id=ident)["info"]
    listed = c.list()
    assert {t["id"]: t for t in listed} == issued and len(listed) == 200


@test
def an_ended_token_that_waits_in_a_list_is_told_as_it_is_whatever_others_read_meanwhile():
    agent = started()
    c, reader = agent.connect(), agent.connect()
    large = {"name": "active", "scopes": [f"acme/pipeline:{'x' * 112}{n:02}" for n in range(32)]}
    answers = serial(c, [("Issue", {"name": "other", "scopes": ["acme/risk:write"]})] + 2 * [
        ("Issue", {"name": "ended", "scopes": ["acme/risk:read"]}), *200 * [("Issue", large)]])
    infos = [a["info"] for a in answers]
    for n in (1, 202, 0):
        infos[n] = c.call("Revoke", id=infos[n]["id"])["info"]

    def of_watch():
        with agent.connect() as watcher:
            return watcher.watch(after=len(infos) + 2).event()["token"]
    for read in (lambda: reader.call("Describe", id=infos[0]["id"])["info"],
                 lambda: reader.list(name="other")[0], of_watch):
        # More than the agent writes ahead: it is in the midst of the list each time.
        c.send("List", {}, more=True)
        listed = []
        while not listed or message.get("continues"):
            message = c.receive()
            listed.append(message["parameters"]["info"])
            if len(listed) % 10 == 0:
                assert read() == infos[0]
        assert listed == infos[::-1]


@test
def a_list_goes_well_with_changes_in_its_midst():
    agent = started()
    c, other = agent.connect(), agent.connect()
    answers = serial(c, [("Issue", {"name": f"n{n}"}) for n in range(600)])
    ids = {a["info"]["id"] for a in answers}
    for round_ in range(6):
        other.send("List", {"state": "active"}, more=True)
        gone = [a["info"]["id"] for a in answers[round_ * 50:round_ * 50 + 50]]
        serial(c, [("Revoke", {"id": i}) for i in gone] + [("Issue", {"name": "new"})] * 20)
        seen = []
        while True:
            message = other.receive()
            seen.append(message["parameters"]["info"]["id"])
            if not message.get("continues"):
                break
        assert len(seen) == len(set(seen)), "a token was listed twice"
        ids -= set(gone)
        assert ids <= set(seen), "a token that stayed was not listed"


@test
def describe_gives_the_facts_and_knows_only_what_there_is():
    c = started().connect()
    info = c.call("Issue", name="n", scopes=["acme/risk:read"], uses=7)["info"]
    assert c.call("Describe", id=info["id"])["info"] == info
    for method in ("Describe", "Revoke", "Rotate"):
        # What has the form of an id is one that nobody has, if it is over 64 bits too.
        for nobodys in (digits(12345, 11), "0" * 11, digits((1 << 64) - 1, 11), digits(1 << 64, 11),
                        "z" * 11):
            assert c.error(method, id=nobodys).name == "NoSuchToken", (method, nobodys)
        for wrong in ("z" * 10, "0" * 10, "0" * 12, "", "z" * 10 + "-"):
            invalid(c.error(method, id=wrong), "id")


# ---- whose they are ------------------------------------------------------------------------------

@test(needs=[root])
def others_tokens_are_as_if_they_were_not_there():
    agent = started()
    alice, bob = agent.connect(ALICE), agent.connect(BOB)
    ident = alice.call("Issue", name="n")["info"]["id"]
    for method, parameters in (("Describe", {}), ("Revoke", {}), ("Rotate", {})):
        theirs = bob.error(method, id=ident, **parameters)
        nobodys = bob.error(method, id=digits(12345, 11), **parameters)
        assert theirs.name == nobodys.name == "NoSuchToken" and not theirs.parameters
    assert bob.list() == []
    for parameters in ({"ownerUid": ALICE}, {"all": True}):
        assert error_of_list(bob, **parameters).name == "PermissionDenied"
    assert alice.list()[0]["state"] == "active"


@test(needs=[root])
def whoever_has_the_value_may_end_it_and_verify_it():
    agent = started()
    alice, bob = agent.connect(ALICE), agent.connect(BOB)
    answer = alice.call("Issue", name="n")
    assert bob.call("Verify", token=answer["token"], scopes=["acme/risk:read"])
    assert bob.call("Revoke", token=answer["token"])["info"]["ended"] == "presented"
    assert alice.error("Verify", token=answer["token"]).name == "TokenRevoked"


@test(needs=[root])
def an_administrator_sees_and_ends_everybodys_tokens():
    agent = started()
    alice, bob, admin = agent.connect(ALICE), agent.connect(BOB), agent.admin()
    a, b = alice.call("Issue", name="a"), bob.call("Issue", name="b")
    assert admin.list() == []
    assert [t["name"] for t in admin.list(ownerUid=ALICE)] == ["a"]
    assert {t["name"] for t in admin.list(all=True)} == {"a", "b"}
    assert [t["name"] for t in admin.list(all=True, name="b")] == ["b"]
    assert admin.call("Describe", id=a["info"]["id"])["info"]["ownerUid"] == ALICE
    new = admin.call("Rotate", id=a["info"]["id"], graceSec=0)
    assert new["info"]["ownerUid"] == ALICE
    info = admin.call("Revoke", id=b["info"]["id"])["info"]
    assert info["ended"] == "administrator"
    assert bob.error("Verify", token=b["token"]).name == "TokenRevoked"


@test(needs=[root])
def an_administrator_may_issue_to_another_user_and_nobody_else_may():
    agent = started()
    admin, alice, bob = agent.admin(), agent.connect(ALICE), agent.connect(BOB)
    answer = admin.call("Issue", name="n", ownerUid=ALICE, scopes=["acme/risk:read"])
    assert answer["info"]["ownerUid"] == ALICE
    assert [t["id"] for t in alice.list()] == [answer["info"]["id"]]
    assert alice.call("Revoke", id=answer["info"]["id"])["info"]["ended"] == "owner"
    error = admin.error("Issue", name="n", ownerUid=BOB, scopes=["acme/risk:read"])
    assert error.name == "ScopeExceedsAccess"
    assert bob.error("Issue", name="n", ownerUid=ALICE).name == "PermissionDenied"
    for uid in (-1, 1 << 32, (1 << 32) - 1, (1 << 63) - 1):
        invalid(admin.error("Issue", name="n", ownerUid=uid), "ownerUid")


@test(needs=[root])
def owners_of_any_number_are_told_as_they_are():
    agent = started()
    for uid in (1 << 31, (1 << 32) - 2):
        c = agent.connect(uid)
        info = c.call("Issue", name="n")["info"]
        assert info["ownerUid"] == uid and info.get("owner") is None
        assert len(c.list()) == 1


@test(needs=[root])
def an_owner_with_an_account_is_told_by_name():
    agent = started(policy="[Access]\nUser=daemon\nScope=acme/risk:read\n")
    c = agent.connect(1)
    answer = c.call("Issue", name="n", scopes=["acme/risk:read"])
    assert answer["info"]["owner"] == "daemon" and answer["info"]["ownerUid"] == 1
    assert c.call("Verify", token=answer["token"], scopes=["acme/risk:read"])


main()
