/*
 * agent/leftovers.c - see leftovers.h. Whatever is finished wipes what it had by itself, so nearly
 * all is gone within a turn of the loop; what is looked for here are clients that stand still, and
 * what a mistake elsewhere may have left.
 */
#include "agent/leftovers.h"

#include <assert.h>
#include <sodium.h>

#include "agent/connection.h"
#include "agent/loadcred.h"
#include "agent/lock.h"

/* Deeper than the loop ever goes: what ciphers and parsers have left on its stack. */
enum { STACK_USED = 256 * 1024 };

static bool holds(const struct connection *c)
{
	/* Its own passphrase is wiped as it is answered, which is next. */
	if (c->pending && lock_is_waited_for(c->agent, c->pending) && !c->rest)
		return false;
	return connection_holds_bytes(c);
}

void leftovers_note(struct agent *a)
{
	for (struct connection *c = a->connections; c; c = c->next)
		c->is_leftover = holds(c);
}

bool leftovers_are_there(struct agent *a)
{
	bool any = loadcred_holds_values(a);

	for (struct connection *c = a->connections; c; c = c->next) {
		c->is_leftover = c->is_leftover && holds(c);
		any |= c->is_leftover;
	}
	return any;
}

void leftovers_drop(struct agent *a)
{
	struct connection *c, *next;

	loadcred_drop_values(a);
	for (c = a->connections; c; c = next) {
		next = c->next;
		if (c->is_leftover && holds(c))
			connection_close(c);
	}
}

void leftovers_wipe(struct agent *a)
{
	struct scratch *s = a->scratch;

	assert(a->out.n == 0);
	secret_wipe(s->out, sizeof(s->out));
	secret_wipe(s->text, sizeof(s->text));
	secret_wipe(s->record, sizeof(s->record));
	secret_wipe(s->hash, sizeof(s->hash));
	secret_wipe(s->value, sizeof(s->value));
	secret_wipe(s->random, sizeof(s->random));
	pool_wipe_free(&a->small);
	pool_wipe_free(&a->large);
	sodium_stackzero(STACK_USED);
}
