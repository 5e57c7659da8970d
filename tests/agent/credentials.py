"""What the tests of credentials share: a policy with some, and ways to fetch."""

import array
import base64
import json
import os
import socket

from jeton import ALICE, BOB, IS_ROOT, Agent, Mismatch

CAROL = 30003 if IS_ROOT else BOB
KIB = 1024
VALUE_MAX = 48 * KIB
SECOND = 1000000

# api-key is Alice's and Bob's; other is nobody's; fresh, short and few are minted for Bob.
POLICY = f"""
[Access]
User={ALICE}
Scope=acme/a:read acme/b:write
[Credential api-key]
Description=The key of an API
[Credential other]
[Credential fresh]
Kind=minted
Owner={ALICE}
Scope=acme/a:* acme/z:read
[Credential short]
Kind=minted
Owner={ALICE}
Lifetime=1min
[Credential few]
Kind=minted
Owner={ALICE}
MaxTokens=3
[Fetch]
Credential=api-key
User={ALICE}
[Fetch]
Credential=api-key fresh short few
User={BOB}
"""


def b64(data):
    return base64.b64encode(data).decode()


def start(policy=POLICY, settings=""):
    agent = Agent(settings, policy).start()
    return agent, agent.admin()


def nothing_but(answer, **members):
    """The members of a reply that are not null."""
    got = {k: v for k, v in answer.items() if v is not None}
    assert got == members, got


def invalid(error, parameter):
    assert error.name == "InvalidParameter" and error.parameter == parameter, error


def no_such(error, name):
    assert error.name == "NoSuchCredential" and error.parameters == {"credential": name}, error


def credentials(client):
    answers = [a["credential"] for a in client.more("ListCredentials")]
    if None in answers and len(answers) > 1:
        raise Mismatch("null among credentials")
    return [] if answers == [None] else answers


def with_fd(client):
    """Receives one message and its descriptor, which must have come with that message's first byte.
    (parameters, descriptor or None)"""
    data, fds = b"", []
    while not data.endswith(b"\0"):
        piece, ancillary, flags, _ = client.sock.recvmsg(1, socket.CMSG_SPACE(64), socket.MSG_CMSG_CLOEXEC)
        assert piece and not flags & socket.MSG_CTRUNC
        for _, _, rights in ancillary:
            got = array.array("i", rights)
            assert not data and not fds, "a descriptor came with another byte than the first"
            fds += got
        data += piece
    client.asked.popleft()
    assert len(fds) <= 1
    message = json.loads(data[:-1])
    return message.get("parameters"), fds[0] if fds else None


def fetch_fd(client, credential, **more):
    client.send("Fetch", {"credential": credential, "asFd": True, **more})
    answer, fd = with_fd(client)
    assert fd is not None, answer
    return answer, fd


def content(fd):
    """What the descriptor holds, by the path that a program would be given; closes it."""
    with open(f"/proc/self/fd/{fd}", "rb") as f:
        data = f.read()
    os.close(fd)
    return data
