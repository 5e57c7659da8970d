/* tests/unit/test-stats.c - tests/bench/stats.c */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/bench/stats.h"
#include "tests/unit/unit.h"

#define ROUNDS 300

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

START_TEST(of_any_samples_half_are_at_most_the_median_and_half_at_least)
{
	uint64_t state = 1;

	for (unsigned round = 0; round < ROUNDS; round++) {
		struct series s = { 0 };
		size_t n = 1 + unit_random(&state) % 128, below = 0, above = 0;
		double sorted[128], median;

		for (size_t i = 0; i < n; i++)
			series_add(&s, sorted[i] = (double)(unit_random(&state) % 50));
		qsort(sorted, n, sizeof(sorted[0]), ascending);
		median = series_at(&s, 0.5);
		for (size_t i = 0; i < n; i++) {
			below += s.v[i] <= median;
			above += s.v[i] >= median;
		}
		UNIT_CHECK(2 * below >= n && 2 * above >= n, "%g is no median of %zu", median, n);
		UNIT_CHECK(series_at(&s, 0) == sorted[0] && series_at(&s, 1) == sorted[n - 1], "the ends of %zu", n);
		UNIT_CHECK(series_at(&s, 0.25) <= median && median <= series_at(&s, 0.75), "the middle half of %zu", n);
	}
}
END_TEST

START_TEST(samples_are_left_in_their_order_and_too_many_are_dropped)
{
	struct series s = { 0 };

	ck_assert(series_at(&s, 0.5) == 0);
	for (int i = 0; i < 200; i++)
		series_add(&s, 200 - i);
	ck_assert_uint_eq(s.n, 128);
	(void)series_at(&s, 0.5);
	ck_assert(s.v[0] == 200 && s.v[127] == 73);
}
END_TEST

START_TEST(latencies_have_their_parts_however_many_and_however_long)
{
	struct latencies l = { 0 };

	ck_assert(latencies_at(&l, 0.99) == 0);
	/* 1 to 100,000 in another order, which is more than there is room for at first. */
	for (uint64_t i = 0; i < 100000; i++)
		ck_assert(latencies_push(&l, i * 7919 % 100000 + 1));
	ck_assert(latencies_at(&l, 0) == 1);
	ck_assert(fabs(latencies_at(&l, 0.5) - 50000) <= 1);
	ck_assert(fabs(latencies_at(&l, 0.99) - 99000) <= 1);
	ck_assert(latencies_at(&l, 1) == 100000);
	latencies_clear(&l);
	ck_assert(latencies_push(&l, UINT64_MAX));
	ck_assert(latencies_at(&l, 0.5) == UINT32_MAX);
	latencies_done(&l);
}
END_TEST

START_TEST(bounds_hold_at_their_limit_and_not_beyond)
{
	ck_assert(bound_holds(-1, NO_BOUND, 7));
	ck_assert(bound_holds(7, AT_LEAST, 7) && !bound_holds(6.99, AT_LEAST, 7) && bound_holds(8, AT_LEAST, 7));
	ck_assert(bound_holds(7, AT_MOST, 7) && !bound_holds(7.01, AT_MOST, 7) && bound_holds(6, AT_MOST, 7));
	ck_assert(!bound_holds(NAN, AT_LEAST, 7) && !bound_holds(NAN, AT_MOST, 7));
}
END_TEST

START_TEST(numbers_have_three_digits_or_all_before_the_point)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = { { 0, "0" },	    { 0.123456, "0.123" }, { 12.34, "12.3" }, { 999.4, "999" },
		      { 999.6, "1000" }, { 1234567.8, "1234568" }, { -5000.2, "-5000" } };
	char text[32];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_str_eq(stats_number(cases[i].value, text), cases[i].text);
}
END_TEST

/* What a call writes, as a string. */
#define WRITTEN(dst, ...)                                     \
	do {                                                  \
		FILE *f_ = fmemopen(dst, sizeof(dst), "w");   \
		ck_assert(f_ != NULL);                        \
		__VA_ARGS__;                                  \
		fclose(f_);                                   \
	} while (0)

START_TEST(a_figure_is_one_line_of_json_with_all_that_is_said_of_it)
{
	struct series s = { .v = { 30, 10, 20, 50, 40 }, .n = 5 };
	struct figure f = { .key = "a.b", .what = "what it is", .unit = "us" };
	char text[512];

	WRITTEN(text, stats_write(f_, &f, &s));
	ck_assert_str_eq(text, "{\"key\":\"a.b\",\"what\":\"what it is\",\"unit\":\"us\",\"median\":30,\"low\":20,\"high\":40,"
			       "\"min\":10,\"max\":50,\"samples\":5}\n");
	f.bound = AT_MOST;
	f.limit = 29.5;
	WRITTEN(text, stats_write(f_, &f, &s));
	ck_assert_ptr_nonnull(strstr(text, ",\"samples\":5,\"atMost\":29.5,\"holds\":false}\n"));
	f.bound = AT_LEAST;
	WRITTEN(text, stats_write(f_, &f, &s));
	ck_assert_ptr_nonnull(strstr(text, ",\"atLeast\":29.5,\"holds\":true}\n"));
}
END_TEST

START_TEST(what_is_no_number_or_no_plain_text_is_still_json)
{
	struct series s = { .v = { INFINITY }, .n = 1 };
	struct figure f = { .key = "k", .what = "a \"b\" \\ c\n\x01", .unit = "" };
	char text[512];

	WRITTEN(text, stats_write(f_, &f, &s));
	ck_assert_str_eq(text, "{\"key\":\"k\",\"what\":\"a \\\"b\\\" \\\\ c\\u000a\\u0001\",\"unit\":\"\",\"median\":null,"
			       "\"low\":null,\"high\":null,\"min\":null,\"max\":null,\"samples\":1}\n");
	WRITTEN(text, stats_write_skipped(f_, "k", "x", "a `b`: \"c\""));
	ck_assert_str_eq(text, "{\"key\":\"k\",\"what\":\"x\",\"skipped\":\"a `b`: \\\"c\\\"\"}\n");
}
END_TEST

START_TEST(a_curve_is_pairs_in_their_order)
{
	const struct point points[] = { { 0.5, 12.25 }, { 0.99, 1e6 } };
	struct figure f = { .key = "k", .what = "w", .unit = "us" };
	char text[256];

	WRITTEN(text, stats_write_points(f_, &f, points, 2));
	ck_assert_str_eq(text, "{\"key\":\"k\",\"what\":\"w\",\"unit\":\"us\",\"points\":[[0.5,12.25],[0.99,1e+06]]}\n");
	WRITTEN(text, stats_write_points(f_, &f, points, 0));
	ck_assert_str_eq(text, "{\"key\":\"k\",\"what\":\"w\",\"unit\":\"us\",\"points\":[]}\n");
}
END_TEST

UNIT_MAIN("stats", of_any_samples_half_are_at_most_the_median_and_half_at_least,
	  samples_are_left_in_their_order_and_too_many_are_dropped, latencies_have_their_parts_however_many_and_however_long,
	  bounds_hold_at_their_limit_and_not_beyond, numbers_have_three_digits_or_all_before_the_point,
	  a_figure_is_one_line_of_json_with_all_that_is_said_of_it, what_is_no_number_or_no_plain_text_is_still_json,
	  a_curve_is_pairs_in_their_order)
