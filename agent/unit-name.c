/*
 * agent/unit-name.c - a program that makes a connection for each call, as tools do, is a new process
 * each time, in the same group. The kernel gives a group's number to no other ever, and a group of
 * the unified hierarchy keeps its path, so whose it is was found once for all of its processes.
 *
 * Invariant: what is kept was found while a live process was in that very group.
 */
#include "agent/unit-name.h"

#include <errno.h>
#include <stdio.h>

static const char *name_of(const char *text)
{
	return text[0] ? text : NULL;
}

static const char *keep(struct unit_names *names, uint64_t group, const char *name)
{
	size_t at = names->next++ % ARRAY_SIZE(names->of);

	names->of[at].group = group;
	snprintf(names->of[at].name, sizeof(names->of[at].name), "%s", name);
	return name_of(names->of[at].name);
}

static const char *look_for_it(struct unit_names *names, int pidfd, uid_t uid, uint64_t group)
{
	struct unit unit NOT_ZEROED;
	int r = unit_of_process(pidfd, uid, &unit);

	if (r == 0)
		return keep(names, unit.group, unit.name);
	/* No unit's: of the group that it was in before and is in now. */
	if (r == -ENXIO && group && unit_group(pidfd) == group)
		return keep(names, group, "");
	return NULL;
}

const char *unit_names_find(struct unit_names *names, int pidfd, uid_t uid)
{
	uint64_t group = unit_group(pidfd);

	for (size_t i = 0; group && i < ARRAY_SIZE(names->of); i++)
		if (names->of[i].group == group)
			return name_of(names->of[i].name);
	return look_for_it(names, pidfd, uid, group);
}
