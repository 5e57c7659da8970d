/* agent/policy/access.h - decisions: pure functions of who asks and of a loaded policy. */
#pragma once

#include "agent/policy/policy.h"

/*
 * Whom a decision is about. For [Access]: an owner, with the groups of its account; else: a peer as
 * the kernel has it.
 */
struct subject {
	uid_t uid;
	/*
	 * It is of another pid namespace, where uid and groups need not mean what they mean here:
	 * they count only in sections with Container=yes, and give no access.
	 */
	bool no_user;
	const gid_t *groups; /* with the primary one */
	size_t n_groups;
	const char *unit; /* NULL: none, or unknown */
};

/* ---- matching -------------------------------------------------------------------------------- */

/* What of a selector does not hold. */
enum selector_miss {
	MISS_USER = 1,
	MISS_GROUP = 2,
	MISS_UNIT = 4,
	MISS_CONTAINER = 8, /* it goes by user or group, and these don't count: see no_user */
};

/* The kinds that do not hold, of enum selector_miss; 0: all do. */
unsigned selector_misses(const struct policy_selector *s, const struct subject *who);

/* Whether selectors match; for all kinds of sections. */
bool selector_matches(const struct policy_selector *s, const struct subject *who);

/*
 * Whether a unit pattern matches a unit's name: `*`, `?` and `[...]` as in a shell, and every other
 * character for itself. A backslash too: a unit's name as systemctl shows it
 * ("dev-disk\x2duuid.swap") is a pattern that matches that unit.
 */
bool unit_matches(const char *pattern, const char *unit);

/*
 * Whether the unit matches one of the selector's patterns; not where it has none, or unit is NULL.
 */
bool selector_has_unit(const struct policy_selector *s, const char *unit);

/* ---- [Access] -------------------------------------------------------------------------------- */

/*
 * Scopes in the order of their bytes, each once, none within the others. The texts are the access's
 * own.
 */
struct access {
	struct span *scopes;
	size_t n;
	void *memory; /* that all of it is in */
};

/*
 * What an owner reaches by the [Access] sections (units play no part). *ret is the caller's, for
 * access_done(). 0 or -ENOMEM.
 */
int access_of(const struct policy *p, const struct subject *owner, struct access *ret) MUST_USE;

/*
 * An access of n scopes whose texts may go: `scopes` is a block of malloc() with room for `room` spans and, behind them,
 * all the texts. It is the access's now. 0, or -ENOMEM, and the block is freed.
 */
int access_keep(struct span *scopes, size_t n, size_t room, struct access *ret) MUST_USE;
void access_done(struct access *a);

/* ---- [Verify] -------------------------------------------------------------------------------- */

/* Whether the peer may call Verify: with no [Verify] section everyone may. */
bool verify_is_allowed(const struct policy *p, const struct subject *peer);

/*
 * Whether any [Verify] section there is needs the peer to be known, and its unit. Spares the hot
 * path what it need not know.
 */
bool verify_needs_peer(const struct policy *p);
bool verify_needs_unit(const struct policy *p);

/*
 * What the peer may be told of a token's access: cuts each of n scopes (valid ones, none within
 * another) by the [Verify] sections that match the peer; with no [Verify] section in the policy,
 * all is told. on_scope gets what is left, no scope within the others (but where memory is short);
 * its text lives until on_scope returns. Allocates only where a scope is cut.
 */
void verify_tells(const struct policy *p, const struct subject *peer, const struct span scopes[],
		  size_t n, void (*on_scope)(void *userdata, struct span scope), void *userdata);

/* ---- [Credential] and [Fetch] ---------------------------------------------------------------- */

/* The credential of this name, or NULL; the search goes as deep for either. */
const struct policy_credential *policy_find_credential(const struct policy *p, struct span name);

/* The next credential by name after `name` (p NULL: the first), or NULL. */
const struct policy_credential *policy_credential_after(const struct policy *p, struct span name);

/* Whether the section names the credential. */
bool fetch_names(const struct policy_fetch *f, struct span credential);

/*
 * Whether the peer may fetch it. by_unit_alone: on the credential socket, where only sections with
 * Unit= count, and by the unit alone. *ret_by (may be NULL): the section that decided, or NULL.
 */
bool fetch_is_allowed(const struct policy *p, const struct subject *peer, struct span credential,
		      bool by_unit_alone, const struct policy_fetch **ret_by);

/*
 * Whether the peer matches any section that does not name the credential. With fetch_is_allowed() the
 * peer is held against each section once, whatever the credential: so that a refusal takes as long
 * for one that exists as for one that does not.
 */
bool fetch_others_match(const struct policy *p, const struct subject *peer, struct span credential);

/* Whether a [Fetch] section for this credential (or for any, where its p is NULL) has Unit=. */
bool fetch_needs_unit(const struct policy *p, struct span credential);
