/*
 * tests/bench/bench-issue.c - durable issues of 64 clients at once, beside what the disk does: 4 KiB written and synced, one
 * after the other. In turn, on the same file system. Overwriting is the floor: an append also changes the file's length.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/issuers.h"
#include "tests/bench/measure.h"
#include "tests/support/test-agent.h"

#define SYNC_NS 400000000U
#define ISSUE_NS 1000000000U

/* Syncs a second. overwrite: of the first 4 KiB of a file, which needs no change of its length on the disk. */
static double sync_round(const char *dir, bool overwrite)
{
	char path[256], block[4096];
	uint64_t start, now;
	unsigned n = 0;
	int fd;

	memset(block, 'x', sizeof(block));
	snprintf(path, sizeof(path), "%s/sync", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, block, sizeof(block)) < 0 || fsync(fd) < 0)
		give_up("%s: %s", path, strerror(errno));
	for (start = now = now_ns(); now - start < SYNC_NS; now = now_ns(), n++) {
		if (overwrite)
			lseek(fd, 0, SEEK_SET);
		if (write(fd, block, sizeof(block)) < 0 || fdatasync(fd) < 0)
			give_up("%s: %s", path, strerror(errno));
	}
	close(fd);
	unlink(path);
	return n * 1e9 / (double)(now - start);
}

static double issue_round(const struct test_agent *agent, unsigned n_clients)
{
	uint64_t start = now_ns();
	size_t n = issue_many(agent, n_clients, 1, ISSUE_NS, 0, NULL);

	return (double)n * 1e9 / (double)(now_ns() - start);
}

int main(void)
{
	struct series append = { 0 }, overwrite = { 0 }, one = { 0 }, many = { 0 }, to_append = { 0 }, to_overwrite = { 0 };
	struct test_agent agent;

	if (test_agent_init(&agent, &(struct test_agent_options){ .under = getenv("BENCH_DIR"),
								   .settings = "MaxTokensPerUser=3000000" }) < 0)
		give_up("no agent");
	issue_round(&agent, 64);
	for (unsigned i = rounds(9); i > 0; i--) {
		double a = sync_round(agent.dir, false), o = sync_round(agent.dir, true);
		double m = issue_round(&agent, 64);

		series_add(&append, a);
		series_add(&overwrite, o);
		series_add(&many, m);
		series_add(&to_append, m / a);
		series_add(&to_overwrite, m / o);
		series_add(&one, issue_round(&agent, 1));
	}
	report("4 KiB appended and synced (fdatasync)", &append, "/s", NO_BOUND, 0);
	report("4 KiB overwritten and synced", &overwrite, "/s", NO_BOUND, 0);
	report("one client issuing, durable", &one, "/s", NO_BOUND, 0);
	report("64 clients issuing at once, durable", &many, "/s", NO_BOUND, 0);
	report("  as a multiple of single syncs, appended", &to_append, "times", NO_BOUND, 0);
	/* 15,000/s where such a sync takes 90 us. */
	report("  as a multiple of single syncs, overwritten", &to_overwrite, "times", AT_LEAST, 1.35);
	test_agent_done(&agent);
	return EXIT_SUCCESS;
}
