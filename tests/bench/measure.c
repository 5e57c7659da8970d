/* tests/bench/measure.c - figures go to two places, people's eyes and $BENCH_JSON, from one call, so that they can't differ. */
#include "tests/bench/measure.h"

#include <dirent.h>
#include <sched.h>
#include <stdarg.h>
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

void pin_process(pid_t pid, int cpu)
{
	char path[64];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	if (!d)
		give_up("%s can't be read", path);
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			set_affinity((pid_t)strtol(e->d_name, NULL, 10), cpu);
	closedir(d);
}

/* A mapping counts as locked by its flags, or by its name: memfd_secret's pages can't be swapped whatever these say. */
struct resident resident_of(pid_t pid)
{
	struct resident r = { 0 };
	char path[64], line[512];
	bool secret = false;
	double rss = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (!f)
		give_up("%s can't be read", path);
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "secretmem"))
			secret = true;
		if (sscanf(line, "Rss: %lf", &rss) == 1)
			r.all += rss / 1024;
		if (strncmp(line, "VmFlags:", 8) != 0)
			continue;
		if (secret || strstr(line, " lo"))
			r.locked += rss / 1024;
		secret = false;
	}
	fclose(f);
	return r;
}

void latencies_add(struct latencies *l, uint64_t ns)
{
	if (!latencies_push(l, ns))
		give_up("no memory");
}

/* NULL: nobody wants it. To be closed. */
static FILE *open_json(void)
{
	const char *path = getenv("BENCH_JSON");

	return path && *path ? fopen(path, "ae") : NULL;
}

void report(const char *key, const char *what, const struct series *s, const char *unit, enum bound bound, double limit)
{
	char median[32], low[32], high[32], text[32], spread[80] = "", target[80] = "";
	double value = series_at(s, 0.5);
	FILE *json = open_json();

	if (s->n > 1)
		snprintf(spread, sizeof(spread), "%s to %s", stats_number(series_at(s, 0.25), low),
			 stats_number(series_at(s, 0.75), high));
	if (bound != NO_BOUND)
		snprintf(target, sizeof(target), "%s %s: %s", bound == AT_LEAST ? "at least" : "at most",
			 stats_number(limit, text), bound_holds(value, bound, limit) ? "yes" : "NO");
	printf("%-58s %9s %-8s %-20s %s\n", what, stats_number(value, median), unit, spread, target);
	fflush(stdout);
	if (json) {
		/* What is under another line is set in by two, for eyes alone. */
		stats_write(json, &(struct figure){ key, what + strspn(what, " "), unit, bound, limit }, s);
		fclose(json);
	}
}

void report_value(const char *key, const char *what, double value, const char *unit, enum bound bound, double limit)
{
	report(key, what, &(struct series){ .v = { value }, .n = 1 }, unit, bound, limit);
}

void report_points(const char *key, const char *what, const char *unit, const struct point *points, size_t n)
{
	FILE *json = open_json();

	if (!json)
		return;
	stats_write_points(json, &(struct figure){ .key = key, .what = what, .unit = unit }, points, n);
	fclose(json);
}

void report_spread(const char *key, const char *what, struct latencies *l)
{
	static const double parts[] = { 0.01, 0.05, 0.1, 0.2,  0.3,   0.4,  0.5,   0.6,   0.7,    0.8,
					0.9,  0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999 };
	struct point points[sizeof(parts) / sizeof(parts[0])];
	const size_t n = sizeof(parts) / sizeof(parts[0]);

	for (size_t i = 0; i < n; i++)
		points[i] = (struct point){ parts[i], latencies_at(l, parts[i]) / 1000 };
	report_points(key, what, "us", points, n);
}

void report_skipped(const char *key, const char *what, const char *why)
{
	FILE *json = open_json();

	printf("%-58s skipped: %s\n", what, why);
	fflush(stdout);
	if (json) {
		stats_write_skipped(json, key, what + strspn(what, " "), why);
		fclose(json);
	}
}

const char *bench_tmp(void)
{
	const char *dir = getenv("BENCH_TMP");

	return dir && *dir ? dir : "/tmp";
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

static bool size_is(const char *name)
{
	const char *size = getenv("BENCH_SIZE");

	return size && strcmp(size, name) == 0;
}

bool is_tiny(void)
{
	return size_is("tiny");
}

unsigned rounds(unsigned usual)
{
	const char *text = getenv("BENCH_ROUNDS");
	unsigned n = text ? (unsigned)strtoul(text, NULL, 10) : is_tiny() ? 1 : size_is("short") ? usual / 3 : usual;

	return n < 1 ? 1 : n > 128 ? 128 : n;
}

uint64_t round_ns(uint64_t usual)
{
	const uint64_t tiny = 2000000;

	return is_tiny() && usual > tiny ? tiny : usual;
}

size_t sized(size_t usual, size_t tiny)
{
	return is_tiny() ? tiny : usual;
}
