/*
 * agent/policy/trusted.h - files and directories that are only read where no one but the trusted
 * could have written them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "agent/policy/error.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum { TRUSTED_FILE_MAX = 1024 * 1024 };

/*
 * Who may own what is read, beside root. TRUST_ANYONE: neither owners nor modes are judged.
 */
#define TRUST_ANYONE ((uid_t)-1)

/*
 * Opens a directory (links are followed) and judges what was opened: owned by root or `trusted`,
 * writable by no one else.
 * Returns 0 with a descriptor that is the caller's to close; -ENOENT where there is none; -EINVAL
 * with *ret_error.
 */
int trusted_open_dir(const char *path, uid_t trusted, int *ret_fd, struct policy_error *ret_error)
	MUST_USE;

/*
 * Reads the whole of the file `name` in an open directory (or AT_FDCWD); `path` is what messages
 * call it. Links are followed; what was opened is judged as a directory is, must be a regular file
 * of at most TRUSTED_FILE_MAX bytes, and must not change meanwhile. Never waits, whatever stands
 * there.
 * Returns 1 with *ret_text (the caller's to free(); its p is never NULL and has a NUL after the
 * text); 0 where it is a link to /dev/null, which stands for nothing; -ENOENT where there is none;
 * -EINVAL with *ret_error; -ENOMEM.
 */
int trusted_read_file(int dir_fd, const char *name, const char *path, uid_t trusted,
		      struct span *ret_text, struct policy_error *ret_error) MUST_USE;

/* The names in a directory but "." and "..", sorted by their bytes. */
struct trusted_names {
	char **names;
	size_t n;
};

/*
 * Lists an open directory; `path` is for messages. Returns 0, -EINVAL with *ret_error, or -ENOMEM.
 */
int trusted_list(int dir_fd, const char *path, struct trusted_names *ret,
		 struct policy_error *ret_error) MUST_USE;
void trusted_names_done(struct trusted_names *names);

/*
 * "DIR/NAME" in new memory, or NULL. Bytes that are not fit to be shown become `?`: it is for
 * messages, not for opening.
 */
char *trusted_path(const char *dir, const char *name);
