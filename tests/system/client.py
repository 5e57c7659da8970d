#!/usr/bin/env -S python3 -B
"""Asks the agent from within a machine: as a service would, and with nothing but a socket.

    client.py METHOD [JSON]     one call; prints the reply's parameters, or the error's name
    client.py --serve           calls from standard input, a line each (METHOD JSON), over one
                                connection; a line of JSON for each on standard output

    client.py --flood SECONDS MINE OTHERS
                                both are fetched by processes that exit at once; prints how often that
                                was, how often MINE came, and OTHERS
    client.py --hammer STOP TOKEN
                                verifies over a connection of its own each time until the file STOP is
                                there; prints how often, how often a connection was closed unanswered (and
                                another one asked), how often one was refused, how often the answer was wrong;
                                STOP.count is there once it has begun
    client.py --raw             all that the socket for LoadCredential= gives; its length first

--socket PATH first names another socket, --address ADDRESS an abstract address to call from.
"""

import json
import os
import socket
import sys
import time


def connect(path, address=None):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if address:
        sock.bind("\0" + address)
    sock.connect(path)
    return sock


class Agent:
    def __init__(self, path):
        self.sock = connect(path)
        self.file = self.sock.makefile("rb")

    def receive(self):
        text = b""
        while not text.endswith(b"\0"):
            piece = self.file.read1(1) if not text else self.file.read(1)
            if not piece:
                return {"error": "closed"}
            text += piece
        return json.loads(text[:-1])

    def call(self, method, parameters):
        if "." not in method:
            method = f"io.jeton.Agent.{method}"
        self.sock.sendall(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")
        return self.receive()


def serve(path):
    agent = None
    for line in sys.stdin:
        method, _, parameters = line.partition(" ")
        parameters = json.loads(parameters)
        # Not before it is told to: whoever connects first may start the agent.
        agent = agent if agent and not parameters.pop("anew", False) else Agent(path)
        print(json.dumps(agent.call(method, parameters)), flush=True)


def flood(path, seconds, mine, others):
    """Processes that connect, ask for both and are gone, with this one to hear the answers."""
    data = b"".join(json.dumps({"method": "io.jeton.Agent.Fetch", "parameters": {"credential": c}}).encode() + b"\0"
                    for c in (mine, others))
    end, tried, good, wrong = time.monotonic() + float(seconds), 0, 0, 0
    while time.monotonic() < end:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(60)
        pid = os.fork()
        if pid == 0:
            try:
                sock.connect(path)
                sock.sendall(data)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        answers = b""
        while answers.count(b"\0") < 2 and (piece := sock.recv(65536)):
            answers += piece
        first, second = (json.loads(a) for a in answers.split(b"\0")[:2])
        tried, good, wrong = tried + 1, good + ("error" not in first), wrong + ("error" not in second)
        sock.close()
    print(tried, good, wrong)


def hammer(path, stop, token):
    """Fails of any kind are counted, none ends it."""
    tried = again = refused = wrong = 0
    while not os.path.exists(stop):
        try:
            answer = Agent(path).call("Verify", {"token": token})
        except (ConnectionRefusedError, FileNotFoundError):
            refused += 1
            continue
        except OSError:
            answer = {"error": "closed"}
        tried += 1
        again += answer.get("error") == "closed"
        wrong += "error" in answer and answer["error"] != "closed"
        if tried == 1:
            with open(f"{stop}.count", "w") as f:
                f.write("1\n")
    print(tried, again, refused, wrong)


def read_raw(path, address):
    """All that the socket for LoadCredential= gives to this process."""
    sock = connect(path, address)
    data = b""
    try:
        while piece := sock.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        pass
    return data


def main():
    arguments = sys.argv[1:]
    path, address = "/run/jeton/agent.sock", None
    while arguments[0] in ("--socket", "--address"):
        option, value, *arguments = arguments
        if option == "--socket":
            path = value
        else:
            address = value
    if arguments[0] == "--serve":
        serve(path)
    elif arguments[0] == "--flood":
        flood(path, *arguments[1:])
    elif arguments[0] == "--hammer":
        hammer(path, *arguments[1:])
    elif arguments[0] == "--raw":
        data = read_raw(path, address)
        print(len(data), data.strip(b"\0").decode(errors="backslashreplace"))
    else:
        answer = Agent(path).call(arguments[0], json.loads((arguments + ["{}"])[1]))
        if "error" in answer:
            print(answer["error"].rpartition(".")[2], json.dumps(answer.get("parameters", {})))
        else:
            print(json.dumps(answer.get("parameters", {})))
        return 1 if "error" in answer else 0
    return 0


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    os.umask(0o077)
    sys.exit(main())
