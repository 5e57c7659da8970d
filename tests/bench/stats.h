/*
 * tests/bench/stats.h - samples and what is said of them: medians, spreads, and the JSON that pages and pictures are made of.
 * No clock and no environment: tests/unit/test-stats.c holds it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Samples, of which the median counts. */
struct series {
	double v[128];
	size_t n;
};

void series_add(struct series *s, double value); /* beyond 128: dropped */
double series_at(const struct series *s, double part); /* 0.5: the median; 0 and 1: the ends; 0 where there are none */

/* Latencies of single calls, in ns: as many as one likes. */
struct latencies {
	uint32_t *v;
	size_t n, size;
};

/* More than 4.2 s count as 4.2 s. False: there is no memory, and nothing was added. */
bool latencies_push(struct latencies *l, uint64_t ns);
double latencies_at(struct latencies *l, double part); /* sorts; 0 where there are none */
void latencies_clear(struct latencies *l);
void latencies_done(struct latencies *l);

enum bound { NO_BOUND, AT_LEAST, AT_MOST };

bool bound_holds(double value, enum bound bound, double limit);

/* A number with as many digits as mean anything, and no exponent below 10^15. Returns dst. */
const char *stats_number(double value, char dst[static 32]);

/* What one line of a table says. */
struct figure {
	const char *key;  /* what pages and pictures find it by: the same in each run */
	const char *what; /* for people */
	const char *unit; /* "": a ratio */
	enum bound bound;
	double limit;
};

/* One JSON object on a line: the figure, its median, middle half, ends and number of samples; whether its bound is held. */
void stats_write(FILE *to, const struct figure *f, const struct series *s);

/* Likewise a curve: n pairs of x and y. */
struct point {
	double x, y;
};
void stats_write_points(FILE *to, const struct figure *f, const struct point *points, size_t n);

/* Likewise what could not be measured. */
void stats_write_skipped(FILE *to, const char *key, const char *what, const char *why);
