/*
 * protocol/base/time.c - how people write instants and spans. All in integers: a double can't hold
 * microseconds of our century and fractions of them exactly.
 */
#include "protocol/base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/base/parse.h"

#define MINUTE_US (60 * USEC_PER_SEC)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (SEC_PER_DAY * USEC_PER_SEC)
#define WEEK_US (7 * DAY_US)
#define MONTH_US (UINT64_C(2629800) * USEC_PER_SEC)
#define YEAR_US (UINT64_C(31557600) * USEC_PER_SEC)

/* 9999-12-31 23:59:59 UTC, in seconds. */
#define LAST_SEC INT64_C(253402300799)

uint64_t time_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

static const struct {
	const char *names; /* each between two spaces */
	uint64_t us;
} span_units[] = {
	{ " us usec µs μs ", 1 },
	{ " ms msec ", 1000 },
	{ " s sec second seconds ", USEC_PER_SEC },
	{ " m min minute minutes ", MINUTE_US },
	{ " h hr hour hours ", HOUR_US },
	{ " d day days ", DAY_US },
	{ " w week weeks ", WEEK_US },
	{ " M month months ", MONTH_US },
	{ " y year years ", YEAR_US },
};

/* Reads the unit at *p, if there is one, and moves *p past it. */
static int read_unit(const char **p, uint64_t *ret_us)
{
	size_t n = strcspn(*p, " \t\n0123456789.");
	char name[16] = " ";

	if (n == 0) {
		*ret_us = USEC_PER_SEC;
		return 0;
	}
	if (n > sizeof(name) - 3)
		return -EINVAL;
	memcpy(name + 1, *p, n);
	name[n + 1] = ' ';
	for (size_t i = 0; i < ARRAY_SIZE(span_units); i++) {
		if (!strstr(span_units[i].names, name))
			continue;
		*p += n;
		*ret_us = span_units[i].us;
		return 0;
	}
	return -EINVAL;
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\n");
}

int time_parse_span(const char *text, uint64_t *ret_us)
{
	const char *p = skip_space(text);
	bool in_range = true;
	uint64_t sum = 0;

	if (!*p)
		return -EINVAL;
	for (; *p; p = skip_space(p)) {
		struct decimal number;
		uint64_t unit, part;
		int r;

		r = decimal_read(&p, &number);
		if (r < 0)
			return r;
		p = skip_space(p);
		r = read_unit(&p, &unit);
		if (r < 0)
			return r;
		in_range = in_range && decimal_times(number, unit, &part) == 0 &&
			   !__builtin_add_overflow(sum, part, &sum) && sum <= INT64_MAX;
	}
	if (!in_range)
		return -ERANGE;
	*ret_us = sum;
	return 0;
}

/* Reads exactly n digits, a number from min to max, then `after` where it is not NUL. */
static bool read_field(const char **p, size_t n, int min, int max, char after, int *ret)
{
	int value = 0;

	for (size_t i = 0; i < n; i++) {
		if ((*p)[i] < '0' || (*p)[i] > '9')
			return false;
		value = value * 10 + ((*p)[i] - '0');
	}
	if (value < min || value > max || (after && (*p)[n] != after))
		return false;
	*p += n + (after != '\0');
	*ret = value;
	return true;
}

static int days_of_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static bool read_date(const char **p, struct tm *tm)
{
	int year, month, day;

	if (!read_field(p, 4, 0, 9999, '-', &year) || !read_field(p, 2, 1, 12, '-', &month) ||
	    !read_field(p, 2, 1, days_of_month(year, month), '\0', &day))
		return false;
	*tm = (struct tm){
		.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_isdst = -1
	};
	return true;
}

/* "12:00", "12:00:30" or "12:00:30.5" */
static bool read_clock(const char **p, struct tm *tm, uint32_t *us)
{
	struct decimal fraction;

	*us = 0;
	if (!read_field(p, 2, 0, 23, ':', &tm->tm_hour) ||
	    !read_field(p, 2, 0, 59, '\0', &tm->tm_min))
		return false;
	if (**p != ':')
		return true;
	++*p;
	/* 60 is a leap second, which becomes the next minute's first. */
	if (!read_field(p, 2, 0, 60, '\0', &tm->tm_sec))
		return false;
	if (**p != '.')
		return true;
	if (decimal_read(p, &fraction) < 0)
		return false;
	*us = fraction.billionths / 1000;
	return true;
}

/* "Z", " UTC", "+02:00": what to take from the clock's time to get UTC. */
static bool read_zone(const char *p, int64_t *ret_sec)
{
	int hours, minutes, sign = *p == '-' ? -1 : 1;

	if (strcasecmp(p, "Z") == 0 || strcmp(p, " UTC") == 0) {
		*ret_sec = 0;
		return true;
	}
	if (*p != '+' && *p != '-')
		return false;
	p++;
	if (!read_field(&p, 2, 0, 23, ':', &hours) || !read_field(&p, 2, 0, 59, '\0', &minutes) || *p)
		return false;
	*ret_sec = sign * (hours * 3600 + minutes * 60);
	return true;
}

/* A local day need not have a midnight, or may have two: halves to the first second of that date. */
static int64_t first_second(const struct tm *day)
{
	struct tm utc = *day;
	int64_t middle = timegm(&utc);
	int64_t before = middle - 2 * (int64_t)SEC_PER_DAY, at = middle + 2 * (int64_t)SEC_PER_DAY;

	while (at - before > 1) {
		struct tm tm;
		time_t t = (before + at) / 2;

		localtime_r(&t, &tm);
		if (tm.tm_year > day->tm_year ||
		    (tm.tm_year == day->tm_year &&
		     (tm.tm_mon > day->tm_mon ||
		      (tm.tm_mon == day->tm_mon && tm.tm_mday >= day->tm_mday))))
			at = t;
		else
			before = t;
	}
	return at;
}

static int parse_date(const char *p, uint64_t *ret_us)
{
	int64_t sec, offset;
	uint32_t us = 0;
	struct tm tm;

	if (!read_date(&p, &tm))
		return -EINVAL;
	if (!*p) {
		sec = first_second(&tm);
	} else {
		if (!strchr("Tt ", *p) || !(p++, read_clock(&p, &tm, &us)))
			return -EINVAL;
		if (!*p)
			sec = mktime(&tm);
		else if (read_zone(p, &offset))
			sec = timegm(&tm) - offset;
		else
			return -EINVAL;
	}
	if (sec < 0 || sec > LAST_SEC)
		return -ERANGE;
	*ret_us = (uint64_t)sec * USEC_PER_SEC + us;
	return 0;
}

int time_parse_when(const char *text, uint64_t now_us, uint64_t *ret_us)
{
	const char *p = text;
	uint64_t span, at;
	int year, r;

	if (read_field(&p, 4, 0, 9999, '-', &year))
		return parse_date(text, ret_us);
	r = time_parse_span(text, &span);
	if (r < 0)
		return r;
	if (__builtin_add_overflow(now_us, span, &at) || at / USEC_PER_SEC > LAST_SEC)
		return -ERANGE;
	*ret_us = at;
	return 0;
}

const char *time_format_relative(uint64_t at_us, uint64_t now_us, char *dst, size_t size)
{
	static const struct {
		const char *name;
		uint64_t us;
	} units[] = {
		{ "year", YEAR_US }, { "month", MONTH_US },   { "day", DAY_US },
		{ "hour", HOUR_US }, { "minute", MINUTE_US }, { "second", USEC_PER_SEC },
	};
	bool past = at_us < now_us;
	uint64_t span = past ? now_us - at_us : at_us - now_us;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t n = span / units[i].us;

		if (n == 0)
			continue;
		snprintf(dst, size, "%s%" PRIu64 " %s%s%s", past ? "" : "in ", n, units[i].name,
			 n == 1 ? "" : "s", past ? " ago" : "");
		return dst;
	}
	snprintf(dst, size, "just now");
	return dst;
}

const char *time_format_local(uint64_t at_us, char *dst, size_t size)
{
	time_t t = (time_t)(at_us / USEC_PER_SEC);
	struct tm tm;

	if (!localtime_r(&t, &tm) || strftime(dst, size, "%Y-%m-%d %H:%M:%S %Z", &tm) == 0)
		snprintf(dst, size, "@%" PRIu64, at_us / USEC_PER_SEC);
	return dst;
}

const char *time_format_span(uint64_t span_us, char *dst, size_t size)
{
	static const struct {
		const char *name;
		uint64_t us;
	} units[] = {
		{ "d", DAY_US }, { "h", HOUR_US }, { "min", MINUTE_US }, { "s", USEC_PER_SEC },
	};
	size_t n = 0;

	/* Years only where they come out even: "1y 18h" is no way to say 366 days. */
	if (span_us >= YEAR_US && span_us % YEAR_US == 0) {
		snprintf(dst, size, "%" PRIu64 "y", span_us / YEAR_US);
		return dst;
	}
	snprintf(dst, size, "0s");
	for (size_t i = 0; i < ARRAY_SIZE(units) && n < size; i++) {
		uint64_t part = span_us / units[i].us;

		span_us %= units[i].us;
		if (part > 0)
			n += (size_t)snprintf(dst + n, size - n, "%s%" PRIu64 "%s", n ? " " : "",
					      part, units[i].name);
	}
	return dst;
}
