/*
 * agent/seal.h - what makes rows unreadable and tied to their place, and the root that covers them
 * all.
 *
 * Pure but for the random nonces: no disk, no clock. docs/store-format.md has every byte.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"

enum {
	SEAL_KEY_LEN = 32,
	SEAL_ID_LEN = 16,	 /* of a store, random */
	SEAL_NONCE_LEN = 24,	 /* the first bytes of everything sealed */
	SEAL_OVERHEAD = 24 + 16, /* nonce and tag: what sealing adds to a record */
	SEAL_CHECK_LEN = 16,
	SEAL_STORE_KEY_LEN = SEAL_KEY_LEN + SEAL_OVERHEAD, /* of a store's key, sealed */
	SEAL_TABLES = 5,				   /* numbered from 1 */
	SEAL_CREDENTIALS = 3,				   /* the one whose rows have a key of their own */
	SEAL_FORMAT = 2,
};

/* The keys of one store. Lives in locked memory. */
struct seal {
	uint8_t row_key[SEAL_KEY_LEN];
	uint8_t credentials_key[SEAL_KEY_LEN];
	uint8_t other_key[SEAL_KEY_LEN]; /* what keys for other uses are derived from */
	uint8_t set_key[16];
	uint8_t owner_key[16];
	uint8_t note_key[SEAL_KEY_LEN];
	uint8_t id[SEAL_ID_LEN];
	uint8_t format; /* 1 or 2 */
};

/* Where a row belongs: what its sealed bytes are good for, and for nothing else. */
struct seal_place {
	uint64_t row;
	uint64_t owner; /* the tag that stands beside it in clear; 0 where none does */
	uint32_t version;
	uint8_t table;
};

/*
 * Starts the library. 0, or -EIO where it has no source of random bytes. Before all else; again is
 * harmless.
 */
int seal_start(void) MUST_USE;

/* A random key (SEAL_KEY_LEN bytes), for a store or to be a master key. */
void seal_make_key(uint8_t *ret);

/* Derives the keys of the store of this id from the store's own (SEAL_KEY_LEN bytes). */
void seal_init(struct seal *s, const uint8_t *store_key, const uint8_t id[static SEAL_ID_LEN]);

/*
 * The same of a store of format 1, where all came from the master key and a root has no set for the
 * fifth table.
 */
void seal_init_1(struct seal *s, const uint8_t *master_key, const uint8_t id[static SEAL_ID_LEN]);

/*
 * A store's key, sealed under the master key for the store of this id. room: SEAL_KEY_LEN bytes of
 * locked memory to work in, wiped afterwards.
 */
void seal_store_key(const uint8_t *store_key, const uint8_t *master_key,
		    const uint8_t id[static SEAL_ID_LEN], uint8_t *room,
		    uint8_t dst[static SEAL_STORE_KEY_LEN]);

/* Opens it again into ret (SEAL_KEY_LEN bytes). 0; or -EBADMSG, and then ret holds nothing. */
int seal_open_store_key(const uint8_t *sealed, size_t n, const uint8_t *master_key,
			const uint8_t id[static SEAL_ID_LEN], uint8_t *room, uint8_t *ret) MUST_USE;

/* A key (SEAL_KEY_LEN bytes) for another use, by its number; none for a store of format 1. */
void seal_derive_key(const struct seal *s, uint64_t number, uint8_t *ret);

/*
 * A value that tells one master key from another and says nothing about either: kept in clear, so
 * that a wrong key can be told from damage.
 */
void seal_key_check(const uint8_t *master_key, uint8_t ret[static SEAL_CHECK_LEN]);

/* Seals n bytes for this place under a fresh nonce. dst: n + SEAL_OVERHEAD bytes. */
void seal_row(const struct seal *s, const struct seal_place *place, const uint8_t *record, size_t n,
	      uint8_t *dst);

/*
 * Opens what was sealed for this place into dst (n - SEAL_OVERHEAD bytes; NULL: only proves that it
 * would open).
 * Returns 0, or -EBADMSG, and then dst holds nothing.
 */
int seal_open_row(const struct seal *s, const struct seal_place *place, const uint8_t *sealed,
		  size_t n, uint8_t *dst) MUST_USE;

/*
 * The same for a note: what the agent keeps for its own next start only, outside of the store. It is
 * good for the place that two numbers of the caller's name.
 */
void seal_note(const struct seal *s, uint64_t number, uint64_t at, const uint8_t *note, size_t n,
	       uint8_t *dst);
int seal_open_note(const struct seal *s, uint64_t number, uint64_t at, const uint8_t *sealed,
		   size_t n, uint8_t *dst) MUST_USE;

/* What stands for an owner on disk. Never 0. */
uint64_t seal_owner_tag(const struct seal *s, uid_t owner);

/* ---- the root: which rows there are ---------------------------------------------------------- */

/* A set of rows: how many, and the sum of what each stands for. */
struct seal_set {
	uint64_t n;
	uint8_t sum[16];
};

struct seal_root {
	uint64_t commits;     /* counts up with each */
	uint64_t highest_row; /* that ever was in tables 1 and 2 */
	struct seal_set tables[SEAL_TABLES];
};

enum {
	SEAL_ROOT_LEN = 8 + 8 + SEAL_TABLES * (8 + 16) + SEAL_OVERHEAD,
	SEAL_ROOT_LEN_1 = SEAL_ROOT_LEN - (8 + 16), /* in format 1 */
};

/* Adds the row that stands at this place under this nonce to its table's set, or takes it away. */
void seal_root_add(const struct seal *s, struct seal_root *root, const struct seal_place *place,
		   const uint8_t nonce[static SEAL_NONCE_LEN]);
void seal_root_remove(const struct seal *s, struct seal_root *root, const struct seal_place *place,
		      const uint8_t nonce[static SEAL_NONCE_LEN]);

/*
 * The same for a set of (row, owner) pairs, to hold an index against its table: the sum does not
 * depend on the order.
 */
void seal_set_add_pair(const struct seal *s, struct seal_set *set, uint64_t row, uint64_t owner);

bool seal_set_equal(const struct seal_set *a, const struct seal_set *b);

/* Of a store of the present format. dst: SEAL_ROOT_LEN bytes. */
void seal_root(const struct seal *s, const struct seal_root *root,
	       uint8_t dst[static SEAL_ROOT_LEN]);
int seal_open_root(const struct seal *s, const uint8_t *sealed, size_t n, struct seal_root *ret)
	MUST_USE; /* 0, -EBADMSG */
