/*
 * tests/bench/bench-verify.c - Verify beside its floor and its rivals, in turn in one run: 1, 8, 64 and 1,000 connections, one call
 * at a time on each or many at once, and client and server on one processor (so that no figure has the waking of an idle one in
 * it) or on one each.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/field.h"
#include "tests/bench/measure.h"

#define ROUND_NS 120000000U

/* From 512 connections on the agent has the kernel keep little unread of each: who asks for more at once is closed. */
static const struct {
	unsigned connections, piped;
} cells[] = { { 1, 64 }, { 8, 64 }, { 64, 64 }, { 1000, 8 } };
#define N_CELLS (sizeof(cells) / sizeof(cells[0]))

/* What is promised of a cell, as a part of the echo. */
static const struct promise {
	bool two;
	unsigned connections, depth;
	double at_least;
} promises[] = {
	{ false, 1, 1, 0.85 },
	{ true, 64, 1, 0.75 },
	{ false, 1, 64, 0.24 },
};

/* Medians of single cells, for what is compared across them. */
struct cell {
	bool two;
	unsigned connections, depth;
	struct series rate[RUNNERS], to_echo, to_redis;
};

static void measure_cell(struct field *f, struct cell *c)
{
	struct flood *floods[RUNNERS] = { 0 };

	for (enum runner r = 0; r < RUNNERS; r++) {
		struct flood_options o = f->options[r];

		if (!field_has(f, r))
			continue;
		o.n_connections = c->connections;
		o.depth = c->depth;
		floods[r] = flood_open(&o);
		flood_run(floods[r], 0, round_ns(ROUND_NS / 8), NULL);
	}
	for (unsigned i = rounds(9); i > 0; i--) {
		double rate[RUNNERS] = { 0 };

		for (enum runner r = 0; r < RUNNERS; r++)
			if (floods[r])
				series_add(&c->rate[r], rate[r] = flood_run(floods[r], 0, round_ns(ROUND_NS), NULL));
		series_add(&c->to_echo, rate[JETON] / rate[ECHO]);
		if (floods[REDIS])
			series_add(&c->to_redis, rate[JETON] / rate[REDIS]);
	}
	for (enum runner r = 0; r < RUNNERS; r++)
		if (floods[r])
			flood_close(floods[r]);
}

static const char *key_of(const struct cell *c, const char *last, char dst[static 64])
{
	snprintf(dst, 64, "%s.%s.%u.%s", c->two ? "two" : "one", c->depth > 1 ? "piped" : "single", c->connections, last);
	return dst;
}

static void report_cell(const struct field *f, const struct cell *c)
{
	double at_least = 0;
	char key[64], what[96];

	for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++)
		if (promises[i].two == c->two && promises[i].connections == c->connections && promises[i].depth == c->depth)
			at_least = promises[i].at_least;
	printf("(%u connection%s, %u at once on each, %s)\n", c->connections, c->connections > 1 ? "s" : "", c->depth,
	       c->two ? "a processor each" : "one processor");
	for (enum runner r = 0; r < RUNNERS; r++) {
		if (!field_has(f, r)) {
			report_skipped(key_of(c, runner_keys[r], key), runner_names[r], REDIS_MISSING);
			continue;
		}
		report(key_of(c, runner_keys[r], key), runner_names[r], &c->rate[r], "/s", NO_BOUND, 0);
	}
	snprintf(what, sizeof(what), "  Verify as a part of the echo");
	report(key_of(c, "to-echo", key), what, &c->to_echo, "", at_least > 0 ? AT_LEAST : NO_BOUND, at_least);
	if (field_has(f, REDIS))
		report(key_of(c, "to-redis", key), "  Verify as a multiple of Redis", &c->to_redis, "times", NO_BOUND, 0);
}

/* One caller on one processor, or four on both; Verify beside it over one connection, or over 64. */
static void measure_munge(struct field *f, bool two, double at_least)
{
	const char *key = two ? "two.munge" : "one.munge", *to = two ? "two.to-munge" : "one.to-munge";
	struct series rate = { 0 }, ratio = { 0 };
	struct flood_options o = f->options[JETON];
	struct flood *flood;

	printf("(MUNGE, %s)\n", two ? "4 callers, each on any processor" : "one caller, one processor");
	if (!f->has_munge) {
		report_skipped(key, "MUNGE decode", MUNGE_MISSING);
		return;
	}
	o.n_connections = two ? 64 : 1;
	flood = flood_open(&o);
	for (unsigned i = rounds(9); i > 0; i--) {
		double m, j;

		field_pin(f, two);
		j = flood_run(flood, 0, round_ns(ROUND_NS), NULL);
		if (two) {
			pin_process(f->munge.pid, -1);
			pin(-1);
		}
		m = munge_decode_many(&f->munge, two ? 4 : 1, round_ns(ROUND_NS), NULL);
		series_add(&rate, m);
		series_add(&ratio, j / m);
	}
	report(key, "MUNGE decode", &rate, "/s", NO_BOUND, 0);
	report(to, two ? "  Verify, 64 connections, as a multiple of it" : "  Verify, one connection, as a multiple of it", &ratio,
	       "times", AT_LEAST, at_least);
	flood_close(flood);
}

/* How long single calls take with 64 connections that all ask, on a processor each; MUNGE with 4 callers. */
static void measure_spread(struct field *f)
{
	struct latencies l[RUNNERS] = { 0 }, munge = { 0 };
	struct flood *floods[RUNNERS] = { 0 };
	char key[64], what[64];

	field_pin(f, true);
	for (enum runner r = 0; r < RUNNERS; r++) {
		struct flood_options o = f->options[r];

		o.n_connections = 64;
		if (field_has(f, r))
			floods[r] = flood_open(&o);
	}
	for (unsigned i = rounds(9); i > 0; i--) {
		for (enum runner r = 0; r < RUNNERS; r++)
			if (floods[r])
				flood_run(floods[r], 0, round_ns(ROUND_NS), &l[r]);
		if (f->has_munge) {
			pin_process(f->munge.pid, -1);
			pin(-1);
			munge_decode_many(&f->munge, 4, round_ns(ROUND_NS), &munge);
			field_pin(f, true);
		}
	}
	printf("(how long one of 64 connections waits, a processor each)\n");
	for (enum runner r = 0; r < RUNNERS; r++) {
		if (!floods[r])
			continue;
		snprintf(key, sizeof(key), "spread.%s", runner_keys[r]);
		report_spread(key, runner_names[r], &l[r]);
		snprintf(key, sizeof(key), "p99.%s", runner_keys[r]);
		snprintf(what, sizeof(what), "%s, p99", runner_names[r]);
		report_value(key, what, latencies_at(&l[r], 0.99) / 1000, "us", NO_BOUND, 0);
		flood_close(floods[r]);
		latencies_done(&l[r]);
	}
	if (f->has_munge) {
		report_spread("spread.munge", "MUNGE decode, 4 callers", &munge);
		report_value("p99.munge", "MUNGE decode, 4 callers, p99", latencies_at(&munge, 0.99) / 1000, "us", NO_BOUND, 0);
		latencies_done(&munge);
	}
}

int main(void)
{
	struct field f;

	field_start(&f);
	printf("(%zu bytes to the agent, %zu back)\n", f.n_request, f.n_reply);
	for (int two = 0; two < 2; two++) {
		field_pin(&f, two);
		for (size_t i = 0; i < 2 * N_CELLS; i++) {
			struct cell c = { .two = two, .connections = cells[i % N_CELLS].connections };

			c.depth = i < N_CELLS ? 1 : cells[i % N_CELLS].piped;
			measure_cell(&f, &c);
			report_cell(&f, &c);
		}
		measure_munge(&f, two, two ? 10 : 4);
	}
	measure_spread(&f);
	field_stop(&f);
	return EXIT_SUCCESS;
}
