/*
 * agent/method-list.c - List and Describe. A list may be longer than any buffer, and tokens come
 * and go while it is read: it is a stream that merges the vault's tokens with the store's ended
 * ones by their row, the newest first, a slice at a time. Each reply is held back until it is known
 * whether another follows, as the last one says so.
 */
#include <errno.h>
#include <stddef.h>

#include "agent/change.h"
#include "agent/method.h"
#include "agent/over.h"
#include "agent/reply.h"
#include "agent/token-call.h"

enum {
	PAGE = 64,   /* ended tokens read at once */
	SLICE = 512, /* tokens looked at before others get their turn */
};

struct list_call {
	struct field_int owner_uid;
	struct field_bool all;
	struct field_int state;
	struct span name;
};

static const char *const states[] = { "active", "expired", "revoked", NULL };

static const struct field list_fields[] = {
	{ "ownerUid", offsetof(struct list_call, owner_uid), FIELD_INT, false, NULL },
	{ "all", offsetof(struct list_call, all), FIELD_BOOL, false, NULL },
	{ "state", offsetof(struct list_call, state), FIELD_CHOICE, false, states },
	{ "name", offsetof(struct list_call, name), FIELD_STRING, false, NULL },
};

struct list {
	struct stream stream;
	struct deferred deferred; /* a page has been read */
	struct agent *agent;
	struct connection *connection; /* NULL: gone; freed when the page comes */

	bool all;
	uid_t owner_uid;
	char *owner_name; /* NULL: none */
	char *name;	  /* NULL: any */
	bool one_state;
	enum token_state state;

	struct vault_cursor active;
	bool reading; /* a page is on its way */
	bool ended_is_over;
	uint64_t before_row; /* of the next page */
	unsigned page_left;  /* rows that the page may still have */
	struct store_rows *page;
	int page_result;
	bool has_ended; /* ended stands at a token */
	bool is_fresh;	/* it was opened in this turn */
	struct token_facts ended;

	struct held_reply held;
};

/* ---- ended ones, a page at a time ------------------------------------------------------------ */

static void list_free(struct list *l)
{
	vault_cursor_done(&l->active);
	store_rows_free(l->page);
	free(l->owner_name);
	free(l->name);
	free(l);
}

static void on_stream_free(struct stream *s)
{
	struct list *l = (struct list *)s;

	if (l->reading)
		l->connection = NULL;
	else
		list_free(l);
}

static void on_page_taken(struct deferred *d)
{
	struct list *l = (struct list *)((char *)d - offsetof(struct list, deferred));

	l->reading = false;
	if (l->connection)
		connection_stream_ready(l->connection);
	else
		list_free(l);
}

static void on_page(void *userdata, struct store_rows *rows, int r)
{
	struct list *l = userdata;

	store_rows_free(l->page);
	l->page = rows;
	l->page_result = r;
	l->page_left = PAGE;
	/* At the agent's end nothing that is deferred comes to pass. */
	if (l->connection)
		change_defer(l->agent, &l->deferred);
	else
		list_free(l);
}

static void read_page(struct list *l)
{
	l->reading = true;
	store_read_ended(l->agent->store, l->owner_uid, l->all, l->before_row, PAGE, on_page, l);
}

/*
 * Stands at the next ended token: 1; 0: there is none; -EAGAIN: a page is being read; other: the
 * store failed.
 */
static int next_ended(struct list *l)
{
	const uint8_t *record;
	uint32_t version;
	uint64_t row;
	size_t n;
	int r;

	if (l->has_ended)
		return 1;
	if (l->ended_is_over)
		return 0;
	if (l->page_result < 0)
		return l->page_result;
	if (!l->page) {
		read_page(l);
		return -EAGAIN;
	}
	r = store_rows_next(l->page, &row, &version, &record, &n);
	if (r < 0)
		return r;
	if (r == 0) {
		l->page = (store_rows_free(l->page), NULL);
		l->ended_is_over = l->page_left > 0;
		if (!l->ended_is_over)
			read_page(l);
		return l->ended_is_over ? 0 : -EAGAIN;
	}
	l->page_left--;
	l->before_row = row;
	r = record_read(record, n, &l->ended);
	l->has_ended = l->is_fresh = r == 0;
	return r < 0 ? r : 1;
}

/* What it stands at was opened in an earlier turn: its texts may be another's by now. */
static int read_again(struct list *l)
{
	l->has_ended = false;
	l->page = (store_rows_free(l->page), NULL);
	l->before_row++;
	read_page(l);
	return -EAGAIN;
}

/* ---- one token after the other --------------------------------------------------------------- */

static bool is_wanted(const struct list *l, const struct token_facts *facts, uint64_t now_us)
{
	struct span owner_name = span_of(l->owner_name);

	/* No longer to be listed, though upkeep has not come by yet. */
	if (facts->ended_us && facts->ended_us + l->agent->settings.keep_ended_us < now_us)
		return false;
	if (l->one_state && facts->state != l->state)
		return false;
	if (l->name && !span_is(facts->name, l->name))
		return false;
	return l->all ||
	       (facts->owner_uid == l->owner_uid && !facts->owner_name.p == !owner_name.p &&
		span_equal(facts->owner_name, owner_name));
}

static void hold(struct list *l, struct request *req, const struct token_facts *facts)
{
	struct json_writer w;

	held_begin(&l->held, req, &w);
	write_token(&w, facts);
	held_end(&l->held, &w);
}

/*
 * Takes the newer of what the vault and the store stand at. 1; 0: both are at their end; or as
 * next_ended().
 */
static int next_facts(struct list *l, struct token_facts *ret)
{
	token_ref ref = vault_cursor_peek(&l->active);
	int r = next_ended(l);

	if (r < 0)
		return r;
	if (ref == REF_NONE && r == 0)
		return 0;
	if (ref != REF_NONE)
		facts_told(l->agent, ref, ret);
	if (ref != REF_NONE && (r == 0 || ret->row > l->ended.row)) {
		vault_cursor_step(&l->active);
	} else if (!l->is_fresh) {
		return read_again(l);
	} else {
		*ret = l->ended;
		l->has_ended = false;
	}
	return 1;
}

static int produce(struct stream *s, struct connection *c)
{
	struct list *l = (struct list *)s;
	struct request req = { .agent = c->agent, .connection = c, .out_start = c->agent->out.n };
	uint64_t now_us = agent_now(c->agent);
	struct token_facts facts;
	int r = 1;

	if (l->reading)
		return -EAGAIN;
	l->is_fresh = false;
	for (unsigned i = 0; i < SLICE && !connection_out_is_full(c); i++) {
		r = next_facts(l, &facts);
		if (r <= 0)
			break;
		if (is_wanted(l, &facts, now_us))
			hold(l, &req, &facts);
	}
	if (r == 0)
		held_last(&l->held, &req);
	else if (r < 0 && r != -EAGAIN) {
		reply_store_failed(&req, NULL);
		r = 0;
	}
	return r;
}

/* ---- List ------------------------------------------------------------------------------------ */

/* Whose tokens; IDENTITY_REFUSED where the peer may not see them. */
static enum identity find_owner(struct request *req, const struct list_call *call, uid_t *ret_uid,
				struct span *ret_name)
{
	bool foreign = call->owner_uid.is_set && call->owner_uid.value != req->connection->peer.uid;

	*ret_uid = req->connection->peer.uid;
	*ret_name = SPAN_NONE;
	if (!foreign && !call->all.value)
		return identify(req, ret_name);
	if (!is_admin(req))
		return IDENTITY_REFUSED;
	if (call->all.value)
		return IDENTITY_KNOWN;
	*ret_uid = (uid_t)call->owner_uid.value;
	return name_of(req->agent, *ret_uid, ret_name);
}

static bool copy_text(struct span text, char **ret)
{
	*ret = text.p ? strndup(text.p, text.n) : NULL;
	return !text.p || *ret;
}

static struct list *list_new(struct request *req, const struct list_call *call, uid_t uid,
			     struct span name)
{
	struct agent *a = req->agent;
	struct list *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->stream = (struct stream){ .produce = produce, .free = on_stream_free };
	l->deferred.complete = on_page_taken;
	l->held.key = "info";
	l->agent = a;
	l->connection = req->connection;
	l->all = call->all.value;
	l->owner_uid = uid;
	l->one_state = call->state.is_set;
	l->state = (enum token_state)call->state.value;
	l->before_row = UINT64_MAX;
	/* One whose end could not be kept stands in the vault, which is looked at in any case. */
	l->ended_is_over = l->one_state && l->state == TOKEN_ACTIVE;
	vault_cursor_init(&l->active, a->vault,
			  l->all ? NULL : vault_find_owner(a->vault, uid, name), l->all);
	if (!copy_text(name, &l->owner_name) || !copy_text(call->name, &l->name)) {
		list_free(l);
		return NULL;
	}
	return l;
}

enum dispatched method_list(struct request *req)
{
	struct bad_parameter bad;
	enum dispatched answer;
	struct list_call call;
	struct list *list;
	struct span name;
	uid_t uid;

	if (!params_read(&req->call.params, list_fields, ARRAY_SIZE(list_fields), &req->agent->text,
			 &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	if (call.owner_uid.is_set &&
	    (call.owner_uid.value < 0 || call.owner_uid.value >= UINT32_MAX || call.all.value))
		return reply_invalid_parameter(req, "ownerUid");
	if (call.name.p && (call.name.n < 1 || call.name.n > TOKEN_NAME_MAX))
		return reply_invalid_parameter(req, "name");
	switch (find_owner(req, &call, &uid, &name)) {
	case IDENTITY_WAIT:
		return change_wait_names(req);
	case IDENTITY_REFUSED:
		return reply_permission_denied(req);
	case IDENTITY_KNOWN:
		break;
	}
	if (req->call.oneway)
		return DISPATCH_DONE;
	if (!over_all_may_be_shown(req, &answer))
		return answer;
	list = list_new(req, &call, uid, name);
	if (!list)
		return reply_limit(req, "memory", 0);
	req->connection->stream = &list->stream;
	return DISPATCH_STREAM;
}

/* ---- Describe -------------------------------------------------------------------------------- */

struct describe_call {
	struct span id;
};

static const struct field describe_fields[] = {
	{ "id", offsetof(struct describe_call, id), FIELD_STRING, true, NULL },
};

static enum dispatched reply_info(struct request *req, const struct token_facts *facts)
{
	struct json_writer *w = reply_begin(req);

	json_key(w, "info");
	write_token(w, facts);
	return reply_end(req);
}

static void on_ended(struct request *req, const struct token_facts *facts, const uint8_t *hash,
		     int r)
{
	(void)hash;
	if (r < 0)
		reply_store_failed(req, NULL);
	else if (!facts)
		reply_no_such_token(req);
	else
		reply_info(req, facts);
}

static enum dispatched describe(struct request *req, uint64_t id, bool admin, struct span name)
{
	struct agent *a = req->agent;
	struct found found = find_own(req, admin, name, id);
	struct token_facts facts;
	enum dispatched answer;

	if (found.ref != REF_NONE) {
		facts_told(a, found.ref, &facts);
		if (!over_may_be_shown(req, found.ref, &answer))
			return answer;
		return reply_info(req, &facts);
	}
	if (!found.ended)
		return reply_no_such_token(req);
	return change_read_ended(req, found.ended->row, NULL, on_ended);
}

enum dispatched method_describe(struct request *req)
{
	struct describe_call call;
	struct bad_parameter bad;
	enum identity identity;
	struct span name;
	uint64_t id;

	if (!params_read(&req->call.params, describe_fields, ARRAY_SIZE(describe_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	if (!id_read(call.id, &id))
		return reply_invalid_parameter(req, "id");
	req->about.token = id;
	identity = identify(req, &name);
	if (identity == IDENTITY_WAIT)
		return change_wait_names(req);
	if (identity == IDENTITY_REFUSED)
		return reply_permission_denied(req);
	return describe(req, id, is_admin(req), name);
}
