#!/usr/bin/env -S python3 -B
"""What runs out, at every amount: memory that may be locked, a kernel without memfd_secret, memory of the control
group, time for a great many tokens that end at once. (Descriptors, connections, tokens and the arena: test-limits.)"""

import ctypes
import os
import re
import resource
import signal
import struct
import sys
import time

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "load"))

import clock  # noqa: E402
from jeton import Agent, Client, Closed, Error, Exit, Skip, main, root, serial, test  # noqa: E402
from load import HOSTILE, Asker, Group, Program  # noqa: E402
from memory import LIBC, MEMFD_SECRET, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER  # noqa: E402

KIB = 1024
ENOSYS, EAGAIN, EPERM = 38, 11, 1


def memlock(n):
    return {resource.RLIMIT_MEMLOCK: n}


def refusing(error):
    """For Agent.start(setup=…): memfd_secret fails by that error."""
    def setup():
        ld, jeq, ret, allow = 0x20, 0x15, 0x06, 0x7fff0000
        program = b"".join(struct.pack("HBBI", *x) for x in (
            (ld, 0, 0, 0), (jeq, 0, 1, MEMFD_SECRET), (ret, 0, 0, 0x00050000 | error), (ret, 0, 0, allow)))
        code = ctypes.create_string_buffer(program, len(program))
        fprog = struct.pack("HxxxxxxP", 4, ctypes.addressof(code))
        assert LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        assert LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog) == 0
    return setup


def needed(said):
    """The figure that is told, in bytes."""
    return int(re.search(r"(\d+) KiB of locked memory are needed", said)[1]) * KIB


def starts_locked(limit, setup=None):
    """Whether it starts with that limit. It must be locked then, and say what is needed where it does not."""
    agent = Agent()
    try:
        agent.start(limits=memlock(limit), setup=setup)
    except Exit as e:
        assert e.status > 0 and "LimitMEMLOCK" in e.said, e.said
        return False
    status = agent.connect().call("GetStatus")
    assert status["memory"] in ("secretmem", "locked") and status["lockedBytes"] <= limit, status
    agent.stop()
    return True


@test(needs=[root])
def an_agent_starts_with_the_memory_that_it_asks_for_and_with_less_locked_or_not_at_all():
    for setup in (None, refusing(ENOSYS)):
        need = needed(Agent().fails_to_start(limits=memlock(64 * KIB), setup=setup))
        assert starts_locked(need, setup), f"{need} bytes do not do, and were asked for"
        tried = [starts_locked(limit, setup) for limit in range(128 * KIB, need, max(4 * KIB, need // 6 & -4096))]
        assert not tried[0]
        starts_locked(need - 4 * KIB, setup)


@test(needs=[root])
def without_memfd_secret_memory_is_locked_otherwise_and_that_is_told_once():
    for error in (ENOSYS, EAGAIN, EPERM):
        agent = Agent().start(lockable=True, setup=refusing(error))
        c = agent.connect()
        assert c.call("GetStatus")["memory"] == "locked"
        assert c.call("Verify", token=c.call("Issue", name="n")["token"])
        assert agent.log().count("memfd_secret") == 1, agent.log()
        assert "memfd_secret" not in Agent().fails_to_start(limits=memlock(0), setup=refusing(error))


@test(needs=[root], timeout=120)
def an_agent_that_the_kernel_kills_for_want_of_memory_has_lost_nothing_that_it_acknowledged():
    agent = Agent("MaxTokensPerUser=1000000", "[Access]\nUser=*\nScope=a:read\n").start(lockable=True)
    group = Group(agent.pid)
    if not group.path:
        raise Skip("no control group that counts memory can be made here")
    c = agent.connect()
    tokens = [a["token"] for a in serial(c, [("Issue", {"name": "n" * 100})] * 500)]
    revoked = c.call("Issue", name="revoked")
    c.call("Revoke", id=revoked["info"]["id"])
    group.limit(group.bytes() + 256 * KIB)
    deaf = Program("hoard", agent.socket, HOSTILE, 250, 0)
    # What would be a reply of LimitReached were it the agent's own limit: the kernel asks nobody.
    try:
        while len(tokens) < 100000:
            tokens += [a["token"] for a in serial(c, [("Issue", {"name": "n" * 100})] * 100) if not isinstance(a, Error)]
    except (Closed, ConnectionError):
        pass
    assert agent.wait() == -signal.SIGKILL
    deaf.child.kill()
    group.end()
    agent.start(lockable=True)
    c = agent.connect()
    for token in tokens:
        c.send("Verify", {"token": token})
        c.reply()
    assert c.error("Verify", token=revoked["token"]).name == "TokenRevoked"
    print(f"# killed with {len(tokens)} tokens")


# ---- a great many that end at once ---------------------------------------------------------------

def issue(agent, n):
    """Many tokens, each good for an hour, over connections that are many enough for one sync to keep many."""
    clients = [agent.connect() for _ in range(64)]
    call = Client.encode("Issue", {"name": "n", "lifetimeSec": 3600}) * 16
    for _ in range(n // (64 * 16)):
        for c in clients:
            c.send_bytes(call)
        for c in clients:
            for _ in range(16):
                c.receive_text()
    for c in clients:
        c.close()


@test(needs=[root], timeout=150)
def twenty_thousand_tokens_that_end_at_once_keep_nobodys_call_waiting_for_all_of_them():
    agent = Agent("MaxTokensPerUser=30000", "[Access]\nUser=*\nScope=a:read\n", clocked=True).start(lockable=True)
    asker, admin = Asker(agent), agent.admin()
    issue(agent, 20480)
    assert admin.call("GetStatus")["tokensActive"] == 20481
    agent.clock.pass_by(2 * clock.HOUR)
    start, longest = time.monotonic(), 0
    while admin.call("GetStatus")["tokensActive"] > 1:
        worst, failed = asker.ask(20)[2::2]
        assert failed == 0
        longest = max(longest, worst / 1e6)
        assert time.monotonic() - start < 400, "not all have ended"
    took = time.monotonic() - start
    print(f"# {took:.2f} s in all, {longest * 1000:.1f} ms at worst for a call meanwhile")
    # It would be all of it, and the machine keeps a call now and then.
    assert longest < took * 2 / 3, (longest, took)


main()
