/*
 * agent/sqlite-file.c - opening and making the file.
 *
 * A file is opened such that its close changes nothing, until it is proved to be whole and ours. A
 * new one is filled under another name and renamed when it is whole: there is no half-made store.
 */
#include "agent/sqlite-file.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "agent/memory-dir.h"

enum { N_TABLES = STATEMENT_READ_FROM - STATEMENT_SCAN };

#define STRINGIFY(x) #x
#define MARK(name, value) "PRAGMA " name " = " STRINGIFY(value) ";"

#define ROW "row INTEGER PRIMARY KEY, version INTEGER NOT NULL, "
#define SEALED "sealed BLOB NOT NULL"

/*
 * In the order in which they stand in the file, and from which format on. Text for text: anything
 * else there is not ours.
 */
static const struct {
	unsigned since;
	const char *text;
} schema[] = {
	{ 1, "CREATE TABLE meta (key INTEGER PRIMARY KEY, value BLOB NOT NULL) STRICT" },
	{ 1, "CREATE TABLE active (" ROW SEALED ") STRICT" },
	{ 1, "CREATE TABLE ended (" ROW "owner INTEGER NOT NULL, " SEALED ") STRICT" },
	{ 1, "CREATE TABLE credentials (" ROW SEALED ") STRICT" },
	{ 1, "CREATE TABLE events (" ROW SEALED ") STRICT" },
	{ 2, "CREATE TABLE audit (" ROW SEALED ") STRICT" },
	{ 1, "CREATE INDEX ended_by_owner ON ended (owner)" },
};

#define EACH_TABLE(first, form)                                                                   \
	[first] = form("active"), [first + 1] = form("ended"), [first + 2] = form("credentials"), \
	[first + 3] = form("events"), [first + 4] = form("audit")
#define HEAD(t) "SELECT substr(sealed, 1, ?3) FROM " t " WHERE row = ?1 AND version = ?2"
#define REMOVE(t) "DELETE FROM " t " WHERE row = ?1"
#define INSERT(t, column, value) \
	"INSERT INTO " t " (row, version, sealed" column ") VALUES (?1, ?2, ?3" value ")"
#define REPLACE(t, owner) "UPDATE " t " SET version = ?2, sealed = ?3" owner " WHERE row = ?1"
#define FROM(t, owner) \
	"SELECT row, version, " owner ", sealed FROM " t " WHERE row >= ?1 ORDER BY row LIMIT ?2"
#define ENDED "SELECT row, version, owner, sealed FROM ended WHERE "

static const char *const sql[N_STATEMENTS] = {
	[STATEMENT_BEGIN] = "BEGIN IMMEDIATE",
	[STATEMENT_COMMIT] = "COMMIT",
	[STATEMENT_ROLLBACK] = "ROLLBACK",
	[STATEMENT_READ_META] = "SELECT value FROM meta WHERE key = ?1",
	[STATEMENT_WRITE_META] = "UPDATE meta SET value = ?2 WHERE key = ?1",
	[STATEMENT_READ_OWNERS] = "SELECT row, 1, owner, x'' FROM ended INDEXED BY ended_by_owner",
	[STATEMENT_READ_ENDED_ANY] = ENDED "row < ?1 ORDER BY row DESC LIMIT ?2",
	[STATEMENT_READ_ENDED_OF] = ENDED "row < ?1 AND owner = ?3 ORDER BY row DESC LIMIT ?2",
	[STATEMENT_READ_ENDED_ROW] = ENDED "row = ?1",
	[STATEMENT_SCAN] = "SELECT row, version, 0, sealed FROM active",
	[STATEMENT_SCAN + 1] = "SELECT row, version, owner, sealed FROM ended NOT INDEXED",
	[STATEMENT_SCAN + 2] = "SELECT row, version, 0, sealed FROM credentials",
	[STATEMENT_SCAN + 3] = "SELECT row, version, 0, sealed FROM events",
	[STATEMENT_SCAN + 4] = "SELECT row, version, 0, sealed FROM audit",
	[STATEMENT_READ_FROM] = FROM("active", "0"),
	[STATEMENT_READ_FROM + 1] = FROM("ended", "owner"),
	[STATEMENT_READ_FROM + 2] = FROM("credentials", "0"),
	[STATEMENT_READ_FROM + 3] = FROM("events", "0"),
	[STATEMENT_READ_FROM + 4] = FROM("audit", "0"),
	EACH_TABLE(STATEMENT_HEAD, HEAD),
	[STATEMENT_INSERT] = INSERT("active", "", ""),
	[STATEMENT_INSERT + 1] = INSERT("ended", ", owner", ", ?4"),
	[STATEMENT_INSERT + 2] = INSERT("credentials", "", ""),
	[STATEMENT_INSERT + 3] = INSERT("events", "", ""),
	[STATEMENT_INSERT + 4] = INSERT("audit", "", ""),
	[STATEMENT_REPLACE] = REPLACE("active", ""),
	[STATEMENT_REPLACE + 1] = REPLACE("ended", ", owner = ?4"),
	[STATEMENT_REPLACE + 2] = REPLACE("credentials", ""),
	[STATEMENT_REPLACE + 3] = REPLACE("events", ""),
	[STATEMENT_REPLACE + 4] = REPLACE("audit", ""),
	EACH_TABLE(STATEMENT_REMOVE, REMOVE),
};

/* ---- results --------------------------------------------------------------------------------- */

/* Errnos that say more than EIO does. */
static int system_errno(sqlite3 *db)
{
	int e = sqlite3_system_errno(db);

	return e == ENOSPC || e == EDQUOT || e == EROFS || e == EFBIG ? -e : -EIO;
}

int sqlite_errno(sqlite3 *db, int rc)
{
	static const struct {
		int rc, r;
	} table[] = {
		{ SQLITE_OK, 0 },
		{ SQLITE_ROW, 0 },
		{ SQLITE_DONE, 0 },
		{ SQLITE_NOMEM, -ENOMEM },
		{ SQLITE_FULL, -ENOSPC },
		{ SQLITE_BUSY, -EBUSY },
		{ SQLITE_LOCKED, -EBUSY },
		{ SQLITE_READONLY, -EROFS },
		{ SQLITE_CORRUPT, -EBADMSG },
		{ SQLITE_NOTADB, -EBADMSG },
		{ SQLITE_SCHEMA, -EBADMSG },
		{ SQLITE_ERROR, -EBADMSG },
		{ SQLITE_TOOBIG, -EBADMSG }, /* a length that no row of ours has */
		{ SQLITE_CONSTRAINT, -EEXIST },
		{ SQLITE_PERM, -EACCES },
	};

	if (rc == SQLITE_IOERR_NOMEM)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].rc == (rc & 0xff))
			return table[i].r;
	return system_errno(db);
}

bool sqlite_is_fatal(sqlite3 *db, int rc)
{
	int primary = rc & 0xff;

	if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB)
		return true;
	if (primary != SQLITE_IOERR || rc == SQLITE_IOERR_NOMEM || rc == SQLITE_IOERR_READ)
		return false;
	/* A write that found no room has left nothing behind that counts. */
	return rc != SQLITE_IOERR_WRITE || system_errno(db) == -EIO;
}

/* ---- opening --------------------------------------------------------------------------------- */

static int path_of(const struct state_dir *dir, const char *name, char dst[static PATH_MAX])
{
	return snprintf(dst, PATH_MAX, "%s/%s", dir->path, name) >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* Process-wide, and only before the first file is opened; later ones find it done. */
static void configure(void)
{
	/* A connection is used by one thread at a time. */
	(void)sqlite3_config(SQLITE_CONFIG_MULTITHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

/*
 * The file grows in steps, so that what is in the log mostly finds room in it although the disk is
 * full: then changes, such as revocations, go on.
 */
static void grow_in_steps(sqlite3 *db)
{
	int size = 256 * 1024;

	(void)sqlite3_file_control(db, "main", SQLITE_FCNTL_CHUNK_SIZE, &size);
}

static int open_db(const struct state_dir *dir, const char *name, sqlite3 **ret)
{
	const char *vfs = NULL;
	char path[PATH_MAX];
	sqlite3 *db = NULL;
	int r, rc;

	configure();
	r = path_of(dir, name, path);
	if (r == 0 && dir->memory && !(vfs = memory_dir_vfs(dir->memory)))
		r = -ENOMEM;
	if (r < 0)
		return r;
	rc = sqlite3_open_v2(path, &db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW,
			     vfs);
	if (rc == SQLITE_OK && sqlite3_db_readonly(db, "main") == 1)
		rc = SQLITE_READONLY;
	if (rc != SQLITE_OK) {
		r = db ? sqlite_errno(db, rc) : -ENOMEM;
		sqlite3_close(db);
		return r;
	}
	(void)sqlite3_extended_result_codes(db, 1);
	grow_in_steps(db);
	*ret = db;
	return 0;
}

static int exec(sqlite3 *db, const char *text)
{
	return sqlite_errno(db, sqlite3_exec(db, text, NULL, NULL, NULL));
}

static void restrict_db(sqlite3 *db)
{
	static const struct {
		int what, to;
	} table[] = {
		{ SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 }, { SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },	 { SQLITE_DBCONFIG_ENABLE_TRIGGER, 0 },
		{ SQLITE_DBCONFIG_ENABLE_VIEW, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		(void)sqlite3_db_config(db, table[i].what, table[i].to, NULL);
}

/* The lock first: set before anything is read it also spares the file of shared memory. */
static const char settings[] = "PRAGMA locking_mode = EXCLUSIVE;"
			       "PRAGMA mmap_size = 0;"
			       "PRAGMA cache_size = -384;"
			       "PRAGMA temp_store = MEMORY;"
			       "PRAGMA synchronous = FULL;"
			       "PRAGMA secure_delete = ON;"
			       "PRAGMA cell_size_check = ON;"
			       "PRAGMA journal_size_limit = 8388608;"
			       "PRAGMA wal_autocheckpoint = 0;";

static int query_number(sqlite3 *db, const char *text, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, text, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : sqlite_errno(db, rc == SQLITE_DONE ? SQLITE_CORRUPT : rc);
}

/* From the i-th on, the next that a file of this format has; NULL: there is no more. */
static const char *next_in_schema(unsigned format, size_t *i)
{
	while (*i < ARRAY_SIZE(schema) && schema[*i].since > format)
		*i += 1;
	return *i < ARRAY_SIZE(schema) ? schema[(*i)++].text : NULL;
}

/* 0 where the tables are ours to the letter. */
static int compare_schema(sqlite3 *db, unsigned format)
{
	sqlite3_stmt *st = NULL;
	const char *text, *ours;
	size_t at = 0;
	int r, rc;

	rc = sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_master ORDER BY rowid", -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 0);
		ours = next_in_schema(format, &at);
		rc = text && ours && strcmp(text, ours) == 0 ? SQLITE_OK : SQLITE_CORRUPT;
	}
	r = sqlite_errno(db, rc);
	sqlite3_finalize(st);
	return r < 0 || !next_in_schema(format, &at) ? r : -EBADMSG;
}

/* The last of each kind, whose table is not in format 1. */
static bool is_for_audit(size_t statement)
{
	return statement >= STATEMENT_SCAN &&
	       (statement - STATEMENT_SCAN) % N_TABLES == N_TABLES - 1;
}

static int prepare(struct sqlite_file *f)
{
	for (size_t i = 0; i < N_STATEMENTS; i++) {
		int rc;

		if (f->format == 1 && is_for_audit(i))
			continue;
		rc = sqlite3_prepare_v3(f->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
					&f->statements[i], NULL);
		if (rc != SQLITE_OK)
			return sqlite_errno(f->db, rc);
	}
	return 0;
}

static int open_steps(const struct state_dir *dir, const char *name, struct sqlite_file *f,
		      int64_t *ret_version)
{
	int r = open_db(dir, name, &f->db);

	if (r < 0)
		return r;
	restrict_db(f->db);
	r = exec(f->db, settings);
	if (r == 0)
		r = query_number(f->db, "PRAGMA user_version", ret_version);
	/* Tables of a newer version are none of our business. */
	if (r < 0 || *ret_version > STORE_FORMAT)
		return r;
	if (*ret_version < 1)
		return -EBADMSG;
	f->format = (unsigned)*ret_version;
	r = compare_schema(f->db, f->format);
	return r < 0 ? r : prepare(f);
}

int sqlite_file_open(const struct state_dir *dir, const char *name, struct sqlite_file *ret,
		     struct store_error *e)
{
	struct sqlite_file f = SQLITE_FILE_NONE;
	int64_t version = 0;
	int r = open_steps(dir, name, &f, &version);

	if (r == 0 && version <= STORE_FORMAT) {
		*ret = f;
		return 0;
	}
	sqlite_file_close(&f);
	if (r == 0)
		return sqlite_file_newer(dir, (uint32_t)version, e);
	if (r == -EBADMSG)
		return sqlite_file_damaged(dir, name, e);
	if (r == -EBUSY)
		return store_fail(e, r, "%s/%s is open in another program: close it there",
				  dir->path, name);
	return store_fail(e, r, "can't open %s/%s: %s", dir->path, name, strerror(-r));
}

void sqlite_file_close(struct sqlite_file *f)
{
	for (size_t i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(f->statements[i]);
	sqlite3_close(f->db);
	*f = SQLITE_FILE_NONE;
}

void sqlite_file_may_change(struct sqlite_file *f, bool may)
{
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !may, NULL);
}

int sqlite_file_check(struct sqlite_file *f)
{
	sqlite3_stmt *st = NULL;
	int r, rc = sqlite3_prepare_v2(f->db, "PRAGMA quick_check(1)", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	r = sqlite_errno(f->db, rc);
	if (rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
		r = -EBADMSG;
	sqlite3_finalize(st);
	return r;
}

/* ---- a new file ------------------------------------------------------------------------------ */

int sqlite_file_remove_new(const struct state_dir *dir)
{
	static const char *const names[] = { STORE_NEW_FILE, STORE_NEW_LOG, STORE_NEW_JOURNAL };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int r = state_dir_remove(dir, names[i]);

		if (r < 0)
			return r;
	}
	return 0;
}

int sqlite_file_make_new(const struct state_dir *dir)
{
	int fd, r = sqlite_file_remove_new(dir);

	if (r < 0)
		return r;
	fd = state_dir_open_file(dir, STORE_NEW_FILE, O_WRONLY | O_CREAT);
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int sqlite_file_open_new(const struct state_dir *dir, struct sqlite_file *ret)
{
	struct sqlite_file f = { .format = STORE_FORMAT };
	int r = open_db(dir, STORE_NEW_FILE, &f.db);

	if (r < 0)
		return r;
	r = exec(f.db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -2048;"
		       "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;");
	if (r < 0) {
		sqlite3_close(f.db);
		return r;
	}
	*ret = f;
	return 0;
}

int sqlite_file_write_schema(struct sqlite_file *f)
{
	const char *text;
	size_t at = 0;
	int r = exec(f->db,
		     MARK("page_size", STORE_PAGE_SIZE) MARK("application_id", STORE_APPLICATION_ID)
			     MARK("user_version", STORE_FORMAT) "BEGIN");

	while (r == 0 && (text = next_in_schema(STORE_FORMAT, &at)))
		r = exec(f->db, text);
	if (r == 0)
		r = exec(f->db, "COMMIT");
	return r < 0 ? r : prepare(f);
}

/*
 * The pragma fails by giving another mode than was asked for, too. Its row comes before the mode is
 * written to the file, which its end does: only that tells whether it is there.
 */
int sqlite_file_set_log(sqlite3 *db)
{
	sqlite3_stmt *st = NULL;
	bool is_wal = false;
	int r, rc = sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		is_wal = strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;
		rc = sqlite3_step(st);
	}
	r = sqlite_errno(db, rc);
	sqlite3_finalize(st);
	return r < 0 || is_wal ? r : -EIO;
}

int sqlite_file_sync_new(const struct state_dir *dir)
{
	_cleanup_close_ int fd = state_dir_open_file(dir, STORE_NEW_FILE, O_RDONLY);

	if (fd < 0)
		return fd;
	if (fsync(fd) < 0)
		return -errno;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return 0;
}

int sqlite_file_rename_new(const struct state_dir *dir)
{
	int r = state_dir_rename(dir, STORE_NEW_FILE, STORE_FILE);

	return r < 0 ? r : state_dir_sync(dir);
}

int sqlite_file_keep_old(const struct state_dir *dir)
{
	int r = state_dir_remove(dir, STORE_OLD_FILE);

	if (r < 0)
		return r;
	if (linkat(dir->fd, STORE_FILE, dir->fd, STORE_OLD_FILE, 0) < 0)
		return -errno;
	return state_dir_sync(dir);
}
