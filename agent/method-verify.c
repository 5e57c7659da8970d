/*
 * agent/method-verify.c - the call that all others exist for. On the good path: no allocation, no look-up of names, no log
 * line, no system call but those of the connection.
 */
#include <errno.h>
#include <stddef.h>

#include "agent/authority.h"
#include "agent/change.h"
#include "agent/cut.h"
#include "agent/method.h"
#include "agent/presented.h"
#include "agent/reply.h"
#include "protocol/base/time.h"

struct verify_call {
	struct span token;
	struct field_strings scopes;
	struct field_int bearer;
};

static const struct field verify_fields[] = {
	{ "token", offsetof(struct verify_call, token), FIELD_STRING, true, NULL },
	{ "scopes", offsetof(struct verify_call, scopes), FIELD_STRINGS, false, NULL },
	{ "bearer", offsetof(struct verify_call, bearer), FIELD_INT, false, NULL },
};

static bool verify_call_parse(struct request *req, struct verify_call *call, struct bad_parameter *bad)
{
	if (!params_read(&req->call.params, verify_fields, ARRAY_SIZE(verify_fields), &req->agent->text, call,
			 sizeof(*call), bad))
		return false;
	/* A bearer must be a descriptor of this message, and none is taken from messages. */
	if (call->bearer.is_set) {
		bad->name = SPAN("bearer");
		return false;
	}
	for (unsigned i = 0; i < call->scopes.n; i++)
		if (!scope_is_plain(call->scopes.v[i])) {
			bad->name = SPAN("scopes");
			return false;
		}
	return true;
}

/* The first of the scopes that is not reached; p NULL: all are. */
static struct span beyond_reach(const struct verify_call *call, const struct packed_scopes *scopes,
				const struct access *access)
{
	for (unsigned i = 0; i < call->scopes.n; i++)
		if (!cut_matches(scopes, access, call->scopes.v[i]))
			return call->scopes.v[i];
	return SPAN_NONE;
}

static void write_scope(void *userdata, struct span scope)
{
	json_put_string(userdata, scope);
}

/* What a verifier is told of the access, where the policy has it told less than all. */
struct told {
	struct request *req;
	struct subject subject;
	struct json_writer *w;
};

static void tell_scope(void *userdata, struct span scope)
{
	struct told *told = userdata;

	verify_tells(told->req->agent->policy, &told->subject, &scope, 1, write_scope, told->w);
}

static enum dispatched reply_verify(struct request *req, const struct token_facts *facts, const struct access *access)
{
	struct json_writer *w = reply_begin(req);
	struct told told = { .req = req, .w = w };
	bool written;

	json_key(w, "info");
	write_token(w, facts);
	json_key(w, "access");
	json_open(w, '[');
	if (verify_needs_peer(req->agent->policy)) {
		subject_of(req, &told.subject);
		written = cut_each(&facts->scopes, access, tell_scope, &told);
	} else {
		written = cut_each(&facts->scopes, access, write_scope, w);
	}
	json_close(w, ']');
	if (!written) {
		reply_drop(req);
		return reply_limit(req, "memory", 0);
	}
	return reply_end(req);
}

/* The facts as they are with this use. */
static void note_use(struct request *req, struct token_facts *facts)
{
	facts->last_used_us = req->now_us - req->now_us % USEC_PER_SEC;
	facts->last_used_by = peer_label(req->connection);
}

/* Takes one of the uses, which must be durable before the answer. */
static enum dispatched verify_with_use(struct request *req, token_ref ref, struct token_facts *facts,
				       const struct access *access)
{
	struct agent *a = req->agent;
	struct vault_change *change;
	int64_t left;
	int r;

	if (vault_is_busy(a->vault, ref))
		return change_wait(req);
	change = vault_change_new(a->vault);
	r = change ? vault_prepare_use(change, ref, req->now_us, peer_label(req->connection), &left) : -ENOMEM;
	if (r < 0) {
		vault_rollback(change);
		/* Another call under way has the last use: what becomes of it decides. */
		return r == -ENOENT ? change_wait(req) : reply_limit(req, "memory", (int64_t)a->settings.memory_limit);
	}
	note_use(req, facts);
	facts->uses_left = left;
	if (left == 0) {
		facts->state = TOKEN_REVOKED;
		facts->ended = END_USES;
		facts->ended_us = req->now_us;
	}
	a->verified_total++;
	reply_verify(req, facts, access);
	return change_submit(req, change, NULL, 0);
}

static enum dispatched refuse(struct request *req, struct span scope)
{
	req->agent->denied_total++;
	return reply_error(req, "io.jeton.Agent.InsufficientScope", "scope", scope);
}

enum dispatched method_verify(struct request *req)
{
	_cleanup_(access_done) struct access space = { 0 };
	struct agent *a = req->agent;
	const struct access *access;
	struct presented presented;
	struct bad_parameter bad;
	struct token_facts facts;
	struct verify_call call;
	enum identity identity;
	enum verdict verdict;
	struct span scope;

	if (!verify_call_parse(req, &call, &bad))
		return reply_bad_parameter(req, &bad);

	verdict = present(a, call.token, req->now_us, &presented);
	if (verdict == VERDICT_GOOD)
		vault_facts(a->vault, presented.ref, &facts);
	identity = may_verify(req, verdict == VERDICT_GOOD ? &facts : NULL);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	if (identity == IDENTITY_REFUSED)
		return reply_permission_denied(req);
	if (verdict != VERDICT_GOOD)
		return reply_verdict(req, verdict, &presented);

	/* What the owner reaches now, not when the token was made. */
	identity = owner_access(a, facts.owner_uid, facts.owner_name, &space, &access);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	scope = beyond_reach(&call, &facts.scopes, access);
	if (scope.p)
		return refuse(req, scope);

	if (facts.uses_left != USES_UNLIMITED)
		return verify_with_use(req, presented.ref, &facts, access);
	note_use(req, &facts);
	vault_used(a->vault, presented.ref, req->now_us, facts.last_used_by);
	a->verified_total++;
	return reply_verify(req, &facts, access);
}
