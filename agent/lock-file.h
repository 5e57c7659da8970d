/*
 * agent/lock-file.h - the file `locked` in the state directory: while it is there an agent comes up
 * locked. Root undoes that by removing it.
 */
#pragma once

#include "agent/lockbox.h"
#include "agent/state-dir.h"

/*
 * 1 with *ret; 0: there is none; or a negative errno with *e, a sentence that names the file and the
 * way out.
 */
int lock_file_read(const struct state_dir *d, struct lockbox *ret, struct store_error *e) MUST_USE;

/*
 * Writes it: whole under another name, synced, renamed, the directory synced. 0 or a negative errno:
 * then there is none, unless nothing whatever can be written there, the removal of it neither.
 */
int lock_file_write(const struct state_dir *d, const struct lockbox *box) MUST_USE;

/*
 * Removes it, such that no power cut brings it back. 0, also where there was none; or a negative
 * errno: then it is there as before.
 */
int lock_file_remove(const struct state_dir *d) MUST_USE;
