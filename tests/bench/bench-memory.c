/*
 * tests/bench/bench-memory.c - what an idle agent keeps resident beside its locked arena, and what a token costs there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/callers.h"
#include "tests/bench/measure.h"
#include "tests/support/test-agent.h"

#define TOKENS sized(200000, 2000)

static int64_t status_number(const struct test_agent *agent, const char *name)
{
	_cleanup_close_ int fd = test_agent_connect(agent);
	char buf[8192];

	if (fd < 0 || test_ask(fd, "GetStatus", "{}", buf, sizeof(buf)) < 0)
		give_up("GetStatus failed");
	return test_member_number(buf, name);
}

int main(void)
{
	struct test_agent agent;
	struct resident before, after;
	int64_t empty;
	size_t n;

	if (test_agent_init(&agent, &(struct test_agent_options){ .under = getenv("BENCH_DIR"),
								   .settings = "MaxTokensPerUser=3000000" }) < 0)
		give_up("no agent");
	/* Idle: a moment after the start, when it has given back what only the start needed. */
	if (!is_tiny())
		nanosleep(&(struct timespec){ .tv_sec = 3 }, NULL);
	before = resident_of(agent.pid);
	empty = status_number(&agent, "lockedBytes");
	report_value("idle", "an idle agent, resident beside locked memory", before.all - before.locked, "MiB",
		     AT_MOST, 4);
	report_value("idle.locked", "  locked memory of an empty one", before.locked, "MiB", NO_BOUND, 0);

	n = issue_many(&agent, 64, 4, UINT64_MAX, TOKENS, NULL, NULL);
	report_value("token", "locked bytes for a token (16-byte name, one scope)",
		     (double)(status_number(&agent, "lockedBytes") - empty) / (double)n, "bytes", AT_MOST, 160);
	after = resident_of(agent.pid);
	report_value("busy", "  resident beside locked memory, busy, with 200,000 tokens", after.all - after.locked,
		     "MiB", NO_BOUND, 0);
	test_agent_done(&agent);
	return EXIT_SUCCESS;
}
