/*
 * agent/index.h - a hash table of objects that lie in one space, chained through their first four
 * bytes.
 *
 * Linear hashing: it grows by one bucket with each object, so no insertion ever waits for all to be
 * moved.
 */
#pragma once

#include "agent/arena.h"

struct index {
	struct space buckets; /* of uint32_t */
	const char *base;     /* of the space that the objects lie in */
	uint64_t (*hash_of)(const void *object);
	size_t n_buckets;
	size_t low; /* the power of two that n_buckets grows from: low <= n_buckets < 2 * low */
	size_t n;   /* objects */
};

/* Where the chain of this hash begins. */
static inline uint32_t *index_bucket(const struct index *ix, uint64_t hash)
{
	size_t b = (size_t)hash & (2 * ix->low - 1);

	/* No branch: it could not be foreseen, and which ids it goes one way for could be measured. */
	b &= (ix->low - 1) | -(size_t)(b < ix->n_buckets);
	return (uint32_t *)(void *)ix->buckets.region.base + b;
}

/*
 * An empty index of objects in the space that begins at base, of at most max_objects. hash_of gives
 * an object's hash, whose low bits count. mem and budget NULL: in ordinary memory. Returns 0 or
 * -ENOMEM.
 */
int index_init(struct index *ix, struct secretmem *mem, struct budget *budget, const char *base,
	       uint64_t (*hash_of)(const void *object), size_t max_objects, size_t step) MUST_USE;

void index_done(struct index *ix);

/* Sees to the memory that n objects in all need. 0 or -ENOSPC. */
int index_reserve(struct index *ix, size_t n) MUST_USE;

/*
 * The same for an empty index that is about to be filled, which then is as wide from the start as it
 * is to become: its objects are not moved while it grows. 0 or -ENOSPC.
 */
int index_expect(struct index *ix, size_t n) MUST_USE;

/*
 * Adds the object, for which memory was reserved. Whether another equals it is the caller's
 * question.
 */
void index_add(struct index *ix, uint32_t object);

/* Says that an object of this hash will soon be added or looked for. */
static inline void index_prefetch(const struct index *ix, uint64_t hash)
{
	__builtin_prefetch(index_bucket(ix, hash));
}

/* Removes the object, which must be in it. */
void index_remove(struct index *ix, uint32_t object);

/*
 * The first object that may have this hash; from each, its first four bytes lead to the next. 0:
 * none.
 */
static inline uint32_t index_first(const struct index *ix, uint64_t hash)
{
	return *index_bucket(ix, hash);
}

/* How objects begin that have a number of 64 bits, mixed for their hash. */
struct numbered {
	uint32_t next;
	uint32_t other;
	uint64_t number;
};

/*
 * The object of this number, 0: none; with the same steps for either, so that who measures how long
 * an answer takes does not learn which it was. Where there is none, `spare` (0: no object) is looked
 * at in its place, where its turn would have been: as many objects lie in the processor's caches
 * afterwards, and each was waited for. Dearer than a look along the chain.
 */
uint32_t index_find_evenly(const struct index *ix, uint64_t number, uint32_t spare);

/*
 * Mixes a number of which any bits may be alike, so that the low bits of the result depend on all.
 */
static inline uint64_t index_mix(uint64_t n)
{
	n *= UINT64_C(0x9e3779b97f4a7c15);
	return n ^ n >> 32;
}
