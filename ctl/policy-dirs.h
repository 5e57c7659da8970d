/* ctl/policy-dirs.h - where an agent's policies are, when nobody told it otherwise. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct policy_dirs {
	const char *paths[3];
	size_t n;
	uid_t trusted_uid; /* who may own them beside root: the agent's user */
	char room[4096];   /* of the one that is put together */
};

/* The system agent's directories, or those of the caller's own agent. */
void policy_dirs_find(bool user, struct policy_dirs *ret);
