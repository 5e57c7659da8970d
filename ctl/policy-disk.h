/* ctl/policy-disk.h - policies as they stand on the disk, beside those that an agent has read. */
#pragma once

#include "ctl/args.h"
#include "ctl/policy-dirs.h"
#include "protocol/jeton.h"

/*
 * Where the policies of the agent that is asked are: by --policy, else where the agent's own command
 * line says, else in the usual places where it is the system's agent, or the caller's own, that is
 * asked. jeton: tells who that agent is, whose files it trusts, where it can be reached. False where
 * it can't be known where they are.
 */
bool policy_disk_find(const struct args *a, struct jeton *jeton, struct policy_dirs *ret);

/*
 * Calls on_change for each directory and policy file there that was changed after the agent read
 * its policies (µs since the epoch).
 */
void policy_disk_changed(const struct policy_dirs *dirs, int64_t loaded_us,
			 void (*on_change)(void *userdata, const char *path), void *userdata);
