/*
 * agent/dirty.c - a ring that a verification can append to without allocating.
 *
 * It holds ids and not references, since a token may end while its id waits here, and its place
 * then be another's. Its room doubles as tokens are made; pages are taken by the kernel as they are
 * first written to.
 */
#include "agent/dirty.h"

#include <errno.h>

static uint64_t *ids(const struct dirty *d)
{
	return (uint64_t *)(void *)d->ring.region.base;
}

int dirty_init(struct dirty *d, size_t max_tokens)
{
	struct dirty dirty = {};
	/* Twice: room is a power of two. */
	int k = space_init(&dirty.ring, NULL, NULL, 2 * max_tokens * sizeof(uint64_t), 4096);

	if (k < 0)
		return k;
	*d = dirty;
	return 0;
}

void dirty_done(struct dirty *d)
{
	if (d->ring.region.base)
		space_done(&d->ring);
	*d = (struct dirty){};
}

int dirty_reserve(struct dirty *d, size_t n)
{
	size_t room = d->room ? d->room : 512;
	size_t wrapped;

	if (n <= d->room)
		return 0;
	while (room < n)
		room *= 2;
	if (space_need(&d->ring, room * sizeof(uint64_t)) < 0)
		return -ENOSPC;
	/* What had wrapped around to the start now follows the rest. */
	wrapped = d->head + d->n > d->room ? d->head + d->n - d->room : 0;
	for (size_t i = 0; i < wrapped; i++)
		ids(d)[d->room + i] = ids(d)[i];
	d->room = room;
	return 0;
}

bool dirty_push(struct dirty *d, uint64_t id)
{
	if (d->n == d->room)
		return false;
	ids(d)[(d->head + d->n++) & (d->room - 1)] = id;
	return true;
}

uint64_t dirty_at(const struct dirty *d, size_t i)
{
	return ids(d)[(d->head + i) & (d->room - 1)];
}

bool dirty_pop(struct dirty *d, uint64_t *ret_id)
{
	if (d->n == 0)
		return false;
	*ret_id = ids(d)[d->head];
	d->head = (d->head + 1) & (d->room - 1);
	d->n--;
	return true;
}
