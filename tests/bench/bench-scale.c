/*
 * tests/bench/bench-scale.c - all of it at once: a million live tokens, ten thousand connections, two processors. How much memory
 * that takes, how many are answered, how long one waits when all ask at once and when 64 of them do; beside the same agent
 * with 64 connections. Tokens are taken at random. (Verifiers with a map need no connection to ask; bench-map has them.)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/fleet.h"
#include "tests/bench/flood.h"
#include "tests/bench/measure.h"

#define ROUND_NS 500000000U
#define BUSY 64

/* The agent takes its own limit from here. */
static void raise_descriptors(rlim_t n)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = n;
	if (limit.rlim_max < n)
		limit.rlim_max = n;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		give_up("%llu descriptors are not allowed here", (unsigned long long)n);
}

static const char *next_request(void *userdata)
{
	static char request[512];

	(void)fleet_request(request, fleet_any(userdata));
	return request;
}

/* Each token is verified once before, for a first use makes the reply longer. */
static void use_all(const struct fleet *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (!fleet_verify(f->fd, f->values[i]))
			give_up("a token was refused");
}

static struct flood *open_flood(struct fleet *f, unsigned n)
{
	static char request[512], reply[8192];
	struct flood_options o = {
		.socket = f->agent.socket, .request = request, .n_connections = n, .next = next_request, .userdata = f,
	};
	ssize_t r;

	o.n_request = fleet_request(request, f->values[0]);
	r = test_call(f->fd, request, o.n_request, reply, sizeof(reply));
	if (r < 0)
		give_up("the agent does not answer");
	o.n_reply = (size_t)r + 1;
	return flood_open(&o);
}

int main(void)
{
	const size_t n = sized(1000000, 2000);
	const unsigned n_connections = (unsigned)sized(10000, 200);
	struct series all = { 0 }, few = { 0 }, alone = { 0 }, ratio = { 0 };
	struct latencies all_l = { 0 }, few_l = { 0 };
	struct flood *flood, *small;
	struct resident r;
	struct fleet f;

	raise_descriptors(n_connections + 1024);
	fleet_start(&f, n, NULL);
	pin_process(f.agent.pid, -1);
	pin_main_thread(f.agent.pid, 0);
	pin(1);
	use_all(&f);
	small = open_flood(&f, BUSY);
	flood = open_flood(&f, n_connections);
	for (unsigned i = rounds(7); i > 0; i--) {
		double a = flood_run(flood, 0, round_ns(ROUND_NS), &all_l), s;

		series_add(&all, a);
		series_add(&few, flood_run(flood, BUSY, round_ns(ROUND_NS), &few_l));
		series_add(&alone, s = flood_run(small, 0, round_ns(ROUND_NS), NULL));
		series_add(&ratio, a / s);
	}
	r = resident_of(f.agent.pid);
	report_value("memory", "the agent's memory, what is locked among it", r.all, "MiB", AT_MOST, 512);
	report_value("memory.locked", "  locked", r.locked, "MiB", NO_BOUND, 0);
	report("all.rate", "Verify over 10,000 connections that all ask", &all, "/s", NO_BOUND, 0);
	report_value("all.p50", "  how long one waits, median", latencies_at(&all_l, 0.5) / 1e6, "ms", NO_BOUND, 0);
	report_value("all.p99", "  how long one waits, p99", latencies_at(&all_l, 0.99) / 1e6, "ms", NO_BOUND, 0);
	report("all.to-few", "  beside 64 that ask", &ratio, "", NO_BOUND, 0);
	report("few.rate", "Verify over 64 of 10,000 connections", &few, "/s", NO_BOUND, 0);
	report_value("few.p50", "  how long one waits, median", latencies_at(&few_l, 0.5) / 1e3, "us", NO_BOUND, 0);
	report_value("few.p99", "  how long one waits, p99", latencies_at(&few_l, 0.99) / 1e3, "us", NO_BOUND, 0);
	report_spread("spread", "Verify over 64 of 10,000 connections", &few_l);
	flood_close(flood);
	flood_close(small);
	latencies_done(&all_l);
	latencies_done(&few_l);
	fleet_stop(&f);
	return EXIT_SUCCESS;
}
