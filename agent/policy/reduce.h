/* agent/policy/reduce.h - the fewest scopes that stand for the same. */
#pragma once

#include <stddef.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/*
 * Leaves of *n scopes (valid ones, in any order, some of them double) those that are not within the
 * others, in the order of their bytes, and says in *n how many. Returns 0 or -ENOMEM.
 */
int scopes_reduce(struct span scopes[], size_t *n) MUST_USE;
