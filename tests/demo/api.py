#!/usr/bin/python3
"""A small HTTP API that admits a request only if Jeton says that its bearer token is good for it.

    api.py AGENT-SOCKET PORT-FILE       (listens on a free port of 127.0.0.1, and writes its number there)

It keeps no list of tokens and knows no user: it asks the agent, each time.
"""

import http.server
import json
import os
import pwd
import socket
import struct
import sys

# What each request needs: the scope that its token must be good for.
SCOPES = {
    ("GET", "/risk"): "acme/risk:read",
    ("POST", "/risk"): "acme/risk:run",
    ("GET", "/reports"): "acme/reports:read",
}

UNAUTHORIZED = ("InvalidToken", "TokenExpired", "TokenRevoked", "WrongBearer")


def served_by_whom_we_trust(sock):
    """Before a secret is sent: the socket must be root's, jeton's or our own user's."""
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid in (0, os.getuid()) or pwd.getpwuid(uid).pw_name == "jeton"


def verify(path, token, scope):
    """Asks the agent, as any Varlink client would. Returns (error's name or None, parameters)."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(path)
        if not served_by_whom_we_trust(sock):
            raise OSError("the agent's socket is served by a stranger")
        call = {"method": "io.jeton.Agent.Verify", "parameters": {"token": token, "scopes": [scope]}}
        sock.sendall(json.dumps(call).encode() + b"\0")
        reply = b""
        while not reply.endswith(b"\0"):
            part = sock.recv(1 << 16)
            if not part:
                raise OSError("the agent closed the connection")
            reply += part
    reply = json.loads(reply[:-1])
    return reply.get("error", "").rpartition(".")[2] or None, reply.get("parameters", {})


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body, **headers):
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        scope = SCOPES.get((self.command, self.path))
        if scope is None:
            return self.answer(404, {"error": "there is nothing here"})
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            return self.answer(401, {"error": "a bearer token is needed"}, WWW_Authenticate="Bearer")
        try:
            error, parameters = verify(self.server.agent, token, scope)
        except (OSError, ValueError, KeyError):
            return self.answer(503, {"error": "tokens can't be verified now"}, Retry_After="1")
        if error in UNAUTHORIZED:
            return self.answer(401, {"error": error}, WWW_Authenticate='Bearer error="invalid_token"')
        if error == "InsufficientScope":
            return self.answer(403, {"error": error, "scope": scope},
                               WWW_Authenticate=f'Bearer error="insufficient_scope", scope="{scope}"')
        if error:
            return self.answer(503, {"error": error}, Retry_After="1")
        info = parameters["info"]
        return self.answer(200, {"data": f"{self.path[1:]} for {info['name']}", "token": info["id"]})

    do_POST = do_GET

    def log_message(self, *_):
        pass


def main():
    _, agent, port_file = sys.argv
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.agent = agent
        with open(port_file + ".new", "w", encoding="ascii") as f:
            f.write(str(server.server_port))
        os.rename(port_file + ".new", port_file)
        server.serve_forever()


if __name__ == "__main__":
    main()
