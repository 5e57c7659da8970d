/* ctl/new-file.h - a file that is there whole, or not at all, and never in place of another. */
#pragma once

#include "protocol/base/cleanup.h"

enum { NEW_FILE_NAME_MAX = 255 - 5 };

/* All zeros but for the descriptors, which are -1: none. */
struct new_file {
	int dir_fd;
	int fd; /* to write to */
	char name[NEW_FILE_NAME_MAX + 1];
	char part[NEW_FILE_NAME_MAX + 6]; /* its name until it is whole */
};

#define NEW_FILE_NONE ((struct new_file){ .dir_fd = -1, .fd = -1 })

/*
 * Begins one (0600) of this name in the directory that dir_fd stands for, as NAME.part; dir_fd is
 * taken over, on failure too. What was left of one that was begun before goes. Returns 0; -EEXIST:
 * there is something of this name; -ENAMETOOLONG; or another errno.
 */
int new_file_begin(int dir_fd, const char *name, struct new_file *ret) MUST_USE;

/* The same by a path, whose directory must be there. */
int new_file_begin_at(const char *path, struct new_file *ret) MUST_USE;

/*
 * What was written is on the disk, and has its name, when this returns 0; else there is nothing of
 * it: -EEXIST as above, or another errno. Ends it in either case.
 */
int new_file_finish(struct new_file *f) MUST_USE;

/* Ends it with nothing of it left. Harmless twice, and on none. */
void new_file_drop(struct new_file *f);
