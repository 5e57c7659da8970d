"""An agent that says whatever a test wants it to, for programs that ask one.

It keeps tokens in memory, answers every method that concerns them well enough for a client to be
tried out, and in `answers` a test puts something else in the place of a method's answer. Every call
that comes is held against the interface, and every answer too, unless it is meant to be wrong.
"""

import json
import os
import secrets
import socket
import threading
import time
import zlib

from varlink import AGENT, full_name

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
DAY = 86400


def digits(number, n):
    text = ""
    for _ in range(n):
        number, digit = divmod(number, 62)
        text = DIGITS[digit] + text
    return text


def value_of(id_text, secret=None):
    """A token's value of this id, with a secret of its own unless one is given."""
    secret = digits(secrets.randbits(256), 43) if secret is None else secret
    head = f"jeton_{id_text}_{secret}"
    return head + digits(zlib.crc32(head.encode()), 6)


def now_us():
    return time.time_ns() // 1000


class Error(Exception):
    """Answered as an error; the agent's own unless the name has a dot."""

    def __init__(self, name, **parameters):
        super().__init__(name)
        self.name, self.parameters = full_name(name), parameters


class Bytes(Exception):
    """Answered with these bytes as they are."""

    def __init__(self, data):
        super().__init__(data)
        self.data = data


class Close(Exception):
    """The connection is closed without an answer."""


class Hang(Exception):
    """Nothing is answered, and the connection stays."""


def error(name, **parameters):
    """For `answers`: always this error."""
    def answer(_):
        raise Error(name, **parameters)
    return answer


class FakeAgent:
    def __init__(self, path):
        self.path = path
        self.calls = []  # (method, parameters)
        self.answers = {}  # method: function of its parameters, instead of this class's own
        self.tokens = {}  # id: facts, the oldest first
        self.values = {}  # value: id
        self.bad_calls = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)

    def called(self, method):
        """The parameters of all calls of this method."""
        return [p for m, p in self.calls if m == method]

    # ---- tokens

    def add(self, name, id=None, value=None, **facts):
        """A token, with facts as the interface names them. Gives its id."""
        id = id or digits(secrets.randbits(63), 11)
        at = now_us()
        token = {
            "id": id, "name": name, "ownerUid": os.getuid(), "owner": "tester", "scopes": None,
            "createdUSec": at, "expiresUSec": at + 30 * DAY * 1000000, "lastUsedUSec": None,
            "lastUsedBy": None, "state": "active", "binding": "none", "usesLeft": None,
            "parent": None, "replacedBy": None, "credential": None, "issuedTo": "user tester",
            "endedUSec": None, "ended": None}
        token.update(facts)
        self.tokens[id] = token
        self.values[value or value_of(id)] = id
        return id

    def value(self, id):
        return next(v for v, i in self.values.items() if i == id)

    def _new(self, p, **facts):
        if p.get("lifetimeSec"):
            facts["expiresUSec"] = now_us() + p["lifetimeSec"] * 1000000
        if p.get("ownerUid") is not None:
            facts |= {"ownerUid": p["ownerUid"], "owner": "another"}
        id = self.add(p["name"], scopes=p.get("scopes"), usesLeft=p.get("uses"), **facts)
        return {"token": self.value(id), "info": self.tokens[id]}

    def _find(self, id):
        if id not in self.tokens:
            raise Error("NoSuchToken")
        return self.tokens[id]

    def _presented(self, value):
        if value not in self.values:
            raise Error("InvalidToken")
        token = self.tokens[self.values[value]]
        if token["state"] == "revoked":
            raise Error("TokenRevoked", id=token["id"])
        if token["state"] == "expired":
            raise Error("TokenExpired", id=token["id"], expiredUSec=token["expiresUSec"])
        return token

    def end(self, id, reason="owner"):
        token = self.tokens[id]
        if token["state"] == "active":
            token.update(state="revoked", endedUSec=now_us(), ended=reason)
            for child in self.tokens.values():
                if child["parent"] == id:
                    self.end(child["id"], "parent")
        return token

    # ---- methods

    def Issue(self, p):
        return self._new(p)

    def Derive(self, p):
        return self._new(p, parent=self._presented(p["token"])["id"])

    def Verify(self, p):
        token = self._presented(p["token"])
        for scope in p.get("scopes") or []:
            if token["scopes"] is not None and scope not in token["scopes"]:
                raise Error("InsufficientScope", scope=scope)
        return {"info": token, "access": token["scopes"] or ["acme/**:*"]}

    def List(self, p):
        found = [t for t in reversed(self.tokens.values())
                 if all(p.get(k) in (None, t[k]) for k in ("name", "state", "ownerUid"))]
        return [{"info": t} for t in found] or [{"info": None}]

    def Describe(self, p):
        return {"info": self._find(p["id"])}

    def Revoke(self, p):
        if p.get("id") is not None:
            return {"info": self.end(self._find(p["id"])["id"])}
        if p["token"] not in self.values:
            raise Error("InvalidToken")
        return {"info": self.end(self.values[p["token"]], "presented")}

    def Rotate(self, p):
        old = self._find(p["id"])
        reply = self._new({"name": old["name"], "scopes": old["scopes"],
                           "lifetimeSec": p.get("lifetimeSec")})
        old["replacedBy"] = reply["info"]["id"]
        grace = p["graceSec"] if p.get("graceSec") is not None else 300
        old["expiresUSec"] = now_us() + grace * 1000000
        if grace == 0:
            self.end(old["id"], "rotated")
        return {**reply, "previous": old}

    def GetStatus(self, _):
        return {
            "version": "9.8.7", "state": "running", "memory": "secretmem", "lockedBytes": 1234567,
            "lockedLimit": 268435456, "tokensActive": 3, "tokensTotal": 5, "credentials": 0,
            "connections": 1, "startedUSec": now_us() - 3600 * 1000000,
            "policiesLoadedUSec": now_us() - 60 * 1000000, "verifiedTotal": 42, "deniedTotal": 7}

    def Reload(self, _):
        return {}

    # ---- the socket

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        buffer = b""
        while True:
            try:
                piece = connection.recv(1 << 16)
            except OSError:
                piece = b""
            if not piece:
                connection.close()
                return
            buffer += piece
            while b"\0" in buffer:
                text, _, buffer = buffer.partition(b"\0")
                try:
                    connection.sendall(self._answer(json.loads(text)))
                except Hang:
                    time.sleep(3600)
                except (Close, OSError):
                    connection.close()
                    return

    def _answer(self, message):
        interface, _, method = message["method"].rpartition(".")
        parameters = message.get("parameters") or {}
        if interface != AGENT.name or method not in AGENT.methods:
            self.bad_calls.append(message)
        else:
            AGENT.check(parameters, AGENT.methods[method][0], method)
        self.calls.append((method, parameters))
        try:
            reply = (self.answers.get(method) or getattr(self, method))(parameters)
        except Error as e:
            return self._encode(error=e.name, parameters=e.parameters)
        except Bytes as e:
            return e.data
        replies = reply if isinstance(reply, list) else [reply]
        last = len(replies) - 1
        return b"".join(self._encode(parameters=r, **({"continues": True} if i < last else {}))
                        for i, r in enumerate(replies))

    @staticmethod
    def _encode(**message):
        return json.dumps(message).encode() + b"\0"
