#!/usr/bin/env -S python3 -B
"""Who is at the other end: what the kernel says decides, and a peer that it says too little of is
refused."""

import itertools
import os
import signal
import socket
import subprocess

import peers
from jeton import ALICE, BOB, Agent, Client, Closed, Error, main, program, root, test

POLICY = f"[Access]\nUser={ALICE}\nScope=a:read\n"


def refused(client, method="GetStatus", **parameters):
    """Refused for who it is, by an error or by the end of the connection: the error, or None."""
    try:
        client.send(method, parameters, **({"more": True} if method == "List" else {}))
        message = client.receive()
    except (Closed, BrokenPipeError, ConnectionResetError):
        return None
    assert message.get("error") == "org.varlink.service.PermissionDenied", (method, message)
    return message


def is_admin(client):
    try:
        client.call("Reload")
        return True
    except Error as e:
        assert e.name == "PermissionDenied", e
        return False


# ---- administrators ------------------------------------------------------------------------------

@test(needs=[root])
def root_is_an_administrator_and_other_users_are_not():
    agent = Agent().start()
    assert is_admin(agent.connect_here())
    for uid in (ALICE, 1, (1 << 32) - 2):
        assert not is_admin(agent.connect(uid)), uid
    # Nor is the user that the agent runs as, where it is not that user's own agent.
    assert not is_admin(agent.connect(agent.uid))


@test(needs=[root])
def members_of_the_administrators_group_are_administrators():
    agent = Agent("AdminGroup=games").start()
    assert is_admin(agent.connect(ALICE, groups=[60]))
    assert is_admin(agent.connect(ALICE, gid=60))
    assert not is_admin(agent.connect(ALICE, groups=[61]))
    assert not is_admin(agent.connect(60, gid=61))
    assert is_admin(agent.connect_here())


@test(needs=[root])
def a_group_that_does_not_exist_has_no_members_and_is_no_error():
    agent = Agent("AdminGroup=no-such-group").start()
    assert not is_admin(agent.connect(ALICE, groups=[0]))
    assert is_admin(agent.connect_here())


@test(needs=[root])
def members_are_told_among_any_number_of_groups():
    agent = Agent("AdminGroup=games").start()
    for n in (63, 64, 65, 1000, 65535):
        groups = [100000 + i for i in range(n)]
        assert not is_admin(agent.connect(ALICE, groups=groups)), n
        assert is_admin(agent.connect(ALICE, groups=[*groups, 60])), n


@test(needs=[root])
def who_connected_counts_and_not_who_uses_the_connection():
    agent = Agent().start()
    sock = agent.connect_here().sock
    child = os.fork()
    if child == 0:
        peers.become(ALICE)
        os._exit(0 if is_admin(Client(sock)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert not is_admin(agent.connect(ALICE)), "asked by root, over what another connected"


# ---- peers that are refused ----------------------------------------------------------------------

@test(needs=[root])
def the_overflow_uid_is_refused():
    agent = Agent(policy="[Access]\nUser=*\nScope=a:read\n").start()
    token = agent.admin().call("Issue", name="n")["token"]
    for method, parameters in (("Issue", {"name": "n"}), ("List", {}), ("Reload", {}),
                               ("Verify", {"token": token}), ("Revoke", {"token": token}),
                               ("Derive", {"token": token, "name": "n"})):
        refused(agent.connect(65534), method, **parameters)
    assert agent.connect(65534).call("GetStatus")["tokensActive"] == 1


@test(needs=[root])
def a_uid_that_systemd_gives_out_afresh_gets_no_token_without_a_binding():
    agent = Agent(policy="[Access]\nUser=*\nScope=a:read\n").start()
    for uid in (61184, 65519):
        error = agent.connect(uid).error("Issue", name="n")
        assert error.name in ("InvalidParameter", "BindingUnavailable"), error
        if error.name == "InvalidParameter":
            assert error.parameter == "binding"
    for uid in (61183, 65520):
        assert agent.connect(uid).call("Issue", name="n")


@test(needs=[root])
def a_process_that_is_gone_before_it_is_looked_at_is_refused():
    agent = Agent(policy=POLICY).start()
    token = agent.connect(ALICE).call("Issue", name="n")["token"]
    calls = {"Issue": {"name": "late"}, "Verify": {"token": token}, "Derive": {"token": token, "name": "late"}}
    for uid, (method, parameters) in itertools.product((None, ALICE), calls.items()):
        agent.pause()
        gone = peers.Peer(uid)
        client = Client(gone.connect(agent.socket))
        client.send_bytes(client.encode(method, parameters))
        gone.end()
        agent.signal(signal.SIGCONT)
        try:
            message = client.receive()
        except Closed:
            continue
        assert message.get("error") == "org.varlink.service.PermissionDenied", message
    assert len(agent.admin().list(all=True)) == 1


# ---- namespaces ----------------------------------------------------------------------------------

@test(needs=[root])
def root_of_another_pid_namespace_is_no_administrator():
    agent = Agent("AdminGroup=games").start()
    alice = agent.connect(ALICE)
    ident = alice.call("Issue", name="n")["info"]["id"]
    outside = peers.Peer(0, in_pid_namespace=True)
    for groups in ((), (60,)):
        outside = peers.Peer(0, 0, groups, in_pid_namespace=True)

        def connect():
            return Client(outside.connect(agent.socket))

        assert not is_admin(connect())
        refused(connect(), "List", all=True)
        error = connect().error("Revoke", id=ident)
        assert error.name in ("NoSuchToken", "PermissionDenied"), error
    assert alice.list()[0]["state"] == "active"


@test(needs=[root])
def a_peer_of_another_pid_namespace_owns_no_tokens():
    agent = Agent(policy=POLICY).start()
    token = agent.connect(ALICE).call("Issue", name="n")
    outside = peers.Peer(ALICE, in_pid_namespace=True)

    def connect():
        return Client(outside.connect(agent.socket))

    refused(connect(), "Issue", name="n")
    try:
        assert connect().list() == []
    except (Error, Closed):
        pass
    for method in ("Describe", "Revoke", "Rotate"):
        error = connect().error(method, id=token["info"]["id"])
        assert error.name in ("NoSuchToken", "PermissionDenied"), error
    # With the value it may do what anyone may.
    assert connect().call("Verify", token=token["token"], scopes=["a:read"])
    assert connect().call("Revoke", token=token["token"])["info"]["ended"] == "presented"


@test(needs=[root])
def root_outside_of_the_agents_own_pid_namespace_is_no_administrator():
    agent = Agent()

    def enter():
        peers.unshare(peers.CLONE_NEWPID)
        if inner := os.fork():
            status = os.waitpid(inner, 0)[1]
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)

    agent.start(setup=enter)
    client = agent.connect_here()
    assert not is_admin(client)
    refused(agent.connect_here(), "Issue", name="n")
    agent.kill()


@test(needs=[root])
def a_peer_in_a_user_namespace_of_its_own_is_who_it_is_outside():
    agent = Agent(policy=POLICY).start()

    def enter():
        peers.become(BOB)
        peers.unshare(peers.CLONE_NEWUSER)
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {BOB} 1"),
                           ("gid_map", f"0 {BOB} 1")):
            with open(f"/proc/self/{name}", "w") as f:
                f.write(text)
        assert os.getuid() == 0

    inner = peers.Peer(None, setup=enter)
    client = Client(inner.connect(agent.socket))
    assert not is_admin(client)
    assert client.call("Issue", name="n")["info"]["ownerUid"] == BOB


@test(needs=[root])
def the_peers_own_address_decides_nothing():
    agent = Agent(policy=POLICY).start()
    for address in ("\0uid=0;", f"\0deadbeefdeadbeef/unit/root.service/x{os.getpid()}"):
        def bound():
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.bind(address)
            sock.connect(agent.socket)
            os.set_inheritable(sock.fileno(), True)
            return sock

        child = os.fork()
        if child == 0:
            peers.become(BOB)
            client = Client(bound())
            owner = client.call("Issue", name="n")["info"]["ownerUid"]
            good = not is_admin(client) and owner == BOB
            os._exit(0 if good else 1)
        assert os.waitpid(child, 0)[1] == 0


@test(needs=[root])
def a_socket_mounted_elsewhere_tells_of_its_users_as_ever():
    agent = Agent(policy=POLICY).start()
    elsewhere = f"{agent.dir}/elsewhere.sock"
    open(elsewhere, "wb").close()

    def enter():
        peers.own_mounts()
        peers.mount(agent.socket, elsewhere, flags=peers.MS_BIND)

    for uid, admin in ((ALICE, False), (0, True)):
        inside = peers.Peer(uid, setup=enter)
        client = Client(inside.connect(elsewhere))
        assert is_admin(client) == admin
        assert client.call("Issue", name="n")["info"]["ownerUid"] == uid


@test
def an_abstract_socket_of_the_same_name_is_neither_made_nor_used():
    agent = Agent(policy=POLICY)
    names = [agent.socket, agent.socket.lstrip("/")]
    twins = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in names]
    for twin, name in zip(twins, names):
        twin.bind(f"\0{name}")
        twin.listen()
        twin.setblocking(False)
    agent.start()
    assert agent.connect().call("GetStatus")["state"] == "running"
    tool = program("jetonctl")
    for name in names:
        done = subprocess.run([tool, "--socket", f"@{name}", "status"], capture_output=True, timeout=100)
        assert done.returncode == 5, done
    done = subprocess.run([tool, "--socket", agent.socket, "status"], capture_output=True, timeout=100)
    assert done.returncode == 0, done
    for twin in twins:
        try:
            twin.accept()
        except BlockingIOError:
            continue
        raise AssertionError("somebody connected to an abstract socket")


main()
