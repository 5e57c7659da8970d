#!/usr/bin/env -S python3 -B
"""Directories, files and sockets that others own, could write to, have taken or take away: refused with
the way out named, or it works; and nothing of theirs is written to or removed."""

import os
import shutil
import socket
import stat
import subprocess

from jeton import (AGENT_UID, ALICE, BOB, IS_ROOT, Agent, main, root, test, wait_until)
from peers import MS_NODEV, MS_NOSUID, mount, own_mounts

POLICY = f"[Access]\nUser={ALICE}\nScope=a:read\n"


def new_agent(settings=""):
    return Agent(settings, POLICY)


def filled():
    """An agent that was stopped with a token in its store, and that token."""
    agent = new_agent().start()
    token = agent.connect().call("Issue", name="n")["token"]
    agent.stop()
    return agent, token


def works(agent, token):
    agent.start()
    assert agent.connect().call("Verify", token=token)["info"]["name"] == "n"
    agent.stop()


def everything(*directories):
    """What there is, to be compared: {path: (kind and mode, owner, bytes)}."""
    found = {}
    for directory in directories:
        for parent, dirs, names in os.walk(directory):
            for name in dirs + names:
                path = os.path.join(parent, name)
                st = os.lstat(path)
                data = open(path, "rb").read() if stat.S_ISREG(st.st_mode) else b""
                found[path] = (st.st_mode, st.st_uid, data)
    return found


def refused(agent, *words):
    """One sentence, with these words, and nothing has changed."""
    before = everything(agent.state, agent.anchor, agent.run)
    said = agent.fails_to_start()
    after = everything(agent.state, agent.anchor, agent.run)
    for path in (f"{agent.run}/notify",):
        before.pop(path, None), after.pop(path, None)
    assert before == after, sorted(p for p in before | after if before.get(p) != after.get(p))
    lines = [line for line in said.splitlines() if "memory is locked" not in line]
    assert len(lines) == 1, said
    for word in words:
        assert word in said, (word, said)


# ---- directories ---------------------------------------------------------------------------------

def each_directory(agent):
    return agent.state, agent.anchor


@test
def a_directory_that_is_a_link_is_refused_by_its_name_and_not_followed():
    agent, token = filled()
    for path in each_directory(agent):
        os.rename(path, f"{path}.real")
        for target in (f"{path}.real", f"{path}.real/", "/nonexistent", path):
            os.symlink(target, path)
            refused(agent, path)
            os.unlink(path)
        os.rename(f"{path}.real", path)
    works(agent, token)


@test
def a_directory_open_to_others_is_refused_with_the_mode_it_should_have():
    agent, token = filled()
    for path in each_directory(agent):
        for mode in (0o770, 0o702, 0o1777, 0o777):
            os.chmod(path, mode)
            refused(agent, path, "chmod 0700")
        os.chmod(path, 0o700)
    works(agent, token)


@test(needs=[root])
def a_directory_of_another_user_is_refused_with_whose_it_should_be():
    agent, token = filled()
    for path in each_directory(agent):
        os.chown(path, BOB, BOB)
        os.chmod(path, 0o755)
        refused(agent, path, f"chown {AGENT_UID}")
        os.chown(path, AGENT_UID, AGENT_UID)
        os.chmod(path, 0o700)
    works(agent, token)


@test
def a_file_a_fifo_or_a_socket_in_the_place_of_a_directory_is_refused():
    agent, token = filled()
    for path in each_directory(agent):
        os.rename(path, f"{path}.real")
        for make in (lambda p: open(p, "w").close(), os.mkfifo, lambda p: socket.socket(socket.AF_UNIX).bind(p)):
            make(path)
            refused(agent, path)
            os.unlink(path)
        os.rename(f"{path}.real", path)
    works(agent, token)


@test
def directories_and_files_have_their_modes_whatever_the_umask():
    for umask in (0, 0o777):
        agent = new_agent()
        shutil.rmtree(agent.run)
        os.mkdir(agent.run, 0o755)
        if IS_ROOT:
            os.chown(agent.run, AGENT_UID, AGENT_UID)
        agent.start(setup=lambda umask=umask: os.umask(umask))
        agent.connect().call("Issue", name="n")
        for path in each_directory(agent):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o700, (umask, path)
            assert os.listdir(path)
            for name in os.listdir(path):
                assert stat.S_IMODE(os.lstat(f"{path}/{name}").st_mode) == 0o600, (umask, name)
        assert stat.S_IMODE(os.stat(agent.socket).st_mode) == 0o666, umask
        assert stat.S_IMODE(os.stat(f"{agent.run}/credential.sock").st_mode) == 0o600, umask
        agent.stop()


@test(needs=[root])
def a_state_on_a_tmpfs_that_runs_no_programs_works_and_a_read_only_one_is_refused():
    own_mounts()
    agent = new_agent()
    for path in each_directory(agent):
        os.mkdir(path, 0o700)
        mount("tmpfs", path, "tmpfs", 8 | MS_NOSUID | MS_NODEV, f"mode=0700,uid={AGENT_UID},gid={AGENT_UID}")
    agent.start()
    token = agent.connect().call("Issue", name="n")["token"]
    agent.stop()
    works(agent, token)
    mount("none", agent.state, None, 32 | 1)  # MS_REMOUNT | MS_RDONLY
    refused(agent, agent.state)
    mount("none", agent.state, None, 32)
    # Without its anchor it goes on, and says so.
    mount("none", agent.anchor, None, 32 | 1)
    agent.start()
    c = agent.connect()
    c.call("Issue", name="m")
    wait_until(lambda: f"{agent.anchor}, by which" in agent.log(), "a line")
    agent.stop()
    mount("none", agent.anchor, None, 32)
    works(agent, token)


# ---- files ---------------------------------------------------------------------------------------

def can_be_immutable(path):
    return subprocess.run(["chattr", "+i", path], stderr=subprocess.DEVNULL).returncode == 0


@test(needs=[root])
def files_that_nobody_may_change_stop_the_start_or_are_told():
    agent, token = filled()
    path = f"{agent.state}/store.db"
    if not can_be_immutable(path):
        return
    try:
        assert agent.state in agent.fails_to_start()
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    works(agent, token)
    path = f"{agent.anchor}/anchor"
    assert can_be_immutable(path)
    try:
        agent.start()
        agent.connect().call("Issue", name="m")
        wait_until(lambda: f"{agent.anchor}, by which" in agent.log(), "a line")
        agent.stop()
    finally:
        subprocess.run(["chattr", "-i", path], check=True)
    works(agent, token)


@test
def a_store_with_a_second_name_is_refused_and_an_anchor_with_one_is_left_to_it():
    agent, token = filled()
    os.link(f"{agent.state}/store.db", f"{agent.var}/second")
    refused(agent, f"{agent.state}/store.db", "remove the others")
    os.unlink(f"{agent.var}/second")
    os.link(f"{agent.anchor}/anchor", f"{agent.var}/second")
    before = open(f"{agent.var}/second", "rb").read()
    agent.start()
    agent.connect().call("Issue", name="m")
    agent.stop()
    assert open(f"{agent.var}/second", "rb").read() == before
    works(agent, token)


@test(needs=[root])
def files_of_others_or_open_to_them_are_refused_with_what_would_be_right():
    agent, token = filled()
    for path in (f"{agent.state}/store.db", f"{agent.state}/master.key", f"{agent.anchor}/anchor"):
        os.chown(path, BOB, BOB)
        os.chmod(path, 0o644)
        refused(agent, path, f"chown {AGENT_UID}")
        os.chown(path, AGENT_UID, AGENT_UID)
        os.chmod(path, 0o666)
        refused(agent, path, "chmod 0600")
        os.chmod(path, 0o600)
    works(agent, token)


@test
def a_store_taken_away_while_it_runs_is_written_anew_and_that_is_told():
    agent = new_agent().start()
    c = agent.connect()
    tokens = [c.call("Issue", name=f"t{i}") for i in range(3)]
    os.unlink(f"{agent.state}/store.db")
    os.rename(f"{agent.state}/store.db-wal", f"{agent.state}/mine")
    c.call("Revoke", id=tokens[0]["info"]["id"])
    wait_until(lambda: "while it was in use: all of the store was written there anew" in agent.log(), "a line")
    agent.kill()
    os.unlink(f"{agent.state}/mine")
    agent.start()
    c = agent.connect()
    assert c.error("Verify", token=tokens[0]["token"]).name == "TokenRevoked"
    assert c.call("Verify", token=tokens[1]["token"])["info"]["name"] == "t1"


@test
def a_file_put_in_the_stores_place_while_it_runs_is_left_alone_and_that_is_told():
    agent = new_agent().start()
    c = agent.connect()
    token = c.call("Issue", name="t")
    os.rename(f"{agent.state}/store.db", f"{agent.state}/moved")
    with open(f"{agent.state}/store.db", "w") as f:
        f.write("theirs")
    for _ in range(3):
        assert c.error("Issue", name="u").name == "StoreFailed"
    assert c.call("Verify", token=token["token"])["info"]["name"] == "t"
    wait_until(lambda: "another file took the place of store.db" in agent.log(), "a line")
    agent.stop()
    assert open(f"{agent.state}/store.db").read() == "theirs"
    os.rename(f"{agent.state}/moved", f"{agent.state}/store.db")
    agent.start()
    assert agent.connect().call("Verify", token=token["token"])


# ---- sockets -------------------------------------------------------------------------------------

@test
def a_socket_that_another_agent_serves_is_left_to_it():
    first, second = new_agent().start(), new_agent()
    second.socket = first.socket
    c = first.connect()
    said = second.fails_to_start()
    assert f"another agent listens at {first.socket}" in said and "--socket" in said, said
    assert c.call("GetStatus")["state"] == "running"
    assert first.connect().call("GetStatus")["state"] == "running"


@test
def a_socket_that_a_killed_agent_left_is_taken_over():
    agent = new_agent().start()
    token = agent.connect().call("Issue", name="n")["token"]
    agent.kill()
    assert os.path.exists(agent.socket) and os.path.exists(f"{agent.run}/credential.sock")
    works(agent, token)


@test
def a_link_at_the_sockets_path_is_refused_and_not_followed():
    other = new_agent().start()
    for target in (other.socket, "/nonexistent/s", "agent.sock", other.config):
        agent, token = filled()
        os.symlink(target, agent.socket)
        refused(agent, agent.socket, "no socket: move it away", "--socket")
        os.unlink(agent.socket)
        works(agent, token)
    assert other.connect().call("GetStatus")["state"] == "running"


@test(needs=[root])
def a_socket_of_somebody_else_that_can_not_be_taken_away_is_refused_with_a_word():
    agent, token = filled()
    os.chown(agent.run, 0, 0)
    os.chmod(agent.run, 0o1777)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(agent.socket)
    dead.close()
    os.chown(agent.socket, BOB, BOB)
    refused(agent, agent.socket, "remove it", "--socket")
    os.unlink(agent.socket)
    works(agent, token)


@test
def a_socket_put_in_the_place_of_its_own_is_not_removed_at_its_end():
    agent = new_agent().start()
    c = agent.connect()
    os.unlink(agent.socket)
    impostor = socket.socket(socket.AF_UNIX)
    impostor.bind(agent.socket)
    impostor.listen()
    assert c.call("GetStatus")["state"] == "running"
    agent.stop()
    assert stat.S_ISSOCK(os.lstat(agent.socket).st_mode), "it removed a socket that is not its own"


@test
def the_sockets_directory_taken_away_is_no_matter_to_who_is_connected():
    agent = new_agent().start()
    c = agent.connect()
    os.rename(agent.run, f"{agent.run}.away")
    token = c.call("Issue", name="n")["token"]
    assert c.call("Verify", token=token)["info"]["name"] == "n"
    os.rename(f"{agent.run}.away", agent.run)
    assert agent.connect().call("Verify", token=token)
    agent.stop()


# ---- what is passed by the environment -----------------------------------------------------------

@test
def a_number_of_passed_descriptors_that_is_none_is_refused():
    for n in ("0", "", "-1", "x", "1x", "99999999999"):
        agent = new_agent()
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(f"{agent.run}/passed")
        sock.listen()
        said = agent.fails_to_start(listen=[sock.fileno()], env={"LISTEN_FDS": n})
        assert "$LISTEN_FDS" in said and "unset it" in said, (n, said)


@test
def two_descriptors_of_one_name_are_refused_and_of_two_names_are_not():
    def listening(path):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.listen()
        return sock
    agent = new_agent()
    socks = [listening(f"{agent.run}/{n}") for n in "ab"]
    fds = [s.fileno() for s in socks]
    for names in ("agent:agent", "credential:credential", "x:y"):
        said = agent.fails_to_start(listen=fds, env={"LISTEN_FDNAMES": names})
        assert "3 and 4" in said and "FileDescriptorName=credential" in said, said
    agent.start(listen=fds, env={"LISTEN_FDNAMES": "agent:credential"})
    agent.socket = f"{agent.run}/a"
    os.chmod(agent.socket, 0o666)
    assert agent.connect().call("GetStatus")["state"] == "running"
    agent.stop()


main()
