/*
 * agent/sqlite-renew.c - a new file, for a first start and in place of one that failed to reach the
 * disk.
 *
 * Order matters here. The new file is whole, synced and checked before it gets its name. It is the
 * same page for page as the old file with its log, so that a power cut between the renaming and the
 * removal of the old log does no harm: the log would write into it what is there already.
 */
#include "agent/store-sqlite.h"

#include <errno.h>
#include <string.h>

#include "agent/sqlite-store.h"

/* ---- the first ------------------------------------------------------------------------------- */

int sqlite_file_insert_meta(struct sqlite_file *f, const struct meta_value values[static META_LAST])
{
	sqlite3 *db = f->db;
	sqlite3_stmt *st = NULL;
	int rc;

	rc = sqlite3_prepare_v2(db, "INSERT INTO meta (key, value) VALUES (?1, ?2)", -1, &st, NULL);
	for (int i = 0; rc == SQLITE_OK && i < META_LAST; i++) {
		sqlite3_bind_int(st, 1, i + 1);
		sqlite3_bind_blob64(st, 2, values[i].bytes, values[i].n, SQLITE_STATIC);
		if (sqlite3_step(st) != SQLITE_DONE)
			break;
		rc = sqlite3_reset(st);
	}
	rc = sqlite3_finalize(st) == SQLITE_OK ? rc : sqlite3_errcode(db);
	return sqlite_errno(db, rc);
}

static int fill_new(const struct state_dir *dir, const struct meta_value *values)
{
	struct sqlite_file f = SQLITE_FILE_NONE;
	int r = sqlite_file_open_new(dir, &f);

	if (r < 0)
		return r;
	r = sqlite_file_write_schema(&f);
	if (r == 0)
		r = sqlite_file_insert_meta(&f, values);
	if (r == 0)
		r = sqlite_file_set_log(f.db);
	sqlite_file_close(&f);
	return r;
}

int store_sqlite_create(const struct state_dir *dir,
			const struct meta_value values[static META_LAST], struct store_error *e)
{
	int r = sqlite_file_make_new(dir);

	if (r == 0)
		r = fill_new(dir, values);
	if (r == 0)
		r = sqlite_file_sync_new(dir);
	if (r == 0)
		r = sqlite_file_rename_new(dir);
	if (r < 0) {
		(void)sqlite_file_remove_new(dir);
		return store_fail(e, r, "can't make %s/" STORE_FILE ": %s", dir->path,
				  strerror(-r));
	}
	return 0;
}

/* ---- in place of a broken one ---------------------------------------------------------------- */

static int copy_pages(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *copy = sqlite3_backup_init(to, "main", from, "main");
	int rc;

	if (!copy)
		return sqlite_errno(to, sqlite3_extended_errcode(to));
	rc = sqlite3_backup_step(copy, -1);
	(void)sqlite3_backup_finish(copy);
	return rc == SQLITE_DONE ? 0 : sqlite_errno(to, rc == SQLITE_OK ? SQLITE_BUSY : rc);
}

static int copy_to_new(struct sqlite_store *s)
{
	struct sqlite_file to = SQLITE_FILE_NONE;
	int r = sqlite_file_make_new(s->dir);

	if (r == 0)
		r = sqlite_file_open_new(s->dir, &to);
	if (r < 0)
		return r;
	r = copy_pages(s->file.db, to.db);
	sqlite_file_close(&to);
	return r < 0 ? r : sqlite_file_sync_new(s->dir);
}

int sqlite_store_check_new(struct sqlite_store *s,
			   int (*check)(void *userdata, struct store_backend *copy), void *userdata)
{
	struct sqlite_store copy = { .base = { .ops = &sqlite_store_ops }, .dir = s->dir };
	int r = sqlite_file_judge_new(s->dir);

	if (r == 0)
		r = sqlite_file_open(s->dir, STORE_NEW_FILE, &copy.file, NULL);
	if (r < 0)
		return r;
	r = sqlite_file_check(&copy.file);
	if (r == 0)
		r = check(userdata, &copy.base);
	sqlite_file_close(&copy.file);
	return r < 0 ? r : state_dir_remove(s->dir, STORE_NEW_LOG);
}

/* Opens what has the store's name now. The log that this makes is ours, also where it fails then. */
static int open_in_place(struct sqlite_store *s, struct sqlite_file *ret)
{
	int r = sqlite_file_open(s->dir, STORE_FILE, ret, NULL);

	sqlite_store_note_names(s);
	return r;
}

/* The old connection stays, to be read and to be copied once more, until the new one is open. */
int sqlite_store_change_over(struct sqlite_store *s)
{
	struct sqlite_file f = SQLITE_FILE_NONE;
	/* What somebody has put there meanwhile is theirs. */
	int r = sqlite_store_look_at_names(s) == -EEXIST ? -EEXIST : sqlite_file_rename_new(s->dir);

	/* Where it has the name already, and that alone could not be synced, what is there is ours. */
	if (r < 0 && r != -EEXIST && !state_dir_is_there(s->dir, STORE_NEW_FILE))
		sqlite_store_note_names(s);
	if (r == 0) {
		r = state_dir_remove(s->dir, STORE_LOG);
		sqlite_store_note_names(s);
	}
	if (r == 0)
		r = state_dir_sync(s->dir);
	if (r == 0)
		r = open_in_place(s, &f);
	if (r == 0)
		r = state_dir_sync(s->dir); /* the new log's name */
	if (r < 0) {
		sqlite_file_close(&f);
		return r;
	}
	sqlite_file_may_change(&s->file, false);
	sqlite_file_close(&s->file);
	s->file = f;
	sqlite_store_start_changing(s);
	return 0;
}

int sqlite_store_renew(struct store_backend *b,
		       int (*check)(void *userdata, struct store_backend *copy), void *userdata)
{
	struct sqlite_store *s = store_of(b);
	int r = copy_to_new(s);

	if (r == 0)
		r = sqlite_store_check_new(s, check, userdata);
	if (r == 0)
		r = sqlite_store_change_over(s);
	if (r < 0)
		(void)sqlite_file_remove_new(s->dir);
	return r;
}
