/*
 * agent/unit.h - which systemd unit a process is in, by its control group, in the run of the unit
 * that it is now.
 *
 * Only the system manager's part of a control group's path decides: below user@N.service (and below
 * any delegated group) names are what a user made them. In a user's own agent that user's manager's
 * part does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum { UNIT_NAME_MAX = 255, UNIT_PATH_MAX = 1024, INVOCATION_LEN = 16 };

struct unit {
	char name[UNIT_NAME_MAX + 1]; /* "nightly@7.service" */
	char path[UNIT_PATH_MAX];     /* of its control group, below /sys/fs/cgroup */
	uint8_t invocation[INVOCATION_LEN];
	uint64_t group; /* the inode of the process's group; 0: the kernel does not tell at once */
};

/*
 * The unit part of a control group's path ("/system.slice/x.service/y"): writes the unit's name and
 * the length of the path up to and with it. uid: the user whose manager decides (a user's own
 * agent), or (uid_t)-1 for the system's. Pure. False where there is none.
 */
bool unit_from_cgroup(const char *path, uid_t uid, char name[static UNIT_NAME_MAX + 1],
		      size_t *ret_path_n);

/*
 * The unit of the process behind the pidfd, with its invocation. Everything read elsewhere counts
 * only if the pidfd says before and after that it is the same live process in the same group.
 * Returns 0; -ENXIO: its group is no unit's; -ENODATA: which run of its unit it is can't be told;
 * -ESRCH: it has ended, or moved while it was looked at; -EREMOTE: of another pid namespace;
 * -EOPNOTSUPP: the kernel can't tell; any other errno of the system.
 */
int unit_of_process(int pidfd, uid_t uid, struct unit *ret) MUST_USE;

/* The number of the process's group, now; 0 where that can't be told at once. */
uint64_t unit_group(int pidfd);

/*
 * Whether the process behind the pidfd still is in the group that unit_of_process() found it in, by
 * one look. False where that can't be told so quickly.
 */
bool unit_is_current(int pidfd, const struct unit *unit);

/*
 * The invocation of the unit whose group is at path now, by its manager's word; uid as for
 * unit_from_cgroup(). Needs no descriptor. 0; -ENOENT: the group is gone; -ENODATA: it has none
 * that can be trusted; any other errno: nothing is known.
 */
int unit_invocation(const char *path, uid_t uid, uint8_t ret[static INVOCATION_LEN]) MUST_USE;
