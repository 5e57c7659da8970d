/*
 * agent/names-lookup.c
 *
 * NSS says "no such name" and "I could not find out" in ways that differ from module to module; the
 * difference decides whether a user loses access, so what is not surely the first is taken for the
 * second.
 */
#include "agent/names-lookup.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "protocol/base/parse.h"

enum { BUFFER_FIRST = 1024, BUFFER_MOST = 16 * 1024 * 1024, GROUPS_FIRST = 64 };

const struct names_functions names_libc = { getpwuid_r, getpwnam_r, getgrnam_r, getgrouplist };

/* What is looked up, and where the answer goes. */
struct lookup {
	const struct names_functions *fns;
	uid_t uid;
	const char *name;
	union {
		struct passwd passwd;
		struct group group;
	};
	char *buffer; /* that the answer's texts are in; to be freed */
};

/* One try with a buffer of some size: an errno, or 0 with *ret_found. */
typedef int try_fn(struct lookup *l, size_t size, bool *ret_found);

static int try_uid(struct lookup *l, size_t size, bool *ret_found)
{
	struct passwd *result = NULL;
	int r = l->fns->getpwuid_r(l->uid, &l->passwd, l->buffer, size, &result);

	*ret_found = result;
	return r;
}

static int try_user(struct lookup *l, size_t size, bool *ret_found)
{
	struct passwd *result = NULL;
	int r = l->fns->getpwnam_r(l->name, &l->passwd, l->buffer, size, &result);

	*ret_found = result;
	return r;
}

static int try_group(struct lookup *l, size_t size, bool *ret_found)
{
	struct group *result = NULL;
	int r = l->fns->getgrnam_r(l->name, &l->group, l->buffer, size, &result);

	*ret_found = result;
	return r;
}

/* Tries with ever larger buffers. */
static int look_up(struct lookup *l, try_fn *try)
{
	for (size_t size = BUFFER_FIRST; size <= BUFFER_MOST; size *= 2) {
		bool found = false;
		int r;

		free(l->buffer);
		l->buffer = malloc(size);
		if (!l->buffer)
			return -ENOMEM;
		do
			r = try(l, size, &found);
		while (r == EINTR);
		if (r == 0 || r == ENOENT || r == ESRCH)
			return r == 0 && found;
		if (r != ERANGE)
			return -r;
	}
	return -E2BIG;
}

static int compare_gids(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return (x > y) - (x < y);
}

static size_t sort_once(gid_t *groups, size_t n)
{
	size_t kept = 0;

	qsort(groups, n, sizeof(*groups), compare_gids);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || groups[kept - 1] != groups[i])
			groups[kept++] = groups[i];
	return kept;
}

static int look_up_groups(const struct names_functions *fns, const struct passwd *pw, gid_t **ret,
			  size_t *ret_n)
{
	_cleanup_free_
	gid_t *groups = NULL;

	for (int size = GROUPS_FIRST; size <= LOOKUP_GROUPS_MAX;) {
		int n = size;

		free(groups);
		groups = reallocarray(NULL, (size_t)size, sizeof(*groups));
		if (!groups)
			return -ENOMEM;
		if (fns->getgrouplist(pw->pw_name, pw->pw_gid, groups, &n) >= 0) {
			if (n < 1 || n > size)
				return -EIO;
			*ret_n = sort_once(groups, (size_t)n);
			*ret = STEAL_PTR(groups);
			return 0;
		}
		/* It says how many there are; they may have become more since. */
		size = n > size ? n : size * 2;
	}
	return -E2BIG;
}

int lookup_user(const struct names_functions *fns, uid_t uid, char **ret_name, gid_t **ret_groups,
		size_t *ret_n_groups)
{
	struct lookup l = { .fns = fns, .uid = uid };
	_cleanup_free_
	char *name = NULL;
	int r = look_up(&l, try_uid);

	/* What no reply could say, and no policy name, is as good as no name. */
	if (r > 0 && !utf8_valid(span_of(l.passwd.pw_name)))
		r = 0;
	if (r > 0) {
		name = strdup(l.passwd.pw_name);
		if (!name)
			r = -ENOMEM;
		else if (look_up_groups(fns, &l.passwd, ret_groups, ret_n_groups) < 0)
			r = -EIO;
	}
	free(l.buffer);
	if (r > 0)
		*ret_name = STEAL_PTR(name);
	return r;
}

/* The highest number is nobody's. */
int lookup_user_id(const struct names_functions *fns, const char *name, uid_t *ret)
{
	struct lookup l = { .fns = fns, .name = name };
	int r = look_up(&l, try_user);

	if (r > 0 && l.passwd.pw_uid == (uid_t)-1)
		r = 0;
	if (r > 0)
		*ret = l.passwd.pw_uid;
	free(l.buffer);
	return r;
}

int lookup_group_id(const struct names_functions *fns, const char *name, gid_t *ret)
{
	struct lookup l = { .fns = fns, .name = name };
	int r = look_up(&l, try_group);

	if (r > 0 && l.group.gr_gid == (gid_t)-1)
		r = 0;
	if (r > 0)
		*ret = l.group.gr_gid;
	free(l.buffer);
	return r;
}
