/* agent/expiry.h - which token ends next. */
#pragma once

#include "agent/space.h"
#include "agent/vault-token.h"

/* A token of this place is not in the order. */
#define EXPIRY_NOT UINT32_MAX

struct expiry {
	struct space heap; /* of uint32_t */
	const struct arena *arena;
	uint32_t n;
};

/* Empty. The arena must outlive it. 0 or -ENOMEM. */
int expiry_init(struct expiry *e, struct secretmem *mem, struct budget *budget,
		const struct arena *arena, size_t max_tokens, size_t step) MUST_USE;
void expiry_done(struct expiry *e);

/* Sees to the memory that n tokens in all need. 0 or -ENOSPC. */
int expiry_reserve(struct expiry *e, size_t n) MUST_USE;

/* Adds a token, for which memory was reserved. */
void expiry_add(struct expiry *e, uint32_t token);

/* Removes a token that is in it. */
void expiry_remove(struct expiry *e, uint32_t token);

/* The token's expires_us was changed. */
void expiry_moved(struct expiry *e, uint32_t token);

/*
 * The token that ends next; of several at one time the newest, so that children come before their
 * parent. 0: none.
 */
static inline uint32_t expiry_first(const struct expiry *e)
{
	return e->n == 0 ? 0 : *(const uint32_t *)(const void *)e->heap.region.base;
}

/* One of them, each as likely where hash is of any numbers. 0: none. */
static inline uint32_t expiry_any(const struct expiry *e, uint32_t hash)
{
	const uint32_t *heap = (const void *)e->heap.region.base;

	return e->n == 0 ? 0 : heap[(uint64_t)hash * e->n >> 32];
}
