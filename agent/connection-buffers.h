/*
 * agent/connection-buffers.h - the locked buffers that connections borrow: small ones for whoever is
 * busy, large ones a few a user, for which they wait in turn.
 */
#pragma once

#include "agent/connection.h"

/* A small buffer, if need be one that another keeps for what is not finished; NULL: there is none. */
char *connection_small_get(struct connection *c) MUST_USE;

/* A large buffer, or NULL: the user has as many as it may have, or there is none left. */
char *connection_large_get(struct connection *c) MUST_USE;

/* Gives a buffer back, wiped; the first that waits for a large one has its turn. */
void connection_buffer_put(struct connection *c, char *buf, bool large);

/* It gets another turn when it may have a large buffer (agent/turns.h). Harmless twice. */
void connection_wait_for_large(struct connection *c);

/* It waits no longer; harmless where it did not. */
void connection_unwait(struct connection *c);
