/* agent/store-impl.h - a store, as its own parts share it. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "agent/anchor.h"
#include "agent/seal.h"
#include "agent/state-dir.h"
#include "agent/store-backend.h"
#include "agent/store-queue.h"

/* One row of a change: put where there is something sealed, else deleted. */
struct change_step {
	struct change_step *next;
	struct seal_place place; /* version: after the change */
	uint32_t old_version;	 /* 0: there must be none before */
	uid_t owner;		 /* that place.owner stands for */
	size_t n;
	uint8_t sealed[];
};

struct store_change {
	struct job job; /* first */
	struct store *store;
	struct change_step *first, *last;
	void (*done)(void *userdata, int r);
	void *userdata;
};

/* A row that was read, still sealed. */
struct row_copy {
	struct row_copy *next;
	struct seal_place place;
	size_t n;
	uint8_t sealed[];
};

/* Which rows: of any table from first_row on, or ended ones. */
struct rows_asked {
	enum store_table table; /* of READ_FROM */
	uint64_t first_row;	/* of READ_FROM; the one row of READ_ENDED_ROW */
	unsigned max;		/* of READ_FROM */
	struct ended_query ended;
	uid_t owner; /* that ended.owner stands for, where that is not 0 */
};

struct store_rows {
	struct job job; /* first */
	struct store *store;
	int (*read)(struct store_backend *b, const struct rows_asked *asked, stored_row_fn on_row,
		    void *userdata);
	struct rows_asked asked;
	struct row_copy *first, *last;
	void (*done)(void *userdata, struct store_rows *rows, int r);
	void *userdata;
	struct store_rows *live_next, **live_at; /* in struct store */
};

/* What was seen of the rows, to be held against the root. */
struct tally {
	struct seal_root seen;
	struct seal_set owners; /* of ended rows */
};

/* In locked memory. */
struct store_keys {
	struct seal seal;
	uint8_t store_key[SEAL_KEY_LEN]; /* until the start */
};

struct store {
	struct state_dir dir;
	struct store_backend *backend; /* the thread's, while it runs */
	struct anchor *anchor;	       /* likewise; NULL: none */
	struct region locked;	       /* the keys, then room to open records in */
	struct store_keys *keys;
	struct seal *seal; /* of keys */
	/* Guards the key of credentials' rows, which the loop may take away. */
	pthread_mutex_t credentials_mutex;
	bool credentials_are_locked;
	struct store_queue queue;
	pthread_t thread;
	void (*enter)(void *userdata); /* the thread's first step, or NULL */
	void *enter_userdata;
	bool has_queue, is_running, is_migrated, lacked_anchor;

	/* The loop's. */
	uint64_t highest_row; /* at the start */
	size_t n_under_way;   /* submitted, not yet called back */
	unsigned n_rekeys;    /* of these, that change the keys */
	struct store_rows *live; /* all that were asked for and not freed yet */
	unsigned n_read;      /* tables, while loading: a bit each */
	struct tally tally;   /* likewise */
	struct region batches; /* likewise: of rows on their way */

	/* Not secret. */
	uint8_t key_check[SEAL_CHECK_LEN]; /* of the master key that it is sealed under */
	bool has_other_master;		   /* to be sealed under from the start on: */
	uint8_t sealed_key[SEAL_STORE_KEY_LEN];

	/* The thread's, once it runs. */
	bool key_is_next;      /* the key that fits is still master.key.next */
	struct seal_root root; /* of the last commit */
	uint64_t renew_at_us;  /* not before, CLOCK_MONOTONIC */
	uint64_t anchor_at_us; /* likewise, but for what must not wait */

	/* Both threads'. */
	atomic_int anchor_error, files;
};

/* What a stored row is sealed for. */
static inline struct seal_place place_of(const struct stored_row *row)
{
	return (struct seal_place){ row->row, row->owner, row->version, (uint8_t)row->table };
}

/*
 * Room for a record of n bytes in locked memory. NULL: the limit is reached, or it is too long for
 * a record.
 */
uint8_t *store_scratch(struct store *s, size_t n);

/* Wipes all of it. */
void store_wipe_scratch(struct store *s);

/* Holds a store of this id and number of commits against the anchor, where there is one: anchor.h. */
int store_judge_anchor(const struct store *s, const uint8_t id[static SEAL_ID_LEN], uint64_t commits,
		       struct store_error *e) MUST_USE;

/* Raises the anchor to the last commit, and notes what came of it. */
void store_raise_anchor(struct store *s);

/* Counts a row, which is proved to be sealed in its place, as seen. 0 or -EBADMSG. */
void tally_add(const struct seal *seal, struct tally *t, const struct stored_row *row);

/* Forgets what was seen of a table. */
void tally_forget(struct tally *t, enum store_table table);

/* Whether what was seen is what the root says. 0 or -EBADMSG. */
int tally_check(const struct tally *t, const struct seal_root *root);

/*
 * Whether the backend finds by owner just the ended rows that were seen. 0, -EBADMSG or another
 * errno.
 */
int tally_check_owners(const struct seal *seal, const struct tally *t, struct store_backend *b);

/*
 * Whether a backend has just the rows that the root says, all open under these keys, and its own
 * root is that one. credentials_of (NULL: none): the store whose key for credentials' rows may have
 * been taken away, and then these are held against the root only. 0, -EBADMSG or another errno.
 */
int tally_check_all(const struct seal *seal, const struct seal_root *root, struct store_backend *b,
		    struct store *credentials_of);

/* Reads the root of a backend. 0, -EBADMSG or another errno. */
int store_read_root(const struct seal *seal, struct store_backend *b, struct seal_root *ret);

/* Sentences for a store that can't be opened; they give the errno that goes with them. */
int store_say_damaged(const struct store *s, const char *what, struct store_error *e);
int store_say_wrong_key(const struct store *s, struct store_error *e);
int store_say_unreadable(const struct store *s, int r, struct store_error *e);

/* Hands a job to the thread. */
void store_submit_job(struct store *s, struct job *j);

/* The thread: reads what was asked for, into the job. */
void store_read_rows(struct store *s, struct store_rows *rows);

/*
 * The thread: makes a new file where nothing more may be written to the present one, unless that was
 * tried a moment ago. Whether it may be written to now.
 */
bool store_mend(struct store *s);

/* The thread: changes the keys. Whether they are others now: then nothing more may be taken. */
bool store_run_rekey(struct store *s, struct job *j);

/* The loop: takes the new keys, or the failure, and calls back. */
void store_call_rekeyed(struct store *s, struct job *j);

/* Starts the thread (struct store *). */
void *store_thread(void *userdata);
