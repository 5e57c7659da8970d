"""Restarts, kills and a watchdog in a real system: clients see a pause, and nothing is lost."""

import base64
import os
import subprocess

import tap
from box import BUILD, SOCKET, TOOL, TOP, Box, wait_until
from with_newer import tree

test = tap.test

POLICY = """[Access]
User=root
Scope=a:read
[Credential held]
[Fetch]
Credential=held
User=root
"""
UNIT = "jetond.service"


def loader(box):
    """The path of load.c's program in the machine."""
    program = f"{tap.scratch()}/load"
    subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", f"-I{TOP}/protocol", "-o", program,
                    f"{TOP}/tests/system/load.c", os.path.join(BUILD, "libjeton.a")], check=True)
    with open(program, "rb") as f:
        box.run("sh", "-c", "base64 -d >/run/load && chmod 0755 /run/load",
                input=base64.b64encode(f.read()).decode())
    return "/run/load"


class Load:
    """The program, at work in the machine."""

    def __init__(self, box, program, user=None):
        self.child = subprocess.Popen([TOOL, "exec", box.name, *box._how(user, None, False, ()), "--", program, SOCKET],
                                      env=box.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end(self):
        """Has it look at all that it was told once more."""
        out, _ = self.child.communicate("\n", timeout=300)
        assert self.child.returncode == 0, out
        return out.strip()


# Waits in the socket until the agent is there.
RESTARTS = """
i=0
while [ $i -lt $1 ]; do
    case $((i % 3)) in
    0) systemctl restart jetond.service ;;
    *) systemctl kill -s KILL jetond.service ;;
    esac
    jetonctl status >/dev/null || exit 1
    i=$((i + 1))
done
"""


def restart_under_load(box, n):
    program = loader(box)
    loads = [Load(box, program) for _ in range(3)]
    box._tool("exec", box.name, "--", "sh", "-c", RESTARTS, "restarts", str(n), timeout=800)
    for load in loads:
        print("#", load.end())
    return box.journal().count("result 'signal'")


@test(timeout=240)
def a_hundred_restarts_and_kills_under_load_are_pauses_and_nothing_more():
    box = Box(POLICY)
    kills = restart_under_load(box, 100)
    # A kill right after a kill may find the next agent not there yet.
    assert kills > 40, kills
    assert "descriptor" not in box.journal(), box.journal()


def volatile(start=True, root="/"):
    box = Box(POLICY, "Storage=volatile", root=root, start=False)
    box.run("sh", "-c", "umask 077; head -c 32 /dev/urandom >/run/key")
    box.sh(f"mkdir -p /run/systemd/system/{UNIT}.d")
    box.write(f"/run/systemd/system/{UNIT}.d/key.conf", "[Service]\nLoadCredential=jeton.master:/run/key\n")
    box.sh("systemctl daemon-reload")
    if start:
        box.sh("systemctl start jetond.socket")
    return box


@test(timeout=240)
def volatile_storage_lives_over_restarts_and_kills_and_writes_nothing():
    box = volatile()
    box.ask("Put", credential="held", text="secret")
    restart_under_load(box, 30)
    assert box.ask("Fetch", credential="held")["text"] == "secret"
    box.sh("systemctl daemon-reexec; systemctl kill -s KILL jetond.service")
    assert box.ask("Fetch", credential="held")["text"] == "secret"
    assert box.sh("find /var/lib/jeton -mindepth 1") == ""


@test
def volatile_storage_ends_with_a_stop_where_systemd_keeps_nothing_over_it():
    stop_and_start(volatile())


@test
def volatile_storage_lives_over_a_stop_where_a_newer_systemd_keeps_it():
    stop_and_start(volatile(root=tree()))


def stop_and_start(box):
    box.ask("Put", credential="held", text="secret")
    # The socket stays, and with it the unit in systemd's memory.
    box.sh("systemctl stop jetond.service")
    version = int(box.sh("systemctl --version").split()[1])
    held = box.ask("GetStatus")["credentials"]
    assert held == (1 if version >= 254 else 0), (version, held)
    if held:
        box.sh("systemctl stop jetond.service; systemctl clean --what=fdstore jetond.service")
        assert box.ask("GetStatus")["credentials"] == 0


@test
def without_its_key_a_volatile_agent_does_not_start_and_the_journal_says_why():
    box = volatile(start=False)
    box.sh(f"rm /run/systemd/system/{UNIT}.d/key.conf; systemctl daemon-reload; systemctl start jetond.service",
           check=False)
    box.logged("Storage=volatile needs the master key as the credential jeton.master")
    box.sh("systemctl stop jetond.service jetond.socket jetond-credential.socket", check=False)


@test
def an_agent_that_hangs_is_killed_by_the_watchdog_and_nothing_is_lost():
    box = Box(POLICY)
    box.sh(f"mkdir -p /run/systemd/system/{UNIT}.d")
    box.write(f"/run/systemd/system/{UNIT}.d/watchdog.conf", "[Service]\nWatchdogSec=4s\n")
    box.sh("systemctl daemon-reload; systemctl restart jetond.service")
    token = box.ask("Issue", name="n")
    used = box.ask("Verify", token=token["token"])["info"]["lastUsedUSec"]
    pid = box.sh(f"systemctl show -p MainPID --value {UNIT}").strip()
    box.sh(f"kill -STOP {pid}")
    # This call waits in the socket meanwhile.
    assert box.ask("Describe", id=token["info"]["id"])["info"]["lastUsedUSec"] == used
    assert box.sh(f"systemctl show -p MainPID --value {UNIT}").strip() != pid
    assert "Watchdog timeout" in box.journal()


@test
def a_users_own_agent_keeps_last_uses_over_a_kill_too():
    box = Box(POLICY)
    box.sh("useradd -m tess 2>/dev/null || true; loginctl enable-linger tess")
    how = {"user": "tess", "login": True}
    wait_until(lambda: box.run("systemctl", "--user", "is-system-running", check=False, **how).stdout.strip()
               in ("running", "degraded"), "the user's manager")
    box.sh("mkdir -p ~/.config/jeton/policy.d; printf '[Access]\\nUser=*\\nScope=a:read\\n' >~/.config/jeton/policy.d/a.policy;"
           "systemctl --user start jetond.socket", **how)
    value = box.sh("jetonctl --user issue n 2>/dev/null", **how).strip()
    box.run("jetonctl", "--user", "verify", input=value, **how)
    shown = box.sh("jetonctl --user --json=short list", **how)
    assert '"lastUsedUSec":1' in shown, shown
    box.sh("systemctl --user kill -s KILL jetond.service", **how)
    assert box.sh("jetonctl --user --json=short list", **how) == shown
