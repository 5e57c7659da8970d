/*
 * agent/expiry.c - a heap of references, four children a node: half as deep as a binary one, and
 * the children of a node share a cache line.
 *
 * Invariant: no token comes before its parent in the heap, and each knows its place.
 */
#include "agent/expiry.h"

#include <assert.h>

enum { ARITY = 4 };

static uint32_t *slot(const struct expiry *e, uint32_t at)
{
	return (uint32_t *)(void *)e->heap.region.base + at;
}

static struct token *token_of(const struct expiry *e, uint32_t ref)
{
	return arena_at(e->arena, ref);
}

static bool before(const struct token *a, const struct token *b)
{
	if (a->expires_us != b->expires_us)
		return a->expires_us < b->expires_us;
	return a->row > b->row;
}

static void place(struct expiry *e, uint32_t at, uint32_t ref)
{
	*slot(e, at) = ref;
	token_of(e, ref)->expiry_at = at;
}

static void sift_up(struct expiry *e, uint32_t at, uint32_t ref)
{
	while (at > 0) {
		uint32_t up = (at - 1) / ARITY;

		if (!before(token_of(e, ref), token_of(e, *slot(e, up))))
			break;
		place(e, at, *slot(e, up));
		at = up;
	}
	place(e, at, ref);
}

/* The one of the node's children that ends first; 0 where it has none. */
static uint32_t first_child(const struct expiry *e, uint32_t at)
{
	uint64_t first = (uint64_t)at * ARITY + 1;
	uint32_t best;

	if (first >= e->n)
		return 0;
	best = (uint32_t)first;
	for (uint32_t i = best + 1; i < e->n && i < first + ARITY; i++)
		if (before(token_of(e, *slot(e, i)), token_of(e, *slot(e, best))))
			best = i;
	return best;
}

static void sift_down(struct expiry *e, uint32_t at, uint32_t ref)
{
	uint32_t child;

	while ((child = first_child(e, at)) != 0) {
		if (!before(token_of(e, *slot(e, child)), token_of(e, ref)))
			break;
		place(e, at, *slot(e, child));
		at = child;
	}
	place(e, at, ref);
}

int expiry_init(struct expiry *e, struct secretmem *mem, struct budget *budget,
		const struct arena *arena, size_t max_tokens, size_t step)
{
	struct expiry expiry = { .arena = arena };
	int k = space_init(&expiry.heap, mem, budget, max_tokens * sizeof(uint32_t), step);

	if (k < 0)
		return k;
	*e = expiry;
	return 0;
}

void expiry_done(struct expiry *e)
{
	if (e->heap.region.base)
		space_done(&e->heap);
	*e = (struct expiry){};
}

int expiry_reserve(struct expiry *e, size_t n)
{
	return space_need(&e->heap, n * sizeof(uint32_t));
}

void expiry_add(struct expiry *e, uint32_t token)
{
	assert((e->n + 1) * sizeof(uint32_t) <= e->heap.region.size);
	sift_up(e, e->n++, token);
}

void expiry_moved(struct expiry *e, uint32_t token)
{
	sift_up(e, token_of(e, token)->expiry_at, token);
	sift_down(e, token_of(e, token)->expiry_at, token);
}

void expiry_remove(struct expiry *e, uint32_t token)
{
	uint32_t at = token_of(e, token)->expiry_at;
	uint32_t last;

	assert(at < e->n && *slot(e, at) == token);
	last = *slot(e, --e->n);
	token_of(e, token)->expiry_at = EXPIRY_NOT;
	if (last == token)
		return;
	place(e, at, last);
	expiry_moved(e, last);
}
