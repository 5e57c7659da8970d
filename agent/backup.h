/*
 * agent/backup.h - copies of all that is held, on their way to whoever asked for them.
 * docs/backup-format.md has what is sent.
 */
#pragma once

#include "agent/agent.h"

enum { BACKUPS_MAX = 4 }; /* at a time */

/*
 * Begins a copy. *ret_fd: the socket to read it from, the caller's; it ends early, without its
 * last block, where something fails or nothing was read for half a minute. All that was durable
 * before this call will be in it.
 * Returns 0; -EBUSY (BACKUPS_MAX are under way), -ENOMEM (also: no locked buffer is left) or
 * another errno: no socket could be had.
 */
int backup_start(struct agent *a, int *ret_fd) MUST_USE;

/*
 * Ends all that are under way, early, and wipes what they hold. Before store_close(), and before
 * values may no longer be in memory.
 */
void backup_end_all(struct agent *a);
