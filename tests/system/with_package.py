"""The Debian packages, as dpkg takes them in: install, upgrade, remove, purge, in machines that had nothing of Jeton."""

import fcntl
import glob
import os
import re
import shutil
import subprocess

import box as boxes
from box import CLIENT, CREDENTIALS, PYTHON, SOCKET, TOP, Box, wait_until
from tap import scratch, test

PACKAGES = f"{boxes.BUILD}/deb"
# Where they are in a machine.
INSIDE = "/run/packages"
NAMES = ("jeton", "libjeton0", "libjeton-dev")
LATER = "9999.1"


def _is_stale():
    made = [os.path.getmtime(p) for p in glob.glob(f"{PACKAGES}/*.deb")]
    if len(made) != len(NAMES):
        return True
    files = subprocess.run(["git", "-C", TOP, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--",
                            ":!tests", ":!docs/*.md"], capture_output=True, text=True).stdout
    return any(os.path.getmtime(f"{TOP}/{f}") > min(made) for f in files.split("\0")
               if f and os.path.exists(f"{TOP}/{f}"))


def no_debhelper():
    return None if shutil.which("dh") else "needs debhelper: .ci/deps deb"


def make_packages():
    """Has them made where they are not there, or older than what they are made of."""
    os.makedirs(boxes.BUILD, exist_ok=True)
    with open(f"{boxes.BUILD}/deb.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_stale():
            environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
            subprocess.run(["make", "-s", "-C", TOP, f"B={boxes.BUILD}", "deb"], check=True, env=environment,
                           stdin=subprocess.DEVNULL)


def package(function):
    return test(function, timeout=300, needs=(no_debhelper,))


def later_version():
    """The package jeton once more, under a higher version and with one file more."""
    tree = f"{scratch()}/later"
    path, = glob.glob(f"{PACKAGES}/jeton_*.deb")
    subprocess.run(["dpkg-deb", "-R", path, tree], check=True)
    with open(f"{tree}/DEBIAN/control") as f:
        control = re.sub(r"(?m)^Version: .*$", f"Version: {LATER}", f.read())
    with open(f"{tree}/DEBIAN/control", "w") as f:
        f.write(control)
    with open(f"{tree}/usr/share/doc/jeton/later", "w") as f:
        f.write("This is the later one.\n")
    os.makedirs(f"{scratch()}/packages")
    later = f"{scratch()}/packages/jeton_{LATER}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, later], check=True, stdout=subprocess.DEVNULL)
    return later


def machine(later=False):
    directory = f"{scratch()}/packages"
    make_packages()
    if later:
        later_version()
    os.makedirs(directory, exist_ok=True)
    for path in glob.glob(f"{PACKAGES}/*.deb"):
        shutil.copy(path, directory)
    box = Box(bare=True, binds=[f"{directory}:{INSIDE}:ro"])
    # Where tests run in a container, its image may forbid packages to start anything, or leave parts of them out.
    box.sh("rm -f /usr/sbin/policy-rc.d /etc/dpkg/dpkg.cfg.d/*")
    return box


def install(box, what="*_*_*.deb"):
    """What dpkg said."""
    return box.sh(f"dpkg --force-confdef -i {INSIDE}/{what} 2>&1")


def pid(box):
    return box.sh("systemctl show -p MainPID --value jetond.service").strip()


# ---- what is there ------------------------------------------------------------------------------

# Of what is not as a directory (755), a program (755) or a file (644) of root's is.
PROGRAMS = r"/usr/(bin|sbin)/.*"

EXPECTED = """
/etc/jeton /etc/jeton/jeton.conf /etc/jeton/jeton.conf.d /etc/jeton/policy.d
/usr/bin/jetonctl /usr/bin/jeton-helper /usr/bin/git-credential-jeton /usr/bin/docker-credential-jeton /usr/sbin/jetond
/usr/lib/sysusers.d/jeton.conf /usr/lib/tmpfiles.d/jeton.conf
/usr/lib/systemd/system/jetond.service /usr/lib/systemd/system/jetond.socket
/usr/lib/systemd/system/jetond-credential.socket
/usr/lib/systemd/user/jetond.service /usr/lib/systemd/user/jetond.socket
/usr/lib/systemd/user/jetond-credential.socket
/usr/share/doc/jeton/examples/example.policy
/usr/share/man/man1/jetonctl.1.gz /usr/share/man/man1/jeton-helper.1.gz /usr/share/man/man8/jetond.8.gz
/usr/share/man/man1/git-credential-jeton.1.gz /usr/share/man/man5/jeton.conf.5.gz /usr/share/man/man5/jeton.policy.5.gz
/usr/share/man/man7/jeton.7.gz /usr/share/man/man3/libjeton.3.gz
/usr/include/jeton.h /usr/lib/systemd/catalog/jeton.catalog
/usr/share/bash-completion/completions/jetonctl /usr/share/zsh/vendor-completions/_jetonctl
/usr/share/fish/vendor_completions.d/jetonctl.fish
""".split()


@package
def everything_that_the_packages_install_has_its_mode_and_owner():
    box = machine()
    install(box)
    listed = box.sh("dpkg -L " + " ".join(NAMES)).split("\n")
    paths = {p for p in listed if p.startswith("/") and p != "/."}
    shown = box.sh("xargs -d '\\n' stat -c '%n %a %U %G %F'", input="\n".join(sorted(paths))).splitlines()
    wrong = []
    for line in shown:
        path, mode, owner, group, kind = line.split(" ", 4)
        expected = {"directory": "755", "symbolic link": "777"}.get(kind) or \
            ("755" if re.fullmatch(PROGRAMS, path) else "644")
        if (mode, owner, group) != (expected, "root", "root"):
            wrong.append(line)
    assert len(shown) == len(paths) and not wrong, wrong
    there = box.run("stat", "-c", "%n", *EXPECTED, check=False)
    assert there.returncode == 0, there.stderr
    dangling = box.sh("dpkg -L " + " ".join(NAMES) + " | while read -r p; do [ ! -h \"$p\" ] || [ -e \"$p\" ] || "
                      "echo \"$p\"; done")
    assert not dangling, dangling


@package
def the_first_connection_after_an_install_starts_the_agent():
    box = machine()
    said = install(box)
    assert not re.search("(?i)warn|error|fail|not starting", said), said
    assert box.sh("systemctl is-enabled jetond.socket jetond-credential.socket").split() == ["enabled"] * 2
    assert box.sh("systemctl is-active jetond.socket jetond-credential.socket").split() == ["active"] * 2
    assert box.sh("systemctl is-active jetond.service", check=False).strip() == "inactive"
    assert box.ask("GetStatus")["state"] == "running"
    modes = dict(line.split(" ", 1) for line in box.sh(
        f"stat -c '%n %a %U %G' /run/jeton {SOCKET} {CREDENTIALS} /var/lib/jeton /var/lib/jeton/*").splitlines())
    assert modes == {
        "/run/jeton": "755 root root", SOCKET: "666 root root", CREDENTIALS: "600 root root",
        "/var/lib/jeton": "700 jeton jeton", **{p: "600 jeton jeton" for p in modes if p.startswith("/var/lib/jeton/")},
    }, modes
    assert box.sh("getent passwd jeton").rstrip().endswith(":/usr/sbin/nologin")
    assert "jeton-admin" in box.sh("getent group jeton-admin")
    # A user's own agent is for each user to enable.
    assert "enabled" not in box.sh("systemctl --global is-enabled jetond.socket", check=False).split()
    assert "All is well" in box.sh("jetonctl doctor 2>&1")


@package
def the_installed_units_are_as_shut_in_as_they_can_be():
    box = machine()
    install(box)
    box.sh("systemd-analyze security --offline=true --threshold=5 --no-pager jetond.service")
    box.ask("GetStatus")
    box.sh("systemd-analyze security --threshold=5 --no-pager jetond.service")
    box.sh("systemd-analyze verify jetond.service jetond.socket jetond-credential.socket")


@package
def bash_zsh_and_fish_find_the_completion_where_the_package_has_put_it():
    box = machine()
    install(box)
    asked = {
        "bash": "test ! -e /usr/share/bash-completion/bash_completion || bash --norc -c '. /usr/share/bash-completion/"
                "bash_completion; _completion_loader jetonctl; complete -p jetonctl' | grep -w _jetonctl",
        "zsh": "zsh -f -c 'autoload -U compinit; compinit -u -D; echo $_comps[jetonctl]' | grep -x _jetonctl",
        "fish": "fish -c 'complete -C \"jetonctl rel\"' | grep -w reload",
    }
    for shell, question in asked.items():
        if box.run("sh", "-c", f"command -v {shell}", check=False).returncode:
            print(f"# there is no {shell} here")
        else:
            box.sh(question)


# ---- upgrades -----------------------------------------------------------------------------------


@package
def an_upgrade_under_load_refuses_no_connection_and_keeps_what_there_is():
    box = machine(later=True)
    install(box)
    box.sh("printf '[Access]\\nUser=root\\nScope=a:read\\n' >/etc/jeton/policy.d/a.policy; "
           "echo '# mine' >>/etc/jeton/jeton.conf")
    token = box.ask("Issue", name="n")["token"]
    before = pid(box)
    box.sh(f"exec {PYTHON} {CLIENT} --hammer /run/stop {token} >/run/hammered 2>&1 &")
    wait_until(lambda: box.sh("cat /run/stop.count 2>/dev/null", check=False).strip(), "the load")
    said = install(box, f"jeton_{LATER}.deb")
    assert pid(box) not in (before, "0"), f"the agent was not started anew: {said}"
    box.sh("touch /run/stop")
    done = wait_until(lambda: box.sh("cat /run/hammered", check=False), "the end of the load", 20)
    tried, again, refused, wrong = map(int, done.split()[:4])
    print(f"# {tried} connections, {again} asked once more, {refused} refused, {wrong} wrong")
    assert tried > 10 and refused == 0 and wrong == 0, done
    assert box.sh("dpkg-query -W -f '${Version}' jeton") == LATER
    assert box.sh("tail -n 1 /etc/jeton/jeton.conf").strip() == "# mine"
    assert box.ask("Verify", token=token, scopes=["a:read"])


def upgrade_with_a_mistake(mistake, mend, says):
    box = machine(later=True)
    install(box)
    box.sh("printf '[Access]\\nUser=root\\nScope=a:read\\n' >/etc/jeton/policy.d/a.policy")
    token = box.ask("Issue", name="n")["token"]
    before = pid(box)
    box.sh(mistake)
    said = install(box, f"jeton_{LATER}.deb")
    assert re.search(says, said) and "systemctl restart jetond" in said, said
    assert pid(box) == before and before != "0", said
    assert box.sh("dpkg-query -W -f '${db:Status-Status} ${Version}' jeton") == f"installed {LATER}"
    assert box.ask("Verify", token=token, scopes=["a:read"])
    box.sh(f"{mend}; systemctl restart jetond")
    assert pid(box) not in (before, "0")
    assert box.ask("Verify", token=token, scopes=["a:read"])


@package
def an_upgrade_with_a_wrong_policy_says_so_and_leaves_the_running_agent_alone():
    upgrade_with_a_mistake("printf '[Access]\\nUser=root\\nScope=\\n' >/etc/jeton/policy.d/b.policy",
                           "rm /etc/jeton/policy.d/b.policy", r"/etc/jeton/policy\.d/b\.policy:3: ")


@package
def an_upgrade_with_wrong_settings_says_so_and_leaves_the_running_agent_alone():
    upgrade_with_a_mistake("printf '[Agent]\\nMaxLifetime=soon\\n' >/etc/jeton/jeton.conf.d/b.conf",
                           "rm /etc/jeton/jeton.conf.d/b.conf", r"/etc/jeton/jeton\.conf\.d/b\.conf:2: ")


@package
def an_upgrade_of_an_agent_that_does_not_run_starts_none():
    box = machine(later=True)
    install(box)
    said = install(box, f"jeton_{LATER}.deb")
    assert pid(box) == "0", said
    assert box.ask("GetStatus")["state"] == "running"


# ---- the end ------------------------------------------------------------------------------------


def all_files(box):
    """Where packages put files, all but what dpkg and others keep of what was done."""
    return set(box.sh("find /etc /usr /var /opt /srv -xdev \\( -path /var/tmp -o -path /var/log -o -path /var/cache "
                      "-o -path /var/lib/dpkg -o -path /var/lib/systemd \\) -prune -o -print; "
                      "ls -d /run/jeton /run/systemd/generator*/jeton* /var/lib/systemd/deb-systemd-*/* "
                      "/var/lib/systemd/deb-systemd-*/*/* 2>/dev/null", check=False).splitlines())


@package
def a_purge_leaves_nothing():
    box = machine()
    before = all_files(box)
    install(box)
    box.sh("printf '[Access]\\nUser=root\\nScope=a:read\\n' >/etc/jeton/policy.d/a.policy; "
           "printf '[Agent]\\nMaxLifetime=90d\\n' >/etc/jeton/jeton.conf.d/a.conf")
    box.ask("Issue", name="n")
    said = box.sh("dpkg --purge " + " ".join(NAMES) + " 2>&1")
    assert "not empty" not in said, said
    left = all_files(box) - before
    # Accounts stay, with what keeps them.
    left -= {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"}
    assert not left, left
    assert box.run("systemctl", "is-active", "jetond.service", "jetond.socket", check=False).returncode
    assert "jeton" not in box.sh("systemctl list-units --all --no-legend 'jeton*'")


@package
def what_is_removed_and_installed_again_finds_its_tokens():
    box = machine()
    install(box)
    box.sh("printf '[Access]\\nUser=root\\nScope=a:read\\n' >/etc/jeton/policy.d/a.policy")
    token = box.ask("Issue", name="n")["token"]
    box.sh("dpkg --remove jeton")
    assert box.run("test", "-S", SOCKET, check=False).returncode, "the socket is still there"
    assert box.run("pgrep", "-x", "jetond", check=False).returncode, "an agent still runs"
    install(box)
    assert box.ask("Verify", token=token, scopes=["a:read"])["info"]["name"] == "n"
