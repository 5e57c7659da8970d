/*
 * agent/ended.h - what is remembered of ended tokens: where the store has them, and which are the
 * oldest.
 *
 * In ordinary memory: there is nothing secret about them.
 */
#pragma once

#include "agent/index.h"
#include "agent/vault.h"

/* Ended tokens in the order they ended. */
struct ended_queue {
	uint32_t oldest, newest;
};

struct ended_node {
	uint32_t next;	 /* in its bucket */
	bool forgetting; /* a step that forgets it is prepared */
	struct ended_token token;
	uint32_t all_newer, all_older;
	uint32_t own_newer, own_older;
};

_Static_assert(sizeof(struct ended_node) == 64, "there may be millions");

struct ended {
	struct space nodes;
	struct index index;
	size_t n_made;	/* nodes */
	size_t n_taken; /* that are not free */
	uint32_t free;	/* chain */
	struct ended_queue all;
	bool unsorted; /* something was added that ended before what was there */
};

/* None yet. 0 or -ENOMEM. */
int ended_init(struct ended *e) MUST_USE;
void ended_done(struct ended *e);

static inline struct ended_node *ended_at(const struct ended *e, uint32_t ref)
{
	return ref_at(e->nodes.region.base, ref);
}

/* A node for a token that will end, with all that ended_add() needs. 0: no memory. */
uint32_t ended_new(struct ended *e) MUST_USE;

/* Takes back a node that was not added, or was removed. */
void ended_free(struct ended *e, uint32_t ref);

/* Adds a node, whose token is filled in, as the newest of all and of its owner's. */
void ended_add(struct ended *e, uint32_t ref, struct ended_queue *own);

/* Takes it out again; it is the caller's to free. */
void ended_remove(struct ended *e, uint32_t ref, struct ended_queue *own);

/* The one of this id; 0: none. */
uint32_t ended_find(const struct ended *e, uint64_t id);

/* Puts all queues in order of the time of ending. queue_of: an owner's. 0 or -ENOMEM. */
int ended_sort(struct ended *e, struct ended_queue *(*queue_of)(struct owner *owner)) MUST_USE;
