/* agent/policy/map-rights.h - who is given the verifier's map, and what of tokens it tells. Pure. */
#pragma once

#include "agent/policy/access.h"

/* Whether any [Verify] section says Map=yes: whether there is such a thing at all. */
bool map_is_offered(const struct policy *p);

/* What a map tells of tokens' access: all of it, or what is within the scopes. */
struct map_rights {
	bool all;
	struct access scopes; /* empty where all is set */
};

/*
 * What the map of this peer tells: by the [Verify] sections that match it and say Map=yes, and by
 * no others; so it is never more than verify_tells() tells it. Returns 1 with what is the caller's
 * to give to map_rights_done(); 0: it is to have no map; or -ENOMEM.
 */
int map_rights_of(const struct policy *p, const struct subject *peer, struct map_rights *ret)
	MUST_USE;
void map_rights_done(struct map_rights *rights);

/* Whether both tell the same, so that one map does for both. */
bool map_rights_equal(const struct map_rights *a, const struct map_rights *b);

/*
 * Cuts a scope to what is told, and calls on_scope for each part; parts may be within one another.
 * Their texts live until on_scope returns.
 */
void map_rights_cut(const struct map_rights *rights, struct span scope,
		    void (*on_scope)(void *userdata, struct span scope), void *userdata);
