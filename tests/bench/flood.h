/*
 * tests/bench/flood.h - a client that asks as fast as it is answered, over many connections, from one thread: what it takes for
 * itself is little, and the same whoever answers.
 *
 * Each connection sends `depth` requests at once, waits for as many replies, and sends the next.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/stats.h"

#define FLOOD_DEPTH_MAX 64

struct flood_options {
	const char *socket;
	const char *request; /* one, the caller's as long as this lives */
	size_t n_request;
	size_t n_reply; /* every reply has as many bytes */
	char last;	/* and this one in the end */
	unsigned n_connections;
	unsigned depth; /* 0: one; at most FLOOD_DEPTH_MAX */
	/* Not NULL: what is sent in the place of `request`, of n_request bytes. Depth 1 only. */
	const char *(*next)(void *userdata);
	void *userdata;
};

struct flood;

/* Connects; exits where it can't. flood_close() ends it. */
struct flood *flood_open(const struct flood_options *o);
void flood_close(struct flood *f);

/*
 * Replies a second, over about `ns`, by the first n_connections (0: all). latencies, where not NULL, gets the time from each
 * sending to the last of its replies. Exits when a connection is lost or a reply is another than it should be.
 */
double flood_run(struct flood *f, unsigned n_connections, uint64_t ns, struct latencies *latencies);

/* Calls a second, each over a connection of its own: connect, one request, its reply, close. */
double flood_one_shots(const struct flood_options *o, uint64_t ns);
