/*
 * ctl/restore-place.h - the directory in which an agent keeps its state, and takes in what is to be
 * restored.
 */
#pragma once

#include <sys/types.h>

#include "ctl/args.h"
#include "ctl/new-file.h"
#include "protocol/backup.h"

enum { RESTORE_PATH_MAX = 4096, RESTORE_PUBLIC_KEY_LEN = 32 };

struct restore_place {
	int dir_fd;
	char path[RESTORE_PATH_MAX];
	uint8_t public_key[RESTORE_PUBLIC_KEY_LEN]; /* the agent's */
	uid_t uid;				    /* that it runs as */
	gid_t gid;
};

#define RESTORE_PLACE_NONE ((struct restore_place){ .dir_fd = -1 })

/*
 * Finds and opens it: --state, or the one that --user or the system's agent has. socket: of the
 * agent that is asked. EXIT_DONE; or what it failed with, said: nothing can be put there.
 */
int restore_place_open(const struct args *a, const char *socket, struct restore_place *ret)
	MUST_USE;
void restore_place_close(struct restore_place *p);

/* Begins what is to be put there. EXIT_DONE, or what it failed with, said. */
int restore_place_begin(const struct restore_place *p, struct new_file *ret) MUST_USE;

/* Gives it to the agent: it takes it in by itself from now on. Likewise; ends f in any case. */
int restore_place_give(const struct restore_place *p, struct new_file *f) MUST_USE;

/*
 * What the agent said of what was given with this start; takes it away. 0; -ENOENT: it said nothing
 * of that.
 */
int restore_place_result(const struct restore_place *p,
			 const uint8_t start[static BACKUP_START_LEN], struct backup_result *ret)
	MUST_USE;
