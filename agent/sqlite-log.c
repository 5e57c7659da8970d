/*
 * agent/sqlite-log.c - SQLite's log: what of it counts, and when it is written back.
 */
#include "agent/sqlite-store.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum {
	CHECKPOINT_FRAMES = 1000, /* of a page each: then the log is written back */
	LOG_HEADER = 32,
	LOG_FRAME = 24 + STORE_PAGE_SIZE,
	LOG_SALT_AT = 16,
};

static const char *const names[] = { STORE_FILE, STORE_LOG };

/* 0: there is none. */
static ino_t inode_of(const struct sqlite_store *s, const char *name)
{
	struct stat st;

	return fstatat(s->dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

void sqlite_store_note_names(struct sqlite_store *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(names) && !s->dir->memory; i++)
		s->inodes[i] = inode_of(s, names[i]);
}

int sqlite_store_look_at_names(const struct sqlite_store *s)
{
	int r = 0;

	/* One that is being made under another name has none noted. */
	for (size_t i = 0; i < ARRAY_SIZE(names) && s->inodes[0] && !s->dir->memory; i++) {
		ino_t inode = inode_of(s, names[i]);

		if (inode == s->inodes[i])
			continue;
		if (inode)
			return -EEXIST;
		r = -ESTALE;
	}
	return r;
}

int sqlite_store_result(struct sqlite_store *s, int rc)
{
	int r = sqlite_errno(s->file.db, rc);

	if (s->trusted && sqlite_is_fatal(s->file.db, rc))
		s->broken = true;
	if (r == -ENOSPC || r == -EDQUOT)
		s->short_of_room = true;
	return r;
}

/* SQLite's own handle of its log, or NULL where none is open. */
static sqlite3_file *log_of(struct sqlite_store *s)
{
	sqlite3_file *log = NULL;

	(void)sqlite3_file_control(s->file.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	return log && log->pMethods ? log : NULL;
}

static int on_commit(void *userdata, sqlite3 *db, const char *name, int n_frames)
{
	struct sqlite_store *s = userdata;

	(void)db;
	(void)name;
	s->n_frames = n_frames;
	return SQLITE_OK;
}

static bool read_salt(sqlite3_file *log, uint8_t ret[static 8])
{
	return log->pMethods->xRead(log, ret, 8, LOG_SALT_AT) == SQLITE_OK;
}

void sqlite_store_note_salt(struct sqlite_store *s)
{
	sqlite3_file *log = log_of(s);

	if (!log || !read_salt(log, s->salt))
		memset(s->salt, 0, sizeof(s->salt));
}

/*
 * Cuts off what a failed change has left in the log behind the last commit. If it began the log
 * anew, which only happens once all of it is in the file, no frame of it counts. A cut that fails
 * leaves what recovery would drop, as long as no commit mark is in it; and one is in it only after
 * a failed sync, when a new file is made.
 */
void sqlite_store_cut_log(struct sqlite_store *s)
{
	sqlite3_file *log = log_of(s);
	int64_t n = s->n_frames;
	sqlite3_int64 size;
	uint8_t salt[8];

	if (!log || n < 0 || log->pMethods->xFileSize(log, &size) != SQLITE_OK)
		return;
	if (!read_salt(log, salt) || memcmp(salt, s->salt, sizeof(salt)) != 0)
		n = 0;
	if (size > LOG_HEADER + n * LOG_FRAME)
		(void)log->pMethods->xTruncate(log, LOG_HEADER + n * LOG_FRAME);
}

/*
 * An empty log that was made just now waits for the first commit, whose sync brings it and its name
 * to the disk, and with that all names: a start costs no more syncs than it must.
 */
int sqlite_store_sync(struct sqlite_store *s)
{
	sqlite3_file *files[] = { s->log_is_new ? NULL : log_of(s), NULL };

	(void)sqlite3_file_control(s->file.db, "main", SQLITE_FCNTL_FILE_POINTER, &files[1]);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int rc = files[i] ? files[i]->pMethods->xSync(files[i], SQLITE_SYNC_NORMAL)
				  : SQLITE_OK;

		if (rc != SQLITE_OK)
			return sqlite_errno(s->file.db, rc);
	}
	return s->log_is_new ? 0 : state_dir_sync(s->dir);
}

/* Of the log into the file. One that is cut to nothing has no frames that count. */
static void write_back(struct sqlite_store *s, int mode)
{
	int rc = sqlite3_wal_checkpoint_v2(s->file.db, "main", mode, NULL, NULL);

	if (rc != SQLITE_OK)
		s->checkpoint_at = s->n_frames + CHECKPOINT_FRAMES;
	else
		s->checkpoint_at = CHECKPOINT_FRAMES;
	if (rc == SQLITE_OK && mode == SQLITE_CHECKPOINT_TRUNCATE)
		s->n_frames = 0;
	(void)sqlite_store_result(s, rc);
}

void sqlite_store_start_changing(struct sqlite_store *s)
{
	sqlite_file_may_change(&s->file, true);
	(void)sqlite3_wal_hook(s->file.db, on_commit, s);
	s->trusted = true;
	s->broken = false;
	s->n_frames = -1;
	memset(s->salt, 0, sizeof(s->salt));
	sqlite_store_note_names(s);
	/*
	 * What an agent that was killed has left in the log, so that it is known how much of that
	 * counts. A full disk may forbid it; that is no reason not to start.
	 */
	write_back(s, SQLITE_CHECKPOINT_TRUNCATE);
}

int sqlite_store_empty_log(struct sqlite_store *s)
{
	sqlite3_file *log = log_of(s);
	sqlite3_int64 size = 0;
	int rc;

	write_back(s, SQLITE_CHECKPOINT_TRUNCATE);
	if (s->broken)
		return -EIO;
	if (!log)
		return 0;
	rc = log->pMethods->xFileSize(log, &size);
	if (rc == SQLITE_OK && size > 0)
		return s->short_of_room ? -ENOSPC : -EBUSY;
	if (rc == SQLITE_OK)
		rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
	return sqlite_store_result(s, rc);
}

/*
 * SQLite's own checkpoints, which follow a commit, keep their failures to themselves; so it makes
 * none.
 */
void sqlite_store_settle(struct store_backend *b)
{
	struct sqlite_store *s = store_of(b);

	if (s->broken)
		return;
	/* On a full disk the log begins anew in the room it has, once all of it is in the file. */
	if (s->short_of_room || s->n_frames >= s->checkpoint_at) {
		s->short_of_room = false;
		write_back(s, SQLITE_CHECKPOINT_PASSIVE);
	}
}
