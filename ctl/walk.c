/*
 * ctl/walk.c - the files below a path, on fts(3).
 *
 * What is opened is judged again once it is open, as it may have become something else meanwhile:
 * no link is followed, and O_NONBLOCK keeps a pipe or device that took a file's place from holding
 * up the walk.
 */
#include "ctl/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/*
 * Whether files there are the kernel's answers rather than somebody's bytes: endless, or waiting
 * for events.
 */
static bool is_kernels(const char *path)
{
	static const unsigned long kinds[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC,	       DEBUGFS_MAGIC,	   TRACEFS_MAGIC,
		SECURITYFS_MAGIC, CGROUP2_SUPER_MAGIC, CGROUP_SUPER_MAGIC, BPF_FS_MAGIC,
	};
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if ((unsigned long)fs.f_type == kinds[i])
			return true;
	return false;
}

/* named: on the command line. */
static int open_file(const char *path, bool named)
{
	_cleanup_close_ int fd = -1;
	struct stat st;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (named ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !(named && S_ISFIFO(st.st_mode)))
		return -EINVAL;
	return steal_fd(&fd);
}

static int take_file(const char *path, bool named, const struct walker *w)
{
	_cleanup_close_ int fd = open_file(path, named);

	if (fd >= 0)
		return w->on_file(w->userdata, path, fd);
	/* A link or device that took a file's place is passed over as if it had always been one. */
	if (named || (fd != -EINVAL && fd != -ELOOP))
		w->on_error(w->userdata, path, -fd);
	return 0;
}

static int take_entry(FTS *fts, FTSENT *e, const struct walker *w)
{
	bool named = e->fts_level == FTS_ROOTLEVEL;

	switch (e->fts_info) {
	case FTS_D:
		if (!named && e->fts_dev != e->fts_parent->fts_dev && is_kernels(e->fts_accpath)) {
			fts_set(fts, e, FTS_SKIP);
			return 0;
		}
		return w->on_path(w->userdata, e->fts_path);
	case FTS_F:
		if (w->on_path(w->userdata, e->fts_path) != 0)
			return 1;
		return take_file(e->fts_accpath, named, w);
	case FTS_DEFAULT: /* sockets, devices, pipes */
		return named ? take_file(e->fts_accpath, named, w) : 0;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		w->on_error(w->userdata, e->fts_path, e->fts_errno);
		return 0;
	default: /* links, directories on the way back */
		return 0;
	}
}

int walk_path(const char *path, const struct walker *w)
{
	char *const paths[] = { (char *)path, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR, NULL);
	FTSENT *e;
	int r = 0;

	if (!fts) {
		w->on_error(w->userdata, path, errno);
		return 0;
	}
	while (r == 0 && (e = fts_read(fts)) != NULL)
		r = take_entry(fts, e, w);
	fts_close(fts);
	return r;
}
