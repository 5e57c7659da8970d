/*
 * agent/names-lookup.h - one look-up by NSS: takes its time, so only the thread of names.c calls
 * these.
 */
#pragma once

#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"

enum { LOOKUP_GROUPS_MAX = 65536 + 1 };

/*
 * What is called: as the functions of libc of these names, which names_libc has. Others are for
 * tests.
 */
struct names_functions {
	int (*getpwuid_r)(uid_t uid, struct passwd *pwd, char *buf, size_t size,
			  struct passwd **ret);
	int (*getpwnam_r)(const char *name, struct passwd *pwd, char *buf, size_t size,
			  struct passwd **ret);
	int (*getgrnam_r)(const char *name, struct group *grp, char *buf, size_t size,
			  struct group **ret);
	int (*getgrouplist)(const char *user, gid_t group, gid_t *groups, int *n);
};
extern const struct names_functions names_libc;

/*
 * Each returns 1 where it exists, 0 where it surely does not, or a negative errno where there was
 * no answer.
 */

/*
 * The account of a uid and its groups, each once, in order, with the primary one. *ret_name and
 * *ret_groups are the caller's. An account whose name is not UTF-8 is none.
 */
int lookup_user(const struct names_functions *fns, uid_t uid, char **ret_name, gid_t **ret_groups,
		size_t *ret_n_groups) MUST_USE;

/* The number of a name. */
int lookup_user_id(const struct names_functions *fns, const char *name, uid_t *ret) MUST_USE;
int lookup_group_id(const struct names_functions *fns, const char *name, gid_t *ret) MUST_USE;
