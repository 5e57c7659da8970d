"""Completion: what the tool offers at a cursor, and that bash, zsh and fish show it."""

import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import time

from tap import scratch, test
from tool import BUILD, TOP, Tool, environment, run
from with_words import COMMANDS


def offered(*words, socket=None):
    """{word: what it is} of what the tool offers at the last word."""
    if socket:
        words = ("--socket", socket, *words)
    r = run("__complete", *words).has(0, None)
    return dict(line.partition("\t")[::2] for line in r.out.splitlines())


@test
def every_command_is_offered_with_its_help_and_just_its_own_options():
    for command in COMMANDS:
        words = command.split()
        for i, word in enumerate(words):
            assert word in offered(*words[:i], word[:2]), command
        own = set(re.findall(r"^ .*?(--[a-z-]+)", run("help", *words).out, re.M))
        assert set(offered(*words, "--")) == own, command
    assert offered("iss") == {"issue": "make a token; its value goes to standard output"}
    assert set(offered("")) == {c.split()[0] for c in COMMANDS}
    assert set(offered("policy", "")) == {"check", "explain"}
    assert set(offered("policy", "explain", "")) == {"fetch", "access", "verify"}
    assert set(offered("help", "policy", "explain", "f")) == {"fetch"}
    assert offered("polcy", "") == {}


@test
def ids_and_names_of_tokens_are_offered_where_a_token_is_meant():
    tool = Tool()
    id = tool.agent.add("nightly")
    other = tool.agent.add("two words")
    for command in ("show", "revoke", "rotate"):
        assert offered(command, "", socket=tool.socket) == {
            "nightly": id, id: "nightly", "two words": other, other: "two words"}
        assert offered(command, "nig", socket=tool.socket) == {"nightly": id}
    # One is all that show takes; revoke takes more.
    assert offered("show", id, "", socket=tool.socket) == {}
    assert other in offered("revoke", id, "", socket=tool.socket)
    assert offered("show", "--owner", "", socket=tool.socket) == {"": "users"}
    tool.agent.add("\x1b[31mred")
    assert "\x1b" not in str(offered("show", "", socket=tool.socket))


@test
def credentials_are_offered_where_one_is_meant():
    tool = Tool()
    tool.agent.answers["ListCredentials"] = lambda _: [{"credential": {
        "name": name, "kind": "held", "description": "A key"}} for name in ("modulos", "other")]
    for words in (["get", ""], ["put", ""], ["forget", ""], ["policy", "explain", "fetch", ""]):
        assert offered(*words, socket=tool.socket) == {"modulos": "A key", "other": "A key"}, words
    assert offered("run", "--env", "KEY=mo", socket=tool.socket) == {"KEY=modulos": "A key"}
    assert offered("run", "--file=KEY=o", socket=tool.socket) == {"--file=KEY=other": "A key"}
    assert offered("run", "--file", "KE", socket=tool.socket) == {}


@test
def files_users_units_and_programs_are_for_the_shell_to_offer():
    for words, what in ((["policy", "check", ""], "files"), (["scan", ""], "files"), (["--socket", ""], "files"),
                        (["doctor", "--policy="], "directories"), (["list", "--owner", ""], "users"),
                        (["policy", "explain", "verify", "--user", ""], "users"), (["doctor", "--unit", ""], "units"),
                        (["run", "--", ""], "programs"), (["run", ""], "programs"), (["run", "ls", "-"], "files")):
        assert offered(*words) == {"": what}, words


@test
def values_that_are_words_are_offered():
    assert set(offered("list", "--json=")) == {"--json=pretty", "--json=short", "--json=off"}
    assert {"restart", "HUP"} <= set(offered("run", "--renew", ""))
    assert "--lifetime=30d" in offered("issue", "a", "--lifetime=3")
    assert "30d" in offered("issue", "a", "--lifetime", "")
    assert offered("issue", "a", "--scope", "") == {} and offered("issue", "") == {}


@test
def an_agent_that_is_down_or_hangs_costs_a_second_at_most():
    assert offered("show", "", socket=f"{scratch()}/none") == {}
    path = f"{scratch()}/hung"
    with socket.socket(socket.AF_UNIX) as hung:
        hung.bind(path)
        hung.listen(0)
        began = time.monotonic()
        for words in (["show", ""], ["get", ""]):
            assert offered(*words, socket=path) == {}
        # Its queue is full now: not even a connection can be had.
        assert offered("revoke", "", socket=path) == {}
        # Three seconds; it would be ten for each as for other commands.
        assert time.monotonic() - began < 20


# ---- shells -------------------------------------------------------------------------------------


def needs(shell):
    return lambda: None if shutil.which(shell, path="/usr/bin:/bin") else f"needs {shell}: .ci/deps shells"


class Shell:
    """An interactive one on a terminal, with the tool in its PATH and an agent to ask."""

    START = {
        "bash": (["bash", "--norc", "--noprofile", "-i"],
                 "bind 'set show-all-if-ambiguous on'; bind 'set enable-bracketed-paste off'; "
                 f"PS1='READY''> '; . {TOP}/completion/bash/jetonctl"),
        "zsh": (["zsh", "-f", "-i"],
                f"fpath=({TOP}/completion/zsh $fpath); autoload -U compinit; compinit -u -D; setopt no_beep; "
                "LISTMAX=1000; PS1='READY''> '"),
    }

    def __init__(self, name):
        self.tool = Tool()
        self.id = self.tool.agent.add("nightly-job")
        self.tool.agent.answers["ListCredentials"] = lambda _: [{"credential": {"name": "modulos", "kind": "held"}}]
        command, begin = self.START[name]
        env = environment(PATH=f"{BUILD}:/usr/bin:/bin", JETON_SOCKET=self.tool.socket, COLUMNS="100", LINES="50")
        self.said = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(scratch())
            os.execvpe(command[0], command, env)
        self.n = 0
        self._settle(begin)

    def _read(self, until, timeout=100):
        end = time.monotonic() + timeout
        while until not in self.said:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"no {until!r}: {self.said!r}"
            self.said += os.read(self.fd, 65536).decode(errors="replace")
        end = self.said.index(until) + len(until)
        said, self.said = self.said[:end], self.said[end:]
        return said

    def _settle(self, command=":"):
        """Runs a command, in the place of what is typed, and waits until the shell is through with it."""
        self.n += 1
        os.write(self.fd, f"\x15{command}; echo so''far{self.n}\n".encode())
        self._read(f"sofar{self.n}")
        self._read("READY> ")

    def shows(self, line, *what):
        """Types the line and a tab; all of these are on the screen then. The line is given up."""
        self.said = ""
        os.write(self.fd, f"{line}\t".encode())
        seen = ""
        for word in what:
            if word not in seen:
                seen += self._read(word)
        self._settle()

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def shell_shows_what_the_tool_offers(name):
    shell = Shell(name)
    shell.shows("jetonctl re", "reload", "revoke")
    shell.shows("jetonctl policy explain ", "access", "fetch", "verify")
    shell.shows("jetonctl list --e", "--ended", "--expiring")
    shell.shows("jetonctl show ", "nightly-job", shell.id)
    shell.shows("jetonctl show nigh", "tly-job")
    shell.shows("jetonctl get mod", "ulos")
    shell.shows("jetonctl run --env KEY=mod", "ulos")
    shell.shows("jetonctl issue x --lifetime=3", "0d")
    shell.shows("jetonctl status --json=sho", "rt")
    with open(f"{scratch()}/a-policy-file", "w"):
        pass
    shell.shows("jetonctl policy check a-pol", "icy-file")
    shell.shows("jetonctl --socket=a-pol", "icy-file")
    shell.shows("jetonctl list --owner daem", "on")
    shell.shows("jetonctl run -- unsha", "re")
    shell.end()


@test(needs=[needs("bash")])
def bash_shows_what_the_tool_offers():
    shell_shows_what_the_tool_offers("bash")


@test(needs=[needs("zsh")])
def zsh_shows_what_the_tool_offers():
    shell_shows_what_the_tool_offers("zsh")


@test(needs=[needs("fish")])
def fish_offers_what_the_tool_offers():
    tool = Tool()
    id = tool.agent.add("nightly-job")
    tool.agent.answers["ListCredentials"] = lambda _: [{"credential": {"name": "modulos", "kind": "held"}}]
    with open(f"{scratch()}/a-policy-file", "w"):
        pass

    def complete(line):
        done = subprocess.run(["fish", "-N", "-c", f"source {TOP}/completion/fish/jetonctl.fish; complete -C \"$argv\"",
                               line], capture_output=True, text=True, timeout=100, cwd=scratch(),
                              env=environment(PATH=f"{BUILD}:/usr/bin:/bin", JETON_SOCKET=tool.socket))
        assert not done.stderr, done.stderr
        return dict(row.partition("\t")[::2] for row in done.stdout.splitlines())
    assert complete("jetonctl rel") == {"reload": "have the agent read its policies again"}
    assert set(complete("jetonctl policy explain ")) == {"access", "fetch", "verify"}
    assert complete("jetonctl show nig") == {"nightly-job": id}
    assert complete(f"jetonctl show {id[:9]}") == {id: "nightly-job"}
    assert set(complete("jetonctl get ")) == {"modulos"}
    assert set(complete("jetonctl run --env KEY=mod")) == {"KEY=modulos"}
    assert set(complete("jetonctl status --json=sho")) == {"--json=short"}
    assert "a-policy-file" in complete("jetonctl policy check a-pol")
    assert "--socket=a-policy-file" in complete("jetonctl --socket=a-pol")
    assert "daemon" in complete("jetonctl list --owner daem")
    assert "unshare" in complete("jetonctl run -- unsha")
