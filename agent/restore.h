/*
 * agent/restore.h - taking in a backup that lies in the state directory (agent/restore-file.h):
 * when the agent starts, when it is told to reload, and when it is unlocked.
 *
 * It goes by ordinary changes, in slices, while the agent serves. What is known here stays, so that
 * it can be begun again at any point, after a kill too; the file goes when all of it is in.
 */
#pragma once

#include "agent/agent.h"
#include "agent/dispatch.h"

struct request;

/* Puts the public key where backups are sealed for this agent, and begins with what lies there. */
void restore_start(struct agent *a);

/* After a change of the store's keys (Rekey): what a backup's key is sealed to is another. */
void restore_rekeyed(struct agent *a);

/*
 * Begins, where there is something and nothing is under way; not in an agent that is locked, or
 * just after it failed. Returns whether one is under way.
 */
bool restore_begin(struct agent *a);

/* The message is dispatched again when what is under way is done. */
enum dispatched restore_wait(struct request *req);

/* At the end of the agent, after restore_stop() and store_close(): what was still waited for. */
void restore_done(struct agent *a);

/*
 * Stops, with no value of it left in memory; the file stays for the next restore_begin(). Before
 * values may no longer be in memory, and before store_close().
 */
void restore_stop(struct agent *a);
