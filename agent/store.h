/*
 * agent/store.h - what is kept: sealed rows on disk, changed in groups by a thread of its own.
 *
 * The caller hands over plain records and gets plain records; here they are sealed
 * (XChaCha20-Poly1305, a key derived from the master key, a random nonce each) and bound to the
 * store, their table, row and version before anything else sees them. A root, sealed with each
 * commit, covers which rows of which versions there are, so that none can be left out, put back or
 * exchanged. What keeps the rows (SQLite, store-sqlite.c) knows no keys and is reached only through
 * struct store_backend.
 *
 * Threads: all functions are for the agent's loop thread. The store's thread takes what was
 * submitted, in order, as many changes as there are in one transaction, and makes a descriptor
 * readable when they are done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/secretmem.h"

struct store;

/* What rows belong to; the numbers are on disk. */
enum store_table {
	STORE_ACTIVE = 1,
	STORE_ENDED = 2,
	STORE_CREDENTIALS = 3,
	STORE_EVENTS = 4,
	STORE_AUDIT = 5, /* by number, of version 1; the oldest go as new ones come */
};

enum {
	STORE_KEY_LEN = 32,
	STORE_RECORD_MAX = 80 * 1024,
	STORE_READ_MAX = 64, /* rows of one store_read_ended() or store_read_from() */
};

/* Why a store can't be opened: one sentence for people, naming the file and what to do. */
struct store_error {
	char text[512];
};

/*
 * Opens the store in the directory, or makes one where there is none. Takes the directory's lock
 * (flock on the directory itself) first. master_key: STORE_KEY_LEN bytes, borrowed during the call
 * only. Nothing on disk is changed before all of it is proved to be whole, ours and of this key; on
 * failure not a byte has changed (what a first start that was killed has left, under another
 * name, counts as none).
 * Returns 0, or with *ret_error: -EWOULDBLOCK another agent has it; -EKEYREJECTED wrong master key;
 * -EBADMSG damaged or altered; -EMEDIUMTYPE not a store of ours; -EPROTONOSUPPORT written by a
 * newer Jeton; any other errno of the system.
 */
int store_open(const char *state_dir, const uint8_t *master_key, struct secretmem *mem,
	       struct store **ret, struct store_error *ret_error) MUST_USE;

/*
 * The same, with the store held against an anchor (anchor.h) in another directory (NULL: none): -ESTALE
 * where it is an older copy, or another store than the one of before; or as anchor_open(). The
 * anchor is raised by the store's thread: before anyone hears of a change by which an active token
 * ends, and within a second after any other.
 */
int store_open_anchored(const char *state_dir, const char *anchor_dir, const uint8_t *master_key,
			struct secretmem *mem, struct store **ret,
			struct store_error *ret_error) MUST_USE;

/*
 * What has befallen the store's files since the last call: 0 nothing; -ESTALE one was removed or renamed, and
 * all was written anew in its place; -EIO likewise, but that failed; -EEXIST another has its name, and
 * nothing can be changed while it has. When it changes, store_fd() is readable.
 */
int store_files_befell(struct store *s);

/* Whether there was a store before store_open_anchored(), but no anchor to hold it against. */
bool store_lacked_anchor(const struct store *s);

/*
 * Whether the anchor can be raised: 0, or the negative errno of the last try, from store_start() on.
 * When it changes, store_fd() is readable.
 */
int store_anchor_error(struct store *s);

/*
 * The same as store_open() in a directory in memory (memory-dir.h), which must outlive the store: all that is said of
 * the disk is said of it, but for power cuts.
 */
struct memory_dir;
int store_open_memory(struct memory_dir *memory, const uint8_t *master_key, struct secretmem *mem,
		      struct store **ret, struct store_error *ret_error) MUST_USE;

/*
 * Waits until all that was submitted is kept, calling back as store_dispatch() does (what is
 * submitted from there is waited for, too), ends the thread and closes. NULL is fine.
 */
void store_close(struct store *s);

/*
 * Reads every row of a table, in no particular order, before store_start(). on_row gets the opened
 * record, in locked memory that is wiped afterwards, and may stop the reading by a negative result,
 * which is forwarded. Otherwise as store_open().
 * Every table must be read once before store_start(), which holds what was seen against the root.
 */
int store_read_all(struct store *s, enum store_table table,
		   int (*on_row)(void *userdata, uint64_t row, uint32_t version,
				 const uint8_t *record, size_t n),
		   void *userdata, struct store_error *ret_error) MUST_USE;

/* How many rows the table has, as the root says. Before store_start(). */
uint64_t store_n_rows(const struct store *s, enum store_table table);

/*
 * Has the thread call enter(userdata) before all else, to shut itself in. Before store_start();
 * userdata must outlive the store.
 */
void store_on_thread(struct store *s, void (*enter)(void *userdata), void *userdata);

/*
 * Checks the root against what was read and starts the thread. -EBADMSG where rows are missing, put
 * back or added; otherwise as store_open().
 */
int store_start(struct store *s, struct store_error *ret_error) MUST_USE;

/*
 * The highest row number that was ever used in STORE_ACTIVE or STORE_ENDED, from the root: the next
 * token has a higher one. As of store_start().
 */
uint64_t store_highest_row(const struct store *s);

/*
 * Whether store_open() found a store of format 1 and took it over; that one is store.db.1 now.
 */
bool store_is_migrated(const struct store *s);

/* Readable when store_dispatch() has something to do. For sd_event_add_io(). */
int store_fd(const struct store *s);

/*
 * Calls `done` of all jobs that are finished, in the order they were submitted; failed changes in
 * the opposite order, then barriers that failed with them.
 */
void store_dispatch(struct store *s);

/* A change: rows that change together or not at all. Built by the loop, sealed as it is built. */
struct store_change;
struct store_change *store_change_new(struct store *s); /* NULL: no memory */
void store_change_free(struct store_change *c);		/* of one never submitted; NULL is fine */

/*
 * Puts a row: new (old_version 0) or in place of the one of old_version. row: 1 to 2^63 - 1;
 * version: from 1 on, not old_version; n: at most STORE_RECORD_MAX. owner: whose it is, kept as a
 * keyed hash that only serves to look ended rows up. 0 or -ENOMEM.
 */
int store_change_put(struct store_change *c, enum store_table table, uint64_t row,
		     uint32_t old_version, uint32_t version, uid_t owner, const uint8_t *record,
		     size_t n) MUST_USE;
int store_change_delete(struct store_change *c, enum store_table table, uint64_t row,
			uint32_t old_version) MUST_USE;

/*
 * Hands the change over; done(userdata, 0) is called from store_dispatch() once it survives a power
 * cut, or done(userdata, -errno) when it could not be kept: then nothing of it is, nor of any
 * change submitted after it and before that call. (So what is submitted from within such a call
 * fails as well while there are earlier ones to be called; trying again at once would never end.) A
 * change of no rows is a barrier: done when all before it are, with an errno if any of them that
 * was still under way could not be kept. A change is submitted in the turn in which it was built:
 * before the next store_dispatch() is over.
 */
void store_submit(struct store *s, struct store_change *c, void (*done)(void *userdata, int r),
		  void *userdata);

/*
 * Reads ended rows of one owner (any: of all), of row numbers below before_row, the highest first,
 * at most max (1 to STORE_READ_MAX). done gets the rows, which it owns, opened one by one with
 * store_rows_next(); r < 0: could not be read, and rows is NULL. Runs in order with changes; but while
 * the keys are changed, ahead of those that wait for that. Where there is no memory even to ask, done
 * is called at once.
 */
struct store_rows;
void store_read_ended(struct store *s, uid_t owner, bool any, uint64_t before_row, unsigned max,
		      void (*done)(void *userdata, struct store_rows *rows, int r), void *userdata);

/* The single ended row, likewise. */
void store_read_ended_row(struct store *s, uint64_t row,
			  void (*done)(void *userdata, struct store_rows *rows, int r),
			  void *userdata);

/*
 * Rows of any table, of row numbers from first_row on, the lowest first, at most max (1 to
 * STORE_READ_MAX), likewise. Fewer than max: there are no more.
 */
void store_read_from(struct store *s, enum store_table table, uint64_t first_row, unsigned max,
		     void (*done)(void *userdata, struct store_rows *rows, int r), void *userdata);

/*
 * Opens the next: *ret_record (n bytes, locked memory) is valid until the next call, on whichever
 * rows, or store_close(); that of a credential until its rows are freed, which wipes it. Returns 1; 0
 * at the end; -EBADMSG where it was altered; -ENOMEM where no memory could be locked for it; -ENOKEY
 * where the key of credentials' rows was taken away.
 */
int store_rows_next(struct store_rows *rows, uint64_t *ret_row, uint32_t *ret_version,
		    const uint8_t **ret_record, size_t *ret_n) MUST_USE;
void store_rows_free(struct store_rows *rows); /* before store_close(). NULL is fine */

/*
 * Seals a note, which the agent keeps outside of the store for its own next start, under a key of the
 * store's for the place that two numbers name; and opens it. As seal_note() and seal_open_note() do.
 */
enum { STORE_NOTE_OVERHEAD = 24 + 16 };
void store_seal_note(const struct store *s, uint64_t number, uint64_t at, const uint8_t *note,
		     size_t n, uint8_t *dst);
int store_open_note(const struct store *s, uint64_t number, uint64_t at, const uint8_t *sealed,
		    size_t n, uint8_t *dst) MUST_USE; /* 0, -EBADMSG */

/* ---- keys ------------------------------------------------------------------------------------ */

/*
 * Changes all keys: every row is sealed anew into a new file, under keys that come from a new one of
 * the store's, which is sealed under this master key (STORE_KEY_LEN bytes, copied). as_file: it is
 * put in the place of the file master.key, too, such that at each moment one of the two (the other is
 * master.key.next) fits the store. done(userdata, 0) is called once all of it survives a power cut;
 * or with an errno where the keys are the old ones. Changes that are submitted meanwhile wait, reads
 * go on. Credentials' key must be here. Returns 0; or -ENOMEM, and `done` is not called.
 */
int store_rekey(struct store *s, const uint8_t *master_key, bool as_file,
		void (*done)(void *userdata, int r), void *userdata) MUST_USE;

/* Whether that is under way. */
bool store_is_rekeying(const struct store *s);

/*
 * Whether this master key (STORE_KEY_LEN bytes) is the one that the store is sealed under, or will
 * be once it is started.
 */
bool store_is_sealed_under(const struct store *s, const uint8_t *master_key);

/*
 * Between store_open() and store_start(), which does it, on success, before the store may be
 * changed: the store's key is sealed under this master key (STORE_KEY_LEN bytes, borrowed) from now
 * on. All else stays.
 */
void store_change_master_key(struct store *s, const uint8_t *master_key);

/*
 * After store_start(), which has proved the key: deals with what a change of keys that was cut off has
 * left beside master.key. is_next: master.key.next is the key that fits, and gets that name; else it
 * fits nothing, and goes. 0, or a negative errno: the next start tries it again.
 */
int store_settle_key_file(struct store *s, bool is_next);

/*
 * Rows of STORE_CREDENTIALS are sealed under a key of their own. This moves it (STORE_KEY_LEN
 * bytes) to dst, in locked memory, and wipes it here, and with it the last record that was opened:
 * from now on such rows can't be opened, and no change of them may be made, until it is given back.
 * It must be here, after store_start().
 */
void store_take_credentials_key(struct store *s, uint8_t *dst);
void store_give_credentials_key(struct store *s, const uint8_t *key);

/*
 * A key (STORE_KEY_LEN bytes) for another use, into dst, in locked memory: derived from the store's
 * own, one for each number (each use has one of its own: enum store_use), and the same after every
 * start.
 */
enum store_use {
	STORE_USE_RESTORE = 1, /* what is handed to the agent to be restored */
	STORE_USE_LOCK = 2,
	STORE_USE_AUDIT = 3,
};
void store_derive_key(const struct store *s, enum store_use use, uint8_t *dst);
