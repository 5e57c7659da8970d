/* agent/token-call.c - see token-call.h. */
#include "agent/token-call.h"

#include "agent/denied.h"
#include "protocol/token.h"

static bool is_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* Whether it is of as many digits as an id, whatever number that is. */
static bool has_form(struct span text)
{
	if (text.n != TOKEN_ID_LEN)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (!is_digit(text.p[i]))
			return false;
	return true;
}

bool id_read(struct span text, uint64_t *ret)
{
	if (token_id_read(text, ret))
		return true;
	if (!has_form(text))
		return false;
	*ret = 0;
	return true;
}

bool may_handle(struct request *req, bool admin, struct span name, uid_t owner_uid,
		struct span owner_name)
{
	return admin || (owner_uid == req->connection->peer.uid && !name.p == !owner_name.p &&
			 span_equal(name, owner_name));
}

struct found find_own(struct request *req, bool admin, struct span name, uint64_t id)
{
	static const struct owner nobody = { .uid = (uid_t)-1 };
	const struct ended_token *ended = vault_find_ended_evenly(req->agent->vault, id);
	const struct owner *owner = &nobody;
	token_ref looked, ref = vault_find_evenly(req->agent->vault, id, &looked);

	if (looked != REF_NONE)
		owner = vault_owner(req->agent->vault, looked);
	/* In this order: of what is active and what there is none of, the first decides for either. */
	if (ended && ref == REF_NONE)
		owner = ended->owner;
	if (!may_handle(req, admin, name, owner->uid, owner->name))
		return (struct found){};
	return (struct found){ ref, ended };
}

void facts_told(struct agent *a, token_ref ref, struct token_facts *ret)
{
	vault_facts(a->vault, ref, ret);
	if (is_denied(a, ref)) {
		ret->state = TOKEN_REVOKED;
		ret->ended = END_ADMINISTRATOR;
		return;
	}
	if (!vault_is_over_unkept(a->vault, ref))
		return;
	ret->state = TOKEN_EXPIRED;
	ret->ended = END_EXPIRED;
	ret->ended_us = ret->expires_us;
}
