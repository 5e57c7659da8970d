/* tests/bench/leak.c - see leak.h. The percentiles are those of a first part of the measurements, which then is not counted. */
#include "tests/bench/leak.h"

#include <math.h>
#include <stdlib.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include "protocol/base/cleanup.h"
#include "tests/bench/measure.h"

enum { N_FIRST = 20000, N_CUTS = 32 };

/* Of one kind of input, below one cut. */
struct moments {
	double n, mean, m2;
};

struct cut {
	uint64_t below;
	struct moments of[2];
};

static uint64_t state = 0x9e3779b97f4a7c15;

uint32_t leak_random(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32);
}

bool leak_coin(void)
{
	return leak_random() & 1;
}

/* The finest clock there is, and not moved by the processor to before or behind what is measured. */
static uint64_t ticks(void)
{
#ifdef __x86_64__
	uint64_t t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
#else
	return now_ns();
#endif
}

static double ns_of_a_tick(void)
{
	static double ns;
	uint64_t from = ticks(), from_ns = now_ns();

	if (ns == 0) {
		while (now_ns() - from_ns < 20000000)
			;
		ns = (double)(now_ns() - from_ns) / (double)(ticks() - from);
	}
	return ns;
}

static uint64_t time_one(const struct leak_case *c, bool second)
{
	uint64_t start;

	c->prepare(c->userdata, second);
	start = ticks();
	c->run(c->userdata);
	return ticks() - start;
}

static void add(struct moments *m, double x)
{
	double d = x - m->mean;

	m->n++;
	m->mean += d / m->n;
	m->m2 += d * (x - m->mean);
}

static double t_of(const struct moments *a, const struct moments *b)
{
	double variance;

	if (a->n < 1000 || b->n < 1000)
		return 0;
	variance = a->m2 / (a->n - 1) / a->n + b->m2 / (b->n - 1) / b->n;
	return variance > 0 ? (a->mean - b->mean) / sqrt(variance) : a->mean == b->mean ? 0 : HUGE_VAL;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* From half of all times up to nearly all, and all. */
static void find_cuts(const struct leak_case *c, struct cut cuts[static N_CUTS])
{
	uint64_t *first = calloc(N_FIRST, sizeof(*first));

	if (!first)
		give_up("no memory");
	for (size_t i = 0; i < N_FIRST; i++)
		first[i] = time_one(c, leak_coin());
	qsort(first, N_FIRST, sizeof(*first), ascending);
	for (size_t i = 0; i < N_CUTS - 1; i++)
		cuts[i].below = first[(size_t)(N_FIRST * (1 - 0.5 * exp2(-0.3 * (double)i)))];
	cuts[N_CUTS - 1].below = UINT64_MAX;
	free(first);
}

static void measure(const struct leak_case *c, uint64_t n, struct cut cuts[static N_CUTS])
{
	find_cuts(c, cuts);
	for (uint64_t i = 0; i < n; i++) {
		bool second = leak_coin();
		uint64_t took = time_one(c, second);

		for (size_t k = N_CUTS; k > 0 && took < cuts[k - 1].below; k--)
			add(&cuts[k - 1].of[second], (double)took);
	}
}

static double difference_ns(const struct cut *cut)
{
	return (cut->of[1].mean - cut->of[0].mean) * ns_of_a_tick();
}

double leak_measure(const struct leak_case *c, uint64_t n, double *ret_ns)
{
	struct cut cuts[N_CUTS] = {};
	double largest = 0, t;

	*ret_ns = 0;
	measure(c, n, cuts);
	for (size_t k = 0; k < N_CUTS; k++) {
		t = fabs(t_of(&cuts[k].of[0], &cuts[k].of[1]));
		if (t > largest) {
			largest = t;
			*ret_ns = difference_ns(&cuts[k]);
		}
	}
	return largest;
}

double leak_difference(const struct leak_case *c, uint64_t n)
{
	enum { NINE_TENTHS = 8 }; /* as find_cuts() has them */
	struct cut cuts[N_CUTS] = {};

	measure(c, n, cuts);
	return difference_ns(&cuts[NINE_TENTHS]);
}
