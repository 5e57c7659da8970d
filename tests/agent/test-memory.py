#!/usr/bin/env -S python3 -B
"""After each operation and each error no value, passphrase or key is anywhere that root can look: not in
the agent's memory, descriptors, arguments, environment or files, nor in a log, the journal or the audit."""

import os

import memory
import search
from everything import EVERYTHING, World, derive, do, issue, locked_and_unlocked, put, verify
from jeton import main, root, test


def secretmem():
    """A need: memory that root can't read."""
    fd = search.LIBC.syscall(memory.MEMFD_SECRET, 0)
    if fd < 0:
        return "a kernel without memfd_secret"
    os.close(fd)
    return None


def thoroughly():
    """A need, of what takes long."""
    return None if os.environ.get("JETON_MEMORY") == "all" else "takes long: JETON_MEMORY=all"


# ---- tests ---------------------------------------------------------------------------------------

def looked_at_after_each(w):
    # What is mapped from files is looked at once, at the end: it is large.
    ways = [way for way in search.PASSIVE if way is not search.mapped_files]
    for operation in EVERYTHING:
        do(w, operation)
        assert (found := w.found(ways)) == {}, (operation.__name__, found)
    for _ in locked_and_unlocked(w):
        assert (found := w.found(ways)) == {}, found
    assert (found := w.found()) == {}, found
    assert (found := w.needles.among(w.told())) == {}, found


@test(needs=[root, secretmem, search.whole_build], timeout=200)
def after_each_operation_and_each_error_nothing_secret_is_where_root_can_read_nor_a_key():
    w = World()
    assert w.admin.call("GetStatus")["memory"] == "secretmem"
    looked_at_after_each(w)
    assert (found := w.found(needles=w.kept)) == {}, found


@test(needs=[root, search.whole_build], timeout=200)
def without_memfd_secret_root_can_read_the_keys_in_use_and_no_value():
    w = World(setup=memory.readable)
    assert w.admin.call("GetStatus")["memory"] == "locked"
    looked_at_after_each(w)
    # Said as it is: this is what memfd_secret is for.
    assert {*w.found(needles=w.kept)} == {"memory_file", "memory_call"}


@test(needs=[root, thoroughly, search.gdb, search.whole_build], timeout=280)
def a_core_of_all_that_a_debugger_gets_has_nothing_secret_in_it():
    # Without memfd_secret, so that it has all of the agent's memory in it.
    w = World(setup=memory.readable)
    for operation in EVERYTHING:
        do(w, operation)
    for _ in locked_and_unlocked(w):
        pass
    assert (found := w.found([search.core])) == {}, found


def registers():
    """A need: names that gdb has for them."""
    return None if os.uname().machine == "x86_64" else "registers of x86-64"


@test(needs=[root, thoroughly, search.gdb, registers, search.whole_build], timeout=280)
def a_core_has_what_leaked_to_the_heap_to_a_stack_and_to_a_register():
    w = World(leaks=True)
    for operation in (issue, put):
        do(w, operation)
    raw = os.urandom(16)
    in_register = search.Needles(register=raw)
    halves = [int.from_bytes(raw[at:at + 8], "little") for at in (0, 8)]
    pieces = [*search.core(w.agent.pid, *(f"set var $xmm9.v2_int64[{i}] = {half}" for i, half in enumerate(halves)))]
    assert {n.split()[0] for n in w.needles.among(pieces)} == {"issue", "put"}
    assert in_register.among(pieces)
    w.agent.kill()


@test(needs=[root, search.whole_build], timeout=200)
def each_way_to_look_finds_what_an_agent_that_leaks_leaves_there():
    w = World(leaks=True)
    for operation in (issue, verify, put, derive):
        do(w, operation)
    for _ in locked_and_unlocked(w):
        pass
    found = w.found()
    assert {*found} == {way.__name__ for way in search.PASSIVE}, {*found}
    places = " ".join(p for hits in found["memory_file"].values() for p in hits)
    assert "[heap]" in places and "[stack]" in places, places
    assert {p for hits in found["told"].values() for p in hits} == {"cmdline", "environ"}
    words = " ".join(p for hits in w.needles.among(w.told()).values() for p in hits)
    assert f"{w.agent.var}/leak" in words and w.agent.log_path in words, words
    # Tokens, what was put, and passphrases.
    assert {n.split()[0] for n in found["memory_file"]} >= {"issue", "verify", "put", "lock"}
    w.agent.kill()


main()
