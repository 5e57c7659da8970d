#!/usr/bin/env -S python3 -B
"""A C program that uses libjeton has a token's whole life by it, from the static library and from
the shared one."""

import os
import re
import subprocess

from jeton import AGENT_UID, ALICE, BUILD, IS_ROOT, TOP, Agent, main, root, scratch, test
from peers import become


def built(shared):
    """life.c, compiled as its author would, against the library of this build."""
    with open(f"{BUILD}/config.key") as f:
        key = f.read()
    compiler = os.environ.get("CC", "clang" if re.match(r"\S*clang", key) else "cc")
    sanitize = re.findall(r"-fsanitize=\S+", key)
    path = f"{scratch()}/life"
    library = [f"{BUILD}/libjeton.a"]
    if shared:
        for name in os.listdir(BUILD):
            if name.startswith("libjeton.so"):
                with open(f"{BUILD}/{name}", "rb") as f, open(f"{scratch()}/{name}", "wb") as copy:
                    copy.write(f.read())
        library = [f"-L{scratch()}", "-ljeton", f"-Wl,-rpath,{scratch()}"]
    subprocess.run([compiler, "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *sanitize,
                    f"-I{TOP}/protocol", f"{TOP}/tests/agent/life.c", "-o", path, *library],
                    check=True)
    os.chmod(path, 0o755)
    return path


def start(path, agent, role, uid):
    def enter():
        if IS_ROOT:
            become(uid, uid)

    return subprocess.Popen([path, agent.socket, role], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, preexec_fn=enter)


def well(path, agent, role, uid=AGENT_UID):
    process = start(path, agent, role, uid)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, (process.returncode, out, err)


NO_ADMINISTRATORS = "AdminGroup=no-such-group"
POLICY = f"[Access]\nUser={AGENT_UID}\nScope=acme/risk:read\n"


@test
def a_program_linked_with_the_static_library_has_a_tokens_whole_life():
    well(built(shared=False), Agent(NO_ADMINISTRATORS, POLICY).start(), "life")


@test
def a_program_linked_with_the_shared_library_has_it_too():
    well(built(shared=True), Agent(NO_ADMINISTRATORS, POLICY).start(), "life")


@test(needs=[root])
def nothing_secret_is_sent_to_an_agent_of_another_user():
    well(built(shared=False), Agent().start(), "stranger", ALICE)


@test
def a_handle_outlives_a_restart_of_the_agent():
    agent = Agent().start()
    process = start(built(shared=False), agent, "stays", AGENT_UID)
    assert process.stdout.readline() == "issued\n", process.communicate()
    agent.restart()
    out, err = process.communicate("go\n", timeout=100)
    assert process.returncode == 0, (out, err)


@test
def where_no_agent_is_the_program_hears_so():
    agent = Agent()
    well(built(shared=False), agent, "nobody")
    agent.start()
    agent.kill()
    well(built(shared=False), agent, "nobody")


main()
