#!/usr/bin/env -S python3 -B
"""The tool and credentials, against a real agent: put, get, run, watch, policy explain, doctor, rotate."""

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import termios
import time

import clock
import tap
from jeton import ALICE, BOB, IS_ROOT, Agent, has_form, main, program, root, scratch, serial, test, wait_until
from peers import become

ADMIN = 0 if IS_ROOT else ALICE
MAX = 48 * 1024
POLICY = f"""
[Access]
User={ADMIN}
Scope=acme/**:*

[Access]
User={ALICE}
Scope=acme/risk:read

[Credential modulos]
Description=Modulos API key

[Credential empty]

[Credential other]

[Credential pipeline]
Kind=minted
Owner={ADMIN}
Scope=acme/pipeline:run
Lifetime=1min

[Credential bound]
Kind=minted
Owner={ADMIN}
Scope=acme/pipeline:run
Lifetime=1min
Binding=process

[Fetch]
Credential=modulos empty pipeline bound
User={ALICE}

[Fetch]
Credential=modulos empty pipeline bound other
User={ADMIN}
"""
NO_VERIFY = "\n[Verify]\nUser=12345\n"


class Tool:
    """jetonctl as some user. The agent is root's where the tests are, so that all trust it."""

    def __init__(self, agent, uid=ADMIN):
        self.agent, self.uid = agent, uid

    def start(self, *words, env=None, **how):
        def enter():
            if IS_ROOT:
                become(self.uid, self.uid)

        how = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
        env = {"PATH": "/usr/bin:/bin", "HOME": "/", "JETON_SOCKET": self.agent.socket, **(env or {})}
        return subprocess.Popen([program("jetonctl"), *words], env=env, preexec_fn=enter, **how)

    def __call__(self, *words, stdin=b"", status=0, **how):
        stdin = stdin if isinstance(stdin, bytes) else stdin.encode()
        process = self.start(*words, stdin=subprocess.PIPE, **how)
        out, err = process.communicate(stdin, timeout=60)
        assert process.returncode == status, (words, process.returncode, out, err)
        self.out, self.err = out, err.decode()
        return out

    def json(self, *words, **how):
        return json.loads(self("--json=short", *words, **how))


def started(policy=POLICY, **how):
    agent = Agent("MinLifetime=1min", policy, **how)
    if IS_ROOT:
        agent.uid = 0
        for path in (agent.run, agent.var):
            os.chown(path, 0, 0)
    return agent.start()


def both(policy=POLICY, **how):
    agent = started(policy, **how)
    return agent, Tool(agent), Tool(agent, ALICE)


class Lines:
    """What a process prints, line by line, as it does."""

    def __init__(self, process):
        self.process, self.buffer = process, b""
        tap.AT_END.append(self.end)

    def next(self, timeout=60):
        end = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = end - time.monotonic()
            if left < 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise AssertionError(f"no line in {timeout} s; so far: {self.buffer}")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise AssertionError(f"it ended: {self.buffer} {self.process.stderr.read()}")
            self.buffer += piece
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line.decode()

    def is_quiet(self, seconds):
        return not select.select([self.process.stdout], [], [], seconds)[0] and not self.buffer

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


# ---- put, get, forget, credentials


@test
def every_value_comes_back_as_it_was_put():
    _, admin, alice = both()
    for value in (b"x", b"two words", b"a\nb\n\nc", "schl\u00fcssel \u65e5\u672c".encode(), b" ", b"\r\n\r", b"'\"\\$`",
                  b"x" * 4095, b"x" * 4096, b"x" * (MAX - 1), b"x" * MAX, b"\x01\x1f" * (MAX // 2)):
        admin("put", "modulos", stdin=value + b"\n")
        assert alice("get", "modulos") == value, value[:20]
    for value in (b"\n", b"\0", b"\xff\xfe", bytes(range(256)), b"text\n", os.urandom(MAX - 1), os.urandom(MAX)):
        admin("put", "modulos", "--binary", stdin=value)
        assert alice("get", "modulos") == value, value[:20]


@test
def what_can_not_be_held_is_refused_with_the_reason():
    _, admin, alice = both()
    for stdin, words, says in ((b"", (), "empty"), (b"\n", (), "empty"), (b"x" * (MAX + 1), (), "48 KiB"),
                               (b"x" * 10 ** 6, ("--binary",), "48 KiB"), (b"a\0b", (), "--binary"),
                               (b"\xff", (), "--binary"), (b"", ("--binary",), "empty")):
        admin("put", "modulos", *words, stdin=stdin, status=1)
        assert says in admin.err, (says, admin.err)
    assert alice.json("credentials")[-2]["revision"] is None
    admin("put", "pipeline", stdin=b"x", status=1)
    assert "minted" in admin.err
    admin("put", "nowhere", stdin=b"x", status=4)
    assert "[Credential nowhere]" in admin.err
    admin("put", "a/b", stdin=b"x", status=2)
    admin("put", "modulos", "--expires", "2020-01-01", stdin=b"x", status=1)


@test(needs=[root])
def only_administrators_put_and_forget():
    _, admin, alice = both()
    alice("put", "modulos", stdin=b"x", status=4)
    admin("put", "modulos", stdin=b"x")
    alice("forget", "modulos", status=4)
    Tool(alice.agent, BOB)("get", "modulos", status=4)
    alice("get", "other", status=4)
    there_not = alice.err
    alice("get", "rehto", status=4)
    assert alice.err == there_not.replace("other", "rehto")


@test
def revisions_grow_and_a_forgotten_one_is_empty():
    _, admin, alice = both()
    for n in (1, 2):
        assert admin.json("put", "modulos", stdin=b"x") == {"revision": n}
    admin("forget", "modulos")
    alice("get", "modulos", status=1)
    assert "Nothing was put" in alice.err
    assert admin.json("put", "modulos", stdin=b"x") == {"revision": 3}


@test
def a_value_ends_at_its_time():
    agent, admin, alice = both(clocked=True)
    admin("put", "modulos", "--expires", "10min", stdin=b"x")
    alice("get", "modulos")
    alice("get", "modulos", "--min-lifetime", "1h", status=1)
    agent.clock.pass_by(10 * clock.MINUTE)
    alice("get", "modulos", status=1)
    assert "expired" in alice.err


@test
def credentials_as_json_are_what_the_protocol_says():
    agent, admin, alice = both()
    admin("put", "modulos", stdin=b"x")
    alice("get", "modulos")
    told = [r["credential"] for r in agent.admin().more("ListCredentials")]
    assert admin.json("credentials") == told
    assert [c["name"] for c in told] == ["bound", "empty", "modulos", "other", "pipeline"]
    table = admin("credentials").decode()
    assert re.search(r"^modulos +held +1 +.*Modulos API key$", table, re.M), table
    assert re.search(r"^empty +held +empty", table, re.M), table


@test
def a_minted_token_is_fresh_each_time_and_good():
    _, admin, alice = both()
    first, second = alice("get", "pipeline").decode(), alice("get", "pipeline").decode()
    assert has_form(first) and has_form(second) and first != second
    admin("verify", "--scope", "acme/pipeline:run", stdin=first)


@test
def a_token_that_would_end_with_the_tool_is_refused():
    agent, admin, alice = both()
    assert alice("get", "bound", status=1) == b""
    assert "jetonctl run" in alice.err
    assert agent.admin().call("GetStatus")["tokensActive"] == 0
    # Who may not call Verify finds it out as well.
    agent.policy(POLICY + NO_VERIFY)
    admin("reload")
    alice("get", "bound", status=1)
    if IS_ROOT:
        assert agent.admin().call("GetStatus")["tokensActive"] == 0
        assert has_form(alice("get", "pipeline").decode())
        assert agent.admin().call("GetStatus")["tokensActive"] == 1


@test
def a_token_that_can_not_be_printed_is_ended():
    agent, _, alice = both()
    with open("/dev/full", "wb") as full:
        process = alice.start("get", "pipeline", stdout=full)
        assert process.wait() == 1 and b"revoked" in process.stderr.read()
    assert agent.admin().call("GetStatus")["tokensActive"] == 0


# ---- run


@test
def a_file_holds_the_value_and_nothing_else_of_ours_is_inherited():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"s3cret")
    code = ("import os; p = os.environ['KEY']; fds = [f for f in range(1000) if os.path.exists(f'/proc/self/fd/{f}')];"
            "print(p, open(p).read(), open(p).read(), fds, 'JETON' in str(os.environ.get('X')))\n"
            "try: open(p, 'r+b').write(b'y'); print('written')\n"
            "except OSError as e: print('sealed')")
    out = alice("run", "--file", "KEY=modulos", "--", "python3", "-c", code).decode().split("\n")
    match = re.fullmatch(r"/proc/self/fd/(\d+) s3cret s3cret \[0, 1, 2, (\d+)\] False", out[0])
    assert match and match[1] == match[2] and int(match[1]) >= 10 and out[1] == "sealed", out


@test
def a_variable_holds_the_value_where_that_is_asked_for():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"s3cret\n\nx")
    out = alice("run", "--env", "A=modulos", "--env=B=modulos", "sh", "-c", 'printf "%s|%s|%s" "$A" "$B" "$PATH"',
                env={"A": "old"})
    assert out == b"s3cret\n\nx|s3cret\n\nx|/usr/bin:/bin", out
    admin("put", "modulos", "--binary", stdin=b"a\0b")
    alice("run", "--env", "A=modulos", "--", "true", status=125)
    assert "--file" in alice.err
    assert alice("run", "--file", "A=modulos", "--", "sh", "-c", "cat $A") == b"a\0b"


@test
def the_process_becomes_the_command():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"x")
    code = ("import os, signal, sys; print(os.getpid(), signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN,"
            "signal.pthread_sigmask(signal.SIG_BLOCK, []), flush=True); sys.stdin.read(); sys.exit(42)")
    # Python itself ignores SIGPIPE as it starts; the kernel's own word is taken instead.
    shell = 'grep -E "^Sig(Ign|Blk)" /proc/self/status; echo $$; read x; exit 42'
    for words in (("--file", "KEY=modulos"), ("--env", "KEY=modulos"), ()):
        process = alice.start("run", *words, "--", "sh", "-c", shell, stdin=subprocess.PIPE)
        out, _ = process.communicate(b"x\n")
        assert process.returncode == 42
        blocked, ignored, pid = out.decode().split("\n")[:3]
        assert int(pid) == process.pid and int(blocked.split()[1], 16) == 0, out
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            assert not int(ignored.split()[1], 16) & 1 << number - 1, (number, out)
    process = alice.start("run", "--file", "KEY=modulos", "--", "python3", "-c", code, stdin=subprocess.PIPE)
    assert process.stdout.readline().split()[0].decode() == str(process.pid)
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == -signal.SIGUSR1


@test
def the_command_is_given_just_its_own_words():
    _, _, alice = both()
    for before in ((), ("--",), ("-q",), ("-q", "--")):
        for words in ((), ("a",), ("a", "b c", "", "--", "-q", "--file", "x=y")):
            out = alice("run", *before, "python3", "-c", "import sys; print(sys.argv[1:])", *words)
            assert out.decode() == f"{list(words)}\n", (before, words, out)


@test
def what_was_closed_or_open_stays_so():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"x")
    reader, writer = os.pipe()
    code = "import os; os.write(1, str([f for f in range(10) if os.path.exists(f'/proc/{os.getpid()}/fd/{f}')]).encode())"
    shell = f"exec <&-; exec {program('jetonctl')} run --file KEY=modulos -- python3 -c \"$1\""
    # Python opens what is closed at its start, so what it sees is asked of the shell's list.
    shell = f"exec <&-; exec {program('jetonctl')} run --file KEY=modulos -- sh -c 'ls -l /proc/$$/fd'"
    done = subprocess.run(["sh", "-c", shell, "sh", code], env={"JETON_SOCKET": alice.agent.socket, "PATH": "/usr/bin:/bin"},
                          pass_fds=[writer], capture_output=True, text=True)
    assert re.search(rf" {writer} -> pipe", done.stdout) and not re.search(r" 0 -> ", done.stdout), done
    os.close(reader)
    os.close(writer)


@test
def a_bound_token_is_the_commands_own_and_ends_with_it():
    agent, admin, alice = both()
    process = alice.start("run", "--env", "T=bound", "--file", "F=bound", "--", "sh", "-c",
                          'echo "$T $(cat $F)"; read x', stdin=subprocess.PIPE)
    for token in process.stdout.readline().decode().split():
        assert has_form(token)
        admin("verify", stdin=token, status=3)
        assert "bound to another process" in admin.err
    assert agent.admin().call("GetStatus")["tokensActive"] == 2
    process.communicate(b"x\n")
    wait_until(lambda: agent.admin().call("GetStatus")["tokensActive"] == 0, "the tokens' end")
    # By its own process it is good: this shell becomes the tool that has it verified.
    shell = f'exec {program("jetonctl")} verify <<END\n$T\nEND\n'
    assert b"its process" in alice("run", "--env", "T=bound", "--", "sh", "-c", shell)


@test
def runs_own_exit_statuses_are_those_of_a_shell():
    agent, admin, alice = both()
    for words, status in ((("--env", "A=nowhere", "--", "true"), 125), (("--file", "A=empty", "--", "true"), 125),
                          (("--", "no-such-command"), 127), (("--", "/no/such"), 127), (("--", "/etc/passwd"), 126),
                          (("--", "/"), 126), (("--", "false"), 1), (("--", "sh", "-c", "exit 200"), 200),
                          (("--", "sh", "-c", "kill -9 $$"), -9), ((), 2), (("--",), 2),
                          (("--env", "A", "--", "true"), 2), (("--env", "1=modulos", "--", "true"), 2),
                          (("--env", "A=", "--", "true"), 2), (("--env", "A=a/b", "--", "true"), 2),
                          (("--env", "A=b", "--file", "A=c", "--", "true"), 2), (("--renew=HUP", "--", "true"), 2),
                          (("--renew=KILL", "--file", "A=b", "--", "true"), 2),
                          (("--renew=HUP", "--env", "A=b", "--", "true"), 2)):
        alice("run", *words, status=status)
    agent.stop()
    alice("run", "--env", "A=modulos", "--", "true", status=125)
    alice("run", "--", "true")
    alice("get", "modulos", status=5)


# ---- run --renew

SHOWS = 'trap "echo term; exit 7" TERM; trap "echo hup \\$(cat \\$KEY)" HUP; trap "echo usr1" USR1; ' \
        'echo "$$ $(cat $KEY)"; while :; do sleep 0.05; done'


def renewing(tool, how, *words, shell=SHOWS):
    return Lines(tool.start("run", *(words or ("--file", "KEY=modulos")), f"--renew={how}", "--", "sh", "-c", shell))


@test
def a_new_value_restarts_the_command_once():
    agent, admin, alice = both()
    admin("put", "modulos", stdin=b"v1")
    lines = renewing(alice, "restart")
    pid, value = lines.next().split()
    assert value == "v1" and int(pid) != lines.process.pid
    assert lines.is_quiet(3)
    # All of them within the half second that is waited for more.
    begun = time.monotonic()
    serial(agent.admin(), [("Put", {"credential": "modulos", "text": f"v{n}"}) for n in range(2, 12)])
    in_time = time.monotonic() - begun < 0.4
    assert lines.next() == "term"
    pid2, value = lines.next().split()
    assert pid2 != pid
    # Where the disk took longer for them, another restart follows.
    if value != "v11" and not in_time:
        assert lines.next() == "term"
        value = lines.next().split()[1]
    assert value == "v11", (value, in_time)
    assert lines.is_quiet(4)
    admin("put", "other", stdin=b"x")
    assert lines.is_quiet(3)
    lines.process.terminate()
    assert lines.next() == "term" and lines.process.wait() == 7


@test
def a_new_value_is_behind_the_path_when_the_signal_comes():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"v1")
    lines = renewing(alice, "HUP")
    pid, value = lines.next().split()
    assert value == "v1"
    admin("put", "modulos", stdin=b"v2")
    assert lines.next() == "hup v2"
    os.kill(int(pid), 0)
    lines.process.send_signal(signal.SIGUSR1)
    assert lines.next() == "usr1"
    alice("run", "--renew=HUP", "--file", "A=bound", "--", "true", status=125)
    assert "--renew=restart" in alice.err


@test
def a_signal_that_was_ignored_reaches_the_command_all_the_same():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"v1")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    try:
        lines = renewing(alice, "HUP")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert lines.next().endswith("v1")
    admin("put", "modulos", stdin=b"v2")
    assert lines.next() == "hup v2"


@test
def what_was_put_while_the_agent_was_away_is_noticed_when_it_is_back():
    agent, admin, alice = both()
    admin("put", "modulos", stdin=b"v1")
    restart, hup = renewing(alice, "restart"), renewing(alice, "HUP")
    for lines in (restart, hup):
        assert lines.next().endswith("v1")
    agent.stop()
    assert restart.is_quiet(1)
    agent.start()
    admin("put", "modulos", stdin=b"v2")
    assert hup.next() == "hup v2"
    assert restart.next() == "term" and restart.next().endswith("v2")


@test
def a_command_goes_on_where_the_new_value_can_not_be_had():
    agent, admin, alice = both()
    admin("put", "modulos", stdin=b"v1")
    lines = renewing(alice, "restart")
    pid = lines.next().split()[0]
    # Before anybody has looked at it.
    serial(agent.admin(), [("Put", {"credential": "modulos", "text": "v2"}), ("Forget", {"credential": "modulos"})])
    assert lines.is_quiet(4)
    os.kill(int(pid), 0)
    admin("put", "modulos", stdin=b"v3")
    assert lines.next() == "term" and lines.next().endswith("v3")


@test(timeout=120)
def a_minted_token_is_renewed_before_it_ends():
    _, admin, alice = both()
    start = time.monotonic()
    bound = renewing(alice, "restart", "--env", "T=bound", shell='trap "exit 7" TERM; echo $T; while :; do sleep 0.05; done')
    plain = renewing(alice, "USR1", "--file", "F=pipeline",
                     shell='trap "cat \\$F; echo" USR1; cat $F; echo; while :; do sleep 0.05; done')
    first = [bound.next(), plain.next()]
    second = [bound.next(100), plain.next(100)]
    assert time.monotonic() - start > 30
    assert all(map(has_form, first + second)) and not set(first) & set(second)
    admin("verify", stdin=second[1])


@test
def many_commands_do_not_all_start_at_once():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"v1")
    shell = 'trap "exit" TERM; date +%s.%N; while :; do sleep 0.1; done'
    many = [renewing(alice, "restart", shell=shell) for _ in range(20)]
    for lines in many:
        lines.next()
    time.sleep(3)
    put = time.time()
    admin("put", "modulos", stdin=b"v2")
    times = sorted(float(lines.next()) - put for lines in many)
    assert times[0] > 0.3 and times[-1] - times[0] > 0.7, times


@test
def signals_go_to_the_command_and_its_end_is_the_tools():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"x")
    names = "HUP INT QUIT USR1 USR2 WINCH"
    shell = "".join(f'trap "echo {n}" {n}; ' for n in names.split()) + "echo ready; while :; do sleep 0.05; done"
    lines = renewing(alice, "restart", shell=shell)
    assert lines.next() == "ready"
    for name in names.split():
        lines.process.send_signal(getattr(signal, f"SIG{name}"))
        assert lines.next() == name
    lines.process.terminate()
    assert lines.process.wait() == -signal.SIGTERM
    for shell, status in (("exit 3", 3), ("kill -9 $$", -9), ("kill -SEGV $$", -11)):
        alice("run", "--file", "K=modulos", "--renew=restart", "--", "sh", "-c", shell, status=status)
        alice("run", "--file", "K=modulos", "--renew=HUP", "--", "sh", "-c", shell, status=status)
    alice("run", "--file", "K=modulos", "--renew=HUP", "--", "no-such-command", status=127)
    alice("run", "--file", "K=modulos", "--renew=restart", "--", "/etc/passwd", status=126)
    alice("run", "--file", "K=empty", "--renew=restart", "--", "true", status=125)


@test
def what_a_terminal_sends_comes_to_the_command_once():
    _, admin, _ = both()
    admin("put", "modulos", stdin=b"x")
    shell = 'trap "echo int" INT; trap "echo winch" WINCH; trap "echo hup; exit 3" HUP; echo ready; while :; do sleep 0.05; done'
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["JETON_SOCKET"] = admin.agent.socket
        os.execv(program("jetonctl"), ["jetonctl", "run", "--env", "K=modulos", "--renew=restart", "--", "sh", "-c", shell])
    said = b""

    def wait_for(text):
        nonlocal said
        while text not in said:
            assert select.select([fd], [], [], 60)[0], said
            said += os.read(fd, 4096)

    wait_for(b"ready")
    os.write(fd, b"\x03")
    wait_for(b"int\r\n")
    termios.tcsetwinsize(fd, (10, 20))
    wait_for(b"winch")
    os.write(fd, b"\x03")
    wait_for(b"winch\r\n^Cint\r\n")
    os.kill(pid, signal.SIGHUP)
    wait_for(b"hup")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
    assert re.fullmatch(rb"ready\r\n\^Cint\r\nwinch\r\n\^Cint\r\nhup\r\n", said), said


@test
def a_command_does_not_outlive_the_one_that_looks_after_it():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"x")
    for how in ("restart", "HUP"):
        lines = renewing(alice, how)
        lines.next()
        lines.process.kill()
        assert lines.next() == "term"


@test
def a_command_with_renewal_inherits_no_more_than_without():
    _, admin, alice = both()
    admin("put", "modulos", stdin=b"x")
    shell = 'grep -E "^Sig(Blk|Ign)" /proc/self/status; exec ls /proc/self/fd'
    plain = alice("run", "--file", "K=modulos", "--", "sh", "-c", shell)
    renewed = alice("run", "--file", "K=modulos", "--renew=restart", "--", "sh", "-c", shell)
    assert renewed == plain, (renewed, plain)


# ---- watch


def settled(lines, is_last):
    """Reads on to that line."""
    while not is_last(lines.next()):
        pass
    return True


@test
def events_are_told_a_line_each_across_a_restart():
    agent, admin, alice = both()
    admin("put", "modulos", stdin=b"x")
    text, data = Lines(admin.start("watch")), Lines(admin.start("--json", "watch"))
    # Both watch once they have told of one that was put after they had begun.
    waiting = [text, data]
    while waiting := [lines for lines in waiting if lines.is_quiet(0.3)]:
        agent.admin().call("Put", credential="modulos", text="again")
    put = agent.admin().call("Put", credential="other", text="so far")
    assert put and settled(text, lambda line: re.search(r"put +other$", line))
    assert settled(data, lambda line: json.loads(line).get("credential") == "other")
    id = admin("issue", "ci", "--lifetime", "1h").decode()[6:17]
    admin("put", "modulos", stdin=b"y")
    assert re.search(rf"issued +{id}  ci, of ", line := text.next()), line
    assert re.search(r"put +modulos$", line := text.next()), line
    event = json.loads(data.next())
    assert event["kind"] == "issued" and event["token"]["id"] == id
    seq = json.loads(data.next())["seq"]
    agent.restart()
    admin("forget", "modulos")
    admin("revoke", id)
    assert "forgotten" in text.next() and "revoked" in text.next()
    later = [json.loads(data.next()) for _ in range(2)]
    assert [e["seq"] for e in later] == [seq + 1, seq + 2]
    again = Lines(admin.start("watch", "--json", "--after", str(seq - 1)))
    assert [json.loads(again.next())["seq"] for _ in range(3)] == [seq, seq + 1, seq + 2]
    admin("watch", "--after", "999999", status=1)
    assert "missed" in admin.err


@test
def a_watch_ends_when_nobody_reads_it_any_more():
    _, admin, _ = both()
    reader, writer = os.pipe()
    process = admin.start("watch", stdout=writer)
    os.close(writer)
    time.sleep(0.3)
    assert process.poll() is None
    os.close(reader)
    assert process.wait(timeout=60) == 0


# ---- policy explain, doctor


@test
def explanations_are_the_agents_with_what_is_not_in_force_before_them():
    agent, admin, alice = both()
    out = alice("policy", "explain", "fetch", "modulos").decode()
    assert re.search(r"^Allowed: +yes\nBecause: +.*test.policy:\d+ \[Fetch\]", out), out
    assert alice.json("policy", "explain", "access", "acme/risk:read")["allowed"] is True
    assert alice.json("policy", "explain", "verify")["allowed"] is True
    assert not alice.err
    if IS_ROOT:
        alice("policy", "explain", "fetch", "modulos", "--user", str(BOB), status=4)
        assert admin.json("policy", "explain", "fetch", "modulos", "--user", str(BOB))["allowed"] is False
    unit = admin.json("policy", "explain", "fetch", "modulos", "--unit", "nightly.service")
    assert unit["allowed"] is False and any("nightly.service" in line for line in unit["lines"]), unit
    admin("policy", "explain", "fetch", "modulos", "--policy", agent.policies)
    assert not admin.err
    time.sleep(0.02)
    agent.policy(POLICY + "\n")
    admin("policy", "explain", "fetch", "modulos", "--policy", agent.policies)
    assert re.search("test.policy was changed .*jetonctl reload", admin.err), admin.err
    admin("reload")
    time.sleep(0.02)
    os.unlink(f"{agent.policies}/test.policy")
    admin("policy", "explain", "fetch", "modulos", "--policy", agent.policies)
    assert f"{agent.policies} was changed" in admin.err, admin.err
    for words in (("fetch", "a/b"), ("access", "nonsense"), ("access",), ("verify", "x"), ("nothing",)):
        admin("policy", "explain", *words, status=2)


def findings(tool, *words, status=0, **how):
    found = tool.json("doctor", "--policy", tool.agent.policies, *words, status=status, **how)["findings"]
    return [(f["result"], f["about"], f["message"]) for f in found]


def has(found, result, about, text):
    assert any(f[0] == result and f[1] == about and text in f[2] for f in found), (result, about, text, found)


@test
def doctor_finds_what_is_wrong_and_says_what_to_do():
    agent, admin, alice = both()
    found = findings(admin, status=1)
    has(found, "good", "Socket", agent.socket)
    has(found, "good", "Agent", "runs")
    has(found, "good", "Memory", "locked")
    has(found, "good", "Policies", "1 file")
    has(found, "wrong", "Credentials", "jetonctl put empty")
    for name in ("modulos", "empty", "other"):
        admin("put", name, stdin=b"x")
    findings(admin)
    admin("put", "modulos", "--expires", "3d", stdin=b"x")
    has(findings(admin), "warning", "Credentials", "modulos expires in")
    time.sleep(0.02)
    agent.policy(POLICY + "[Access]\nUser=no-such-user\nScope=a:b\n")
    found = findings(admin, status=1)
    has(found, "warning", "Policies", "there is no user no-such-user")
    has(found, "wrong", "Policies", "jetonctl reload")
    agent.policy(POLICY + "[Access]\nUsr=root\n")
    has(findings(admin, status=1), "wrong", "Policies", "test.policy:")
    agent.policy(POLICY)
    admin("reload")
    text = admin("doctor", "--policy", agent.policies).decode()
    assert re.search(r"^Socket: +/", text) and "All is well" in admin.err
    agent.stop()
    has(findings(admin, status=1), "wrong", "Socket", "jetond.socket")
    os.mkdir(f"{agent.dir}/empty")
    alice("doctor", env={"JETON_SOCKET": agent.config}, status=1)


@test
def doctor_says_beforehand_what_a_unit_would_not_get():
    policy = POLICY + "\n[Fetch]\nCredential=modulos bound empty\nUnit=nightly@*.service\nUser=12345\n"
    agent, admin, alice = both(policy)
    admin("put", "modulos", stdin=b"x")
    bin = f"{scratch()}/bin"
    os.mkdir(bin)
    with open(f"{bin}/systemctl", "w") as f:
        f.write(f'#!/bin/sh\n[ "$1 $2" = "cat --" ] || exit 1\ncat {scratch()}/units/"$3"\n')
    os.chmod(f"{bin}/systemctl", 0o755)
    os.mkdir(f"{scratch()}/units")
    socket_path = f"{agent.run}/credential.sock"

    def unit(name, *lines):
        with open(f"{scratch()}/units/{name}", "w") as f:
            f.write("# /etc/systemd/system/x\n[Service]\n" + "".join(f"LoadCredential={x}\n" for x in lines))
        return [f for f in findings(admin, "--unit", name, env={"PATH": f"{bin}:/usr/bin:/bin"}, status=1)
                if f[1] == "Unit"]

    found = unit("nightly@1.service", f"modulos:{socket_path}", "key:/etc/key")
    assert found == [("good", "Unit", "LoadCredential=modulos of nightly@1.service is granted")], found
    has(unit("nightly@2.service", f"empty:{socket_path}"), "wrong", "Unit", "jetonctl put empty")
    has(unit("nightly@3.service", f"bound:{socket_path}"), "wrong", "Unit", "Binding=unit")
    has(unit("daily.service", f"modulos:{socket_path}"), "wrong", "Unit", "LoadCredential=modulos of daily.service is refused")
    has(unit("nightly@4.service", f"nowhere:{socket_path}"), "wrong", "Unit", "nowhere")
    has(unit("nightly@5.service", f"empty:{socket_path}", ""), "warning", "Unit", "has no LoadCredential=")
    has(unit("nightly@67890.service", f"{'x' * 64}:{socket_path}", f"a%i:{socket_path}"), "wrong", "Unit", "too long")
    env = {"PATH": f"{bin}:/usr/bin:/bin"}
    has(findings(admin, "--unit", "nowhere", env=env, status=1), "wrong", "Unit", "nowhere.service is no unit")
    if IS_ROOT:
        has(findings(alice, "--unit", "nightly@1.service", env=env, status=1), "warning", "Unit", "administrator")


# ---- rotations


@test
def both_tokens_of_a_rotation_tell_who_used_them():
    _, admin, _ = both()
    old = admin("issue", "ci", "--lifetime", "1h").decode().strip()
    admin("verify", stdin=old)
    new = admin("rotate", "ci").decode().strip()
    out = admin("show", old[6:17]).decode()
    assert re.search(rf"^The new one: +{new[6:17]}, ends in .*\n +never used$", out, re.M), out
    out = admin("show", "ci").decode()
    assert re.search(rf"^The old one: +{old[6:17]}, ends in .*\n +last used .* by \S+", out, re.M), out


@test(timeout=150)
def an_old_token_ends_when_its_users_use_the_new_one():
    agent, admin, _ = both()
    old = admin("issue", "ci", "--lifetime", "1h").decode().strip()
    admin("verify", stdin=old)
    lines = Lines(admin.start("rotate", "ci", "--when-unused"))
    new = lines.next()
    assert has_form(new)
    # Whoever reads the value is not kept waiting.
    assert os.read(lines.process.stdout.fileno(), 1) == b""
    admin("verify", stdin=old)
    # It says so after it has closed that.
    assert any(b"Waits until" in line for line in lines.process.stderr)
    lines.process.terminate()
    lines.process.wait()
    lines = Lines(admin.start("rotate", old[6:17], "--when-unused"))
    time.sleep(2)
    assert lines.process.poll() is None
    agent.restart()
    admin("verify", stdin=new)
    assert lines.process.wait(timeout=300) == 0
    assert b"was revoked" in lines.process.stderr.read()
    admin("verify", stdin=old, status=3)
    admin("verify", stdin=new)


main()
