/*
 * tests/bench/measure.h - what every measurement needs: a clock, processors, samples, and one way to say what came out.
 *
 * Figures of a machine move; what is promised are ratios of things measured in turn, round by round, in one run.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* CLOCK_MONOTONIC in ns. */
uint64_t now_ns(void);

/* Keeps the calling thread on one processor, or gives it all of them (-1). Children inherit it. */
void pin(int cpu);

/* Keeps the first thread of a process on one processor; its other threads go where they want. */
void pin_main_thread(pid_t pid, int cpu);

/* Samples, of which the median counts. */
struct series {
	double v[128];
	size_t n;
};

void series_add(struct series *s, double value); /* beyond 128: dropped */
double series_at(const struct series *s, double part); /* 0.5: the median */

/* Latencies of single calls, in ns: as many as one likes. */
struct latencies {
	uint32_t *v;
	size_t n, size;
};

void latencies_add(struct latencies *l, uint64_t ns);
double latencies_at(struct latencies *l, double part); /* sorts; 0 where there are none */
void latencies_clear(struct latencies *l);
void latencies_done(struct latencies *l);

enum bound { NO_BOUND, AT_LEAST, AT_MOST };

/*
 * One line of the table: the median, the middle half of the samples, and whether the bound is held. Where
 * $BENCH_JSON names a file, the same goes there as one JSON object on a line.
 */
void report(const char *what, const struct series *s, const char *unit, enum bound bound, double limit);

/* The same of a single value. */
void report_value(const char *what, double value, const char *unit, enum bound bound, double limit);

/* What can't be measured here, and why. */
void report_skipped(const char *what, const char *why);

/* Prints what went wrong and exits: a measurement that can't be made is no measurement. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* How many rounds ($BENCH_ROUNDS, or what is usual). At most 128. */
unsigned rounds(unsigned usual);
