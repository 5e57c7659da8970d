"""Users of a real system: their services and groups, and an agent of their own."""

import json

from box import CLIENT, FAILED_CREDENTIALS, PYTHON, Box, wait_until
from tap import test

POLICY = """
[Credential key]
[Fetch]
Credential=key
Unit=trusted.service
"""
OWN_POLICY = """
[Access]
User=tester
Scope=a:read
[Credential key]
[Credential bound]
Kind=minted
Owner=tester
Binding=unit
[Fetch]
Credential=key bound
Unit=trusted.service
"""
USER = "tester"
FETCH = f"{PYTHON} {CLIENT} Fetch '{{\"credential\": \"key\"}}'"


def with_user(policy=POLICY):
    box = Box(policy)
    box.sh(f"useradd --create-home {USER}; useradd --create-home other")
    return box


def as_user(box, script, user=USER, check=True):
    """Runs it in a login session of the user's, with the user's own manager."""
    return box.run("sh", "-c", script, user=user, login=True, check=check)


@test
def a_name_that_a_user_made_below_its_own_manager_decides_nothing():
    box = with_user()
    box.put("key", "value")
    assert json.loads(box.run("sh", "-c", FETCH, unit="trusted.service").stdout)["text"] == "value"
    done = as_user(box, FETCH, check=False)
    assert done.stdout.startswith("NoSuchCredential"), done
    # A service of the user's manager of that name, and a scope.
    done = as_user(box, f"systemd-run --user --quiet --pipe --wait --collect --unit=trusted.service {FETCH}",
                   check=False)
    assert done.stdout.startswith("NoSuchCredential"), done
    done = as_user(box, f"systemd-run --user --quiet --scope --unit=trusted.service.scope {FETCH}", check=False)
    assert done.stdout.startswith("NoSuchCredential"), done
    # Groups that the user makes by hand, of every shape.
    box.write("/run/from-below", "#!/bin/sh -e\nown=/sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)\n"
              f"mkdir -p $own/$1\necho $$ >$own/$1/cgroup.procs\ngrep -q /$1$ /proc/self/cgroup\n{FETCH}\n", "0755")
    for path in ("trusted.service", "system.slice/trusted.service", "a.slice/trusted.service"):
        done = as_user(box, "systemd-run --user --quiet --pipe --wait --collect --property=Delegate=yes "
                            f"/run/from-below {path}", check=False)
        assert done.stdout.startswith("NoSuchCredential"), (path, done)
    box.logged("refused: Fetch of key by uid .*: no \\[Fetch\\] section")


@test
def the_service_of_a_users_manager_and_its_sessions_are_units_of_the_system():
    box = with_user(POLICY.replace("trusted.service", "user@*.service session-*.scope"))
    box.put("key", "value")
    done = as_user(box, FETCH)
    assert json.loads(done.stdout)["text"] == "value"
    done = as_user(box, f"systemd-run --user --quiet --pipe --wait --collect --unit=trusted.service {FETCH}")
    assert json.loads(done.stdout)["text"] == "value"


def own_agent(box):
    """The user's own agent, with a policy, and its sockets listening."""
    box.sh("loginctl enable-linger " + USER)
    as_user(box, f"mkdir -p ~/.config/jeton/policy.d && cat >~/.config/jeton/policy.d/own.policy <<'END'\n{OWN_POLICY}\nEND\n"
                 "systemctl --user start jetond.socket jetond-credential.socket")
    uid = box.sh(f"id -u {USER}").strip()
    return f"/run/user/{uid}/jeton/agent.sock"


@test
def a_users_own_agent_serves_that_user_and_nobody_else():
    box = with_user()
    path = own_agent(box)
    answer = json.loads(as_user(box, f"jetonctl --user --json=short status").stdout)
    assert answer["state"] == "running", answer
    as_user(box, "echo value | jetonctl --user issue n >/dev/null 2>&1; jetonctl --user list")
    modes = box.sh(f"stat -c '%a %U' $(dirname {path}) {path} /home/{USER}/.local/state/jeton "
                   f"/home/{USER}/.local/state/jeton/*").split("\n")
    assert modes[:3] == [f"700 {USER}", f"600 {USER}", f"700 {USER}"], modes
    assert set(modes[3:-1]) == {f"600 {USER}"}, modes
    done = as_user(box, f"{PYTHON} {CLIENT} --socket {path} GetStatus", user="other", check=False)
    assert "PermissionError" in done.stderr, done
    log = box.sh(f"journalctl --sync; journalctl -q --no-pager -o cat _UID=$(id -u {USER}) _COMM=jetond")
    assert "serves" in log and "can't" not in log and "warn" not in log, log


@test
def in_a_users_own_agent_that_users_units_are_told_apart():
    box = with_user()
    path = own_agent(box)
    as_user(box, f"{PYTHON} {CLIENT} --socket {path} Put '{{\"credential\": \"key\", \"text\": \"value\"}}'")

    def ask(unit, method, parameters, check=True):
        quoted = json.dumps(parameters).replace('"', '\\"')
        return as_user(box, f"systemd-run --user --quiet --pipe --wait --collect --unit={unit} "
                            f"{PYTHON} {CLIENT} --socket {path} {method} \"{quoted}\"", check=check).stdout

    assert json.loads(ask("trusted.service", "Fetch", {"credential": "key"}))["text"] == "value"
    assert ask("other.service", "Fetch", {"credential": "key"}, check=False).startswith("NoSuchCredential")
    bound = json.loads(ask("trusted.service", "Fetch", {"credential": "bound"}))
    issued = json.loads(ask("any.service", "Issue", {"name": "n", "binding": "unit"}))
    for id in (bound["tokenId"], issued["info"]["id"]):
        def state(id=id):
            return json.loads(as_user(box, f"{PYTHON} {CLIENT} --socket {path} Describe '{{\"id\": \"{id}\"}}'").stdout)["info"]
        wait_until(lambda: state().get("ended") == "binding", f"the end of {id}")
    # A unit of the system's of that name is no unit of this user's.
    done = box.run(PYTHON, CLIENT, "--socket", path, "Fetch", '{"credential": "key"}', unit="trusted.service",
                   user=USER, check=False)
    assert done.stdout.startswith("NoSuchCredential"), done


@test
def a_users_own_service_loads_credentials_from_that_users_agent():
    box = with_user()
    path = own_agent(box)
    credentials = path.replace("agent.sock", "credential.sock")
    as_user(box, f"{PYTHON} {CLIENT} --socket {path} Put '{{\"credential\": \"key\", \"text\": \"value\"}}'")
    for unit in ("trusted", "other"):
        as_user(box, f"mkdir -p ~/.config/systemd/user; printf '[Service]\\nType=oneshot\\nLoadCredential=key:{credentials}\\n"
                     f"ExecStart=sh -c \"cp %%d/key %%t/got\"\\n' >~/.config/systemd/user/{unit}.service; "
                     "systemctl --user daemon-reload")
    done = as_user(box, "systemctl --user start trusted.service && cat $XDG_RUNTIME_DIR/got", check=False)
    assert done.stdout == "value", (done, box.sh("journalctl -q --no-pager -o cat | tail -n 20"))
    done = as_user(box, "systemctl --user start other.service", check=False)
    assert done.returncode
    shown = as_user(box, "systemctl --user show -p ExecMainStatus other.service").stdout
    assert shown.strip() == f"ExecMainStatus={FAILED_CREDENTIALS}", shown
