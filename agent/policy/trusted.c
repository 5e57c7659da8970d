/*
 * agent/policy/trusted.c
 *
 * Everything is judged on the open descriptor, so that nothing can be put in its place between the
 * look and the read; a file is opened relative to the directory that was judged. O_NONBLOCK keeps a
 * FIFO or a device from holding the agent up.
 */
#include "agent/policy/trusted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "protocol/base/fd.h"
#include "protocol/base/parse.h"

/* Whether no one but root and `trusted` could have written it. */
static int judge_writers(const struct stat *st, const char *path, uid_t trusted,
			 struct policy_error *e)
{
	if (trusted == TRUST_ANYONE)
		return 0;
	if (st->st_uid != 0 && st->st_uid != trusted) {
		if (trusted == 0)
			return policy_mistake(
				e, path, 0,
				"owned by uid %u; only what root owns is read (chown root it)",
				st->st_uid);
		return policy_mistake(
			e, path, 0,
			"owned by uid %u; only what root or uid %u owns is read (chown root it)",
			st->st_uid, trusted);
	}
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return policy_mistake(e, path, 0,
				      "others than its owner can write to it (mode %04o), so it is "
				      "not read (chmod go-w it)",
				      st->st_mode & 07777);
	return 0;
}

int trusted_open_dir(const char *path, uid_t trusted, int *ret_fd, struct policy_error *ret_error)
{
	_cleanup_close_
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 && errno == ENOTDIR)
		return policy_mistake(ret_error, path, 0,
				      "not a directory; move it away or name a directory");
	if (fd < 0 || fstat(fd, &st) < 0)
		return policy_mistake(ret_error, path, 0, "the directory cannot be opened: %s",
				      strerror(errno));
	r = judge_writers(&st, path, trusted, ret_error);
	if (r < 0)
		return r;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static bool is_dev_null(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

static bool same_content(const struct stat *a, const struct stat *b)
{
	return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int judge_file(const struct stat *st, const char *path, uid_t trusted,
		      struct policy_error *e)
{
	if (!S_ISREG(st->st_mode))
		return policy_mistake(e, path, 0, "%s, where a regular file is needed",
				      S_ISDIR(st->st_mode) ? "a directory"
							   : "a device, FIFO or socket");
	if (st->st_size > TRUSTED_FILE_MAX)
		return policy_mistake(e, path, 0, "%jd bytes long; a file may have %d, split it",
				      (intmax_t)st->st_size, TRUSTED_FILE_MAX);
	return judge_writers(st, path, trusted, e);
}

static int read_text(int fd, const struct stat *st, const char *path, struct span *ret,
		     struct policy_error *e)
{
	size_t size = (size_t)st->st_size;
	_cleanup_free_
	char *text = malloc(size + 1);
	struct stat after;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	n = fd_read_all(fd, text, size + 1);
	if (n < 0)
		return policy_mistake(e, path, 0, "cannot be read: %s", strerror((int)-n));
	if ((size_t)n != size || fstat(fd, &after) < 0 || !same_content(st, &after))
		return policy_mistake(e, path, 0,
				      "it changed while it was read; reload when it is whole");
	text[size] = '\0';
	*ret = (struct span){ STEAL_PTR(text), size };
	return 0;
}

int trusted_read_file(int dir_fd, const char *name, const char *path, uid_t trusted,
		      struct span *ret_text, struct policy_error *ret_error)
{
	_cleanup_close_
	int fd = openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st) < 0)
		return policy_mistake(ret_error, path, 0, "cannot be opened: %s", strerror(errno));
	if (is_dev_null(&st))
		return 0;
	r = judge_file(&st, path, trusted, ret_error);
	if (r == 0)
		r = read_text(fd, &st, path, ret_text, ret_error);
	return r < 0 ? r : 1;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int add_name(struct trusted_names *names, const char *name)
{
	char **grown = reallocarray(names->names, names->n + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	names->names = grown;
	names->names[names->n] = strdup(name);
	return names->names[names->n] ? (names->n++, 0) : -ENOMEM;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int trusted_list(int dir_fd, const char *path, struct trusted_names *ret,
		 struct policy_error *ret_error)
{
	_cleanup_(trusted_names_done)
	struct trusted_names names = { NULL, 0 };
	_cleanup_close_
	int fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	_cleanup_(closedirp)
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return policy_mistake(ret_error, path, 0, "cannot be listed: %s", strerror(errno));
	steal_fd(&fd);
	rewinddir(dir);
	while (errno = 0, (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (add_name(&names, entry->d_name) < 0)
			return -ENOMEM;
	}
	if (errno != 0)
		return policy_mistake(ret_error, path, 0, "cannot be listed: %s", strerror(errno));
	if (names.n > 1)
		qsort(names.names, names.n, sizeof(*names.names), compare_names);
	*ret = names;
	names = (struct trusted_names){ NULL, 0 };
	return 0;
}

void trusted_names_done(struct trusted_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->names[i]);
	free(names->names);
	*names = (struct trusted_names){ NULL, 0 };
}

char *trusted_path(const char *dir, const char *name)
{
	size_t n = strlen(dir);
	bool slash = n > 0 && dir[n - 1] == '/';
	char *path;

	if (asprintf(&path, "%s%s%s", dir, slash ? "" : "/", name) < 0)
		return NULL;
	if (!utf8_clean(span_of(path)))
		for (char *c = path; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
	return path;
}
