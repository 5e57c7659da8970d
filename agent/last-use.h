/*
 * agent/last-use.h - when and by whom tokens were last used and credentials last fetched: noted
 * such that it survives the agent (agent/carried.h), and brought to the store from time to time.
 */
#pragma once

#include "agent/agent.h"

/*
 * Takes over what agents before this one have noted and the store does not have: once the vault and
 * the credentials are loaded. 0 or a negative errno.
 */
int last_use_start(struct agent *a) MUST_USE;
void last_use_done(struct agent *a);

/*
 * A good verification at this turn of the loop by whoever *facts names as the last: in the vault,
 * and noted before the caller replies. was: of the facts before. Whether there was anything to note.
 */
struct last_use {
	uint64_t used_us;
	struct span by;
};
bool last_use_verified(struct agent *a, token_ref ref, const struct last_use *was,
		       const struct token_facts *facts);

/* A fetch of a credential, likewise. */
void last_use_fetched(struct agent *a, struct span name, uint64_t now_us, struct span by);

/*
 * After the store's key was changed (Rekey): notes of before can be opened by nobody, so all that
 * the store does not have is noted anew.
 */
void last_use_rekeyed(struct agent *a);

/* Brings to the store what it does not have yet, in slices: now, or after what is on its way. */
void last_use_keep(struct agent *a);

/* Last fetches at once; before the agent is locked. */
void last_use_keep_fetches(struct agent *a);

/* All of it at once; for the end of the agent. */
void last_use_keep_all(struct agent *a);
