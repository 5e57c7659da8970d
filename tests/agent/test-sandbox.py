#!/usr/bin/env -S python3 -B
"""The walls that the agent builds around itself, as a running one has them. What is refused behind
them is tried in tests/unit/test-sandbox.c, which calls are let through in tests/ground/test-calls."""

import ctypes
import errno
import os
import platform
import signal
import socket
import struct

from jeton import ALICE, BUILD, Agent, Skip, main, scratch, test, wait_until

ENOSYS, EINVAL = errno.ENOSYS, errno.EINVAL


def has_walls():
    """A test's need: a build that has them."""
    with open(os.path.join(BUILD, "jetond"), "rb") as f:
        return "a build with sanitizers" if b"san_init" in f.read() else None


def threads(agent):
    """{name: {field of its status: value}}"""
    found = {}
    for tid in os.listdir(f"/proc/{agent.pid}/task"):
        with open(f"/proc/{agent.pid}/task/{tid}/status") as f:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        found[status["Name"]] = status
    return found


@test(needs=[has_walls])
def every_thread_stands_behind_a_filter_and_gains_no_privileges():
    agent = Agent().start()
    wait_until(lambda: {"jetond", "store", "names"} <= set(threads(agent)), "its threads")

    def filters():
        return {name: (s["NoNewPrivs"], s["Seccomp"], s["Seccomp_filters"]) for name, s in threads(agent).items()}
    with open("/proc/self/status") as f:
        if "Seccomp_filters:\t0\n" not in f.read():
            raise Skip("there is a filter around the tests")
    # One for the whole process; one more for those that are ours alone.
    wait_until(lambda: filters() == {"jetond": ("1", "2", "2"), "store": ("1", "2", "2"),
                                     "names": ("1", "2", "1")}, f"their filters, not {filters()}")


@test(needs=[has_walls])
def a_thread_that_the_loop_starts_stands_where_the_loop_does():
    agent = Agent().start()
    client = agent.connect()
    reader, writer = os.pipe()
    socket.send_fds(client.sock, [client.encode("GetStatus", {})], [reader])
    client.reply()
    wait_until(lambda: "closer" in threads(agent), "the thread that closes descriptors")
    assert threads(agent)["closer"]["Seccomp"] == "2"
    assert int(threads(agent)["closer"]["Seccomp_filters"]) > int(threads(agent)["names"]["Seccomp_filters"])
    os.close(writer)


# ---- kernels that have no walls to give ----------------------------------------------------------

CALLS = {"landlock_create_ruleset": 444, "seccomp": 317, "prctl": 157}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38


def without(*kinds):
    """Has this process, and what it starts, find itself on a kernel without these."""
    def instruction(code, k, yes=0, no=0):
        return struct.pack("HBBI", code, yes, no, k)
    load, equal, ret = 0x20, 0x15, 0x06
    program = [instruction(load, 0)]
    if "landlock" in kinds:
        program += [instruction(equal, CALLS["landlock_create_ruleset"], 0, 1), instruction(ret, 0x50000 | ENOSYS)]
    if "seccomp" in kinds:
        program += [instruction(equal, CALLS["seccomp"], 0, 1), instruction(ret, 0x50000 | ENOSYS),
                    instruction(equal, CALLS["prctl"], 0, 3), instruction(load, 16),
                    instruction(equal, PR_SET_SECCOMP, 0, 1), instruction(ret, 0x50000 | EINVAL)]
    program.append(instruction(ret, 0x7fff0000))
    code = ctypes.create_string_buffer(b"".join(program))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(fprog), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "no filter for the test")


@test(needs=[has_walls])
def where_the_kernel_has_no_walls_it_is_said_once_each_and_the_agent_serves():
    if platform.machine() != "x86_64":
        raise Skip("knows the numbers of calls on x86_64")
    said = {"landlock": "Landlock: ", "seccomp": "seccomp: "}
    for kinds in (["landlock"], ["seccomp"], ["landlock", "seccomp"]):
        agent = Agent().start(setup=lambda kinds=kinds: without(*kinds))
        token = agent.connect().call("Issue", name="n")["token"]
        assert agent.connect().call("Verify", token=token)
        for kind, words in said.items():
            assert agent.log().count(words) == (kind in kinds), (kinds, agent.log())
        assert "limited further" not in agent.log(), agent.log()
        agent.stop()


@test(needs=[has_walls])
def where_it_has_them_nothing_is_said():
    agent = Agent().start()
    assert "limit" not in agent.log(), agent.log()


# ---- what must go on behind them -----------------------------------------------------------------

@test
def policies_that_are_links_to_elsewhere_are_read_anew():
    agent = Agent()
    elsewhere = f"{scratch()}/elsewhere"
    os.mkdir(elsewhere, 0o755)
    os.symlink(f"{elsewhere}/of-a-tool.policy", f"{agent.policies}/test.policy")

    def write(action):
        with open(f"{elsewhere}/new", "w") as f:
            f.write(f"[Access]\nUser={ALICE}\nScope=a:{action}\n")
        os.rename(f"{elsewhere}/new", f"{elsewhere}/of-a-tool.policy")
    write("read")
    agent.start()
    token = agent.connect().call("Issue", name="n")["token"]
    assert agent.connect().call("Verify", token=token)["access"] == ["a:read"]
    write("write")
    # And one that was not there at the start.
    os.mkdir(f"{scratch()}/later", 0o755)
    with open(f"{scratch()}/later/b.policy", "w") as f:
        f.write(f"[Access]\nUser={ALICE}\nScope=b:read\n")
    os.symlink(f"{scratch()}/later/b.policy", f"{agent.policies}/later.policy")
    assert agent.admin().call("Reload") == {}
    assert sorted(agent.connect().call("Verify", token=token)["access"]) == ["a:write", "b:read"]


@test
def directories_that_are_not_there_are_made_for_sockets_and_state():
    agent = Agent()
    agent.socket = f"{agent.run}/deep/er/agent.sock"
    agent.state = f"{agent.var}/deep/er"
    agent.start()
    assert agent.connect().call("Issue", name="n")
    agent.stop()
    assert not os.path.exists(agent.socket), "its socket is still there"
    agent.start()
    assert len(agent.connect().list()) == 1


@test
def a_manager_at_an_abstract_socket_hears_that_it_is_ready_and_that_it_stops():
    agent = Agent()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        name = f"jeton-test-{os.getpid()}"
        notify.bind(f"\0{name}")
        notify.settimeout(20)
        agent.spawn(env={"NOTIFY_SOCKET": f"@{name}"})
        while b"READY=1" not in notify.recv(4096).split(b"\n"):
            pass
        assert agent.connect().call("GetStatus")["state"] == "running"
        agent.signal(signal.SIGTERM)
        while b"STOPPING=1" not in notify.recv(4096).split(b"\n"):
            pass
    assert agent.wait() == 0


main()
