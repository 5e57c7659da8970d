/* agent/reply.c - see reply.h. */
#include "agent/reply.h"

#include <stdio.h>

#include "agent/audit.h"
#include "protocol/base/time.h"
#include "protocol/json-at.h"
#include "protocol/token.h"

#define STD "org.varlink.service."
#define OURS "io.jeton.Agent."

/* Words as JSON has them. */
static const struct span states[] = { SPAN("\"active\""), SPAN("\"expired\""),
				      SPAN("\"revoked\"") };
static const struct span bindings[] = { SPAN("\"none\""), SPAN("\"process\""), SPAN("\"unit\"") };
static const char *const binding_names[] = { "none", "process", "unit" };
static const char *const end_names[] = {
	[END_EXPIRED] = "expired",
	[END_OWNER] = "owner",
	[END_ADMINISTRATOR] = "administrator",
	[END_PRESENTED] = "presented",
	[END_PARENT] = "parent",
	[END_BINDING] = "binding",
	[END_USES] = "uses",
	[END_ROTATED] = "rotated",
};

void reply_drop(struct request *req)
{
	struct json_writer *w = &req->agent->out;

	w->n = req->out_start;
	w->overflow = false;
	w->comma = false;
	if (req->agent->out_fd_at >= w->n)
		agent_drop_out_fd(req->agent);
}

struct json_writer *reply_begin(struct request *req)
{
	struct json_writer *w = &req->agent->out;

	req->out_start = w->n;
	req->error = NULL;
	json_put_raw(w, SPAN("{\"parameters\":{"));
	return w;
}

static enum dispatched end(struct request *req, bool continues)
{
	struct json_writer *w = &req->agent->out;

	json_put_raw(w, continues ? SPAN("},\"continues\":true}\0") : SPAN("}}\0"));
	if (req->error)
		audit_refused(req, STEAL_PTR(req->error));
	else if (req->connection->is_administration && !continues)
		audit_answered(req);
	if (req->call.oneway)
		reply_drop(req);
	else if (w->overflow || w->n - req->out_start > FRAME_BUF_MAX) {
		reply_drop(req);
		return reply_limit(req, "reply", (int64_t)FRAME_MAX);
	}
	return DISPATCH_DONE;
}

enum dispatched reply_end(struct request *req)
{
	return end(req, false);
}

enum dispatched reply_end_continues(struct request *req)
{
	return end(req, true);
}

static void write_held(const struct held_reply *h, struct request *req)
{
	struct json_writer *w = reply_begin(req);

	json_key(w, h->key);
	if (h->n)
		json_put_value(w, (struct span){ h->value, h->n });
	else
		json_put_null(w);
}

void held_begin(struct held_reply *h, struct request *req, struct json_writer *ret_w)
{
	if (h->n) {
		write_held(h, req);
		reply_end_continues(req);
	}
	json_writer_init(ret_w, h->value, sizeof(h->value));
}

void held_end(struct held_reply *h, const struct json_writer *w)
{
	h->n = w->n;
}

void held_last(struct held_reply *h, struct request *req)
{
	write_held(h, req);
	reply_end(req);
}

enum dispatched reply_empty(struct request *req)
{
	reply_begin(req);
	return reply_end(req);
}

/* ---- values ---------------------------------------------------------------------------------- */

void write_id(struct json_writer *w, const char *key, uint64_t id)
{
	char text[TOKEN_ID_LEN];

	json_key(w, key);
	if (id == 0) {
		json_put_null(w);
		return;
	}
	token_id_write(id, text);
	json_put_string(w, (struct span){ text, sizeof(text) });
}

static inline void write_text(struct json_writer *w, const char *key, struct span text)
{
	json_key(w, key);
	json_put_string_or_null(w, text);
}

static inline void write_word(struct json_writer *w, const char *key, const char *word)
{
	write_text(w, key, span_of(word));
}

static inline void write_us(struct json_writer *w, const char *key, uint64_t at_us)
{
	json_key(w, key);
	if (at_us)
		json_put_int(w, (int64_t)at_us);
	else
		json_put_null(w);
}

/*
 * What is kept in whole seconds must not seem to be before the token was there; where the clock was set back since, it
 * may well be.
 */
static uint64_t last_used_us(const struct token_facts *facts)
{
	uint64_t us = facts->last_used_us;

	return us < facts->created_us && facts->created_us - us < USEC_PER_SEC ? facts->created_us : us;
}

static inline char *text_at(char *to, struct span text)
{
	return text.p ? json_string_at(to, text) : json_at(to, "null");
}

static inline char *word_at(char *to, struct span word)
{
	memcpy(to, word.p, word.n);
	return to + word.n;
}

static inline char *id_at(char *to, uint64_t id)
{
	if (id == 0)
		return json_at(to, "null");
	*to = '"';
	token_id_write(id, to + 1);
	to[TOKEN_ID_LEN + 1] = '"';
	return to + TOKEN_ID_LEN + 2;
}

static inline char *us_at(char *to, uint64_t at_us)
{
	return at_us ? json_int_at(to, (int64_t)at_us) : json_at(to, "null");
}

static char *scopes_at(char *to, const struct packed_scopes *scopes)
{
	struct span scope;
	unsigned at = 0;

	if (scopes->count == 0)
		return json_at(to, "null");
	*to++ = '[';
	while (packed_scopes_next(scopes, &at, &scope)) {
		to = json_string_at(to, scope);
		*to++ = ',';
	}
	to[-1] = ']';
	return to;
}

/* More than all that write_token() writes: scopes need no escapes. */
static size_t token_room(const struct token_facts *facts)
{
	enum { KEYS_AND_NUMBERS = 1024 };

	return KEYS_AND_NUMBERS + facts->scopes.count * JSON_PLAIN_ROOM(1U) +
	       facts->scopes.n_bytes + JSON_STRING_ROOM(facts->name.n) +
	       JSON_STRING_ROOM(facts->owner_name.n) + JSON_STRING_ROOM(facts->last_used_by.n) +
	       JSON_STRING_ROOM(facts->credential.n) + JSON_STRING_ROOM(facts->issued_to.n);
}

static char *token_at(char *to, const struct token_facts *facts)
{
	to = id_at(json_at(to, "{\"id\":"), facts->id);
	to = text_at(json_at(to, ",\"name\":"), facts->name);
	to = json_int_at(json_at(to, ",\"ownerUid\":"), facts->owner_uid);
	to = text_at(json_at(to, ",\"owner\":"), facts->owner_name);
	to = scopes_at(json_at(to, ",\"scopes\":"), &facts->scopes);
	to = us_at(json_at(to, ",\"createdUSec\":"), facts->created_us);
	to = us_at(json_at(to, ",\"expiresUSec\":"), facts->expires_us);
	to = us_at(json_at(to, ",\"lastUsedUSec\":"), last_used_us(facts));
	to = text_at(json_at(to, ",\"lastUsedBy\":"), facts->last_used_by);
	to = word_at(json_at(to, ",\"state\":"), states[facts->state]);
	to = word_at(json_at(to, ",\"binding\":"), bindings[facts->binding]);
	to = json_at(to, ",\"usesLeft\":");
	to = facts->uses_left == USES_UNLIMITED ? json_at(to, "null")
						: json_int_at(to, facts->uses_left);
	to = id_at(json_at(to, ",\"parent\":"), facts->parent);
	to = id_at(json_at(to, ",\"replacedBy\":"), facts->replaced_by);
	to = text_at(json_at(to, ",\"credential\":"), facts->credential);
	to = text_at(json_at(to, ",\"issuedTo\":"), facts->issued_to);
	to = us_at(json_at(to, ",\"endedUSec\":"), facts->ended_us);
	to = text_at(json_at(to, ",\"ended\":"),
		     facts->ended == END_NOT ? SPAN_NONE : span_of(end_names[facts->ended]));
	return json_at(to, "}");
}

void write_token(struct json_writer *w, const struct token_facts *facts)
{
	char *start = json_room_for_item(w, token_room(facts));

	if (!start)
		return;
	w->n += (size_t)(token_at(start, facts) - start);
	w->comma = true;
}

/* ---- errors ---------------------------------------------------------------------------------- */

struct json_writer *reply_error_begin(struct request *req, const char *error)
{
	struct json_writer *w = &req->agent->out;

	req->out_start = w->n;
	req->error = error;
	w->comma = false;
	json_open(w, '{');
	json_key(w, "error");
	json_put_string(w, span_of(error));
	json_key(w, "parameters");
	json_open(w, '{');
	return w;
}

enum dispatched reply_error(struct request *req, const char *error, const char *parameter,
			    struct span value)
{
	struct json_writer *w = reply_error_begin(req, error);

	if (parameter)
		write_text(w, parameter, value);
	return reply_end(req);
}

enum dispatched reply_invalid_parameter(struct request *req, const char *name)
{
	return reply_error(req, STD "InvalidParameter", "parameter", span_of(name));
}

/* The name is as the client wrote it, escapes and all: it goes back between quotes as it is. */
enum dispatched reply_bad_parameter(struct request *req, const struct bad_parameter *bad)
{
	struct json_writer *w;

	if (bad->name.n > 256)
		return reply_invalid_parameter(req, "parameters");
	w = reply_error_begin(req, STD "InvalidParameter");
	json_key(w, "parameter");
	json_put_raw(w, SPAN("\""));
	json_put_raw(w, bad->name);
	json_put_raw(w, SPAN("\""));
	w->comma = true;
	return reply_end(req);
}

enum dispatched reply_permission_denied(struct request *req)
{
	req->agent->denied_total++;
	return reply_error(req, STD "PermissionDenied", NULL, SPAN_NONE);
}

enum dispatched reply_limit(struct request *req, const char *limit, int64_t max)
{
	struct json_writer *w = reply_error_begin(req, OURS "LimitReached");

	write_word(w, "limit", limit);
	json_key(w, "max");
	json_put_int(w, max);
	return reply_end(req);
}

enum dispatched reply_lifetime(struct request *req, uint64_t min_us, uint64_t max_us)
{
	struct json_writer *w = reply_error_begin(req, OURS "LifetimeOutOfRange");

	json_key(w, "minSec");
	json_put_int(w, (int64_t)(min_us / 1000000));
	json_key(w, "maxSec");
	json_put_int(w, (int64_t)(max_us / 1000000));
	return reply_end(req);
}

enum dispatched reply_invalid_token(struct request *req)
{
	return reply_error(req, OURS "InvalidToken", NULL, SPAN_NONE);
}

enum dispatched reply_no_such_token(struct request *req)
{
	return reply_error(req, OURS "NoSuchToken", NULL, SPAN_NONE);
}

enum dispatched reply_no_such_credential(struct request *req, struct span name)
{
	req->about.credential = name;
	return reply_error(req, OURS "NoSuchCredential", "credential", name);
}

enum dispatched reply_token_expired(struct request *req, const struct token_facts *facts)
{
	struct json_writer *w = reply_error_begin(req, OURS "TokenExpired");

	req->about.token = facts->id;
	write_id(w, "id", facts->id);
	write_us(w, "expiredUSec", facts->expires_us);
	return reply_end(req);
}

enum dispatched reply_token_revoked(struct request *req, uint64_t id)
{
	struct json_writer *w = reply_error_begin(req, OURS "TokenRevoked");

	req->about.token = id;
	write_id(w, "id", id);
	return reply_end(req);
}

enum dispatched reply_wrong_bearer(struct request *req, uint64_t id)
{
	struct json_writer *w = reply_error_begin(req, OURS "WrongBearer");

	req->agent->denied_total++;
	req->about.token = id;
	write_id(w, "id", id);
	return reply_end(req);
}

enum dispatched reply_binding_unavailable(struct request *req, enum token_binding binding)
{
	return reply_error(req, OURS "BindingUnavailable", "binding", span_of(binding_names[binding]));
}

enum dispatched reply_agent_locked(struct request *req)
{
	return reply_error(req, OURS "AgentLocked", NULL, SPAN_NONE);
}

enum dispatched reply_not_locked(struct request *req)
{
	return reply_error(req, OURS "NotLocked", NULL, SPAN_NONE);
}

enum dispatched reply_wrong_passphrase(struct request *req, unsigned retry_after_s)
{
	struct json_writer *w = reply_error_begin(req, OURS "WrongPassphrase");

	json_key(w, "retryAfterSec");
	json_put_int(w, retry_after_s);
	return reply_end(req);
}

enum dispatched reply_policy_invalid(struct request *req, const struct policy_error *error)
{
	struct json_writer *w = reply_error_begin(req, OURS "PolicyInvalid");
	char why[sizeof(error->file) + sizeof(error->message) + 16];

	snprintf(why, sizeof(why), "%s:%u: %s", error->file, error->line, error->message);
	req->why = why;
	write_word(w, "file", error->file);
	json_key(w, "line");
	json_put_int(w, error->line);
	write_word(w, "message", error->message);
	(void)reply_end(req);
	req->why = NULL;
	return DISPATCH_DONE;
}

void reply_store_failed(struct request *req, void *unused)
{
	(void)unused;
	(void)reply_error(req, OURS "StoreFailed", NULL, SPAN_NONE);
}
