"""The examples of the manual pages, each taken from its page and run; and that none is left out."""

import configparser
import json
import os
import re
import subprocess

import box as boxes
from box import TOP, Box, wait_until
from tap import scratch, test
from with_guide import blocks, NOT_RUN, of_form, RUN
from with_newer import newer

KEY = "mk_live_example_0123456789"

POLICY = """
[Access]
User=ci
Scope=acme/**:*
[Credential modulos]
[Credential backup]
[Credential pipeline]
Kind=minted
Owner=ci
Scope=acme/pipeline:run
[Fetch]
Credential=modulos backup pipeline
User=ci
"""

# What troff has otherwise than who reads the page.
TROFF = [(r"\\f(\[[A-Z]*\]|\([A-Z][A-Z]|.)", ""), (r"\\\(aq", "'"), (r"\\\(dq", '"'), (r"\\\(rs|\\e", r"\\"),
         (r"\\-", "-"), (r"\\&", "")]


class Page:
    """The examples of a page, which are all to be taken from it."""

    def __init__(self, name):
        self.name = name
        with open(os.path.join(TOP, "docs", "man", name), encoding="utf-8") as f:
            text = f.read()
        self.left = []
        for m in re.finditer(r"^\.nf\n\.RS\n(.*?)^\.RE\n\.fi$|^\.EX\n(.*?)^\.EE$", text, re.S | re.M):
            block = m[1] or m[2]
            for pattern, instead in TROFF:
                block = re.sub(pattern, instead, block)
            self.left.append(block)
        assert self.left, f"{name} has no example"

    def take(self, begin):
        """The one that begins so."""
        found = [b for b in self.left if b.startswith(begin)]
        assert len(found) == 1, f"{self.name}: {len(found)} examples begin with {begin!r}"
        self.left.remove(found[0])
        return found[0]

    def pass_over(self, begin, why):
        assert why
        self.take(begin)

    def end(self):
        assert not self.left, f"{self.name}: what no test runs: {self.left}"


def begin(policy=POLICY, **how):
    box = Box(policy, **how)
    box.sh("useradd -m ci")
    box.put("modulos", KEY)
    box.put("backup", KEY)
    return box


def at_home(box, script, user="ci", **how):
    return box.sh(f"set -e; cd ~\n{script}", user=user, **how)


@test
def the_examples_of_jeton_helper_1_give_tools_what_they_want():
    page, box = Page("jeton-helper.1"), begin()
    git = page.take("git config")
    filled = at_home(box, f"{git}\nprintf 'protocol=https\\nhost=git.example.com\\n\\n' | git credential fill")
    assert f"username=ci\npassword={KEY}" in filled, filled
    helper = json.loads(page.take("{ \"credHelpers\""))["credHelpers"]["registry.example.com"]
    box.sh(f"mkdir -p /usr/local/bin; ln -s /usr/bin/jeton-helper /usr/local/bin/docker-credential-{helper}")
    assert json.loads(at_home(box, f"echo registry.example.com | docker-credential-{helper} get"))["Secret"] == KEY
    aws = configparser.ConfigParser()
    aws.read_string(page.take("[profile backup]"))
    said = json.loads(at_home(box, aws["profile backup"]["credential_process"]))
    assert said["SecretAccessKey"] == KEY and said["AccessKeyId"].startswith("AKIA")
    user = page.take("users:")
    command, arguments = re.search(r"command: (\S+)", user)[1], re.search(r"args: \[(.*)\]", user)[1]
    version = re.search(r"apiVersion: (\S+)", user)[1]
    said = json.loads(at_home(box, f"{command} {arguments.replace(',', '')}"))
    assert said["apiVersion"] == version and boxes.SECRET.fullmatch(said["status"]["token"])
    curl = page.take("jeton-helper curl").replace("curl --config - https://api.example.com/", "cat")
    assert KEY in at_home(box, curl)
    page.end()


@test
def the_examples_of_jeton_7_work():
    page, box = Page("jeton.7"), Box("[Access]\nUser=ci\nScope=acme/**:*\n")
    box.sh("useradd -m ci")
    page.pass_over("varlinkctl", "the next test runs it, with a systemd that has one")
    said = at_home(box, page.take("(umask 077; jetonctl issue"))
    assert "State:        active" in said and "revoked" in said, said
    service, policy = page.take("[Service]"), page.take("[Credential modulos]")
    box.write("/etc/jeton/policy.d/report.policy", policy)
    box.sh("mkdir -p /usr/local/bin; jetonctl reload")
    box.put("modulos", KEY)
    box.write("/usr/local/bin/report", "#!/bin/sh\n[ \"$1\" = --key-file ] && wc -c <\"$2\"\n", "0755")
    box.service("report.service", "Type=oneshot", "DynamicUser=yes", service.partition("\n")[2])
    box.sh("systemctl start report")
    box.logged(rf"(?m)^{len(KEY)}$", "report.service")
    page.end()


@test
def varlinkctl_works_as_jeton_7_has_it():
    commands = Page("jeton.7").take("varlinkctl")
    said = newer().sh(f"set -e\n{commands}")
    assert "method Verify(" in said and "\"state\"" in said, said


@test
def the_example_of_jeton_conf_5_holds_after_a_restart():
    page, box = Page("jeton.conf.5"), begin()
    box.sh("groupadd ops; useradd -m -G ops op")
    box.write("/etc/jeton/jeton.conf.d/50-ours.conf", page.take("[Agent]"))
    box.sh("systemctl restart jetond")
    assert "90d" in box.run("jetonctl", "issue", "x", "--lifetime", "1y", user="ci", check=False).stderr
    assert "backup" in at_home(box, "jetonctl credentials", user="op")
    page.end()


@test
def the_example_of_jeton_policy_5_is_put_in_force_as_the_page_has_it():
    page, box = Page("jeton.policy.5"), Box()
    box.sh("useradd -m ci; rm /etc/jeton/policy.d/test.policy")
    box.write("/root/acme.policy", page.take("# What ci reaches."))
    said = box.sh("cd /root; set -e\n" + page.take("jetonctl policy check"))
    assert "no mistakes" in said, said
    for question, allowed in (("fetch modulos --user ci --unit cron.service", "yes"), ("fetch modulos --user ci", "no"),
                              ("fetch pipeline --unit nightly@a.service", "yes"),
                              ("access acme/pipeline:run --user ci", "yes"), ("verify --unit risk-api.service", "yes")):
        assert re.search(rf"(?m)^Allowed: +{allowed}$", box.sh(f"jetonctl policy explain {question}")), question
    page.end()


@test
def the_examples_of_jetonctl_1_work():
    page, box = Page("jetonctl.1"), begin()
    at_home(box, page.take("(umask 077; jetonctl issue nightly"))
    assert "State:        active" in at_home(box, page.take("jetonctl verify"))
    box.write("/home/ci/nightly", "#!/bin/sh\necho \"a key of ${#MODULOS_API_KEY} characters\"\n", "0755")
    assert f"a key of {len(KEY)} characters" in at_home(box, page.take("jetonctl run --env"))
    box.write("/home/ci/server", "#!/bin/sh\nsay() { echo \"$1: $(wc -c <\"$KEY_FILE\")\"; }\n"
              "trap 'say again' HUP\nsay first\nwhile :; do sleep 0.1; done\n", "0755")
    box.write("/home/ci/start", f"cd /home/ci\nexec {page.take('jetonctl run --file')}", "0644")
    box.service("server.service", "User=ci", "ExecStart=/bin/sh /home/ci/start")
    box.sh("systemctl start server")
    box.logged(rf"(?m)^first: {len(KEY)}$", "server.service")
    box.put("modulos", "another one")
    box.logged(r"(?m)^again: 11$", "server.service")
    at_home(box, "git init -q repository; cd repository; cp ../token .; git add token; "
                 "git -c user.name=ci -c user.email=ci@localhost commit -qm 'A mistake'")
    # A token was found.
    scan = box.run("sh", "-c", "cd ~/repository; " + page.take("git log -p"), user="ci", check=False)
    assert scan.returncode == 3 and re.search(r"^\S+: \w{11}$", scan.stdout, re.M), scan
    page.end()


@test
def the_examples_of_jetond_8_work():
    page, box = Page("jetond.8"), Box(POLICY, start=False)
    box.sh("useradd -m ci; journalctl --update-catalog")
    assert "running" in box.sh("set -e\n" + page.take("systemd-sysusers"))
    own = page.take("d=$(mktemp -d)")
    said = at_home(box, f"{own}\nuntil jetonctl status 2>/dev/null; do sleep 0.05; done\n"
                        "jetonctl issue x --scope acme/risk:read; kill $!; wait")
    assert "running" in said and boxes.SECRET.search(said), said
    id = box.ask("Issue", name="n", ownerUid=int(box.sh("id -u ci")))["info"]["id"]
    assert box.run("jetonctl", "reload", user="ci", check=False).returncode == 4
    of_token, refused = page.take("journalctl JETON_TOKEN_ID").strip().splitlines()
    wait_until(lambda: id in box.sh(of_token.replace("ID=ID", f"ID={id}"), check=False), "the token's entry")
    wait_until(lambda: "Subject: " in box.sh(refused, check=False), "the refusal, explained")
    box.run("mkdir", "-p", "/etc/credstore.encrypted", "/etc/systemd/system/jetond.service.d")
    box.sh(page.take("systemd-creds encrypt"))
    box.write("/etc/systemd/system/jetond.service.d/key.conf", page.take("[Service]\nLoadCredentialEncrypted="))
    box.sh("mv /var/lib/jeton/master.key /root; systemctl daemon-reload; systemctl restart jetond")
    assert box.is_active(id)
    again = page.take("journalctl -t jetond -S").strip().splitlines()
    assert box.ask("Revoke", id=id)["info"]["state"] == "revoked"
    wait_until(lambda: id in box.sh(again[0].replace("THEN", "-1h"), check=False), "the revocation's entry")
    box.sh(again[1].replace("ID", id))
    page.pass_over("b478a75572bc98431e53e044d6ec267a", "a table, which is held to the agent's by another test")
    page.end()


@test
def the_example_of_libjeton_3_builds_and_admits_who_has_a_token():
    page = Page("libjeton.3")
    os.mkdir(f"{scratch()}/program")
    with open(f"{scratch()}/program/example.c", "w") as f:
        f.write("#include <jeton.h>\n#include <stdio.h>\nstatic int admit(const char *value)\n{\n" +
                page.take("const char *const need") + "return r;\n}\n"
                "int main(void)\n{\n\tchar value[128];\n\treturn fgets(value, sizeof(value), stdin) && admit(value);\n}\n")
    subprocess.run(["cc", "-Wall", "-Werror", f"-I{TOP}/protocol", f"{scratch()}/program/example.c",
                    f"{boxes.BUILD}/libjeton.a", "-o", f"{scratch()}/program/example"], check=True)
    box = begin(binds=[f"{scratch()}/program:/run/program:ro"])
    admitted, lacking = box.ask("Issue", name="n", ownerUid=int(box.sh("id -u ci"))), \
        box.ask("Issue", name="m", ownerUid=int(box.sh("id -u ci")), scopes=["acme/other:read"])
    assert box.sh("/run/program/example", input=admitted["token"]).strip() == "admitted n"
    assert box.sh("/run/program/example", input=lacking["token"], check=False).strip() == "lacks acme/risk:read"
    page.end()


VERIFIER = """
#include <jeton.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const need[] = { "acme/pipeline:run", NULL };
static struct jeton_verifier *v;
static char message[1024];

static bool admit(const char *id) { return id[0] != 0; }
static bool refuse(const char *text) { snprintf(message, sizeof(message), "%s", text); return false; }
static bool as_the_page_has_it(const char *value)
{
PAGE
}
static bool as_the_guide_has_it(const char *value)
{
GUIDE
	if (r == 0)
		jeton_verifier_free(v);
	return r == 0 && good;
}

/* Until the map has said yes, or for three seconds. */
int main(void)
{
	char value[128] = "";
	bool good = false;
	uint64_t by_map = 0;

	if (!fgets(value, sizeof(value), stdin) || jeton_verifier_new(NULL, &v) != 0)
		return 1;
	value[strcspn(value, "\\n")] = 0;
	for (time_t end = time(NULL) + 3; !by_map && time(NULL) <= end; jeton_verifier_counts(v, &by_map, NULL))
		good = as_the_page_has_it(value);
	printf("%s %s %s\\n", good ? "admitted" : message, by_map ? "by-the-map" : "by-the-socket",
	       as_the_guide_has_it(value) == good ? "alike" : "not alike");
	jeton_verifier_free(v);
	return 0;
}
"""


@test
def the_service_that_a_policy_names_with_map_yes_verifies_by_it_and_no_other_does():
    page = Page("jeton_verifier.3")
    guide, = of_form("Verifying without a call", "c")
    policy, = of_form("Verifying without a call", "ini")
    os.mkdir(f"{scratch()}/program")
    with open(f"{scratch()}/program/verifier.c", "w") as f:
        f.write(VERIFIER.replace("PAGE", page.take("static const char *const need")).replace("GUIDE", guide))
    subprocess.run(["cc", "-Wall", "-Werror", "-pthread", f"-I{TOP}/protocol", f"{scratch()}/program/verifier.c",
                    f"{boxes.BUILD}/libjeton.a", "-o", f"{scratch()}/program/verifier"], check=True)
    # Others may verify, too, and have no map.
    box = begin(POLICY + policy + "[Verify]\nUser=daemon\nScope=**:*\n",
                binds=[f"{scratch()}/program:/run/program:ro"])
    token = box.ask("Issue", name="n", ownerUid=int(box.sh("id -u ci")), scopes=["acme/pipeline:run"])

    def said(unit):
        return box.sh("/run/program/verifier", input=token["token"], user="daemon", unit=unit).strip()
    assert said("pipeline-api.service") == "admitted by-the-map alike"
    for unit in ("other.service", "pipeline-api2.service"):
        assert said(unit) == "admitted by-the-socket alike"
    page.end()


@test
def every_page_is_one_whose_examples_are_run_and_so_is_every_part_of_the_guide():
    with open(__file__, encoding="utf-8") as f:
        here = f.read()
    for page in os.listdir(f"{TOP}/docs/man"):
        assert f'Page("{page}")' in here, page
    with open(f"{TOP}/docs/guide.md", encoding="utf-8") as f:
        text = re.sub(r"(?ms)^```.*?^```$", "```", f.read())
    for part in re.split(r"(?m)^#+ ", text)[1:]:
        heading, _, body = part.partition("\n")
        has_any = bool(re.search(r"(?m)^(    |```)", body))
        told = (heading in RUN) + (heading in NOT_RUN)
        assert told == has_any, f"{heading}: is it run by with_guide.py, or why not?"
        assert heading not in RUN or len(blocks(heading)) == RUN[heading], f"{heading}: {len(blocks(heading))} blocks"
