/*
 * agent/dispatch.c - see dispatch.h. One table has every method of the interfaces, and who may call
 * it; that is decided before a parameter is parsed.
 */
#include "agent/dispatch.h"

#include "agent/authority.h"
#include "agent/change.h"
#include "agent/method.h"
#include "agent/policy/map-rights.h"
#include "agent/reply.h"

enum who {
	ANYONE,
	ADMINISTRATORS,
};

enum method_flags {
	NEEDS_MORE = 1,		/* many replies */
	REPLY_IS_POINT = 2,	/* oneway: nothing happens */
	EVEN_WHEN_REFUSING = 4, /* with wrong policies too */
	EVEN_WHEN_LOCKED = 8,
};

struct method {
	const char *name;
	enum dispatched (*call)(struct request *req);
	enum who who;
	unsigned flags;
};

static const struct method service_methods[] = {
	{ "GetInfo", method_get_info, ANYONE, EVEN_WHEN_REFUSING | EVEN_WHEN_LOCKED },
	{ "GetInterfaceDescription", method_get_interface_description, ANYONE,
	  EVEN_WHEN_REFUSING | EVEN_WHEN_LOCKED },
};

static const struct method agent_methods[] = {
	{ "Verify", method_verify, ANYONE, 0 },
	{ "Issue", method_issue, ANYONE, REPLY_IS_POINT },
	{ "Derive", method_derive, ANYONE, REPLY_IS_POINT },
	{ "List", method_list, ANYONE, NEEDS_MORE },
	{ "Describe", method_describe, ANYONE, 0 },
	{ "Revoke", method_revoke, ANYONE, EVEN_WHEN_LOCKED }, /* by id */
	{ "Rotate", method_rotate, ANYONE, REPLY_IS_POINT },
	{ "GetStatus", method_get_status, ANYONE, EVEN_WHEN_REFUSING | EVEN_WHEN_LOCKED },
	{ "Reload", method_reload, ADMINISTRATORS, EVEN_WHEN_REFUSING },
	{ "Put", method_put, ADMINISTRATORS, 0 },
	{ "Forget", method_forget, ADMINISTRATORS, 0 },
	{ "ListCredentials", method_list_credentials, ANYONE, NEEDS_MORE },
	{ "Fetch", method_fetch, ANYONE, REPLY_IS_POINT },
	{ "Watch", method_watch, ANYONE, NEEDS_MORE },
	{ "Explain", method_explain, ANYONE, EVEN_WHEN_REFUSING },
	{ "Lock", method_lock, ADMINISTRATORS, 0 },
	{ "Unlock", method_unlock, ADMINISTRATORS, EVEN_WHEN_LOCKED },
	{ "Rekey", method_rekey, ADMINISTRATORS, 0 },
	{ "Backup", method_backup, ADMINISTRATORS, REPLY_IS_POINT },
	{ "ReadAudit", method_read_audit, ADMINISTRATORS, NEEDS_MORE },
};

static const struct method verifier_methods[] = {
	{ "GetMap", method_get_map, ANYONE, REPLY_IS_POINT },
	{ "ReportUses", method_report_uses, ANYONE, 0 },
};

/* While it is not known yet, a call waits until it is. */
static bool may_have_maps(const struct agent *a)
{
	return !a->policy || map_is_offered(a->policy);
}

static const struct interface {
	struct span name;
	const struct method *methods;
	size_t n_methods;
	bool (*is_there)(const struct agent *a); /* NULL: always */
} interfaces[] = {
	{ { "io.jeton.Agent", 14 }, agent_methods, ARRAY_SIZE(agent_methods), NULL },
	{ { "org.varlink.service", 19 }, service_methods, ARRAY_SIZE(service_methods), NULL },
	{ { "io.jeton.Verifier", 17 }, verifier_methods, ARRAY_SIZE(verifier_methods), may_have_maps },
};

static struct span before_last_dot(struct span method)
{
	const char *dot = method.n ? memrchr(method.p, '.', method.n) : NULL;

	return (struct span){ method.p, dot ? (size_t)(dot - method.p) : 0 };
}

/* The method, or NULL: then *ret_interface says whether at least its interface is known. */
static const struct method *find_method(const struct agent *a, struct span name,
					struct span *ret_interface, bool *ret_interface_known)
{
	struct span interface = before_last_dot(name);
	struct span member = { name.p + interface.n + 1, name.n - interface.n - 1 };

	*ret_interface = interface;
	*ret_interface_known = false;
	if (interface.n == 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(interfaces); i++) {
		if (!span_equal(interfaces[i].name, interface) ||
		    (interfaces[i].is_there && !interfaces[i].is_there(a)))
			continue;
		*ret_interface_known = true;
		for (size_t m = 0; m < interfaces[i].n_methods; m++)
			if (span_is(member, interfaces[i].methods[m].name))
				return &interfaces[i].methods[m];
	}
	return NULL;
}

/* Whose uid is nobody's here: not even what everyone may. */
static enum dispatched refuse_unmapped(struct request *req)
{
	req->why = peer_standing_text(PEER_UNMAPPED);
	return reply_permission_denied(req);
}

/* An agent that is locked as well must be unlocked first, or the policies can't be reloaded. */
static bool is_refused_for_policies(const struct agent *a, const struct method *method)
{
	return a->refusing && !(method->flags & EVEN_WHEN_REFUSING) &&
	       !(a->locked && method->call == method_unlock);
}

static enum dispatched call_method(struct request *req)
{
	struct agent *a = req->agent;
	const struct method *method;
	struct span interface;
	bool known;

	method = find_method(a, req->call.method, &interface, &known);
	req->connection->method = method ? method->name : NULL;
	req->connection->is_administration = method && method->who == ADMINISTRATORS;
	if (!method && known)
		return reply_error(req, "org.varlink.service.MethodNotFound", "method",
				   req->call.method);
	if (!method)
		return reply_error(req, "org.varlink.service.InterfaceNotFound", "interface",
				   interface.n ? interface : req->call.method);
	if (a->locked && !(method->flags & EVEN_WHEN_LOCKED))
		return reply_agent_locked(req);
	if (is_refused_for_policies(a, method))
		return reply_policy_invalid(req, &a->policy_error);
	if (!a->policy && (method->who != ANYONE || !(method->flags & EVEN_WHEN_REFUSING)))
		return change_wait_names(req);
	if (peer_is_unmapped(&req->connection->peer) && !(method->flags & EVEN_WHEN_REFUSING))
		return refuse_unmapped(req);
	if (method->who == ADMINISTRATORS && !is_admin(req))
		return reply_permission_denied(req);
	if ((method->flags & NEEDS_MORE) && !req->call.more)
		return reply_error(req, "org.varlink.service.ExpectedMore", NULL, SPAN_NONE);
	if ((method->flags & REPLY_IS_POINT) && req->call.oneway)
		return DISPATCH_DONE;
	return method->call(req);
}

static enum dispatched close_for(struct connection *c, const char *why)
{
	log_limited(&c->agent->limit_bad_bytes, agent_monotonic(c->agent),
		    "a connection of uid %u was closed: what it sent is no message (%s)",
		    (unsigned)c->peer.uid, why);
	return DISPATCH_CLOSE;
}

/* Texts that were written with escapes may have been secrets. */
static void text_wipe(struct text_space *text)
{
	if (text->n)
		secret_wipe(text->buf, text->n);
	text->n = 0;
}

/* What was read of the message is a call. */
static enum dispatched begin(struct request *req, struct span message)
{
	req->now_us = agent_now(req->agent);
	req->fds = passed_for_message(&req->connection->passed, message, &req->n_fds);
	return call_method(req);
}

enum dispatched dispatch(struct connection *c, struct span message)
{
	struct agent *a = c->agent;
	struct request req = { .agent = a, .connection = c, .out_start = a->out.n };
	struct plain_verify plain NOT_ZEROED;
	struct bad_parameter bad;
	enum dispatched dispatched = DISPATCH_CLOSE;
	enum json_error error;

	a->n_calls++;
	if (call_read_plain_verify(message, &plain)) {
		req.call = (struct call){ .method = SPAN("io.jeton.Agent.Verify"),
					  .params = { .type = JSON_NULL } };
		req.plain = &plain;
		return begin(&req, message);
	}
	error = json_check(message, a->json);
	if (error != JSON_OK)
		return close_for(c, json_error_text(error));
	switch (call_read(json_noted_root(message, a->json), &a->text, &req.call, &bad)) {
	case CALL_IS_NONE:
		dispatched = close_for(c, "an object without a method");
		break;
	case CALL_INVALID:
		dispatched = reply_bad_parameter(&req, &bad);
		break;
	case CALL_OK:
		dispatched = begin(&req, message);
		break;
	}
	text_wipe(&a->text);
	return dispatched;
}
