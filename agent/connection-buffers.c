/*
 * agent/connection-buffers.c - see connection-buffers.h. The queue of those that wait is one of the
 * agent's; who has as many large buffers as a user may have is passed over until it has fewer.
 */
#include "agent/connection-buffers.h"

#include "agent/deadline.h"
#include "agent/turns.h"

char *connection_small_get(struct connection *c)
{
	char *buf;

	do
		buf = pool_get(&c->agent->small);
	while (!buf && deadline_make_room(c));
	return buf;
}

char *connection_large_get(struct connection *c)
{
	char *buf;

	if (c->client->n_large >= LARGE_BUFS_PER_USER)
		return NULL;
	buf = pool_get(&c->agent->large);
	if (buf)
		c->client->n_large++;
	return buf;
}

/* The first that waits and may have one gets its turn. */
static void wake_waiting(struct agent *a)
{
	struct connection **at = &a->waiting_first, *c, *before = NULL;

	for (; (c = *at); before = c, at = &c->waiting_next)
		if (c->client->n_large < LARGE_BUFS_PER_USER)
			break;
	if (!c)
		return;
	*at = c->waiting_next;
	if (a->waiting_last == c)
		a->waiting_last = before;
	c->is_waiting = false;
	turns_wait(c);
}

void connection_buffer_put(struct connection *c, char *buf, bool large)
{
	pool_put(large ? &c->agent->large : &c->agent->small, buf);
	if (large) {
		c->client->n_large--;
		wake_waiting(c->agent);
	}
}

void connection_wait_for_large(struct connection *c)
{
	struct agent *a = c->agent;

	if (c->is_waiting)
		return;
	c->is_waiting = true;
	c->waiting_next = NULL;
	if (a->waiting_last)
		a->waiting_last->waiting_next = c;
	else
		a->waiting_first = c;
	a->waiting_last = c;
}

void connection_unwait(struct connection *c)
{
	struct connection **at = &c->agent->waiting_first, *before = NULL;

	if (!c->is_waiting)
		return;
	for (; *at != c; at = &(*at)->waiting_next)
		before = *at;
	*at = c->waiting_next;
	if (c->agent->waiting_last == c)
		c->agent->waiting_last = before;
	c->is_waiting = false;
}
