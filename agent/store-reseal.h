/*
 * agent/store-reseal.h - all rows of a store, sealed anew under other keys, into a new store in its
 * place: when one of format 1 is taken over, and when the keys are changed.
 */
#pragma once

#include "agent/store-impl.h"

/* In locked memory: the keys of the new store, and room to have one record open in. */
struct reseal_keys {
	struct seal seal;
	uint8_t store_key[SEAL_KEY_LEN];
	uint8_t master_key[SEAL_KEY_LEN];
	uint8_t room[STORE_RECORD_MAX];
};

struct resealing {
	struct store *s;
	const struct seal *from;
	struct seal_root from_root;
	struct reseal_keys *keys;
	bool keep_old; /* as in struct store_rewriting */
	/* Called between rows (may be NULL), to do what must not wait for all of them. */
	void (*meanwhile)(struct store *s);

	/* Where it stands. */
	struct store_backend *copy;
	struct seal_root root; /* of what is in the copy */
	unsigned n_rows;
	uint8_t *sealed; /* room for one row */
};

/*
 * Locks memory for keys: the store's new one is made, and all that come from it; the master key is
 * copied. To be given back with region_done(). 0 or -ENOMEM.
 */
int reseal_keys_make(struct region *region, struct secretmem *mem,
		     const uint8_t id[static SEAL_ID_LEN], const uint8_t *master_key,
		     struct reseal_keys **ret) MUST_USE;

/*
 * Puts all rows that are in s->backend, which must be trusted, into a new store, and that one in
 * its place: r->root is its root then. 0 or a negative errno, see rewrite() in store-backend.h.
 * -EBADMSG: a row does not open, or is not what its owner's tag says.
 */
int reseal_all(struct resealing *r) MUST_USE;
