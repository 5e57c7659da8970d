/* ctl/walk.h - the files below a path. */
#pragma once

#include "protocol/base/cleanup.h"

/* What is done with files; each returns 0, or another number to stop there. */
struct walker {
	/* A file to be read, open; it is closed afterwards. path lives until it returns. */
	int (*on_file)(void *userdata, const char *path, int fd);
	/* The path of anything that is looked at, before it is. */
	int (*on_path)(void *userdata, const char *path);
	/* What can't be read, and why (a positive errno): the walk goes on. */
	void (*on_error)(void *userdata, const char *path, int error);
	void *userdata;
};

/*
 * Goes through a path: itself where it is a file, also by a link or a pipe; all regular files below
 * it where it is a directory. There no link is followed; sockets, devices, pipes and the kernel's
 * file systems (/proc) are passed over.
 * Returns 0 or what a function returned.
 */
int walk_path(const char *path, const struct walker *w) MUST_USE;
