/*
 * agent/state-dir.h - the directory that holds what is kept: opened, judged and locked once, then
 * used by descriptor.
 */
#pragma once

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>

#include "agent/store.h"
#include "protocol/base/cleanup.h"

struct memory_dir;

/* One on a disk, or in memory, where all functions below do the same to its files. */
struct state_dir {
	int fd;			   /* -1: it is in memory */
	struct memory_dir *memory; /* borrowed; NULL: it is on a disk */
	char path[PATH_MAX]; /* of what fd stands for, without links */
};

#define STATE_DIR_NONE ((struct state_dir){ .fd = -1 })

/* Puts a sentence into *e (which may be NULL) and gives r back. */
int store_fail(struct store_error *e, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Opens the directory. It must be one itself, not a link to one; this user's or root's; and nobody
 * else may be able to write to it. 0 or a negative errno with *e.
 */
int state_dir_open(const char *path, struct state_dir *ret, struct store_error *e) MUST_USE;

/* The same of a directory in memory, which must outlive the result. */
void state_dir_open_memory(struct memory_dir *memory, struct state_dir *ret);

/*
 * Takes the lock that one agent holds on it, until the directory is closed. -EWOULDBLOCK: another
 * has it.
 */
int state_dir_lock(const struct state_dir *d, struct store_error *e) MUST_USE;

/* Makes what was created, renamed and removed in it survive a power cut. */
int state_dir_sync(const struct state_dir *d) MUST_USE;

/* Closes it, if it is open. */
void state_dir_close(struct state_dir *d);

/* Removes a file from it; one that is not there is removed already. 0 or a negative errno. */
int state_dir_remove(const struct state_dir *d, const char *name);

/*
 * Gives a file another name, in place of what had that one. It survives a power cut once the
 * directory is synced. 0 or a negative errno.
 */
int state_dir_rename(const struct state_dir *d, const char *from, const char *to) MUST_USE;

/*
 * Opens a file in it: with O_CREAT a new one, of mode 0600 whatever the umask; else one that is
 * there, which must be a plain file (-EMEDIUMTYPE; -ELOOP: a link). Gives a descriptor or a
 * negative errno.
 */
int state_dir_open_file(const struct state_dir *d, const char *name, int flags) MUST_USE;

/* Whether there is anything of this name. */
bool state_dir_is_there(const struct state_dir *d, const char *name);

/* Whether there is a file of this name with anything in it (1, 0), or a negative errno. */
int state_dir_has(const struct state_dir *d, const char *name) MUST_USE;
