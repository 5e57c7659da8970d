/*
 * tests/agent/needles.c - looks for many needles at once in much memory: tests/agent/search.py
 * loads it, since what a test looks for stands in hundreds of forms.
 *
 * Needles are in lists by the hash of their first four bytes, of which nearly all are empty.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BITS = 18, HEAD = 4 };

struct needle {
	const char *p;
	size_t n;
};

static uint32_t hash(const char *p)
{
	uint32_t x;

	memcpy(&x, p, HEAD);
	return x * 2654435761u >> (32 - BITS);
}

/* next[] and first[] are numbers of needles and one more: 0 is none. */
static void look_at(const char *hay, size_t n, const struct needle *needles, uint32_t i,
		    const uint32_t *next, char *found)
{
	for (; i > 0; i = next[i - 1])
		if (!found[i - 1] && needles[i - 1].n <= n && memcmp(hay, needles[i - 1].p, needles[i - 1].n) == 0)
			found[i - 1] = 1;
}

static size_t zeros_at(const char *hay, size_t n)
{
	uint64_t x = 1;

	if (n >= sizeof(x))
		memcpy(&x, hay, sizeof(x));
	return x == 0 ? sizeof(x) - HEAD : 0;
}

/*
 * Marks in found[] the needles that are in hay. Each is of HEAD bytes at least, and does not begin with so
 * many zeros. Returns 0, or -1 where there is no memory.
 */
int needles_find(const char *hay, size_t n, const struct needle *needles, size_t n_needles, char *found);

int needles_find(const char *hay, size_t n, const struct needle *needles, size_t n_needles, char *found)
{
	uint32_t *first = calloc(1u << BITS, sizeof(*first)), *next = calloc(n_needles + 1, sizeof(*next));

	for (size_t i = 0; first && next && i < n_needles; i++) {
		uint32_t *list = &first[hash(needles[i].p)];

		next[i] = *list;
		*list = (uint32_t)i + 1;
	}
	for (size_t at = 0; first && next && at + HEAD <= n; at++) {
		size_t zeros = zeros_at(hay + at, n - at);
		uint32_t i;

		if (zeros > 0)
			at += zeros;
		else if ((i = first[hash(hay + at)]) > 0)
			look_at(hay + at, n - at, needles, i, next, found);
	}
	free(first);
	free(next);
	return first && next ? 0 : -1;
}
