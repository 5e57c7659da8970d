/*
 * tests/bench/bench-tool.c - `jetonctl verify`, and `jetonctl run`, as a whole process, beside one that only starts and exits and beside unmunge,
 * in turn, all on one processor.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/measure.h"
#include "tests/bench/rivals.h"
#include "tests/support/test-agent.h"

#define RUNS 60

static char input[192]; /* the file that becomes standard input */

static void write_input(const char *text)
{
	FILE *f = fopen(input, "we");

	if (!f || fprintf(f, "%s\n", text) < 0 || fclose(f) != 0)
		give_up("%s: %s", input, strerror(errno));
}

/* Microseconds from before the process is made to after it is gone. It must succeed. */
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
	if (r != 0)
		give_up("%s: %s", argv[0], strerror(r));
	waitpid(pid, &status, 0);
	start = now_ns() - start;
	posix_spawn_file_actions_destroy(&actions);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		give_up("%s failed", argv[0]);
	return (double)start / 1000;
}

static double run_round(const char *const argv[], struct munge *m)
{
	struct series s = { 0 };

	for (int i = 0; i < RUNS; i++) {
		if (m) {
			char *credential = munge_encode_one(m);

			write_input(credential ? credential : "");
			free(credential);
		}
		series_add(&s, run_one(argv));
	}
	return series_at(&s, 0.5);
}

int main(void)
{
	struct series nothing = { 0 }, tool = { 0 }, unmunge = { 0 }, to_nothing = { 0 }, to_unmunge = { 0 };
	struct series run = { 0 }, run_to_nothing = { 0 };
	const char *build = getenv("JETON_BUILD") ? getenv("JETON_BUILD") : "build";
	char tool_path[160], nothing_path[160], socket[200], token[68];
	struct test_agent agent;
	struct munge munged;
	bool has_munge;
	int fd;

	pin(0);
	if (test_agent_init(&agent, &(struct test_agent_options){ 0 }) < 0)
		give_up("no agent");
	has_munge = munge_start(&munged, "/tmp");
	fd = test_agent_connect(&agent);
	if (test_issue(fd, "nightly-pipeline", "acme/risk:read", 86400, token) < 0)
		give_up("no token to verify");
	snprintf(tool_path, sizeof(tool_path), "%s/jetonctl", build);
	snprintf(nothing_path, sizeof(nothing_path), "%s/tests/bench/bench-nothing", build);
	snprintf(input, sizeof(input), "%s/input", agent.dir);
	snprintf(socket, sizeof(socket), "--socket=%s", munged.socket);
	setenv("JETON_SOCKET", agent.socket, 1);

	for (unsigned i = rounds(15); i > 0; i--) {
		const char *const run_nothing[] = { nothing_path, NULL };
		const char *const run_tool[] = { tool_path, "verify", NULL };
		const char *const run_true[] = { tool_path, "run", "--", "true", NULL };
		const char *const run_unmunge[] = { "/usr/bin/unmunge", socket, NULL };
		double n, t, r;

		write_input(token);
		n = run_round(run_nothing, NULL);
		t = run_round(run_tool, NULL);
		series_add(&nothing, n);
		series_add(&tool, t);
		series_add(&to_nothing, t / n);
		r = run_round(run_true, NULL);
		series_add(&run, r);
		series_add(&run_to_nothing, r / n);
		if (has_munge) {
			double u = run_round(run_unmunge, &munged);

			series_add(&unmunge, u);
			series_add(&to_unmunge, t / u);
		}
	}
	report("a dynamically linked program that starts and exits", &nothing, "us", NO_BOUND, 0);
	report("jetonctl verify, the whole process", &tool, "us", NO_BOUND, 0);
	report("  beside the one that only starts and exits", &to_nothing, "times", AT_MOST, 1.6);
	report("jetonctl run -- true, both processes in one", &run, "us", NO_BOUND, 0);
	report("  beside the one that only starts and exits", &run_to_nothing, "times", AT_MOST, 2.2);
	if (has_munge) {
		report("unmunge, the whole process", &unmunge, "us", NO_BOUND, 0);
		report("  jetonctl verify beside it", &to_unmunge, "times", AT_MOST, 1);
		munge_stop(&munged);
	} else {
		report_skipped("unmunge", "munged and libmunge.so.2 are not there; `make deps-bench` installs them");
	}
	close(fd);
	test_agent_done(&agent);
	return EXIT_SUCCESS;
}
