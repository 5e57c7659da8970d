/*
 * agent/outbox.c - see outbox.h. What waits lies at the start of scratch->out, in the order of the entries, and agent->out
 * begins behind it. Invariant: a connection that is_posted has one entry; of one that is gone the entry has none.
 */
#include "agent/outbox.h"

#include <sys/socket.h>

#include "agent/connection-send.h"
#include "agent/turns.h"

/* Replies of the usual length still find room where it is not full yet. */
enum { FULL_AT = OUTBOX_BYTES - SMALL_BUF };

void outbox_begin_out(struct agent *a)
{
	size_t n = a->outbox.n_bytes;

	json_writer_init(&a->out, a->scratch->out + n, sizeof(a->scratch->out) - n);
	a->out_most = OUT_FLUSH;
}

bool outbox_put(struct connection *c)
{
	struct agent *a = c->agent;
	struct outbox *o = &a->outbox;

	if (a->out.n == 0)
		return true;
	if (a->out_has_value || a->out_fd >= 0 || c->rest || o->n == OUTBOX_CONNECTIONS ||
	    a->out.n > OUTBOX_BYTES - o->n_bytes)
		return false;
	o->of[o->n].connection = c;
	o->of[o->n++].n_bytes = a->out.n;
	o->n_bytes += a->out.n;
	c->is_posted = true;
	outbox_begin_out(a);
	return true;
}

bool outbox_is_full(const struct agent *a)
{
	return a->outbox.n == OUTBOX_CONNECTIONS || a->outbox.n_bytes >= FULL_AT;
}

static void send_one(struct connection *c, const char *p, size_t n)
{
	c->is_posted = false;
	if (connection_send(c, p, n) != CLOSE)
		return;
	c->is_broken = true;
	turns_wait(c);
}

void outbox_send(struct agent *a)
{
	struct outbox *o = &a->outbox;
	const char *p = a->scratch->out;

	if (o->n == 0)
		return;
	for (unsigned i = 0; i < o->n; p += o->of[i++].n_bytes)
		if (o->of[i].connection)
			send_one(o->of[i].connection, p, o->of[i].n_bytes);
	o->n = 0;
	o->n_bytes = 0;
	outbox_begin_out(a);
}

void outbox_forget(struct connection *c)
{
	struct outbox *o = &c->agent->outbox;
	const char *p = c->agent->scratch->out;

	if (!c->is_posted)
		return;
	c->is_posted = false;
	for (unsigned i = 0; i < o->n; p += o->of[i++].n_bytes)
		if (o->of[i].connection == c) {
			o->of[i].connection = NULL;
			(void)!send(c->fd, p, o->of[i].n_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		}
}
