#!/usr/bin/env -S python3 -B
"""Policies: what a token reaches is cut to its owner's access, live; a wrong file is refused."""

import os
import signal
import threading

from jeton import (AGENT_UID, ALICE, BOB, IS_ROOT, Agent, Error, main, root, scratch, test,
                   wait_until)
from peers import MS_BIND, Accounts, mount, own_mounts


def access(*scopes, user=ALICE, more=""):
    return f"[Access]\nUser={user}\nScope={' '.join(scopes)}\n{more}"


def reach(c, token):
    return sorted(c.call("Verify", token=token)["access"])


# ---- cutting -------------------------------------------------------------------------------------

@test
def nothing_is_reached_where_no_policy_says_so():
    c = Agent().start().connect()
    answer = c.call("Issue", name="n")
    assert reach(c, answer["token"]) == []
    assert c.error("Verify", token=answer["token"], scopes=["a:b"]).name == "InsufficientScope"
    assert c.error("Issue", name="n", scopes=["a:b"]).name == "ScopeExceedsAccess"


@test
def sections_for_the_same_user_add_up():
    policy = access("a/x:read", "a/y:*", more="Scope=b:run\n") + access("c/**:read") \
        + access("never:read", user=4294967) + access("all:read", user="*")
    c = Agent(policy=policy).start().connect()
    token = c.call("Issue", name="n")["token"]
    assert reach(c, token) == ["a/x:read", "a/y:*", "all:read", "b:run", "c/**:read"]
    for scope in ("c:read", "c/d:read", "c/d/e:read", "all:read", "a/y:anything"):
        assert c.call("Verify", token=token, scopes=[scope]), scope
    for scope in ("never:read", "c:write", "a:read", "a/x/y:read", "ab:run"):
        assert c.error("Verify", token=token, scopes=[scope]).name == "InsufficientScope", scope


@test
def a_tokens_scopes_are_cut_to_what_they_have_in_common_with_the_access():
    agent = Agent(policy=access("acme/**:*")).start()
    c = agent.connect()
    token = c.call("Issue", name="n", scopes=["acme/*:read", "acme/risk:*"])["token"]
    agent.policy(access("acme/risk:read", "acme/other/x:read", "acme/pipeline:*"))
    agent.admin().call("Reload")
    assert set(reach(c, token)) == {"acme/risk:read", "acme/pipeline:read"}


@test
def taking_access_away_takes_it_from_every_token_at_the_next_verify():
    agent = Agent(policy=access("a:read", "a:write")).start()
    c = agent.connect()
    tokens = [c.call("Issue", name="n", scopes=["a:read"])["token"],
              c.call("Issue", name="n")["token"]]
    tokens.append(c.call("Derive", token=tokens[1], name="n")["token"])
    agent.policy(access("a:write"))
    assert all(c.call("Verify", token=t, scopes=["a:read"]) for t in tokens), "not reloaded yet"
    agent.admin().call("Reload")
    for t in tokens:
        assert c.error("Verify", token=t, scopes=["a:read"]).name == "InsufficientScope"
    assert [reach(c, t) for t in tokens] == [[], ["a:write"], ["a:write"]]
    agent.policy(access("a:read"))
    agent.admin().call("Reload")
    assert [reach(c, t) for t in tokens] == [["a:read"]] * 3


@test
def the_order_of_judgement_is_secret_revoked_scope_uses():
    agent = Agent(policy=access("a:read")).start()
    c = agent.connect()
    answer = c.call("Issue", name="n", uses=1)
    assert c.error("Verify", token=answer["token"], scopes=["b:c"]).name == "InsufficientScope"
    c.call("Revoke", id=answer["info"]["id"])
    assert c.error("Verify", token=answer["token"], scopes=["b:c"]).name == "TokenRevoked"


@test
def an_issue_is_judged_by_the_policies_in_force():
    agent = Agent(policy=access("a:read")).start()
    c = agent.connect()
    assert c.call("Issue", name="n", scopes=["a:read"])
    agent.policy(access("b:read"))
    agent.admin().call("Reload")
    assert c.error("Issue", name="n", scopes=["a:read"]).scope == "a:read"
    assert c.call("Issue", name="n", scopes=["b:read"])


# ---- names and groups ----------------------------------------------------------------------------

@test(needs=[root])
def users_and_groups_are_matched_by_name_and_number_of_the_accounts():
    accounts = Accounts(scratch(),
                        {"alice": (ALICE, 40001), "bob": (BOB, 40002), "carol": (30003, 40003)},
                        {"team": (40100, ["bob"]), "prime": (40001, [])})
    policy = access("named:read", user="alice") + access("numbered:read", user=30003) \
        + "[Access]\nGroup=team\nScope=team:read\n[Access]\nGroup=40001\nScope=prime:read\n" \
        + "[Access]\nUser=alice bob\nGroup=prime\nScope=both:read\n" \
        + access("nobody:read", user="mallory")
    agent = Agent(policy=policy).start()
    expected = {ALICE: ["both:read", "named:read", "prime:read"], BOB: ["team:read"],
                30003: ["numbered:read"]}
    for uid, scopes in expected.items():
        c = agent.connect(uid)
        answer = c.call("Issue", name="n")
        assert answer["info"]["owner"] == {ALICE: "alice", BOB: "bob", 30003: "carol"}[uid]
        assert reach(c, answer["token"]) == scopes, uid
    assert "mallory" in agent.log(), "no warning of a user that does not exist"
    accounts.set({"alice": (ALICE, 40001), "bob": (BOB, 40002), "carol": (30003, 40003)},
                 {"team": (40100, ["carol"]), "prime": (40001, [])})
    agent.admin().call("Reload")
    c = agent.connect(30003)
    assert reach(c, c.call("Issue", name="n")["token"]) == ["numbered:read", "team:read"]
    c = agent.connect(BOB)
    assert reach(c, c.call("Issue", name="n")["token"]) == []


@test(needs=[root])
def access_by_group_goes_by_the_accounts_and_not_by_what_the_peer_has_now():
    Accounts(scratch(), {"alice": ALICE}, {"team": (40100, [])})
    agent = Agent(policy="[Access]\nGroup=team\nScope=team:read\n").start()
    c = agent.connect(ALICE, groups=[40100])
    assert reach(c, c.call("Issue", name="n")["token"]) == []


@test(needs=[root])
def a_number_that_has_gone_to_somebody_else_reaches_nothing_and_lists_nothing():
    accounts = Accounts(scratch(), {"alice": ALICE})
    agent = Agent(policy=access("a:read", user=ALICE)).start()
    c = agent.connect(ALICE)
    old = c.call("Issue", name="old")
    assert reach(c, old["token"]) == ["a:read"]
    for name in ("mallory", None):
        accounts.set({name: ALICE} if name else {})
        agent.admin().call("Reload")
        c = agent.connect(ALICE)
        wait_until(lambda: c.list() == [], f"{name} lists nothing of alice's")
        assert c.error("Verify", token=old["token"], scopes=["a:read"]).name == "InsufficientScope"
        ident = old["info"]["id"]
        for method in ("Describe", "Revoke", "Rotate"):
            assert c.error(method, id=ident).name == "NoSuchToken"
        new = c.call("Issue", name="new")
        assert new["info"].get("owner") == name
        assert reach(c, new["token"]) == ["a:read"]
        assert [t["name"] for t in c.list()] == ["new"]
        admin = agent.admin()
        assert "old" in {t["name"] for t in admin.list(all=True)}
    accounts.set({"alice": ALICE})
    agent.admin().call("Reload")
    c = agent.connect(ALICE)
    wait_until(lambda: [t["name"] for t in c.list()] == ["old"], "alice is back")
    assert reach(c, old["token"]) == ["a:read"]


@test(needs=[root])
def an_account_that_appears_is_matched_after_a_reload():
    accounts = Accounts(scratch(), {})
    agent = Agent(policy=access("a:read", user="alice")).start()
    accounts.set({"alice": ALICE})
    agent.admin().call("Reload")
    c = agent.connect(ALICE)
    assert reach(c, c.call("Issue", name="n")["token"]) == ["a:read"]


# ---- [Verify] ------------------------------------------------------------------------------------

@test(needs=[root])
def verify_sections_say_who_may_verify_and_what_is_told():
    policy = access("acme/risk:read", "acme/pipeline:run") \
        + "[Verify]\nGroup=40100\nScope=acme/risk:*\n[Verify]\nUser=30009\n"
    agent = Agent(policy=policy).start()
    owner, api = agent.connect(ALICE), agent.connect(30005, groups=[40100])
    token = owner.call("Issue", name="n")["token"]
    assert reach(owner, token) == ["acme/pipeline:run", "acme/risk:read"]
    assert reach(api, token) == ["acme/risk:read"]
    assert api.call("Verify", token=token, scopes=["acme/risk:read"])
    assert api.error("Verify", token=token,
                     scopes=["acme/pipeline:run"]).name == "InsufficientScope"
    assert reach(agent.connect(30009), token) == ["acme/pipeline:run", "acme/risk:read"]
    stranger = agent.connect(BOB)
    assert stranger.error("Verify", token=token).name == "PermissionDenied"
    assert stranger.error("Derive", token=token, name="c").name == "PermissionDenied"
    own = stranger.call("Issue", name="own")["token"]
    assert stranger.call("Verify", token=own)


# ---- reading -------------------------------------------------------------------------------------

@test
def a_reload_takes_the_files_as_they_are_and_tells_when():
    agent = Agent(policy=access("a:read")).start()
    admin = agent.admin()
    before = admin.call("GetStatus")["policiesLoadedUSec"]
    agent.policy(access("b:read"), name="other.policy")
    assert admin.call("Reload") == {}
    assert admin.call("GetStatus")["policiesLoadedUSec"] > before
    c = agent.connect()
    token = c.call("Issue", name="n")["token"]
    assert reach(c, token) == ["a:read", "b:read"]
    os.unlink(f"{agent.policies}/test.policy")
    admin.call("Reload")
    assert reach(c, token) == ["b:read"]


@test(needs=[root])
def only_administrators_reload():
    agent = Agent().start()
    assert agent.connect(ALICE).error("Reload").name == "PermissionDenied"


@test
def files_that_are_no_policies_by_their_name_are_ignored():
    agent = Agent(policy=access("a:read"))
    for name in (".test.policy.swp", "test.policy~", "test.policy.dpkg-new", "README", "x.conf"):
        agent.policy("this is no policy\n", name=name)
    c = agent.start().connect()
    assert reach(c, c.call("Issue", name="n")["token"]) == ["a:read"]


MISTAKES = {
    "an unknown key": ("[Access]\nUser=*\nScope=a:b\nColour=red\n", 4),
    "an unknown section": ("[Access]\nUser=*\nScope=a:b\n\n[Acess]\nUser=*\n", 5),
    "a key outside of any section": ("User=*\n", 1),
    "an empty user": ("[Access]\nUser=\nScope=a:b\n", 2),
    "an empty scope": ("[Access]\nUser=*\nScope=\n", 3),
    "no selector": ("\n[Access]\nScope=a:b\n", 2),
    "no scope": ("[Access]\nUser=*\n", 1),
    "a scope without an action": ("[Access]\nUser=*\nScope=a:b acme\n", 3),
    "stars in the midst": ("[Access]\nUser=*\nScope=a/**/b:c\n", 3),
    "no equals sign": ("[Access]\nUser=*\nScope=a:b\nScope\n", 4),
    "a section that is not closed": ("[Access\nUser=*\n", 1),
    "a NUL": (b"[Access]\nUser=*\nScope=a:b\n\0\n", 4),
    "no UTF-8": (b"[Access]\nUser=*\nScope=a:b\n# \xff\xfe\n", 4),
    "a very long line": ("[Access]\nUser=*\nScope=a:b\nUser=" + "x" * 100000 + "\n", 4),
    "a credential twice": ("[Credential a]\nDescription=x\n[Credential a]\nDescription=y\n", 3),
    "a number that is no uid": ("[Access]\nUser=4294967296\nScope=a:b\n", 2),
}


def is_of(error, path, line):
    assert error.name == "PolicyInvalid", error
    assert error.file == path and error.line == line, (error, line)
    assert error.message and "\n" not in error.message, error


@test
def a_wrong_file_is_refused_as_a_whole_with_its_line_and_those_before_stay():
    agent = Agent(policy=access("a:read")).start()
    admin, c = agent.admin(), agent.connect()
    token = c.call("Issue", name="n")["token"]
    for what, (text, line) in MISTAKES.items():
        agent.policy(text, name="wrong.policy")
        agent.policy(access("z:z"), name="zzz.policy")
        error = admin.error("Reload")
        try:
            is_of(error, f"{agent.policies}/wrong.policy", line)
        except AssertionError as e:
            raise AssertionError(f"{what}: {e}") from None
        assert reach(c, token) == ["a:read"], what
        assert c.call("GetStatus")["state"] == "running"
    os.unlink(f"{agent.policies}/wrong.policy")
    admin.call("Reload")
    assert reach(c, token) == ["a:read", "z:z"]


def refuses(agent, line, name="test.policy"):
    """The agent, started with a wrong policy, refuses what it should."""
    admin = agent.admin()
    assert admin.call("GetStatus")["state"] == "refusing"
    path = f"{agent.policies}/{name}" if name else agent.policies
    for method, parameters in (("Issue", {"name": "n"}), ("Verify", {"token": "x"}),
                               ("Derive", {"token": "x", "name": "n"}),
                               ("Describe", {"id": "0" * 11}),
                               ("Revoke", {"id": "0" * 11}), ("Rotate", {"id": "0" * 11})):
        is_of(admin.error(method, **parameters), path, line)
    try:
        admin.more("List")
    except Error as e:
        is_of(e, path, line)
    else:
        raise AssertionError("List was answered")
    is_of(admin.error("Reload"), path, line)
    told = admin.call("Explain", scope="a:b")
    assert told["allowed"] is False and told["lines"][0].startswith(f"{path}:{line}: " if line else path), told
    assert admin.call("GetStatus")["state"] == "refusing"
    return admin


@test
def an_agent_that_starts_with_wrong_policies_comes_up_refusing():
    for text, line in list(MISTAKES.values())[:3]:
        agent = Agent(policy=text).start()
        admin = refuses(agent, line)
        assert f"{agent.policies}/test.policy:{line}: " in agent.log()
        agent.policy(access("a:read"))
        admin.call("Reload")
        assert admin.call("GetStatus")["state"] == "running"
        c = agent.connect()
        assert reach(c, c.call("Issue", name="n")["token"]) == ["a:read"]
        agent.stop()


@test
def sighup_ends_the_refusing_once_the_files_are_right():
    agent = Agent(policy="[Access]\n").start()
    c = agent.admin()
    assert c.call("GetStatus")["state"] == "refusing"
    agent.policy(access("a:read"))
    agent.signal(signal.SIGHUP)
    wait_until(lambda: c.call("GetStatus")["state"] == "running", "it serves again")
    assert c.call("Issue", name="n")


@test
def tokens_are_as_they_were_after_a_time_of_refusing():
    agent = Agent(policy=access("a:read")).start()
    c = agent.connect()
    answer = c.call("Issue", name="n")
    agent.stop()
    agent.policy("[Access]\n")
    refuses(agent.start(), 1)
    agent.policy(access("b:read"))
    agent.admin().call("Reload")
    assert reach(agent.connect(), answer["token"]) == ["b:read"]


@test
def policies_that_are_no_plain_files_are_refused_and_nothing_hangs():
    agent = Agent(policy=access("a:read")).start()
    admin = agent.admin()
    path = f"{agent.policies}/wrong.policy"
    makers = {"a FIFO": lambda: os.mkfifo(path), "a directory": lambda: os.mkdir(path),
              "a link to itself": lambda: os.symlink(path, path),
              "a dangling link": lambda: os.symlink("/nonexistent", path),
              "a huge file": lambda: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644),
                                                 1 << 30)}
    if IS_ROOT:
        makers["an unreadable file"] = lambda: os.close(os.open(path, os.O_CREAT, 0o600))
    for what, make in makers.items():
        make()
        error = admin.error("Reload")
        assert error.name == "PolicyInvalid" and error.file == path, (what, error)
        os.rmdir(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    admin.call("Reload")


@test
def policies_that_others_could_have_written_are_refused():
    agent = Agent(policy=access("a:read")).start()
    admin = agent.admin()
    path = f"{agent.policies}/other.policy"

    def wrong(who):
        error = admin.error("Reload")
        assert error.name == "PolicyInvalid" and error.file == who, error
        assert error.message

    agent.policy(access("b:read"), name="other.policy")
    for mode in (0o664, 0o646, 0o666):
        os.chmod(path, mode)
        wrong(path)
    os.chmod(path, 0o600 if not IS_ROOT else 0o644)
    admin.call("Reload")
    os.chmod(agent.policies, 0o777)
    wrong(agent.policies)
    os.chmod(agent.policies, 0o775)
    wrong(agent.policies)
    os.chmod(agent.policies, 0o755)
    if IS_ROOT:
        os.chown(path, BOB, 0)
        wrong(path)
        os.chown(path, AGENT_UID, 0)
        admin.call("Reload")
        os.chown(agent.policies, BOB, 0)
        wrong(agent.policies)
        os.chown(agent.policies, AGENT_UID, 0)
        admin.call("Reload")


@test
def no_policies_at_all_and_no_directory_are_no_mistake():
    agent = Agent()
    os.rmdir(agent.policies)
    agent.start()
    c = agent.connect()
    assert reach(c, c.call("Issue", name="n")["token"]) == []
    os.mkdir(agent.policies, 0o755)
    agent.policy("", name="empty.policy")
    agent.policy("# a comment only", name="comment.policy")
    agent.policy(access("a:read").rstrip("\n"), name="no-newline.policy")
    agent.admin().call("Reload")
    assert reach(c, c.call("Issue", name="n")["token"]) == ["a:read"]


@test
def reloads_under_load_show_the_whole_old_or_the_whole_new():
    agent = Agent(policy=access("old/a:x", "old/b:x")).start()
    c, admin = agent.connect(), agent.admin()
    token = c.call("Issue", name="n")["token"]
    seen, done = set(), threading.Event()

    def verify():
        while not done.is_set():
            seen.add(tuple(reach(c, token)))

    thread = threading.Thread(target=verify)
    thread.start()
    for n in range(100):
        name = "new" if n % 2 else "old"
        agent.policy(access(f"{name}/a:x", f"{name}/b:x"))
        admin.call("Reload")
    done.set()
    thread.join()
    assert seen == {("old/a:x", "old/b:x"), ("new/a:x", "new/b:x")}, seen


@test(needs=[root])
def a_look_up_of_names_that_hangs_keeps_neither_calls_nor_the_stop_waiting():
    own_mounts()
    fifo = f"{scratch()}/group"
    os.mkfifo(fifo, 0o644)
    agent = Agent(policy=access("a:read") + "[Access]\nGroup=games\nScope=g:read\n").start()
    c, other, admin = agent.connect(), agent.connect(), agent.admin()
    token = c.call("Issue", name="n")["token"]
    # Whoever reads the groups now waits for a writer who never comes.
    mount(fifo, "/etc/group", flags=MS_BIND)
    admin.send("Reload")
    # Reloads that wait, one whose caller leaves, and a caller whose name nobody knows yet.
    waiting = [agent.admin(), agent.admin(), agent.connect(BOB)]
    waiting[0].send("Reload")
    waiting[1].send("Reload")
    waiting[1].close()
    waiting[2].send("Issue", {"name": "n"})
    agent.signal(signal.SIGHUP)
    # The writer never comes: who waited for the look-up would not get through at all.
    for _ in range(100):
        assert reach(c, token) == ["a:read"]
        assert other.call("GetStatus")["state"] == "running"
    agent.stop()


main()
