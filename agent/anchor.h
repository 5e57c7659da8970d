/*
 * agent/anchor.h - what tells an old copy of the store from the store: a mark, kept apart from it, of how
 * far the store had come.
 *
 * The mark is a store's id and a number of commits that this store has on its disk. It is raised after a
 * commit, never before, so that no crash leaves a store behind its mark: one that is behind has been
 * put back. It has no key: whoever may write it may as well remove it, and it is not against them.
 *
 * Threads: one at a time.
 */
#pragma once

#include "agent/seal.h"
#include "agent/state-dir.h"

#define ANCHOR_FILE "anchor"
#define ANCHOR_NEW_FILE "anchor.new"

struct anchor;

/*
 * Opens the directory, which must be as a state directory must, and another one than `state`; takes
 * its lock, and reads the mark, where there is one. Changes nothing. 0; or with *e: -EWOULDBLOCK
 * another agent has it; -EBADMSG the mark is damaged; -EPROTONOSUPPORT a newer Jeton's; -EPERM others
 * could have written it; any other errno of the system. With Storage=volatile there is none.
 */
int anchor_open(const char *path, const struct state_dir *state, struct anchor **ret,
		struct store_error *e) MUST_USE;

/* Whether there is a mark. */
bool anchor_is_there(const struct anchor *a);

/*
 * Holds a store of this id and number of commits against the mark. 0, also where there is none;
 * -ESTALE with *e: it is an older copy, or another store.
 */
int anchor_judge(const struct anchor *a, const struct state_dir *state,
		 const uint8_t id[static SEAL_ID_LEN], uint64_t commits,
		 struct store_error *e) MUST_USE;

/* Whether the mark is not there yet, or below. */
bool anchor_is_behind(const struct anchor *a, uint64_t commits);

/*
 * This store has so many commits on its disk: the mark survives a power cut when this returns 0. One
 * of another store is replaced, one that is as high stays. On failure, a negative errno, the mark is
 * as it was, or this one, and the next call tries again with a new file.
 */
int anchor_raise(struct anchor *a, const uint8_t id[static SEAL_ID_LEN], uint64_t commits) MUST_USE;

/* Closes it; NULL is fine. */
void anchor_close(struct anchor *a);
