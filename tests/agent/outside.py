"""Clients that nobody here wrote, of a newer Debian in a cache: varlinkctl, python3-varlink."""

import functools
import os
import subprocess
import sys

import peers
from jeton import ALICE, IS_ROOT, TOP


@functools.cache
def _made():
    done = subprocess.run([f"{TOP}/tests/support/trixie"], capture_output=True, text=True)
    return done.stdout.strip(), done.stderr.strip()


def trixie():
    """A test's need. Made where it can be, which takes a minute the first time."""
    directory, why = _made()
    return None if directory else why or "no Debian trixie"


def python_varlink():
    """The module python3-varlink."""
    sys.path.append(f"{_made()[0]}/usr/lib/python3/dist-packages")
    import varlink as ours
    own = sys.modules.pop("varlink")
    assert own is ours
    path = sys.path
    sys.path = path[-1:] + [p for p in path if not p.endswith("tests/agent")]
    try:
        import varlink as theirs
        assert theirs is not ours, "its own module was taken"
        return theirs
    finally:
        sys.path = path
        sys.modules["varlink"] = own


def can_chroot():
    """A test's need: mounts and chroot."""
    return None if IS_ROOT else "needs root, to mount and chroot"


def varlinkctl(agent, *arguments, uid=ALICE, stdin=""):
    """Runs varlinkctl beside the agent; $SOCKET in an argument becomes the agent's address."""
    root = _made()[0]

    def enter():
        # The socket's directory is seen at the same path in there, of this process alone.
        peers.own_mounts()
        peers.mount("tmpfs", f"{root}/tmp", "tmpfs", data="mode=0755")
        os.makedirs(root + agent.run)
        peers.mount(agent.run, root + agent.run, flags=peers.MS_BIND)
        peers.mount("proc", f"{root}/proc", "proc")
        os.chroot(root)
        os.chdir("/")
        peers.become(uid, uid)

    address = f"unix:{agent.socket}"
    return subprocess.run(["/usr/bin/varlinkctl",
                           *(a.replace("$SOCKET", address) for a in arguments)],
                          input=stdin, capture_output=True, text=True, timeout=100, preexec_fn=enter,
                          env={"PATH": "/usr/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": ""})
