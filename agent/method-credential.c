/*
 * agent/method-credential.c - Put, Forget and ListCredentials. A value that is put comes in the
 * connection's buffer or agent->scratch, and is sealed before the call returns.
 */
#include <errno.h>
#include <sodium.h>
#include <stddef.h>

#include "agent/authority.h"
#include "agent/change.h"
#include "agent/credential.h"
#include "agent/method.h"
#include "agent/reply.h"

enum {
	BASE64_MAX = CREDENTIAL_VALUE_MAX / 3 * 4,
	/* Of a message, what is not the value: keys, the name, numbers. */
	FETCHED_OVERHEAD = 512,
	SLICE = 16, /* credentials looked at before others get their turn */
};

/* Instants are below. */
static const int64_t INSTANT_END = INT64_C(1) << 58;

/* ---- Put ------------------------------------------------------------------------------------- */

struct put_call {
	struct span credential;
	struct span text;
	struct span data; /* in base64 */
	struct field_int expires_us;
};

static const struct field put_fields[] = {
	{ "credential", offsetof(struct put_call, credential), FIELD_STRING, true, NULL },
	{ "text", offsetof(struct put_call, text), FIELD_STRING, false, NULL },
	{ "data", offsetof(struct put_call, data), FIELD_STRING, false, NULL },
	{ "expiresUSec", offsetof(struct put_call, expires_us), FIELD_INT, false, NULL },
};

/* How long it is in a reply. */
static size_t escaped_length(struct span text)
{
	size_t n = text.n;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '"' || c == '\\')
			n += 1;
		else if (c < 0x20)
			n += 5;
	}
	return n;
}

/* A text that could be put, but with which a reply would be too long, is put as data. */
static bool text_fits(struct span text)
{
	return text.n >= 1 && text.n <= CREDENTIAL_VALUE_MAX &&
	       escaped_length(text) <= FRAME_MAX - FETCHED_OVERHEAD;
}

/* libsodium takes bytes beyond ASCII for digits. */
static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= 0x80)
			return false;
	return true;
}

/*
 * Decodes base64 (its standard alphabet, padded, with no bits to spare) to where texts go, which is
 * wiped after the call.
 */
static bool decode(struct agent *a, struct span base64, struct span *ret)
{
	uint8_t *to = (uint8_t *)a->text.buf + a->text.n;
	size_t n;

	if (base64.n < 4 || base64.n > BASE64_MAX || !is_ascii(base64) ||
	    a->text.size - a->text.n < CREDENTIAL_VALUE_MAX)
		return false;
	/* Counted before it is there, so that what a bad text leaves is wiped as well. */
	a->text.n += CREDENTIAL_VALUE_MAX;
	if (sodium_base642bin(to, CREDENTIAL_VALUE_MAX, base64.p, base64.n, NULL, &n, NULL,
			      sodium_base64_VARIANT_ORIGINAL) != 0)
		return false;
	*ret = (struct span){ (const char *)to, n };
	return n >= 1;
}

/* The value that is put; else the name of the parameter that is wrong. */
static const char *read_value(struct agent *a, const struct put_call *call, struct span *ret)
{
	if (call->text.p && call->data.p)
		return "data";
	if (call->data.p)
		return decode(a, call->data, ret) ? NULL : "data";
	*ret = call->text;
	return call->text.p && text_fits(call->text) ? NULL : "text";
}

/* The name of the first parameter that is out of bounds, or NULL. */
static const char *out_of_bounds(struct request *req, const struct put_call *call,
				 struct span *ret_value)
{
	const struct field_int *expires = &call->expires_us;

	if (!credential_name_is_valid(call->credential))
		return "credential";
	if (expires->is_set && (expires->value <= 0 || (uint64_t)expires->value <= req->now_us ||
				expires->value >= INSTANT_END))
		return "expiresUSec";
	return read_value(req->agent, call, ret_value);
}

static enum dispatched put(struct request *req, const struct put_call *call, struct span value)
{
	struct credential_change *change;
	struct json_writer *w;
	uint64_t revision;
	int r;

	r = credential_prepare_put(req->agent->credentials, call->credential,
				   call->data.p ? CREDENTIAL_DATA : CREDENTIAL_TEXT, value,
				   req->now_us, (uint64_t)call->expires_us.value, &revision,
				   &change);
	if (r == -EBUSY)
		return change_wait(req);
	if (r < 0)
		return reply_limit(req, "memory", 0);
	w = reply_begin(req);
	json_key(w, "revision");
	json_put_int(w, (int64_t)revision);
	reply_end(req);
	return change_submit_credentials(req, change);
}

enum dispatched method_put(struct request *req)
{
	const struct policy_credential *credential;
	struct bad_parameter bad;
	struct put_call call;
	struct span value;
	const char *name;

	if (!params_read(&req->call.params, put_fields, ARRAY_SIZE(put_fields), &req->agent->text,
			 &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	name = out_of_bounds(req, &call, &value);
	if (name)
		return reply_invalid_parameter(req, name);
	req->about.credential = call.credential;
	credential = policy_find_credential(req->agent->policy, call.credential);
	if (!credential)
		return reply_no_such_credential(req, call.credential);
	/* What is minted holds nothing. */
	if (credential->minted)
		return reply_invalid_parameter(req, "credential");
	return put(req, &call, value);
}

/* ---- Forget ---------------------------------------------------------------------------------- */

struct forget_call {
	struct span credential;
};

static const struct field forget_fields[] = {
	{ "credential", offsetof(struct forget_call, credential), FIELD_STRING, true, NULL },
};

/*
 * Nothing is held: no error, where something could be, since whoever lost the reply asks again.
 */
static enum dispatched nothing_to_forget(struct request *req, struct span name)
{
	const struct policy_credential *credential =
		policy_find_credential(req->agent->policy, name);

	if (!credential)
		return reply_no_such_credential(req, name);
	return credential->minted ? reply_invalid_parameter(req, "credential") : reply_empty(req);
}

/* Also of a name that no policy defines any more. */
enum dispatched method_forget(struct request *req)
{
	struct credential_change *change;
	struct bad_parameter bad;
	struct forget_call call;
	int r;

	if (!params_read(&req->call.params, forget_fields, ARRAY_SIZE(forget_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	if (!credential_name_is_valid(call.credential))
		return reply_invalid_parameter(req, "credential");
	req->about.credential = call.credential;
	r = credential_prepare_forget(req->agent->credentials, call.credential, req->now_us,
				      &change);
	if (r == -EBUSY)
		return change_wait(req);
	if (r == -ENOENT)
		return nothing_to_forget(req, call.credential);
	if (r < 0)
		return reply_limit(req, "memory", 0);
	reply_empty(req);
	return change_submit_credentials(req, change);
}

/* ---- ListCredentials ------------------------------------------------------------------------- */

/*
 * A stream, as a policy may define any number. It goes by name, so that it stands where it was
 * whatever is put or reloaded meanwhile. Each reply is held back until it is known whether another
 * follows, as the last one says so.
 */
struct list {
	struct stream stream;
	bool admin;
	char after[CREDENTIAL_NAME_MAX + 1]; /* the name looked at last; "": none yet */
	struct held_reply held;
};

/* What a credential of this name is: either may be NULL. */
struct known {
	struct span name;
	const struct policy_credential *defined;
	const struct credential *stored;
};

/* The next name after `after` that anything is known of. */
static bool next_known(const struct agent *a, struct span after, struct known *ret)
{
	const struct policy_credential *defined = policy_credential_after(a->policy, after);
	const struct credential *stored = credentials_after(a->credentials, after);
	int order;

	if (!defined && !stored)
		return false;
	order = !defined ? 1 : !stored ? -1 : strcmp(defined->name, stored->name);
	*ret = (struct known){
		.name = span_of(order <= 0 ? defined->name : stored->name),
		.defined = order <= 0 ? defined : NULL,
		.stored = order >= 0 ? stored : NULL,
	};
	return true;
}

/* Administrators also see what is held though no policy defines it any more. */
static bool is_listed(const struct list *l, struct request *req, const struct subject *subject,
		      const struct known *k)
{
	if (l->admin)
		return k->defined || k->stored->form != CREDENTIAL_NONE;
	return k->defined && fetch_is_allowed(req->agent->policy, subject, k->name, false, NULL);
}

static void write_number(struct json_writer *w, const char *key, uint64_t value)
{
	json_key(w, key);
	if (value)
		json_put_int(w, (int64_t)value);
	else
		json_put_null(w);
}

static void write_text(struct json_writer *w, const char *key, const char *text)
{
	json_key(w, key);
	json_put_string_or_null(w, span_of(text && *text ? text : NULL));
}

static void write_credential(struct json_writer *w, const struct known *k)
{
	static const struct credential nothing = { .form = CREDENTIAL_NONE };
	const struct credential *stored = k->stored ? k->stored : &nothing;
	bool minted = k->defined && k->defined->minted;
	bool held = !minted && stored->form != CREDENTIAL_NONE;

	json_open(w, '{');
	json_key(w, "name");
	json_put_string(w, k->name);
	write_text(w, "kind", minted ? "minted" : "held");
	write_text(w, "description", k->defined ? k->defined->description : NULL);
	/* Also of one that was forgotten: the next one will be higher. */
	write_number(w, "revision", minted ? 0 : stored->revision);
	write_number(w, "updatedUSec", held ? stored->updated_us : 0);
	write_number(w, "expiresUSec", held ? stored->expires_us : 0);
	write_number(w, "lastFetchedUSec", stored->fetched_us);
	write_text(w, "lastFetchedBy", stored->fetched_by);
	json_close(w, '}');
}

static void hold(struct list *l, struct request *req, const struct known *k)
{
	struct json_writer w;

	held_begin(&l->held, req, &w);
	write_credential(&w, k);
	held_end(&l->held, &w);
}

static void subject_for_fetch(struct request *req, struct subject *ret)
{
	if (fetch_needs_unit(req->agent->policy, SPAN_NONE))
		subject_with_unit(req, ret);
	else
		subject_of(req, ret);
}

static int produce(struct stream *s, struct connection *c)
{
	struct list *l = (struct list *)s;
	struct request req = { .agent = c->agent, .connection = c, .out_start = c->agent->out.n };
	struct subject subject = { 0 };
	struct known k;
	bool more = true;

	if (!l->admin)
		subject_for_fetch(&req, &subject);
	for (unsigned i = 0; i < SLICE && !connection_out_is_full(c); i++) {
		more = (l->admin || peer_is_known(&c->peer)) &&
		       next_known(c->agent, span_of(l->after[0] ? l->after : NULL), &k);
		if (!more)
			break;
		if (is_listed(l, &req, &subject, &k))
			hold(l, &req, &k);
		memcpy(l->after, k.name.p, k.name.n);
		l->after[k.name.n] = '\0';
	}
	if (!more)
		held_last(&l->held, &req);
	return more;
}

static void on_stream_free(struct stream *s)
{
	free(s);
}

enum dispatched method_list_credentials(struct request *req)
{
	struct bad_parameter bad;
	struct list *list;
	char nothing;

	if (!params_read(&req->call.params, NULL, 0, &req->agent->text, &nothing, 0, &bad))
		return reply_bad_parameter(req, &bad);
	if (req->call.oneway)
		return DISPATCH_DONE;
	list = calloc(1, sizeof(*list));
	if (!list)
		return reply_limit(req, "memory", 0);
	list->held.key = "credential";
	list->stream = (struct stream){ .produce = produce, .free = on_stream_free };
	list->admin = is_admin(req);
	req->connection->stream = &list->stream;
	return DISPATCH_STREAM;
}
