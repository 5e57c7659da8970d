/*
 * agent/turns.h - whose turn it is. In a round every user may have so many messages answered, over all of their
 * connections together: who has many of them, or asks without pause, keeps nobody else waiting for longer than that.
 */
#pragma once

#include "agent/connection.h"

/* Whether the connection's user has anything left of this round. */
bool turns_left(const struct connection *c);

/* The same; what it is about to do, or has done, counts for so many messages. */
bool turns_spend(struct connection *c, unsigned n_messages);

/* Another turn in a round to come, after those of the same user that wait already. Harmless twice. */
void turns_wait(struct connection *c);

/* It waits no more. */
void turns_forget(struct connection *c);

/* A round: all that wait are served. Those that ask for yet another turn meanwhile get it in the next one. */
void turns_round(struct agent *a);
