/*
 * agent/method-explain.c - Explain: what a user or a unit may do, by the functions that decide it.
 *
 * Who asks of itself is judged as its connection is at this moment. Who is named by an
 * administrator is judged as the accounts have it, since there is no process to look at.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "agent/authority.h"
#include "agent/change.h"
#include "agent/method.h"
#include "agent/policy/explain.h"
#include "agent/reply.h"
#include "protocol/base/parse.h"
#include "protocol/scope.h"

enum { USER_MAX = 255, WHO_MAX = USER_MAX + 64 };

struct explain_call {
	struct span user;
	struct span unit;
	struct span credential;
	struct span scope;
};

static const struct field explain_fields[] = {
	{ "user", offsetof(struct explain_call, user), FIELD_STRING, false, NULL },
	{ "unit", offsetof(struct explain_call, unit), FIELD_STRING, false, NULL },
	{ "credential", offsetof(struct explain_call, credential), FIELD_STRING, false, NULL },
	{ "scope", offsetof(struct explain_call, scope), FIELD_STRING, false, NULL },
};

/* Whom it is about. */
struct asked {
	struct subject subject;
	char unit[UNIT_NAME_MAX + 1]; /* what subject.unit points to, where it was named */
	char text[WHO_MAX];
	bool no_user; /* a unit alone was named */
	bool unknown; /* a user that there is not; text says so */
};

/* ---- the call -------------------------------------------------------------------------------- */

/* The parameter that can't be, or NULL. */
static const char *wrong_parameter(const struct explain_call *call)
{
	if (call->user.p &&
	    (call->user.n < 1 || call->user.n > USER_MAX || !utf8_clean(call->user)))
		return "user";
	if (call->unit.p &&
	    (call->unit.n < 1 || call->unit.n > UNIT_NAME_MAX || !utf8_clean(call->unit)))
		return "unit";
	if (call->scope.p && (call->credential.p || !scope_is_pattern(call->scope)))
		return "scope";
	return NULL;
}

/* ---- whom it is about ------------------------------------------------------------------------ */

static void describe(struct asked *asked, struct span name)
{
	if (name.p)
		snprintf(asked->text, sizeof(asked->text), "user %.*s (uid %u)",
			 (int)(name.n > USER_MAX ? USER_MAX : name.n), name.p,
			 (unsigned)asked->subject.uid);
	else
		snprintf(asked->text, sizeof(asked->text), "uid %u", (unsigned)asked->subject.uid);
}

/* The account's user and groups, and no unit. */
static enum identity take_account(struct request *req, uid_t uid, struct asked *ret)
{
	const struct user *user = names_user(req->agent->names, uid);

	if (!user)
		return IDENTITY_WAIT;
	ret->subject = (struct subject){
		.uid = uid,
		.groups = user->groups,
		.n_groups = user->n_groups,
	};
	describe(ret, span_of(user->name));
	return IDENTITY_KNOWN;
}

/* The peer, as it is now. Its access is that of its account. */
static enum identity take_peer(struct request *req, bool of_account, struct asked *ret)
{
	struct span name = SPAN_NONE;

	switch (identify(req, &name)) {
	case IDENTITY_WAIT:
		return IDENTITY_WAIT;
	case IDENTITY_KNOWN:
		if (of_account)
			return take_account(req, req->connection->peer.uid, ret);
		break;
	case IDENTITY_REFUSED:
		break;
	}
	subject_with_unit(req, &ret->subject);
	describe(ret, name);
	return IDENTITY_KNOWN;
}

static bool is_number(struct span text, uid_t *ret)
{
	uint64_t number;

	if (parse_u64(text, UINT32_MAX - 1, &number) < 0)
		return false;
	*ret = (uid_t)number;
	return true;
}

/* Whether the text names the peer itself. */
static enum identity names_peer(struct request *req, struct span user)
{
	struct span name;
	enum identity identity;
	uid_t uid;

	identity = identify(req, &name);
	if (identity != IDENTITY_KNOWN)
		return identity;
	if (is_number(user, &uid))
		return uid == req->connection->peer.uid ? IDENTITY_KNOWN : IDENTITY_REFUSED;
	return name.p && span_equal(user, name) ? IDENTITY_KNOWN : IDENTITY_REFUSED;
}

/* Whether the peer is in the unit of this name. */
static bool is_peers_unit(struct request *req, struct span unit)
{
	struct subject subject;

	subject_with_unit(req, &subject);
	return subject.unit && span_is(unit, subject.unit);
}

/* Everyone may ask of themselves: KNOWN, REFUSED or WAIT. */
static enum identity may_ask(struct request *req, const struct explain_call *call)
{
	if (is_admin(req))
		return IDENTITY_KNOWN;
	if (!is_anybody(req) || (call->unit.p && !is_peers_unit(req, call->unit)))
		return IDENTITY_REFUSED;
	return call->user.p ? names_peer(req, call->user) : IDENTITY_KNOWN;
}

static enum identity take_named(struct request *req, struct span text, struct asked *ret)
{
	struct names *names = req->agent->names;
	char name[USER_MAX + 1];
	uid_t uid;
	int r;

	if (is_number(text, &uid))
		return take_account(req, uid, ret);
	snprintf(name, sizeof(name), "%.*s", (int)text.n, text.p);
	r = names_user_id(names, name, &uid);
	if (r == 1)
		return take_account(req, uid, ret);
	if (r == -EAGAIN) {
		names_ask_user(names, name);
		return IDENTITY_WAIT;
	}
	ret->unknown = true;
	snprintf(ret->text, sizeof(ret->text),
		 r == 0 ? "there is no user '%s' here"
			: "whether there is a user '%s' can't be found out now",
		 name);
	return IDENTITY_KNOWN;
}

/* A unit whose user was not named: nobody, with no groups. */
static void take_unit(struct asked *ret)
{
	ret->subject = (struct subject){ .uid = (uid_t)-1 };
	ret->no_user = true;
	snprintf(ret->text, sizeof(ret->text), "unit %.200s (no user named)", ret->unit);
}

static enum identity find_asked(struct request *req, const struct explain_call *call,
				struct asked *ret)
{
	enum identity identity = IDENTITY_KNOWN;

	*ret = (struct asked){ .no_user = false };
	snprintf(ret->unit, sizeof(ret->unit), "%.*s", (int)call->unit.n,
		 call->unit.p ? call->unit.p : "");
	if (call->user.p)
		identity = take_named(req, call->user, ret);
	else if (call->unit.p && is_admin(req))
		take_unit(ret);
	else
		identity = take_peer(req, call->scope.p, ret);
	if (call->unit.p)
		ret->subject.unit = ret->unit;
	return identity;
}

/* ---- the answer ------------------------------------------------------------------------------ */

static enum dispatched reply_lines(struct request *req, const bool *allowed,
				   const char *const lines[], size_t n)
{
	struct json_writer *w = reply_begin(req);

	json_key(w, "allowed");
	if (allowed)
		json_put_bool(w, *allowed);
	else
		json_put_null(w);
	json_key(w, "lines");
	json_open(w, '[');
	for (size_t i = 0; i < n; i++)
		json_put_string(w, span_of(lines[i]));
	json_close(w, ']');
	return reply_end(req);
}

/* All is refused; what is wrong comes first. */
static enum dispatched reply_refusing(struct request *req)
{
	const struct policy_error *e = &req->agent->policy_error;
	static const bool allowed = false;
	char wrong[sizeof(e->file) + sizeof(e->message) + 32];

	if (e->line)
		snprintf(wrong, sizeof(wrong), "%s:%u: %s", e->file, e->line, e->message);
	else
		snprintf(wrong, sizeof(wrong), "%s: %s", e->file, e->message);
	return reply_lines(
		req, &allowed,
		(const char *const[]){ wrong,
				       "the policies are wrong, so all but GetStatus, Explain and "
				       "Reload is refused until they are mended and reloaded" },
		2);
}

static enum dispatched reply_unknown(struct request *req, const char *why)
{
	return reply_lines(req, NULL, &why, 1);
}

/* Only an administrator is told what other credentials there are. */
static int explain_credential(struct request *req, const struct asked *asked,
			      struct span credential, struct explanation *ret)
{
	const struct policy *policy = req->agent->policy;

	if (!policy_find_credential(policy, credential) && !is_admin(req)) {
		*ret = (struct explanation){ .allowed = false };
		return 0;
	}
	return explain_fetch(policy, &asked->subject, asked->text, credential, ret);
}

static int explain(struct request *req, const struct explain_call *call, const struct asked *asked,
		   struct explanation *ret)
{
	const struct policy *policy = req->agent->policy;

	if (call->scope.p)
		return explain_access(policy, &asked->subject, asked->text, call->scope, ret);
	if (call->credential.p)
		return explain_credential(req, asked, call->credential, ret);
	return explain_verify(policy, &asked->subject, asked->text, ret);
}

static enum dispatched answer(struct request *req, const struct explain_call *call,
			      const struct asked *asked)
{
	static const char *const no_such = "there is no credential of that name";
	struct explanation e;
	const char *const *lines;
	enum dispatched dispatched;

	if (req->agent->refusing)
		return reply_refusing(req);
	if (asked->unknown)
		return reply_unknown(req, asked->text);
	if (call->scope.p && asked->no_user)
		return reply_unknown(req, "access goes by users alone: name the user");
	if (explain(req, call, asked, &e) < 0)
		return reply_limit(req, "memory", 0);
	lines = e.n > 0 ? (const char *const *)e.lines : &no_such;
	dispatched = reply_lines(req, &e.allowed, lines, e.n > 0 ? e.n : 1);
	explanation_done(&e);
	return dispatched;
}

enum dispatched method_explain(struct request *req)
{
	struct explain_call call;
	struct bad_parameter bad;
	struct asked asked;
	enum identity identity;
	const char *wrong;

	if (!params_read(&req->call.params, explain_fields, ARRAY_SIZE(explain_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	wrong = wrong_parameter(&call);
	if (wrong)
		return reply_invalid_parameter(req, wrong);
	if (!req->agent->policy)
		return change_wait_names(req);
	identity = may_ask(req, &call);
	if (identity == IDENTITY_KNOWN)
		identity = find_asked(req, &call, &asked);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	if (identity == IDENTITY_REFUSED)
		return reply_permission_denied(req);
	return answer(req, &call, &asked);
}
