/*
 * tests/unit/test-time.c - instants and spans as people write them, in several places of the world.
 */
#include "protocol/base/time.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/unit/unit.h"

#define SEC USEC_PER_SEC
#define DAY (SEC_PER_DAY * SEC)
#define YEAR (31557600 * SEC)

/* Zones as rules, so that the tests need no database of them. */
#define UTC "UTC0"
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
/* Summer time begins and ends at midnight: a day without one, and a day with two. */
#define HAVANA "CST5CDT,M3.2.0/0,M11.1.0/1"
/* The same, where the winter's time is the exception to the rule. */
#define HAVANA_WINTER "CDT4CST5,M11.1.0/1,M3.2.0/0"

static void set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

START_TEST(a_span_is_read_as_systemd_reads_it)
{
	static const struct {
		const char *text;
		int result;
		uint64_t us;
	} spans[] = {
		{ "0", 0, 0 }, { "90", 0, 90 * SEC }, { "5s", 0, 5 * SEC }, { "5 s", 0, 5 * SEC },
		{ "1h 30min", 0, 5400 * SEC }, { "1h30min", 0, 5400 * SEC }, { "7d", 0, 7 * DAY },
		{ "1y", 0, YEAR }, { "1M", 0, YEAR / 12 }, { "1m", 0, 60 * SEC },
		{ "2w", 0, 14 * DAY },
		{ "1.5h", 0, 5400 * SEC }, { ".5s", 0, SEC / 2 }, { "1s500ms", 0, 3 * SEC / 2 },
		{ "100us", 0, 100 }, { "100usec", 0, 100 }, { "7 \xc2\xb5s", 0, 7 },
		{ "7\xce\xbcs", 0, 7 },
		{ "3msec", 0, 3000 }, { "  1d  ", 0, DAY }, { "1d 1d", 0, 2 * DAY },
		{ "1h 30", 0, 3630 * SEC },
		{ "1 year 2 months 3 weeks 4 days 5 hours 6 minutes 7 seconds", 0,
		  YEAR + YEAR / 6 + 25 * DAY + (5 * 3600 + 6 * 60 + 7) * SEC },
		{ "1 month", 0, YEAR / 12 }, { "1week", 0, 7 * DAY }, { "1hr", 0, 3600 * SEC },
		{ "1sec", 0, SEC }, { "1second", 0, SEC }, { "1minute", 0, 60 * SEC },
		{ "0.000001s", 0, 1 }, { "0.0000001s", 0, 0 }, { "292271y", 0, 292271 * YEAR },
		{ "9223372036854775807us", 0, INT64_MAX }, { "9223372036854775808us", -ERANGE, 0 },
		{ "9223372036854775807us 1us", -ERANGE, 0 }, { "300000y", -ERANGE, 0 },
		{ "99999999999999999999", -ERANGE, 0 }, { "18446744073709551615y", -ERANGE, 0 },
		{ "", -EINVAL, 0 }, { " ", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { "+1", -EINVAL, 0 },
		{ "h", -EINVAL, 0 }, { "1x", -EINVAL, 0 }, { "1hh", -EINVAL, 0 },
		{ "1h,2m", -EINVAL, 0 },
		{ "1.", -EINVAL, 0 }, { "1.h", -EINVAL, 0 }, { ".", -EINVAL, 0 },
		{ "1e3", -EINVAL, 0 },
		{ "infinity", -EINVAL, 0 }, { "1 H", -EINVAL, 0 }, { "1D", -EINVAL, 0 },
		{ "0x1", -EINVAL, 0 },
		{ "1h -5min", -EINVAL, 0 }, { "1 secondsecondsecondsecond", -EINVAL, 0 },
		{ "1 minutes hour", -EINVAL, 0 }, { "1 ..s", -EINVAL, 0 }, { "1 s s", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(spans); i++) {
		uint64_t us = 0;

		ck_assert_msg(time_parse_span(spans[i].text, &us) == spans[i].result, "%s",
			      spans[i].text);
		ck_assert_msg(us == spans[i].us, "%s: %lu", spans[i].text, us);
	}
}
END_TEST

START_TEST(a_span_is_written_as_it_is_read)
{
	static const struct {
		uint64_t us;
		const char *text;
	} spans[] = {
		{ 0, "0s" }, { SEC, "1s" }, { 90 * SEC, "1min 30s" }, { 3600 * SEC, "1h" },
		{ 5400 * SEC, "1h 30min" }, { DAY, "1d" }, { 30 * DAY, "30d" },
		{ 366 * DAY, "366d" },
		{ YEAR, "1y" }, { 2 * YEAR, "2y" }, { YEAR + SEC, "365d 6h 1s" }, { SEC - 1, "0s" },
		{ DAY + 3661 * SEC + 5, "1d 1h 1min 1s" },
	};
	uint64_t random = 1;
	char text[40];

	for (size_t i = 0; i < ARRAY_SIZE(spans); i++)
		ck_assert_str_eq(time_format_span(spans[i].us, text, sizeof(text)), spans[i].text);
	for (int round = 0; round < 100000; round++) {
		uint64_t us = (unit_random(&random) >> (1 + round % 50)) / SEC * SEC, back = 1;

		time_format_span(us, text, sizeof(text));
		UNIT_CHECK(time_parse_span(text, &back) == 0 && back == us, "%lu: %s", us, text);
	}
}
END_TEST

START_TEST(an_instant_is_a_span_from_now_or_a_date)
{
	static const struct {
		const char *zone, *text;
		int result;
		int64_t sec;
	} instants[] = {
		{ UTC, "30d", 0, 1000 + 30 * 86400 }, { UTC, "0", 0, 1000 },
		{ UTC, "1h 1s", 0, 4601 },
		{ UTC, "2027-01-31", 0, 1801353600 }, { BERLIN, "2027-01-31", 0, 1801350000 },
		{ NEW_YORK, "2027-01-31", 0, 1801371600 }, { BERLIN, "2027-07-31", 0, 1816984800 },
		{ UTC, "2027-01-31 12:00", 0, 1801396800 },
		{ UTC, "2027-01-31 12:00:30", 0, 1801396830 },
		{ BERLIN, "2027-01-31 12:00", 0, 1801393200 },
		{ BERLIN, "2027-07-31 12:00", 0, 1817028000 },
		{ BERLIN, "2027-01-31 12:00 UTC", 0, 1801396800 },
		{ BERLIN, "2027-01-31T12:00:00Z", 0, 1801396800 },
		{ BERLIN, "2027-01-31t12:00:00z", 0, 1801396800 },
		{ BERLIN, "2027-01-31T12:00:00+02:00", 0, 1801389600 },
		{ BERLIN, "2027-07-31T12:00:00-05:30", 0, 1817055000 },
		{ BERLIN, "2027-01-31T12:00:00", 0, 1801393200 }, { UTC, "1970-01-01", 0, 0 },
		{ UTC, "2028-02-29", 0, 1835395200 }, { UTC, "2000-02-29", 0, 951782400 },
		{ UTC, "2016-12-31T23:59:60Z", 0, 1483228800 },
		{ UTC, "9999-12-31 23:59:59", 0, 253402300799 },
		/* One day has no midnight, and begins at one; one has two of them. */
		{ HAVANA, "2027-03-14", 0, 1805000400 }, { HAVANA, "2027-11-07", 0, 1825560000 },
		{ HAVANA, "2027-03-15", 0, 1805083200 }, { HAVANA, "2027-11-08", 0, 1825650000 },
		{ HAVANA_WINTER, "2027-03-14", 0, 1805000400 },
		{ HAVANA_WINTER, "2027-11-07", 0, 1825560000 },
		/*
		 * A clock's time that is skipped is some moment near; one that is twice is one of
		 * them.
		 */
		{ UTC, "1969-12-31", -ERANGE, 0 }, { BERLIN, "1970-01-01", -ERANGE, 0 },
		{ UTC, "9999-12-31T23:59:59-01:00", -ERANGE, 0 }, { UTC, "9000y", -ERANGE, 0 },
		{ UTC, "300000y", -ERANGE, 0 }, { UTC, "0000-01-01", -ERANGE, 0 },
		{ UTC, "", -EINVAL, 0 }, { UTC, "2027-13-01", -EINVAL, 0 },
		{ UTC, "2027-00-01", -EINVAL, 0 },
		{ UTC, "2027-02-29", -EINVAL, 0 }, { UTC, "2027-04-31", -EINVAL, 0 },
		{ UTC, "2027-01-00", -EINVAL, 0 }, { UTC, "2027-01-32", -EINVAL, 0 },
		{ UTC, "2100-02-29", -EINVAL, 0 }, { UTC, "2027-01", -EINVAL, 0 },
		{ UTC, "2027", 0, 3027 },
		{ UTC, "2027-01-31 ", -EINVAL, 0 }, { UTC, "2027-01-31T", -EINVAL, 0 },
		{ UTC, "2027-01-31 25:00", -EINVAL, 0 }, { UTC, "2027-01-31 12:60", -EINVAL, 0 },
		{ UTC, "2027-01-31 12:00:61", 0, 1801396861 }, { UTC, "2027-01-31 12", -EINVAL, 0 },
		{ UTC, "2027-01-31 12:00x", -EINVAL, 0 }, { UTC, "2027-01-31x12:00", -EINVAL, 0 },
		{ UTC, "2027-01-31 12:00 CET", -EINVAL, 0 },
		{ UTC, "2027-01-31T12:00:00Zx", -EINVAL, 0 },
		{ UTC, "2027-01-31T12:00:00+", -EINVAL, 0 },
		{ UTC, "2027-01-31T12:00:00+25:00", -EINVAL, 0 },
		{ UTC, "2027-01-31T12:00:00.", -EINVAL, 0 }, { UTC, "-5d", -EINVAL, 0 },
		{ UTC, "tomorrow", -EINVAL, 0 }, { UTC, "31.01.2027", -EINVAL, 0 },
		{ UTC, "2027/01/31", -EINVAL, 0 }, { UTC, "+2027-01-31", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(instants); i++) {
		uint64_t us = 0;
		int r;

		set_zone(instants[i].zone);
		r = time_parse_when(instants[i].text, 1000 * SEC, &us);
		ck_assert_msg(r == instants[i].result, "%s %s: %d, %lu", instants[i].zone,
			      instants[i].text, r, us);
		ck_assert_msg(us == (uint64_t)instants[i].sec * SEC, "%s %s: %lu", instants[i].zone,
			      instants[i].text, us);
	}
	set_zone(UTC);
}
END_TEST

START_TEST(fractions_of_a_second_are_read)
{
	uint64_t us;

	ck_assert_int_eq(time_parse_when("1970-01-02T00:00:01.25Z", 0, &us), 0);
	ck_assert_uint_eq(us, DAY + 1250000);
	ck_assert_int_eq(time_parse_when("1970-01-02T00:00:01.123456789+00:00", 0, &us), 0);
	ck_assert_uint_eq(us, DAY + 1123456);
}
END_TEST

/* The first second of each day, found the slow way, and any local time read back. */
START_TEST(local_dates_and_times_are_those_of_the_zone)
{
	static const char *const zones[] = {
		UTC, BERLIN, NEW_YORK, HAVANA, HAVANA_WINTER, "<+1345>-13:45",
	};

	for (size_t z = 0; z < ARRAY_SIZE(zones); z++) {
		set_zone(zones[z]);
		/*
		 * From 2027 on, for 800 days: each hour whose date differs from that before begins
		 * one.
		 */
		for (int64_t at = 1798761600 - 900; at < 1798761600 + 800 * 86400; at += 900) {
			time_t t = at, before = at - 900;
			struct tm tm, old;
			char date[16], local[64];
			uint64_t us = 0;

			localtime_r(&t, &tm);
			localtime_r(&before, &old);
			if (tm.tm_hour == 12) {
				strftime(local, sizeof(local), "%Y-%m-%d %H:%M:%S", &tm);
				UNIT_CHECK(time_parse_when(local, 0, &us) == 0 &&
						   us == (uint64_t)at * SEC,
					   "%s %s", zones[z], local);
			}
			/*
			 * Where a clock is put back over midnight, the day's start is its first
			 * one.
			 */
			if (tm.tm_yday == old.tm_yday || (tm.tm_yday == 310 && tm.tm_hour == 23))
				continue;
			strftime(date, sizeof(date), "%Y-%m-%d", &tm);
			UNIT_CHECK(time_parse_when(date, 0, &us) == 0 && us == (uint64_t)at * SEC,
				   "%s %s: %lu, not %ld", zones[z], date, us, at);
		}
	}
	set_zone(UTC);
}
END_TEST

START_TEST(a_time_is_told_by_its_coarsest_unit)
{
	static const struct {
		int64_t us;
		const char *text;
	} times[] = {
		{ 0, "just now" }, { 999999, "just now" }, { -999999, "just now" },
		{ 1000000, "in 1 second" },
		{ -1000000, "1 second ago" }, { 59999999, "in 59 seconds" },
		{ 60000000, "in 1 minute" },
		{ -180000000, "3 minutes ago" }, { 7200000000, "in 2 hours" },
		{ 86399000000, "in 23 hours" },
		{ 86400000000, "in 1 day" }, { 30 * (int64_t)DAY - 1, "in 29 days" },
		{ 30 * (int64_t)DAY, "in 30 days" }, { 31 * (int64_t)DAY, "in 1 month" },
		{ -365 * (int64_t)DAY, "11 months ago" }, { (int64_t)YEAR, "in 1 year" },
		{ -10 * (int64_t)YEAR, "10 years ago" },
	};
	const uint64_t now = UINT64_C(2000000000) * SEC;
	char text[40];

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		ck_assert_str_eq(time_format_relative(now + (uint64_t)times[i].us, now, text,
						      sizeof(text)),
				 times[i].text);
	ck_assert_str_eq(time_format_relative(UINT64_MAX, 0, text, sizeof(text)),
			 "in 584542 years");
	ck_assert_str_eq(time_format_relative(0, UINT64_MAX, text, sizeof(text)),
			 "584542 years ago");
}
END_TEST

START_TEST(a_time_is_told_in_the_local_zone)
{
	char text[64];

	set_zone(BERLIN);
	ck_assert_str_eq(time_format_local(1801396800 * SEC, text, sizeof(text)),
			 "2027-01-31 13:00:00 CET");
	set_zone(UTC);
	ck_assert_str_eq(time_format_local(1801396800 * SEC + 5, text, sizeof(text)),
			 "2027-01-31 12:00:00 UTC");
	ck_assert_ptr_eq(time_format_local(UINT64_MAX, text, sizeof(text)), text);
}
END_TEST

START_TEST(the_clock_is_that_of_the_epoch)
{
	uint64_t before = (uint64_t)time(NULL), now = time_now_us(), after = (uint64_t)time(NULL);

	ck_assert_uint_ge(now / SEC, before - 1);
	ck_assert_uint_le(now / SEC, after + 1);
}
END_TEST

UNIT_MAIN("time", a_span_is_read_as_systemd_reads_it, a_span_is_written_as_it_is_read,
	  an_instant_is_a_span_from_now_or_a_date, fractions_of_a_second_are_read,
	  local_dates_and_times_are_those_of_the_zone, a_time_is_told_by_its_coarsest_unit,
	  a_time_is_told_in_the_local_zone, the_clock_is_that_of_the_epoch)
