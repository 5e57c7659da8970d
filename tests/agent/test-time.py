#!/usr/bin/env -S python3 -B
"""How tokens end by themselves: at their time, after a grace; and how long they are remembered."""

from jeton import Agent, Error, main, now_us, serial, test, wait_until

SHORT = "MinLifetime=1s"


def started(settings=SHORT):
    return Agent(settings).start()


def state(c, ident):
    return c.call("Describe", id=ident)["info"]["state"]


@test
def a_token_is_good_strictly_before_its_end_and_not_from_then_on():
    c = started().connect()
    answer = c.call("Issue", name="n", lifetimeSec=1)
    end = answer["info"]["expiresUSec"]
    while True:
        before = now_us()
        try:
            c.call("Verify", token=answer["token"])
        except Error as e:
            assert e.name == "TokenExpired" and e.id == answer["info"]["id"], e
            assert e.expiredUSec == end, e
            assert now_us() >= end, "refused before its end"
            break
        assert before < end, "good at its end or after"


@test
def a_token_that_has_come_to_its_end_is_listed_as_expired_by_itself():
    c = started().connect()
    answer = c.call("Issue", name="n", lifetimeSec=1)
    wait_until(lambda: c.call("GetStatus")["tokensActive"] == 0, "the token is ended")
    info = c.list(state="expired")[0]
    assert info["id"] == answer["info"]["id"] and info["ended"] == "expired", info
    assert info["endedUSec"] >= info["expiresUSec"] == answer["info"]["expiresUSec"]
    assert info["endedUSec"] - info["expiresUSec"] < 20000000
    assert c.list(state="active") == []
    assert c.call("GetStatus")["tokensTotal"] == 1


@test
def many_that_end_at_one_time_all_end():
    c = started().connect()
    answers = serial(c, [("Issue", {"name": "n", "lifetimeSec": 1})] * 900)
    stays = c.call("Issue", name="stays", lifetimeSec=3600)
    wait_until(lambda: c.call("GetStatus")["tokensActive"] == 1, "all but one are ended")
    assert len(c.list(state="expired")) == len(answers)
    assert c.call("Verify", token=stays["token"])


@test
def the_end_that_comes_first_is_not_missed_though_it_was_issued_last():
    c = started().connect()
    c.call("Issue", name="long", lifetimeSec=3600)
    c.call("Issue", name="longer", lifetimeSec=7200)
    c.call("Issue", name="short", lifetimeSec=1)
    wait_until(lambda: [t["name"] for t in c.list(state="expired")] == ["short"], "it ends")


@test
def children_end_with_an_expired_parent():
    c = started().connect()
    parent = c.call("Issue", name="p", lifetimeSec=4)
    child = c.call("Derive", token=parent["token"], name="c")
    wait_until(lambda: c.call("GetStatus")["tokensActive"] == 0, "both are ended")
    error = c.error("Verify", token=child["token"])
    assert error.name in ("TokenExpired", "TokenRevoked"), error
    assert {t["name"] for t in c.list()} == {"p", "c"}


@test
def nothing_is_done_with_an_expired_token():
    c = started().connect()
    answer = c.call("Issue", name="n", lifetimeSec=1)
    wait_until(lambda: now_us() > answer["info"]["expiresUSec"], "its end")
    assert c.error("Derive", token=answer["token"], name="c").name == "TokenExpired"
    ident = answer["info"]["id"]
    assert c.error("Rotate", id=ident).name in ("TokenExpired", "NoSuchToken")
    wait_until(lambda: state(c, ident) == "expired", "it is ended")
    info = c.call("Describe", id=ident)["info"]
    for parameters in ({"id": ident}, {"token": answer["token"]}):
        try:
            c.call("Revoke", **parameters)
        except Error as e:
            assert e.name in ("TokenExpired", "NoSuchToken"), e
        assert c.call("Describe", id=ident)["info"] == info, "an ended token changed"


@test
def a_revoked_token_stays_revoked_beyond_its_end():
    c = started().connect()
    answer = c.call("Issue", name="n", lifetimeSec=4)
    c.call("Revoke", id=answer["info"]["id"])
    wait_until(lambda: now_us() > answer["info"]["expiresUSec"] + 200000, "its end")
    assert c.error("Verify", token=answer["token"]).name == "TokenRevoked"
    assert state(c, answer["info"]["id"]) == "revoked"


@test
def both_tokens_of_a_rotation_are_good_within_the_grace_and_one_after_it():
    c = started().connect()
    old = c.call("Issue", name="n", lifetimeSec=3600)
    answer = c.call("Rotate", id=old["info"]["id"], graceSec=1)
    end = answer["previous"]["expiresUSec"]
    while True:
        before = now_us()
        assert c.call("Verify", token=answer["token"])
        try:
            c.call("Verify", token=old["token"])
        except Error as e:
            assert e.name == "TokenExpired" and now_us() >= end
            break
        assert before < end
    wait_until(lambda: c.call("GetStatus")["tokensActive"] == 1, "the old one is ended")
    info = c.call("Describe", id=old["info"]["id"])["info"]
    assert info["ended"] == "rotated" and info["replacedBy"] == answer["info"]["id"], info


@test
def children_of_a_rotated_token_end_with_its_grace():
    c = started().connect()
    old = c.call("Issue", name="n", lifetimeSec=3600)
    child = c.call("Derive", token=old["token"], name="c")
    c.call("Rotate", id=old["info"]["id"], graceSec=4)
    assert c.call("Verify", token=child["token"])
    wait_until(lambda: c.call("GetStatus")["tokensActive"] == 1, "old and child are ended")
    assert c.error("Verify", token=child["token"]).name in ("TokenExpired", "TokenRevoked")


@test
def a_second_rotation_makes_no_grace_longer():
    c = started().connect()
    old = c.call("Issue", name="n", lifetimeSec=3600)
    first = c.call("Rotate", id=old["info"]["id"], graceSec=1)
    try:
        c.call("Rotate", id=old["info"]["id"], graceSec=600)
    except Error:
        pass
    wait_until(lambda: now_us() > first["previous"]["expiresUSec"], "the grace is over")
    assert c.error("Verify", token=old["token"]).name in ("TokenExpired", "TokenRevoked")


@test
def ended_tokens_are_listed_for_keepended_and_then_not_known():
    c = started(SHORT + "\nKeepEnded=5s").connect()
    answer = c.call("Issue", name="n")
    c.call("Revoke", id=answer["info"]["id"])
    assert len(c.list(state="revoked")) == 1
    wait_until(lambda: c.list() == [], "it is forgotten", every=0.2)
    wait_until(lambda: c.call("GetStatus")["tokensTotal"] == 0, "it is no longer counted", every=0.2)
    assert c.error("Describe", id=answer["info"]["id"]).name == "NoSuchToken"
    assert c.error("Verify", token=answer["token"]).name == "InvalidToken"


@test
def at_most_a_thousand_ended_tokens_of_an_owner_are_kept():
    c = started(SHORT + "\nMaxTokensPerUser=5000").connect()
    answers = serial(c, [("Issue", {"name": f"n{n}"}) for n in range(1100)])
    serial(c, [("Revoke", {"id": a["info"]["id"]}) for a in answers])
    wait_until(lambda: len(c.list()) <= 1000, "no more than 1000 are listed", every=0.2)
    kept = {t["name"] for t in c.list()}
    assert len(kept) == 1000 and "n1099" in kept and "n0" not in kept


@test
def a_token_that_ended_while_the_agent_was_down_is_ended_when_it_comes_back():
    agent = started()
    c = agent.connect()
    answer = c.call("Issue", name="n", lifetimeSec=1)
    agent.stop()
    wait_until(lambda: now_us() > answer["info"]["expiresUSec"], "its end")
    agent.start()
    c = agent.connect()
    assert c.error("Verify", token=answer["token"]).name == "TokenExpired"
    wait_until(lambda: c.call("GetStatus")["tokensActive"] == 0, "it is ended")
    assert c.list(state="expired")[0]["id"] == answer["info"]["id"]


@test
def the_settings_bound_and_default_lifetimes():
    c = started("MinLifetime=10s\nMaxLifetime=1h 30min\nDefaultLifetime=20min").connect()
    info = c.call("Issue", name="n")["info"]
    assert info["expiresUSec"] - info["createdUSec"] == 1200 * 1000000
    assert c.call("Issue", name="n", lifetimeSec=10) and c.call("Issue", name="n", lifetimeSec=5400)
    for seconds in (9, 5401):
        error = c.error("Issue", name="n", lifetimeSec=seconds)
        assert error.name == "LifetimeOutOfRange"
        assert (error.minSec, error.maxSec) == (10, 5400), error


main()
