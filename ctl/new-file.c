/*
 * ctl/new-file.c - see new-file.h. A part with a name of its own, rather than a file with none
 * (O_TMPFILE): sticks and network shares, where backups go, have no such thing.
 */
#include "ctl/new-file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool is_there(int dir_fd, const char *name)
{
	return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int begin(struct new_file *f)
{
	if (is_there(f->dir_fd, f->name))
		return -EEXIST;
	if (unlinkat(f->dir_fd, f->part, 0) < 0 && errno != ENOENT)
		return -errno;
	f->fd = openat(f->dir_fd, f->part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       0600);
	if (f->fd < 0)
		return -errno;
	return fchmod(f->fd, 0600) < 0 ? -errno : 0;
}

int new_file_begin(int dir_fd, const char *name, struct new_file *ret)
{
	struct new_file f = { .dir_fd = dir_fd, .fd = -1 };
	int r = -ENAMETOOLONG;

	if (strlen(name) <= NEW_FILE_NAME_MAX) {
		strcpy(f.name, name);
		snprintf(f.part, sizeof(f.part), "%s.part", name);
		r = begin(&f);
	}
	if (r < 0) {
		new_file_drop(&f);
		return r;
	}
	*ret = f;
	return 0;
}

int new_file_begin_at(const char *path, struct new_file *ret)
{
	char dir[PATH_MAX], base[PATH_MAX];
	int dir_fd;

	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (!*path || path[strlen(path) - 1] == '/')
		return -EISDIR;
	strcpy(dir, path);
	strcpy(base, path);
	dir_fd = open(dirname(dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return -errno;
	return new_file_begin(dir_fd, basename(base), ret);
}

/* Not every file system can refuse to replace while it renames. */
static int give_name(const struct new_file *f)
{
	if (renameat2(f->dir_fd, f->part, f->dir_fd, f->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (is_there(f->dir_fd, f->name))
		return -EEXIST;
	return renameat(f->dir_fd, f->part, f->dir_fd, f->name) < 0 ? -errno : 0;
}

static void forget(struct new_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->dir_fd >= 0)
		close(f->dir_fd);
	*f = NEW_FILE_NONE;
}

int new_file_finish(struct new_file *f)
{
	int r = fsync(f->fd) < 0 ? -errno : give_name(f);

	if (r < 0) {
		new_file_drop(f);
		return r;
	}
	/* EINVAL: this file system has no such thing. */
	if (fsync(f->dir_fd) < 0 && errno != EINVAL) {
		r = -errno;
		(void)unlinkat(f->dir_fd, f->name, 0);
	}
	forget(f);
	return r;
}

void new_file_drop(struct new_file *f)
{
	if (f->fd >= 0)
		(void)unlinkat(f->dir_fd, f->part, 0);
	forget(f);
}
