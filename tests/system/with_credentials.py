"""LoadCredential=, and Fetch by the unit that asks."""

import json
import re

from box import CLIENT, CREDENTIALS, FAILED_CREDENTIALS, PYTHON, SECRET, Box
from tap import test

POLICY = """
[Access]
User=root
Scope=a:read a:write
[Credential key]
[Credential other]
[Credential empty]
[Credential fresh]
Kind=minted
Owner=root
Scope=a:read
[Credential bound]
Kind=minted
Owner=root
Binding=unit
[Credential process]
Kind=minted
Owner=root
Binding=process
[Credential few]
Kind=minted
Owner=root
MaxTokens=1
[Credential nobody]
Kind=minted
Owner=no-such-user
[Fetch]
Credential=key fresh bound process few empty nobody
Unit=app.service nightly@*.service
[Fetch]
Credential=key
User=root
"""
LOAD = f"LoadCredential=c:{CREDENTIALS}"


def load(name):
    return f"LoadCredential={name}:{CREDENTIALS}"


def start(box, unit):
    """Whether the unit could be started."""
    return box.run("systemctl", "start", unit, check=False).returncode == 0


@test
def a_service_gets_what_it_loads_exactly():
    box = Box(POLICY)
    value = "line one\nöäü \\ \"quoted\"\n\n  end without a newline"
    box.put("key", value)
    box.service("app.service", "Type=oneshot", load("key"), "ExecStart=sh -c 'cat %d/key >/run/got; stat -c %%a %d/key'")
    assert start(box, "app.service"), box.journal("app.service")
    assert box.sh("cat /run/got") == value
    assert box.journal("app.service").count("400") == 1, "its mode"
    told = box.sh("jetonctl --json=short list --all-users", check=False)
    assert value not in told and value not in box.journal()


@test
def the_largest_value_comes_whole_and_many_units_start_at_once():
    box = Box(POLICY)
    value = "0123456789abcdef" * (48 * 1024 // 16)
    box.put("key", value)
    box.service("nightly@.service", "Type=oneshot", load("key"), load("fresh"),
                "ExecStart=sh -c 'cat %d/key | wc -c; cmp %d/key /run/value && wc -c <%d/fresh'")
    box.write("/run/value", value)
    n = 100
    box.sh(f"systemctl start $(seq -f 'nightly@%g.service' {n})")
    log = box.journal("nightly@*")
    assert len(re.findall("^49152$", log, re.M)) == n, log
    assert len(re.findall("^67$", log, re.M)) == n, log


@test
def a_unit_gets_a_fresh_token_at_each_start():
    box = Box(POLICY)
    box.service("app.service", "Type=oneshot", load("fresh"), "ExecStart=sh -c 'cat %d/fresh >/run/got'")
    seen = set()
    for _ in range(3):
        assert start(box, "app.service")
        token = box.sh("cat /run/got")
        assert SECRET.fullmatch(token), token
        answer = box.ask("Verify", token=token)
        assert answer["access"] == ["a:read"] and answer["info"]["credential"] == "fresh", answer
        assert answer["info"]["issuedTo"] == "app.service", answer
        seen.add(token)
    assert len(seen) == 3


@test
def a_bound_token_that_was_loaded_is_good_in_that_run_of_the_unit_alone():
    box = Box(POLICY)
    box.service("app.service", load("bound"),
                f"ExecStartPre=sh -c '{PYTHON} {CLIENT} Verify \"{{\\\\\"token\\\\\": \\\\\"$(cat %d/bound)\\\\\"}}\"'",
                "ExecStart=sh -c 'cat %d/bound >/run/got; exec sleep infinity'")
    assert start(box, "app.service"), box.journal("app.service")
    token = box.sh("while ! test -s /run/got; do sleep 0.05; done; cat /run/got")
    info = json.loads(re.search(r'\{"info".*', box.journal("app.service"))[0])["info"]
    assert info["binding"] == "unit" and info["state"] == "active", info
    done = box.run(PYTHON, CLIENT, "Verify", json.dumps({"token": token}), check=False)
    assert done.stdout.startswith("WrongBearer"), done
    box.sh("systemctl stop app.service")
    done = box.run(PYTHON, CLIENT, "Verify", json.dumps({"token": token}), check=False)
    assert done.stdout.startswith("TokenRevoked"), done
    assert box.ask("Describe", id=info["id"])["info"]["ended"] == "binding"


@test
def a_refusal_fails_the_unit_and_the_journal_says_why():
    box = Box(POLICY)
    refusals = {
        "other": "no \\[Fetch\\] section with a matching Unit=",
        "undefined": "no policy defines",
        "empty": "nothing was put in",
        "process": "Binding=process",
        "nobody": "no such user",
    }
    box.put("other", "secret")
    for name, why in refusals.items():
        box.service("app.service", "Type=oneshot", load(name), "ExecStart=touch /run/started")
        assert not start(box, "app.service"), name
        assert box.status("app.service") == ("exit-code", FAILED_CREDENTIALS), name
        box.logged(f"LoadCredential={name} of app.service is refused: .*{why}")
    # One has a section with User= alone, which is not for systemd's asking.
    box.put("key", "secret")
    box.service("else.service", "Type=oneshot", load("key"), "ExecStart=touch /run/started")
    assert not start(box, "else.service")
    box.logged("LoadCredential=key of else.service is refused: no \\[Fetch\\]")
    # Then there is one too many.
    box.service("app.service", "Type=oneshot", load("few"), "ExecStart=true")
    assert start(box, "app.service")
    assert not start(box, "app.service")
    box.logged("LoadCredential=few of app.service is refused: MaxTokens= is reached")
    # And the policies are wrong.
    box.write("/etc/jeton/policy.d/test.policy", "nonsense\n")
    box.sh("systemctl restart jetond.service")
    box.service("app.service", "Type=oneshot", load("key"), "ExecStart=touch /run/started")
    assert not start(box, "app.service")
    box.logged("LoadCredential=key of app.service is refused: the policies are wrong")
    assert box.run("test", "-e", "/run/started", check=False).returncode, "a refused unit ran"


@test
def a_value_that_has_expired_is_not_loaded():
    box = Box(POLICY)
    box.service("app.service", "Type=oneshot", load("key"), "ExecStart=true")
    end = int(box.sh("date +%s")) + 5
    box.ask("Put", credential="key", text="x", expiresUSec=end * 1000000)
    assert start(box, "app.service")
    box.sh(f"while test $(date +%s) -lt {end}; do sleep 0.1; done")
    assert not start(box, "app.service")
    box.logged("LoadCredential=key of app.service is refused: its value has expired")


@test
def credential_refusal_empty_gives_an_empty_file_instead():
    box = Box(POLICY, "CredentialRefusal=empty")
    box.service("app.service", "Type=oneshot", load("other"), "ExecStart=sh -c 'stat -c size=%%s %d/other'")
    assert start(box, "app.service"), box.journal("app.service")
    assert "size=0" in box.journal("app.service")
    box.logged("LoadCredential=other of app.service is refused")


@test
def an_agent_that_is_not_there_is_started_by_the_unit_that_loads():
    box = Box(POLICY)
    box.put("key", "value")
    box.sh("systemctl stop jetond.service")
    box.service("app.service", "Type=oneshot", load("key"), "ExecStart=sh -c 'cat %d/key >/run/got'")
    assert start(box, "app.service")
    assert box.sh("cat /run/got") == "value"


@test
def units_of_every_spelling_are_known_by_their_names():
    names = ("nightly@1.service", "nightly@a-b.service", r"nightly@a\x2db.service", r"nightly@etc-\xc3\xa4.service")
    box = Box(POLICY.replace("app.service", r"app.service _under.service x\x2dy.service cgroup.service"))
    box.put("key", "value")
    for name in (*names, "_under.service", r"x\x2dy.service", "cgroup.service"):
        box.write(f"'/run/systemd/system/{name}'",
                  f"[Service]\nType=oneshot\n{load('key')}\n"
                  f"ExecStart={PYTHON} {CLIENT} Fetch '{{\"credential\": \"fresh\"}}'\n")
    box.sh("systemctl daemon-reload")
    for name in (*names, "_under.service", r"x\x2dy.service", "cgroup.service"):
        assert start(box, name), (name, box.journal(name), box.journal())
    # A name that only looks like one.
    for name in (r"x-y.service", "nightly@.mount"):
        if name.endswith(".service"):
            box.service(name, "Type=oneshot", load("key"), "ExecStart=true")
            assert not start(box, name)


@test
def a_unit_of_a_user_that_exists_while_it_runs_fetches_by_its_unit():
    box = Box(POLICY)
    box.put("key", "value")
    with_user = box.process(user="fleeting", unit="app.service", properties=["DynamicUser=yes"])
    assert with_user.call("Fetch", credential="key")["text"] == "value"
    assert SECRET.fullmatch(with_user.call("Fetch", credential="fresh")["text"])
    bound = with_user.call("Fetch", credential="bound")
    assert with_user.call("Verify", token=bound["text"])["info"]["binding"] == "unit"
    assert with_user.error("Fetch", credential="other") == "NoSuchCredential"
    # It owns nothing that would outlive its number.
    assert with_user.error("Issue", name="n") == "InvalidParameter"
    other = box.process(user="other", unit="apps.service", properties=["DynamicUser=yes"])
    assert other.error("Fetch", credential="key") == "NoSuchCredential"
    outside = box.process(user="daemon")
    assert outside.error("Fetch", credential="key") == "NoSuchCredential"
    # Who has no uid of its own here, which nobody's number stands for, may nothing at all.
    assert box.process(user="nobody").error("Fetch", credential="key") == "PermissionDenied"


@test
def a_unit_that_may_make_groups_of_its_own_is_still_that_unit():
    box = Box(POLICY)
    box.put("key", "value")
    for user, dynamic in (("root", "no"), ("daemon", "no"), ("fleeting", "yes")):
        process = box.process(user=user, unit="app.service",
                              properties=["Delegate=yes", f"DynamicUser={dynamic}", load("key"), load("bound")])
        assert process.call("Fetch", credential="key")["text"] == "value", user
        process.end()


@test
def whoever_binds_such_an_address_outside_of_the_unit_gets_nothing():
    box = Box(POLICY)
    box.put("key", "value")
    box.service("app.service", "ExecStart=sleep infinity")
    assert start(box, "app.service")
    address = "0123456789abcdef/unit/app.service/key"
    ask = [PYTHON, CLIENT, "--socket", CREDENTIALS, "--address", address, "--raw"]

    def refused(done, pattern):
        assert done.stdout.split() == [str(1024 * 1024 + 1)], done
        box.logged(f"LoadCredential=key of app.service is refused: {pattern}")

    refused(box.run(*ask), "it can't be told from which unit")
    refused(box.run(*ask, unit="else.service"), "it was not asked from within that unit")
    # Whoever is not root can't connect at all; where the mode lets it, it still is no manager.
    done = box.run(*ask, user="nobody", check=False)
    assert "PermissionError" in done.stderr, done
    box.sh(f"chmod 666 {CREDENTIALS}")
    refused(box.run(*ask, user="nobody"), "it is not the service manager")
    refused(box.run(*ask, user="nobody", unit="app2.service"), "it is not the service manager")
    # And what has no such address is closed with a word in the log.
    for address in ("nonsense", "0123456789abcdef/unit/app.service", "0123456789abcdef/unit/app.service/../key"):
        done = box.run(PYTHON, CLIENT, "--socket", CREDENTIALS, "--address", address, "--raw")
        assert done.stdout.split() == ["0"], (address, done)
    done = box.run(PYTHON, CLIENT, "--socket", CREDENTIALS, "--raw")
    assert done.stdout.split() == ["0"], done
    # Root within the unit itself is that unit.
    done = box.run(*ask, unit="nightly@1.service", check=False)
    assert done.stdout.split() == [str(1024 * 1024 + 1)]
    address = "0123456789abcdef/unit/nightly@1.service/key"
    done = box.run(*ask[:5], address, "--raw", unit="nightly@1.service")
    assert done.stdout == "5 value\n", done
