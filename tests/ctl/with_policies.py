"""policy check."""

import json
import os

from tap import scratch, test
from tool import run

GOOD = "[Access]\nUser=root\nScope=acme/risk:read\n"


def write(name, text, mode=0o644):
    path = f"{scratch()}/{name}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


@test
def files_without_mistakes_are_counted():
    a, b = write("a.policy", GOOD), write("b", GOOD)
    run("policy", "check", a).has(0, "^1 file, no mistakes\n$", "^$")
    run("policy", "check", a, b).has(0, "^2 files, no mistakes\n$", "^$")
    run("-q", "policy", "check", a).has(0, "^$", "^$")


@test
def each_files_first_mistake_is_told_with_its_line():
    a = write("a", "[Access]\nUsr=root\nScope=a:b\n")
    b = write("b", "[Access]\nUser=root\nScope=nonsense\n")
    r = run("policy", "check", a, write("good", GOOD), b).has(1, "^$", rf"^{a}:2: .+\n{b}:3: .+\n$")
    assert r.err.count("\n") == 2
    run("policy", "check", f"{scratch()}/nowhere").has(1, "^$", "nowhere")


@test
def mistakes_that_take_two_files_are_found():
    text = "[Credential db]\nDescription=x\n"
    a, b = write("a", text), write("b", text)
    run("policy", "check", a).has(0)
    run("policy", "check", a, b).has(1, "^$", f"^{b}:1: ")


@test
def names_that_nobody_has_are_warnings():
    a = write("a", "[Access]\nUser=no-such-user-xyz\nGroup=no-such-group-xyz\nScope=a:b\n")
    r = run("policy", "check", a).has(0, "no mistakes", rf"{a}:2: warning: there is no user no-such-user-xyz")
    r.has(0, None, rf"{a}:3: warning: there is no group no-such-group-xyz")


@test
def the_agents_own_directory_is_checked_with_who_may_write_there():
    config = f"{scratch()}/config"
    env = {"XDG_CONFIG_HOME": config}
    run("--user", "policy", "check", env=env).has(0, "^0 files")
    path = write("config/jeton/policy.d/x.policy", GOOD)
    write("config/jeton/policy.d/y.policy~", GOOD)
    run("--user", "policy", "check", env=env).has(0, "^1 file,", "y.policy~: warning: is ignored")
    os.chmod(path, 0o666)
    run("--user", "policy", "check", env=env).has(1, "^$", f"^{path}: ")


@test
def policy_check_as_json_is_one_object():
    a = write("a", "[Access]\nUsr=root\n")
    answer = json.loads(run("policy", "check", a, "--json").has(1).out)
    assert [(f["file"], f["line"], f["kind"]) for f in answer["found"]] == [(a, 2, "mistake")], answer
    answer = json.loads(run("policy", "check", write("b", GOOD), "--json=short").has(0).out)
    assert answer == {"found": [], "files": 1}
