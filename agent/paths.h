/* agent/paths.h - where things are: by option, by what systemd says, or in their usual places. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"

/* Strings are the caller's, or live as long as the process. */
struct paths {
	const char *socket;
	const char *credential_socket; /* NULL: none */
	const char *config;
	bool config_given; /* by option: then it must be there */
	const char *policy_dirs[3];
	size_t n_policy_dirs;
	const char *state;
	const char *anchor;  /* the directory of what tells an old copy of the store; NULL: none */
	const char *journal; /* where entries of the audit go; NULL: nowhere */
};

/*
 * Fills in what is NULL (or none). user: a user's own agent, in the XDG base directories. Returns
 * 0; -ENOMEM; or -ENOENT, with *ret_missing the name of the environment variable that would tell.
 */
int paths_complete(struct paths *p, bool user, const char **ret_missing) MUST_USE;

/*
 * Makes the directory that the first n bytes of path name, with those above it, where they are
 * missing. 0 or a negative errno.
 */
int directory_make(const char *path, size_t n, mode_t mode);
