/* agent/cut.h - what a token reaches: its scopes, cut to what its owner has access to now. */
#pragma once

#include "agent/policy/access.h"
#include "agent/token-facts.h"

/* Whether a token of these scopes, owned by one with this access, reaches the plain scope. */
bool cut_matches(const struct packed_scopes *scopes, const struct access *access,
		 struct span plain);

/*
 * Calls on_scope for each scope that is left, each once and none within another. False where there
 * is no memory.
 */
bool cut_each(const struct packed_scopes *scopes, const struct access *access,
	      void (*on_scope)(void *userdata, struct span scope), void *userdata) MUST_USE;

/* Whether all that `inner` stands for is within what is left. */
bool cut_covers(const struct packed_scopes *scopes, const struct access *access, struct span inner);
