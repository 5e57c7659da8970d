/*
 * agent/store-backend.h - what keeps the rows of a store, as store.c sees it.
 *
 * A backend keeps sealed bytes under table, row and version, changes many of them at once or none,
 * and knows no keys. It is used by one thread at a time. All functions give 0 (or what they say) or
 * a negative errno.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/store.h"
#include "protocol/base/cleanup.h"

struct stored_row {
	enum store_table table;
	uint64_t row;
	uint64_t owner; /* tag; STORE_ENDED only, else 0 */
	uint32_t version;
	const uint8_t *sealed;
	size_t n;
};

/* What is kept once for a store; the numbers are on disk. */
enum store_meta {
	META_KEY_CHECK = 1,
	META_ID = 2,
	META_ROOT = 3,
	META_STORE_KEY = 4,
	META_LAST = META_STORE_KEY,
};

enum { STORE_META_MAX = 256 };

struct meta_value {
	size_t n;
	uint8_t bytes[STORE_META_MAX];
};

/* Gets a row, valid during the call. A result that is not 0 ends the reading and is its result. */
typedef int (*stored_row_fn)(void *userdata, const struct stored_row *row);

/*
 * Which ended rows: of this owner (0: any) and numbers below before_row, the highest first, at most
 * max.
 */
struct ended_query {
	uint64_t owner;
	uint64_t before_row;
	unsigned max;
};

struct store_backend {
	const struct store_backend_ops *ops;
};

/* How all that a store holds is put into a new one in its place. */
struct store_rewriting {
	/* Gives every row to the copy, by insert(), and all values. */
	int (*fill)(void *userdata, struct store_backend *copy,
		    struct meta_value values[static META_LAST]);
	/* Reads the copy as it is on the disk: 0 where all is there. */
	int (*check)(void *userdata, struct store_backend *copy);
	void *userdata;
	bool keep_old; /* what was there stays, under another name */
};

struct store_backend_ops {
	/*
	 * Ends all. Before trust() nothing that was there changes, nor does anything new stay
	 * behind.
	 */
	void (*close)(struct store_backend *b);

	unsigned (*format)(const struct store_backend *b); /* 1 or 2 */

	/* -ENOENT: there is no such value. */
	int (*read_meta)(struct store_backend *b, enum store_meta which, struct meta_value *ret);

	/* Every row of a table, in no particular order. */
	int (*read_table)(struct store_backend *b, enum store_table table, stored_row_fn on_row,
			  void *userdata);

	/*
	 * Rows without their sealed bytes, as that which finds the ended rows of an owner has them.
	 */
	int (*read_owners)(struct store_backend *b, stored_row_fn on_row, void *userdata);

	int (*read_ended)(struct store_backend *b, const struct ended_query *q,
			  stored_row_fn on_row, void *userdata);
	int (*read_ended_row)(struct store_backend *b, uint64_t row, stored_row_fn on_row,
			      void *userdata);

	/* Rows of any table from this number on, the lowest first, at most max. */
	int (*read_from)(struct store_backend *b, enum store_table table, uint64_t first_row,
			 unsigned max, stored_row_fn on_row, void *userdata);

	/*
	 * The store is ours and whole as far as its keys can tell: checks what no key covers
	 * (-EBADMSG), makes sure that all that was read is on the disk, and allows changes from now
	 * on.
	 */
	int (*trust)(struct store_backend *b);

	/*
	 * The functions of a change, between begin() and commit() or rollback(). After any failure
	 * only rollback() may follow.
	 */
	int (*begin)(struct store_backend *b); /* -ESTALE, -EEXIST: see is_broken */

	/* The first n bytes of what is sealed in a row of this version. -ENOENT: there is none. */
	int (*head)(struct store_backend *b, enum store_table table, uint64_t row, uint32_t version,
		    uint8_t *ret, size_t n);
	int (*insert)(struct store_backend *b,
		      const struct stored_row *row); /* -EEXIST: there is one */
	int (*replace)(struct store_backend *b, const struct stored_row *row);
	int (*remove)(struct store_backend *b, enum store_table table, uint64_t row);
	int (*write_meta)(struct store_backend *b, enum store_meta which, const uint8_t *value,
			  size_t n);

	/*
	 * All of it survives a power cut from now on; or, on failure, none of it was kept and it is
	 * rolled back.
	 */
	int (*commit)(struct store_backend *b);
	void (*rollback)(struct store_backend *b);

	/*
	 * Whether a sync or the like has failed, or somebody has taken away (-ESTALE of begin(), once) or
	 * replaced (-EEXIST, likewise) what the rows are kept in, so that nothing more may be written to
	 * it: begin() is -EIO until renew() has succeeded, which replaces nothing that is not ours.
	 */
	bool (*is_broken)(const struct store_backend *b);

	/*
	 * Makes a new copy of all that was committed, has it checked (`check` reads it through a
	 * backend of its own, and gives 0 where all is there), and goes on with that one. On
	 * failure all is as it was.
	 */
	int (*renew)(struct store_backend *b,
		     int (*check)(void *userdata, struct store_backend *copy), void *userdata);

	/*
	 * Makes a new store, in the present format, and goes on with that one: it is whole, on the
	 * disk and checked before it takes the place of the old one, in one step. Between begin()
	 * and the end of a change it must not be called. On failure all is as it was; but where
	 * is_broken() says so, the disk may have either, and renew() puts what was there back.
	 */
	int (*rewrite)(struct store_backend *b, const struct store_rewriting *how);

	/*
	 * Work that can wait until those who wait for a commit have been answered. May break it,
	 * see is_broken().
	 */
	void (*settle)(struct store_backend *b);
};
