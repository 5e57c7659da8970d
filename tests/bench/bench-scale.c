/*
 * tests/bench/bench-scale.c - all of it at once: a million live tokens, ten thousand connections, two processors. How much memory
 * that takes, how many are answered, how long one waits when all ask at once and when 64 of them do; beside the same agent
 * with 64 connections. Tokens are taken at random. Then a thousand verifiers come, too, and have a map of all the tokens. And
 * how long a Verify waits while such a map is made, and another let go of.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "protocol/jeton.h"
#include "tests/bench/fleet.h"
#include "tests/bench/flood.h"
#include "tests/bench/measure.h"

#define ROUND_NS 500000000U
#define BUSY 64

static const char policy[] = "[Access]\nUser=*\nScope=acme/**:*\n[Verify]\nUser=*\nScope=**:*\nMap=yes\n";

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

/* ---- verifiers ---- */

struct verifiers {
	const struct fleet *f;
	struct jeton_verifier **all;
	size_t n;
};

/* Whether the map of it says that any of the tokens is good. */
static bool verifies(const struct verifiers *v, size_t i)
{
	struct jeton_verified ret = JETON_VERIFIED_INIT;
	char value[FLEET_VALUE + 1] = "";

	memcpy(value, fleet_any(v->f), FLEET_VALUE);
	if (jeton_verifier_verify(v->all[i], value, NULL, -1, &ret) != 0)
		give_up("a token was refused: %s", ret.message);
	return ret.by_map;
}

/* Seconds until the last of them has a map, in which all is. */
static double verifiers_open(struct verifiers *v, const struct fleet *f, size_t n)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint64_t start = now_ns();

	*v = (struct verifiers){ .f = f, .all = calloc(n, sizeof(struct jeton_verifier *)) };
	for (; v->all && v->n < n; v->n++)
		if (jeton_verifier_new(f->agent.socket, &v->all[v->n]) < 0)
			give_up("there can be no %zu verifiers here", n);
	for (size_t i = 0, good = 0; i < n; i += good == 16, good = good == 16 ? 0 : good) {
		good = verifies(v, i) ? good + 1 : 0;
		if (good == 0)
			nanosleep(&pause, NULL);
	}
	return (double)(now_ns() - start) / 1e9;
}

static void verifiers_close(struct verifiers *v)
{
	for (size_t i = 0; i < v->n; i++)
		jeton_verifier_free(v->all[i]);
	free(v->all);
}

/* ns a verification, by each of them in turn. */
static double verifiers_round(const struct verifiers *v)
{
	uint64_t start = now_ns(), now = start, n = 0;

	for (; now - start < round_ns(ROUND_NS) / 5; now = now_ns())
		for (size_t i = 0; i < v->n; i++, n++)
			if (!verifies(v, i))
				give_up("a map does not say yes");
	return (double)(now - start) / (double)n;
}

static void measure_verifiers(struct fleet *f, struct flood *flood)
{
	struct series each = { 0 }, few = { 0 };
	struct verifiers v;
	double ready_s = verifiers_open(&v, f, sized(1000, 20));

	for (unsigned i = rounds(7); i > 0; i--) {
		series_add(&each, verifiers_round(&v));
		series_add(&few, flood_run(flood, BUSY, round_ns(ROUND_NS), NULL));
	}
	report_value("verifiers.memory", "the agent's memory with 1,000 verifiers, too, that have a map",
		     resident_of(f->agent.pid).all, "MiB", AT_MOST, 512);
	report_value("verifiers.ready", "  until the last of them has all of it", ready_s, "s", NO_BOUND, 0);
	report("verifiers.each", "  a verification by each in turn, hardly any page touched before", &each, "ns", NO_BOUND, 0);
	report("verifiers.few", "  Verify over 64 of 10,000 connections", &few, "/s", NO_BOUND, 0);
	verifiers_close(&v);
}

/* ---- maps that come and go ---- */

struct waiter {
	const struct fleet *f;
	atomic_bool is_over;
	struct latencies waits;
};

/* Verifies over a connection of its own, one call after the other, ahead of what else this program does. */
static void *wait_all_along(void *userdata)
{
	const struct sched_param ahead = { .sched_priority = 10 };
	struct waiter *w = userdata;
	int fd = test_agent_connect(&w->f->agent);
	uint64_t before = now_ns(), after;

	pin(1);
	(void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &ahead);
	while (!atomic_load(&w->is_over)) {
		if (fd < 0 || !fleet_verify(fd, w->f->values[0]))
			give_up("the agent does not answer");
		after = now_ns();
		latencies_add(&w->waits, after - before);
		before = after;
	}
	close(fd);
	return NULL;
}

/* While it runs, what is done by do_it(). */
static void wait_meanwhile(struct waiter *w, void (*do_it)(struct fleet *f, struct verifiers *v),
			   struct fleet *f, struct verifiers *v)
{
	pthread_t thread;

	w->f = f;
	atomic_store(&w->is_over, false);
	if (pthread_create(&thread, NULL, wait_all_along, w) != 0)
		give_up("no thread");
	do_it(f, v);
	atomic_store(&w->is_over, true);
	pthread_join(thread, NULL);
}

static void do_nothing(struct fleet *f, struct verifiers *v)
{
	(void)f;
	(void)v;
	nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
}

/* All maps are retired by that, and made anew for who asks; with all tokens again. */
static void renew_map(struct fleet *f, struct verifiers *v)
{
	static const char reload[] = "{\"method\":\"io.jeton.Agent.Reload\"}";
	char reply[8192];

	verifiers_close(v);
	if (test_call(f->fd, reload, sizeof(reload), reply, sizeof(reply)) < 0 ||
	    strstr(reply, "error"))
		give_up("Reload failed: %s", reply);
	verifiers_open(v, f, 1);
}

static void measure_renewals(struct fleet *f)
{
	struct waiter idle = { 0 }, busy = { 0 };
	struct verifiers v;

	verifiers_open(&v, f, 1);
	for (unsigned i = rounds(7); i > 0; i--) {
		wait_meanwhile(&idle, do_nothing, f, &v);
		wait_meanwhile(&busy, renew_map, f, &v);
	}
	verifiers_close(&v);
	report_value("renewal.idle", "the longest that a Verify waits, of a second each",
		     latencies_at(&idle.waits, 1) / 1e3, "us", NO_BOUND, 0);
	report_value("renewal.idle.p99", "  p99", latencies_at(&idle.waits, 0.99) / 1e3, "us",
		     NO_BOUND, 0);
	report_value("renewal.busy", "  while a map is made and another let go of",
		     latencies_at(&busy.waits, 1) / 1e3, "us", NO_BOUND, 0);
	report_value("renewal.busy.p99", "  p99", latencies_at(&busy.waits, 0.99) / 1e3, "us",
		     NO_BOUND, 0);
	latencies_done(&idle.waits);
	latencies_done(&busy.waits);
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

	raise_descriptors(n_connections + 4096);
	fleet_start(&f, n, policy);
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
	measure_verifiers(&f, flood);
	measure_renewals(&f);
	flood_close(flood);
	flood_close(small);
	latencies_done(&all_l);
	latencies_done(&few_l);
	fleet_stop(&f);
	return EXIT_SUCCESS;
}
