"""The command line itself: help, versions, mistakes, strange words."""

import os
import re
import subprocess

from tap import scratch, test
from tool import JETONCTL, TOP, Tool, run

COMMANDS = ["issue", "derive", "list", "show", "revoke", "rotate", "verify", "scan", "put", "forget", "credentials",
            "get", "run", "watch", "audit", "status", "reload", "lock", "unlock", "rekey", "backup", "restore",
            "policy check", "policy explain fetch", "policy explain access", "policy explain verify", "doctor", "help"]


@test
def help_lists_every_command_and_each_has_help_of_its_own():
    text = run("--help").has(0, None, "^$").out
    assert run("help").out == text and run("-h").out == text
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", text, re.M), command
        words = command.split()
        own = run(*words, "--help").has(0, f"^jetonctl {command}").out
        assert run("help", *words).out == own
        assert all(len(line) <= 120 and line.isascii() for line in own.splitlines())


@test
def the_first_word_of_several_commands_has_help_that_lists_them():
    for words in (["policy"], ["policy", "explain"]):
        text = run("help", *words).has(0, "^Commands:\n  policy ", "^$").out
        listed = re.findall(r"^  (policy [a-z]+(?: [a-z]+)?) ", text, re.M)
        assert listed == [c for c in COMMANDS if c.startswith(" ".join(words) + " ")], listed
        assert run(*words, "--help").out == run(*words, "-h").out == text
    for words in (["polic", "--help"], ["policy", "chek", "--help"], ["policy", "", "-h"]):
        run(*words).has(2, "^$", "^jetonctl: ")


@test
def what_is_asked_for_wrongly_is_told_in_one_line_with_status_2():
    for words, says in (([], "a command is needed"), (["isue"], "unknown command 'isue'; did you mean issue"),
                        (["policy"], "check"), (["policy", "chek"], "check"), (["issue"], "issue NAME"),
                        (["show"], "show TOKEN"), (["show", "a", "b"], "too many"), (["list", "--al-users"], "--all-users"),
                        (["--jsn", "list"], "--json"), (["help", "nothing-like-it"], "unknown command"),
                        (["list", "--socket", "/x", "--user"], "one of them"), (["issue", "a", "--uses", "x"], "--uses"),
                        (["status", "x"], "too many"), (["verify", "x"], "standard input"),
                        (["\x1b[31m"], r"\\x1b\[31m"), ([b"\xff\xfe"], r"\\xff\\xfe"), ([""], "unknown command ''")):
        r = run(*words).has(2, "^$", says)
        assert r.err.count("\n") == 1 and r.err.startswith("jetonctl: "), r


@test
def version_is_told_wherever_it_is_asked_for():
    version = run("--version").has(0, r"^jetonctl \d+\.\d+", "^$").out
    assert run("list", "--version").out == version


@test
def a_command_line_without_even_a_name_does_no_harm():
    # Python refuses an empty list, and the kernel makes it one empty word; both are tried.
    code = "import ctypes, sys; none = (ctypes.c_char_p * 1)(None); " \
           "ctypes.CDLL(None).execve(sys.argv[1].encode(), none, none)"
    r = subprocess.run(["python3", "-c", code, JETONCTL], capture_output=True, text=True)
    assert r.returncode == 2 and r.stderr.startswith("jetonctl: a command is needed"), r
    r = subprocess.run([""], executable=JETONCTL, capture_output=True, text=True)
    assert r.returncode == 2, r


@test
def a_hundred_thousand_words_are_only_a_mistake():
    run("list", *["x"] * 100000).has(2, "^$", "too many")
    run(*["-q"] * 100000, "status", "--socket", "/nowhere").has(5)


@test
def any_locale_and_terminal_will_do():
    tool = Tool()
    tool.agent.add("日本語")
    for env in ({"LC_ALL": "C"}, {"LC_ALL": "xx_YY"}, {"LC_ALL": "", "LANG": ""}, {"TERM": ""}, {"COLUMNS": "0"},
                {"COLUMNS": "-5"}, {"COLUMNS": "x"}, {"TZ": ":::"}, {"HOME": ""}, {"XDG_RUNTIME_DIR": ""}):
        tool("list", env=env).has(0, "日本語", "^$")


@test
def the_socket_is_found_by_option_environment_and_user():
    tool = Tool()
    os.mkdir(f"{scratch()}/jeton")
    os.link(tool.socket, f"{scratch()}/jeton/agent.sock")
    run("status", env={"JETON_SOCKET": tool.socket}).has(0)
    run("--socket", tool.socket, "status", env={"JETON_SOCKET": "/nowhere"}).has(0)
    run("--user", "status", env={"XDG_RUNTIME_DIR": scratch()}).has(0)
    run("--user", "status", env={"JETON_SOCKET": "/nowhere"}).has(5, "^$", "/nowhere")
    run("status", "--socket", "x" * 200).has(1, "^$", "too long")


@test
def the_man_page_tells_of_just_these_commands_and_options():
    with open(f"{TOP}/docs/man/jetonctl.1", encoding="utf-8") as f:
        page = f.read().replace("\\-", "-")
    told = set(re.findall(r"--[a-z][a-z-]*", page))
    there = set()
    for command in COMMANDS:
        own = run("help", *command.split()).out
        there |= set(re.findall(r"^ .*?(--[a-z-]+)", own, re.M))
        assert re.search(rf"^\.B.* {command}\b|^\.SS {command}\b", page, re.M), f"{command} is not told of"
    assert told == there, f"only in the page: {told - there}; only in the tool: {there - told}"
