"""docs/guide.md, step by step: what it has people paste is taken from the page, and pasted."""

import os
import re

import box as boxes
from box import Box, wait_until
from tap import test

KEY = "mk_live_example_0123456789"

SCRIPTS = {
    "/usr/local/bin/report": 'echo "a key of ${#MODULOS_API_KEY} characters"',
    "/usr/local/bin/web": 'echo "starts with a key of $(wc -c <"$KEY_FILE") characters"; exec sleep infinity',
    "/srv/deploy": 'printf %s "$DEPLOY_TOKEN" | jetonctl verify --scope acme/pipeline:run',
}


# How many blocks of each part are taken up by the tests below; where there are more, one was not thought of.
RUN = {
    "Before all else": 4, "A script": 2, "git, docker, aws, kubectl, curl": 1, "A cron job": 1, "A systemd service": 3,
    "A CI job": 1, "A local HTTP API that verifies": 3, "Verifying without a call": 2, "Rotation without an outage": 3,
    "An agent of your own": 1, "Settings": 1, "Policies": 1, "The key": 2, "Nothing on a disk": 1,
    "A backup, and another host": 3, "Locking": 1, "Who did what": 2,
}
NOT_RUN = {
    "A container": "no podman, and no image to run; tests/agent/test-peers.py has peers of other namespaces",
    "Install": "with_package.py installs the package, and box.py what `make install` leaves",
    "Upgrade": "with_package.py upgrades the package",
}


def blocks(heading):
    """(form, text) of each block under the heading: "ini" and so on as it stands after ```, "sh" of those set in."""
    found, here, form, body = [], False, None, []
    with open(os.path.join(boxes.TOP, "docs", "guide.md"), encoding="utf-8") as f:
        lines = f.read().splitlines()
    for line in lines + ["# The end"]:
        if form == "sh" and line and not line.startswith("    "):
            found.append((form, body))
            form = None
        if form and form != "sh" and line == "```":
            found.append((form, body))
            form = None
        elif form:
            body.append(line[4:] if form == "sh" else line)
        elif re.match("#+ ", line):
            here = line.lstrip("# ") == heading
        elif here and (line.startswith("```") or line.startswith("    ")):
            form, body = (line[3:], []) if line.startswith("```") else ("sh", [line[4:]])
    assert found, f"the guide has nothing under '{heading}'"
    return [(form, "\n".join(body).strip("\n") + "\n") for form, body in found]


def of_form(heading, form):
    return [text for kind, text in blocks(heading) if kind == form]


def put_file(box, text):
    """A file that names its own path in its first line."""
    path = re.match(r"# (/\S+)\n", text)[1]
    box.run("mkdir", "-p", os.path.dirname(path))
    box.write(path, text)


def begin():
    """A machine with all that stands under "Before all else"."""
    box = Box()
    # The guide's Jeton is in /usr/local; that of tests in /usr.
    box.sh("useradd -m alex; useradd -m ci; rm /etc/jeton/policy.d/test.policy; mkdir -p /srv/report /usr/local/bin; "
           f"printf 'OTHER=1\\nMODULOS_API_KEY={KEY}\\n' >/srv/report/.env; ln -s /usr/bin/jetonctl /usr/local/bin/")
    for path, script in SCRIPTS.items():
        box.write(path, f"#!/bin/sh\n{script}\n", "0755")
    box.sh("jetonctl credentials >&2")
    for form, text in blocks("Before all else"):
        put_file(box, text) if form == "ini" else box.sh(f"set -e\n{text}")
    return box


@test
def the_guides_policy_gives_the_key_to_whom_it_says():
    box = begin()
    assert "held" in box.sh("jetonctl credentials")
    assert "yes" in box.sh("jetonctl policy explain fetch modulos --user alex")
    assert re.search(r"\bno\b", box.sh("jetonctl policy explain fetch modulos --user ci"))
    assert "All is well" in box.sh("jetonctl doctor 2>&1")


@test
def the_guides_script_and_cron_job_run_unchanged():
    box = begin()
    environment, file = of_form("A script", "sh")
    assert f"a key of {len(KEY)} characters" in box.sh(f"cd /usr/local/bin; {environment}", user="alex")
    assert box.sh(file, user="alex").strip() == str(len(KEY))
    assert box.sh(f"cd /usr/local/bin; {environment}", user="ci", check=False) == ""
    line, = of_form("A cron job", "sh")
    command = re.match(r"(?:\S+ ){5}(.*)", line)[1]
    assert f"a key of {len(KEY)} characters" in box.sh(command, user="ci", unit="cron.service")


@test
def the_guides_helpers_give_the_key_to_tools():
    box = begin()
    curl, git = of_form("git, docker, aws, kubectl, curl", "sh")[0].strip().splitlines()
    # The address is nobody's: what curl would read is looked at.
    assert box.sh(curl.replace("curl --config - https://api.example.com/", "cat"), user="alex").strip() == \
        f'header = "Authorization: Bearer {KEY}"'
    filled = box.sh(f"export HOME=/home/alex; {git}; printf 'protocol=https\\nhost=git.example.com\\n\\n' | "
                    "git credential fill", user="alex")
    assert f"username=alex\npassword={KEY}" in filled, filled


@test
def the_guides_service_loads_its_key():
    box = begin()
    service, other = of_form("A systemd service", "ini")
    put_file(box, service)
    steps, = of_form("A systemd service", "sh")
    assert "is granted" in box.sh(f"set -e\n{steps}")
    box.logged(rf"(?m)^{len(KEY)}$", "report.service")
    box.service("web.service", "Type=oneshot", "DynamicUser=yes", other.strip())
    box.sh("systemctl start web")
    box.logged(f"a key of {len(KEY)} characters", "web.service")


@test
def the_guides_job_gets_a_fresh_token_and_its_api_admits_it():
    box = begin()
    job, = of_form("A CI job", "sh")
    assert "State:        active" in box.sh(f"cd /srv; {job}", user="ci", unit="runner.service")
    assert re.search(r"^deploy ", box.sh("jetonctl list --owner ci"), re.M)
    module, server = of_form("A local HTTP API that verifies", "python")
    box.run("mkdir", "-p", "/srv/api")
    box.write("/srv/api/jeton_verify.py", module)
    box.write("/srv/api/server.py", server)
    box.service("pipeline-api.service", "WorkingDirectory=/srv/api", "ExecStart=/usr/bin/python3 -B server.py")
    box.sh("systemctl start pipeline-api")
    wait_until(lambda: box.run("test", "-S", "/run/pipeline.sock", check=False).returncode == 0, "the API's socket")
    box.write("/srv/call", "import os, socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('/run/pipeline.sock')\n"
              "s.sendall(os.environ['DEPLOY_TOKEN'].encode())\nprint(s.recv(4096).decode().strip())\n")
    in_child = "jetonctl run --env DEPLOY_TOKEN=deploy -- sh -c 'python3 /srv/call; :'"
    itself = "jetonctl run --env DEPLOY_TOKEN=deploy -- python3 /srv/call"
    how = {"user": "ci", "unit": "runner.service"}
    assert box.sh(in_child, **how).strip() == "welcome, deploy"
    box.sh("sed -i '/^Lifetime=15min/a Binding=process' /etc/jeton/policy.d/acme.policy; jetonctl reload")
    assert box.sh(itself, **how).strip() == "welcome, deploy"
    assert box.sh(in_child, **how).strip() == "WrongBearer"
    verify, = of_form("A local HTTP API that verifies", "ini")
    box.write("/etc/jeton/policy.d/verify.policy", verify)
    box.sh("jetonctl reload")
    assert box.sh(itself, **how).strip() == "welcome, deploy"
    ask = "cd /srv/api; python3 -B -c 'from jeton_verify import verify; print(verify(\"x\")[0])'"
    assert box.sh(ask, user="alex").strip() == "PermissionDenied"


@test
def the_guides_rotation_reaches_a_running_program():
    box = begin()
    _, renew, rotate = of_form("Rotation without an outage", "sh")
    for command in renew.strip().splitlines():
        box.service("web.service", f"ExecStart={command.replace('jetonctl', '/usr/bin/jetonctl', 1)}")
        box.sh("journalctl -q --rotate --vacuum-time=1s >&2; systemctl start web")
        box.logged(f"starts with a key of {len(KEY)} characters", "web.service")
        wait_until(lambda: "sleep" in box.sh("systemctl show -p ControlGroup web; pgrep -a sleep", check=False), "web")
        box.put("modulos", "another one")
        if "restart" in command:
            box.logged("starts with a key of 11 characters", "web.service")
        else:
            # It ends by the signal, as sleep does.
            wait_until(lambda: box.sh("systemctl is-active web", check=False).strip() != "active", "the signal")
        box.sh("systemctl stop web")
        box.put("modulos", KEY)
    box.sh("cd; jetonctl issue nightly --lifetime 1h >token", user="ci")
    shown = box.sh(f"cd; set -e\n{rotate}", user="ci")
    assert "The old one" in shown, shown


@test
def the_guides_agent_of_ones_own_works():
    box = begin()
    text, = of_form("An agent of your own", "sh")
    text = text.replace("--user put modulos", "--user put modulos <~/key")
    said = box.sh(f"cd; printf mine >key; cp /usr/local/bin/report .; set -e\n{text}", user="alex", login=True)
    assert "a key of 4 characters" in said, said


@test
def what_the_guide_has_for_nothing_on_a_disk_leaves_nothing_there():
    box = Box()
    text, = of_form("Nothing on a disk", "sh")
    box.sh(f"set -e\n{text}")
    id = box.ask("Issue", name="n")["info"]["id"]
    for how in ("restart", "kill -s KILL"):
        box.sh(f"systemctl {how} jetond.service")
        assert box.is_active(id), how
    assert box.sh("find /var/lib/jeton -type f") == ""


@test
def what_the_guide_tells_administrators_works():
    box = begin()
    for text in (*of_form("Settings", "sh"), *of_form("The key", "sh")):
        box.sh(f"set -e\n{text}")
        assert "modulos" in box.sh("jetonctl credentials"), text
    assert "90d" in box.run("jetonctl", "issue", "x", "--lifetime", "1y", user="ci", check=False).stderr
    box.sh("mv /var/lib/jeton/master.key /root; systemctl restart jetond")
    assert "modulos" in box.sh("jetonctl credentials")
    ask, give, bring_back = of_form("A backup, and another host", "sh")
    box.sh(f"set -e\n{ask}", input="a passphrase\n")
    box.sh(f"set -e\n{give}")
    box.sh("jetonctl forget modulos")
    assert "came back" in box.sh(f"set -e\n{bring_back}")
    assert box.sh("ls /var/backups/jeton").split() == ["monday", "tuesday"]
    asked, journal = of_form("Who did what", "sh")
    id = box.ask("Issue", name="nightly", ownerUid=int(box.sh("id -u ci")))["info"]["id"]
    box.sh("set -e\n" + asked.replace("nightly", id))
    told = box.sh("set -e\n" + journal.replace("TOKEN_ID=ID", f"TOKEN_ID={id}").replace("journalctl", "journalctl -q --no-pager"))
    assert id in told, told
    checks, = of_form("Policies", "sh")
    box.sh("set -e\n" + checks.replace("FILE", "/etc/jeton/policy.d/acme.policy"))
