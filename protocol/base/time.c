/*
 * protocol/base/time.c - how people write instants and spans. All in integers: a double can't hold
 * microseconds of our century and fractions of them exactly.
 */
#include "protocol/base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "protocol/base/parse.h"

/* The end of the year 9999. */
#define LAST_US (UINT64_C(253402300800) * USEC_PER_SEC - 1)

static const struct unit {
	const char *names; /* as read, each between two spaces */
	const char *name;  /* in "3 minutes ago", if it is said there */
	const char *brief; /* in "1h 30min", if it is said there */
	uint64_t us;
} units[] = {
	{ " y year years ", "year", "y", 31557600 * USEC_PER_SEC },
	{ " M month months ", "month", NULL, 2629800 * USEC_PER_SEC },
	{ " w week weeks ", NULL, NULL, 7 * SEC_PER_DAY * USEC_PER_SEC },
	{ " d day days ", "day", "d", SEC_PER_DAY * USEC_PER_SEC },
	{ " h hr hour hours ", "hour", "h", 3600 * USEC_PER_SEC },
	{ " m min minute minutes ", "minute", "min", 60 * USEC_PER_SEC },
	{ " s sec second seconds ", "second", "s", USEC_PER_SEC },
	{ " ms msec ", NULL, NULL, 1000 },
	{ " us usec \302\265s \316\274s ", NULL, NULL, 1 }, /* with a micro sign, with a mu */
};

uint64_t time_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

/* Moves *p past the unit that stands there, and gives it; seconds for none; 0 for no unit. */
static uint64_t read_unit(const char **p)
{
	int n = (int)strcspn(*p, " \t\n0123456789");
	char name[16];

	/* A name too long is cut, and then none of ours, for want of the second space. */
	snprintf(name, sizeof(name), " %.*s ", n ? n : 1, n ? *p : "s");
	*p += n;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strstr(units[i].names, name))
			return units[i].us;
	return 0;
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\n");
}

int time_parse_span(const char *text, uint64_t *ret_us)
{
	const char *p = skip_space(text);
	uint64_t sum = 0, unit, part;
	unsigned __int128 number;
	int r;

	do {
		r = parse_decimal(&p, &number);
		if (r < 0)
			return r;
		p = skip_space(p);
		unit = read_unit(&p);
		if (unit == 0)
			return -EINVAL;
		if (decimal_times(number, unit, &part) < 0 ||
		    __builtin_add_overflow(sum, part, &sum) || sum > INT64_MAX)
			return -ERANGE;
		p = skip_space(p);
	} while (*p);
	*ret_us = sum;
	return 0;
}

/* A date's first second here: midnight, the earlier one of two, or what stands for one skipped. */
static int64_t first_second(const struct tm *day)
{
	int64_t first = -1;

	/* Which is the earlier depends on the zone: some have a winter time instead. */
	for (int summer = 0; summer < 2; summer++) {
		struct tm tm = *day;
		int64_t at;

		tm.tm_isdst = summer;
		at = mktime(&tm);
		if (tm.tm_mday == day->tm_mday && (first < 0 || at < first))
			first = at;
	}
	return first;
}

/* "12:00", "12:00:30" or "12:00:30.5". Gives what follows it, or NULL. */
static const char *read_clock(const char *p, struct tm *tm, uint32_t *ret_us)
{
	unsigned __int128 fraction;

	p = strptime(p, "%H:%M", tm);
	if (!p || *p != ':')
		return p;
	p = strptime(p + 1, "%S", tm);
	if (!p || *p != '.')
		return p;
	*ret_us = parse_decimal(&p, &fraction) < 0 ? 0 : (uint32_t)(fraction / 1000);
	return p;
}

/* p: what stands behind the date. */
static int parse_clock(const char *p, struct tm *tm, int64_t *ret_sec, uint32_t *ret_us)
{
	int64_t offset;

	p = strchr("Tt ", *p) ? read_clock(p + 1, tm, ret_us) : NULL;
	if (p && !*p) {
		*ret_sec = mktime(tm);
		return 0;
	}
	if (p && (strcmp(p, " UTC") == 0 || strcmp(p, "z") == 0))
		p = "Z";
	if (!p || *p == ' ' || !(p = strptime(p, "%z", tm)) || *p)
		return -EINVAL;
	offset = tm->tm_gmtoff;
	if (offset <= -(int64_t)SEC_PER_DAY || offset >= (int64_t)SEC_PER_DAY)
		return -EINVAL;
	*ret_sec = timegm(tm) - offset;
	return 0;
}

static int parse_date(const char *text, uint64_t *ret_us)
{
	struct tm tm = { .tm_isdst = -1 }, normal;
	const char *p = strptime(text, "%Y-%m-%d", &tm);
	uint32_t us = 0;
	int64_t sec;

	normal = tm;
	if (!p || timegm(&normal) == -1 || normal.tm_mday != tm.tm_mday)
		return -EINVAL; /* such as the 31st of April */
	if (!*p)
		sec = first_second(&tm);
	else if (parse_clock(p, &tm, &sec, &us) < 0)
		return -EINVAL;
	if (sec < 0)
		return -ERANGE;
	*ret_us = (uint64_t)sec * USEC_PER_SEC + us;
	return 0;
}

int time_parse_when(const char *text, uint64_t now_us, uint64_t *ret_us)
{
	bool is_date = strchr(text, '-') != NULL; /* which no span has */
	uint64_t from = is_date ? 0 : now_us, at;
	int r = is_date ? parse_date(text, &at) : time_parse_span(text, &at);

	if (r < 0)
		return r;
	if (__builtin_add_overflow(from, at, &at) || at > LAST_US)
		return -ERANGE;
	*ret_us = at;
	return 0;
}

const char *time_format_relative(uint64_t at_us, uint64_t now_us, char *dst, size_t size)
{
	bool past = at_us < now_us;
	uint64_t span = past ? now_us - at_us : at_us - now_us;

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		uint64_t n = span / units[i].us;

		if (n == 0 || !units[i].name)
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
	size_t n = 0;

	snprintf(dst, size, "0s");
	for (size_t i = 0; i < ARRAY_SIZE(units) && n < size; i++) {
		const struct unit *unit = &units[i];
		uint64_t count = span_us / unit->us;

		/* Years only where they come out even: "1y 18h" is no way to say 366 days. */
		if (count == 0 || !unit->brief || (i == 0 && span_us % unit->us != 0))
			continue;
		span_us %= unit->us;
		n += (size_t)snprintf(dst + n, size - n, "%s%" PRIu64 "%s", n ? " " : "", count,
				      unit->brief);
	}
	return dst;
}
