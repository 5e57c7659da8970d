/*
 * tests/bench/bench-tool.c - the tool as a whole process, beside one that only starts and exits and beside what others have for the
 * same: unmunge, `ssh-add -l`, `keyctl pipe`. In turn, all on one processor.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/measure.h"
#include "tests/bench/rivals.h"
#include "tests/support/test-agent.h"

#define RUNS 40

static const char policy[] = "[Access]\nUser=*\nScope=acme/**:*\n[Credential api-key]\n[Fetch]\nCredential=api-key\nUser=*\n";

enum tool { NOTHING, VERIFY, GET, LIST, RUN, UNMUNGE, SSH_ADD, KEYCTL, TOOLS };

static struct {
	const char *key, *what;
	enum bound bound;
	double limit; /* beside the one that only starts and exits */
	const char *missing; /* why it can't be had; NULL: it can */
	const char *argv[6];
	struct series took, to_nothing;
} tools[TOOLS] = {
	[NOTHING] = { .key = "nothing", .what = "a dynamically linked program that starts and exits" },
	[VERIFY] = { .key = "verify", .what = "jetonctl verify", .bound = AT_MOST, .limit = 1.3 },
	[GET] = { .key = "get", .what = "jetonctl get" },
	[LIST] = { .key = "list", .what = "jetonctl list, of 10 tokens" },
	[RUN] = { .key = "run", .what = "jetonctl run -- true, two programs in one process", .bound = AT_MOST, .limit = 2.2 },
	[UNMUNGE] = { .key = "unmunge", .what = "unmunge" },
	[SSH_ADD] = { .key = "ssh-add", .what = "ssh-add -l, of one key" },
	[KEYCTL] = { .key = "keyctl", .what = "keyctl pipe" },
};

static char input[192]; /* the file that becomes standard input */

static void write_input(const char *text)
{
	FILE *f = fopen(input, "we");

	if (!f || fprintf(f, "%s\n", text) < 0 || fclose(f) != 0)
		give_up("%s: %s", input, strerror(errno));
}

/* Microseconds from before the process is made to after it is gone; -1: it failed. */
static double run_one(const char *const argv[])
{
	posix_spawn_file_actions_t actions;
	uint64_t start;
	int status, r;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	start = now_ns();
	r = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	if (r == 0)
		waitpid(pid, &status, 0);
	start = now_ns() - start;
	posix_spawn_file_actions_destroy(&actions);
	return r == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? (double)start / 1000 : -1;
}

static double run_round(enum tool t, struct munge *m)
{
	struct series s = { 0 };

	for (size_t i = 0; i < sized(RUNS, 2); i++) {
		double took;

		if (t == UNMUNGE) {
			char *credential = munge_encode_one(m);

			write_input(credential ? credential : "");
			free(credential);
		}
		took = run_one(tools[t].argv);
		if (took < 0)
			give_up("%s failed", tools[t].argv[0]);
		series_add(&s, took);
	}
	return series_at(&s, 0.5);
}

/* An agent of its own with one key, in `dir`; 0: there is none. */
static pid_t start_ssh_agent(const char *dir)
{
	static char socket[192], key[192];
	const char *const keygen[] = { "/usr/bin/ssh-keygen", "-q", "-f", key, "-N", NULL };
	pid_t pid;

	snprintf(socket, sizeof(socket), "%s/ssh-agent", dir);
	snprintf(key, sizeof(key), "%s/ssh-key", dir);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null, STDOUT_FILENO);
		execl("/usr/bin/ssh-agent", "ssh-agent", "-D", "-a", socket, NULL);
		_exit(127);
	}
	for (int i = 0; access(socket, F_OK) < 0; i++) {
		if (i == 5000 || waitpid(pid, NULL, WNOHANG) == pid)
			return 0;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	setenv("SSH_AUTH_SOCK", socket, 1);
	/* keygen has no room for the empty passphrase. */
	if (run_one((const char *const[]){ keygen[0], keygen[1], keygen[2], keygen[3], keygen[4], "", NULL }) < 0 ||
	    run_one((const char *const[]){ "/usr/bin/ssh-add", "-q", key, NULL }) < 0) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
		return 0;
	}
	return pid;
}

/* A key in a keyring of this process and its children, which goes with them; its number as text, or NULL. */
static const char *make_key(void)
{
	static char number[32];
	static const char secret[] = "sk-0123456789abcdef0123456789abcdef";
	long id;

	if (access("/usr/bin/keyctl", X_OK) < 0 || syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0)
		return NULL;
	id = syscall(SYS_add_key, "user", "jeton-bench", secret, sizeof(secret) - 1, KEY_SPEC_SESSION_KEYRING);
	if (id < 0)
		return NULL;
	snprintf(number, sizeof(number), "%ld", id);
	return number;
}

static void set(enum tool t, const char *program, const char *a, const char *b, const char *c)
{
	const char *const argv[] = { program, a, b, c, NULL };

	memcpy(tools[t].argv, argv, sizeof(argv));
}

/* What is asked of the agent is there: a credential, and ten tokens, of which the first goes to standard input. */
static void fill(const struct test_agent *agent)
{
	_cleanup_close_ int fd = test_agent_connect(agent);
	char token[68], other[68], reply[4096];

	if (fd < 0 || test_issue(fd, "nightly-pipeline", "acme/risk:read", 86400, token) < 0 ||
	    test_ask(fd, "Put", "{\"credential\":\"api-key\",\"text\":\"sk-0123456789abcdef0123456789abcdef\"}", reply,
		     sizeof(reply)) < 0)
		give_up("no token, or no credential");
	for (int i = 0; i < 9; i++)
		if (test_issue(fd, "nightly-pipeline", "acme/risk:read", 86400, other) < 0)
			give_up("no token");
	write_input(token);
}

static void measure(struct munge *munged)
{
	for (unsigned i = rounds(15); i > 0; i--) {
		double nothing = 0;

		for (enum tool t = 0; t < TOOLS; t++) {
			double took;

			if (tools[t].missing || t == UNMUNGE)
				continue;
			took = run_round(t, NULL);
			if (t == NOTHING)
				nothing = took;
			series_add(&tools[t].took, took);
			series_add(&tools[t].to_nothing, took / nothing);
		}
	}
	/* It wants another standard input each time, so it has its rounds beside `nothing` alone. */
	for (unsigned i = rounds(15); i > 0 && !tools[UNMUNGE].missing; i--) {
		double nothing = run_round(NOTHING, NULL), took = run_round(UNMUNGE, munged);

		series_add(&tools[UNMUNGE].took, took);
		series_add(&tools[UNMUNGE].to_nothing, took / nothing);
	}
}

static void report_all(void)
{
	for (enum tool t = 0; t < TOOLS; t++) {
		char key[64];

		if (tools[t].missing) {
			report_skipped(tools[t].key, tools[t].what, tools[t].missing);
			continue;
		}
		report(tools[t].key, tools[t].what, &tools[t].took, "us", NO_BOUND, 0);
		snprintf(key, sizeof(key), "%s.to-nothing", tools[t].key);
		if (t != NOTHING)
			report(key, "  beside the one that only starts and exits", &tools[t].to_nothing, "times",
			       tools[t].bound, tools[t].limit);
	}
}

int main(void)
{
	const char *build = getenv("JETON_BUILD") ? getenv("JETON_BUILD") : "build", *number;
	char tool[160], nothing[160], socket[200];
	struct test_agent agent;
	struct munge munged;
	pid_t ssh;

	pin(0);
	if (test_agent_init(&agent, &(struct test_agent_options){ .under = bench_tmp(), .policy = policy }) < 0)
		give_up("no agent");
	snprintf(input, sizeof(input), "%s/input", agent.dir);
	setenv("JETON_SOCKET", agent.socket, 1);
	fill(&agent);
	snprintf(tool, sizeof(tool), "%s/jetonctl", build);
	snprintf(nothing, sizeof(nothing), "%s/tests/bench/bench-nothing", build);
	set(NOTHING, nothing, NULL, NULL, NULL);
	set(VERIFY, tool, "verify", NULL, NULL);
	set(GET, tool, "get", "api-key", NULL);
	set(LIST, tool, "list", NULL, NULL);
	set(RUN, tool, "run", "--", "true");

	if (!munge_start(&munged, bench_tmp()) || access("/usr/bin/unmunge", X_OK) < 0)
		tools[UNMUNGE].missing = MUNGE_MISSING;
	snprintf(socket, sizeof(socket), "--socket=%s", munged.socket);
	set(UNMUNGE, "/usr/bin/unmunge", socket, NULL, NULL);
	ssh = start_ssh_agent(agent.dir);
	if (!ssh)
		tools[SSH_ADD].missing = "ssh-agent is not there: `make deps-bench` installs it";
	set(SSH_ADD, "/usr/bin/ssh-add", "-l", NULL, NULL);
	number = make_key();
	if (!number)
		tools[KEYCTL].missing = "keyctl is not there (`make deps-bench` installs it), or may make no keys here";
	set(KEYCTL, "/usr/bin/keyctl", "pipe", number, NULL);

	measure(&munged);
	report_all();
	if (ssh) {
		kill(ssh, SIGTERM);
		waitpid(ssh, NULL, 0);
	}
	if (munged.pid > 0)
		munge_stop(&munged);
	test_agent_done(&agent);
	return EXIT_SUCCESS;
}
