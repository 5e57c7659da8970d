/*
 * tests/bench/bench-connect.c - a connection for each call: connect, ask, hear, close, one after the other. MUNGE's library
 * knows no other way; Verify beside it, the floor and Redis, in turn in one run.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/field.h"
#include "tests/bench/measure.h"

#define ROUND_NS 200000000U

static void measure(struct field *f, bool two)
{
	const char *where = two ? "two" : "one";
	struct series rate[RUNNERS] = { 0 }, munge = { 0 }, to_echo = { 0 }, to_munge = { 0 };
	char key[64];

	field_pin(f, two);
	for (unsigned i = rounds(9); i > 0; i--) {
		double r[RUNNERS] = { 0 };

		for (enum runner k = 0; k < RUNNERS; k++)
			if (field_has(f, k))
				series_add(&rate[k], r[k] = flood_one_shots(&f->options[k], round_ns(ROUND_NS)));
		series_add(&to_echo, r[JETON] / r[ECHO]);
		if (f->has_munge) {
			double m = munge_decode_many(&f->munge, 1, round_ns(ROUND_NS), NULL);

			series_add(&munge, m);
			series_add(&to_munge, r[JETON] / m);
		}
	}
	printf("(%s)\n", two ? "a processor each" : "one processor");
	for (enum runner k = 0; k < RUNNERS; k++) {
		snprintf(key, sizeof(key), "%s.%s", where, runner_keys[k]);
		if (field_has(f, k))
			report(key, runner_names[k], &rate[k], "/s", NO_BOUND, 0);
		else
			report_skipped(key, runner_names[k], REDIS_MISSING);
	}
	snprintf(key, sizeof(key), "%s.to-echo", where);
	report(key, "  Verify as a part of the echo", &to_echo, "", NO_BOUND, 0);
	snprintf(key, sizeof(key), "%s.munge", where);
	if (!f->has_munge) {
		report_skipped(key, "MUNGE decode", MUNGE_MISSING);
		return;
	}
	report(key, "MUNGE decode", &munge, "/s", NO_BOUND, 0);
	snprintf(key, sizeof(key), "%s.to-munge", where);
	report(key, "  Verify as a multiple of it", &to_munge, "times", NO_BOUND, 0);
}

int main(void)
{
	struct field f;

	field_start(&f);
	measure(&f, false);
	measure(&f, true);
	field_stop(&f);
	return EXIT_SUCCESS;
}
