/* agent/method-issue.c - new tokens: of a user (Issue) and of another token (Derive). */
#include <errno.h>
#include <stddef.h>

#include "agent/authority.h"
#include "agent/change.h"
#include "agent/cut.h"
#include "agent/holder.h"
#include "agent/method.h"
#include "agent/mint.h"
#include "agent/presented.h"
#include "agent/reply.h"
#include "protocol/base/parse.h"
#include "protocol/base/time.h"

static const char *const bindings[] = { "none", "process", "unit", NULL };

/* What Issue and Derive have in common. */
struct issue_call {
	struct span token; /* Derive */
	struct span name;
	struct field_int lifetime_s;
	struct field_strings scopes;
	struct field_int binding;
	struct field_int uses;
	struct field_int owner_uid; /* Issue */
};

static const struct field issue_fields[] = {
	{ "name", offsetof(struct issue_call, name), FIELD_STRING, true, NULL },
	{ "lifetimeSec", offsetof(struct issue_call, lifetime_s), FIELD_INT, false, NULL },
	{ "scopes", offsetof(struct issue_call, scopes), FIELD_STRINGS, false, NULL },
	{ "binding", offsetof(struct issue_call, binding), FIELD_CHOICE, false, bindings },
	{ "uses", offsetof(struct issue_call, uses), FIELD_INT, false, NULL },
	{ "ownerUid", offsetof(struct issue_call, owner_uid), FIELD_INT, false, NULL },
};

static const struct field derive_fields[] = {
	{ "token", offsetof(struct issue_call, token), FIELD_STRING, true, NULL },
	{ "name", offsetof(struct issue_call, name), FIELD_STRING, true, NULL },
	{ "lifetimeSec", offsetof(struct issue_call, lifetime_s), FIELD_INT, false, NULL },
	{ "scopes", offsetof(struct issue_call, scopes), FIELD_STRINGS, false, NULL },
	{ "binding", offsetof(struct issue_call, binding), FIELD_CHOICE, false, bindings },
	{ "uses", offsetof(struct issue_call, uses), FIELD_INT, false, NULL },
};

/* uids that systemd gives out afresh, to DynamicUser= units. */
enum { DYNAMIC_UID_MIN = 61184, DYNAMIC_UID_MAX = 65519, NOBODY = 65534 };

static bool scopes_are_valid(const struct field_strings *scopes)
{
	if (scopes->is_set && scopes->n == 0)
		return false;
	for (unsigned i = 0; i < scopes->n; i++) {
		if (!scope_is_pattern(scopes->v[i]))
			return false;
		for (unsigned j = 0; j < i; j++)
			if (span_equal(scopes->v[i], scopes->v[j]))
				return false;
	}
	return true;
}

/* The name of the first parameter that is out of bounds, or NULL. */
static const char *out_of_bounds(const struct issue_call *call)
{
	if (call->name.n < 1 || call->name.n > TOKEN_NAME_MAX || !utf8_clean(call->name))
		return "name";
	if (!scopes_are_valid(&call->scopes))
		return "scopes";
	if (call->uses.is_set && call->uses.value < 1)
		return "uses";
	if (call->owner_uid.is_set &&
	    (call->owner_uid.value < 0 || call->owner_uid.value >= UINT32_MAX ||
	     call->owner_uid.value == NOBODY))
		return "ownerUid";
	return NULL;
}

static enum dispatched parse(struct request *req, const struct field fields[], size_t n,
			     struct issue_call *call, bool *ret_ok)
{
	struct bad_parameter bad;
	const char *name;

	*ret_ok = false;
	if (!params_read(&req->call.params, fields, n, &req->agent->text, call, sizeof(*call),
			 &bad))
		return reply_bad_parameter(req, &bad);
	name = out_of_bounds(call);
	if (name)
		return reply_invalid_parameter(req, name);
	*ret_ok = true;
	return DISPATCH_DONE;
}

/*
 * Prepares the token, writes its reply, and hands both over. holder: that it is bound to, pinned;
 * taken over.
 */
static enum dispatched bring_in(struct request *req, struct token_facts *facts, token_ref parent,
				struct holder_entry *holder)
{
	struct agent *a = req->agent;
	struct vault_change *change = vault_change_new(a->vault);

	if (!change || mint(a, change, facts, parent) < 0) {
		mint_done(a);
		vault_rollback(change);
		holder_unpin(a, holder);
		return mint_failed(req);
	}
	mint_reply_begin(req, facts);
	reply_end(req);
	mint_done(a);
	return mint_submit(req, change, facts->id, holder);
}

/* ---- Issue ----------------------------------------------------------------------------------- */

/* Whose token it will be: IDENTITY_KNOWN, or as identify() has it. */
static enum identity find_owner(struct request *req, const struct issue_call *call, uid_t *ret_uid,
				struct span *ret_name)
{
	uid_t uid = req->connection->peer.uid;

	if (!call->owner_uid.is_set || call->owner_uid.value == uid) {
		*ret_uid = uid;
		return identify(req, ret_name);
	}
	if (!is_admin(req))
		return IDENTITY_REFUSED;
	*ret_uid = (uid_t)call->owner_uid.value;
	return name_of(req->agent, *ret_uid, ret_name);
}

/* The first scope that is beyond the owner's access; p NULL: none. */
static struct span beyond_access(const struct issue_call *call, const struct access *access)
{
	for (unsigned i = 0; i < call->scopes.n; i++)
		if (!scope_is_within(call->scopes.v[i], access->scopes, access->n))
			return call->scopes.v[i];
	return SPAN_NONE;
}

/* The length of life that is asked for; false where it is out of range. */
static bool length_of(const struct field_int *lifetime_s, uint64_t absent_us, uint64_t min_us,
		      uint64_t max_us, uint64_t *ret_us)
{
	*ret_us = absent_us;
	if (!lifetime_s->is_set)
		return true;
	if (lifetime_s->value < 1 || (uint64_t)lifetime_s->value > UINT64_MAX / USEC_PER_SEC)
		return false;
	*ret_us = (uint64_t)lifetime_s->value * USEC_PER_SEC;
	return *ret_us >= min_us && *ret_us <= max_us;
}

enum dispatched method_issue(struct request *req)
{
	_cleanup_(access_done)
	struct access space = { 0 };
	const struct settings *settings = &req->agent->settings;
	uint8_t packed[PACKED_MAX];
	struct token_facts facts = { .uses_left = USES_UNLIMITED, .created_us = req->now_us };
	const struct access *access;
	struct issue_call call;
	enum dispatched answer;
	struct holder_entry *holder;
	enum identity identity;
	struct span scope;
	bool ok;

	answer = parse(req, issue_fields, ARRAY_SIZE(issue_fields), &call, &ok);
	if (!ok)
		return answer;
	identity = find_owner(req, &call, &facts.owner_uid, &facts.owner_name);
	if (identity == IDENTITY_KNOWN)
		identity = owner_access(req->agent, facts.owner_uid, facts.owner_name, &space,
					&access);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	if (identity == IDENTITY_REFUSED)
		return reply_permission_denied(req);
	if (facts.owner_uid >= DYNAMIC_UID_MIN && facts.owner_uid <= DYNAMIC_UID_MAX &&
	    call.binding.value == BINDING_NONE)
		return reply_invalid_parameter(req, "binding");

	if (!length_of(&call.lifetime_s, settings->default_lifetime_us, settings->min_lifetime_us,
		       settings->max_lifetime_us, &facts.length_us))
		return reply_lifetime(req, settings->min_lifetime_us, settings->max_lifetime_us);
	scope = beyond_access(&call, access);
	if (scope.p)
		return reply_error(req, "io.jeton.Agent.ScopeExceedsAccess", "scope", scope);
	if (!mint_has_room(req->agent, facts.owner_uid, facts.owner_name))
		return reply_limit(req, "MaxTokensPerUser", (int64_t)settings->max_tokens_per_user);

	facts.name = call.name;
	facts.scopes = pack_scopes(call.scopes.v, call.scopes.n, packed);
	facts.expires_us = req->now_us + facts.length_us;
	facts.issued_to = peer_label(req->connection);
	if (call.uses.is_set)
		facts.uses_left = call.uses.value;
	facts.binding = (enum token_binding)call.binding.value;
	answer = mint_bind_to_peer(req, &facts, &holder, &ok);
	return ok ? bring_in(req, &facts, REF_NONE, holder) : answer;
}

/* ---- Derive ---------------------------------------------------------------------------------- */

/* The first scope that the parent does not reach now; p NULL: none. */
static struct span beyond_parent(const struct issue_call *call, const struct token_facts *parent,
				 const struct access *access)
{
	for (unsigned i = 0; i < call->scopes.n; i++)
		if (!cut_covers(&parent->scopes, access, call->scopes.v[i]))
			return call->scopes.v[i];
	return SPAN_NONE;
}

/* A child of a bound parent serves the parent's holder; of another, whom it is asked to. */
static enum dispatched bind_child(struct request *req, const struct issue_call *call,
				  const struct token_facts *parent, struct token_facts *facts,
				  struct holder_entry **ret_holder, bool *ret_ok)
{
	if (parent->binding == BINDING_NONE) {
		facts->binding = (enum token_binding)call->binding.value;
		return mint_bind_to_peer(req, facts, ret_holder, ret_ok);
	}
	facts->binding = parent->binding;
	facts->holder = parent->holder;
	*ret_holder = holder_find(req->agent, parent->binding, &parent->holder);
	*ret_ok = *ret_holder;
	/* The holder has just gone, and the parent goes with it. */
	return *ret_ok ? DISPATCH_DONE : change_wait(req);
}

/* The child of a parent that is good, and of an owner with this access. */
static enum dispatched derive(struct request *req, const struct issue_call *call,
			      token_ref parent_ref, const struct token_facts *parent,
			      const struct access *access)
{
	uint8_t packed[PACKED_MAX];
	uint64_t rest_us = parent->expires_us - req->now_us;
	struct token_facts facts = {
		.name = call->name,
		.owner_uid = parent->owner_uid,
		.owner_name = parent->owner_name,
		.created_us = req->now_us,
		.uses_left = call->uses.is_set ? call->uses.value : USES_UNLIMITED,
		.parent = parent->id,
		.issued_to = peer_label(req->connection),
	};
	struct holder_entry *holder;
	enum dispatched answer;
	struct span scope;
	bool ok;

	req->about.token = parent->id;
	if (parent->binding != BINDING_NONE && call->binding.is_set &&
	    call->binding.value != parent->binding)
		return reply_invalid_parameter(req, "binding");
	if (!length_of(&call->lifetime_s, rest_us, USEC_PER_SEC, rest_us, &facts.length_us))
		return reply_lifetime(req, USEC_PER_SEC, rest_us);
	scope = beyond_parent(call, parent, access);
	if (scope.p)
		return reply_error(req, "io.jeton.Agent.ScopeExceedsAccess", "scope", scope);
	if (vault_n_children(req->agent->vault, parent_ref) >= TOKEN_CHILDREN_MAX)
		return reply_limit(req, "children", TOKEN_CHILDREN_MAX);
	if (!mint_has_room(req->agent, parent->owner_uid, parent->owner_name))
		return reply_limit(req, "MaxTokensPerUser",
				   (int64_t)req->agent->settings.max_tokens_per_user);

	facts.expires_us = req->now_us + facts.length_us;
	facts.scopes = call->scopes.is_set ? pack_scopes(call->scopes.v, call->scopes.n, packed)
					   : parent->scopes;
	answer = bind_child(req, call, parent, &facts, &holder, &ok);
	return ok ? bring_in(req, &facts, parent_ref, holder) : answer;
}

enum dispatched method_derive(struct request *req)
{
	_cleanup_(access_done)
	struct access space = { 0 };
	struct agent *a = req->agent;
	const struct access *access;
	struct presented presented;
	struct token_facts parent;
	struct issue_call call;
	enum dispatched answer;
	enum identity identity;
	enum verdict verdict;
	bool ok, limited;

	answer = parse(req, derive_fields, ARRAY_SIZE(derive_fields), &call, &ok);
	if (!ok)
		return answer;
	if (!is_anybody(req))
		return reply_permission_denied(req);
	verdict = present(a, call.token, req->now_us, &presented);
	if (verdict == VERDICT_GOOD)
		vault_facts(a->vault, presented.ref, &parent);
	identity = may_verify(req, verdict == VERDICT_GOOD ? &parent : NULL, &limited);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	if (identity == IDENTITY_REFUSED)
		return reply_permission_denied(req);
	if (verdict != VERDICT_GOOD)
		return reply_verdict(req, verdict, &presented);
	/* A parent that is just being ended or replaced: what becomes of it decides. */
	if (vault_is_busy(a->vault, presented.ref))
		return change_wait(req);
	if (!holder_is_at(a, req->connection->fd, parent.binding, &parent.holder))
		return reply_wrong_bearer(req, parent.id);
	if (parent.uses_left != USES_UNLIMITED)
		return reply_invalid_parameter(req, "token");
	identity = owner_access(a, parent.owner_uid, parent.owner_name, &space, &access);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	return derive(req, &call, presented.ref, &parent, access);
}
