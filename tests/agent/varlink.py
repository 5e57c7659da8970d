"""A varlink client that lets a test send anything, and takes nothing on trust.

Every reply is held against the interface: no member too many, none missing, no wrong type, no
error that the interface does not have. Nothing is taken from any varlink library.
"""

import array
import collections
import json
import os
import re
import socket

import sweep

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEXT, VERIFIER_TEXT = (open(os.path.join(TOP, "protocol", f"io.jeton.{name}.varlink"), encoding="utf-8").read()
                       for name in ("Agent", "Verifier"))
SERVICE_TEXT = """interface org.varlink.service
method GetInfo() -> (vendor: string, product: string, version: string, url: string,
  interfaces: []string)
method GetInterfaceDescription(interface: string) -> (description: string)
error InterfaceNotFound(interface: string)
error MethodNotFound(method: string)
error MethodNotImplemented(method: string)
error InvalidParameter(parameter: string)
error PermissionDenied()
error ExpectedMore()
"""


class Mismatch(AssertionError):
    """What came is not what the interface says."""


class Interface:
    """An interface, read from its text. Types are nested tuples: ("int",), ("maybe", T),
    ("array", T), ("struct", {field: T}), ("enum", [words]), ("named", NAME)."""

    def __init__(self, text):
        self.types, self.methods, self.errors = {}, {}, {}
        text = re.sub(r"#.*", "", text)
        self._words = re.findall(r"->|\[\]|[A-Za-z][A-Za-z0-9_.]*|[?():,]", text)
        self._next("interface")
        self.name = self._next()
        while self._words:
            self._member(self._next())

    def _next(self, wanted=None):
        word = self._words.pop(0)
        if wanted and word != wanted:
            raise SyntaxError(f"{wanted} expected, not {word}")
        return word

    def _member(self, kind):
        name = self._next()
        if kind == "type":
            self.types[name] = self._type()
        elif kind == "method":
            takes = self._type()
            self._next("->")
            self.methods[name] = (takes, self._type())
        elif kind == "error":
            self.errors[f"{self.name}.{name}"] = self._type()
        else:
            raise SyntaxError(kind)

    def _type(self):
        word = self._next()
        if word == "?":
            return ("maybe", self._type())
        if word == "[]":
            return ("array", self._type())
        if word == "(":
            return self._struct()
        return (word,) if word in ("bool", "int", "string", "object") else ("named", word)

    def _struct(self):
        fields, words = {}, []
        while (name := self._next()) != ")":
            if name == ",":
                continue
            if self._words[0] == ":":
                self._next(":")
                fields[name] = self._type()
            else:
                words.append(name)
        return ("enum", words) if words else ("struct", fields)

    def resolve(self, kind):
        return self.types[kind[1]] if kind[0] == "named" else kind

    def check(self, value, kind, where):
        """Raises Mismatch where value is not of this type."""
        kind = self.resolve(kind)
        name = kind[0]
        good = {
            "maybe": lambda: value is None or self.check(value, kind[1], where) is None,
            "bool": lambda: isinstance(value, bool),
            "int": lambda: isinstance(value, int) and not isinstance(value, bool),
            "string": lambda: isinstance(value, str),
            "enum": lambda: value in kind[1],
            "array": lambda: isinstance(value, list) and all(
                self.check(v, kind[1], f"{where}[]") is None for v in value),
            "struct": lambda: isinstance(value, dict) and self._check_fields(value, kind, where),
        }[name]
        if not good():
            raise Mismatch(f"{where}: {value!r} is no {name} {kind[1:]}")

    def _check_fields(self, value, kind, where):
        for field in value.keys() - kind[1].keys():
            raise Mismatch(f"{where}: has {field}, which the interface does not")
        for field, inner in kind[1].items():
            if field in value:
                self.check(value[field], inner, f"{where}.{field}")
            elif inner[0] != "maybe":
                raise Mismatch(f"{where}: {field} is missing")
        return True


AGENT = Interface(TEXT)
SERVICE = Interface(SERVICE_TEXT)
VERIFIER = Interface(VERIFIER_TEXT)
INTERFACES = {i.name: i for i in (AGENT, SERVICE, VERIFIER)}


class Error(Exception):
    """An error reply. `name` is without its interface, which is in `interface`."""

    def __init__(self, full, parameters):
        super().__init__(f"{full} {parameters}")
        self.interface, _, self.name = full.rpartition(".")
        self.parameters = parameters

    def __getattr__(self, name):
        try:
            return self.parameters[name]
        except KeyError:
            raise AttributeError(f"{self} has no {name}") from None


class Closed(Exception):
    """The agent closed the connection."""


def _no_pair_twice(pairs):
    if len({k for k, _ in pairs}) != len(pairs):
        raise Mismatch(f"a member twice: {pairs}")
    return dict(pairs)


def check_reply(message, method):
    """Holds a reply to this method (None: any) against the interface."""
    for key in message.keys() - {"parameters", "error", "continues"}:
        raise Mismatch(f"a reply with {key}: {message}")
    parameters = message.get("parameters", {})
    if not isinstance(parameters, dict):
        raise Mismatch(f"parameters are no object: {message}")
    if "error" in message:
        if message.get("continues"):
            raise Mismatch(f"an error that continues: {message}")
        interface = INTERFACES.get(message["error"].rpartition(".")[0])
        if not interface or message["error"] not in interface.errors:
            raise Mismatch(f"no error of the interface: {message}")
        interface.check(parameters, interface.errors[message["error"]], message["error"])
    elif method:
        interface = INTERFACES[method.rpartition(".")[0]]
        gives = interface.methods[method.rpartition(".")[2]][1]
        interface.check(parameters, gives, f"{method}'s reply")


def full_name(method):
    return method if "." in method else f"io.jeton.Agent.{method}"


class Client:
    """One connection. Methods without a dot are the agent's."""

    def __init__(self, sock, timeout=60):
        self.sock = sock
        self.sock.settimeout(timeout)
        self.buffer = b""
        self.asked = collections.deque()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def fileno(self):
        return self.sock.fileno()

    # ---- sending

    @staticmethod
    def encode(method, parameters=None, **flags):
        message = {"method": full_name(method), **flags}
        if parameters is not None:
            message["parameters"] = parameters
            if isinstance(parameters, dict):
                sweep.note_sent(parameters)
        return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\0"

    def send(self, method, parameters=None, **flags):
        """Sends a call. Its reply is checked when it is received."""
        self.sock.sendall(self.encode(method, parameters, **flags))
        if not flags.get("oneway"):
            self.asked.append(full_name(method))

    def send_bytes(self, data):
        """The time that it may take is for each piece that the socket takes, and not for all, as sendall() has it."""
        data = memoryview(data)
        while data:
            data = data[self.sock.send(data):]

    def send_with_fds(self, data, fds):
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
        return self.sock.sendmsg([data], [rights])

    # ---- receiving

    def receive_text(self):
        """The next message's bytes without their NUL; Closed at the end."""
        while b"\0" not in self.buffer:
            try:
                piece = self.sock.recv(1 << 18)
            except (ConnectionResetError, BrokenPipeError):
                piece = b""
            if not piece:
                raise Closed(f"{len(self.buffer)} bytes of a message came before")
            self.buffer += piece
        text, _, self.buffer = self.buffer.partition(b"\0")
        return text

    def receive(self):
        """The next reply, checked, as it is."""
        message = json.loads(self.receive_text().decode("utf-8"),
                             object_pairs_hook=_no_pair_twice)
        method = self.asked[0] if self.asked else None
        if self.asked and not message.get("continues"):
            self.asked.popleft()
        check_reply(message, method if method and self._is_known(method) else None)
        sweep.note_came(message.get("parameters", {}))
        return message

    @staticmethod
    def _is_known(method):
        interface = INTERFACES.get(method.rpartition(".")[0])
        return interface and method.rpartition(".")[2] in interface.methods

    def reply(self):
        """The next reply's parameters; raises Error."""
        message = self.receive()
        if "error" in message:
            raise Error(message["error"], message.get("parameters", {}))
        if message.get("continues"):
            raise Mismatch(f"continues, and nobody asked for more: {message}")
        return message.get("parameters", {})

    # ---- both

    def call(self, method, **parameters):
        self.send(method, parameters)
        return self.reply()

    def error(self, method, **parameters):
        """The Error that the call must end with."""
        try:
            answer = self.call(method, **parameters)
        except Error as e:
            return e
        raise AssertionError(f"{method} {parameters} was answered: {answer}")

    def more(self, method, **parameters):
        """All replies' parameters."""
        self.send(method, parameters, more=True)
        answers = []
        while True:
            message = self.receive()
            if "error" in message:
                raise Error(message["error"], message.get("parameters", {}))
            answers.append(message.get("parameters", {}))
            if not message.get("continues"):
                return answers

    # ---- watching

    def watch(self, **parameters):
        """Starts to watch, and takes the first reply, which says that the watch stands."""
        self.send("Watch", parameters, more=True)
        if (event := self.event()) is not None:
            raise Mismatch(f"the first reply has an event: {event}")
        return self

    def event(self):
        """The next reply's event; raises Error."""
        message = self.receive()
        if "error" in message:
            raise Error(message["error"], message.get("parameters", {}))
        if not message.get("continues"):
            raise Mismatch(f"a watch that ends with a reply: {message}")
        return message["parameters"]["event"]

    def list(self, **parameters):
        """The tokens of List."""
        answers = [a.get("info") for a in self.more("List", **parameters)]
        if None in answers and len(answers) > 1:
            raise Mismatch("null among tokens")
        return [] if answers == [None] else answers

    def is_closed(self):
        """Waits until the agent closes; what it still sent is an error."""
        try:
            text = self.receive_text()
        except Closed:
            return not self.buffer
        raise AssertionError(f"answered: {text!r}")
