/*
 * agent/turns.c - see turns.h.
 *
 * A round ends when those that wait are served, and is not counted while nobody does: who asks and waits for the reply
 * pays an addition. Invariant: a client is in the agent's list if and only if connections of it wait, but for the one
 * that is being served.
 */
#include "agent/turns.h"

enum { ROUND_MESSAGES = 64 };

static bool has_left(const struct agent *a, const struct client *client)
{
	return client->round != a->round || client->n_spent < ROUND_MESSAGES;
}

bool turns_left(const struct connection *c)
{
	return has_left(c->agent, c->client);
}

bool turns_spend(struct connection *c, unsigned n_messages)
{
	struct client *client = c->client;
	bool left = has_left(c->agent, client);

	if (client->round != c->agent->round) {
		client->round = c->agent->round;
		client->n_spent = 0;
	}
	if (left)
		client->n_spent += n_messages;
	return left;
}

/* ---- clients with connections that wait ------------------------------------------------------ */

static void put_in(struct agent *a, struct client *client)
{
	if (client->in_turns || !client->again_first)
		return;
	client->in_turns = true;
	client->turns_prev = a->turns_last;
	client->turns_next = NULL;
	if (a->turns_last)
		a->turns_last->turns_next = client;
	else
		a->turns_first = client;
	a->turns_last = client;
	a->n_turns++;
}

static void take_out(struct agent *a, struct client *client)
{
	if (!client->in_turns)
		return;
	client->in_turns = false;
	if (client->turns_prev)
		client->turns_prev->turns_next = client->turns_next;
	else
		a->turns_first = client->turns_next;
	if (client->turns_next)
		client->turns_next->turns_prev = client->turns_prev;
	else
		a->turns_last = client->turns_prev;
	a->n_turns--;
}

/* ---- connections that wait ------------------------------------------------------------------- */

void turns_wait(struct connection *c)
{
	struct client *client = c->client;

	if (c->is_again)
		return;
	c->is_again = true;
	c->again_prev = client->again_last;
	c->again_next = NULL;
	if (client->again_last)
		client->again_last->again_next = c;
	else
		client->again_first = c;
	client->again_last = c;
	put_in(c->agent, client);
}

void turns_forget(struct connection *c)
{
	struct client *client = c->client;

	if (!c->is_again)
		return;
	c->is_again = false;
	if (c->again_prev)
		c->again_prev->again_next = c->again_next;
	else
		client->again_first = c->again_next;
	if (c->again_next)
		c->again_next->again_prev = c->again_prev;
	else
		client->again_last = c->again_prev;
	c->again_next = c->again_prev = NULL;
	if (!client->again_first)
		take_out(c->agent, client);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

/* The next few of those that wait. */
static void receive_ahead(struct connection *c)
{
	for (unsigned i = 0; c && i < RECEIVE_AHEAD; i++, c = c->again_next)
		connection_receive_ahead(c);
}

/* As much of one client's as it may have in a round. Its last connection may end by that. */
static void serve(struct agent *a, struct client *client)
{
	struct connection *c;

	client->n_connections++;
	take_out(a, client);
	for (unsigned n = 0; (c = client->again_first) && has_left(a, client); n++) {
		if (n % RECEIVE_AHEAD == 0)
			receive_ahead(c);
		turns_forget(c);
		connection_turn(c);
	}
	put_in(a, client);
	client_put(a, client);
}

void turns_round(struct agent *a)
{
	size_t n = a->n_turns;

	a->round++;
	while (n-- > 0 && a->turns_first)
		serve(a, a->turns_first);
}
