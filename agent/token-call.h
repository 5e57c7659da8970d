/*
 * agent/token-call.h - a call about a token by its id: who may make it, and how the token stands at
 * this moment.
 */
#pragma once

#include "agent/authority.h"
#include "agent/token-facts.h"
#include "agent/vault.h"

/*
 * Reads an id; false where it has not the form of one: InvalidParameter. 11 digits of more than 64
 * bits are the id of no token, and give 0, which no token ever has.
 */
bool id_read(struct span text, uint64_t *ret);

/*
 * Whether the peer, of this name, may see and end a token of this owner. admin: it is an
 * administrator.
 */
bool may_handle(struct request *req, bool admin, struct span name, uid_t owner_uid,
		struct span owner_name);

/* What there is of an id: an active token, an ended one, or neither. */
struct found {
	token_ref ref;
	const struct ended_token *ended; /* valid until the vault changes */
};

/*
 * Finds the token of this id that the peer may see and end. What is another's is to it as if it were
 * not there, and takes as long.
 */
struct found find_own(struct request *req, bool admin, struct span name, uint64_t id);

/*
 * The facts as they may be told: active until its end is kept (over.h), but for what ended without
 * being kept.
 */
void facts_told(struct agent *a, token_ref ref, struct token_facts *ret);
