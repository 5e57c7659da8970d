"""scan."""

import json
import os
import socket
import subprocess
import time

from fake_agent import value_of
from tap import Skip, scratch, test
from tool import JETONCTL, SECRET, STRANGER, Tool, environment, run

ID = "0000000000A"


def write(path, data):
    path = f"{scratch()}/{path}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data.encode() if isinstance(data, str) else data)
    return path


@test
def scan_finds_tokens_by_file_and_line_and_prints_no_value():
    a = write("d/a.txt", f"one\ntoken={STRANGER}\n")
    b = write("d/deep/er/b.bin", b"\0\xff\0" + STRANGER.encode() + b"\0" + STRANGER.encode())
    write("d/none", "jeton_ is not enough, nor " + STRANGER[:-1] + "0\n")
    r = run("scan", f"{scratch()}/d").has(3, None, "^$")
    assert sorted(r.out.splitlines()) == [f"{a}:2: {ID}", f"{b}:1: {ID}", f"{b}:1: {ID}"], r
    assert not SECRET.search(r.out)
    run("scan", a, b).has(3, f"^{a}:2: {ID}\n{b}:1")
    run("scan", f"{scratch()}/d/none").has(0, "^$", "^$")


@test
def scan_reads_standard_input_and_the_current_directory():
    run("scan", "-", stdin=f"\n\n{STRANGER}").has(3, f"^-:3: {ID}\n$")
    run("scan", "-", stdin="nothing").has(0, "^$", "^$")
    write("here/x", STRANGER)
    r = subprocess.run([JETONCTL, "scan"], cwd=f"{scratch()}/here", capture_output=True, text=True, env=environment())
    assert r.returncode == 3 and r.stdout == f"./x:1: {ID}\n", r


@test
def scan_follows_no_links_and_passes_over_what_is_no_file():
    outside = write("outside/secret", STRANGER)
    write("d/plain", "nothing")
    os.symlink(outside, f"{scratch()}/d/link")
    os.symlink(f"{scratch()}/outside", f"{scratch()}/d/dirlink")
    os.symlink("loop", f"{scratch()}/d/loop")
    os.mkfifo(f"{scratch()}/d/fifo")
    s = socket.socket(socket.AF_UNIX)
    s.bind(f"{scratch()}/d/sock")
    if os.getuid() == 0:
        os.mknod(f"{scratch()}/d/zero", 0o20666, os.makedev(1, 5))
    run("scan", f"{scratch()}/d").has(0, "^$", "^$")
    # Named, a link is what it points to.
    run("scan", f"{scratch()}/d/link").has(3)
    run("scan", f"{scratch()}/d/fifo").has(0)
    run("scan", "/dev/zero").has(1, "^$", "neither a file nor a directory")


@test
def a_pipe_that_is_named_is_read_to_its_end():
    reader, writer = os.pipe()
    p = subprocess.Popen([JETONCTL, "scan", f"/dev/fd/{reader}"], pass_fds=[reader], text=True,
                         stdout=subprocess.PIPE, env=environment())
    os.close(reader)
    for piece in (b"x\n", STRANGER.encode()[:30], STRANGER.encode()[30:], b"\n"):
        time.sleep(0.05)
        os.write(writer, piece)
    os.close(writer)
    assert p.communicate(timeout=100)[0] == f"/dev/fd/{reader}:2: {ID}\n" and p.returncode == 3


@test
def what_can_not_be_read_is_told_and_the_rest_is_scanned():
    a = write("d/a", STRANGER)
    r = run("scan", f"{scratch()}/nowhere", a, f"{scratch()}/d/x/y").has(3, f"^{a}:1", "nowhere: No such file")
    assert r.err.count("\n") == 2
    run("scan", f"{scratch()}/nowhere").has(1, "^$", "No such file")


@test
def unreadable_files_are_told():
    if os.getuid() != 0:
        raise Skip("needs root, to be somebody else")
    write("d/secret", STRANGER)
    os.chmod(f"{scratch()}/d/secret", 0)
    os.chmod(scratch(), 0o755)
    subprocess.run(["install", "-m", "755", JETONCTL, f"{scratch()}/jetonctl"], check=True)
    r = subprocess.run(["setpriv", "--reuid=12345", "--clear-groups", f"{scratch()}/jetonctl", "scan", f"{scratch()}/d"],
                       capture_output=True, text=True, env=environment())
    assert r.returncode == 1 and "Permission denied" in r.stderr, r


@test
def large_files_are_scanned_to_their_end_across_every_border():
    data = bytearray(b"." * (3 << 20))
    n = 0
    for border in range(1 << 17, len(data) - 200, 1 << 17):
        at = border - (n * 7) % 68
        data[at:at + 67] = STRANGER.encode()
        n += 1
    path = write("large", bytes(data))
    assert run("scan", path).has(3).out.count("\n") == n


@test
def strange_file_names_are_spelt_out_and_never_show_a_value():
    write("d/a\nb:1: x\x1b[31m", STRANGER)
    named = write(f"d/{STRANGER}.txt", "")
    os.makedirs(os.fsencode(f"{scratch()}/d/") + b"\xff\xfe")
    with open(os.fsencode(f"{scratch()}/d/") + b"\xff\xfe/z", "wb") as f:
        f.write(STRANGER.encode())
    r = run("scan", f"{scratch()}/d").has(3, r"a\\nb:1: x\\x1b\[31m:1: 0000000000A")
    assert not SECRET.search(r.out) and r.out.count("\n") == 3, r
    # In a directory's name, glued to other words.
    r = run("scan", write(f"d/x{STRANGER}y/z", STRANGER)[:len(scratch()) + 2]).has(3)
    assert STRANGER[20:] not in r.out, r
    os.remove(f"{scratch()}/d/x{STRANGER}y/z")
    r.has(3, f"jeton_{ID}_\\*+.txt:0: {ID}").has(3, r"/\\xff\\xfe/z:1: ")
    found = json.loads(run("scan", "--json", f"{scratch()}/d").has(3).out)["found"]
    assert len(found) == 4 and {f["id"] for f in found} == {ID}, found
    assert named not in str(found)


@test
def scan_as_json_is_one_object():
    a = write("a", f"\n{STRANGER}")
    for mode in ("pretty", "short"):
        assert json.loads(run("scan", a, f"--json={mode}").has(3).out) == {"found": [{"file": a, "line": 2, "id": ID}]}
        assert json.loads(run("scan", "/dev/null/", f"--json={mode}").out) == {"found": []}


@test
def scan_revoke_ends_what_it_finds_and_says_which_were_good():
    tool = Tool()
    good, gone = tool.agent.add("good"), tool.agent.add("gone")
    tool.agent.end(gone)
    path = write("x", "\n".join([tool.agent.value(good), tool.agent.value(gone), STRANGER, tool.agent.value(good)]))
    r = tool("scan", "--revoke", path).has(3, None, "^$")
    assert r.out.splitlines() == [f"{path}:1: {good} revoked; it was good until now",
                                  f"{path}:2: {gone} had been revoked before",
                                  f"{path}:3: {ID} is no token of this agent's",
                                  f"{path}:4: {good} revoked; it was good until now"], r
    assert all("token" in p for p in tool.agent.called("Revoke"))
    found = json.loads(tool("scan", "--revoke", "--json", path).has(3).out)["found"]
    assert [f["result"] for f in found][1:3] == ["revoked", "unknown"]


@test
def scan_asks_nobody_unless_it_finds_something_to_revoke():
    tool = Tool()
    path = write("x", "nothing")
    tool("scan", "--revoke", path).has(0)
    tool("scan", write("y", value_of("0000000000B"))).has(3)
    assert not tool.agent.calls
    run("--socket", "/nowhere", "scan", path).has(0)
    r = run("--socket", "/nowhere", "scan", "--revoke", write("z", STRANGER + "\n" + STRANGER)).has(5, f"z:1: {ID}\n.*z:2")
    assert r.err.count("\n") == 1, r
