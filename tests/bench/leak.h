/*
 * tests/bench/leak.h - whether the time that something takes tells which of two kinds of input it was given: the method of
 * dudect (Reparaz, Balasch, Verbauwhede, 2017).
 *
 * Inputs of both kinds come in random order, and each takes the same way into the same place before the clock starts. Of the
 * times, Welch's t says whether the means differ by more than chance; it is taken of all of them and of what is below each of
 * several percentiles, since what comes late (an interrupt, another process) hides small differences. |t| stays under 4.5
 * by chance; over 5 is a leak, over 10 a plain one, and where there is one |t| grows with the root of the number.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LEAK_BOUND 4.5

struct leak_case {
	/* Puts an input of the first or the second kind where run() finds it. Not timed. */
	void (*prepare)(void *userdata, bool second);
	void (*run)(void *userdata);
	void *userdata;
};

/* Measures n times. Returns the largest |t|; *ret_ns: by how much the means differ, in ns, where that was largest. */
double leak_measure(const struct leak_case *c, uint64_t n, double *ret_ns);

/* The same, but only by how many ns the second kind takes longer, of those that came before nine tenths of all. */
double leak_difference(const struct leak_case *c, uint64_t n);

/* A coin, and numbers below 2^32, from a generator that costs next to nothing. */
bool leak_coin(void);
uint32_t leak_random(void);
