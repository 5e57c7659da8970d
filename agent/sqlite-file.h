/*
 * agent/sqlite-file.h - one SQLite file of a store: judged before SQLite touches it, made, opened
 * with all its statements. Shared by the parts of the SQLite backend only.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>

#include "agent/state-dir.h"
#include "agent/store-backend.h"

#define STORE_FILE "store.db"
#define STORE_LOG "store.db-wal"
#define STORE_JOURNAL "store.db-journal"
/* What becomes store.db once it is whole. */
#define STORE_NEW_FILE "store.db.new"
#define STORE_NEW_LOG "store.db.new-wal"
#define STORE_NEW_JOURNAL "store.db.new-journal"
/* One of format 1, whose rows are in store.db now. */
#define STORE_OLD_FILE "store.db.1"

#define STORE_FORMAT 2			/* user_version: a newer one is a newer Jeton's */
#define STORE_APPLICATION_ID 0x4a65746e /* "Jetn" */
#define STORE_PAGE_SIZE 4096

/* Those of one kind for each table, in the tables' order, from STATEMENT_SCAN on. */
enum statement {
	STATEMENT_BEGIN,
	STATEMENT_COMMIT,
	STATEMENT_ROLLBACK,
	STATEMENT_READ_META,
	STATEMENT_WRITE_META,
	STATEMENT_READ_OWNERS,
	STATEMENT_READ_ENDED_ANY,
	STATEMENT_READ_ENDED_OF,
	STATEMENT_READ_ENDED_ROW,
	STATEMENT_SCAN,
	STATEMENT_READ_FROM = STATEMENT_SCAN + 5,
	STATEMENT_HEAD = STATEMENT_READ_FROM + 5,
	STATEMENT_INSERT = STATEMENT_HEAD + 5,
	STATEMENT_REPLACE = STATEMENT_INSERT + 5,
	STATEMENT_REMOVE = STATEMENT_REPLACE + 5,
	N_STATEMENTS = STATEMENT_REMOVE + 5,
};

struct sqlite_file {
	sqlite3 *db;
	unsigned format;
	sqlite3_stmt *statements[N_STATEMENTS]; /* NULL: of a table that the format has not */
};

#define SQLITE_FILE_NONE ((struct sqlite_file){ .db = NULL })

/*
 * Looks at what is in the directory before SQLite does, which would mend what it finds.
 * Returns 1: a store, as far as can be seen; 0: none; or a negative errno with *e.
 */
int sqlite_file_judge(const struct state_dir *dir, struct store_error *e) MUST_USE;
/*
 * Whether what was made to take the store's name has the first bytes that a start will ask of it: 0,
 * -EIO, or another errno.
 */
int sqlite_file_judge_new(const struct state_dir *dir) MUST_USE;

/*
 * What is said of a damaged file (-EBADMSG), and of a version that is not known yet
 * (-EPROTONOSUPPORT).
 */
int sqlite_file_damaged(const struct state_dir *dir, const char *name, struct store_error *e);
int sqlite_file_newer(const struct state_dir *dir, uint32_t version, struct store_error *e);

/*
 * Opens a file of the directory by name, for this process alone, and checks that its tables are
 * ours. Its close changes nothing until sqlite_file_may_change().
 */
int sqlite_file_open(const struct state_dir *dir, const char *name, struct sqlite_file *ret,
		     struct store_error *e) MUST_USE;
void sqlite_file_close(struct sqlite_file *f);

/* Whether a close may write the log back into the file. */
void sqlite_file_may_change(struct sqlite_file *f, bool may);

/*
 * Makes STORE_NEW_FILE, of mode 0600 and empty, in place of what was left of an earlier one. 0 or a
 * negative errno.
 */
int sqlite_file_make_new(const struct state_dir *dir) MUST_USE;

/* Removes what was left of one. */
int sqlite_file_remove_new(const struct state_dir *dir);

/*
 * Opens STORE_NEW_FILE to be filled in one go, without log or journal: it counts for nothing before
 * it is renamed. There are no statements yet.
 */
int sqlite_file_open_new(const struct state_dir *dir, struct sqlite_file *ret) MUST_USE;

/* Brings STORE_NEW_FILE to the disk, such that what is read of it next comes from there. */
int sqlite_file_sync_new(const struct state_dir *dir) MUST_USE;

/* Makes STORE_NEW_FILE the store, in place of what was. */
int sqlite_file_rename_new(const struct state_dir *dir) MUST_USE;

/* Tables, version and mark of a store, into an empty file, and the statements for them. */
int sqlite_file_write_schema(struct sqlite_file *f) MUST_USE;

/*
 * Keeps the file that is STORE_FILE now under the name STORE_OLD_FILE as well, in place of what had
 * it.
 */
int sqlite_file_keep_old(const struct state_dir *dir) MUST_USE;

/* Marks the file as one with a log. The last thing to do to a new one. */
int sqlite_file_set_log(sqlite3 *db) MUST_USE;

/* What no key covers: whether each page has its place. 0, -EBADMSG, or another errno. */
int sqlite_file_check(struct sqlite_file *f) MUST_USE;

/* A result of SQLite's as an errno: 0 for SQLITE_OK, ROW and DONE. */
int sqlite_errno(sqlite3 *db, int rc);

/*
 * Whether it means that nothing more may be written to the file: a failed sync, a failed write,
 * damage.
 */
bool sqlite_is_fatal(sqlite3 *db, int rc);
