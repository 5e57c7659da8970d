"""Where a value is after systemd has given it to a unit: in its credential directory, and nowhere else."""

import os

from box import CREDENTIALS, INSIDE, Box
from search import Needles, files, memory_file, told
from tap import test

POLICY = """
[Access]
User=root
Scope=a:read
[Credential key]
[Credential fresh]
Kind=minted
Owner=root
Scope=a:read
[Fetch]
Credential=key fresh
Unit=app.service
"""
LOAD = [f"LoadCredential={name}:{CREDENTIALS}" for name in ("key", "fresh")]


def a_box(script):
    """A machine in which app.service has its credentials, does this and goes on. It, and what they are."""
    box = Box(POLICY)
    held = os.urandom(32).hex()
    box.run("jetonctl", "put", "key", input=held)
    box.service("app.service", *LOAD, "Type=notify", "NotifyAccess=all",
                f"ExecStart=sh -c '{script}; systemd-notify --ready; exec sleep infinity'")
    box.sh("systemctl start app.service")
    return box, Needles(held=held, minted=box.sh("cat /run/credentials/app.service/fresh"))


def processes(box):
    """All of the machine, its manager and what has run as no unit included."""
    space = os.stat(f"/proc/{box.init}/ns/pid").st_ino
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/pid").st_ino == space:
                yield int(pid)
        except OSError:
            continue


def of_all(box, look):
    return ((f"{pid} {place}", data) for pid in processes(box) for place, data in look(pid))


def written(box):
    """All that the machine has written, on whatever file system, but the credentials."""
    root = f"/proc/{box.init}/root"
    return files(box.upper, *(f"{root}/{name}" for name in ("run", "tmp", "dev/shm")),
                 skip=(f"{root}/run/credentials", f"{root}{INSIDE}"))


def found(box, needles):
    """{value: places}"""
    box.sh("journalctl --sync")
    # What a core would have is in memory.
    places = {"journal": [("", box.sh("journalctl -q --all --no-pager -o export").encode())],
              "processes": of_all(box, told), "memory": of_all(box, memory_file), "files": written(box)}
    values = {}
    for place, pieces in places.items():
        for name in needles.among(pieces):
            values.setdefault(name, set()).add(place)
    return values


@test
def after_a_unit_had_its_credentials_they_are_in_no_journal_process_or_file_but_their_own():
    box, needles = a_box("cmp %d/key %d/key")
    assert len(needles.within(box.sh("cat /run/credentials/app.service/*").encode())) == 2
    values = found(box, needles)
    assert values == {}, values
    box.sh("systemctl restart app.service; systemctl stop app.service")
    values = found(box, needles)
    assert values == {}, values


@test
def what_a_unit_lets_slip_is_found_in_the_journal_among_processes_in_memory_and_in_files():
    box, needles = a_box("cat %d/key; echo; export LEFT=\"$(cat %d/key)\"; base64 -w0 %d/fresh >/var/tmp/left")
    values = found(box, needles)
    assert values["held"] == {"journal", "processes", "memory", "files"}, values
    assert values["minted"] == {"files"}, values
