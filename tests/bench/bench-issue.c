/*
 * tests/bench/bench-issue.c - durable issues and revocations of one client and of 64 at once, beside what the disk does: 4 KiB
 * written and synced, one after the other. In turn, on the same file system. Overwriting is the floor: an append also changes the
 * file's length.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/callers.h"
#include "tests/bench/measure.h"
#include "tests/support/test-agent.h"

#define SYNC_NS 300000000U
#define ISSUE_NS 700000000U
#define IDS_MAX 100000

static char ids[IDS_MAX][12]; /* of what was issued and not yet revoked */
static size_t n_ids;

static void keep_id(void *userdata, const char *reply)
{
	struct span id = test_member(reply, "id");

	(void)userdata;
	if (id.n != sizeof(ids[0]) - 1)
		give_up("Issue: %s", reply);
	if (n_ids < IDS_MAX)
		memcpy(ids[n_ids++], id.p, id.n);
}

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
	for (start = now = now_ns(); now - start < round_ns(SYNC_NS); now = now_ns(), n++) {
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
	size_t n = issue_many(agent, n_clients, 1, round_ns(ISSUE_NS), 0, keep_id, NULL);

	return (double)n * 1e9 / (double)(now_ns() - start);
}

/* Ends what was issued since the last one, so that the agent is as large as before. */
static double revoke_round(const struct test_agent *agent, unsigned n_clients)
{
	uint64_t start = now_ns();
	size_t n = revoke_many(agent, n_clients, 1, UINT64_MAX, ids, n_ids);

	n_ids = 0;
	return (double)n * 1e9 / (double)(now_ns() - start);
}

int main(void)
{
	struct series append = { 0 }, overwrite = { 0 }, to_append = { 0 }, to_overwrite = { 0 };
	struct series issue1 = { 0 }, issue64 = { 0 }, revoke1 = { 0 }, revoke64 = { 0 }, one_to_overwrite = { 0 };
	struct test_agent agent;

	if (test_agent_init(&agent, &(struct test_agent_options){ .under = getenv("BENCH_DIR"),
								   .settings = "MaxTokensPerUser=3000000" }) < 0)
		give_up("no agent");
	issue_round(&agent, 64);
	revoke_round(&agent, 64);
	for (unsigned i = rounds(9); i > 0; i--) {
		double a = sync_round(agent.dir, false), o = sync_round(agent.dir, true);
		double m = issue_round(&agent, 64), one;

		series_add(&append, a);
		series_add(&overwrite, o);
		series_add(&issue64, m);
		series_add(&to_append, m / a);
		series_add(&to_overwrite, m / o);
		series_add(&revoke64, revoke_round(&agent, 64));
		series_add(&issue1, one = issue_round(&agent, 1));
		series_add(&one_to_overwrite, one / o);
		series_add(&revoke1, revoke_round(&agent, 1));
	}
	report("sync.append", "4 KiB appended and synced (fdatasync)", &append, "/s", NO_BOUND, 0);
	report("sync.overwrite", "4 KiB overwritten and synced", &overwrite, "/s", NO_BOUND, 0);
	report("issue.1", "one client issuing, durable", &issue1, "/s", NO_BOUND, 0);
	report("issue.1.to-overwrite", "  as a part of single syncs, overwritten", &one_to_overwrite, "", NO_BOUND, 0);
	report("revoke.1", "one client revoking, durable", &revoke1, "/s", NO_BOUND, 0);
	report("issue.64", "64 clients issuing at once, durable", &issue64, "/s", NO_BOUND, 0);
	report("issue.64.to-append", "  as a multiple of single syncs, appended", &to_append, "times", NO_BOUND, 0);
	/* 15,000/s where such a sync takes 90 us. */
	report("issue.64.to-overwrite", "  as a multiple of single syncs, overwritten", &to_overwrite, "times", AT_LEAST, 1.35);
	report("revoke.64", "64 clients revoking at once, durable", &revoke64, "/s", NO_BOUND, 0);
	test_agent_done(&agent);
	return EXIT_SUCCESS;
}
