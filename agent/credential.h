/*
 * agent/credential.h - held secrets by name, and when each credential was last fetched.
 *
 * It knows no socket, JSON, policy or disk. A value is sealed under a key of this process's own,
 * which alone lies in locked memory, and is opened for the moment of a fetch. Changes are made in
 * two steps, as the vault's are (agent/vault.h): prepared, then committed when the store has kept
 * them, or rolled back in the opposite order.
 *
 * All of it is the loop thread's.
 */
#pragma once

#include "agent/credential-record.h"

struct credentials;

enum { CREDENTIAL_KEY_LEN = 32 };

/* What there is of a name: a value, the memory of one, a last fetch. Changes only by what is below. */
struct credential {
	char name[CREDENTIAL_NAME_MAX + 1];
	enum credential_form form; /* CREDENTIAL_NONE: nothing is held */
	size_t n;		   /* bytes of the value */
	uint64_t revision;	   /* of the last Put; 0: there was none */
	uint64_t updated_us;	   /* by the last Put or Forget */
	uint64_t expires_us;	   /* 0: never */
	uint64_t fetched_us;	   /* 0: never */
	char fetched_by[CREDENTIAL_BY_MAX + 1];
};

/*
 * None yet. key: CREDENTIAL_KEY_LEN bytes of locked memory that outlive the result; a fresh key is
 * made there. 0 or -ENOMEM.
 */
int credentials_new(uint8_t *key, struct credentials **ret) MUST_USE;

/* Changes must have ended before. NULL is fine. */
void credentials_free(struct credentials *all);

/* What there is of this name, or NULL. Valid until the next change is rolled back. */
const struct credential *credentials_find(const struct credentials *all, struct span name);

/* The next one by name after `name` (p NULL: the first), or NULL. Likewise. */
const struct credential *credentials_after(const struct credentials *all, struct span name);

/* How many values are held. */
size_t credentials_n_held(const struct credentials *all);

/* Opens the value of one that is held to dst: c->n bytes of locked memory, for the caller to wipe. */
void credential_open(const struct credentials *all, const struct credential *c, char *dst);

/*
 * Notes that it was fetched at now_us by whoever `by` names; reaches the store by
 * credentials_prepare_fetched(). Allocates at the first fetch of a name that has nothing here yet (a
 * minted one); where there is no memory, that fetch is not noted.
 */
void credentials_fetched(struct credentials *all, struct span name, uint64_t now_us,
			 struct span by);

/* Calls back for each whose last fetch is not in the store, nor on its way there. */
void credentials_each_unkept(const struct credentials *all,
			     void (*on_fetched)(void *userdata, const struct credential *c),
			     void *userdata);

/* ---- changing -------------------------------------------------------------------------------- */

/* Ended with credential_commit() or credential_rollback(), each of which frees it. */
struct credential_change;

/*
 * Holds a value (1 to CREDENTIAL_VALUE_MAX bytes) under the name, in place of the one before. It is
 * sealed at once. *ret_revision is what it will be.
 * Returns 0; -EBUSY: a change to this name's value is under way, wait for it; or -ENOMEM.
 */
int credential_prepare_put(struct credentials *all, struct span name, enum credential_form form,
			   struct span value, uint64_t now_us, uint64_t expires_us,
			   uint64_t *ret_revision, struct credential_change **ret) MUST_USE;

/* Holds nothing any more, and remembers the revision. -ENOENT: nothing is held; else as above. */
int credential_prepare_forget(struct credentials *all, struct span name, uint64_t now_us,
			      struct credential_change **ret) MUST_USE;

/*
 * Holds, or forgets, what a backup says of a name (a record of CREDENTIAL_VALUE), with its revision
 * and instants: where nothing is known of the name, or what is was put or forgotten before that and
 * has a lower revision. -EEXIST: what is here stays; else as above.
 */
int credential_prepare_restore(struct credentials *all, const struct credential_record *record,
			       struct credential_change **ret) MUST_USE;

/*
 * Up to max last fetches that are not in the store yet. *ret is NULL where there are none. 0 or
 * -ENOMEM.
 */
int credentials_prepare_fetched(struct credentials *all, size_t max, struct credential_change **ret)
	MUST_USE;

/* What it means for the store: rows 0 to n - 1. */
struct credential_row {
	uint64_t row;
	uint32_t old_version; /* 0: a new row */
	uint32_t version;
	size_t n; /* bytes of record written to dst */
	const char *name;
	bool is_put, is_forgotten; /* what happens to the value; neither: nothing does */
};
size_t credential_change_n(const struct credential_change *c);
/* dst: CREDENTIAL_RECORD_MAX bytes of locked memory, for the caller to wipe. */
void credential_change_row(const struct credential_change *c, size_t i, uint8_t *dst,
			   struct credential_row *ret);

/* Makes it visible: what was replaced or forgotten is gone from memory. Cannot fail. */
void credential_commit(struct credential_change *c);
/* Drops it. NULL is fine. */
void credential_rollback(struct credential_change *c);

/* ---- locking --------------------------------------------------------------------------------- */

/*
 * Moves the key to dst (CREDENTIAL_KEY_LEN bytes of locked memory). Until it is given back no value
 * can be opened or put. No change is under way, but of those that are ready to be committed.
 */
void credentials_take_key(struct credentials *all, uint8_t *dst);
void credentials_give_key(struct credentials *all, const uint8_t *key);

/* ---- loading: at start, before anything else ------------------------------------------------- */

/* A record from the store. 0, -ENOMEM, or -EBADMSG: it is none, or of a name that has one. */
int credentials_load(struct credentials *all, uint64_t row, uint32_t version, const uint8_t *record,
		     size_t n) MUST_USE;
