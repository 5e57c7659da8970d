/*
 * agent/state-dir.c - nothing here goes by a path twice: what was judged is what the descriptor
 * stands for, and files are opened in it by their own name, without following links.
 */
#include "agent/state-dir.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "agent/memory-dir.h"

int store_fail(struct store_error *e, int r, const char *format, ...)
{
	va_list args;

	if (e) {
		va_start(args, format);
		vsnprintf(e->text, sizeof(e->text), format, args);
		va_end(args);
	}
	return r;
}

/* The path without the slashes at its end, which would let the last part be a link. */
static int trim_path(const char *path, char dst[static PATH_MAX])
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	if (n == 0)
		return -ENOENT;
	if (n >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(dst, path, n);
	dst[n] = '\0';
	return 0;
}

static int open_error(const char *path, int r, struct store_error *e)
{
	struct stat st;

	if (r == -ENOENT)
		return store_fail(e, r,
				  "%s does not exist: make it with \"mkdir -m 0700\", owned by the "
				  "agent's user",
				  path);
	if (r == -ELOOP || (r == -ENOTDIR && lstat(path, &st) == 0 && S_ISLNK(st.st_mode)))
		return store_fail(e, -ELOOP,
				  "%s is a symbolic link: name the directory that it points to",
				  path);
	if (r == -ENOTDIR)
		return store_fail(e, r,
				  "%s is no directory: move it away, or give the agent another one "
				  "(--state, --anchor)",
				  path);
	if (r == -EACCES)
		return store_fail(e, r, "the directory %s may not be opened: \"chown %u\" it", path,
				  geteuid());
	return store_fail(e, r, "can't open the directory %s: %s", path, strerror(-r));
}

static int judge_dir(const char *path, int fd, struct store_error *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return store_fail(e, -errno, "can't look at %s: %s", path, strerror(errno));
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return store_fail(
			e, -EPERM,
			"%s belongs to uid %u, who could change what is in it: \"chown %u\" it",
			path, st.st_uid, geteuid());
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return store_fail(e, -EPERM,
				  "%s can be written to by others (mode %04o): \"chmod 0700\" it",
				  path, st.st_mode & 07777);
	return 0;
}

/*
 * SQLite goes by path, so it gets one that has no links in it and stands for this very directory.
 */
static int real_path(int fd, char dst[static PATH_MAX])
{
	struct stat by_path, by_fd;
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, dst, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	dst[n] = '\0';
	if (stat(dst, &by_path) < 0 || fstat(fd, &by_fd) < 0)
		return -errno;
	return by_path.st_dev == by_fd.st_dev && by_path.st_ino == by_fd.st_ino ? 0 : -ESTALE;
}

int state_dir_open(const char *path, struct state_dir *ret, struct store_error *e)
{
	_cleanup_close_ int fd = -1;
	struct state_dir d = STATE_DIR_NONE;
	char trimmed[PATH_MAX];
	int r;

	r = trim_path(path, trimmed);
	if (r < 0)
		return store_fail(e, r, "\"%.200s\" can't be a state directory: %s", path,
				  strerror(-r));
	fd = open(trimmed, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return open_error(trimmed, -errno, e);
	r = judge_dir(trimmed, fd, e);
	if (r < 0)
		return r;
	r = real_path(fd, d.path);
	if (r < 0)
		return store_fail(e, r, "can't find the real path of %s (is /proc mounted?): %s",
				  trimmed, strerror(-r));
	d.fd = steal_fd(&fd);
	*ret = d;
	return 0;
}

void state_dir_open_memory(struct memory_dir *memory, struct state_dir *ret)
{
	*ret = (struct state_dir){ .fd = -1, .memory = memory, .path = "memory" };
}

int state_dir_lock(const struct state_dir *d, struct store_error *e)
{
	/* Who has its descriptors is the only one to have it. */
	if (d->memory)
		return 0;
	if (flock(d->fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return store_fail(e, -EWOULDBLOCK,
				  "another agent is using %s: stop it, or give this one a "
				  "directory of its own (--state)",
				  d->path);
	return store_fail(e, -errno, "can't lock %s: %s", d->path, strerror(errno));
}

int state_dir_sync(const struct state_dir *d)
{
	return !d->memory && fsync(d->fd) < 0 ? -errno : 0;
}

void state_dir_close(struct state_dir *d)
{
	if (d->fd >= 0)
		close(d->fd);
	*d = STATE_DIR_NONE;
}

int state_dir_remove(const struct state_dir *d, const char *name)
{
	if (d->memory)
		return memory_dir_remove(d->memory, name);
	return unlinkat(d->fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int state_dir_rename(const struct state_dir *d, const char *from, const char *to)
{
	if (d->memory)
		return memory_dir_rename(d->memory, from, to);
	return renameat(d->fd, from, d->fd, to) < 0 ? -errno : 0;
}

/* A name may stand for anything: O_NONBLOCK keeps a FIFO from holding up whoever opens it. */
int state_dir_open_file(const struct state_dir *d, const char *name, int flags)
{
	bool is_new = flags & O_CREAT;
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (d->memory)
		return memory_dir_open_file(d->memory, name, flags);
	flags |= O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (is_new ? O_EXCL : 0);
	fd = openat(d->fd, name, flags, 0600);
	if (fd < 0)
		return errno == ENXIO ? -EMEDIUMTYPE : -errno;
	if (is_new && fchmod(fd, 0600) < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EMEDIUMTYPE;
	return steal_fd(&fd);
}

bool state_dir_is_there(const struct state_dir *d, const char *name)
{
	if (d->memory)
		return memory_dir_is_there(d->memory, name);
	return faccessat(d->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int state_dir_has(const struct state_dir *d, const char *name)
{
	struct stat st;

	if (d->memory) {
		long long n = memory_dir_size(d->memory, name);

		return n == -ENOENT ? 0 : n < 0 ? (int)n : n > 0;
	}
	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	return !S_ISREG(st.st_mode) || st.st_size > 0;
}
