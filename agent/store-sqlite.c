/*
 * agent/store-sqlite.c - rows in an SQLite file, one transaction for many changes.
 *
 * Invariant: what is in the file's log up to n_frames is committed and on the disk, and nothing
 * behind it counts. A change that fails is cut off there, so that it can't come back by recovery.
 * After a failed sync the kernel may have dropped what it says is written: the file is broken for
 * good, is read only, and renew() puts a new one in its place. And so it is where somebody took the
 * file or its log away, since what is written to a file without a name is gone with the agent.
 */
#include "agent/store-sqlite.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "agent/sqlite-store.h"

/* ---- running statements ---------------------------------------------------------------------- */

static enum statement for_table(enum statement first, enum store_table table)
{
	return first + (table - STORE_ACTIVE);
}

static int run(struct sqlite_store *s, enum statement which)
{
	sqlite3_stmt *st = s->file.statements[which];
	int r, rc = sqlite3_step(st);

	r = sqlite_store_result(s, rc);
	sqlite3_reset(st);
	return r;
}

static bool is_number(sqlite3_stmt *st, int column, int64_t min, int64_t max)
{
	int64_t v = sqlite3_column_int64(st, column);

	return sqlite3_column_type(st, column) == SQLITE_INTEGER && v >= min && v <= max;
}

/*
 * The columns row, version, owner and sealed. Types are in the file too, so they are not taken on
 * trust.
 */
static int take_row(sqlite3_stmt *st, enum store_table table, struct stored_row *ret)
{
	if (!is_number(st, 0, 1, INT64_MAX) || !is_number(st, 1, 1, UINT32_MAX) ||
	    !is_number(st, 2, INT64_MIN, INT64_MAX) || sqlite3_column_type(st, 3) != SQLITE_BLOB)
		return -EBADMSG;
	*ret = (struct stored_row){
		.table = table,
		.row = (uint64_t)sqlite3_column_int64(st, 0),
		.version = (uint32_t)sqlite3_column_int64(st, 1),
		.owner = (uint64_t)sqlite3_column_int64(st, 2),
		.sealed = sqlite3_column_blob(st, 3),
		.n = (size_t)sqlite3_column_bytes(st, 3),
	};
	return ret->n == 0 || ret->sealed ? 0 : -ENOMEM;
}

static int each_row(struct sqlite_store *s, enum statement which, enum store_table table,
		    stored_row_fn on_row, void *userdata)
{
	sqlite3_stmt *st = s->file.statements[which];
	struct stored_row row;
	int r = 0, rc = SQLITE_DONE;

	if (!st)
		return 0;
	while (r == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		r = take_row(st, table, &row);
		if (r == 0)
			r = on_row(userdata, &row);
	}
	if (r == 0)
		r = sqlite_store_result(s, rc);
	sqlite3_reset(st);
	return r;
}

static unsigned format(const struct store_backend *b)
{
	return ((const struct sqlite_store *)b)->file.format;
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_meta(struct store_backend *b, enum store_meta which, struct meta_value *ret)
{
	struct sqlite_store *s = store_of(b);
	sqlite3_stmt *st = s->file.statements[STATEMENT_READ_META];
	int r = -ENOENT, rc, n;

	sqlite3_bind_int(st, 1, (int)which);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		n = sqlite3_column_bytes(st, 0);
		r = n > 0 && n <= STORE_META_MAX ? 0 : -EBADMSG;
		if (r == 0) {
			ret->n = (size_t)n;
			memcpy(ret->bytes, sqlite3_column_blob(st, 0), ret->n);
		}
	} else if (rc != SQLITE_DONE) {
		r = sqlite_store_result(s, rc);
	}
	sqlite3_reset(st);
	return r;
}

static int read_table(struct store_backend *b, enum store_table table, stored_row_fn on_row,
		      void *userdata)
{
	return each_row(store_of(b), for_table(STATEMENT_SCAN, table), table, on_row, userdata);
}

static int read_owners(struct store_backend *b, stored_row_fn on_row, void *userdata)
{
	return each_row(store_of(b), STATEMENT_READ_OWNERS, STORE_ENDED, on_row, userdata);
}

static int64_t row_bound(uint64_t row)
{
	return row > INT64_MAX ? INT64_MAX : (int64_t)row;
}

static int read_ended(struct store_backend *b, const struct ended_query *q, stored_row_fn on_row,
		      void *userdata)
{
	enum statement which = q->owner ? STATEMENT_READ_ENDED_OF : STATEMENT_READ_ENDED_ANY;
	struct sqlite_store *s = store_of(b);
	sqlite3_stmt *st = s->file.statements[which];

	sqlite3_bind_int64(st, 1, row_bound(q->before_row));
	sqlite3_bind_int64(st, 2, q->max);
	if (q->owner)
		sqlite3_bind_int64(st, 3, (int64_t)q->owner);
	return each_row(s, which, STORE_ENDED, on_row, userdata);
}

static int read_ended_row(struct store_backend *b, uint64_t row, stored_row_fn on_row,
			  void *userdata)
{
	struct sqlite_store *s = store_of(b);

	sqlite3_bind_int64(s->file.statements[STATEMENT_READ_ENDED_ROW], 1, row_bound(row));
	return each_row(s, STATEMENT_READ_ENDED_ROW, STORE_ENDED, on_row, userdata);
}

static int read_from(struct store_backend *b, enum store_table table, uint64_t first_row,
		     unsigned max, stored_row_fn on_row, void *userdata)
{
	enum statement which = for_table(STATEMENT_READ_FROM, table);
	struct sqlite_store *s = store_of(b);

	sqlite3_bind_int64(s->file.statements[which], 1, row_bound(first_row));
	sqlite3_bind_int64(s->file.statements[which], 2, max);
	return each_row(s, which, table, on_row, userdata);
}

/* ---- changing -------------------------------------------------------------------------------- */

static int begin(struct store_backend *b)
{
	struct sqlite_store *s = store_of(b);

	int r = s->broken ? -EIO : 0;

	/* One that is about to be made has another name, and nobody to lose by it. */
	if (r == 0 && s->trusted)
		r = sqlite_store_look_at_names(s);
	if (r < 0) {
		s->broken = true;
		return r;
	}
	return run(s, STATEMENT_BEGIN);
}

static void rollback(struct store_backend *b)
{
	struct sqlite_store *s = store_of(b);

	/* Some failures have rolled back by themselves. */
	if (!sqlite3_get_autocommit(s->file.db))
		(void)run(s, STATEMENT_ROLLBACK);
	sqlite_store_cut_log(s);
}

static int commit(struct store_backend *b)
{
	struct sqlite_store *s = store_of(b);
	int r = run(s, STATEMENT_COMMIT);

	if (r < 0)
		rollback(b);
	else
		sqlite_store_note_salt(s);
	return r;
}

static int head(struct store_backend *b, enum store_table table, uint64_t row, uint32_t version,
		uint8_t *ret, size_t n)
{
	struct sqlite_store *s = store_of(b);
	sqlite3_stmt *st = s->file.statements[for_table(STATEMENT_HEAD, table)];
	int r, rc;

	sqlite3_bind_int64(st, 1, (int64_t)row);
	sqlite3_bind_int64(st, 2, version);
	sqlite3_bind_int64(st, 3, (int64_t)n);
	rc = sqlite3_step(st);
	r = rc == SQLITE_DONE ? -ENOENT : sqlite_store_result(s, rc);
	if (rc == SQLITE_ROW) {
		r = (size_t)sqlite3_column_bytes(st, 0) == n ? 0 : -EBADMSG;
		if (r == 0)
			memcpy(ret, sqlite3_column_blob(st, 0), n);
	}
	sqlite3_reset(st);
	return r;
}

static int write_row(struct sqlite_store *s, enum statement first, const struct stored_row *row)
{
	enum statement which = for_table(first, row->table);
	sqlite3_stmt *st = s->file.statements[which];

	sqlite3_bind_int64(st, 1, (int64_t)row->row);
	sqlite3_bind_int64(st, 2, row->version);
	sqlite3_bind_blob64(st, 3, row->sealed, row->n, SQLITE_STATIC);
	if (row->table == STORE_ENDED)
		sqlite3_bind_int64(st, 4, (int64_t)row->owner);
	return run(s, which);
}

static int insert(struct store_backend *b, const struct stored_row *row)
{
	return write_row(store_of(b), STATEMENT_INSERT, row);
}

static int replace(struct store_backend *b, const struct stored_row *row)
{
	return write_row(store_of(b), STATEMENT_REPLACE, row);
}

static int remove_row(struct store_backend *b, enum store_table table, uint64_t row)
{
	enum statement which = for_table(STATEMENT_REMOVE, table);
	struct sqlite_store *s = store_of(b);

	sqlite3_bind_int64(s->file.statements[which], 1, (int64_t)row);
	return run(s, which);
}

static int write_meta(struct store_backend *b, enum store_meta which, const uint8_t *value,
		      size_t n)
{
	struct sqlite_store *s = store_of(b);
	sqlite3_stmt *st = s->file.statements[STATEMENT_WRITE_META];

	sqlite3_bind_int(st, 1, (int)which);
	sqlite3_bind_blob64(st, 2, value, n, SQLITE_STATIC);
	return run(s, STATEMENT_WRITE_META);
}

static bool is_broken(const struct store_backend *b)
{
	return ((const struct sqlite_store *)b)->broken;
}

/* ---- from open to close ---------------------------------------------------------------------- */

static int trust(struct store_backend *b)
{
	struct sqlite_store *s = store_of(b);
	int r = sqlite_file_check(&s->file);

	if (r == 0)
		r = sqlite_store_sync(s);
	if (r < 0)
		return r;
	sqlite_store_start_changing(s);
	/* What was about to be made when somebody was killed: nobody will go on with it. */
	(void)sqlite_file_remove_new(s->dir);
	return 0;
}

static void close_store(struct store_backend *b)
{
	struct sqlite_store *s = store_of(b);

	if (s->broken)
		sqlite_file_may_change(&s->file, false);
	sqlite_file_close(&s->file);
	if (s->log_is_new && state_dir_has(s->dir, STORE_LOG) == 0)
		(void)state_dir_remove(s->dir, STORE_LOG);
	free(s);
}

const struct store_backend_ops sqlite_store_ops = {
	.close = close_store,
	.format = format,
	.read_meta = read_meta,
	.read_table = read_table,
	.read_owners = read_owners,
	.read_ended = read_ended,
	.read_ended_row = read_ended_row,
	.read_from = read_from,
	.trust = trust,
	.begin = begin,
	.head = head,
	.insert = insert,
	.replace = replace,
	.remove = remove_row,
	.write_meta = write_meta,
	.commit = commit,
	.rollback = rollback,
	.is_broken = is_broken,
	.renew = sqlite_store_renew,
	.rewrite = sqlite_store_rewrite,
	.settle = sqlite_store_settle,
};

int store_sqlite_exists(const struct state_dir *dir)
{
	if (state_dir_is_there(dir, STORE_FILE))
		return 1;
	return state_dir_has(dir, STORE_LOG);
}

int store_sqlite_open(const struct state_dir *dir, struct store_backend **ret,
		      struct store_error *e)
{
	struct sqlite_store *s;
	bool had_log;
	int r;

	r = sqlite_file_judge(dir, e);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	had_log = state_dir_is_there(dir, STORE_LOG);
	s = calloc(1, sizeof(*s));
	if (!s)
		return store_fail(e, -ENOMEM, "no memory");
	*s = (struct sqlite_store){ .base = { .ops = &sqlite_store_ops },
				    .dir = dir,
				    .log_is_new = !had_log };
	r = sqlite_file_open(dir, STORE_FILE, &s->file, e);
	if (r < 0) {
		close_store(&s->base);
		return r;
	}
	*ret = &s->base;
	return 0;
}
