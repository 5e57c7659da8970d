/*
 * protocol/jeton-credential.c - libjeton: credentials, and watching.
 *
 * A watch is a call whose replies do not end, so the handle does nothing else meanwhile, and
 * closing its connection is how it ends.
 */
#include <errno.h>

#include "protocol/base/parse.h"
#include "protocol/client-replies.h"

/* What a text may become at most by escapes, so that the message with it stays within FRAME_MAX. */
#define TEXT_MAX ((size_t)96 * 1024)

static size_t escaped_length(struct span text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		n += c < 0x20 || c == 0x7f ? 6 : c == '"' || c == '\\' || c == '/' ? 2 : 1;
	}
	return n;
}

static bool fits_as_text(struct span value)
{
	return !memchr(value.p, '\0', value.n) && utf8_valid(value) &&
	       escaped_length(value) <= TEXT_MAX;
}

int jeton_put(struct jeton *jeton, const char *credential, const void *value, size_t n,
	      unsigned int flags, int64_t expires_us, int64_t *ret_revision)
{
	const struct span bytes = { value, n };
	bool as_text = value && !(flags & JETON_PUT_DATA) && fits_as_text(bytes);
	const struct param params[] = {
		PARAM_NEEDED("credential", credential),
		PARAM_SPAN("text", as_text ? bytes : SPAN_NONE),
		PARAM_DATA("data", as_text ? SPAN_NONE : bytes),
		PARAM_INT("expiresUSec", expires_us),
		PARAM_END,
	};
	struct reply_put reply;
	int r = client_begin(jeton);

	if (r < 0)
		return r;
	if (!value)
		return client_note_invalid(jeton, "value");
	if (flags & ~(unsigned)JETON_PUT_DATA)
		return client_note_invalid(jeton, "flags");
	r = client_call(jeton, "Put", CALL_SECRET, params, -1);
	r = client_answer(jeton, r, REPLY_PUT, &reply);
	if (r == 0 && ret_revision)
		*ret_revision = reply.revision;
	return r;
}

int jeton_forget(struct jeton *jeton, const char *credential)
{
	const struct param params[] = { PARAM_NEEDED("credential", credential), PARAM_END };
	int r = client_call(jeton, "Forget", 0, params, -1);

	return r == 0 ? client_done(jeton, 0) : r;
}

static int deliver_credential(const struct sink *sink, const void *credential)
{
	return sink->on_credential(sink->userdata, credential);
}

int jeton_list_credentials(struct jeton *jeton,
			   int (*on_credential)(void *userdata,
						const struct jeton_credential *credential),
			   void *userdata)
{
	const struct param params[] = { PARAM_END };
	const struct sink sink = { deliver_credential,
				   { .on_credential = on_credential },
				   userdata };

	return client_each(jeton, "ListCredentials", REPLY_CREDENTIALS, params, &sink);
}

/* Exactly one of the three forms, and the one that was asked for. */
static bool is_in_form(const struct jeton *jeton, const struct reply_fetched *reply, bool as_fd)
{
	if (as_fd)
		return reply->fd == 0 && jeton->reply_fd >= 0 && !reply->text && !reply->data.p;
	return reply->fd == JETON_UNSET && !reply->text != !reply->data.p;
}

static int make_value(struct jeton *jeton, const struct reply_fetched *reply,
		      const struct jeton_value **ret)
{
	struct jeton_value *value = client_arena_get(&jeton->arena, sizeof(*value));

	if (!value)
		return -ENOMEM;
	value->bytes = reply->text ? reply->text : reply->data.p;
	value->n = reply->text ? strlen(reply->text) : reply->data.n;
	value->is_data = reply->data.p;
	value->revision = reply->revision;
	value->expires_us = reply->expires_us;
	value->token_id = reply->token_id;
	*ret = value;
	return 0;
}

static int fetch(struct jeton *jeton, const char *credential, bool as_fd, int64_t min_lifetime_s,
		 const struct jeton_value **ret)
{
	const struct param params[] = {
		PARAM_NEEDED("credential", credential),
		PARAM_TRUE("asFd", as_fd),
		PARAM_INT("minLifetimeSec", min_lifetime_s),
		PARAM_END,
	};
	struct reply_fetched reply;
	int r = client_call(jeton, "Fetch", CALL_REPEATABLE | (as_fd ? CALL_WANTS_FD : 0), params, -1);

	if (r != 0)
		return r;
	r = reply_read(REPLY_FETCHED, jeton->parameters, &jeton->arena, &reply);
	if (r == 0 && !is_in_form(jeton, &reply, as_fd))
		r = -EBADMSG;
	if (r == 0)
		r = make_value(jeton, &reply, ret);
	return client_done(jeton, r);
}

int jeton_fetch(struct jeton *jeton, const char *credential, int64_t min_lifetime_s,
		const struct jeton_value **ret_value)
{
	const struct jeton_value *value = NULL;
	int r = fetch(jeton, credential, false, min_lifetime_s, &value);

	if (r == 0 && ret_value)
		*ret_value = value;
	return r;
}

int jeton_fetch_fd(struct jeton *jeton, const char *credential, int64_t min_lifetime_s, int *ret_fd,
		   const struct jeton_value **ret_value)
{
	const struct jeton_value *value = NULL;
	int r = fetch(jeton, credential, true, min_lifetime_s, &value);

	if (r != 0)
		return r;
	/* Where nobody wants it, the next call closes it. */
	if (ret_fd)
		*ret_fd = steal_fd(&jeton->reply_fd);
	if (ret_value)
		*ret_value = value;
	return 0;
}

/* ---- watching ---- */

int jeton_watch_start(struct jeton *jeton, int64_t after)
{
	const struct param params[] = { PARAM_INT("after", after), PARAM_END };
	struct reply_watched reply;
	int r = client_call(jeton, "Watch", CALL_MORE | CALL_REPEATABLE, params, -1);

	if (r != 0)
		return r;
	r = reply_read(REPLY_WATCHED, jeton->parameters, &jeton->arena, &reply);
	/* The first says only that the watch stands. */
	if (r == 0 && (reply.event || !jeton->reply.continues))
		r = -EBADMSG;
	if (r < 0)
		return client_done(jeton, r);
	jeton->watching = true;
	return 0;
}

static int next_event(struct jeton *jeton, int timeout_ms, const struct jeton_event **ret)
{
	struct reply_watched reply;
	int r = client_next(jeton, timeout_ms);

	if (r != 0)
		return r;
	r = reply_read(REPLY_WATCHED, jeton->parameters, &jeton->arena, &reply);
	if (r == 0 && !reply.event)
		r = -EBADMSG;
	/* A last reply ends what has no end: as if the connection were closed. */
	if (r == 0 && !jeton->reply.continues)
		r = -ECONNRESET;
	if (r < 0)
		return client_done(jeton, r);
	*ret = reply.event;
	return 0;
}

int jeton_watch_next(struct jeton *jeton, int timeout_ms, const struct jeton_event **ret_event)
{
	const struct jeton_event *event = NULL;
	int r;

	if (jeton->pid != getpid())
		return client_note(jeton, -ECHILD);
	if (!jeton->watching)
		return client_note_invalid(jeton, "watch, which does not stand");
	r = next_event(jeton, timeout_ms < 0 ? -1 : timeout_ms, &event);
	if (r == 0 && ret_event)
		*ret_event = event;
	if (r != 0 && r != -EAGAIN)
		client_close(jeton);
	return r;
}

void jeton_watch_stop(struct jeton *jeton)
{
	if (jeton->watching && jeton->pid == getpid())
		client_close(jeton);
}
