/*
 * tests/bench/field.h - who runs: an agent with a token, a bare echo of the same bytes, Redis with as many bytes under a key
 * as long as the token, MUNGE; and what each is asked.
 */
#pragma once

#include "tests/bench/flood.h"
#include "tests/bench/rivals.h"
#include "tests/support/test-agent.h"

enum runner { ECHO, JETON, REDIS, RUNNERS };

struct field {
	struct test_agent agent;
	struct echo echo;
	struct redis redis;
	struct munge munge;
	bool has_redis, has_munge;
	char request[512], redis_request[256];
	size_t n_request, n_reply;
	char reply[4096];
	struct flood_options options[RUNNERS]; /* of one connection, one at a time */
};

/* What keys and tables call them. */
extern const char *const runner_keys[RUNNERS], *const runner_names[RUNNERS];

/* Starts them all; what is missing is missing. Exits where the agent or the echo can't be had. */
void field_start(struct field *f);
void field_stop(struct field *f);

/* Servers and this thread share one processor, or have one each: the servers the first, this thread the second. */
void field_pin(struct field *f, bool two);

/* Whether there is such a one. */
bool field_has(const struct field *f, enum runner r);
