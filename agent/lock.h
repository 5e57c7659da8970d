/*
 * agent/lock.h - locking the agent by a passphrase.
 *
 * What opens held secrets is, while the agent is locked, sealed to a key pair whose secret half
 * only the passphrase opens (lockbox.h): the key that they are sealed under in memory, and the
 * store's for their rows. The pair is kept in the state directory (lock-file.h), so that a restart comes up
 * locked: it loads all there is, seals the keys to the public half, and wipes them.
 *
 * A passphrase is turned into a key in a thread of its own, so that the loop never waits for that.
 * One Lock or Unlock is under way at a time; others wait for its end and are judged then. a->locked
 * says how it is.
 */
#pragma once

#include "agent/agent.h"

struct pending;
struct store_error;

/* How a Lock or an Unlock ended. */
enum lock_result {
	LOCK_DONE,
	LOCK_WRONG_PASSPHRASE,
	LOCK_STORE_FAILED, /* the file can't be written, or removed: all is as it was */
	LOCK_NO_MEMORY,	   /* likewise */
};

/*
 * Looks whether it is to come up locked: once the state directory is there, and before anything is
 * loaded. 0, or a negative errno with *e.
 */
int lock_load(struct agent *a, struct store_error *e) MUST_USE;

/* If so, seals and wipes the keys; once all is loaded. */
void lock_loaded(struct agent *a);

/* Can be locked and unlocked from now on. 0 or a negative errno. */
int lock_start(struct agent *a) MUST_USE;

/* Waits for what is under way in the thread. */
void lock_done(struct agent *a);

/* Whether a Lock or Unlock is under way; lock_wait() then has another one judged anew after it. */
bool lock_is_busy(const struct agent *a);
/* p dispatches its message again. 0 or -ENOMEM: it is the caller's still. */
int lock_wait(struct agent *a, struct pending *p) MUST_USE;

/* Seconds until another passphrase is looked at, after wrong ones; 0: it is now. */
unsigned lock_retry_after_s(struct agent *a);

/*
 * Begins to lock an agent that is not locked, or to unlock one that is, for the user `by`; none is
 * under way. The passphrase (1 to PASSPHRASE_MAX bytes) is copied, to locked memory. p is completed
 * when it is done, and lock_last_result() then says how, until p is answered.
 * 0, or a negative errno: it was not begun, and p is the caller's still.
 *
 * Locking is done when the file is durable, all changes that were under way are, their callers are
 * answered, and no value and no key to one is left in memory in the clear. Clients that stand still
 * with half a message or with unread replies, which may be values, are closed after a second.
 * Unlocking is done when the file is gone for good.
 */
int lock_begin(struct agent *a, struct span passphrase, uid_t by, struct pending *p) MUST_USE;
int lock_undo(struct agent *a, struct span passphrase, uid_t by, struct pending *p) MUST_USE;
enum lock_result lock_last_result(const struct agent *a);

/* Whether it is a Lock or an Unlock that waits with it. */
bool lock_is_waited_for(const struct agent *a, const struct pending *p);

/* Has the event kept that could not be kept yet, if there is one. */
void lock_tell(struct agent *a);
