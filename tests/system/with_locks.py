"""Lock and unlock where systemd starts the agent, and asks it for units."""

import re

from box import FAILED_CREDENTIALS, Box
from tap import test
from with_credentials import POLICY, load, start
from with_guide import blocks
from with_restarts import volatile

PASSPHRASE = "correct horse"


def ctl(box, *words, passphrase=PASSPHRASE):
    return box.run("jetonctl", *words, input=f"{passphrase}\n", check=False)


def state(box):
    return box.ask("GetStatus")["state"]


def status_text(box):
    return box.sh("systemctl show -P StatusText jetond.service")


@test
def a_unit_that_loads_from_a_locked_agent_fails_and_the_journal_says_why():
    box = Box(POLICY)
    box.put("key", "secret")
    box.service("app.service", "Type=oneshot", load("key"), "ExecStart=sh -c 'cat %d/key >/run/got'")
    assert ctl(box, "lock").returncode == 0
    assert not start(box, "app.service")
    assert box.status("app.service") == ("exit-code", FAILED_CREDENTIALS)
    box.logged("LoadCredential=key of app.service is refused: the agent is locked")
    assert box.run("test", "-e", "/run/got", check=False).returncode, "a refused unit ran"
    assert ctl(box, "unlock").returncode == 0
    assert start(box, "app.service") and box.sh("cat /run/got") == "secret"


@test
def a_lock_outlives_restarts_and_root_can_take_it_off():
    box = Box(POLICY)
    box.put("key", "secret")
    (form, text), = blocks("Locking")
    assert form == "sh"
    lock, unlock = (re.sub(" *#.*", "", line) for line in text.splitlines())
    assert ctl(box, *lock.split()[1:]).returncode == 0 and status_text(box).startswith("Locked")
    box.sh("systemctl restart jetond.service; systemctl kill -s KILL jetond.service")
    assert state(box) == "locked" and status_text(box).startswith("Locked")
    assert "locked" in box.sh("jetonctl status") and "jetonctl unlock" in box.sh("jetonctl doctor 2>&1", check=False)
    wrong = ctl(box, "unlock", passphrase="wrong")
    assert wrong.returncode == 1 and "in 1s" in wrong.stderr, wrong
    # While it runs the file says nothing to it.
    box.sh("systemctl stop jetond.socket jetond-credential.socket jetond.service; rm /var/lib/jeton/locked;"
           "systemctl start jetond.socket")
    assert state(box) == "running" and not status_text(box).startswith("Locked")
    assert box.sh("jetonctl credentials").count("key") >= 1
    assert ctl(box, *lock.split()[1:]).returncode == ctl(box, *unlock.split()[1:]).returncode == 0
    assert "locked" not in box.sh("ls /var/lib/jeton") and PASSPHRASE not in box.journal()


@test
def a_volatile_agent_stays_locked_over_a_restart_and_a_kill():
    box = volatile()
    box.ask("Put", credential="held", text="secret")
    assert ctl(box, "lock").returncode == 0
    for how in ("systemctl restart jetond.service", "systemctl kill -s KILL jetond.service"):
        box.sh(how)
        assert state(box) == "locked"
    assert ctl(box, "unlock").returncode == 0
    box.sh("systemctl restart jetond.service")
    assert state(box) == "running" and box.ask("Fetch", credential="held")["text"] == "secret"
    assert box.sh("find /var/lib/jeton -mindepth 1") == ""
