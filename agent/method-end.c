/* agent/method-end.c - Revoke and Rotate: tokens that end, and tokens that take their place. */
#include <errno.h>
#include <stddef.h>

#include "agent/change.h"
#include "agent/denied.h"
#include "agent/holder.h"
#include "agent/method.h"
#include "agent/mint.h"
#include "agent/over.h"
#include "agent/presented.h"
#include "agent/reply.h"
#include "agent/token-call.h"
#include "protocol/base/time.h"

static const int64_t GRACE_DEFAULT_S = 300;
static const int64_t GRACE_MAX_S = 30 * 86400;

/* ---- Revoke ---------------------------------------------------------------------------------- */

struct revoke_call {
	struct span id;
	struct span token;
};

static const struct field revoke_fields[] = {
	{ "id", offsetof(struct revoke_call, id), FIELD_STRING, false, NULL },
	{ "token", offsetof(struct revoke_call, token), FIELD_STRING, false, NULL },
};

static enum dispatched reply_info(struct request *req, const struct token_facts *facts)
{
	struct json_writer *w = reply_begin(req);

	json_key(w, "info");
	write_token(w, facts);
	return reply_end(req);
}

/*
 * One that has ended already is no error: whoever lost the reply and asks again hears how it
 * stands.
 */
static void on_ended_by_id(struct request *req, const struct token_facts *facts,
			   const uint8_t *hash, int r)
{
	if (r < 0)
		reply_store_failed(req, NULL);
	else if (facts && hash && !is_hash_of(facts, hash))
		reply_invalid_token(req);
	else if (facts)
		reply_info(req, facts);
	else
		reply_no_such_token(req);
}

static enum dispatched end_token(struct request *req, token_ref ref, enum end_reason reason,
				 bool admin)
{
	struct agent *a = req->agent;
	struct vault_change *change;
	struct token_facts facts;
	enum dispatched answer;
	int r;

	if (vault_is_busy(a->vault, ref))
		return change_wait(req);
	if (!over_may_be_shown(req, ref, &answer))
		return answer;
	facts_told(a, ref, &facts);
	if (facts.state == TOKEN_EXPIRED)
		return reply_info(req, &facts);
	change = vault_change_new(a->vault);
	r = change ? vault_prepare_end(change, ref, TOKEN_REVOKED, reason, req->now_us) : -ENOMEM;
	if (r < 0) {
		vault_rollback(change);
		return r == -EBUSY ? change_wait(req) : reply_limit(req, "memory", 0);
	}
	facts.state = TOKEN_REVOKED;
	facts.ended = reason;
	facts.ended_us = req->now_us;
	reply_info(req, &facts);
	return change_submit(req, change, admin ? denied_add : NULL, facts.id);
}

static enum dispatched revoke_by_id(struct request *req, uint64_t id)
{
	struct agent *a = req->agent;
	const struct owner *owner;
	enum identity identity;
	struct found found;
	struct span name;
	bool admin, own;

	req->about.token = id;
	identity = identify(req, &name);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	if (identity == IDENTITY_REFUSED)
		return reply_permission_denied(req);
	admin = is_admin(req);

	found = find_own(req, admin, name, id);
	if (found.ref != REF_NONE) {
		owner = vault_owner(a->vault, found.ref);
		own = may_handle(req, false, name, owner->uid, owner->name);
		return end_token(req, found.ref, own ? END_OWNER : END_ADMINISTRATOR, admin);
	}
	if (!found.ended)
		return reply_no_such_token(req);
	return change_read_ended(req, found.ended->row, NULL, on_ended_by_id);
}

static enum dispatched revoke_by_value(struct request *req, struct span value)
{
	struct presented presented;

	switch (present(req->agent, value, req->now_us, &presented)) {
	case VERDICT_INVALID:
		return reply_verdict(req, VERDICT_INVALID, &presented);
	case VERDICT_ENDED:
		return change_read_ended(req, presented.row, presented.hash, on_ended_by_id);
	case VERDICT_GOOD:
	case VERDICT_EXPIRED:
	case VERDICT_REVOKED:
		break;
	}
	return end_token(req, presented.ref, END_PRESENTED, false);
}

enum dispatched method_revoke(struct request *req)
{
	struct bad_parameter bad;
	struct revoke_call call;
	uint64_t id;

	if (!params_read(&req->call.params, revoke_fields, ARRAY_SIZE(revoke_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	if (!call.id.p == !call.token.p)
		return reply_invalid_parameter(req, call.id.p ? "token" : "id");
	/* While locked by id only: a value is not looked at. */
	if (call.token.p && req->agent->locked)
		return reply_agent_locked(req);
	if (call.token.p)
		return revoke_by_value(req, call.token);
	if (!id_read(call.id, &id))
		return reply_invalid_parameter(req, "id");
	return revoke_by_id(req, id);
}

/* ---- Rotate ---------------------------------------------------------------------------------- */

struct rotate_call {
	struct span id;
	struct field_int grace_s;
	struct field_int lifetime_s;
};

static const struct field rotate_fields[] = {
	{ "id", offsetof(struct rotate_call, id), FIELD_STRING, true, NULL },
	{ "graceSec", offsetof(struct rotate_call, grace_s), FIELD_INT, false, NULL },
	{ "lifetimeSec", offsetof(struct rotate_call, lifetime_s), FIELD_INT, false, NULL },
};

/* What is worked out for a rotation before anything is prepared. */
struct rotation {
	token_ref old;
	struct token_facts old_facts;
	token_ref parent;
	token_ref earlier; /* what replaced it before, unused: it goes */
	uint64_t length_us;
	uint64_t grace_us;
};

static bool rotate_call_parse(struct request *req, struct rotate_call *call, uint64_t *ret_id,
			      struct bad_parameter *bad)
{
	if (!params_read(&req->call.params, rotate_fields, ARRAY_SIZE(rotate_fields),
			 &req->agent->text, call, sizeof(*call), bad))
		return false;
	if (!id_read(call->id, ret_id)) {
		bad->name = SPAN("id");
		return false;
	}
	if (!call->grace_s.is_set)
		call->grace_s.value = GRACE_DEFAULT_S;
	if (call->grace_s.value < 0 || call->grace_s.value > GRACE_MAX_S) {
		bad->name = SPAN("graceSec");
		return false;
	}
	return true;
}

/*
 * The length of the new token's life: as asked, else the old one's; within the settings, or for a
 * derived token within what is left of its parent. False, and the bounds, where that can't be.
 */
static bool find_length(struct request *req, const struct rotate_call *call,
			struct rotation *rotation, uint64_t *ret_min_us, uint64_t *ret_max_us)
{
	const struct settings *settings = &req->agent->settings;
	uint64_t asked_us = rotation->old_facts.length_us, min_us = settings->min_lifetime_us,
		 max_us = settings->max_lifetime_us;

	if (rotation->parent != REF_NONE) {
		min_us = USEC_PER_SEC;
		max_us = vault_expires_us(req->agent->vault, rotation->parent);
		max_us = max_us > req->now_us ? max_us - req->now_us : 0;
		if (!call->lifetime_s.is_set && asked_us > max_us)
			asked_us = max_us;
	} else if (!call->lifetime_s.is_set && min_us > asked_us) {
		/* Issued under other settings: a length it had is no reason to refuse. */
		min_us = asked_us;
	}
	if (call->lifetime_s.is_set) {
		if (call->lifetime_s.value < 1 ||
		    (uint64_t)call->lifetime_s.value > UINT64_MAX / USEC_PER_SEC)
			asked_us = 0;
		else
			asked_us = (uint64_t)call->lifetime_s.value * USEC_PER_SEC;
	}
	*ret_min_us = min_us;
	*ret_max_us = max_us;
	rotation->length_us = asked_us;
	return asked_us >= min_us && asked_us <= max_us && asked_us > 0;
}

/*
 * Where the token was rotated before and its successor never used, the reply was lost, or its
 * value: the new one takes the successor's place too. One that is in use stays, and the old one is
 * no longer to be rotated.
 */
static bool find_earlier(struct agent *a, struct rotation *rotation)
{
	struct token_facts facts;

	if (!rotation->old_facts.replaced_by)
		return true;
	rotation->earlier = vault_find(a->vault, rotation->old_facts.replaced_by);
	if (rotation->earlier == REF_NONE)
		return true;
	vault_facts(a->vault, rotation->earlier, &facts);
	return facts.last_used_us == 0 && facts.replaced_by == 0 &&
	       vault_n_children(a->vault, rotation->earlier) == 0;
}

static struct token_facts successor_of(struct request *req, const struct rotation *rotation)
{
	struct token_facts facts = rotation->old_facts;

	facts.created_us = req->now_us;
	facts.length_us = rotation->length_us;
	facts.expires_us = req->now_us + rotation->length_us;
	facts.last_used_us = 0;
	facts.last_used_by = SPAN_NONE;
	facts.replaced_by = 0;
	facts.issued_to = peer_label(req->connection);
	return facts;
}

/* The end of the old one, now or after the grace, as a step of the change and in *facts. */
static int end_old(struct request *req, struct vault_change *change,
		   const struct rotation *rotation, uint64_t by, struct token_facts *facts)
{
	int r;

	facts->replaced_by = by;
	if (rotation->grace_us == 0) {
		facts->state = TOKEN_REVOKED;
		facts->ended = END_ROTATED;
		facts->ended_us = req->now_us;
		r = vault_prepare_replace(change, rotation->old, by, facts->expires_us);
		return r < 0 ? r
			     : vault_prepare_end(change, rotation->old, TOKEN_REVOKED, END_ROTATED,
						 req->now_us);
	}
	if (req->now_us + rotation->grace_us < facts->expires_us)
		facts->expires_us = req->now_us + rotation->grace_us;
	return vault_prepare_replace(change, rotation->old, by, facts->expires_us);
}

static int prepare_rotation(struct request *req, struct vault_change *change,
			    const struct rotation *rotation, struct token_facts *new_facts,
			    struct token_facts *old_facts)
{
	int r = 0;

	if (rotation->earlier != REF_NONE)
		r = vault_prepare_end(change, rotation->earlier, TOKEN_REVOKED, END_ROTATED,
				      req->now_us);
	if (r == 0)
		r = mint(req->agent, change, new_facts, rotation->parent);
	if (r == 0)
		r = end_old(req, change, rotation, new_facts->id, old_facts);
	return r;
}

static enum dispatched rotate(struct request *req, const struct rotation *rotation)
{
	struct agent *a = req->agent;
	struct token_facts new_facts = successor_of(req, rotation), old_facts = rotation->old_facts;
	struct vault_change *change;
	struct holder_entry *holder = NULL;
	struct json_writer *w;
	int r;

	if (old_facts.binding != BINDING_NONE) {
		holder = holder_find(a, old_facts.binding, &old_facts.holder);
		/* It has just gone, and the token goes with it. */
		if (!holder)
			return change_wait(req);
	}
	change = vault_change_new(a->vault);
	r = change ? prepare_rotation(req, change, rotation, &new_facts, &old_facts) : -ENOMEM;
	if (r < 0) {
		mint_done(a);
		vault_rollback(change);
		holder_unpin(a, holder);
		return r == -EBUSY ? change_wait(req) : mint_failed(req);
	}
	w = mint_reply_begin(req, &new_facts);
	json_key(w, "previous");
	write_token(w, &old_facts);
	reply_end(req);
	mint_done(a);
	return mint_submit(req, change, new_facts.id, holder);
}

/* Judges a rotation of a token that the peer may handle, and is good. */
static enum dispatched judge(struct request *req, const struct rotate_call *call,
			     struct rotation *rotation)
{
	struct agent *a = req->agent;
	const struct token_facts *old = &rotation->old_facts;
	const struct policy_credential *minted;
	uint64_t min_us, max_us;
	bool one_more;

	if (old->parent)
		rotation->parent = vault_find(a->vault, old->parent);
	if (vault_is_busy(a->vault, rotation->old) ||
	    (rotation->parent != REF_NONE && vault_is_busy(a->vault, rotation->parent)))
		return change_wait(req);
	if (!find_earlier(a, rotation))
		return reply_invalid_parameter(req, "id");
	if (rotation->earlier != REF_NONE && vault_is_busy(a->vault, rotation->earlier))
		return change_wait(req);
	if (!find_length(req, call, rotation, &min_us, &max_us))
		return reply_lifetime(req, min_us, max_us);
	/* What is left of its uses goes over at once, so that none is there twice. */
	rotation->grace_us =
		old->uses_left == USES_UNLIMITED ? (uint64_t)call->grace_s.value * USEC_PER_SEC : 0;
	/* Where one goes for the one that comes, there are no more than before. */
	one_more = rotation->earlier == REF_NONE && rotation->grace_us > 0;
	minted = old->credential.p ? policy_find_credential(a->policy, old->credential) : NULL;
	if (one_more && minted && vault_n_minted(a->vault, old->credential) >= minted->max_tokens)
		return reply_limit(req, "MaxTokens", (int64_t)minted->max_tokens);
	if (one_more && !old->credential.p && !mint_has_room(a, old->owner_uid, old->owner_name))
		return reply_limit(req, "MaxTokensPerUser",
				   (int64_t)a->settings.max_tokens_per_user);
	if (one_more && rotation->parent != REF_NONE &&
	    vault_n_children(a->vault, rotation->parent) >= TOKEN_CHILDREN_MAX)
		return reply_limit(req, "children", TOKEN_CHILDREN_MAX);
	return rotate(req, rotation);
}

static void on_ended_rotated(struct request *req, const struct token_facts *facts,
			     const uint8_t *hash, int r)
{
	(void)hash;
	if (r < 0)
		reply_store_failed(req, NULL);
	else if (!facts)
		reply_no_such_token(req);
	else if (facts->state == TOKEN_EXPIRED)
		reply_token_expired(req, facts);
	else
		reply_token_revoked(req, facts->id);
}

enum dispatched method_rotate(struct request *req)
{
	struct agent *a = req->agent;
	struct rotation rotation = { 0 };
	struct rotate_call call;
	struct bad_parameter bad;
	enum dispatched answer;
	enum identity identity;
	struct found found;
	struct span name;
	bool admin;
	uint64_t id;

	if (!rotate_call_parse(req, &call, &id, &bad))
		return reply_bad_parameter(req, &bad);
	req->about.token = id;
	identity = identify(req, &name);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	if (identity == IDENTITY_REFUSED)
		return reply_permission_denied(req);
	admin = is_admin(req);

	found = find_own(req, admin, name, id);
	if (found.ref == REF_NONE && !found.ended)
		return reply_no_such_token(req);
	if (found.ref == REF_NONE)
		return change_read_ended(req, found.ended->row, NULL, on_ended_rotated);
	rotation.old = found.ref;
	facts_told(a, rotation.old, &rotation.old_facts);
	if (is_denied(a, rotation.old))
		return reply_token_revoked(req, id);
	if (vault_is_over(a->vault, rotation.old, req->now_us))
		return over_may_be_told(req, rotation.old, &answer)
			       ? reply_token_expired(req, &rotation.old_facts)
			       : answer;
	return judge(req, &call, &rotation);
}
