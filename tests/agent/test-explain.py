#!/usr/bin/env -S python3 -B
"""Explain: who may do what and by which line, of oneself for everyone, of all for administrators."""

import os

from jeton import ALICE, BOB, Agent, Client, main, root, scratch, test
from peers import Accounts, Peer

POLICY = f"""[Access]
User={ALICE}
Scope=acme/risk:read acme/pipeline:run

[Credential one]
[Credential two]
Kind=minted
Owner={BOB}

[Fetch]
Credential=one
User={ALICE}
[Fetch]
Credential=two
User={ALICE}
Unit=nightly@*.service

[Verify]
Group=40100
"""


def line_of(agent, number):
    return f"{agent.policies}/test.policy:{number}"


def explained(client, **what):
    answer = client.call("Explain", **what)
    assert answer["lines"] and all(line and "\n" not in line for line in answer["lines"]), answer
    return answer.get("allowed"), answer["lines"]


# ---- of oneself ----------------------------------------------------------------------------------

@test(needs=[root])
def everyone_is_told_of_themselves_with_the_file_and_line():
    agent = Agent(policy=POLICY).start()
    c = agent.connect()
    allowed, lines = explained(c, scope="acme/risk:read")
    assert allowed is True and lines[0].startswith(line_of(agent, 3)), lines
    allowed, lines = explained(c, scope="acme/risk:write")
    assert allowed is False and any("acme/risk:read" in line for line in lines), lines
    allowed, lines = explained(c, credential="one")
    assert allowed is True and lines[0].startswith(line_of(agent, 10)), lines
    allowed, lines = explained(c, credential="two")
    assert allowed is False and lines[0].startswith(line_of(agent, 13)), lines
    assert "nightly@*.service" in lines[0], lines
    allowed, lines = explained(c)
    assert allowed is False and lines[0].startswith(line_of(agent, 18)), lines
    allowed, lines = explained(agent.connect(BOB, groups=[40100]))
    assert allowed is True and lines[0].startswith(line_of(agent, 18)), lines


@test(needs=[root])
def what_is_told_is_what_is_done():
    agent = Agent(policy=POLICY).start()
    token = agent.connect().call("Issue", name="n")["token"]
    for uid, groups in ((ALICE, ()), (BOB, ()), (BOB, [40100]), (30003, [40100]), (0, ())):
        c = agent.connect(uid, groups=groups)
        own = c.call("Issue", name="own")["token"]
        for scope in ("acme/risk:read", "acme/pipeline:run", "acme/risk:write", "x:y"):
            issued = not isinstance(attempt(c, "Issue", name="n", scopes=[scope]), Exception)
            assert explained(c, scope=scope)[0] == issued, (uid, scope)
        verifies = not isinstance(attempt(c, "Verify", token=token), Exception)
        assert explained(c)[0] == verifies or uid == ALICE, uid
        assert c.call("Verify", token=own)


def attempt(client, method, **parameters):
    try:
        return client.call(method, **parameters)
    except Exception as e:
        return e


@test(needs=[root])
def one_may_name_oneself_and_nobody_else():
    Accounts(scratch(), {"alice": ALICE, "bob": BOB})
    agent = Agent(policy=POLICY.replace(f"User={ALICE}", "User=alice")).start()
    c = agent.connect()
    for user in ("alice", str(ALICE)):
        assert explained(c, user=user, scope="acme/risk:read")[0] is True
        assert explained(c, user=user, credential="one")[0] is True
    for user in ("bob", "root", "0", str(BOB), "nobody-like-that", "Alice"):
        for what in ({}, {"scope": "acme/risk:read"}, {"credential": "one"}):
            assert c.error("Explain", user=user, **what).name == "PermissionDenied", user
    for unit in ("nightly@1.service", "init.scope"):
        assert c.error("Explain", unit=unit, credential="two").name == "PermissionDenied"
        assert c.error("Explain", user="alice", unit=unit).name == "PermissionDenied"


@test(needs=[root])
def credentials_that_are_not_there_are_not_hinted_at():
    agent = Agent(policy=POLICY).start()
    _, lines = explained(agent.connect(), credential="tw")
    assert not any("two" in line for line in lines), lines
    _, lines = explained(agent.admin(), credential="tw")
    assert any("'two'" in line for line in lines), lines


@test(needs=[root])
def a_peer_of_another_pid_namespace_is_told_what_counts_of_it():
    agent = Agent(policy=POLICY + "[Fetch]\nCredential=one\nUser=*\nContainer=yes\n").start()
    outside = Peer(ALICE, in_pid_namespace=True)
    c = Client(outside.connect(agent.socket))
    assert explained(c, scope="acme/risk:read")[0] is False
    assert explained(c, credential="two")[0] is False
    allowed, lines = explained(c, credential="one")
    assert allowed is True and lines[0].startswith(line_of(agent, 20)), lines
    assert c.error("Explain", user=str(ALICE)).name == "PermissionDenied"


# ---- of others -----------------------------------------------------------------------------------

@test(needs=[root])
def administrators_are_told_of_users_by_name_and_number_with_the_groups_of_their_accounts():
    Accounts(scratch(), {"alice": ALICE, "bob": BOB}, {"api": (40100, ["bob"])})
    agent = Agent(policy=POLICY).start()
    admin = agent.admin()
    for user in ("alice", str(ALICE)):
        allowed, lines = explained(admin, user=user, scope="acme/risk:read")
        assert allowed is True and "alice" in lines[0] and str(ALICE) in lines[0], lines
        assert explained(admin, user=user)[0] is False
    for user in ("bob", str(BOB)):
        allowed, lines = explained(admin, user=user)
        assert allowed is True and lines[0].startswith(line_of(agent, 18)), lines
        assert explained(admin, user=user, scope="acme/risk:read")[0] is False
    # A number needs no account.
    allowed, lines = explained(admin, user="39999", scope="acme/risk:read")
    assert allowed is False and any("uid 39999" in line for line in lines), lines


@test(needs=[root])
def administrators_are_told_of_units():
    agent = Agent(policy=POLICY + "[Fetch]\nCredential=one\nUnit=cron.service\n").start()
    admin = agent.admin()
    user = str(ALICE)
    assert explained(admin, user=user, unit="nightly@7.service", credential="two")[0] is True
    allowed, lines = explained(admin, user=user, unit="other.service", credential="two")
    assert allowed is False and "other.service" in lines[0], lines
    assert explained(admin, user=user, credential="two")[0] is False
    # By the unit alone only what asks for no user is known to be allowed.
    assert explained(admin, unit="cron.service", credential="one")[0] is True
    allowed, lines = explained(admin, unit="nightly@7.service", credential="two")
    assert allowed is False and any("LoadCredential" in line for line in lines), lines
    allowed, lines = explained(admin, unit="cron.service", scope="acme/risk:read")
    assert allowed is None and "user" in lines[0], lines


@test
def of_a_user_that_does_not_exist_nothing_can_be_said():
    admin = Agent(policy=POLICY).start().admin()
    for what in ({}, {"scope": "acme/risk:read"}, {"credential": "one"}):
        allowed, lines = explained(admin, user="nobody-like-that", **what)
        assert allowed is None and "nobody-like-that" in lines[0], lines


# ---- states --------------------------------------------------------------------------------------

@test
def an_agent_that_refuses_says_why_with_the_line_and_goes_on_once_it_is_mended():
    agent = Agent(policy="[Access]\nUser=*\nScpoe=a:b\n").start()
    c = agent.connect()
    for what in ({}, {"scope": "a:b"}, {"credential": "one"}):
        allowed, lines = explained(c, **what)
        assert allowed is False and lines[0].startswith(f"{line_of(agent, 3)}: "), lines
        assert "Scope" in lines[0] and "reload" in lines[1], lines
    agent.policy("[Access]\nUser=*\nScope=a:b\n")
    agent.admin().call("Reload")
    assert explained(c, scope="a:b")[0] is True


@test
def the_rules_in_force_count_and_not_the_files():
    agent = Agent(policy="[Access]\nUser=*\nScope=a:b\n").start()
    c, admin = agent.connect(), agent.admin()
    agent.policy("[Access]\nUser=*\nScope=b:c\n")
    assert explained(c, scope="a:b")[0] is True and explained(c, scope="b:c")[0] is False
    admin.call("Reload")
    assert explained(c, scope="a:b")[0] is False and explained(c, scope="b:c")[0] is True
    os.unlink(f"{agent.policies}/test.policy")
    admin.call("Reload")
    assert explained(c, scope="b:c")[0] is False


@test
def with_no_verify_section_everyone_may_verify():
    agent = Agent(policy="[Access]\nUser=*\nScope=a:b\n").start()
    allowed, lines = explained(agent.connect())
    assert allowed is True and "no [Verify] section" in lines[0], lines


@test
def at_most_one_question_at_a_time_and_only_what_can_be_asked():
    c = Agent(policy=POLICY).start().connect()
    assert c.error("Explain", scope="a:b", credential="one").parameter == "scope"
    for scope in ("", "a", "a:", ":b", "a b:c", "a" * 127 + ":bc", "a/**/b:c"):
        assert c.error("Explain", scope=scope).parameter == "scope", scope
    assert explained(c, scope="acme/**:*")[0] is False
    for user in ("", "x" * 256, "a\nb", "\x1b[31m"):
        assert c.error("Explain", user=user).parameter == "user", user
    for unit in ("", "x" * 256, "a\nb.service"):
        assert c.error("Explain", unit=unit).parameter == "unit", unit
    for credential in ("", "x" * 4096, "\x1b[31m", "no such"):
        assert explained(c, credential=credential)[0] is False


main()
