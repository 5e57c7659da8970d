/*
 * agent/connection-send.h - the sending half of a connection: replies from agent->out to the socket,
 * and what it did not take, to be sent later. For connection.c.
 */
#pragma once

#include "agent/connection.h"

enum next { GO_ON, WAIT, CLOSE }; /* what a connection does next */

/*
 * Sends agent->out with its descriptor, keeps in c->rest what the socket does not take, and empties
 * it. WAIT: something was kept.
 */
enum next connection_flush(struct connection *c);

/* Sends n bytes that have no value, or keeps what the socket does not take: WAIT. */
enum next connection_send(struct connection *c, const char *p, size_t n);

/* The replies in agent->out are OUT_FLUSH bytes or more. Sends them, unless the socket is sure to take more at once. */
enum next connection_flush_some(struct connection *c);

/* Sends more of c->rest. GO_ON: all of it. */
enum next connection_send_rest(struct connection *c);

/* Wipes c->rest, if any, and gives its buffer and descriptor back. */
void connection_rest_drop(struct connection *c);
