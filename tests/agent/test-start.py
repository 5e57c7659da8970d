#!/usr/bin/env -S python3 -B
"""How the agent starts and stops: command line, settings, sockets, signals."""

import os
import re
import signal
import socket
import stat
import subprocess
import time

import jeton
from jeton import (AGENT_UID, ALICE, BOB, BUILD, IS_ROOT, Agent, Closed, Error, Skip, main, program,
                   root, scratch, serial, test, wait_until)
from peers import Accounts

OPTIONS = ("--user", "--socket", "--config", "--policy", "--state", "--credential-socket", "--help",
           "--version")


def run(*arguments):
    return subprocess.run([program("jetond"), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True,
                          text=True, errors="backslashreplace", timeout=100)


# ---- command line --------------------------------------------------------------------------------

@test
def help_and_version_are_told_and_that_is_all():
    done = run("--help")
    assert done.returncode == 0 and not done.stderr
    assert all(option in done.stdout for option in OPTIONS), done.stdout
    done = run("--version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+", done.stdout) and not done.stderr


@test
def a_wrong_command_line_is_wrong_usage():
    for arguments in (["--nonsense"], ["extra"], ["--socket"], ["--config", "/dev/null", "x"],
                      ["-"], ["-xyz"], ["--user=x"], ["\x1b[31m"], ["--\x1b[31m"], [b"\xff"], [b"--\xff"], [""],
                      ["x" * 100000], ["--" + "x" * 100000]):
        done = run(*arguments)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", done.stderr), (arguments, done)
        assert done.stderr.count("\n") == 1 and "jetond --help" in done.stderr, (arguments, done)
        assert done.returncode == 2 and done.stderr.strip() and not done.stdout, (arguments, done)


@test
def the_version_is_the_one_that_the_socket_tells():
    version = run("--version").stdout
    agent = Agent().start()
    c = agent.connect()
    assert c.call("GetStatus")["version"] in version
    assert c.call("org.varlink.service.GetInfo")["version"] in version


@test
def it_says_nothing_on_standard_output_and_starts_without_a_manager():
    agent = Agent().spawn()
    wait_until(lambda: os.path.exists(agent.socket), "its socket")
    assert agent.connect().call("GetStatus")["state"] == "running"
    agent.stop()


@test
def a_manager_that_does_not_listen_is_no_hindrance():
    agent = Agent().spawn(env={"NOTIFY_SOCKET": "/nonexistent/notify"})
    wait_until(lambda: os.path.exists(agent.socket), "its socket")
    assert agent.connect().call("GetStatus")["state"] == "running"


@test
def a_notify_socket_of_any_spelling_is_no_hindrance():
    agent = Agent()
    plain, listening = f"{agent.dir}/file", f"{agent.dir}/stream"
    open(plain, "wb").close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(listening)
        stream.listen()
        os.chmod(listening, 0o666)
        for name in ("", "relative", "/", "@", "@" + "x" * 107, "@" + "x" * 200, "/" + "x" * 107, "/" + "x" * 300,
                     plain, listening, agent.dir, "vsock:2:1", "a\u00e9", "%s%n"):
            mark = agent.log_size()
            agent.spawn(env={"NOTIFY_SOCKET": name})
            wait_until(lambda: " serves " in agent.log(mark), f"its socket, NOTIFY_SOCKET={name!r}")
            with agent.connect() as c:
                assert c.call("GetStatus")["state"] == "running", name
            agent.stop()


@test
def a_watchdog_that_is_nonsense_is_a_warning_and_none():
    agent = Agent()
    for env in ({"WATCHDOG_USEC": "nonsense"}, {"WATCHDOG_USEC": "-1"}, {"WATCHDOG_USEC": "0"},
                {"WATCHDOG_USEC": "1" * 30}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "x"}):
        mark = agent.log_size()
        agent.start(env=env)
        with agent.connect() as c:
            assert c.call("GetStatus")["state"] == "running", env
        agent.stop()
        assert "WATCHDOG_USEC" in agent.log(mark), env
    mark = agent.log_size()
    agent.start(env={"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"})
    agent.stop()
    assert "WATCHDOG" not in agent.log(mark), "another process's watchdog is its own"


@test
def its_program_may_be_replaced_and_removed_while_it_runs():
    with open(jeton.program("jetond"), "rb") as f:
        code = f.read()
    agent = Agent()
    copy = f"{agent.dir}/jetond"

    def put(data):
        with open(f"{copy}.new", "wb") as f:
            f.write(data)
        os.chmod(f"{copy}.new", 0o755)
        os.rename(f"{copy}.new", copy)

    put(code)
    was, jeton.program = jeton.program, lambda name: copy
    agent.start()
    jeton.program = was
    c = agent.connect()
    for change in (lambda: put(b"#!/bin/false\n"), lambda: put(code), lambda: os.unlink(copy)):
        change()
        token = c.call("Issue", name="n")["token"]
        assert c.call("Verify", token=token)
        with agent.connect() as other:
            assert other.call("GetStatus")["state"] == "running"
    agent.signal(signal.SIGHUP)
    assert c.call("GetStatus")["state"] == "running"
    agent.kill()
    agent.start()
    assert agent.connect().call("Verify", token=token)


@test
def it_closes_what_it_was_started_with():
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    agent = Agent().start()
    os.close(writer)
    assert agent.connect().call("GetStatus")
    # The descriptor is the agent's until it ends, or it has closed it; either way it works.
    agent.stop()
    assert os.read(reader, 1) == b""


# ---- a user's own --------------------------------------------------------------------------------

def own_agent(settings="", policy=""):
    """An agent with --user, all of it in XDG base directories that are below its directory."""
    agent = Agent()
    base = f"{agent.dir}/home"
    env = {"HOME": base, "XDG_RUNTIME_DIR": f"{base}/run", "XDG_CONFIG_HOME": f"{base}/config",
           "XDG_STATE_HOME": f"{base}/state", "XDG_DATA_HOME": f"{base}/data"}
    for path in (base, *list(env.values())[1:], f"{base}/config/jeton",
                 f"{base}/config/jeton/policy.d"):
        os.mkdir(path, 0o700)
    with open(f"{base}/config/jeton/jeton.conf", "w") as f:
        f.write(f"[Agent]\n{settings}\n")
    with open(f"{base}/config/jeton/policy.d/own.policy", "w") as f:
        f.write(policy)
    for parent, directories, files in os.walk(base):
        for name in (".", *directories, *files):
            if IS_ROOT:
                os.chown(os.path.join(parent, name), AGENT_UID, AGENT_UID)
    agent.socket = f"{base}/run/jeton/agent.sock"
    return agent, env


@test
def a_users_own_agent_keeps_to_the_xdg_directories_and_that_user_administers_it():
    agent, env = own_agent("MinLifetime=7s", f"[Access]\nUser={AGENT_UID}\nScope=a:read\n")
    agent.start(arguments=["--user"], env=env)
    assert stat.S_IMODE(os.stat(agent.socket).st_mode) == 0o600
    c = agent.connect(AGENT_UID)
    token = c.call("Issue", name="n", lifetimeSec=7)["token"]
    assert c.call("Verify", token=token, scopes=["a:read"])
    assert c.call("Reload") == {}
    assert os.listdir(f"{env['XDG_STATE_HOME']}/jeton")
    agent.restart(arguments=["--user"], env=env)
    assert len(agent.connect(AGENT_UID).list()) == 1
    # Each path has an option in its place.
    agent.stop()
    agent.socket = f"{agent.run}/own.sock"
    agent.start(arguments=["--user", "--socket", agent.socket, "--state", agent.state], env=env)
    assert agent.connect(AGENT_UID).list() == []


# ---- settings ------------------------------------------------------------------------------------

@test
def an_unknown_setting_or_section_is_a_warning_with_its_line():
    agent = Agent("Colour=red\nMinLifetime=5s\n[Other]\nx=1").start()
    log = agent.log()
    assert f"{agent.config}:2" in log and "Colour" in log, log
    assert f"{agent.config}:4" in log and "Other" in log, log
    assert agent.connect().call("Issue", name="n", lifetimeSec=5)


@test
def a_wrong_value_stops_the_start_with_its_line():
    wrong = ["MinLifetime=soon", "MinLifetime=", "MaxLifetime=-1", "MaxTokensPerUser=many",
             "MaxConnections=0", "MemoryLimit=12Q", "SocketMode=rw", "SocketMode=9999",
             "AllowUnlocked=maybe",
             "Storage=cloud", "KeepEnded=x", "MaxTokensPerUser=-5", "CredentialRefusal=loud",
             "MinLifetime=1s\nMaxLifetime=1ms"]
    for line in wrong:
        agent = Agent(f"# a comment\n{line}")
        said = agent.fails_to_start()
        number = 2 + 1 + line.count("\n")
        assert f"{agent.config}:{number}: " in said, (line, said)


@test
def a_check_tells_of_wrong_files_and_starts_nothing():
    agent = Agent("KeepEnded=1d", "[Access]\nUser=root\nScope=a:read\n")

    def check():
        mark = agent.log_size()
        status = agent.spawn([*agent.arguments(), "--check"]).wait()
        return status, agent.log(mark)
    assert check() == (0, "")
    agent.policy("[Access]\nUser=root\nScope=\n", "wrong.policy")
    status, said = check()
    assert status == 1 and f"{agent.policies}/wrong.policy:3: " in said, said
    agent.settings("KeepEnded=soon")
    status, said = check()
    assert status == 1 and f"{agent.policies}/wrong.policy:3: " in said and f"{agent.config}:2: " in said, said
    assert not os.path.exists(agent.socket) and not os.path.exists(agent.state)


@test
def bounds_that_contradict_each_other_stop_the_start():
    for lines in ("MinLifetime=2h\nMaxLifetime=1h", "DefaultLifetime=2y", "DefaultLifetime=1min"):
        assert Agent(lines).fails_to_start()


@test
def drop_ins_come_after_the_file_in_the_order_of_their_names():
    agent = Agent("MinLifetime=10s")
    os.mkdir(f"{agent.config}.d", 0o755)
    for name, seconds in (("20-b.conf", 3), ("10-a.conf", 2), ("30-c.txt", 9)):
        with open(f"{agent.config}.d/{name}", "w") as f:
            f.write(f"[Agent]\nMinLifetime={seconds}s\n")
    agent.start()
    c = agent.connect()
    assert c.error("Issue", name="n", lifetimeSec=2).minSec == 3


@test
def settings_that_others_could_have_written_are_refused():
    agent = Agent()
    for mode in (0o664, 0o646):
        os.chmod(agent.config, mode)
        assert agent.config in agent.fails_to_start()
    os.chmod(agent.config, 0o644)
    os.mkdir(f"{agent.config}.d", 0o755)
    os.chmod(f"{agent.config}.d", 0o777)
    assert f"{agent.config}.d" in agent.fails_to_start()
    os.chmod(f"{agent.config}.d", 0o755)
    if IS_ROOT:
        os.chown(agent.config, BOB, 0)
        assert agent.config in agent.fails_to_start()
        os.chown(agent.config, AGENT_UID, 0)
    agent.start()


@test
def a_settings_file_that_was_named_must_be_there():
    agent = Agent()
    os.unlink(agent.config)
    assert agent.config in agent.fails_to_start()


@test
def settings_that_are_no_plain_file_are_refused_and_nothing_hangs():
    agent = Agent()
    os.unlink(agent.config)
    os.mkfifo(agent.config, 0o644)
    assert agent.config in agent.fails_to_start()


@test(needs=[root])
def socketmode_says_who_may_connect():
    agent = Agent().start()
    assert stat.S_IMODE(os.stat(agent.socket).st_mode) == 0o666
    assert agent.connect(ALICE).call("GetStatus")
    agent.stop()
    agent.settings("SocketMode=0600")
    agent.start(setup=lambda: os.umask(0))
    assert stat.S_IMODE(os.stat(agent.socket).st_mode) == 0o600
    try:
        agent.connect(BOB)
    except PermissionError:
        return
    raise AssertionError("another user connects all the same")


# ---- sockets -------------------------------------------------------------------------------------

def listener(path, backlog=16):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(path)
    os.chmod(path, 0o666)
    sock.listen(backlog)
    return sock


@test
def a_socket_that_was_passed_is_served_and_left_in_place():
    agent = Agent()
    path = f"{agent.run}/passed.sock"
    sock = listener(path)
    unlisted, agent.socket = agent.socket, path
    # What is asked before the agent is there is answered once it is.
    early = agent.connect()
    early.send("GetStatus")
    arguments = ["--config", agent.config, "--policy", agent.policies, "--state", agent.state,
                 "--socket", unlisted]
    agent.start(arguments=arguments, listen=[sock.fileno()])
    assert early.reply()["state"] == "running"
    token = agent.connect().call("Issue", name="n")["token"]
    assert not os.path.exists(unlisted), "a second socket beside the one that was passed"
    agent.stop()
    assert os.path.exists(path), "it removed a socket that is not its own"
    waiting = agent.connect()
    waiting.send("Verify", {"token": token})
    agent.start(arguments=arguments, listen=[sock.fileno()])
    assert waiting.reply()["info"]["name"] == "n"


@test
def restarts_behind_a_passed_socket_refuse_nobody():
    agent = Agent()
    agent.socket = f"{agent.run}/passed.sock"
    sock = listener(agent.socket, 1000)
    arguments = ["--config", agent.config, "--policy", agent.policies, "--state", agent.state]
    agent.start(arguments=arguments, listen=[sock.fileno()])
    for _ in range(5):
        agent.signal(signal.SIGTERM)
        clients = [agent.connect() for _ in range(50)]
        assert agent.wait() == 0
        agent.start(arguments=arguments, listen=[sock.fileno()])
        answered = 0
        for c in clients:
            try:
                c.send("GetStatus")
                answered += c.reply()["state"] == "running"
            except (Closed, BrokenPipeError, ConnectionResetError):
                pass  # it was accepted by the one that stopped
        assert answered


@test
def descriptors_that_are_no_listening_stream_socket_are_refused_by_their_number():
    agent = Agent()
    datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagram.bind(f"{agent.run}/datagram")
    seqpacket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    seqpacket.bind(f"{agent.run}/seqpacket")
    seqpacket.listen()
    unheard = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    unheard.bind(f"{agent.run}/unheard")
    inet = socket.create_server(("127.0.0.1", 0))
    connected, _ = socket.socketpair()
    plain = os.open(agent.config, os.O_RDONLY)
    wrong = {"datagram": datagram.fileno(), "seqpacket": seqpacket.fileno(),
             "not listening": unheard.fileno(),
             "inet": inet.fileno(), "connected": connected.fileno(), "a file": plain}
    for what, fd in wrong.items():
        said = agent.fails_to_start(listen=[fd])
        assert re.search(r"\b3\b", said), (what, said)


@test
def two_sockets_where_one_belongs_are_refused():
    agent = Agent()
    socks = [listener(f"{agent.run}/{n}.sock") for n in range(2)]
    agent.fails_to_start(listen=[s.fileno() for s in socks])


@test
def a_descriptor_that_is_announced_but_not_there_is_refused():
    agent = Agent()
    sock = listener(f"{agent.run}/passed.sock")
    agent.fails_to_start(listen=[sock.fileno()], env={"LISTEN_FDS": "3"})


@test
def descriptors_for_another_process_are_not_taken():
    agent = Agent()
    sock = listener(f"{agent.run}/passed.sock")
    agent.start(listen=[sock.fileno()], env={"LISTEN_PID": "1"})
    assert agent.connect().call("GetStatus")["state"] == "running"


@test
def a_path_that_is_too_long_for_a_socket_is_refused_with_a_word():
    agent = Agent()
    agent.socket = f"{agent.run}/{'x' * 120}"
    assert "x" * 20 in agent.fails_to_start()


@test
def something_else_at_the_sockets_path_is_not_removed():
    for make in (lambda path: open(path, "w").close(), os.mkdir):
        agent = Agent()
        make(agent.socket)
        assert agent.socket in agent.fails_to_start()
        assert os.path.exists(agent.socket)


@test
def a_socket_removed_from_under_it_harms_nobody_who_is_connected():
    agent = Agent().start()
    c = agent.connect()
    os.unlink(agent.socket)
    assert c.call("Issue", name="n")


# ---- signals -------------------------------------------------------------------------------------

@test
def sigterm_and_sigint_stop_it_well_within_two_seconds():
    def stopped(number):
        agent = Agent().start()
        idle, half = agent.connect(), agent.connect()
        half.send_bytes(b"{")
        idle.call("GetStatus")
        start = time.monotonic()
        agent.signal(number)
        assert agent.wait() == 0
        took = time.monotonic() - start
        assert idle.is_closed()
        assert not os.path.exists(agent.socket), "its socket is still there"
        return took
    for number in (signal.SIGTERM, signal.SIGINT):
        # One that waits does so each time; a machine with much to do is late now and then.
        assert any(stopped(number) < 2 for _ in range(10)), number


@test
def what_is_under_way_at_sigterm_is_answered_or_was_not_done():
    agent = Agent("MaxTokensPerUser=100000").start()
    c = agent.connect()
    c.call("GetStatus")
    c.send_bytes(c.encode("Issue", {"name": "n"}) * 2000)
    tokens = [c.reply()["token"] for _ in range(5)]
    agent.signal(signal.SIGTERM)
    try:
        while True:
            tokens.append(c.receive()["parameters"]["token"])
    except Closed:
        pass
    assert agent.wait() == 0
    agent.start()
    c = agent.connect()
    answers = serial(c, [("Verify", {"token": t}) for t in tokens])
    assert not [a for a in answers if isinstance(a, Error)]
    # What was done and not answered was on its way when the connection ended: little.
    assert len(c.list()) - len(tokens) < 1000


@test
def clients_that_do_not_read_do_not_keep_it_from_stopping():
    agent = Agent().start()
    c = agent.connect()
    serial(c, [("Issue", {"name": f"n{n}"}) for n in range(300)])
    deaf = [agent.connect() for _ in range(10)]
    for d in deaf:
        d.send_bytes(d.encode("List", {}, more=True) * 20)
    c.call("GetStatus")
    start = time.monotonic()
    agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    # What is unread is given up after thirty seconds otherwise.
    assert time.monotonic() - start < 20
    agent.start()
    assert len(agent.connect().list()) == 300


@test
def a_second_sigterm_is_harmless():
    agent = Agent().start()
    clients = [agent.connect() for _ in range(8)]
    for c in clients:
        c.send_bytes(c.encode("Issue", {"name": "n"}) * 100)
    for _ in range(5):
        agent.signal(signal.SIGTERM)
    assert agent.wait() == 0
    agent.start()


@test
def sighup_reloads_and_keeps_what_was_right_where_the_files_are_wrong():
    agent = Agent(policy=f"[Access]\nUser={ALICE}\nScope=a:read\n").start()
    c = agent.connect()
    token = c.call("Issue", name="n")["token"]
    agent.policy(f"[Access]\nUser={ALICE}\nScope=b:read\n")
    agent.signal(signal.SIGHUP)
    wait_until(lambda: c.call("Verify", token=token)["access"] == ["b:read"], "the reload")
    agent.policy("[Access]\nwrong\n")
    mark = agent.log_size()
    agent.signal(signal.SIGHUP)
    wait_until(lambda: f"{agent.policies}/test.policy:2: " in agent.log(mark),
               "what is wrong in the log")
    assert c.call("Verify", token=token)["access"] == ["b:read"]
    assert c.call("GetStatus")["state"] == "running"


@test
def other_signals_harm_nothing():
    agent = Agent().start()
    c = agent.connect()
    for number in (signal.SIGPIPE, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXFSZ, signal.SIGCHLD,
                   signal.SIGWINCH, signal.SIGURG):
        agent.signal(number)
        assert c.call("GetStatus")["state"] == "running", number
        assert c.call("Issue", name="n")


@test
def a_stopped_and_continued_agent_goes_on():
    agent = Agent().start()
    c = agent.connect()
    agent.pause()
    c.send("Issue", {"name": "n"})
    agent.signal(signal.SIGCONT)
    assert c.reply()


# ---- what it says and shows ----------------------------------------------------------------------

@test
def the_status_tells_since_when_it_runs_and_how_many_are_connected():
    before = time.time_ns() // 1000
    agent = Agent().start()
    clients = [agent.connect() for _ in range(3)]
    for c in clients:
        c.call("GetStatus")
    status = clients[0].call("GetStatus")
    assert status["connections"] == 3 and status["state"] == "running"
    assert before <= status["startedUSec"] <= time.time_ns() // 1000
    assert before <= status["policiesLoadedUSec"] <= time.time_ns() // 1000
    assert status["tokensActive"] == status["tokensTotal"] == status["credentials"] == 0


@test
def names_in_the_log_are_of_one_line_and_hold_no_control_characters():
    agent = Agent().start()
    c = agent.connect()
    for method in ("io.jeton.Agent.X\n<0>forged line", "a.B\x1b[31m",
                   "io.jeton.Agent.\u202ereversed"):
        c.error(method)
    c.error("Verify", token="jeton_\nforged\x1b[2J")
    for line in agent.log().splitlines():
        assert not line.startswith(("<0>forged", "forged")), line
        assert "\x1b" not in line, line


@test(needs=[root])
def its_memory_is_closed_to_other_processes_of_its_user():
    with open(f"{BUILD}/config.key") as key:
        sanitized = "-fsanitize" in key.read()
    if sanitized:
        raise Skip("a build for tests leaves itself open to the leak checker")
    agent = Agent().start()
    agent.connect().call("Issue", name="n")
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(*[AGENT_UID] * 3)
        os.setresuid(*[AGENT_UID] * 3)
        try:
            open(f"/proc/{agent.pid}/mem", "rb")
        except PermissionError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "a process of the agent's user opens its memory"


@test(needs=[root])
def the_administrators_group_is_by_default_jeton_admin():
    Accounts(scratch(), {"alice": ALICE}, {"jeton-admin": (40100, [])})
    agent = Agent().start()
    assert agent.connect(ALICE, groups=[40100]).call("Reload") == {}
    assert agent.connect(ALICE).error("Reload").name == "PermissionDenied"


main()
