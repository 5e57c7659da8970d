/*
 * tests/bench/measure.h - what every measurement needs: a clock, processors, sizes, and one way to say what came out.
 *
 * Figures of a machine move; what is promised are ratios of things measured in turn, round by round, in one run.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/bench/stats.h"

/* CLOCK_MONOTONIC in ns. */
uint64_t now_ns(void);

/* Keeps the calling thread on one processor, or gives it all of them (-1). Children inherit it. */
void pin(int cpu);

/* Keeps the first thread of a process on one processor; its other threads go where they want. */
void pin_main_thread(pid_t pid, int cpu);

/* Every thread that the process has now. */
void pin_process(pid_t pid, int cpu);

/* What a process has in memory, in MiB. What is locked counts as such, memfd_secret's pages too, and is part of all. */
struct resident {
	double all, locked;
};
struct resident resident_of(pid_t pid);

/* Likewise, or exits. */
void latencies_add(struct latencies *l, uint64_t ns);

/*
 * One line of the table: the median, the middle half of the samples, and whether the bound is held. Where $BENCH_JSON names a
 * file, the same goes there as one JSON object on a line.
 */
void report(const char *key, const char *what, const struct series *s, const char *unit, enum bound bound, double limit);

/* The same of a single value. */
void report_value(const char *key, const char *what, double value, const char *unit, enum bound bound, double limit);

/* A curve goes into the JSON alone. */
void report_points(const char *key, const char *what, const char *unit, const struct point *points, size_t n);

/* How latencies are spread, as such a curve, in us: each of some parts (0.5: half of all took no longer). Sorts them. */
void report_spread(const char *key, const char *what, struct latencies *l);

/* What can't be measured here, and why. */
void report_skipped(const char *key, const char *what, const char *why);

/* Where directories of this run go, which are gone after it: $BENCH_TMP, or /tmp. */
const char *bench_tmp(void);

/* Prints what went wrong and exits: a measurement that can't be made is no measurement. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * $BENCH_SIZE: "full" (the default); "short": a third of the rounds; "tiny": one round of a few ms of each, to see that all of
 * it runs. $BENCH_ROUNDS: so many of them in any case.
 */
bool is_tiny(void);
unsigned rounds(unsigned usual); /* 1 to 128 */
uint64_t round_ns(uint64_t usual);
size_t sized(size_t usual, size_t tiny); /* how many of something */
