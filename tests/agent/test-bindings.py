#!/usr/bin/env -S python3 -B
"""Tokens bound to a process: good from there and nowhere else, and gone with it."""

import os
import resource
import select
import signal
import socket
import statistics
import tempfile
import time

import peers
from jeton import ALICE, BOB, IS_ROOT, Agent, Client, Closed, Error, main, root, test, wait_until
from peers import Peer
from tap import Skip, scratch

POLICY = f"""
[Access]
User={ALICE} {BOB}
Scope=a:read a:write
[Credential fresh]
Kind=minted
Owner={ALICE}
Binding=process
MaxTokens=20000
[Credential contained]
Kind=minted
Owner={ALICE}
Binding=process
[Fetch]
Credential=fresh
User={ALICE} {BOB}
[Fetch]
Credential=contained
User={ALICE} {BOB}
Container=yes
"""


def start(settings="", **how):
    return Agent(settings, POLICY).start(**how)


def at(agent, peer):
    """A connection that this process made, which lives for as long at least."""
    client = Client(peer.connect(agent.socket))
    client.peer = peer
    return client


def bound(client, **more):
    return client.call("Issue", name="n", binding="process", **more)


def ended(agent, id):
    """Waits for the token's end, and gives the reason."""
    admin = agent.admin()
    return wait_until(lambda: admin.call("Describe", id=id)["info"].get("ended"), f"the end of {id}")


def with_bearer(client, method, fds, **parameters):
    client.send_with_fds(client.encode(method, parameters), fds)
    client.asked.append(f"io.jeton.Agent.{method}")
    return client.reply()


def refusal(client, fds, **parameters):
    try:
        answer = with_bearer(client, "Verify", fds, **parameters)
    except Error as e:
        return e
    raise AssertionError(f"was answered: {answer}")


# ---- whose it is ---------------------------------------------------------------------------------

@test(needs=[root])
def a_bound_token_is_good_from_its_process_and_from_no_other_of_the_same_user():
    agent = start()
    one, two, bob = Peer(ALICE), Peer(ALICE), Peer(BOB)
    thieves = [at(agent, two), at(agent, bob), agent.admin()]
    holder = at(agent, one)
    issued = bound(holder)
    fetched = holder.call("Fetch", credential="fresh")["text"]
    child = holder.call("Derive", token=issued["token"], name="child")
    assert issued["info"]["binding"] == child["info"]["binding"] == "process"
    rotated = at(agent, two).call("Rotate", id=issued["info"]["id"], graceSec=100)
    assert rotated["info"]["binding"] == "process"
    for token in (issued["token"], fetched, child["token"], rotated["token"]):
        # By any connection of its process.
        assert holder.call("Verify", token=token)["info"]["binding"] == "process"
        assert at(agent, one).call("Verify", token=token)
        assert holder.call("Derive", token=token, name="x")["info"]["binding"] == "process"
        for thief in thieves:
            for call in (("Verify", {}), ("Verify", {"scopes": ["a:read"]}), ("Derive", {"name": "x"})):
                error = thief.error(call[0], token=token, **call[1])
                assert error.name == "WrongBearer" and error.id == token[6:17], error
    # What leaked may be ended by whoever finds it.
    assert thieves[1].call("Revoke", token=issued["token"])["info"]["ended"] == "presented"


@test
def a_child_of_a_bound_token_is_bound_as_its_parent_and_not_otherwise():
    holder = start().connect()
    token = bound(holder)["token"]
    for binding in ("none", "unit"):
        error = holder.error("Derive", token=token, name="x", binding=binding)
        assert error.name == "InvalidParameter" and error.parameter == "binding", error
    assert holder.call("Derive", token=token, name="x", binding="process")
    # And an unbound one may have a bound child.
    free = holder.call("Issue", name="n")["token"]
    assert holder.call("Derive", token=free, name="x", binding="process")["info"]["binding"] == "process"


@test(needs=[root])
def a_refusal_of_the_wrong_bearer_spends_no_use():
    agent = start()
    one, two = Peer(ALICE), Peer(ALICE)
    token = bound(at(agent, one), uses=2)["token"]
    for _ in range(5):
        assert at(agent, two).error("Verify", token=token).name == "WrongBearer"
    assert at(agent, one).call("Verify", token=token)["info"]["usesLeft"] == 1
    assert at(agent, two).error("Verify", token=token).name == "WrongBearer"
    assert at(agent, one).call("Verify", token=token)["info"]["usesLeft"] == 0


@test(needs=[root])
def a_connection_that_outlives_who_made_it_is_no_bearer():
    agent = start()
    one = Peer(ALICE)
    # This process now has what the other connected, as a child that inherited it would.
    inherited, idle = at(agent, one), at(agent, one)
    token = bound(inherited)
    assert inherited.call("Verify", token=token["token"])
    one.end()
    assert inherited.error("Verify", token=token["token"]).name in ("WrongBearer", "TokenRevoked")
    assert inherited.error("Derive", token=token["token"], name="x").name == "PermissionDenied"
    for client in (inherited, idle):
        error = client.error("Issue", name="n", binding="process")
        assert error.name in ("BindingUnavailable", "PermissionDenied"), error
        assert client.error("Fetch", credential="fresh").name in ("NoSuchCredential", "BindingUnavailable")
    assert ended(agent, token["info"]["id"]) == "binding"
    assert inherited.error("Verify", token=token["token"]).name == "TokenRevoked"


@test
def a_child_that_connects_itself_is_another_process():
    agent = start()
    parent = agent.connect_here()
    # (Here root is the owner: its own tokens are as bound as others'.)
    token = bound(parent)["token"]
    assert parent.call("Verify", token=token)
    child = os.fork()
    if child == 0:
        os._exit(0 if agent.connect_here().error("Verify", token=token).name == "WrongBearer" else 1)
    assert os.waitpid(child, 0)[1] == 0


@test
def outside_of_units_nothing_is_bound_to_one():
    with open("/proc/self/cgroup") as f:
        if ".service" in f.read() or os.path.exists("/run/systemd/system"):
            raise Skip("these tests run in a unit themselves")
    agent = start()
    client = agent.connect()
    error = client.error("Issue", name="n", binding="unit")
    assert error.name == "BindingUnavailable" and error.binding == "unit", error
    assert client.list() == []


# ---- bearers -------------------------------------------------------------------------------------

class Service:
    """A service with a socket of its own, to which clients come."""

    def __init__(self):
        self.path = f"{scratch()}/service.sock"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen()

    def visit(self, peer):
        """(the service's end, the client's end) of a connection that the peer made."""
        theirs = peer.connect(self.path)
        return self.listener.accept()[0], theirs


@test(needs=[root])
def a_service_passes_its_clients_socket_and_the_token_is_judged_by_who_is_there():
    agent, service = start(), Service()
    one, two = Peer(ALICE), Peer(ALICE)
    token = bound(at(agent, one))
    child = at(agent, one).call("Derive", token=token["token"], name="c")
    free = at(agent, one).call("Issue", name="n")
    asks = agent.connect(BOB)
    right, _right = service.visit(one)
    wrong, _wrong = service.visit(two)
    for t in (token, child):
        answer = with_bearer(asks, "Verify", [right.fileno()], token=t["token"], bearer=0, scopes=["a:read"])
        assert answer["info"]["id"] == t["info"]["id"]
        assert refusal(asks, [wrong.fileno()], token=t["token"], bearer=0).name == "WrongBearer"
        both = [wrong.fileno(), right.fileno()]
        assert refusal(asks, both, token=t["token"], bearer=0).name == "WrongBearer"
        assert with_bearer(asks, "Verify", both, token=t["token"], bearer=1)
        # Passed but not named: then it is who asks that counts.
        assert refusal(asks, [right.fileno()], token=t["token"]).name == "WrongBearer"
    # Of a token that is not bound it says nothing.
    for end in (right, wrong):
        assert with_bearer(asks, "Verify", [end.fileno()], token=free["token"], bearer=0)
    # A client that closed its end still is who it was, while it lives.
    _right.close()
    assert with_bearer(asks, "Verify", [right.fileno()], token=token["token"], bearer=0)
    one.end()
    error = refusal(asks, [right.fileno()], token=token["token"], bearer=0)
    assert error.name in ("WrongBearer", "TokenRevoked"), error


@test
def what_is_no_connected_unix_stream_socket_is_no_bearer():
    agent, service = start(), Service()
    asks = agent.connect()
    token = bound(asks)["token"]
    free = asks.call("Issue", name="n")["token"]
    inet = socket.socket()
    inet.bind(("127.0.0.1", 0))
    inet.listen()
    connected = socket.create_connection(inet.getsockname())
    datagrams = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    packets = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reader, writer = os.pipe()
    kinds = {
        "a file": tempfile.TemporaryFile(),
        "a directory": os.open("/", os.O_RDONLY),
        "a path": os.open("/", os.O_PATH),
        "the reading end of a pipe": reader, "its writing end": writer,
        "a memfd": os.memfd_create("x"),
        "an event queue": select.epoll(),
        "a process": os.pidfd_open(os.getpid()),
        "datagrams": datagrams[0], "packets": packets[0],
        "a listening inet socket": inet, "a connected one": connected,
        "an unconnected socket": socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "a listening socket": service.listener,
    }
    for what, fd in kinds.items():
        for value in (token, free):
            error = refusal(asks, [fd if isinstance(fd, int) else fd.fileno()], token=value, bearer=0)
            assert error.name == "InvalidParameter" and error.parameter == "bearer", (what, error)
    assert asks.call("Verify", token=token)


@test
def an_index_of_no_descriptor_is_refused():
    agent, service = start(), Service()
    asks = agent.connect()
    token = bound(asks)["token"]
    end, _other = service.visit(Peer()) if not IS_ROOT else service.visit(Peer(ALICE))
    for n in (0, 1, 3):
        for bearer in (-1, n, n + 1, 252, 253, 1 << 31, 1 << 32, (1 << 63) - 1, -(1 << 63)):
            fds = [end.fileno()] * n
            if fds:
                error = refusal(asks, fds, token=token, bearer=bearer)
            else:
                error = asks.error("Verify", token=token, bearer=bearer)
            assert error.name == "InvalidParameter" and error.parameter == "bearer", (n, bearer, error)
    for bearer in ("0", 0.5, True, [0]):
        error = refusal(asks, [end.fileno()], token=token, bearer=bearer)
        assert error.name == "InvalidParameter" and error.parameter == "bearer", error


@test(needs=[root])
def pipelined_calls_each_have_the_bearer_that_they_came_with():
    agent, service = start(), Service()
    holders = [Peer(ALICE) for _ in range(3)]
    tokens = [bound(at(agent, h))["token"] for h in holders]
    ends = [service.visit(h) for h in holders]
    asks = agent.connect(BOB)
    expected = []
    for i in range(60):
        token, end = i % 3, i // 3 % 3
        call = asks.encode("Verify", {"token": tokens[token], "bearer": 0})
        if i % 4 == 3:
            # The descriptor comes with the first half, the rest with what follows.
            asks.send_with_fds(call[:20], [ends[end][0].fileno()])
            asks.send_bytes(call[20:])
        else:
            asks.send_with_fds(call, [ends[end][0].fileno()])
        asks.asked.append("io.jeton.Agent.Verify")
        expected.append(token == end)
    for i, good in enumerate(expected):
        try:
            asks.reply()
            assert good, i
        except Error as e:
            assert not good and e.name == "WrongBearer", (i, e)


# ---- the end of a holder -------------------------------------------------------------------------

@test(needs=[root])
def with_its_process_a_token_and_all_derived_from_it_are_revoked():
    agent = start()
    one, two = Peer(ALICE), Peer(ALICE)
    holder, other = at(agent, one), at(agent, two)
    tokens = [bound(holder) for _ in range(10)]
    chain = [tokens[0]]
    for _ in range(5):
        chain.append(holder.call("Derive", token=chain[-1]["token"], name="child"))
    rotated = holder.call("Rotate", id=tokens[1]["info"]["id"], graceSec=1000)
    stays, free = bound(other), holder.call("Issue", name="free")
    watcher = agent.connect(ALICE).watch()
    start_at = time.monotonic()
    one.end()
    for t in tokens[1:] + [rotated]:
        assert ended(agent, t["info"]["id"]) == "binding"
    print(f"# all revoked after {time.monotonic() - start_at:.3f} s")
    assert ended(agent, tokens[0]["info"]["id"]) == "binding"
    for t in chain[1:]:
        assert ended(agent, t["info"]["id"]) in ("binding", "parent")
    for t in tokens + chain:
        assert other.error("Verify", token=t["token"]).name == "TokenRevoked"
    told = {watcher.event()["token"]["id"] for _ in range(16)}
    assert told == {t["info"]["id"] for t in tokens + chain[1:] + [rotated]}
    assert other.call("Verify", token=stays["token"]) and other.call("Verify", token=free["token"])


def ask_and_exit(agent, uid, data, delay=0.0):
    """A process of this user connects, sends this, and is gone: its pid."""
    child = os.fork()
    if child:
        return child
    try:
        peers.become(uid)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(agent.socket)
        sock.sendall(data)
        if delay:
            time.sleep(delay)
    finally:
        os._exit(0)


@test(needs=[root], timeout=90)
def who_exits_between_the_call_and_its_commit_leaves_no_token():
    agent = start("MaxTokensPerUser=10000")
    issue = Client.encode("Issue", {"name": "n", "binding": "process"})
    fetch = Client.encode("Fetch", {"credential": "fresh"})
    for i in range(300):
        pid = ask_and_exit(agent, ALICE, issue + fetch, i % 20 / 5000)
        os.waitpid(pid, 0)
    admin = agent.admin()
    infos = []

    # What the last of them asked may still be on its way to the disk.
    def is_over():
        infos[:] = admin.list(all=True)
        return admin.call("GetStatus")["tokensActive"] == 0 and all(i["ended"] for i in infos)
    wait_until(is_over, "no token is left")
    assert {i["ended"] for i in infos} <= {"binding"}, {i["ended"] for i in infos}
    print(f"# {len(infos)} of 600 were issued")


# ---- restarts of the agent -----------------------------------------------------------------------

@test(needs=[root])
def holders_that_die_while_there_is_no_agent_are_noticed_by_the_next():
    agent = start()
    alive, dies, dies_later = Peer(ALICE), Peer(ALICE), Peer(ALICE)
    tokens = [bound(at(agent, p)) for p in (alive, dies, dies_later)]
    child = at(agent, alive).call("Derive", token=tokens[0]["token"], name="c")
    agent.kill()
    dies.end()
    agent.start()
    for t in (tokens[0], child):
        assert at(agent, alive).call("Verify", token=t["token"])
        assert at(agent, dies_later).error("Verify", token=t["token"]).name == "WrongBearer"
    assert ended(agent, tokens[1]["info"]["id"]) == "binding"
    assert at(agent, dies_later).call("Verify", token=tokens[2]["token"])
    dies_later.end()
    assert ended(agent, tokens[2]["info"]["id"]) == "binding"
    agent.restart()
    assert at(agent, alive).call("Verify", token=tokens[0]["token"])
    alive.end()
    for t in (tokens[0], child):
        assert ended(agent, t["info"]["id"]) in ("binding", "parent")


@test(needs=[root])
def another_process_of_the_same_number_is_not_the_holder():
    agent = start()
    one = Peer(ALICE)
    token = bound(at(agent, one))
    agent.kill()
    number = one.pid
    one.end()
    for _ in range(200):
        with open("/proc/sys/kernel/ns_last_pid", "w") as f:
            f.write(str(number - 1))
        again = Peer(ALICE)
        if again.pid == number:
            break
        again.end()
    else:
        raise Skip("the number could not be had again")
    agent.start()
    assert ended(agent, token["info"]["id"]) == "binding"
    assert at(agent, again).error("Verify", token=token["token"]).name == "TokenRevoked"


@test(needs=[root])
def after_another_boot_no_process_is_the_holder():
    agent = start()
    one = Peer(ALICE)
    token = bound(at(agent, one))
    agent.stop()
    other_boot = f"{scratch()}/boot_id"
    with open(other_boot, "w") as f:
        f.write("00000000-1111-2222-3333-444444444444\n")
    os.chmod(other_boot, 0o644)

    def setup():
        peers.own_mounts()
        peers.mount(other_boot, "/proc/sys/kernel/random/boot_id", flags=peers.MS_BIND)

    agent.start(setup=setup)
    assert ended(agent, token["info"]["id"]) == "binding"


@test(needs=[root])
def holders_that_can_not_be_watched_for_want_of_descriptors_are_not_taken_for_dead():
    agent = start()
    holders = [Peer(ALICE) for _ in range(80)]
    tokens = [bound(at(agent, p)) for p in holders]
    agent.stop()
    holders[0].end()
    # So few that not all of them can be watched.
    agent.start(limits={resource.RLIMIT_NOFILE: 128})
    assert ended(agent, tokens[0]["info"]["id"]) == "binding"
    for p, t in zip(holders[1:], tokens[1:]):
        assert at(agent, p).call("Verify", token=t["token"])
    assert "can't be told now" in agent.log()
    # Those that are watched, and those that are not: looked at again, each is found to have ended.
    for p in holders[1:40]:
        p.end()
    for t in tokens[1:40]:
        assert ended(agent, t["info"]["id"]) == "binding"
    agent.restart(limits={resource.RLIMIT_NOFILE: 512})
    for p in holders[40:]:
        p.end()
    for t in tokens[40:]:
        assert ended(agent, t["info"]["id"]) == "binding"


# ---- limits --------------------------------------------------------------------------------------

@test(needs=[root], timeout=90)
def when_descriptors_run_out_no_more_is_bound_and_all_else_goes_on():
    agent = start(limits={resource.RLIMIT_NOFILE: 160})
    admin = agent.admin()
    free = agent.connect(BOB)
    other = free.call("Issue", name="free")["token"]
    holders, refused = [], 0
    for _ in range(120):
        holder = Peer(ALICE)
        client = at(agent, holder)
        try:
            holders.append((holder, bound(client)))
        except Error as e:
            assert e.name == "LimitReached" and e.limit == "descriptors", e
            refused += 1
            holder.end()
        client.close()
    assert len(holders) > 20 and refused > 20, (len(holders), refused)
    for holder, token in holders:
        client = at(agent, holder)
        assert client.call("Verify", token=token["token"])["info"]["binding"] == "process"
        client.close()
    assert free.call("Verify", token=other) and free.call("Issue", name="more")
    # Others who hold descriptors with half a message take nothing from who is connected.
    clients = [at(agent, holder) for holder, _ in holders[:10]]
    floods = [agent.connect(BOB) for _ in range(20)]
    for f in floods:
        try:
            f.send_with_fds(b"{", [0] * 253)
        except (BrokenPipeError, ConnectionResetError):
            pass
    for _ in range(5):
        for client, (_, token) in zip(clients, holders):
            assert client.call("Verify", token=token["token"])
            assert client.call("Derive", token=token["token"], name="x", lifetimeSec=5)
        assert free.call("Issue", name="more")
    for f in floods + clients:
        f.close()
    for holder, _ in holders:
        holder.end()
    wait_until(lambda: admin.call("GetStatus")["tokensActive"] == 7, "the ends")
    assert bound(at(agent, Peer(ALICE)))


def verify_us(client, token, n=3000):
    """The median of so many calls of Verify, one at a time."""
    call = client.encode("Verify", {"token": token})
    took = []
    for _ in range(n):
        before = time.perf_counter_ns()
        client.sock.sendall(call)
        while not client.sock.recv(65536).endswith(b"\0"):
            pass
        took.append(time.perf_counter_ns() - before)
    return statistics.median(took) / 1000


def hold(agent, control):
    """In a process of its own: gets a bound token and keeps nothing but its life."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(agent.socket)
    sock.sendall(Client.encode("Issue", {"name": "n", "binding": "process"}))
    data = b""
    while not data.endswith(b"\0"):
        data += sock.recv(65536)
    os.write(control, b"+" if b'"token"' in data else b"-")
    sock.close()
    os.close(control)
    signal.pause()


# JETON_LONG=1 makes it ten thousand, which takes minutes of a small machine.
@test(needs=[root], timeout=240)
def a_thousand_bound_processes_are_held_at_once_and_end_with_theirs():
    n = min(10000 if os.environ.get("JETON_LONG") else 1000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500,
            int(os.sysconf("SC_CHILD_MAX")) - 500 if os.sysconf("SC_CHILD_MAX") > 0 else 10000)
    if n < 500:
        raise Skip(f"limits here allow only {n} processes")
    agent = Agent("MaxTokensPerUser=20000\nMinLifetime=1s", POLICY)
    agent.start(limits={resource.RLIMIT_NOFILE: n + 400}, lockable=True)
    one = at(agent, Peer(ALICE))
    free, own = one.call("Issue", name="free")["token"], bound(one)["token"]
    verify_us(one, free)
    before = verify_us(one, free), verify_us(one, own)
    said, control = os.pipe()
    nursery = os.fork()
    if nursery == 0:
        os.close(said)
        os.setpgid(0, 0)
        peers.become(ALICE)
        for i in range(n):
            if os.fork() == 0:
                try:
                    hold(agent, control)
                finally:
                    os._exit(1)
            if i % 50 == 49:
                time.sleep(0.02)
        os.close(control)
        signal.pause()
    os.close(control)
    heard = b""
    try:
        while len(heard) < n and (piece := os.read(said, 65536)):
            heard += piece
        assert heard.count(b"+") == n, f"{heard.count(b'+')} of {n} got one"
        status = agent.admin().call("GetStatus")
        assert status["tokensActive"] == n + 2, status
        after = verify_us(one, free), verify_us(one, own)
    finally:
        at_us = time.monotonic()
        os.killpg(nursery, signal.SIGKILL)
        os.waitpid(nursery, 0)
    wait_until(lambda: agent.admin().call("GetStatus")["tokensActive"] == 2, "their ends", every=0.1)
    text = (f"{n} processes: Verify {before[0]:.1f} -> {after[0]:.1f} us, of a bound token {before[1]:.1f} -> "
            f"{after[1]:.1f} us; all revoked {time.monotonic() - at_us:.1f} s after their end")
    print(f"# {text}", flush=True)


# ---- namespaces and numbers that come again ------------------------------------------------------

@test(needs=[root])
def a_process_of_a_container_holds_what_its_policy_mints_for_it():
    agent = start()
    inside, twin = Peer(BOB, in_pid_namespace=True), Peer(BOB, in_pid_namespace=True)
    client = at(agent, inside)
    assert client.error("Issue", name="n", binding="process").name == "PermissionDenied"
    assert client.error("Fetch", credential="fresh").name == "NoSuchCredential"
    token = client.call("Fetch", credential="contained")
    assert client.call("Verify", token=token["text"])["info"]["binding"] == "process"
    for thief in (at(agent, twin), at(agent, Peer(BOB)), agent.admin()):
        assert thief.error("Verify", token=token["text"]).name == "WrongBearer"
    # The agent that is started anew knows it by its number here.
    agent.kill()
    agent.start()
    assert at(agent, inside).call("Verify", token=token["text"])
    inside.end()  # the process outside, with which its namespace ends
    admin = agent.admin()
    if admin.call("Describe", id=token["tokenId"])["info"]["state"] == "active":
        os.kill(inside_child(admin, token), signal.SIGKILL)
    assert ended(agent, token["tokenId"]) == "binding"


def inside_child(admin, token):
    """The holder that lives on without the process that waited for it: by its parent, this one's."""
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/status") as f:
                text = f.read()
        except (OSError, ValueError):
            continue
        if name.isdigit() and f"Uid:\t{BOB}\t" in text and len(text.split("NSpid:\t")[1].split("\n")[0].split()) == 2:
            return int(name)
    raise AssertionError("the holder is not to be found")


@test(needs=[root])
def a_process_in_a_user_namespace_of_its_own_is_held_by_who_it_is_outside():
    agent = start()

    def enter():
        peers.become(BOB)
        peers.unshare(peers.CLONE_NEWUSER)

    inside = Peer(None, setup=enter)
    token = bound(at(agent, inside))
    assert token["info"]["ownerUid"] == BOB
    assert at(agent, inside).call("Verify", token=token["token"])
    assert at(agent, Peer(BOB)).error("Verify", token=token["token"]).name == "WrongBearer"
    inside.end()
    assert ended(agent, token["info"]["id"]) == "binding"


@test(needs=[root])
def an_agent_that_can_not_tell_processes_apart_binds_nothing():
    agent = Agent("", POLICY)

    def enter():
        peers.unshare(peers.CLONE_NEWPID)
        if inner := os.fork():
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) & 0xFF)

    agent.start(setup=enter)
    client = agent.connect()
    for error in (client.error("Issue", name="n", binding="process"), client.error("Fetch", credential="contained")):
        assert error.name in ("BindingUnavailable", "PermissionDenied", "NoSuchCredential"), error
    agent.kill()


@test(needs=[root], timeout=120)
def processes_that_connect_and_exit_while_numbers_come_again_are_never_taken_for_others():
    """Connectors of two users, whose numbers wrap about every 200 processes; somebody else goes on with
    each connection."""
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 14):
        raise Skip("the largest number is no pid namespace's own before Linux 6.14")
    agent = Agent("MaxTokensPerUser=1000000\nKeepEnded=1h\nMaxConnectionsPerUser=4000", POLICY)
    reader, writer = os.pipe()
    space = os.fork()
    if space == 0:
        peers.unshare(peers.CLONE_NEWPID)
        inner = os.fork()
        if inner:
            os._exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) & 0xFF)
        try:
            wrap(agent, writer)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as f:
        said = f.read()
    status = os.waitstatus_to_exitcode(os.waitpid(space, 0)[1])
    print("#", said)
    assert status == 0 and said.startswith("tried"), (status, said)


def wrap(agent, writer):
    """As init of a pid namespace with few numbers; the agent is in it too."""
    peers.own_mounts()
    peers.mount("proc", "/proc", "proc")
    with open("/proc/sys/kernel/pid_max", "w") as f:
        f.write("520")
    agent.start()
    admin = agent.admin()
    tries, numbers, wraps, last = 0, set(), 0, 0
    end = time.monotonic() + 20
    while time.monotonic() < end and tries < 100000:
        uid = (ALICE, BOB)[tries % 2]
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        call = Client.encode("Issue", {"name": str(uid), "binding": ("none", "process")[tries // 2 % 2]})
        pid = os.fork()
        if pid == 0:
            try:
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                sock.connect(agent.socket)
                sock.sendall(call)
            finally:
                os._exit(0)
        wraps += pid < last
        last = pid
        numbers.add(pid)
        os.waitpid(pid, 0)
        # What the one who is gone has asked, another hears.
        client = Client(sock)
        client.asked.append("io.jeton.Agent.Issue")
        try:
            info = client.reply()["info"]
            assert info["ownerUid"] == uid and info["name"] == str(uid), info
        except Error as e:
            assert e.name in ("PermissionDenied", "BindingUnavailable"), e
        except Closed:
            pass
        sock.close()
        tries += 1
    wait_until(lambda: all(i["binding"] == "none" for i in active(admin)), "the ends of all that were bound")
    for info in admin.list(all=True):
        assert info["ownerUid"] == int(info["name"]), info
        assert info["binding"] == "none" or info["ended"] == "binding", info
    agent.stop()
    os.write(writer, f"tried {tries} times with {len(numbers)} numbers, which came again {wraps} times\n".encode())
    os._exit(0)


def active(admin):
    return admin.list(all=True, state="active")


main()
