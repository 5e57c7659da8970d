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
 * The facts as they may be told: active until its end is kept (over.h), but for what ended without
 * being kept.
 */
void facts_told(struct agent *a, token_ref ref, struct token_facts *ret);
