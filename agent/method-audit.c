/*
 * agent/method-audit.c - ReadAudit: the entries of the store's chain in their order, a page at a
 * time, each held against the one before. Where the chain is broken an entry says so, of operation
 * "damage", and the reading goes on.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "agent/audit.h"
#include "agent/change.h"
#include "agent/method.h"
#include "agent/reply.h"
#include "agent/token-call.h"

enum { PAGE = STORE_READ_MAX };

struct audit_call {
	struct field_int since_us;
	struct span token;
};

static const struct field audit_fields[] = {
	{ "sinceUSec", offsetof(struct audit_call, since_us), FIELD_INT, false, NULL },
	{ "token", offsetof(struct audit_call, token), FIELD_STRING, false, NULL },
};

struct reading {
	struct stream stream;
	struct deferred deferred; /* a page has been read */
	struct agent *agent;
	struct connection *connection; /* NULL: gone; freed when the page comes */

	uint64_t since_us;
	bool is_of_token;
	uint64_t token;

	bool is_reading;
	bool is_unread; /* the page must be read again from `next` on */
	uint64_t next;	/* row of the next page */
	unsigned page_left;
	struct store_rows *page;
	int page_result;
	struct audit_link last; /* as of when the page was read */
	struct audit_check check;
	uint64_t last_us; /* of the last entry: when damage is said to be */
	struct held_reply held;
};

/* ---- pages ----------------------------------------------------------------------------------- */

static void reading_free(struct reading *r)
{
	store_rows_free(r->page);
	free(r);
}

static void on_stream_free(struct stream *s)
{
	struct reading *r = (struct reading *)s;

	if (r->is_reading)
		r->connection = NULL;
	else
		reading_free(r);
}

static void on_page_taken(struct deferred *d)
{
	struct reading *r = (struct reading *)((char *)d - offsetof(struct reading, deferred));

	r->is_reading = false;
	if (r->connection)
		connection_stream_ready(r->connection);
	else
		reading_free(r);
}

static void on_page(void *userdata, struct store_rows *rows, int result)
{
	struct reading *r = userdata;

	store_rows_free(r->page);
	r->page = rows;
	r->page_result = result;
	r->page_left = PAGE;
	r->last = audit_last(r->agent);
	/* At the agent's end nothing that is deferred comes to pass. */
	if (r->connection)
		change_defer(r->agent, &r->deferred);
	else
		reading_free(r);
}

static int read_page(struct reading *r)
{
	r->is_reading = true;
	r->is_unread = false;
	store_read_from(r->agent->store, STORE_AUDIT, r->next, PAGE, on_page, r);
	return -EAGAIN;
}

/* ---- what is told ---------------------------------------------------------------------------- */

/* "PermissionDenied, 17 times": the interface has no field for how many there were. */
static void write_result(struct json_writer *w, const struct audit_entry *e)
{
	char text[AUDIT_RESULT_MAX + 32];

	json_key(w, "result");
	if (e->count == 1)
		snprintf(text, sizeof(text), "%s", e->result);
	else
		snprintf(text, sizeof(text), "%s, %u times", e->result, e->count);
	json_put_string(w, span_of(text));
}

static void write_text(struct json_writer *w, const char *key, const char *text)
{
	json_key(w, key);
	json_put_string_or_null(w, text[0] ? span_of(text) : SPAN_NONE);
}

static void hold(struct reading *r, struct request *req, const struct audit_entry *e)
{
	struct json_writer w;

	held_begin(&r->held, req, &w);
	json_open(&w, '{');
	json_key(&w, "seq");
	json_put_int(&w, (int64_t)e->seq);
	json_key(&w, "atUSec");
	json_put_int(&w, (int64_t)e->at_us);
	write_text(&w, "operation", e->operation);
	write_result(&w, e);
	write_id(&w, "token", e->token);
	write_text(&w, "credential", e->credential);
	json_key(&w, "peerUid");
	json_put_int(&w, e->peer_uid);
	json_key(&w, "peerPid");
	if (e->peer_pid)
		json_put_int(&w, e->peer_pid);
	else
		json_put_null(&w);
	write_text(&w, "peerUnit", e->unit);
	json_close(&w, '}');
	held_end(&r->held, &w);
}

static void tell_damage(struct reading *r, struct request *req, uint64_t seq,
			enum audit_damage damage)
{
	struct audit_entry e = {
		.seq = seq,
		.at_us = r->last_us,
		.count = 1,
		.peer_uid = r->agent->uid,
		.operation = "damage",
	};

	if (!seq)
		return;
	audit_text(e.result, sizeof(e.result), span_of(audit_damage_text(damage)));
	hold(r, req, &e);
}

static bool is_wanted(const struct reading *r, const struct audit_entry *e)
{
	return e->at_us >= r->since_us && (!r->is_of_token || (e->token && e->token == r->token));
}

static void tell_finding(struct reading *r, struct request *req, const struct audit_finding *f)
{
	/* In the order of their numbers: what was altered may be the one before. */
	if (!f->missing)
		tell_damage(r, req, f->altered, AUDIT_ALTERED);
	tell_damage(r, req, f->missing, AUDIT_MISSING);
	if (f->missing)
		tell_damage(r, req, f->altered, AUDIT_ALTERED);
	tell_damage(r, req, f->reordered, AUDIT_REORDERED);
	if (!f->has_entry)
		return;
	r->last_us = f->entry.at_us;
	if (is_wanted(r, &f->entry))
		hold(r, req, &f->entry);
}

/* ---- one row after the other ----------------------------------------------------------------- */

static void look_at(struct reading *r, struct request *req, uint64_t row, const uint8_t *record,
		    size_t n)
{
	uint64_t first = audit_first(r->agent);
	struct audit_finding finding;

	/* Newer ones have taken the place of those that are not there. */
	audit_check_skip(&r->check, first < row ? first - 1 : row - 1);
	audit_check_row(&r->check, row, record, n, &finding);
	r->next = row + 1;
	tell_finding(r, req, &finding);
}

/* A row that does not open is the one that is to come next, as far as that can be told. */
static void look_at_closed(struct reading *r, struct request *req)
{
	uint64_t row = r->check.next ? r->check.next : r->next;

	look_at(r, req, row, NULL, 0);
	/* The rest of the page stands behind it. */
	r->is_unread = true;
}

static void end(struct reading *r, struct request *req)
{
	enum audit_damage damage = AUDIT_WHOLE;
	uint64_t seq = audit_check_end(&r->check, &r->last, &damage);

	tell_damage(r, req, seq, damage);
}

/* 1: there may be more; 0: that was the last; -EAGAIN: a page is being read; other: it can't be. */
static int next_row(struct reading *r, struct request *req)
{
	const uint8_t *record;
	uint32_t version;
	uint64_t row;
	size_t n;
	int result;

	if (r->page_result < 0)
		return r->page_result;
	if (!r->page || r->is_unread)
		return read_page(r);
	result = store_rows_next(r->page, &row, &version, &record, &n);
	if (result == -EBADMSG) {
		look_at_closed(r, req);
		return 1;
	}
	if (result < 0)
		return result;
	if (result == 0 && r->page_left == 0)
		return read_page(r);
	if (result == 0) {
		end(r, req);
		return 0;
	}
	r->page_left--;
	look_at(r, req, row, record, n);
	return 1;
}

static int produce(struct stream *s, struct connection *c)
{
	struct reading *r = (struct reading *)s;
	struct request req = { .agent = c->agent, .connection = c, .out_start = c->agent->out.n };
	int result = 1;

	if (r->is_reading)
		return -EAGAIN;
	/* A page at most, before others get their turn. */
	for (unsigned i = 0; result == 1 && i < PAGE && !connection_out_is_full(c); i++)
		result = next_row(r, &req);
	if (result == 0) {
		held_last(&r->held, &req);
	} else if (result < 0 && result != -EAGAIN) {
		reply_store_failed(&req, NULL);
		result = 0;
	}
	return result;
}

/* ---- ReadAudit ------------------------------------------------------------------------------- */

enum dispatched method_read_audit(struct request *req)
{
	struct bad_parameter bad;
	struct audit_call call;
	struct reading *r;
	uint64_t token = 0;

	if (!params_read(&req->call.params, audit_fields, ARRAY_SIZE(audit_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	if (call.since_us.is_set && call.since_us.value < 0)
		return reply_invalid_parameter(req, "sinceUSec");
	if (call.token.p && !id_read(call.token, &token))
		return reply_invalid_parameter(req, "token");
	if (req->call.oneway)
		return DISPATCH_DONE;
	r = calloc(1, sizeof(*r));
	if (!r)
		return reply_limit(req, "memory", 0);
	r->stream = (struct stream){ .produce = produce, .free = on_stream_free };
	r->deferred.complete = on_page_taken;
	r->held.key = "entry";
	r->agent = req->agent;
	r->connection = req->connection;
	r->since_us = (uint64_t)call.since_us.value;
	r->is_of_token = call.token.p;
	r->token = token;
	audit_keep_now(req->agent);
	r->next = audit_first(req->agent);
	req->connection->stream = &r->stream;
	return DISPATCH_STREAM;
}
