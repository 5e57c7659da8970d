"""A backup of one machine, restored in another: other numbers of users, and of the agent's own."""

import json
import os

from box import PYTHON, CLIENT, Box, tap, wait_until
from tap import test

POLICY = """
[Access]
User=ann ben cleo
Scope=acme/a:read
[Credential key]
[Credential other]
[Fetch]
Credential=key other
User=ann
"""
PASSPHRASE = "a passphrase"


def machine(*users, **how):
    """With these users, from the number 1200 on, and what both machines see."""
    shared = f"{tap.scratch()}/shared"
    os.makedirs(shared, exist_ok=True)
    box = Box(POLICY, start=False, binds=[f"{shared}:/srv/shared"], **how)
    box.sh("".join(f"useradd -u {1200 + i} {user}; " for i, user in enumerate(users)))
    return box


def begin(box):
    box.sh("systemctl start jetond.socket jetond-credential.socket; jetonctl status")


def backup(box, file="/srv/shared/file"):
    return box.run("jetonctl", "backup", file, input=PASSPHRASE).stderr


def restore(box, check=True):
    done = box.run("jetonctl", "restore", "/srv/shared/file", input=PASSPHRASE, check=check)
    return done.stdout + done.stderr


def verdict(box, value):
    """What the agent there says of a value."""
    done = box.run(PYTHON, CLIENT, "Verify", json.dumps({"token": value}), check=False)
    return json.loads(done.stdout)["info"]["owner"] if done.returncode == 0 else done.stdout.split()[0]


def issue(box, user, name):
    return box.sh(f"jetonctl -q issue {name} --scope acme/a:read", user=user).strip()


@test(timeout=120)
def what_root_backs_up_in_one_machine_it_restores_in_another():
    old = machine("ann", "ben", "cleo")
    begin(old)
    hers, his, gone, lost = (issue(old, *w) for w in (("ann", "hers"), ("ben", "his"), ("ann", "gone"), ("cleo", "lost")))
    old.put("key", "the value of the key")
    old.sh("jetonctl revoke --leaked", input=gone)
    assert "nobody can open it" in backup(old)
    mode = old.sh("stat -c '%a %U' /srv/shared/file").split()
    assert mode == ["600", "root"], mode

    # The agent's own user has another number there, and so have ann and ben; cleo is not there.
    new = machine("somebody", "ben", "ann", "another")
    assert "start jetond there once" in restore(new, check=False)
    begin(new)
    assert new.sh("id -u ann") != old.sh("id -u ann")
    said = restore(new)
    for words in ("2 came back", "1 came back among those that have ended", "cleo (1 active tokens left out)",
                  "1 of users that are not on this host", "good again"):
        assert words in said, (words, said)
    assert (verdict(new, hers), verdict(new, his)) == ("ann", "ben")
    assert verdict(new, gone) == "TokenRevoked" and verdict(new, lost) == "InvalidToken"
    assert new.sh("jetonctl get key", user="ann").strip() == "the value of the key"
    assert new.sh("ls /var/lib/jeton | grep ^restore").split() == ["restore.pub"]
    new.logged("a backup of .* was taken in: 2 active tokens came back")
    new.sh("systemctl restart jetond")
    assert (verdict(new, hers), verdict(new, gone)) == ("ann", "TokenRevoked")
    # When cleo is there, again; nothing else changes.
    new.sh("useradd -u 1300 cleo")
    said = restore(new)
    assert "1 came back" in said and verdict(new, lost) == "cleo", said


@test(timeout=120)
def a_restore_without_an_agent_is_taken_in_when_it_starts():
    box = machine("ann")
    begin(box)
    value = issue(box, "ann", "hers")
    backup(box)
    box.sh("systemctl stop jetond.socket jetond-credential.socket jetond.service; cd /var/lib/jeton && rm store.db*")
    # A store of its own again, with another key pair.
    box.sh("systemctl start jetond.service; jetonctl status; systemctl stop jetond.socket jetond-credential.socket "
           "jetond.service")
    said = restore(box)
    assert "No agent runs" in said, said
    assert box.sh("stat -c '%a %U' /var/lib/jeton/restore").split() == ["600", "jeton"]
    begin(box)
    wait_until(lambda: verdict(box, value) == "ann", "it is taken in")
    wait_until(lambda: "restore\n" not in box.sh("ls /var/lib/jeton"), "the file is gone")


@test(timeout=120)
def nobody_but_root_restores_and_only_administrators_back_up():
    box = machine("ann")
    begin(box)
    backup(box)
    box.sh("chmod 0644 /srv/shared/file; chmod 0777 /srv/shared")
    done = box.run("jetonctl", "backup", "/srv/shared/hers", user="ann", input=PASSPHRASE, check=False)
    assert done.returncode == 4 and "administrators" in done.stderr, done
    done = box.run("jetonctl", "restore", "/srv/shared/file", user="ann", input=PASSPHRASE, check=False)
    assert done.returncode == 4 and "for root" in done.stderr, done
    assert box.sh("ls /srv/shared").split() == ["file"]
