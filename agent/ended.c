/*
 * agent/ended.c - the few bytes of each ended token.
 *
 * Nodes lie in one run of ordinary memory and are named by 32-bit references like the arena's
 * pieces, so that the same index serves, links cost half of what pointers do, and growing moves
 * nothing.
 */
#include "agent/ended.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum { NODE_UNITS = sizeof(struct ended_node) / REF_UNIT };

/* Address space only. */
#define NODES_MAX ((size_t)1 << 26)

static uint64_t hash_of(const void *object)
{
	const struct ended_node *node = object;

	return index_mix(node->token.id);
}

int ended_init(struct ended *e)
{
	struct ended ended = {};
	int k = space_init(&ended.nodes, NULL, NULL, NODES_MAX * sizeof(struct ended_node), 65536);

	if (k < 0)
		return k;
	k = index_init(&ended.index, NULL, NULL, ended.nodes.region.base, hash_of, NODES_MAX,
		       65536);
	if (k < 0) {
		space_done(&ended.nodes);
		return k;
	}
	*e = ended;
	return 0;
}

void ended_done(struct ended *e)
{
	index_done(&e->index);
	if (e->nodes.region.base)
		space_done(&e->nodes);
	*e = (struct ended){};
}

uint32_t ended_new(struct ended *e)
{
	uint32_t ref = e->free;

	if (index_reserve(&e->index, e->n_taken + 1) < 0)
		return 0;
	if (ref) {
		e->free = ended_at(e, ref)->next;
	} else {
		/* The first node is never used: its reference would be 0. */
		if (space_need(&e->nodes, (e->n_made + 2) * sizeof(struct ended_node)) < 0)
			return 0;
		ref = (uint32_t)(++e->n_made * NODE_UNITS);
	}
	*ended_at(e, ref) = (struct ended_node){};
	e->n_taken++;
	return ref;
}

void ended_free(struct ended *e, uint32_t ref)
{
	if (!ref)
		return;
	*ended_at(e, ref) = (struct ended_node){ .next = e->free };
	e->free = ref;
	e->n_taken--;
}

static void push_all(struct ended *e, uint32_t ref)
{
	struct ended_node *node = ended_at(e, ref);

	node->all_newer = 0;
	node->all_older = e->all.newest;
	*(e->all.newest ? &ended_at(e, e->all.newest)->all_newer : &e->all.oldest) = ref;
	e->all.newest = ref;
}

static void push_own(struct ended *e, uint32_t ref, struct ended_queue *own)
{
	struct ended_node *node = ended_at(e, ref);

	node->own_newer = 0;
	node->own_older = own->newest;
	*(own->newest ? &ended_at(e, own->newest)->own_newer : &own->oldest) = ref;
	own->newest = ref;
}

void ended_add(struct ended *e, uint32_t ref, struct ended_queue *own)
{
	const struct ended_node *node = ended_at(e, ref);

	if (e->all.newest && ended_at(e, e->all.newest)->token.ended_us > node->token.ended_us)
		e->unsorted = true;
	push_all(e, ref);
	push_own(e, ref, own);
	index_add(&e->index, ref);
}

void ended_remove(struct ended *e, uint32_t ref, struct ended_queue *own)
{
	const struct ended_node *n = ended_at(e, ref);
	struct ended_queue *all = &e->all;

	*(n->all_newer ? &ended_at(e, n->all_newer)->all_older : &all->newest) = n->all_older;
	*(n->all_older ? &ended_at(e, n->all_older)->all_newer : &all->oldest) = n->all_newer;
	*(n->own_newer ? &ended_at(e, n->own_newer)->own_older : &own->newest) = n->own_older;
	*(n->own_older ? &ended_at(e, n->own_older)->own_newer : &own->oldest) = n->own_newer;
	index_remove(&e->index, ref);
}

uint32_t ended_find(const struct ended *e, uint64_t id)
{
	uint32_t ref = index_first(&e->index, index_mix(id));

	while (ref && ended_at(e, ref)->token.id != id)
		ref = ended_at(e, ref)->next;
	return ref;
}

struct sort_entry {
	uint64_t ended_us;
	uint64_t row;
	uint32_t ref;
};

static int compare(const void *a, const void *b)
{
	const struct sort_entry *x = a, *y = b;

	if (x->ended_us != y->ended_us)
		return x->ended_us < y->ended_us ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

int ended_sort(struct ended *e, struct ended_queue *(*queue_of)(struct owner *owner))
{
	_cleanup_free_
	struct sort_entry *entries = NULL;
	size_t n = 0;

	if (!e->unsorted)
		return 0;
	entries = malloc(e->index.n * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (uint32_t ref = e->all.oldest; ref; ref = ended_at(e, ref)->all_newer) {
		const struct ended_token *token = &ended_at(e, ref)->token;

		entries[n++] = (struct sort_entry){ token->ended_us, token->row, ref };
		*queue_of(token->owner) = (struct ended_queue){};
	}
	assert(n == e->index.n);
	qsort(entries, n, sizeof(*entries), compare);
	e->all = (struct ended_queue){};
	for (size_t i = 0; i < n; i++) {
		push_all(e, entries[i].ref);
		push_own(e, entries[i].ref, queue_of(ended_at(e, entries[i].ref)->token.owner));
	}
	e->unsorted = false;
	return 0;
}
