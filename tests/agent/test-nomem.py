#!/usr/bin/env -S python3 -B
"""Requests for memory that fail, one after the other: in the agent each call is made or refused, nothing
between, nothing is lost of memory, others are served; the tool says so and ends. JETON_EXHAUSTIVE=1
tries every request, where else some of many are tried."""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "crash"))

import striker
import world
from jeton import ALICE, IS_ROOT, Error, Exit, main, program, test, wait_until
from nomem import Heap
from world import GONE, World, furnish, new_agent, settle

MOST = 60  # of the requests of one call
READS = {"GetStatus": {}, "List": {}, "ListCredentials": {}, "Watch": {}, "Explain": {"credential": "held"},
         "ReadAudit": {}, "org.varlink.service.GetInfo": {},
         "org.varlink.service.GetInterfaceDescription": {"interface": "io.jeton.Agent"}}
MORE = ("List", "ListCredentials", "Watch", "ReadAudit")


def some_of(n):
    """Numbers from 1 to n: all, or so many that are spread over them."""
    if n <= MOST or os.environ.get("JETON_EXHAUSTIVE"):
        return range(1, n + 1)
    return sorted({1 + i * n // MOST for i in range(MOST)})


class Poor:
    """An agent whose heap we have in hand."""

    def __init__(self):
        self.heap, self.agent, self.world = Heap(), new_agent(), World()
        self.agent.is_traced = self.is_shaken = False
        self.start()
        furnish(self.agent, self.world)
        self.other = self.agent.connect()
        self.good = [v for i, v in self.world.values.items() if self.world.tokens[i]["state"] == "active"
                     and not self.world.tokens[i]["usesLeft"]][0]

    def is_changed(self):
        try:
            return world.Issue().make(self.agent, self.world)
        except Error as e:
            assert e.name == "StoreFailed", e
            return False

    def start(self):
        # What may be locked is counted over all agents of that user.
        self.agent.start(env=self.heap.env, lockable=True)

    def try_change(self, change, at, more=False):
        """Whether a request has failed."""
        change.ready(self.agent, self.world)
        error = None
        self.heap.fail(at, more)
        try:
            change.ask(self.agent)
        except Error as e:
            error = e
        except (*GONE, AssertionError) as e:  # a reply without its descriptor
            assert not isinstance(e, AssertionError) or isinstance(change, world.Backup), e
        struck, _ = self.heap.off()
        assert self.agent.is_running(), f"request {at} of {change}: {self.agent.wait()} {self.agent.log()[-1500:]}"
        if not struck and change.reply is None:
            # What failed before may have left a store that has to be made anew first, by any change.
            assert self.is_shaken and error.name == "StoreFailed", f"{change} is refused for nothing: {error}"
            wait_until(self.is_changed, "a change that is not refused")
        self.is_shaken = struck > 0
        assert self.other.call("Verify", token=self.good)
        made = True if change.reply is not None else False if error else None
        self.world = settle(self.agent, self.world, change, made)
        return struck > 0

    def must_be_as_much(self, before):
        """What was given out is taken back, but for what is kept for later."""
        live, cached = before
        wait_until(lambda: self.heap.live() <= live + 10, lambda: f"{self.heap.live()} blocks, {live} before")
        # Of a store that grows more pages are kept. Whatever else is there once for each try would be some 60.
        assert self.heap.cached() <= cached + 50, (self.heap.cached(), cached)

    def blocks(self):
        return self.heap.live(), self.heap.cached()


def try_all_of(kind):
    poor = Poor()
    try:
        for _ in range(2):
            poor.try_change(kind(), 10 ** 9)
        before = poor.blocks()
        change = kind()
        change.ready(poor.agent, poor.world)
        poor.heap.fail(10 ** 9)
        change.ask(poor.agent)
        time.sleep(0.02)
        _, n = poor.heap.off()
        poor.world = settle(poor.agent, poor.world, change, True)
        struck = sum(poor.try_change(kind(), at) for at in some_of(n))
        struck += sum(poor.try_change(kind(), at, more=True) for at in (1, 2, 3, n // 2, n - 1) if 0 < at <= n)
        assert struck > 0
        poor.must_be_as_much(before)
        poor.agent.kill()
        poor.start()
        settle(poor.agent, poor.world)
        poor.agent.stop()
    finally:
        poor.agent.clear()


def a_request_that_fails_in_a_change_refuses_it_or_costs_nothing(kind):
    try_all_of(kind)


def for_each_change():
    for kind in world.CHANGES:
        if kind in (world.Stop, world.Checkpoint, world.Unlock, world.Lock):
            continue

        def one(kind=kind):
            a_request_that_fails_in_a_change_refuses_it_or_costs_nothing(kind)
        one.__name__ = f"any_request_that_fails_in_{kind.__name__.lower()}_refuses_it_or_costs_nothing"
        test(one, timeout=120, needs=[striker.why_not])


for_each_change()


def read(client, method, parameters):
    """Its first reply, or Error."""
    client.send(method, parameters, **({"more": True} if method in MORE else {}))
    message = client.receive()
    if "error" in message:
        raise Error(message["error"], message.get("parameters", {}))
    return message


@test(timeout=120, needs=[striker.why_not])
def a_request_that_fails_while_something_is_read_costs_that_call_alone():
    poor = Poor()
    before = None
    for method, parameters in READS.items():
        n = 1
        while n < MOST:
            poor.heap.fail(n)
            try:
                with poor.agent.admin() as c:
                    read(c, method, parameters)
            except (Error, *GONE):
                pass
            struck, _ = poor.heap.off()
            assert poor.agent.is_running(), f"{method}: {poor.agent.log()[-1500:]}"
            assert poor.other.call("Verify", token=poor.good)
            if not struck:
                break
            n += 1
        with poor.agent.admin() as c:
            assert read(c, method, parameters)
        before = before or poor.blocks()
    poor.must_be_as_much(before)
    settle(poor.agent, poor.world)
    poor.agent.stop()
    poor.agent.clear()


def is_served(agent):
    with agent.connect() as c:
        try:
            return bool(c.list())
        except Error as e:
            assert e.name == "PermissionDenied", e
            return False


@test(timeout=120, needs=[striker.why_not])
def a_start_without_memory_says_so_and_one_that_goes_on_serves():
    poor = Poor()
    poor.agent.stop()
    poor.heap.fail(10 ** 9)
    poor.start()
    _, n = poor.heap.off()
    assert n > 200, n
    refused = 0
    # The last ones among them, with which it tells that it is ready, and begins to serve.
    for at in sorted({*some_of(n), *range(n - 10, n + 3)}):
        poor.agent.kill()
        poor.heap.fail(at)
        try:
            poor.start()
        except Exit as e:
            poor.heap.off()
            assert e.status == 1 and e.said.strip(), f"request {at}: {e}"
            refused += 1
            poor.start()
        poor.heap.off()
        # Where a user could not be looked up the first call is refused, and has it looked up again.
        wait_until(lambda: is_served(poor.agent), "a call that is not refused")
        settle(poor.agent, poor.world.copy())
    assert refused > 5, refused
    poor.agent.stop()
    poor.agent.clear()


@test(timeout=120, needs=[striker.why_not])
def the_tool_without_memory_says_so_and_ends():
    poor, heap = Poor(), Heap()
    good = poor.good

    def run(*words, stdin=""):
        def setup():
            if IS_ROOT:
                os.setgroups([])
                os.setresgid(ALICE, ALICE, ALICE)
                os.setresuid(ALICE, ALICE, ALICE)
        return subprocess.run([program("jetonctl"), "--socket", poor.agent.socket, *words], input=stdin.encode(),
                              capture_output=True, timeout=100, preexec_fn=setup,
                              env={"PATH": "/usr/bin:/bin", "HOME": "/", **heap.env})
    for words, stdin in ((["issue", "--name", "n"], ""), (["verify"], good), (["list"], ""), (["status"], ""),
                         (["explain", "--credential", "held"], ""), (["fetch", "held"], ""), (["--help"], "")):
        heap.fail(10 ** 9)
        usual = run(*words, stdin=stdin)
        _, n = heap.off()
        refused = 0
        for at in some_of(n):
            heap.fail(at)
            done = run(*words, stdin=stdin)
            struck, _ = heap.off()
            assert 0 <= done.returncode < 100, f"{words}, request {at}: {done}"
            assert done.returncode == usual.returncode or done.stderr.strip(), f"{words}, request {at}: {done}"
            assert good.encode() not in done.stderr, done
            refused += done.returncode != usual.returncode
        print(*words, n, "requests,", refused, "refused")
    # The agent has taken no harm of it.
    with poor.agent.connect() as c:
        assert c.call("Verify", token=poor.good)
    poor.agent.stop()
    poor.agent.clear()


striker.made("nomem.c", "-fPIC", "-shared")
main()
