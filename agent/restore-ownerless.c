/*
 * agent/restore-ownerless.c - a set of numbers that grows without a pause, as it is filled on the
 * loop: nodes in one space, found through an index (agent/index.h).
 */
#include "agent/restore-ownerless.h"

#include <errno.h>

enum { NODE_UNITS = sizeof(struct numbered) / REF_UNIT };

/* Address space only. */
#define NODES_MAX ((size_t)1 << 26)

static uint64_t hash_of(const void *object)
{
	const struct numbered *node = object;

	return index_mix(node->number);
}

static int init(struct ownerless *o)
{
	struct ownerless fresh = {};
	int k = space_init(&fresh.nodes, NULL, NULL, NODES_MAX * sizeof(struct numbered), 65536);

	if (k < 0)
		return k;
	k = index_init(&fresh.index, NULL, NULL, fresh.nodes.region.base, hash_of, NODES_MAX,
		       65536);
	if (k < 0) {
		space_done(&fresh.nodes);
		return k;
	}
	*o = fresh;
	return 0;
}

static uint32_t find(const struct ownerless *o, uint64_t id)
{
	uint32_t ref = o->index.n > 0 ? index_first(&o->index, index_mix(id)) : 0;
	const struct numbered *node;

	for (; ref; ref = node->next) {
		node = ref_at(o->nodes.region.base, ref);
		if (node->number == id)
			break;
	}
	return ref;
}

bool ownerless_has(const struct ownerless *o, uint64_t id)
{
	return find(o, id);
}

int ownerless_add(struct ownerless *o, uint64_t id)
{
	struct numbered *node;
	uint32_t ref;
	int k;

	if (find(o, id))
		return 0;
	k = o->nodes.region.base ? 0 : init(o);
	if (k == 0)
		k = index_reserve(&o->index, o->index.n + 1);
	/* The first node is never used: its reference would be 0. */
	if (k == 0)
		k = space_need(&o->nodes, (o->index.n + 2) * sizeof(*node));
	if (k < 0)
		return k;
	ref = (uint32_t)((o->index.n + 1) * NODE_UNITS);
	node = ref_at(o->nodes.region.base, ref);
	node->number = id;
	index_add(&o->index, ref);
	return 0;
}

void ownerless_done(struct ownerless *o)
{
	if (!o->nodes.region.base)
		return;
	index_done(&o->index);
	space_done(&o->nodes);
	*o = (struct ownerless){};
}
