/*
 * tests/bench/fleet.h - an agent with many tokens. A store of a million takes a while to make: it is kept with its tokens' values
 * in $BENCH_DIR/tokens-N, and made anew where the agent does not know them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tests/support/test-agent.h"

#define FLEET_VALUE 67 /* characters, with no NUL */

struct fleet {
	struct test_agent agent;
	char dir[160];
	char (*values)[FLEET_VALUE];
	size_t n;
	int fd; /* a connection to it; the agent's user is its owner and administrator */
};

/*
 * Starts an agent with n tokens of one owner; policy NULL: everyone reaches acme/... Exits where it can't. fleet_stop() ends it;
 * the store stays.
 */
void fleet_start(struct fleet *f, size_t n, const char *policy);
void fleet_stop(struct fleet *f);

/* The value of any of them, by a generator of small cost. */
const char *fleet_any(const struct fleet *f);

/* A Verify of the value, as bytes; returns their number, which is the same for all values. */
size_t fleet_request(char dst[static 512], const char value[static FLEET_VALUE]);

/* Whether the agent says that the value is good. */
bool fleet_verify(int fd, const char value[static FLEET_VALUE]);
