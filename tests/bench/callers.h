/* tests/bench/callers.h - many clients that change things at once, from one thread, each with a given number of calls under way. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tests/support/test-agent.h"

struct calls {
	/* Writes the next message, its NUL among it, into dst of 512 bytes; returns its length, 0: there is no more to ask. */
	size_t (*make)(void *userdata, char *dst);
	/* Not NULL: gets each reply as a string. */
	void (*on_reply)(void *userdata, const char *reply);
	void *userdata;
};

/*
 * Lets n_clients (at most 256) make calls for `ns`, or until there are no more of them, each with `depth` under way. Returns how many
 * were answered; exits where one is refused.
 */
size_t call_many(const struct test_agent *agent, unsigned n_clients, unsigned depth, uint64_t ns, const struct calls *calls);

/*
 * The same of Issue, until n_max tokens were made (0: no such limit). on_reply, where not NULL, gets each reply with userdata.
 */
size_t issue_many(const struct test_agent *agent, unsigned n_clients, unsigned depth, uint64_t ns, size_t n_max,
		  void (*on_reply)(void *userdata, const char *reply), void *userdata);

/* The same of Revoke, of the first `n` of these ids of 11 digits and a NUL. */
size_t revoke_many(const struct test_agent *agent, unsigned n_clients, unsigned depth, uint64_t ns, char (*ids)[12], size_t n);
