/*
 * agent/unit-name.h - the names of the units whose processes ask, for people to read: who asks a
 * second time from where somebody asked before costs one look at its pidfd.
 */
#pragma once

#include "agent/unit.h"

/* What was found last of some groups, the oldest to be forgotten first. All zero: nothing. */
struct unit_names {
	struct {
		uint64_t group; /* 0: none */
		char name[UNIT_NAME_MAX + 1]; /* "": it is no unit's */
	} of[16];
	unsigned next;
};

/*
 * The name of the unit of the process behind the pidfd; uid: always the same, as for
 * unit_of_process(). NULL: none, or it can't be told. Lives until the next call.
 */
const char *unit_names_find(struct unit_names *names, int pidfd, uid_t uid);
