#!/usr/bin/env -S python3 -B
"""jeton-helper against a real agent: git and curl themselves, other tools by what they document."""

import base64
import http.server
import json
import os
import subprocess
import threading
import time

from jeton import ALICE, IS_ROOT, Agent, has_form, main, program, scratch, test
from peers import become

ADMIN = 0 if IS_ROOT else ALICE
POLICY = f"""
[Access]
User={ADMIN}
Scope=acme/**:*

[Credential modulos]

[Credential registry.example.com]

[Credential localhost_5000]

[Credential pipeline]
Kind=minted
Owner={ADMIN}
Lifetime=1h

[Credential bound]
Kind=minted
Owner={ADMIN}
Lifetime=1h
Binding=process

[Fetch]
Credential=modulos registry.example.com localhost_5000 pipeline bound
User={ALICE}
"""
VALUE = 's3cr%t "quoted" \\ back'


class Helpers:
    """An agent, and a directory in PATH with the helper under all of its names."""

    def __init__(self):
        self.agent = Agent("MinLifetime=1min", POLICY)
        if IS_ROOT:
            self.agent.uid = 0
            for path in (self.agent.run, self.agent.var):
                os.chown(path, 0, 0)
        self.agent.start()
        self.bin = f"{scratch()}/bin"
        self.home = f"{scratch()}/home"
        os.mkdir(self.bin)
        os.mkdir(self.home)
        os.chmod(self.home, 0o777)
        for name in ("jeton-helper", "git-credential-jeton", "docker-credential-jeton", "docker-credential-jeton-modulos"):
            os.symlink(program("jeton-helper"), f"{self.bin}/{name}")
        self.put("modulos", VALUE)

    def put(self, name, text, **more):
        self.agent.admin().call("Put", credential=name, text=text, **more)

    def run(self, *words, stdin="", status=0, env=None):
        def enter():
            if IS_ROOT:
                become(ALICE, ALICE)

        env = {"PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin", "HOME": self.home, "JETON_SOCKET": self.agent.socket,
               "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C.UTF-8", **(env or {})}
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, timeout=100, env=env, preexec_fn=enter,
                              cwd=self.home)
        assert done.returncode == status, (words, done)
        return done


class Server:
    """A web server of this machine that wants to hear one Authorization (or another header)."""

    def __init__(self, root, wants):
        outer = self
        self.wants, self.heard = wants, []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *a):
                super().__init__(*a, directory=root)

            def do_GET(self):
                sent = {name: self.headers.get(name) for name in outer.wants}
                outer.heard.append(sent)
                if sent == outer.wants:
                    super().do_GET()
                    return
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="test"')
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@test
def git_itself_gets_its_password():
    h = Helpers()
    site = f"{scratch()}/site"
    for words in (("init", "-q", "--bare", f"{site}/repo.git"), ("-C", f"{site}/repo.git", "update-server-info")):
        subprocess.run(["git", *words], check=True)
    server = Server(site, {"Authorization": basic("ci", VALUE)})
    h.run("git", "ls-remote", f"{server.url}/repo.git", status=128)
    h.run("git", "config", "--global", f"credential.{server.url}.helper", "jeton --credential modulos --username ci")
    # It gets one, and has it stored, which is passed over in silence.
    assert h.run("git", "ls-remote", f"{server.url}/repo.git").stderr == ""
    assert h.run("git", "clone", "-q", f"{server.url}/repo.git", "copy").stderr.count("\n") == 1  # that it is empty
    # A wrong one is erased, likewise.
    server.wants = {"Authorization": "another"}
    done = h.run("git", "ls-remote", f"{server.url}/repo.git", status=128)
    assert "jeton" not in done.stderr.replace(scratch(), ""), done.stderr


@test
def git_is_answered_as_it_documents():
    h = Helpers()

    def get(request, *words, status=0):
        return h.run("git-credential-jeton", *words, "get", stdin=request, status=status)

    asked = "protocol=https\nhost=git.example.com\nwwwauth[]=Basic realm=\"x\"\ncapability[]=authtype\n\n"
    assert get(asked, "--credential", "modulos").stdout == f"username=jeton\npassword={VALUE}\n"
    asked = "protocol=https\nhost=git.example.com\nusername=carol\n"
    assert get(asked, "--credential", "modulos").stdout == f"username=carol\npassword={VALUE}\n"
    assert get(asked, "--credential", "modulos", "--username", "bob").stdout == ""
    lines = dict(x.split("=", 1) for x in get(asked, "--credential", "pipeline").stdout.splitlines())
    assert has_form(lines["password"]) and 3500 < int(lines["password_expiry_utc"]) - time.time() < 3601, lines
    for asked in ("protocol=http\nhost=git.example.com\n\n", "protocol=http\nhost=localhost.example.com\n", "host=x\n", "",
                  "protocol=smtp\nhost=x\n\n"):
        done = get(asked, "--credential", "modulos", status=1)
        assert done.stdout == "" and "unencrypted" in done.stderr, done
    for host in ("localhost", "localhost:8080", "127.0.0.1:80", "[::1]:80"):
        assert "password=" in get(f"protocol=http\nhost={host}\n\n", "--credential", "modulos").stdout
    asked = "protocol=https\nhost=x\nusername=jeton\npassword=p\n\n"
    for what in ("store", "erase", "something-later"):
        done = h.run("git-credential-jeton", "--credential", "modulos", what, stdin=asked)
        assert done.stdout == done.stderr == "", done
    get(asked, status=2)
    h.put("modulos", "two\nlines")
    done = get("protocol=https\nhost=x\n\n", "--credential", "modulos", status=1)
    assert done.stdout == "" and "line breaks" in done.stderr


@test
def curl_itself_sends_what_it_reads():
    h = Helpers()
    os.mkdir(f"{scratch()}/site")
    with open(f"{scratch()}/site/file", "w") as f:
        f.write("content")
    for words, wants in (((), {"Authorization": f"Bearer {VALUE}"}), (("--header", "X-Api-Key"), {"X-Api-Key": VALUE}),
                         (("--username", 'a"b\\'), {"Authorization": basic('a"b\\', VALUE)})):
        server = Server(f"{scratch()}/site", wants)
        config = h.run("jeton-helper", "curl", "--credential", "modulos", *words).stdout
        done = h.run("curl", "-sS", "--fail", "--config", "-", f"{server.url}/file", stdin=config)
        assert done.stdout == "content", (words, server.heard)
        h.run("curl", "-sS", "--fail", f"{server.url}/file", status=22)
    h.run("jeton-helper", "curl", "--credential", "modulos", "--header", "X: y", status=2)
    h.run("jeton-helper", "curl", "--credential", "modulos", "--header", "X", "--username", "y", status=2)


@test
def docker_is_answered_as_it_documents():
    h = Helpers()
    h.put("registry.example.com", "r1")
    h.put("localhost_5000", "r2")

    def docker(what, stdin="", name="docker-credential-jeton", **how):
        return h.run(name, what, stdin=stdin, **how)

    for server, secret in (("registry.example.com", "r1"), ("https://Registry.Example.com/v2/\n", "r1"),
                           ("localhost:5000", "r2")):
        answer = json.loads(docker("get", server).stdout)
        assert answer == {"ServerURL": server.strip(), "Username": "jeton", "Secret": secret}, answer
    answer = json.loads(docker("get", "any.where", "docker-credential-jeton-modulos", env={"JETON_USERNAME": "ci"}).stdout)
    assert answer == {"ServerURL": "any.where", "Username": "ci", "Secret": VALUE}, answer
    assert docker("get", "unknown.example.com", status=1).stdout == "credentials not found in native keychain\n"
    docker("get", "", status=1)
    docker("get", "../x", status=1)
    assert json.loads(docker("list").stdout) == {"registry.example.com": "jeton"}
    assert json.loads(docker("list", name="docker-credential-jeton-modulos").stdout) == {}
    stored = json.dumps({"ServerURL": "x", "Username": "y", "Secret": "z"})
    assert "jetonctl put" in docker("store", stored, status=1).stdout
    assert "jetonctl forget" in docker("erase", "x", status=1).stdout
    assert "docker-credential-jeton" in docker("version").stdout
    docker("nonsense", status=2)


@test
def aws_gets_what_a_credential_process_prints():
    h = Helpers()
    h.put("modulos", "abc/def+ghi")
    answer = json.loads(h.run("jeton-helper", "aws", "--credential", "modulos", "--access-key-id", "AKIA1").stdout)
    assert answer == {"Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "abc/def+ghi"}
    h.run("jeton-helper", "aws", "--credential", "modulos", status=1)
    expires = (int(time.time()) + 3600) * 1000000
    value = {"AccessKeyId": "AKIA2", "SecretAccessKey": "a\u00e9\"b", "SessionToken": "t", "Other": [1]}
    h.put("modulos", json.dumps(value, indent=2) + "\n", expiresUSec=expires)
    answer = json.loads(h.run("jeton-helper", "aws", "--credential", "modulos").stdout)
    del value["Other"]
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires // 1000000))
    assert answer == {"Version": 1, **value, "Expiration": when}, answer
    h.put("modulos", json.dumps({**value, "Expiration": "2040-01-01T00:00:00Z"}))
    answer = json.loads(h.run("jeton-helper", "aws", "--credential", "modulos").stdout)
    assert answer["Expiration"] == "2040-01-01T00:00:00Z"
    h.put("modulos", '{"AccessKeyId": "x"}')
    assert h.run("jeton-helper", "aws", "--credential", "modulos", status=1).stdout == ""


@test
def kubectl_gets_an_exec_credential():
    h = Helpers()
    answer = json.loads(h.run("jeton-helper", "kubectl", "--credential", "modulos").stdout)
    assert answer == {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": VALUE}}
    asked = {"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential", "spec": {"interactive": False}}
    for text in (json.dumps(asked), json.dumps(asked, separators=(",", ":"))):
        answer = json.loads(h.run("jeton-helper", "kubectl", "--credential", "pipeline",
                                  env={"KUBERNETES_EXEC_INFO": text}).stdout)
        assert answer["apiVersion"].endswith("v1beta1") and has_form(answer["status"]["token"])
        time.strptime(answer["status"]["expirationTimestamp"], "%Y-%m-%dT%H:%M:%SZ")


@test
def helpers_refuse_what_would_end_with_them_and_say_what_is_wrong():
    h = Helpers()
    for words in (("git", "get"), ("aws", "--access-key-id", "A"), ("kubectl",), ("curl",)):
        done = h.run("jeton-helper", words[0], "--credential", "bound", *words[1:], status=1,
                     stdin="protocol=https\nhost=x\n\n")
        assert done.stdout == "" and "jetonctl run" in done.stderr, done
    h.run("docker-credential-jeton", "--credential", "bound", "get", stdin="x.y", status=1)
    for words, status in (((), 2), (("gti",), 2), (("curl", "x"), 2), (("curl",), 2), (("curl", "--credential", "a/b"), 2),
                          (("curl", "--credentail", "a"), 2), (("curl", "--credential", "nowhere"), 4), (("--help",), 0),
                          (("--version",), 0), (("curl", "--help"), 0), (("curl", "--version"), 0),
                          (("curl", "--socket", "/nowhere", "--credential", "modulos"), 5),
                          (("curl", "jeton_" + "0" * 11 + "_" + "1" * 49), 2)):
        done = h.run("jeton-helper", *words, status=status)
        assert (status == 0) == bool(done.stdout), done
        assert status == 0 or done.stderr.startswith("jeton-helper: ") and done.stderr.count("\n") == 1, done
    h.agent.stop()
    h.run("jeton-helper", "curl", "--credential", "modulos", status=5)


@test
def the_man_page_tells_of_just_these_tools_and_options():
    import re
    with open(f"{os.path.dirname(os.path.abspath(__file__))}/../../docs/man/jeton-helper.1", encoding="utf-8") as f:
        page = f.read().replace("\\-", "-")
    helper = program("jeton-helper")

    def text(*words):
        return subprocess.run([helper, *words], capture_output=True, text=True, check=True).stdout

    tools = re.findall(r"^  ([a-z]+) ", text("--help"), re.M)
    there = set(re.findall(r"^  (--[a-z-]+)", "".join(text(t, "--help") for t in tools), re.M))
    # curl has a --config, and git a --global.
    assert set(re.findall(r"--[a-z][a-z-]*", page)) - {"--config", "--global"} == there
    assert re.findall(r"^\.SS (\w+)", page, re.M) == tools


main()
