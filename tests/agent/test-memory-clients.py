#!/usr/bin/env -S python3 -B
"""The tool, the helpers and the library keep no value either: nothing is in their memory once it was
written out. And what a crash and a debugger of the same user get of an agent."""

import ctypes
import os
import pty
import re
import resource
import signal
import subprocess
import tempfile
import termios
import time

import search
from jeton import AGENT_UID, BUILD, TOP, Agent, main, program, root, scratch, test, wait_until
from peers import become

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SETOPTIONS, PTRACE_SEIZE = 0, 7, 0x4200, 0x4206
TRACE_EXIT, KILL_WITH_US = 0x40, 0x100000
EXITING = signal.SIGTRAP | 6 << 8
LIBC = search.LIBC
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long
POLICY = """
[Access]
User=0
Scope=acme/a:read
[Credential api-key]
[Credential fresh]
Kind=minted
Owner=0
[Fetch]
Credential=api-key fresh
User=0
"""
TOKEN = re.compile(rb"jeton_[0-9A-Za-z]{11}_[0-9A-Za-z]{49}")
WAYS = (search.memory_file, search.memory_call, search.told)


def roots_agent(**how):
    """An agent that root trusts, whose administrator root is."""
    agent = Agent(policy=POLICY)
    agent.uid = 0
    for path in (agent.run, agent.var):
        os.chown(path, 0, 0)
    return agent.start(**how)


# ---- the tool ------------------------------------------------------------------------------------

class Stopped:
    """A program that is stopped as it exits, with all of its memory still there."""

    def __init__(self, words, stdin=b"", env=None, terminal=False):
        self.out = tempfile.TemporaryFile()
        self.pid, self.master = self._start(words, env or {}, terminal, stdin)
        self.said = b""
        self._go_on_to_its_end(stdin)

    def _start(self, words, env, terminal, stdin):
        if terminal:
            pid, master = pty.fork()
        else:
            reader, writer = os.pipe()
            pid, master = os.fork(), None
        if pid == 0:
            try:
                if not terminal:
                    os.dup2(reader, 0)
                    os.close(writer)
                for fd in (1, 2):
                    os.dup2(self.out.fileno(), fd)
                os.closerange(3, 1000)
                LIBC.ptrace(PTRACE_TRACEME, 0, None, None)
                os.execve(words[0], words, {"PATH": "/usr/bin:/bin", "HOME": "/", "LC_ALL": "C.UTF-8", **env})
            finally:
                os._exit(126)
        if not terminal:
            os.write(writer, stdin)
            os.close(writer)
            os.close(reader)
        return pid, master

    def _go_on_to_its_end(self, stdin):
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSTOPPED(status), status
        LIBC.ptrace(PTRACE_SETOPTIONS, self.pid, None, TRACE_EXIT | KILL_WITH_US)
        give = 0
        while status >> 8 != EXITING:
            LIBC.ptrace(PTRACE_CONT, self.pid, None, give)
            if self.master is not None and stdin:
                self._type(stdin)
                stdin = b""
            _, status = os.waitpid(self.pid, 0)
            assert os.WIFSTOPPED(status), status
            give = 0 if status >> 8 in (signal.SIGTRAP, EXITING) else status >> 8

    def _type(self, text):
        """Answers its one question, once it listens unseen."""
        wait_until(lambda: not termios.tcgetattr(self.master)[3] & termios.ECHO, "a question")
        os.write(self.master, text)

    def output(self):
        self.out.seek(0)
        return self.out.read()

    def end(self, status=0):
        LIBC.ptrace(PTRACE_CONT, self.pid, None, None)
        _, ended = os.waitpid(self.pid, 0)
        assert os.waitstatus_to_exitcode(ended) == status, (ended, self.output())


def everything_of_the_tools(agent):
    """What the tool does with values: (words, standard input, the value or None for a token that it
    prints, its exit status, on a terminal)."""
    tool, helper = program("jetonctl"), program("jeton-helper")
    passphrase, value, typed, wrong = (os.urandom(32).hex() for _ in range(4))

    def ask(*words, stdin=""):
        return subprocess.run([tool, "--socket", agent.socket, *words], input=stdin, capture_output=True, text=True,
                              check=True, timeout=60).stdout.strip()

    token = ask("issue", "mine")
    yield [tool, "issue", "n"], "", None, 0, False
    yield [tool, "issue", "n", "--json"], "", None, 0, False
    yield [tool, "derive", "n"], token, token, 0, False
    yield [tool, "derive", "n"], token, None, 0, False
    yield [tool, "verify"], token, token, 0, False
    yield [tool, "verify", "--scope", "b:c"], token, token, 3, False
    yield [tool, "verify"], wrong, wrong, 3, False
    yield [tool, "rotate", "mine"], "", None, 0, False
    yield [tool, "revoke", "--leaked"], token + "\n", token, 0, False
    yield [tool, "scan", "-"], f"a={token}\n", token, 3, False
    yield [tool, "put", "api-key"], value, value, 0, False
    yield [tool, "put", "nobody"], wrong, wrong, 4, False
    yield [tool, "put", "api-key", "--binary"], value, value, 0, False
    yield [tool, "put", "api-key"], typed + "\n", typed, 0, True
    yield [tool, "get", "api-key"], "", typed, 0, False
    yield [tool, "get", "api-key", "--json"], "", typed, 0, False
    yield [tool, "get", "fresh"], "", None, 0, False
    for name in ("git", "curl", "kubectl", "aws"):
        given = {"git": "protocol=https\nhost=x\n\n"}.get(name, "")
        put = json_key(ask) if name == "aws" else typed
        yield [helper, name, "--credential", "api-key", *(["get"] if name == "git" else [])], given, put, 0, False
    backup = f"{scratch()}/backup"
    yield [tool, "backup", backup], passphrase, passphrase, 0, False
    yield [tool, "restore", backup, "--state", agent.state], wrong, wrong, 1, False
    yield [tool, "restore", backup, "--state", agent.state], passphrase, passphrase, 0, False
    yield [tool, "lock"], passphrase, passphrase, 0, False
    yield [tool, "unlock"], wrong, wrong, 1, False
    time.sleep(1.2)  # what the agent waits after a wrong one
    yield [tool, "unlock"], passphrase, passphrase, 0, False


def json_key(ask):
    secret = os.urandom(32).hex()
    ask("put", "api-key", stdin=f'{{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"{secret}"}}')
    return secret


def kept_by_the_tool(env=None):
    """{words: where its value was found as it ended}"""
    agent, kept = roots_agent(), {}
    for words, given, value, status, terminal in everything_of_the_tools(agent):
        stopped = Stopped(words, given.encode(), {"JETON_SOCKET": agent.socket, **(env or {})}, terminal)
        value = value or TOKEN.search(stopped.output())[0].decode()
        needles = search.Needles(value=value)
        found = {way.__name__: hits for way in WAYS if (hits := needles.among(way(stopped.pid)))}
        kept[" ".join(words[1:])] = found
        stopped.end(status)
    return kept


@test(needs=[root, search.whole_build], timeout=120)
def the_tool_and_the_helpers_have_no_value_in_their_memory_once_it_was_written_out():
    kept = kept_by_the_tool()
    assert not any(kept.values()), kept


@test(needs=[root, search.whole_build], timeout=120)
def a_tool_that_leaks_is_found_out_by_each_way_for_each_command():
    kept = kept_by_the_tool(search.leaking(f"{scratch()}/leak"))
    missed = {words: {*ways} for words, ways in kept.items() if {*ways} != {w.__name__ for w in WAYS}}
    assert not missed, missed



# ---- the library ---------------------------------------------------------------------------------

def kept_by_a_program(env=None):
    """{step: where its values were found after it} of calls.c."""
    agent, kept = roots_agent(), {}
    path = f"{scratch()}/calls"
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O2",
                    "-Wl,-z,now", f"-I{TOP}/protocol", f"{TOP}/tests/agent/calls.c", "-o", path, f"{BUILD}/libjeton.a"],
                   check=True)
    passphrase, value = os.urandom(32).hex(), os.urandom(32).hex()
    needles = search.Needles(passphrase=passphrase, value=value)
    with subprocess.Popen([path, agent.socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env or {}) as program:
        program.stdin.write(passphrase.encode())
        program.stdin.flush()
        program.stdin.write(value.encode())
        program.stdin.flush()
        for line in program.stdout:
            line = line.strip().decode()
            if not line.startswith("look "):
                needles.add(**{f"given {len(needles.values)}": line})
                continue
            # It has these two until it has given them.
            own = {"passphrase"} if line != "look lock" else set()
            own |= {"value"} if line in ("look issue", "look derive", "look rotate") else set()
            found = {way.__name__: {*hits} - own for way in WAYS if (hits := needles.among(way(program.pid)))}
            kept[line] = {way: names for way, names in found.items() if names}
            program.stdin.write(b".")
            program.stdin.flush()
        assert program.wait(20) == 0
    assert len(kept) == 8, kept
    return kept


@test(needs=[root, search.whole_build])
def a_program_that_uses_the_library_has_no_value_left_after_the_next_call():
    kept = kept_by_a_program()
    assert not any(kept.values()), kept


@test(needs=[root, search.whole_build])
def a_library_that_leaks_is_found_out_by_each_way_after_each_call():
    for step, ways in kept_by_a_program(search.leaking(f"{scratch()}/leak")).items():
        assert {*ways} == {w.__name__ for w in WAYS}, (step, ways)


# ---- crashes, debuggers --------------------------------------------------------------------------

def cores_are_files():
    """A need."""
    with open("/proc/sys/kernel/core_pattern") as f, open("/proc/sys/fs/suid_dumpable") as dumpable:
        return None if f.read().strip() == "core" and dumpable.read().strip() == "0" else "cores are no plain files here"


@test(needs=[root, cores_are_files, search.whole_build])
def a_crash_leaves_no_core_of_the_agent():
    directory = f"{scratch()}/cores"
    os.mkdir(directory, 0o777)
    os.chmod(directory, 0o777)

    def here():
        os.chdir(directory)
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    agent = Agent().start(setup=here)
    agent.connect().call("Issue", name="n")
    agent.signal(signal.SIGSEGV)
    assert agent.wait() == -signal.SIGSEGV and os.listdir(directory) == []
    # Another program of that user leaves one there.
    other = subprocess.Popen(["sleep", "60"], preexec_fn=lambda: (here(), become(AGENT_UID, AGENT_UID)))
    other.send_signal(signal.SIGSEGV)
    other.wait()
    assert len(os.listdir(directory)) == 1


def _ways_in(pid):
    """Which ways into the process this one may go: their names."""
    found = set()
    for name in ("mem", "environ", "map_files", "fd", "maps"):
        try:
            if name in ("map_files", "fd"):
                os.listdir(f"/proc/{pid}/{name}")
            else:
                open(f"/proc/{pid}/{name}", "rb").close()
            found.add(name)
        except PermissionError:
            pass
    room = ctypes.create_string_buffer(16)
    there = search._Iovec(0x1000, 16)
    LIBC.process_vm_readv(pid, ctypes.byref(search._Iovec(ctypes.addressof(room), 16)), ctypes.c_ulong(1),
                          ctypes.byref(there), ctypes.c_ulong(1), ctypes.c_ulong(0))
    if ctypes.get_errno() != 1:  # EPERM; where it may, there is nothing at that address
        found.add("process_vm_readv")
    if LIBC.syscall(search.PIDFD_GETFD, os.pidfd_open(pid), 0, 0) >= 0:
        found.add("pidfd_getfd")
    if LIBC.ptrace(PTRACE_SEIZE, pid, None, None) == 0:
        found.add("ptrace")
    return found


@test(needs=[root, search.whole_build])
def no_way_in_is_open_to_a_debugger_of_the_agents_user():
    agent = Agent().start()
    other = subprocess.Popen(["sleep", "60"], preexec_fn=lambda: become(AGENT_UID, AGENT_UID))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        become(AGENT_UID, AGENT_UID)
        os.write(writer, repr((_ways_in(agent.pid), _ways_in(other.pid))).encode())
        os._exit(0)
    os.waitpid(child, 0)
    ours, others = eval(os.read(reader, 4096))
    other.kill()
    assert ours == set(), ours
    assert others >= {"mem", "environ", "fd", "process_vm_readv", "pidfd_getfd", "ptrace"}, others


main()
