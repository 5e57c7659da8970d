/*
 * agent/mint.h - a new token's value and id, and the change that brings it in: what Issue, Derive
 * and Rotate share.
 */
#pragma once

#include "agent/authority.h"
#include "agent/request.h"
#include "agent/token-facts.h"

struct holder_entry;

enum { PACKED_MAX = SCOPES_MAX * (1 + SCOPE_MAX) };

/*
 * Packs plain or starred scopes into buf (PACKED_MAX bytes), which the result borrows. n 0: none
 * given.
 */
struct packed_scopes pack_scopes(const struct span scopes[], unsigned n, uint8_t *buf);

/*
 * Makes an id and a value for the token, in agent->scratch->value (TOKEN_LEN bytes), notes id and
 * hash in *facts, and prepares its insertion. parent: REF_NONE or the token it is derived from.
 * Returns 0 or -ENOSPC, -ENOMEM; mint_done() in either case.
 */
int mint(struct agent *a, struct vault_change *change, struct token_facts *facts, token_ref parent)
	MUST_USE;

/* Wipes the value. */
void mint_done(struct agent *a);

/* Starts the reply of Issue, Derive and Rotate, with `token` and `info`. */
struct json_writer *mint_reply_begin(struct request *req, const struct token_facts *facts);

/* The answer to a change that could not be prepared: r is -ENOSPC, -ENOMEM. */
enum dispatched mint_failed(struct request *req);

/* Whether the owner may have one more active token; those of credentials are limited otherwise. */
bool mint_has_room(struct agent *a, uid_t uid, struct span name);

/*
 * What a token minted for this credential is, but for issued_to, holder and what mint() fills in;
 * its name is the credential's. packed: PACKED_MAX bytes, which its scopes borrow. IDENTITY_WAIT:
 * its owner's name is being looked up.
 */
enum identity mint_facts_of(struct agent *a, const struct policy_credential *c, uint64_t now_us,
			    uint8_t *packed, struct token_facts *ret);

/*
 * Finds the holder that the peer is, for facts->binding, and pins it (none: NULL). Where there is
 * none, answers, and *ret_ok is false.
 */
enum dispatched mint_bind_to_peer(struct request *req, struct token_facts *facts,
				  struct holder_entry **ret_holder, bool *ret_ok);

/*
 * Hands over the change that brings in the token of this id, with the reply that agent->out holds.
 * holder: that it is bound to (NULL: nobody), pinned; taken over.
 */
enum dispatched mint_submit(struct request *req, struct vault_change *change, uint64_t id,
			    struct holder_entry *holder);
