/*
 * agent/index.c - linear hashing.
 *
 * Buckets 0 to low - 1 are split one after the other, each into itself and the one `low` further
 * on; when all are, low doubles. There is about one object a bucket, so that an object costs its
 * link and a bucket, 8 bytes.
 *
 * Invariant: an object of hash h is in bucket h mod 2*low where that is one, else in bucket h mod
 * low.
 */
#include "agent/index.h"

#include <assert.h>
#include <errno.h>

static uint32_t *bucket(const struct index *ix, size_t b)
{
	return (uint32_t *)(void *)ix->buckets.region.base + b;
}

static uint32_t *next_of(const struct index *ix, uint32_t object)
{
	return ref_at(ix->base, object);
}

int index_init(struct index *ix, struct secretmem *mem, struct budget *budget, const char *base,
	       uint64_t (*hash_of)(const void *object), size_t max_objects, size_t step)
{
	struct index index = { .base = base, .hash_of = hash_of };
	size_t first = (size_t)sysconf(_SC_PAGESIZE);
	size_t most = max_objects * sizeof(uint32_t) + first;
	int k = space_init(&index.buckets, mem, budget, most, step);

	if (k < 0)
		return k;
	if (space_need(&index.buckets, first) < 0) {
		space_done(&index.buckets);
		return -ENOMEM;
	}
	/* A page is a power of two of buckets. */
	index.low = index.n_buckets = first / sizeof(uint32_t);
	*ix = index;
	return 0;
}

void index_done(struct index *ix)
{
	if (ix->buckets.region.base)
		space_done(&ix->buckets);
	*ix = (struct index){};
}

int index_reserve(struct index *ix, size_t n)
{
	return space_need(&ix->buckets, n * sizeof(uint32_t));
}

int index_expect(struct index *ix, size_t n)
{
	assert(ix->n == 0);
	if (n > ix->buckets.region.reserved / sizeof(uint32_t) || index_reserve(ix, n) < 0)
		return -ENOSPC;
	if (n > ix->n_buckets)
		ix->n_buckets = n;
	while (2 * ix->low <= ix->n_buckets)
		ix->low *= 2;
	return 0;
}

static void split(struct index *ix)
{
	size_t from = ix->n_buckets - ix->low;
	uint32_t *stay = bucket(ix, from);
	uint32_t *go = bucket(ix, ix->n_buckets);
	uint32_t object = *stay;

	/* The next one to be split: by then its first object is in the processor's cache. */
	__builtin_prefetch(next_of(ix, *bucket(ix, from + 1)));
	*stay = *go = 0;
	while (object) {
		uint32_t *link = next_of(ix, object);
		uint32_t next = *link;
		uint32_t *to = ix->hash_of(link) & ix->low ? go : stay;

		*link = *to;
		*to = object;
		object = next;
	}
	if (++ix->n_buckets == 2 * ix->low)
		ix->low *= 2;
}

void index_add(struct index *ix, uint32_t object)
{
	uint32_t *link = next_of(ix, object);
	uint32_t *head;

	ix->n++;
	assert(ix->n * sizeof(uint32_t) <= ix->buckets.region.size);
	if (ix->n > ix->n_buckets)
		split(ix);
	head = index_bucket(ix, ix->hash_of(link));
	*link = *head;
	*head = object;
}

/* All bits where n is 0, else none. */
static inline uint32_t mask_of_zero(uint32_t n)
{
	return (uint32_t)(((uint64_t)n - 1) >> 32);
}

uint32_t index_find_evenly(const struct index *ix, uint64_t number, uint32_t spare)
{
	enum { STEPS = 8 }; /* one chain in a million is longer */
	uint32_t next = index_first(ix, index_mix(number)), found = 0;

	/* No object lies at 0, but with one anywhere there is memory, which can be looked at. */
	for (unsigned i = 0; ix->n > 0 && (i < STEPS || next); i++) {
		/* At the end of the chain the spare, once, where nothing was found in it. */
		uint32_t turn = spare & mask_of_zero(next | found);
		const struct numbered *o = ref_at(ix->base, next | turn);
		uint64_t differs = o->number ^ number;

		/* The high bit of what is negated or itself: set but for 0. */
		found |= next & ~-(uint32_t)((differs | -differs) >> 63);
		next = o->next & ~mask_of_zero(next);
		spare &= ~-(uint32_t)(turn != 0);
	}
	return found;
}

void index_remove(struct index *ix, uint32_t object)
{
	uint32_t *link = index_bucket(ix, ix->hash_of(next_of(ix, object)));

	while (*link != object) {
		assert(*link);
		link = next_of(ix, *link);
	}
	*link = *next_of(ix, object);
	ix->n--;
}
