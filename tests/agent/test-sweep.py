#!/usr/bin/env -S python3 -B
"""What each test's end looks for (tests/agent/sweep.py) is found, wherever it lies and in whatever form."""

import base64
import json
import os

import sweep
from credentials import POLICY
from jeton import Agent, main, root, test


def an_agent_with_values(**how):
    """It has been given one value of each kind. The agent, and {kind: value}."""
    agent = Agent(policy=POLICY).start(**how)
    agent.swept = False
    admin, values = agent.admin(), {}
    values["received token"] = agent.connect().call("Issue", name="n")["token"]
    values["sent text"] = os.urandom(20).hex() + '"\\'
    admin.call("Put", credential="api-key", text=values["sent text"])
    data = os.urandom(60)
    values["sent data"] = base64.b64encode(data).decode()
    admin.call("Put", credential="other", data=values["sent data"])
    values["sent passphrase"] = os.urandom(20).hex()
    admin.call("Lock", passphrase=values["sent passphrase"])
    sweep.look_at_process(agent)
    sweep.look_at_files(agent)
    return agent, values


def is_told(look, agent, kind):
    try:
        look(agent)
    except AssertionError as e:
        return f"what was {kind} is in " in str(e)
    return False


@test
def a_value_is_found_in_the_log_the_state_and_the_run_directory_in_any_form():
    agent, values = an_agent_with_values()
    places = [agent.log_path, f"{agent.state}/left", f"{agent.run}/left"]
    for n, (kind, value) in enumerate(values.items()):
        raw = (value[18:61] if kind == "received token" else value).encode()
        for form in (raw, raw.hex().encode(), base64.b64encode(b"x" + raw), json.dumps(raw.decode()).encode()):
            path = places[n % len(places)]
            before = os.stat(path).st_size if os.path.exists(path) else 0
            with open(path, "ab") as f:
                f.write(b"before " + form + b" behind")
            assert is_told(sweep.look_at_files, agent, kind), (kind, form)
            os.truncate(path, before)
            sweep.look_at_files(agent)
    with open(places[1], "wb") as f:
        f.write(base64.b64decode(values["sent data"]))
    assert is_told(sweep.look_at_files, agent, "sent data")


@test(needs=[root])
def a_value_is_found_in_an_environment_and_among_arguments():
    agent, values = an_agent_with_values()
    agent.stop()
    agent.start(env={"LEFT": values["sent passphrase"]})
    assert is_told(sweep.look_at_process, agent, "sent passphrase")
    agent.stop()
    arguments = agent.arguments
    agent.arguments = lambda: ["--config", values["received token"], *arguments()]
    agent.start()
    assert is_told(sweep.look_at_process, agent, "received token")


main()
