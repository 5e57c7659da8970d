/*
 * agent/authority.h - what a peer and an owner may: from the peer, the accounts, and the policies
 * in force.
 */
#pragma once

#include "agent/request.h"

/* Whether the peer is an administrator of this agent. */
bool is_admin(struct request *req);

/* What the peer is as a user of this host. */
enum identity {
	IDENTITY_KNOWN,	  /* *ret_name is its name, or none (p NULL); valid during the call */
	IDENTITY_WAIT,	  /* its name is being looked up: change_wait_names() */
	IDENTITY_REFUSED, /* it is none; logged. Answer PermissionDenied */
};
enum identity identify(struct request *req, struct span *ret_name);

/*
 * Whether the peer is a live process that can be known: if not of this host, then by its unit.
 */
bool is_anybody(struct request *req);

/* The name of any uid: IDENTITY_KNOWN or IDENTITY_WAIT. */
enum identity name_of(struct agent *a, uid_t uid, struct span *ret_name);

/*
 * What an owner of this uid and name reaches now. Nothing where the uid is somebody else's by now.
 * Kept with the owner where it has tokens, else in *space, which the caller gives to access_done()
 * in any case. IDENTITY_WAIT as above.
 */
enum identity owner_access(struct agent *a, uid_t uid, struct span name, struct access *space,
			   const struct access **ret);

/* The vault's: forgets what was kept with an owner. */
void authority_on_owner_free(struct owner *owner);

/* The label of the peer, as `lastUsedBy` and `issuedTo` say it. Never used to decide. */
struct span peer_label(struct connection *c);

/*
 * The unit that the peer was in when that was asked first, of whatever kind; p NULL: in none, or it
 * can't be told. For people to read, as the label. And a number that stands for it with the uid, to
 * compare: never 0.
 */
struct span peer_unit_name(struct connection *c);
uint32_t peer_tag(struct connection *c);

/*
 * The peer as decisions see it that do not ask for its unit; and with its unit, where it is in one.
 */
void subject_of(struct request *req, struct subject *ret);
void subject_with_unit(struct request *req, struct subject *ret);
/* As a verifier: with its unit only where a [Verify] section asks for one. */
void verifier_of(struct request *req, struct subject *ret);

/*
 * Whether the policy lets the peer call Verify; IDENTITY_REFUSED where not, and where its process has ended: with no
 * [Verify] section, so that a call costs nothing, before its first call. facts (may be NULL): of
 * the token, whose owner may always verify it. *ret_limited: of its access the peer is told only
 * what the [Verify] sections let it know.
 */
enum identity may_verify(struct request *req, const struct token_facts *facts, bool *ret_limited);
