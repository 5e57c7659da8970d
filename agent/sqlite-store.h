/* agent/sqlite-store.h - the SQLite backend, as its own parts share it. */
#pragma once

#include "agent/sqlite-file.h"
#include "agent/store-backend.h"

struct sqlite_store {
	struct store_backend base;
	const struct state_dir *dir;
	struct sqlite_file file;
	bool log_is_new; /* there was none before: it goes if nothing was written */
	bool trusted;	 /* may be changed */
	bool short_of_room;
	bool broken;	       /* may not be changed any more */
	ino_t inodes[2];       /* that the names of file and log stood for; 0: none */
	int64_t n_frames;      /* of the log, committed; -1: not known */
	int64_t checkpoint_at; /* how many call for a checkpoint */
	uint8_t salt[8]; /* of the log at the last commit: tells one run of it from the next */
};

static inline struct sqlite_store *store_of(struct store_backend *b)
{
	return (struct sqlite_store *)b;
}

extern const struct store_backend_ops sqlite_store_ops;

/* Of a result of SQLite's: its errno; and notes whether the file can still be written to. */
int sqlite_store_result(struct sqlite_store *s, int rc);

/* ---- the log (sqlite-log.c) ------------------------------------------------------------------ */

/*
 * The file was proved whole, and is on the disk: it may be changed from here on, and its close
 * writes back the log.
 */
void sqlite_store_start_changing(struct sqlite_store *s);

/* Brings to the disk all that was read. 0 or a negative errno. */
int sqlite_store_sync(struct sqlite_store *s) MUST_USE;

/*
 * Whether the names of file and log still stand for what is open: 0; -ESTALE: one was removed, or names
 * nothing any more; -EEXIST: another file has one of them.
 */
int sqlite_store_look_at_names(const struct sqlite_store *s) MUST_USE;

/* They stand for what is open, from now on. */
void sqlite_store_note_names(struct sqlite_store *s);

/* After each commit: remembers which run of the log it stands in. */
void sqlite_store_note_salt(struct sqlite_store *s);

/* Cuts off what a failed change has left in the log behind the last commit. */
void sqlite_store_cut_log(struct sqlite_store *s);

/*
 * Writes all of the log back into the file and leaves it empty on the disk, so that it can do no
 * harm to a file that takes the place of this one. 0 or a negative errno.
 */
int sqlite_store_empty_log(struct sqlite_store *s) MUST_USE;

/* As in struct store_backend_ops. */
void sqlite_store_settle(struct store_backend *b);

/* ---- a new file (sqlite-renew.c) ------------------------------------------------------------- */

/*
 * Makes STORE_NEW_FILE the store that `s` goes on with, once it is whole, on the disk and has no
 * log; the log of the old one may still be there only if it has nothing that the new one has not.
 * Where it fails and STORE_NEW_FILE is gone, the names may be the new file's.
 */
int sqlite_store_change_over(struct sqlite_store *s) MUST_USE;

/*
 * Reads STORE_NEW_FILE as it now is on the disk, by `check`, and then leaves nothing but itself. 0
 * or a negative errno.
 */
int sqlite_store_check_new(struct sqlite_store *s,
			   int (*check)(void *userdata, struct store_backend *copy), void *userdata)
	MUST_USE;

/* Values into a new file, one for each enum store_meta, in order. */
int sqlite_file_insert_meta(struct sqlite_file *f, const struct meta_value values[static META_LAST])
	MUST_USE;

/* As in struct store_backend_ops (sqlite-rewrite.c). */
int sqlite_store_rewrite(struct store_backend *b, const struct store_rewriting *how);

/* As in struct store_backend_ops. */
int sqlite_store_renew(struct store_backend *b,
		       int (*check)(void *userdata, struct store_backend *copy), void *userdata);
