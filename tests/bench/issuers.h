/* tests/bench/issuers.h - many clients that issue at once, from one thread, each with a given number of calls under way. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tests/support/test-agent.h"

/*
 * Lets n_clients (at most 256) issue for `ns`, or until n_max tokens were made (0: no such limit), each with `depth` calls under way. on_token, where
 * not NULL, gets each value (not ended by a NUL). Returns how many were issued; exits where one is refused.
 */
size_t issue_many(const struct test_agent *agent, unsigned n_clients, unsigned depth, uint64_t ns, size_t n_max,
		  void (*on_token)(struct span token));
