/*
 * agent/token-call.h - a call about a token by its id: who may make it, and how the token stands at
 * this moment.
 */
#pragma once

#include "agent/authority.h"
#include "agent/token-facts.h"

/* Reads an id; false where it is none: InvalidParameter. 0 is one that no token ever has. */
bool id_read(struct span text, uint64_t *ret);

/*
 * Whether the peer, of this name, may see and end a token of this owner. admin: it is an
 * administrator.
 */
bool may_handle(struct request *req, bool admin, struct span name, uid_t owner_uid,
		struct span owner_name);

/*
 * The facts as they are at now_us: one whose time is over has expired, though it may not have left
 * the vault yet.
 */
void facts_at(struct agent *a, token_ref ref, uint64_t now_us, struct token_facts *ret);
