/*
 * agent/audit-sums.h - what is not told each time but counted: verifications, and whatever a peer
 * does again and again. Tables of fixed size, so that nobody can make them grow. Pure.
 */
#pragma once

#include "agent/audit-journal.h"

/* ---- verifications, by token and verifier ---------------------------------------------------- */

enum { AUDIT_VERIFY_SLOTS = 1024, AUDIT_VERIFY_PROBES = 8 };

/* Whoever verifies, as the sums tell them apart: a service, else a user. */
struct audit_verifier {
	uint32_t tag; /* of uid and unit, not 0: what is compared */
	uid_t uid;
	const char *unit; /* "": none */
};

/* tag of a verifier. */
uint32_t audit_verifier_tag(uid_t uid, const char *unit);

struct audit_verified {
	/* Looked at with each verification: small, and by itself. */
	struct {
		uint64_t token;
		uint32_t tag;
		uint32_t count; /* 0: free */
	} hot[AUDIT_VERIFY_SLOTS];
	struct {
		uid_t uid;
		char unit[AUDIT_UNIT_MAX + 1];
	} who[AUDIT_VERIFY_SLOTS];
	uint32_t n_others; /* that had no slot */
};

/* Counts n_times, 1 or more. No allocation, no system call. */
void audit_verified_count(struct audit_verified *v, uint64_t token,
			  const struct audit_verifier *who, uint32_t n_times);

/*
 * Takes the next sum out, from slot *at on, which moves on; the last one is of those that had no
 * slot, about no token. False: there are no more. operation and time are the caller's to fill in.
 */
bool audit_verified_take(struct audit_verified *v, unsigned *at, struct audit_entry *ret) MUST_USE;

/* ---- the first at once, repeats as a sum ----------------------------------------------------- */

enum { AUDIT_REPEAT_SLOTS = 256 };

struct audit_repeats {
	uint64_t keys[AUDIT_REPEAT_SLOTS];	     /* 0: free */
	uint32_t counts[AUDIT_REPEAT_SLOTS];	     /* that are not told yet */
	struct audit_note notes[AUDIT_REPEAT_SLOTS]; /* what they are told as */
	uint32_t n_others;			     /* that had no slot */
};

/*
 * What is alike: the same uid, operation and kind of result, and `more` of it, 16 bits of whatever
 * else tells them apart. Never 0.
 */
uint64_t audit_repeat_key(uid_t uid, unsigned operation, unsigned result, uint32_t more);

enum audit_repeat {
	AUDIT_FIRST,  /* to be told now; audit_repeats_first() it */
	AUDIT_AGAIN,  /* it was counted */
	AUDIT_OTHERS, /* there is no room to tell it: it was counted among the others */
};

/*
 * Counts one more. token, pid, credential: of this one; what differs from the first one's does not
 * stand in the sum.
 */
enum audit_repeat audit_repeats_count(struct audit_repeats *r, uint64_t key, uint64_t token,
				      pid_t pid, struct span credential);

/* What was told of the key that audit_repeats_count() said is the first of. */
void audit_repeats_first(struct audit_repeats *r, uint64_t key, const struct audit_note *note);

/*
 * Once in a period, slot by slot from *at on: takes the next sum out. Who did nothing again is
 * forgotten. False: there are no more; then *ret_others, which are taken out as well.
 */
bool audit_repeats_take(struct audit_repeats *r, unsigned *at, struct audit_note *ret,
			uint32_t *ret_others) MUST_USE;
