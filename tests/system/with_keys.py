"""Keys: the master key from systemd, and other keys for a store in use, in the unit as it is shipped."""

from box import Box
from tap import test

POLICY = """
[Access]
User=root
Scope=a:read
"""
CREDSTORE = "/etc/credstore.encrypted"
DROP_IN = "/etc/systemd/system/jetond.service.d/key.conf"


def issued(box):
    return box.sh("jetonctl issue key-test 2>/dev/null").strip()


def is_good(box, token):
    return box.run("jetonctl", "verify", input=token, check=False).returncode == 0


def encrypt(box, path, name):
    box.sh(f"mkdir -p {CREDSTORE}; systemd-creds encrypt --name={name} {path} {CREDSTORE}/{name}")


def load(box, *names):
    """Has the unit load these, and restarts it."""
    lines = "".join(f"LoadCredentialEncrypted={n}:{CREDSTORE}/{n}\n" for n in names)
    box.sh(f"mkdir -p {DROP_IN.rpartition('/')[0]}")
    box.write(DROP_IN, f"[Service]\n{lines}")
    box.sh("systemctl daemon-reload; systemctl restart jetond")


@test
def a_key_file_is_another_after_rekey_and_for_the_agent_alone():
    box = Box(POLICY)
    token = issued(box)
    before = box.sh("sha256sum </var/lib/jeton/master.key")
    box.sh("jetonctl rekey")
    assert box.sh("sha256sum </var/lib/jeton/master.key") != before
    assert box.sh("stat -c '%a %U' /var/lib/jeton/master.key /var/lib/jeton/store.db") == "600 jeton\n" * 2
    assert box.sh("ls /var/lib/jeton | grep -c 'next$\\|new$' || true").strip() == "0"
    for how in ("systemctl restart jetond", "systemctl kill -s KILL jetond; jetonctl status >/dev/null"):
        assert is_good(box, token)
        box.sh(how)
    assert is_good(box, token)


@test
def a_key_that_systemd_decrypts_stays_when_keys_change_and_makes_way_for_another():
    box = Box(POLICY)
    token = issued(box)
    encrypt(box, "/var/lib/jeton/master.key", "jeton.master")
    load(box, "jeton.master")
    assert is_good(box, token)
    box.sh("mv /var/lib/jeton/master.key /root/old.key; systemctl restart jetond")
    assert is_good(box, token)
    box.sh("jetonctl rekey")
    box.logged("the credential jeton.master stays")
    assert is_good(box, token)
    box.sh("systemctl restart jetond")
    assert is_good(box, token)
    assert box.sh("ls /var/lib/jeton/master.key* 2>/dev/null || true") == ""

    box.sh(f"mv {CREDSTORE}/jeton.master {CREDSTORE}/before; (umask 077; head -c 32 /dev/urandom >/root/new.key)")
    encrypt(box, "/root/new.key", "jeton.master")
    encrypt(box, "/root/old.key", "jeton.master.old")
    load(box, "jeton.master", "jeton.master.old")
    box.logged("sealed under the new master key")
    assert is_good(box, token)
    load(box, "jeton.master")
    assert is_good(box, token)
    box.sh("jetonctl rekey")
    assert is_good(box, token)
