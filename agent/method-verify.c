/*
 * agent/method-verify.c - the call that all others exist for. On the good path: no allocation, no
 * look-up of names, no log line, no system call but those of the connection (and one for a token's
 * first use in a second: last-use.h).
 */
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>

#include "agent/audit.h"
#include "agent/authority.h"
#include "agent/change.h"
#include "agent/cut.h"
#include "agent/holder.h"
#include "agent/last-use.h"
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

/*
 * Whether the descriptor of this index came with the call, and is one that a client can be at the
 * other end of.
 */
static bool is_connected_socket(const struct request *req, int64_t index)
{
	struct peer peer;
	int type = 0, domain = 0, listens = 1;
	socklen_t n = sizeof(int);

	if (index < 0 || index >= req->n_fds)
		return false;
	if (getsockopt(req->fds[index], SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
	    domain != AF_UNIX || getsockopt(req->fds[index], SOL_SOCKET, SO_TYPE, &type, &n) < 0 ||
	    type != SOCK_STREAM)
		return false;
	/* The peer of a listening socket is whoever made it listen. */
	if (getsockopt(req->fds[index], SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) < 0 || listens)
		return false;
	return peer_init(&peer, req->fds[index]) == 0 && peer.uid != (uid_t)-1;
}

static void take_plain(const struct plain_verify *plain, struct verify_call *call)
{
	call->token = plain->token;
	call->scopes.is_set = plain->n_scopes > 0;
	call->scopes.n = plain->n_scopes;
	for (unsigned i = 0; i < plain->n_scopes; i++)
		call->scopes.v[i] = plain->scopes[i];
	call->bearer.is_set = false;
}

static bool verify_call_parse(struct request *req, struct verify_call *call,
			      struct bad_parameter *bad)
{
	if (req->plain)
		take_plain(req->plain, call);
	else if (!params_read(&req->call.params, verify_fields, ARRAY_SIZE(verify_fields),
			      &req->agent->text, call, sizeof(*call), bad))
		return false;
	if (call->bearer.is_set && !is_connected_socket(req, call->bearer.value)) {
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

static void write_scope(void *userdata, struct span scope)
{
	json_put_string(userdata, scope);
}

/* What this verifier is told of a token's access. */
struct told {
	const struct policy *policy;
	const struct access *access;
	struct subject verifier;
	bool limited; /* to what the [Verify] sections let it know */
	struct json_writer *w;
};

static void note_told(void *userdata, struct span scope)
{
	(void)scope;
	*(bool *)userdata = true;
}

static bool is_told_of(const struct told *told, struct span plain)
{
	bool is_told = !told->limited;

	if (told->limited)
		verify_tells(told->policy, &told->verifier, &plain, 1, note_told, &is_told);
	return is_told;
}

/*
 * The first of the scopes that is not reached, or not for this verifier to know of; p NULL: none.
 */
static struct span beyond_reach(const struct verify_call *call, const struct packed_scopes *scopes,
				const struct told *told)
{
	for (unsigned i = 0; i < call->scopes.n; i++)
		if (!cut_matches(scopes, told->access, call->scopes.v[i]) ||
		    !is_told_of(told, call->scopes.v[i]))
			return call->scopes.v[i];
	return SPAN_NONE;
}

static void tell_scope(void *userdata, struct span scope)
{
	const struct told *told = userdata;

	verify_tells(told->policy, &told->verifier, &scope, 1, write_scope, told->w);
}

static enum dispatched reply_verify(struct request *req, const struct token_facts *facts,
				    struct told *told)
{
	struct json_writer *w = reply_begin(req);
	bool written;

	told->w = w;
	json_key(w, "info");
	write_token(w, facts);
	json_key(w, "access");
	json_open(w, '[');
	written = told->limited ? cut_each(&facts->scopes, told->access, tell_scope, told)
				: cut_each(&facts->scopes, told->access, write_scope, w);
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
static enum dispatched verify_with_use(struct request *req, token_ref ref,
				       struct token_facts *facts, struct told *told)
{
	struct agent *a = req->agent;
	struct vault_change *change;
	int64_t left;
	int r;

	if (vault_is_busy(a->vault, ref))
		return change_wait(req);
	change = vault_change_new(a->vault);
	r = change ? vault_prepare_use(change, ref, req->now_us, peer_label(req->connection), &left)
		   : -ENOMEM;
	if (r < 0) {
		vault_rollback(change);
		/* Another call under way has the last use: what becomes of it decides. */
		return r == -ENOENT ? change_wait(req)
				    : reply_limit(req, "memory", (int64_t)a->settings.memory_limit);
	}
	note_use(req, facts);
	facts->uses_left = left;
	if (left == 0) {
		facts->state = TOKEN_REVOKED;
		facts->ended = END_USES;
		facts->ended_us = req->now_us;
	}
	a->verified_total++;
	audit_verified(req, facts->id, 1);
	reply_verify(req, facts, told);
	return change_submit(req, change, NULL, 0);
}

static enum dispatched refuse(struct request *req, struct span scope, uint64_t token)
{
	req->agent->denied_total++;
	req->about.token = token;
	return reply_error(req, "io.jeton.Agent.InsufficientScope", "scope", scope);
}

/*
 * A bound token is good from its holder only: who bears it is at the other end of the socket passed
 * along, or is the peer.
 */
static bool is_borne_rightly(struct request *req, const struct verify_call *call,
			     const struct token_facts *facts)
{
	int fd = call->bearer.is_set ? req->fds[call->bearer.value] : req->connection->fd;

	return holder_is_at(req->agent, fd, facts->binding, &facts->holder);
}

/* A token that is good, for a verifier that may ask. */
static enum dispatched verify(struct request *req, const struct verify_call *call, token_ref ref,
			      struct token_facts *facts, bool limited)
{
	_cleanup_(access_done)
	struct access space = { 0 };
	struct agent *a = req->agent;
	struct told told = { .policy = a->policy, .limited = limited };
	struct last_use was;
	struct span scope;

	if (!is_borne_rightly(req, call, facts))
		return reply_wrong_bearer(req, facts->id);
	/* What the owner reaches now, not when the token was made. */
	if (owner_access(a, facts->owner_uid, facts->owner_name, &space, &told.access) ==
	    IDENTITY_WAIT)
		return change_wait_names(req);
	if (limited)
		verifier_of(req, &told.verifier);
	scope = beyond_reach(call, &facts->scopes, &told);
	if (scope.p)
		return refuse(req, scope, facts->id);

	if (facts->uses_left != USES_UNLIMITED)
		return verify_with_use(req, ref, facts, &told);
	was = (struct last_use){ facts->last_used_us, facts->last_used_by };
	note_use(req, facts);
	if (!last_use_verified(a, ref, &was, facts) && facts->binding == BINDING_NONE)
		a->n_quiet++;
	a->verified_total++;
	audit_verified(req, facts->id, 1);
	return reply_verify(req, facts, &told);
}

enum dispatched method_verify(struct request *req)
{
	struct presented presented;
	struct bad_parameter bad;
	struct token_facts facts NOT_ZEROED;
	struct verify_call call NOT_ZEROED;
	enum verdict verdict;
	bool limited;

	if (!verify_call_parse(req, &call, &bad))
		return reply_bad_parameter(req, &bad);
	verdict = present(req->agent, call.token, req->now_us, &presented);
	if (verdict == VERDICT_GOOD)
		vault_facts(req->agent->vault, presented.ref, &facts);
	switch (may_verify(req, verdict == VERDICT_GOOD ? &facts : NULL, &limited)) {
	case IDENTITY_WAIT:
		return change_wait_names(req);
	case IDENTITY_REFUSED:
		return reply_permission_denied(req);
	case IDENTITY_KNOWN:
		break;
	}
	if (verdict != VERDICT_GOOD)
		return reply_verdict(req, verdict, &presented);
	return verify(req, &call, presented.ref, &facts, limited);
}
