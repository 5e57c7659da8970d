/*
 * protocol/client-replies.c
 *
 * While a callback runs nothing else may use the handle: what the callback was given would end
 * under it, and the replies that follow would be taken for another call's.
 */
#include "protocol/client-replies.h"

#include <assert.h>
#include <errno.h>

int client_read(struct jeton *jeton, enum reply_kind kind, void *ret)
{
	return client_done(jeton, reply_read(kind, jeton->parameters, &jeton->arena, ret));
}

int client_answer(struct jeton *jeton, int called, enum reply_kind kind, void *ret)
{
	return called == 0 ? client_read(jeton, kind, ret) : called;
}

/* Ends what the other side would go on with, for it is not trouble that ends it. */
static int stop(struct jeton *jeton, int result)
{
	client_close(jeton);
	client_note(jeton, 0);
	return result;
}

/* The next of many, whose time is the handle's for each. */
static int next(struct jeton *jeton)
{
	int r = client_next(jeton, jeton->timeout_ms);

	return r == -EAGAIN ? client_done(jeton, -ETIMEDOUT) : r;
}

/* The item of the reply at hand; NULL is right only where it is the one reply there is. */
static int read_item(struct jeton *jeton, enum reply_kind kind, bool is_first, const void **ret)
{
	int r = reply_read(kind, jeton->parameters, &jeton->arena, ret);

	if (r == 0 && !*ret && (!is_first || jeton->reply.continues))
		r = -EBADMSG;
	return r;
}

static int deliver(struct jeton *jeton, const struct sink *sink, const void *item)
{
	int r;

	jeton->in_callback = true;
	r = sink->deliver(sink, item);
	jeton->in_callback = false;
	return r;
}

int client_each(struct jeton *jeton, const char *method, enum reply_kind kind,
		const struct param params[], const struct sink *sink)
{
	const void *item;
	bool is_first = true;
	int r = client_call(jeton, method, CALL_MORE | CALL_REPEATABLE, params, -1);

	static_assert(sizeof(struct reply_info) == sizeof(item) &&
			      sizeof(struct reply_credentials) == sizeof(item) &&
			      sizeof(struct reply_audited) == sizeof(item),
		      "a reply of many is one pointer");
	for (; r == 0; is_first = false, r = next(jeton)) {
		r = read_item(jeton, kind, is_first, &item);
		if (r < 0)
			return client_done(jeton, r);
		if (item)
			r = deliver(jeton, sink, item);
		if (r != 0)
			return stop(jeton, r);
		if (!jeton->reply.continues)
			return client_done(jeton, 0);
	}
	return r;
}

/* ---- raw ---- */

static int deliver_raw(struct jeton *jeton,
		       int (*on_reply)(void *userdata, const struct raw_reply *reply),
		       void *userdata)
{
	int r;

	jeton->in_callback = true;
	r = on_reply(userdata, &jeton->reply);
	jeton->in_callback = false;
	return r;
}

int jeton_raw_call(struct jeton *jeton, const char *method, struct span parameters, unsigned flags,
		   int (*on_reply)(void *userdata, const struct raw_reply *reply), void *userdata)
{
	int r = client_call_json(jeton, span_of(method), flags & ~(unsigned)CALL_WANTS_FD,
				 parameters);

	for (; r == 0; r = next(jeton)) {
		r = deliver_raw(jeton, on_reply, userdata);
		if (r != 0)
			return stop(jeton, r);
		if (!jeton->reply.continues)
			return client_done(jeton, 0);
	}
	/* The agent's own errors too, but not this side's. */
	if (r > 0 && jeton->reply.error.p)
		(void)deliver_raw(jeton, on_reply, userdata);
	return r;
}

struct raw_reply jeton_raw_reply(const struct jeton *jeton)
{
	return jeton->reply;
}
