/* agent/presented.c - see presented.h. */
#include "agent/presented.h"

#include <assert.h>
#include <sodium.h>

#include "agent/change.h"
#include "agent/denied.h"
#include "agent/over.h"
#include "agent/reply.h"
#include "protocol/token-hash.h"

enum verdict present(struct agent *a, struct span value, uint64_t now_us, struct presented *ret)
{
	const struct ended_token *ended;
	uint64_t hash[TOKEN_HASH_WORDS];
	struct span secret;
	token_ref looked;
	bool right;

	if (!token_read(value, &ret->id, &secret))
		return VERDICT_INVALID;
	token_hash_secret(secret.p, hash);
	static_assert(sizeof(ret->hash) == sizeof(hash), "SHA-256");
	memcpy(ret->hash, hash, sizeof(hash));
	/* What is refused takes the same way, whether there is such an id or not. */
	ret->ref = vault_find_evenly(a->vault, ret->id, &looked);
	right = looked != REF_NONE && vault_hash_is(a->vault, looked, ret->hash);
	if (right && ret->ref != REF_NONE) {
		if (is_denied(a, ret->ref))
			return VERDICT_REVOKED;
		return vault_is_over(a->vault, ret->ref, now_us) ? VERDICT_EXPIRED : VERDICT_GOOD;
	}
	ended = vault_find_ended_evenly(a->vault, ret->id);
	/* In this order: the first decides for either, and is foreseen. */
	if (!ended || !ended_hash_may_be(ended, ret->hash) || ret->ref != REF_NONE)
		return VERDICT_INVALID;
	ret->row = ended->row;
	return VERDICT_ENDED;
}

bool is_hash_of(const struct token_facts *facts, const uint8_t *hash)
{
	return crypto_verify_32(facts->hash, hash) == 0;
}

static void on_ended(struct request *req, const struct token_facts *facts, const uint8_t *hash,
		     int r)
{
	if (r < 0)
		reply_store_failed(req, NULL);
	else if (!facts || !is_hash_of(facts, hash))
		reply_invalid_token(req);
	else if (facts->state == TOKEN_EXPIRED)
		reply_token_expired(req, facts);
	else
		reply_token_revoked(req, facts->id);
}

enum dispatched reply_verdict(struct request *req, enum verdict verdict,
			      const struct presented *presented)
{
	struct token_facts facts;
	enum dispatched answer;

	if (verdict == VERDICT_EXPIRED && !over_may_be_told(req, presented->ref, &answer))
		return answer;
	req->agent->denied_total++;
	switch (verdict) {
	case VERDICT_GOOD:
	case VERDICT_INVALID:
		break;
	case VERDICT_EXPIRED:
		vault_facts(req->agent->vault, presented->ref, &facts);
		return reply_token_expired(req, &facts);
	case VERDICT_REVOKED:
		return reply_token_revoked(req, presented->id);
	case VERDICT_ENDED:
		return change_read_ended(req, presented->row, presented->hash, on_ended);
	}
	return reply_invalid_token(req);
}
