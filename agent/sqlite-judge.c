/*
 * agent/sqlite-judge.c - what can be said of a store's files without SQLite, which mends, makes and
 * removes files as a matter of course. Only what passes here is shown to it.
 */
#include "agent/sqlite-file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/store-wal.h"
#include "protocol/base/fd.h"

int sqlite_file_damaged(const struct state_dir *dir, const char *name, struct store_error *e)
{
	if (dir->memory)
		return store_fail(e, -EBADMSG, "what Storage=volatile holds in memory is damaged (%s)",
				  name);
	return store_fail(e, -EBADMSG,
			  "%s/%s is damaged: put back a backup, or move it and its store.db-wal "
			  "away to start with an empty store",
			  dir->path, name);
}

int sqlite_file_newer(const struct state_dir *dir, uint32_t version, struct store_error *e)
{
	return store_fail(e, -EPROTONOSUPPORT,
			  "%s/%s was written by a newer Jeton (format %u; this one knows %d): "
			  "install that again",
			  dir->path, STORE_FILE, version, STORE_FORMAT);
}

static int not_ours(const struct state_dir *dir, const char *name, const char *what,
		    struct store_error *e)
{
	return store_fail(
		e, -EMEDIUMTYPE,
		"%s/%s is %s: move it away, or give the agent another directory (--state)",
		dir->path, name, what);
}

/*
 * Whether its second name is the one that a store of before is kept under: both name it between two
 * steps of its being taken over.
 */
static bool is_kept_twice(const struct state_dir *dir, const struct stat *st)
{
	struct stat old;

	return st->st_nlink == 2 &&
	       fstatat(dir->fd, STORE_OLD_FILE, &old, AT_SYMLINK_NOFOLLOW) == 0 &&
	       old.st_dev == st->st_dev && old.st_ino == st->st_ino;
}

/*
 * Whether the file may be one that the agent made: nobody else can have put it there or reach it
 * under another name.
 */
static int judge_owner(const struct state_dir *dir, const char *name, int fd, struct store_error *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return store_fail(e, -errno, "can't look at %s/%s: %s", dir->path, name,
				  strerror(errno));
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return store_fail(e, -EPERM,
				  "%s/%s belongs to uid %u: \"chown %u\" it if it is the agent's",
				  dir->path, name, st.st_uid, geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return store_fail(
			e, -EPERM,
			"%s/%s can be written to by others (mode %04o): \"chmod 0600\" it",
			dir->path, name, st.st_mode & 07777);
	if (st.st_nlink > 1 && !is_kept_twice(dir, &st))
		return store_fail(e, -EMLINK, "%s/%s has %lu names (hard links): remove the others",
				  dir->path, name, (unsigned long)st.st_nlink);
	return 0;
}

/* A descriptor; -ENOENT, without *e, where there is no such file. */
static int open_judged(const struct state_dir *dir, const char *name, struct store_error *e)
{
	_cleanup_close_ int fd = state_dir_open_file(dir, name, O_RDONLY);
	int r;

	if (fd == -ENOENT)
		return fd;
	if (fd == -ELOOP)
		return not_ours(dir, name, "a symbolic link", e);
	if (fd == -EMEDIUMTYPE)
		return not_ours(dir, name, "no plain file", e);
	if (fd < 0)
		return store_fail(e, fd, "can't open %s/%s: %s", dir->path, name, strerror(-fd));
	r = judge_owner(dir, name, fd, e);
	return r < 0 ? r : steal_fd(&fd);
}

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Of the file's first 100 bytes, those that never change once a store is made. */
static bool header_is_sound(const uint8_t *h)
{
	static const uint8_t zeros[20];

	return h[16] << 8 == STORE_PAGE_SIZE && h[17] == 0 && h[18] == 2 && h[19] == 2 &&
	       h[20] == 0 && h[21] == 64 && h[22] == 32 && h[23] == 32 && get_be32(h + 44) == 4 &&
	       get_be32(h + 52) == 0 && get_be32(h + 56) == 1 && get_be32(h + 64) == 0 &&
	       memcmp(h + 72, zeros, sizeof(zeros)) == 0;
}

static int judge_header(const struct state_dir *dir, int fd, struct store_error *e)
{
	uint8_t h[100];
	ssize_t n = fd_read_all(fd, h, sizeof(h));

	if (n < 0)
		return store_fail(e, (int)n, "can't read %s/%s: %s", dir->path, STORE_FILE,
				  strerror((int)-n));
	if ((size_t)n < sizeof(h) || memcmp(h, "SQLite format 3", 16) != 0)
		return not_ours(dir, STORE_FILE,
				"not a store of Jeton's (or its first bytes are damaged)", e);
	if (get_be32(h + 68) != STORE_APPLICATION_ID)
		return not_ours(dir, STORE_FILE, "an SQLite database, but not a store of Jeton's",
				e);
	if (get_be32(h + 60) > STORE_FORMAT)
		return sqlite_file_newer(dir, get_be32(h + 60), e);
	return header_is_sound(h) ? 0 : sqlite_file_damaged(dir, STORE_FILE, e);
}

int sqlite_file_judge_new(const struct state_dir *dir)
{
	_cleanup_close_ int fd = state_dir_open_file(dir, STORE_NEW_FILE, O_RDONLY);
	uint8_t h[100];
	ssize_t n;

	if (fd < 0)
		return fd;
	n = fd_read_all(fd, h, sizeof(h));
	if (n < 0)
		return (int)n;
	return n == (ssize_t)sizeof(h) && header_is_sound(h) ? 0 : -EIO;
}

/*
 * A log that an agent left which did not stop by itself. What that one failed to bring to the disk
 * may still look whole in the page cache: it is synced and dropped from there, so that what is read
 * is what would survive.
 */
static int judge_log(const struct state_dir *dir, struct store_error *e)
{
	_cleanup_close_ int fd = open_judged(dir, STORE_LOG, e);
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if (fdatasync(fd) < 0)
		return store_fail(e, -errno, "can't bring %s/%s to the disk: %s", dir->path,
				  STORE_LOG, strerror(errno));
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	r = wal_check(fd);
	if (r == -EBADMSG)
		return sqlite_file_damaged(dir, STORE_LOG, e);
	return r < 0 ? store_fail(e, r, "can't read %s/%s: %s", dir->path, STORE_LOG, strerror(-r))
		     : 0;
}

/*
 * No store: but then nothing that belongs to one may lie there either, or a new store would be
 * mixed with it.
 */
static int judge_nothing(const struct state_dir *dir, struct store_error *e)
{
	int r = state_dir_has(dir, STORE_LOG);

	if (r < 0)
		return store_fail(e, r, "can't look at %s/%s: %s", dir->path, STORE_LOG,
				  strerror(-r));
	if (r > 0)
		return store_fail(e, -EBADMSG,
				  "%s/%s is missing, but its log store.db-wal is there: put it "
				  "back, or move that away too",
				  dir->path, STORE_FILE);
	return 0;
}

int sqlite_file_judge(const struct state_dir *dir, struct store_error *e)
{
	_cleanup_close_ int fd = open_judged(dir, STORE_FILE, e);
	struct stat st;
	int r;

	if (fd == -ENOENT)
		return judge_nothing(dir, e);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return store_fail(e, -errno, "can't look at %s/%s: %s", dir->path, STORE_FILE,
				  strerror(errno));
	/* A first start never leaves it so: it makes the store under another name. */
	if (st.st_size == 0)
		return sqlite_file_damaged(dir, STORE_FILE, e);
	r = judge_header(dir, fd, e);
	if (r < 0)
		return r;
	r = state_dir_has(dir, STORE_JOURNAL);
	if (r != 0)
		return not_ours(dir, STORE_JOURNAL, "a journal, which a store of Jeton's never has",
				e);
	r = judge_log(dir, e);
	return r < 0 ? r : 1;
}
