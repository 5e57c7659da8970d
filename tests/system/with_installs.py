"""What `make install` leaves, as systemd takes it: accounts, sockets, the service and its walls."""

import re

from box import CREDENTIALS, SOCKET, Box, wait_until
from tap import test


def properties(box, unit, *names):
    lines = box.sh(f"systemctl show -p {','.join(names)} {unit}").splitlines()
    return dict(line.split("=", 1) for line in lines)


def modes(box, *paths):
    """{path: "mode owner group"}"""
    lines = box.sh("stat -c '%n %a %U %G' " + " ".join(paths)).splitlines()
    return dict(line.split(" ", 1) for line in lines)


@test
def files_and_accounts_have_the_owners_and_modes_that_are_promised():
    box = Box()
    assert box.sh("id -un jeton").strip() == "jeton"
    assert box.sh("getent group jeton-admin | cut -d: -f4").strip() == ""
    assert box.sh("getent passwd jeton").strip().endswith("nologin")
    box.ask("GetStatus")
    assert modes(box, "/etc/jeton", "/etc/jeton/policy.d", "/etc/jeton/jeton.conf.d", "/run/jeton",
                 "/etc/jeton/jeton.conf", SOCKET, CREDENTIALS, "/var/lib/jeton",
                 "/var/lib/jeton/master.key", "/var/lib/jeton/store.db") == {
        "/etc/jeton": "755 root root",
        "/etc/jeton/policy.d": "755 root root",
        "/etc/jeton/jeton.conf.d": "755 root root",
        "/run/jeton": "755 root root",
        "/etc/jeton/jeton.conf": "644 root root",
        SOCKET: "666 root root",
        CREDENTIALS: "600 root root",
        "/var/lib/jeton": "700 jeton jeton",
        "/var/lib/jeton/master.key": "600 jeton jeton",
        "/var/lib/jeton/store.db": "600 jeton jeton",
    }


def without_newer_keys(log):
    """Less what a systemd before 254 says of the one key in the unit that it does not know."""
    return "\n".join(line for line in log.splitlines()
                     if not re.search("Unknown key (name )?'FileDescriptorStorePreserve'", line))


@test
def the_first_connection_starts_the_agent_and_it_has_nothing_to_warn_of():
    box = Box()
    assert properties(box, "jetond.service", "ActiveState")["ActiveState"] == "inactive"
    status = box.ask("GetStatus")
    assert status["state"] == "running" and status["memory"] == "secretmem", status
    assert properties(box, "jetond.service", "ActiveState", "SubState", "User") == {
        "ActiveState": "active", "SubState": "running", "User": "jeton"}
    log = without_newer_keys(box.journal())
    assert not re.search("warn|can't|fail|unknown|ignor|limit", log, re.I), log
    warned = box.sh("journalctl -q --no-pager -o cat -p warning _UID=$(id -u jeton) + UNIT=jetond.service + "
                    "UNIT=jetond.socket + UNIT=jetond-credential.socket")
    assert not without_newer_keys(warned), warned


@test
def the_agents_process_can_do_nothing_but_its_work():
    box = Box()
    box.ask("GetStatus")
    pid = properties(box, "jetond.service", "MainPID")["MainPID"]
    status = dict(line.split(":\t", 1) for line in box.sh(f"cat /proc/{pid}/status").splitlines())
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", status
    assert {status[c] for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}, status
    assert status["Uid"].split() == [box.sh("id -u jeton").strip()] * 4
    # Others of its user can't read its memory, nor its environment.
    done = box.run("cat", f"/proc/{pid}/environ", user="jeton", check=False)
    assert done.returncode and not done.stdout
    limits = box.sh(f"grep -E 'core file|locked memory|open files' /proc/{pid}/limits")
    assert re.search(r"core file size +1 ", limits), limits
    security = box.sh("systemd-analyze security --no-pager jetond.service | tail -n 1")
    print("#", security.strip())
    exposure = float(re.search(r"(\d+\.\d+) ", security)[1])
    assert exposure <= 0.6, security


@test
def a_killed_agent_is_back_with_its_tokens_and_nobody_who_connects_is_refused():
    box = Box()
    issued = box.ask("Issue", name="n")
    for how in ("systemctl kill -s KILL jetond.service", "systemctl restart jetond.service",
                "systemctl stop jetond.service", "systemctl kill -s ABRT jetond.service"):
        box.sh(how)
        assert box.ask("Verify", token=issued["token"], scopes=["a:read"])["info"]["id"] == issued["info"]["id"], how
    assert modes(box, SOCKET, "/run/jeton") == {SOCKET: "666 root root", "/run/jeton": "755 root root"}


@test
def systemctl_reload_puts_new_policies_in_force_and_fails_where_they_are_wrong():
    box = Box()
    token = box.ask("Issue", name="n")["token"]
    box.write("/etc/jeton/policy.d/test.policy", "[Access]\nUser=root\nScope=b:read\n")
    box.sh("systemctl reload jetond.service")
    assert box.ask("Verify", token=token)["access"] == ["b:read"]
    box.write("/etc/jeton/policy.d/test.policy", "[Access]\nUser=root\nScope=c:read\nNonsense\n")
    done = box.run("systemctl", "reload", "jetond.service", check=False)
    assert done.returncode, "a reload of wrong policies is told as done"
    box.logged("test.policy:4")
    assert box.ask("Verify", token=token)["access"] == ["b:read"]


@test
def an_agent_that_hangs_is_ended_and_started_again():
    box = Box(start=False)
    box.sh("mkdir -p /run/systemd/system/jetond.service.d && "
           "printf '[Service]\nWatchdogSec=2s\n' >/run/systemd/system/jetond.service.d/soon.conf && "
           "systemctl daemon-reload && systemctl start jetond.socket")
    token = box.ask("Issue", name="n")["token"]
    pid = properties(box, "jetond.service", "MainPID")["MainPID"]
    box.sh("systemctl kill -s STOP jetond.service")
    wait_until(lambda: properties(box, "jetond.service", "MainPID")["MainPID"] not in (pid, "0"), "another process")
    assert box.ask("Verify", token=token)
