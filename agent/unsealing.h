/* agent/unsealing.h - which master key opens the store, and under which it is sealed from then on. */
#pragma once

#include "agent/store.h"

enum unsealed {
	UNSEALED_AS_EVER,
	UNSEALED_BY_NEXT, /* master.key.next: a change of keys was cut off behind the store's own part */
	UNSEALED_BY_OLD,  /* the credential jeton.master.old, beside a new jeton.master */
};

/*
 * Reads the master key (masterkey.h) and opens the store of the directory under it, or, where state_dir
 * is NULL, that in memory (whose key is a credential); with an anchor in anchor_dir, or NULL. Where the key does not fit, the one that may be
 * beside it is tried. key: STORE_KEY_LEN bytes of locked memory to work in, which the caller wipes.
 * Returns as masterkey_read() and store_open().
 */
int unsealing_open(const char *state_dir, const char *anchor_dir, struct memory_dir *memory,
		   uint8_t *key, struct secretmem *mem, struct store **ret, enum unsealed *ret_by,
		   struct store_error *ret_error) MUST_USE;

/*
 * The store is started: tidies up what was beside the key, and says in the log what can be removed.
 */
void unsealing_settle(struct store *s, enum unsealed by);
