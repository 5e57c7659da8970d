/*
 * agent/memory-dir.h - a directory in memory: files with names, each a memfd that the service
 * manager holds for the next agent. What keeps its files in a directory can keep them here.
 *
 * However the agent ends, the next one finds the names and the bytes as they were. Nothing is on a
 * disk; a power cut, or a stop of the service, ends all of it. Root can read the files: what is in
 * them is sealed by those who write them.
 *
 * May be used by several threads at once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "protocol/base/cleanup.h"

struct memory_dir;
struct sqlite3_vfs;

/* How to get rid of what is held, for messages. */
#define MEMORY_DIR_REMEDY                                                                        \
	"to begin with an empty store, stop the service (from systemd 254 on, also \"systemctl " \
	"clean --what=fdstore\" it) and start it"

enum {
	MEMORY_NAME_MAX = 32, /* of a file, with its NUL */
	MEMORY_FILES = 10,    /* at most; what the units let systemd hold has room for them */
};

/* What was passed at the start is no directory of ours. */
struct memory_dir_error {
	char text[384];
};

/*
 * The files that were passed at the start, or none. Returns 0; -EBADMSG with *ret_error: what was
 * passed is damaged, or not all of it; -ENOMEM; or another negative errno.
 */
int memory_dir_open(struct memory_dir **ret, struct memory_dir_error *ret_error) MUST_USE;

/* Leaves the files for the next agent. NULL is fine. */
void memory_dir_close(struct memory_dir *d);

/* Whether files outlive this agent. */
bool memory_dir_is_kept(const struct memory_dir *d);

/*
 * Has the service manager drop all files that were passed at the start. 1: there were some; 0:
 * none.
 */
int memory_dir_drop(void);

/*
 * As state_dir_open_file() does: with O_CREAT a new file (-EEXIST), else one that is there
 * (-ENOENT). Gives a descriptor, open for reading and writing, at its start; or a negative errno
 * (-ENFILE: there are too many). Descriptors of one file share their place in it.
 */
int memory_dir_open_file(struct memory_dir *d, const char *name, int flags) MUST_USE;

/* Removes a file; one that is not there is removed already. 0 or a negative errno. */
int memory_dir_remove(struct memory_dir *d, const char *name);

/* Gives a file another name, in one step; what had that name goes. 0, -ENOENT or another errno. */
int memory_dir_rename(struct memory_dir *d, const char *from, const char *to) MUST_USE;

bool memory_dir_is_there(struct memory_dir *d, const char *name);

/* Bytes of a file, or -ENOENT. */
long long memory_dir_size(struct memory_dir *d, const char *name);

/*
 * The name of a way for SQLite to open files of this directory, by paths that end in "/NAME"; it
 * lasts as long as the directory. Any database is to be closed before that. NULL: no memory.
 * (memory-vfs.c)
 */
const char *memory_dir_vfs(struct memory_dir *d);
void memory_vfs_free(struct sqlite3_vfs *vfs);

/* Where the directory keeps it. */
struct sqlite3_vfs **memory_dir_vfs_place(struct memory_dir *d);
