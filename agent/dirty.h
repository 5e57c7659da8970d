/*
 * agent/dirty.h - ids of tokens whose last use the store does not have yet, the first used first.
 * In ordinary memory.
 */
#pragma once

#include "agent/space.h"

struct dirty {
	struct space ring; /* of ids */
	size_t room, head, n;
};

/* Empty, for at most max_tokens. 0 or -ENOMEM. */
int dirty_init(struct dirty *d, size_t max_tokens) MUST_USE;
void dirty_done(struct dirty *d);

/* Sees to room for n ids in all. 0 or -ENOSPC. */
int dirty_reserve(struct dirty *d, size_t n) MUST_USE;

/*
 * Appends an id. False where there is no room: ids of tokens that have ended take some until they
 * are taken out.
 */
bool dirty_push(struct dirty *d, uint64_t id);

/* The i-th of the n that are there, the first used first. */
uint64_t dirty_at(const struct dirty *d, size_t i);

/* Takes out the first. False where there is none. */
bool dirty_pop(struct dirty *d, uint64_t *ret_id);
