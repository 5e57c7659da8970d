"""Tokens bound to a run of a unit or to a process, with the units and restarts of a real system."""

import json
import os
import re

from box import CLIENT, PYTHON, Box, wait_until
from tap import test

POLICY = """
[Access]
User=root
Scope=a:read a:write
[Access]
User=daemon
Scope=a:read
[Credential bound]
Kind=minted
Owner=daemon
Binding=unit
[Credential process]
Kind=minted
Owner=daemon
Binding=process
[Fetch]
Credential=bound process
Unit=*.service
"""


def ended(box, id):
    """Waits for its end, and gives the reason."""
    return wait_until(lambda: box.ask("Describe", id=id)["info"].get("ended"), f"the end of {id}")


@test
def a_unit_bound_token_is_good_in_its_unit_and_nowhere_else():
    box = Box(POLICY)
    app, other = box.process(unit="app.service"), box.process(unit="other.service")
    outside = box.process()
    for way in (("Issue", {"name": "n", "binding": "unit"}), ("Fetch", {"credential": "bound"})):
        answer = app.call(way[0], **way[1])
        token = answer.get("token") or answer["text"]
        child = app.call("Derive", token=token, name="child")
        assert child["info"]["binding"] == "unit"
        for value in (token, child["token"]):
            assert app.call("Verify", token=value)["info"]["binding"] == "unit"
            for thief in (other, outside):
                assert thief.error("Verify", token=value) == "WrongBearer"
                assert thief.error("Derive", token=value, name="x") == "WrongBearer"
    assert outside.error("Issue", name="n", binding="unit") == "BindingUnavailable"


@test
def a_unit_bound_token_ends_with_the_run_of_its_unit():
    box = Box(POLICY)
    app = box.process(unit="app.service")
    token = app.call("Issue", name="n", binding="unit")
    child = app.call("Derive", token=token["token"], name="child")
    app.end()
    assert ended(box, token["info"]["id"]) == "binding"
    assert ended(box, child["info"]["id"]) in ("binding", "parent")
    # The next run of the same name is another.
    again = box.process(unit="app.service")
    assert again.error("Verify", token=token["token"]) == "TokenRevoked"


SERVICE = ("Type=exec", "RuntimeDirectory=app", "RuntimeDirectoryPreserve=yes",
           f"ExecStartPre=sh -c '{PYTHON} {CLIENT} Issue \\'{{\"name\": \"n\", \"binding\": \"unit\"}}\\' >/run/app/got'",
           "ExecStart=sleep infinity")


def told(box):
    return json.loads(box.sh("cat /run/app/got"))


@test
def what_execstartpre_got_is_good_in_execstart_and_gone_after_a_restart():
    box = Box(POLICY)
    box.service("app.service", *SERVICE,
                f"ExecStartPost=sh -c 'sleep 0.3; {PYTHON} {CLIENT} Verify "
                "\"{\\\\\"token\\\\\": $(sed \"s/.*\\\\\"token\\\\\": \\\\([^,]*\\\\),.*/\\\\1/\" /run/app/got)}\" >/run/app/verified'")
    box.sh("systemctl start app.service")
    first = told(box)
    assert json.loads(box.sh("cat /run/app/verified"))["info"]["id"] == first["info"]["id"]
    assert box.is_active(first["info"]["id"])
    box.sh("systemctl restart app.service")
    second = told(box)
    assert second["info"]["id"] != first["info"]["id"]
    assert ended(box, first["info"]["id"]) == "binding"
    assert box.is_active(second["info"]["id"])
    # A service that is restarted by itself is in another run, too.
    box.sh("systemctl kill -s KILL app.service")
    assert ended(box, second["info"]["id"]) == "binding"


@test
def a_oneshot_that_remains_after_its_exit_keeps_its_token():
    box = Box(POLICY)
    box.service("app.service", "RemainAfterExit=yes", "Type=oneshot", "RuntimeDirectory=app",
                f"ExecStart=sh -c '{PYTHON} {CLIENT} Issue \\'{{\"name\": \"n\", \"binding\": \"unit\"}}\\' >/run/app/got'")
    box.sh("systemctl start app.service; sleep 0.5")
    id = told(box)["info"]["id"]
    state = box.sh("systemctl is-active app.service", check=False).strip()
    assert state == "active"

    def there():
        return box.run("test", "-d", "/sys/fs/cgroup/system.slice/app.service", check=False).returncode == 0
    # Where systemd has taken the group away, nothing of that run is left to hold it.
    wait_until(lambda: box.is_active(id) == there(), "the token is as its unit")
    box.sh("systemctl stop app.service")
    assert ended(box, id) == "binding"


@test
def a_restart_of_the_agent_keeps_tokens_of_units_that_run_and_ends_the_others():
    box = Box(POLICY)
    kept, stopped, again = (box.process(unit=f"{n}.service") for n in ("kept", "stopped", "again"))
    tokens = [p.call("Issue", name="n", binding="unit") for p in (kept, stopped, again)]
    fetched = kept.call("Fetch", credential="bound")
    for how in ("restart", "kill -s KILL"):
        box.sh(f"systemctl {how} jetond.service")
        for t in tokens:
            assert box.is_active(t["info"]["id"]), how
        assert kept.call("Verify", token=tokens[0]["token"], anew=True)["info"]["binding"] == "unit"
        assert kept.call("Verify", token=fetched["text"])
        assert box.process(unit=f"thief-{how[:4]}.service").error("Verify", token=fetched["text"]) == "WrongBearer"
    box.sh("systemctl stop jetond.socket jetond-credential.socket jetond.service")
    stopped.end()
    again.end()
    box.process(unit="again.service")
    box.sh("systemctl start jetond.socket jetond-credential.socket")
    assert box.is_active(tokens[0]["info"]["id"])
    for t in tokens[1:]:
        assert ended(box, t["info"]["id"]) == "binding"
    # It is watched as before.
    kept.end()
    assert ended(box, tokens[0]["info"]["id"]) == "binding"


@test
def a_process_bound_token_lives_over_a_restart_of_the_agent_and_ends_with_its_process():
    box = Box(POLICY)
    one, two = box.process(unit="app.service"), box.process(unit="app2.service")
    tokens = [p.call("Fetch", credential="process") for p in (one, two)]
    outside = box.process()
    assert outside.error("Verify", token=tokens[0]["text"]) == "WrongBearer"
    assert two.error("Verify", token=tokens[0]["text"]) == "WrongBearer"
    box.sh("systemctl kill -s KILL jetond.service")
    assert one.call("Verify", token=tokens[0]["text"], anew=True)["info"]["binding"] == "process"
    box.sh("systemctl stop jetond.socket jetond-credential.socket jetond.service")
    two.end()
    box.sh("systemctl start jetond.socket")
    assert box.is_active(tokens[0]["tokenId"])
    assert ended(box, tokens[1]["tokenId"]) == "binding"
    one.end()
    assert ended(box, tokens[0]["tokenId"]) == "binding"


@test
def what_a_user_writes_to_its_own_group_makes_no_other_run_of_it():
    box = Box(POLICY)
    delegated = {"user": "daemon", "unit": "app.service", "properties": ["Delegate=yes"]}
    process = box.process(**delegated)
    token = process.call("Issue", name="n", binding="unit")
    group = "/sys/fs/cgroup/system.slice/app.service"
    was = box.sh(f"{PYTHON} -c 'import os; print(os.getxattr(\"{group}\", \"user.invocation_id\").decode())'").strip()

    def forge(invocation):
        box.run(PYTHON, "-c", f"import os; os.setxattr({group!r}, 'user.invocation_id', {invocation!r}.encode())",
                user="daemon")

    forge("0" * 32)
    assert process.call("Verify", token=token["token"])["info"]["binding"] == "unit"
    process.end()
    assert ended(box, token["info"]["id"]) == "binding"
    # Nor does the next run become the one before.
    again = box.process(**delegated)
    again.call("GetStatus")
    forge(was)
    second = again.call("Issue", name="n", binding="unit")
    forge("1" * 32)
    assert again.call("Verify", token=second["token"])
    assert box.is_active(second["info"]["id"])
    again.end()
    assert ended(box, second["info"]["id"]) == "binding"


@test
def units_come_and_go_by_hundreds_and_each_takes_its_tokens_along():
    box = Box(POLICY)
    box.service("app@.service", "Type=oneshot",
                f"ExecStart={PYTHON} {CLIENT} Issue '{{\"name\": \"n\", \"binding\": \"unit\"}}'")
    n = 150
    box.sh(f"systemctl start $(seq -f 'app@%g.service' {n})")
    ids = re.findall(r'"id": "([0-9A-Za-z]{11})"', box.sh(
        "journalctl --sync; journalctl -q --no-pager -o cat -u 'app@*'").replace("\\", ""))
    # (Values are in that journal: it is the services that printed them.)
    assert len(set(ids)) == n, len(ids)
    wait_until(lambda: box.ask("GetStatus")["tokensActive"] == 0, "no token is left", 20)
    pid = box.sh("systemctl show -p MainPID --value jetond.service").strip()
    assert int(box.sh(f"ls /proc/{pid}/fd | wc -l")) < 40


ONE_EACH = """
[Credential a]
[Credential b]
[Fetch]
Credential=a
Unit=a.service
[Fetch]
Credential=b
Unit=b.service
"""


@test
def processes_that_exit_at_once_are_never_taken_for_those_of_another_unit():
    box = Box(ONE_EACH)
    box.put("a", "value")
    box.put("b", "value")
    # So few numbers that each comes again within a second, where they are a pid namespace's own.
    few = "as many as there are"
    if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 14):
        few = "600"
        box.sh(f"mount -t proc proc /mnt && echo {few} >/mnt/sys/kernel/pid_max; umount /mnt")
    seconds = 10
    for unit, mine, others in (("a.service", "a", "b"), ("b.service", "b", "a")):
        box.service(unit, f"ExecStart={PYTHON} {CLIENT} --flood {seconds} {mine} {others}")
    box.sh(f"systemctl start a.service b.service; sleep {seconds + 1}")
    wait_until(lambda: "inactive" in box.sh("systemctl is-active a.service b.service; true"), "their ends")
    for unit in ("a.service", "b.service"):
        tried, good, wrong = map(int, wait_until(lambda u=unit: re.search(r"^(\d+) (\d+) (\d+)$", box.journal(u), re.M),
                                                 f"what {unit} counted").groups())
        print(f"# {unit}: {tried} processes with numbers up to {few}, {good} got theirs, {wrong} another's")
        assert wrong == 0 and tried > 100
