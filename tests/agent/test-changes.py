#!/usr/bin/env -S python3 -B
"""What becomes of tokens once they are issued: revoked, derived from, rotated, by one or by many at
once."""

from jeton import (ALICE, BOB, Agent, Error, digits, has_form, main, now_us, serial, test)

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


# ---- Revoke --------------------------------------------------------------------------------------

@test
def a_revoked_token_is_refused_by_the_next_verify():
    c = started().connect()
    for by in ("id", "token"):
        answer = c.call("Issue", name="n")
        value = answer["info"]["id"] if by == "id" else answer["token"]
        before = now_us()
        info = c.call("Revoke", **{by: value})["info"]
        assert info["state"] == "revoked"
        assert info["ended"] == {"id": "owner", "token": "presented"}[by]
        assert before - 1000000 <= info["endedUSec"] <= now_us()
        error = c.error("Verify", token=answer["token"])
        assert error.name == "TokenRevoked" and error.id == info["id"]
        assert c.call("Describe", id=info["id"])["info"] == info


@test
def revoke_takes_exactly_one_of_id_and_token():
    c = started().connect()
    answer = c.call("Issue", name="n")
    for parameters in ({}, {"id": answer["info"]["id"], "token": answer["token"]},
                       {"id": None, "token": None}):
        error = c.error("Revoke", **parameters)
        assert error.name == "InvalidParameter" and error.parameter in ("id", "token"), error
    assert c.call("Verify", token=answer["token"])


@test
def revoking_what_is_not_there_says_so():
    c = started().connect()
    assert c.error("Revoke", id=digits(12345, 11)).name == "NoSuchToken"
    assert c.error("Revoke", token="x").name == "InvalidToken"


@test
def a_token_that_was_revoked_stays_as_it_ended():
    c = started().connect()
    answer = c.call("Issue", name="n")
    first = c.call("Revoke", id=answer["info"]["id"])["info"]
    for parameters in ({"id": first["id"]}, {"token": answer["token"]}):
        try:
            assert c.call("Revoke", **parameters)["info"]["state"] == "revoked"
        except Error as e:
            assert e.name in ("TokenRevoked", "NoSuchToken"), e
        assert c.call("Describe", id=first["id"])["info"] == first


@test
def many_revocations_of_one_token_at_once_end_it_once():
    agent = started()
    clients = [agent.connect() for _ in range(20)]
    for _ in range(10):
        answer = clients[0].call("Issue", name="n")
        for c in clients:
            c.send("Revoke", {"id": answer["info"]["id"]})
        infos = []
        for c in clients:
            try:
                infos.append(c.reply()["info"])
            except Error as e:
                assert e.name in ("TokenRevoked", "NoSuchToken"), e
        assert infos and all(i == infos[0] for i in infos)


# ---- Derive --------------------------------------------------------------------------------------

@test
def a_derived_token_is_of_its_parent_and_no_wider_nor_longer_lived():
    c = started().connect()
    parent = c.call("Issue", name="p", scopes=["acme/pipeline:*", "acme/risk:read"])
    answer = c.call("Derive", token=parent["token"], name="c")
    info = answer["info"]
    assert has_form(answer["token"]) and info["parent"] == parent["info"]["id"]
    assert info["ownerUid"] == ALICE and info["name"] == "c"
    assert info["scopes"] == parent["info"]["scopes"]
    assert info["expiresUSec"] == parent["info"]["expiresUSec"]
    assert c.call("Verify", token=answer["token"], scopes=["acme/pipeline:run"])
    narrow = c.call("Derive", token=parent["token"], name="c", scopes=["acme/pipeline:run"],
                    lifetimeSec=1, uses=2)
    assert narrow["info"]["scopes"] == ["acme/pipeline:run"] and narrow["info"]["usesLeft"] == 2
    assert narrow["info"]["expiresUSec"] - narrow["info"]["createdUSec"] == 1000000


@test
def a_derived_token_asks_for_no_more_than_its_parent_has():
    c = started().connect()
    parent = c.call("Issue", name="p", scopes=["acme/pipeline:*"], lifetimeSec=7200)
    for scope in ("acme/risk:read", "acme/**:*", "acme/*:run"):
        error = c.error("Derive", token=parent["token"], name="c", scopes=[scope])
        assert error.name == "ScopeExceedsAccess" and error.scope == scope, error
    for seconds in (7201, 0, -1, 1 << 40, (1 << 63) - 1):
        error = c.error("Derive", token=parent["token"], name="c", lifetimeSec=seconds)
        assert error.name == "LifetimeOutOfRange" and error.minSec == 1, error
        assert 7190 <= error.maxSec <= 7200, error
    invalid(c.error("Derive", token=parent["token"], name="c", scopes=[]), "scopes")
    invalid(c.error("Derive", token=parent["token"], name=""), "name")
    invalid(c.error("Derive", token=parent["token"], name="c", uses=0), "uses")
    invalid(c.error("Derive", token=parent["token"], name="c", binding="other"), "binding")
    assert len(c.list()) == 1


@test
def a_child_of_a_token_without_scopes_is_bound_by_the_owners_access():
    c = started().connect()
    parent = c.call("Issue", name="p")
    child = c.call("Derive", token=parent["token"], name="c", scopes=["acme/risk:read"])
    assert c.call("Verify", token=child["token"])["access"] == ["acme/risk:read"]
    error = c.error("Derive", token=parent["token"], name="c", scopes=["other:read"])
    assert error.name == "ScopeExceedsAccess"
    assert c.call("Derive", token=parent["token"], name="c")["info"].get("scopes") is None


@test
def nothing_is_derived_from_a_token_that_is_not_good():
    c = started().connect()
    assert c.error("Derive", token="x", name="c").name == "InvalidToken"
    ended = c.call("Issue", name="p")
    c.call("Revoke", id=ended["info"]["id"])
    assert c.error("Derive", token=ended["token"], name="c").name == "TokenRevoked"
    limited = c.call("Issue", name="p", uses=5)
    error = c.error("Derive", token=limited["token"], name="c")
    assert error.name != "InvalidToken", error
    assert c.call("Describe", id=limited["info"]["id"])["info"]["usesLeft"] == 5
    assert not [t for t in c.list() if t["name"] == "c"]


@test
def whoever_has_a_value_may_derive_from_it():
    agent = started()
    parent = agent.connect(ALICE).call("Issue", name="p")
    child = agent.connect(BOB).call("Derive", token=parent["token"], name="c")
    assert child["info"]["ownerUid"] == ALICE
    assert [t["name"] for t in agent.connect(ALICE).list()] == ["c", "p"]


@test
def revocation_reaches_all_that_was_derived_before_its_reply():
    c = started().connect()
    root_token = c.call("Issue", name="root")
    family = [root_token]
    for n in range(40):
        family.append(c.call("Derive", token=family[n // 2]["token"], name=f"c{n}"))
    apart = c.call("Issue", name="apart")
    c.call("Revoke", token=family[1]["token"])
    below = {family[1]["info"]["id"]}
    for member in family[2:]:
        if member["info"].get("parent") in below:
            below.add(member["info"]["id"])
    for member in family + [apart]:
        info = c.call("Describe", id=member["info"]["id"])["info"]
        if info["id"] not in below:
            assert c.call("Verify", token=member["token"])
            continue
        assert c.error("Verify", token=member["token"]).name == "TokenRevoked"
        assert info["state"] == "revoked"
        assert info["ended"] == ("presented" if member is family[1] else "parent"), info


@test
def a_chain_of_a_thousand_ends_at_once():
    c = started("MaxTokensPerUser=2000").connect()
    chain = [c.call("Issue", name="0")]
    for n in range(1000):
        chain.append(c.call("Derive", token=chain[-1]["token"], name=str(n)))
    c.call("Revoke", id=chain[0]["info"]["id"])
    answers = serial(c, [("Verify", {"token": t["token"]}) for t in chain])
    assert {a.name for a in answers} == {"TokenRevoked"}
    assert c.list(state="active") == []
    assert c.call("GetStatus")["tokensActive"] == 0


@test
def what_is_derived_while_its_parent_is_revoked_is_revoked_with_it():
    agent = started()
    c = agent.connect()
    others = [agent.connect() for _ in range(8)]
    for _ in range(30):
        parent = c.call("Issue", name="p")
        for other in others[:4]:
            for _ in range(5):
                other.send("Derive", {"token": parent["token"], "name": "c"})
        c.send("Revoke", {"id": parent["info"]["id"]})
        for other in others[4:]:
            for _ in range(5):
                other.send("Derive", {"token": parent["token"], "name": "c"})
        c.reply()
        for other in others:
            for _ in range(5):
                try:
                    child = other.reply()
                except Error as e:
                    assert e.name == "TokenRevoked", e
                else:
                    assert c.error("Verify", token=child["token"]).name == "TokenRevoked"
    assert c.list(state="active") == []


# ---- Rotate --------------------------------------------------------------------------------------

@test
def rotate_puts_a_new_value_in_place_and_leaves_the_old_one_its_grace():
    c = started().connect()
    old = c.call("Issue", name="n", scopes=["acme/risk:read"], lifetimeSec=7200)
    before = now_us()
    answer = c.call("Rotate", id=old["info"]["id"])
    new, info, previous = answer["token"], answer["info"], answer["previous"]
    assert has_form(new) and new != old["token"] and info["id"] != old["info"]["id"]
    assert previous["id"] == old["info"]["id"] and previous["replacedBy"] == info["id"]
    assert previous["state"] == "active"
    assert before + 299 * 1000000 <= previous["expiresUSec"] <= now_us() + 300 * 1000000
    for same in ("name", "scopes", "ownerUid", "binding"):
        assert info[same] == old["info"][same], same
    assert info["expiresUSec"] - info["createdUSec"] == 7200 * 1000000
    assert info["createdUSec"] >= before - 1000000
    assert c.call("Verify", token=new) and c.call("Verify", token=old["token"])
    assert c.call("Describe", id=previous["id"])["info"]["replacedBy"] == info["id"]


@test
def rotate_without_grace_ends_the_old_one_at_once():
    c = started().connect()
    old = c.call("Issue", name="n")
    answer = c.call("Rotate", id=old["info"]["id"], graceSec=0)
    assert answer["previous"]["state"] == "revoked" and answer["previous"]["ended"] == "rotated"
    assert c.error("Verify", token=old["token"]).name == "TokenRevoked"
    assert c.call("Verify", token=answer["token"])
    assert [t["id"] for t in c.list(state="active")] == [answer["info"]["id"]]


@test
def the_grace_is_never_longer_than_the_old_ones_own_life():
    c = started().connect()
    old = c.call("Issue", name="n", lifetimeSec=3600)
    answer = c.call("Rotate", id=old["info"]["id"], graceSec=7200, lifetimeSec=9000)
    assert answer["previous"]["expiresUSec"] == old["info"]["expiresUSec"]
    assert answer["info"]["expiresUSec"] - answer["info"]["createdUSec"] == 9000 * 1000000


@test
def rotate_holds_its_parameters_to_their_bounds():
    c = started().connect()
    ident = c.call("Issue", name="n")["info"]["id"]
    for grace in (-1, 30 * DAY + 1, (1 << 63) - 1, -(1 << 63)):
        invalid(c.error("Rotate", id=ident, graceSec=grace), "graceSec")
    for seconds in (0, 3599, 366 * DAY, (1 << 63) - 1):
        error = c.error("Rotate", id=ident, lifetimeSec=seconds)
        assert error.name == "LifetimeOutOfRange" and error.minSec == 3600, error
    assert c.error("Rotate", id=digits(12345, 11)).name == "NoSuchToken"
    assert len(c.list()) == 1
    assert c.call("Rotate", id=ident, graceSec=30 * DAY)


@test
def a_token_that_has_ended_is_not_rotated():
    c = started().connect()
    old = c.call("Issue", name="n")
    c.call("Revoke", id=old["info"]["id"])
    error = c.error("Rotate", id=old["info"]["id"])
    assert error.name in ("TokenRevoked", "NoSuchToken"), error
    assert c.list(state="active") == []


@test
def a_token_with_uses_hands_on_what_is_left_with_no_grace():
    c = started().connect()
    old = c.call("Issue", name="n", uses=5)
    c.call("Verify", token=old["token"])
    answer = c.call("Rotate", id=old["info"]["id"], graceSec=100)
    assert answer["info"]["usesLeft"] == 4
    assert answer["previous"]["state"] == "revoked" and answer["previous"]["ended"] == "rotated"
    assert c.error("Verify", token=old["token"]).name == "TokenRevoked"
    assert c.call("Verify", token=answer["token"])["info"]["usesLeft"] == 3


@test
def uses_are_never_more_though_they_are_handed_on_while_they_are_spent():
    agent = started()
    c = agent.connect()
    others = [agent.connect() for _ in range(8)]
    for _ in range(10):
        old = c.call("Issue", name="n", uses=20)
        for other in others:
            for _ in range(2):
                other.send("Verify", {"token": old["token"]})
        c.send("Rotate", {"id": old["info"]["id"]})
        for other in others:
            other.send("Verify", {"token": old["token"]})
        new = c.reply()
        good = 0
        for other in others:
            for _ in range(3):
                try:
                    other.reply()
                    good += 1
                except Error as e:
                    assert e.name == "TokenRevoked", e
        left = 0
        while True:
            try:
                c.call("Verify", token=new["token"])
                left += 1
            except Error:
                break
        assert good + left == 20, (good, left)


@test
def children_stay_with_the_old_token():
    c = started().connect()
    old = c.call("Issue", name="n", lifetimeSec=7200)
    child = c.call("Derive", token=old["token"], name="c")
    new = c.call("Rotate", id=old["info"]["id"], graceSec=60)
    info = c.call("Describe", id=child["info"]["id"])["info"]
    assert info["parent"] == old["info"]["id"]
    assert info["expiresUSec"] <= new["previous"]["expiresUSec"]
    assert c.call("Verify", token=child["token"])
    other = c.call("Issue", name="n")
    child = c.call("Derive", token=other["token"], name="c")
    c.call("Rotate", id=other["info"]["id"], graceSec=0)
    assert c.error("Verify", token=child["token"]).name == "TokenRevoked"


@test
def a_child_that_was_rotated_still_dies_with_its_parent():
    c = started().connect()
    parent = c.call("Issue", name="p", lifetimeSec=7200)
    child = c.call("Derive", token=parent["token"], name="c")
    new = c.call("Rotate", id=child["info"]["id"])
    assert new["info"]["expiresUSec"] <= parent["info"]["expiresUSec"]
    c.call("Revoke", id=parent["info"]["id"])
    assert c.error("Verify", token=new["token"]).name == "TokenRevoked"
    assert c.list(state="active") == []


@test
def rotations_of_one_token_at_once_leave_one_that_is_in_force():
    agent = started()
    clients = [agent.connect() for _ in range(8)]
    for grace in (0, 300):
        old = clients[0].call("Issue", name=f"g{grace}")
        for c in clients:
            c.send("Rotate", {"id": old["info"]["id"], "graceSec": grace})
        answers = []
        for c in clients:
            try:
                answers.append(c.reply())
            except Error:
                continue
        assert answers
        # One that nobody has used yet may be replaced by the next rotation, but never more than one
        # is left.
        replaced = clients[0].call("Describe", id=old["info"]["id"])["info"]["replacedBy"]
        for a in answers:
            if a["info"]["id"] == replaced:
                assert clients[0].call("Verify", token=a["token"])
            else:
                assert clients[0].error("Verify", token=a["token"]).name == "TokenRevoked"
        assert replaced in {a["info"]["id"] for a in answers}


@test
def a_token_whose_successor_is_in_use_is_not_rotated_again():
    c = started().connect()
    old = c.call("Issue", name="n")
    new = c.call("Rotate", id=old["info"]["id"])
    assert c.call("Verify", token=new["token"])
    try:
        c.call("Rotate", id=old["info"]["id"])
    except Error:
        pass
    assert c.call("Verify", token=new["token"])
    active = {t["id"] for t in c.list(state="active")}
    assert {old["info"]["id"], new["info"]["id"]} <= active


main()
