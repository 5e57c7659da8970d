/* tests/bench/fleet.c - see fleet.h. A store that measurements changed and left is as good: the values are what counts. */
#include "tests/bench/fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/callers.h"
#include "tests/bench/measure.h"

static const char settings[] = "MaxTokensPerUser=2000000\nMemoryLimit=512M\nMaxLifetime=2y\nMaxConnections=20000\n"
			       "MaxConnectionsPerUser=20000";

static void keep_value(void *userdata, const char *reply)
{
	struct span token = test_member(reply, "token");

	if (token.n != FLEET_VALUE || fwrite(token.p, 1, FLEET_VALUE, userdata) != FLEET_VALUE)
		give_up("Issue: %s", reply);
}

static void make_store(const char *dir, const char *state, const char *values, size_t n)
{
	struct test_agent agent;
	char command[256];
	uint64_t start = now_ns();
	FILE *f;

	fprintf(stderr, "Making a store of %zu tokens in %s ...\n", n, dir);
	snprintf(command, sizeof(command), "rm -rf -- '%s'", dir);
	if (system(command) != 0 || mkdir(dir, 0700) < 0 || !(f = fopen(values, "we")))
		give_up("%s: %s", dir, strerror(errno));
	fchmod(fileno(f), 0600);
	if (test_agent_init(&agent,
			    &(struct test_agent_options){ .under = bench_tmp(), .settings = settings, .state = state }) < 0)
		give_up("no agent");
	issue_many(&agent, 64, 16, UINT64_MAX, n, keep_value, f);
	fclose(f);
	test_agent_done(&agent);
	fprintf(stderr, "... made in %.1f s.\n", (double)(now_ns() - start) / 1e9);
}

static bool map_values(const char *path, size_t n, struct fleet *f)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size != (off_t)(n * FLEET_VALUE))
		return false;
	f->values = mmap(NULL, n * FLEET_VALUE, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	f->n = n;
	return f->values != MAP_FAILED;
}

void fleet_start(struct fleet *f, size_t n, const char *policy)
{
	const char *under = getenv("BENCH_DIR");
	char state[192], values[192];

	*f = (struct fleet){ 0 };
	snprintf(f->dir, sizeof(f->dir), "%s/tokens-%zu", under ? under : "/var/tmp", n);
	snprintf(state, sizeof(state), "%s/state", f->dir);
	snprintf(values, sizeof(values), "%s/values", f->dir);
	for (int tries = 0; tries < 2; tries++) {
		struct test_agent_options options = {
			.under = bench_tmp(), .settings = settings, .state = state, .policy = policy
		};

		if (map_values(values, n, f) && test_agent_init(&f->agent, &options) == 0) {
			f->fd = test_agent_connect(&f->agent);
			if (fleet_verify(f->fd, f->values[0]) && fleet_verify(f->fd, f->values[n - 1]))
				return;
			test_agent_done(&f->agent);
		}
		make_store(f->dir, state, values, n);
	}
	give_up("the agent does not know the tokens that it issued");
}

void fleet_stop(struct fleet *f)
{
	close(f->fd);
	munmap(f->values, f->n * FLEET_VALUE);
	test_agent_done(&f->agent);
}

const char *fleet_any(const struct fleet *f)
{
	static uint64_t random = 88172645463325252U;

	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return f->values[random % f->n];
}

size_t fleet_request(char dst[static 512], const char value[static FLEET_VALUE])
{
	static const char head[] = "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"";
	static const char tail[] = "\"}}";
	const size_t n = sizeof(head) - 1;

	memcpy(dst, head, n);
	memcpy(dst + n, value, FLEET_VALUE);
	memcpy(dst + n + FLEET_VALUE, tail, sizeof(tail));
	return n + FLEET_VALUE + sizeof(tail);
}

bool fleet_verify(int fd, const char value[static FLEET_VALUE])
{
	char request[512], reply[8192];
	size_t n = fleet_request(request, value);

	return test_call(fd, request, n, reply, sizeof(reply)) > 0 && !test_member(reply, "error").p;
}
