/*
 * agent/lock-file.c - see lock-file.h. The name counts: what stands under the others is nothing, and
 * is overwritten by the next one.
 */
#include "agent/lock-file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/base/fd.h"

#define LOCK_FILE "locked"
#define NEW_LOCK_FILE "locked.new"
#define OLD_LOCK_FILE "locked.old"

/* ---- reading --------------------------------------------------------------------------------- */

static int judge(const char *path, const struct stat *st, struct store_error *e)
{
	if (st->st_uid != geteuid())
		return store_fail(e, -EPERM, "%s belongs to uid %u: \"chown %u\" it", path,
				  st->st_uid, geteuid());
	if (st->st_mode & (S_IRWXG | S_IRWXO))
		return store_fail(e, -EPERM,
				  "%s can be reached by others (mode %04o): \"chmod 0600\" it",
				  path, st->st_mode & 07777);
	return 0;
}

/* The ways out: what it needs to be opened, or root's. */
static int refuse(const struct state_dir *d, const char *path, int r, struct store_error *e)
{
	if (d->memory)
		return store_fail(
			e, -EBADMSG,
			"what is held in memory says that this agent is locked, but it is "
			"damaged or was altered");
	if (r == -EPROTONOSUPPORT)
		return store_fail(e, r,
				  "%s was written by a newer Jeton: install that one again, or "
				  "remove the file, which unlocks this agent",
				  path);
	return store_fail(
		e, r,
		"%s says that this agent is locked, but it %s: put back the file as it "
		"was, or remove it, which unlocks this agent",
		path, r == -EMEDIUMTYPE ? "was not written by Jeton" : "is damaged or was altered");
}

static int read_whole(const struct state_dir *d, int fd, const char *path, struct lockbox *ret,
		      struct store_error *e)
{
	uint8_t data[LOCKBOX_LEN + 1];
	ssize_t n = fd_read_all(fd, data, sizeof(data));
	int r;

	if (n < 0)
		return store_fail(e, (int)n, "can't read %s: %s", path, strerror((int)-n));
	r = lockbox_read(data, (size_t)n, ret);
	return r < 0 ? refuse(d, path, r, e) : 1;
}

int lock_file_read(const struct state_dir *d, struct lockbox *ret, struct store_error *e)
{
	_cleanup_close_ int fd = state_dir_open_file(d, LOCK_FILE, O_RDONLY);
	char path[PATH_MAX + sizeof("/" LOCK_FILE)];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%s/" LOCK_FILE, d->path);
	if (fd == -ENOENT)
		return 0;
	if (fd == -ELOOP || fd == -EMEDIUMTYPE)
		return refuse(d, path, -EMEDIUMTYPE, e);
	if (fd < 0 || fstat(fd, &st) < 0)
		return store_fail(e, fd < 0 ? fd : -errno, "can't open %s: %s", path,
				  strerror(fd < 0 ? -fd : errno));
	/* What is in memory has neither an owner nor a mode of its own. */
	r = d->memory ? 0 : judge(path, &st, e);
	return r < 0 ? r : read_whole(d, fd, path, ret, e);
}

/* ---- changing -------------------------------------------------------------------------------- */

static int write_new(const struct state_dir *d, const struct lockbox *box)
{
	_cleanup_close_ int fd = -1;
	uint8_t data[LOCKBOX_LEN];
	int r;

	r = state_dir_remove(d, NEW_LOCK_FILE);
	if (r < 0)
		return r;
	fd = state_dir_open_file(d, NEW_LOCK_FILE, O_WRONLY | O_CREAT);
	if (fd < 0)
		return fd;
	lockbox_write(box, data);
	r = fd_write_all(fd, data, sizeof(data));
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int lock_file_write(const struct state_dir *d, const struct lockbox *box)
{
	int r = write_new(d, box);

	if (r == 0)
		r = state_dir_rename(d, NEW_LOCK_FILE, LOCK_FILE);
	if (r == 0)
		r = state_dir_sync(d);
	if (r == 0)
		return 0;
	(void)state_dir_remove(d, NEW_LOCK_FILE);
	(void)state_dir_remove(d, LOCK_FILE);
	return r;
}

/* By way of another name, from which it comes back where the directory can't be synced. */
int lock_file_remove(const struct state_dir *d)
{
	int r = state_dir_rename(d, LOCK_FILE, OLD_LOCK_FILE), back;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = state_dir_sync(d);
	if (r == 0) {
		(void)state_dir_remove(d, OLD_LOCK_FILE);
		return 0;
	}
	back = state_dir_rename(d, OLD_LOCK_FILE, LOCK_FILE);
	return back < 0 ? back : r;
}
