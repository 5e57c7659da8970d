/* tests/bench/measure.c - medians and the middle half, since a mean is whatever the worst neighbour makes it. */
#include "tests/bench/measure.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void set_affinity(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (size_t i = 0; i < CPU_SETSIZE; i++)
		if (cpu < 0 || i == (size_t)cpu)
			CPU_SET(i, &set);
	if (sched_setaffinity(pid, sizeof(set), &set) < 0)
		perror("sched_setaffinity");
}

void pin(int cpu)
{
	set_affinity(0, cpu);
}

void pin_main_thread(pid_t pid, int cpu)
{
	set_affinity(pid, cpu);
}

void series_add(struct series *s, double value)
{
	if (s->n < sizeof(s->v) / sizeof(s->v[0]))
		s->v[s->n++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double series_at(const struct series *s, double part)
{
	struct series sorted = *s;

	if (s->n == 0)
		return 0;
	qsort(sorted.v, sorted.n, sizeof(sorted.v[0]), compare_doubles);
	return sorted.v[(size_t)(part * (double)(sorted.n - 1) + 0.5)];
}

void latencies_add(struct latencies *l, uint64_t ns)
{
	if (l->n == l->size) {
		l->size = l->size ? l->size * 2 : 65536;
		l->v = reallocarray(l->v, l->size, sizeof(l->v[0]));
		if (!l->v)
			give_up("no memory");
	}
	l->v[l->n++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int compare_uints(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

double latencies_at(struct latencies *l, double part)
{
	if (l->n == 0)
		return 0;
	qsort(l->v, l->n, sizeof(l->v[0]), compare_uints);
	return (double)l->v[(size_t)(part * (double)(l->n - 1))];
}

void latencies_clear(struct latencies *l)
{
	l->n = 0;
}

void latencies_done(struct latencies *l)
{
	free(l->v);
	*l = (struct latencies){ 0 };
}

static bool holds(double value, enum bound bound, double limit)
{
	return bound == NO_BOUND || (bound == AT_LEAST ? value >= limit : value <= limit);
}

/* A number with as many digits as mean anything. */
static const char *number(double value, char dst[static 32])
{
	if (value >= 1000)
		snprintf(dst, 32, "%.0f", value);
	else
		snprintf(dst, 32, "%.3g", value);
	return dst;
}

static void report_json(const char *what, const struct series *s, const char *unit, enum bound bound, double limit)
{
	const char *path = getenv("BENCH_JSON");
	FILE *f = path && *path ? fopen(path, "ae") : NULL;

	if (!f)
		return;
	fprintf(f, "{\"what\":\"%s\",\"unit\":\"%s\",\"median\":%g,\"low\":%g,\"high\":%g,\"samples\":%zu", what,
		unit, series_at(s, 0.5), series_at(s, 0.25), series_at(s, 0.75), s->n);
	if (bound != NO_BOUND)
		fprintf(f, ",\"%s\":%g,\"holds\":%s", bound == AT_LEAST ? "atLeast" : "atMost", limit,
			holds(series_at(s, 0.5), bound, limit) ? "true" : "false");
	fputs("}\n", f);
	fclose(f);
}

void report(const char *what, const struct series *s, const char *unit, enum bound bound, double limit)
{
	char median[32], low[32], high[32], text[32], spread[80] = "", target[80] = "";
	double value = series_at(s, 0.5);

	if (s->n > 1)
		snprintf(spread, sizeof(spread), "%s to %s", number(series_at(s, 0.25), low),
			 number(series_at(s, 0.75), high));
	if (bound != NO_BOUND)
		snprintf(target, sizeof(target), "%s %s: %s", bound == AT_LEAST ? "at least" : "at most",
			 number(limit, text), holds(value, bound, limit) ? "yes" : "NO");
	printf("%-58s %9s %-8s %-20s %s\n", what, number(value, median), unit, spread, target);
	fflush(stdout);
	report_json(what, s, unit, bound, limit);
}

void report_value(const char *what, double value, const char *unit, enum bound bound, double limit)
{
	report(what, &(struct series){ .v = { value }, .n = 1 }, unit, bound, limit);
}

void report_skipped(const char *what, const char *why)
{
	printf("%-58s skipped: %s\n", what, why);
	fflush(stdout);
}

void give_up(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

unsigned rounds(unsigned usual)
{
	const char *text = getenv("BENCH_ROUNDS");
	unsigned n = text ? (unsigned)strtoul(text, NULL, 10) : usual;

	return n < 1 ? 1 : n > 128 ? 128 : n;
}
