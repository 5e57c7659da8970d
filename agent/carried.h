/*
 * agent/carried.h - what only a running agent knows, noted such that the next one finds it however
 * this one ends: when and by whom tokens were last used and credentials last fetched, which reaches
 * the store twice a minute only, and revocations that the store could not keep.
 *
 * One memfd in the service manager's descriptor store has the notes, each sealed under a key of the
 * store's. Without a descriptor store nothing is noted, and all functions do nothing.
 *
 * Notes go into one of two halves. What brings last uses to the store calls carried_turn() as it
 * begins: later notes go into the other half, and carried_kept() ends those before.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent/store.h"
#include "protocol/base/span.h"

struct carried;

enum {
	CARRIED_HALF = 4 * 1024 * 1024, /* of a memfd that takes memory as it is written to */
	CARRIED_TEXT_MAX = 256,		/* names and labels; longer ones are noted as absent */
};

/*
 * Takes the memfd that was passed at the start, or makes one and gives it away. The store must
 * outlive the result, whose notes it seals. *ret is NULL where there is no descriptor store. 0 or a
 * negative errno.
 */
int carried_open(struct store *store, struct carried **ret) MUST_USE;

/*
 * The two halves of it, for tests: makes a memfd (a descriptor or a negative errno), and uses one,
 * which stays the caller's. -EBADMSG: it is none of ours.
 */
int carried_make(void) MUST_USE;
int carried_map(struct store *store, int fd, struct carried **ret) MUST_USE;

/* Leaves the notes for the next agent. NULL is fine. */
void carried_close(struct carried *c);

/* What is found in the notes; spans live during the call. */
struct carried_fns {
	void (*on_use)(void *userdata, uint64_t id, uint64_t at_us, struct span by);
	void (*on_fetch)(void *userdata, struct span name, uint64_t at_us, struct span by);
	void (*on_denial)(void *userdata, uint64_t id);
};

/*
 * Hands over all notes of the agents before, the oldest first: once, before any is made. What is
 * not whole, or of another store, is passed over. scratch: locked memory of CARRIED_NOTE_MAX bytes,
 * wiped afterwards. They stay noted until carried_kept().
 */
enum { CARRIED_NOTE_MAX = 2 * CARRIED_TEXT_MAX + 32 };
void carried_replay(struct carried *c, uint8_t *scratch, const struct carried_fns *fns,
		    void *userdata);

/*
 * Notes that a token was used, that a credential was fetched: once these return, it survives this
 * process. by.p NULL: whoever it was is not known. 0; -EXFULL: it is noted, and more than half of
 * the room is taken: bring all to the store; -ENOSPC: there is no room, it is not noted.
 */
int carried_use(struct carried *c, uint64_t id, uint64_t at_us, struct span by);
int carried_fetch(struct carried *c, struct span name, uint64_t at_us, struct span by);

/* Notes that a token is good no more, likewise; -ENOTCONN: there is nothing to note it in. */
int carried_denial(struct carried *c, uint64_t id);

/* All that is noted so far is about to be kept in the store. */
void carried_turn(struct carried *c);

/* The store has kept all that was noted before the last carried_turn(). */
void carried_kept(struct carried *c);

/*
 * The store's key is another: notes under the one before are gone, for nobody could open them. What
 * is not kept yet has to be noted again.
 */
void carried_begin_anew(struct carried *c);
