"""The same with a newer systemd, and its varlinkctl: Debian trixie, where tests/support/trixie has one."""

import json
import os
import subprocess

import box as boxes
from box import CLIENT, CREDENTIALS, FAILED_CREDENTIALS, PYTHON, SOCKET, Box, wait_until
from tap import Skip, test

POLICY = """
[Access]
User=root
Scope=a:read
[Credential key]
[Credential other]
[Fetch]
Credential=key
Unit=app.service
"""


def tree():
    done = subprocess.run([f"{boxes.TOP}/tests/support/trixie"], capture_output=True, text=True,
                          env={**os.environ, "JETON_TRIXIE": os.environ.get("JETON_TRIXIE", "/var/cache/jeton-tests/trixie")})
    if done.returncode:
        raise Skip(done.stderr.strip())
    return done.stdout.strip()


def newer():
    return Box(POLICY, root=tree())


@test
def a_newer_systemd_starts_asks_and_refuses_all_the_same():
    box = newer()
    box.put("key", "value")
    box.put("other", "value")
    box.service("app.service", "Type=oneshot", f"LoadCredential=key:{CREDENTIALS}", "ExecStart=sh -c 'cat %d/key >/run/got'")
    box.sh("systemctl start app.service")
    assert box.sh("cat /run/got") == "value"
    box.service("app.service", "Type=oneshot", f"LoadCredential=other:{CREDENTIALS}", "ExecStart=touch /run/ran")
    assert box.run("systemctl", "start", "app.service", check=False).returncode
    assert box.status("app.service") == ("exit-code", FAILED_CREDENTIALS)
    box.logged("LoadCredential=other of app.service is refused: no \\[Fetch\\]")
    assert box.run("test", "-e", "/run/ran", check=False).returncode
    assert box.ask("GetStatus")["memory"] == "secretmem"
    print("#", box.sh("systemctl --version | head -n 1; systemd-analyze security jetond.service | tail -n 1").strip())


@test
def a_newer_systemd_has_runs_of_units_that_tokens_end_with():
    box = newer()
    box.service("app.service", "RuntimeDirectory=app",
                f"ExecStart=sh -c '{PYTHON} {CLIENT} Issue \\'{{\"name\": \"n\", \"binding\": \"unit\"}}\\' >/run/app/got; "
                "exec sleep infinity'")
    box.sh("systemctl start app.service; while ! test -s /run/app/got; do sleep 0.05; done")
    got = json.loads(box.sh("cat /run/app/got"))
    call = [PYTHON, CLIENT, "Verify", json.dumps({"token": got["token"]})]
    assert box.run(*call, check=False).stdout.startswith("WrongBearer")
    box.sh("systemctl restart jetond.service")
    assert box.is_active(got["info"]["id"])
    box.sh("systemctl restart app.service")
    wait_until(lambda: not box.is_active(got["info"]["id"]), "its end")
    assert box.ask("Describe", id=got["info"]["id"])["info"]["ended"] == "binding"


@test
def varlinkctl_speaks_to_the_agent_that_its_socket_starts():
    box = newer()
    told = json.loads(box.sh(f"varlinkctl call {SOCKET} io.jeton.Agent.Issue '{{\"name\": \"n\"}}' --json=short"))
    assert told["info"]["state"] == "active"
    assert "io.jeton.Agent" in box.sh(f"varlinkctl list-interfaces {SOCKET}")
    assert "method Verify" in box.sh(f"varlinkctl introspect {SOCKET} io.jeton.Agent")
