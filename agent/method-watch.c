/*
 * agent/method-watch.c - Watch: a stream that goes on until its client closes it.
 *
 * A watcher is a position among the events (agent/event.h), and has no copy of any: whoever lags
 * behind costs nothing, and falls out at the other end. What it may see is judged at the moment it
 * is told. A token is told as it stands at that moment; where it has ended by then, its facts are
 * read from the store, some ahead, so that many ends cost few waits.
 *
 * Invariant: a watch lives while its connection has it, or what it has asked for is on its way.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>

#include "agent/change.h"
#include "agent/method.h"
#include "agent/reply.h"
#include "agent/token-call.h"
#include "agent/turns.h"
#include "agent/watch.h"

enum {
	SLICE = 512,	 /* events looked at before others get their turn */
	READS_MAX = 32,	 /* ended tokens that are read ahead */
	AHEAD_MAX = 256, /* how far */
};

/* What a watcher may see, as of access_generation. */
struct view {
	uint64_t generation; /* 0: not known */
	bool admin;
	bool is_user; /* owns tokens */
	uint8_t tag[OWNER_TAG_LEN];
};

/* The facts of an event's token that has ended. */
struct ended_read {
	struct watch *watch;
	uint64_t number; /* of the event; 0: free */
	struct store_rows *rows;
	int r;
};

struct watch {
	struct stream stream;
	struct deferred deferred; /* what was waited for is there */
	struct watch *next, *prev;
	struct agent *agent;
	struct connection *connection; /* NULL: gone */
	uint64_t at;		       /* the last event that was told, or passed over */
	bool stands;		       /* the first reply was given */
	bool names_asked;
	unsigned n_reading;
	bool is_deferred;
	struct view view;
	bool has_view; /* of this turn */
	struct ended_read reads[READS_MAX];
};

/* ---- coming and going ------------------------------------------------------------------------ */

static bool is_waiting(const struct watch *w)
{
	return w->n_reading > 0 || w->names_asked || w->is_deferred;
}

static void read_done(struct ended_read *read)
{
	store_rows_free(read->rows);
	*read = (struct ended_read){ .watch = read->watch };
}

static void watch_free(struct watch *w)
{
	for (size_t i = 0; i < READS_MAX; i++)
		read_done(&w->reads[i]);
	free(w);
}

static void on_stream_free(struct stream *s)
{
	struct watch *w = (struct watch *)s;
	struct agent *a = w->agent;

	*(w->prev ? &w->prev->next : &a->watches) = w->next;
	if (w->next)
		w->next->prev = w->prev;
	if (w->names_asked) {
		names_barrier_cancel(a->names, w);
		w->names_asked = false;
	}
	w->connection = NULL;
	if (!is_waiting(w))
		watch_free(w);
}

static void go_on(struct deferred *d)
{
	struct watch *w = (struct watch *)((char *)d - offsetof(struct watch, deferred));

	w->is_deferred = false;
	if (w->connection)
		connection_stream_ready(w->connection);
	else
		watch_free(w);
}

/* Something that was waited for has come. */
static void arrived(struct watch *w)
{
	if (is_waiting(w))
		return;
	if (!w->connection) {
		watch_free(w);
		return;
	}
	w->is_deferred = true;
	change_defer(w->agent, &w->deferred);
}

/* ---- what may be seen ------------------------------------------------------------------------ */

static void on_named(void *userdata)
{
	struct watch *w = userdata;

	w->names_asked = false;
	arrived(w);
}

static int wait_for_names(struct watch *w)
{
	if (names_barrier(w->agent->names, on_named, w) < 0)
		return -ENOMEM;
	w->names_asked = true;
	return -EAGAIN;
}

/* 0; -EAGAIN: its name is being looked up; -EACCES: it may see nothing any more. */
static int find_view(struct watch *w, struct request *req)
{
	struct view view = { .generation = req->agent->access_generation };
	struct span name = SPAN_NONE;

	if (!is_anybody(req))
		return -EACCES;
	switch (identify(req, &name)) {
	case IDENTITY_WAIT:
		return wait_for_names(w);
	case IDENTITY_KNOWN:
		view.is_user = true;
		owner_tag(name, view.tag);
		view.admin = is_admin(req);
		break;
	case IDENTITY_REFUSED:
		break;
	}
	w->view = view;
	w->has_view = true;
	return 0;
}

static bool may_fetch(struct request *req, const char *credential)
{
	struct subject subject;

	if (fetch_needs_unit(req->agent->policy, span_of(credential)))
		subject_with_unit(req, &subject);
	else
		subject_of(req, &subject);
	return fetch_is_allowed(req->agent->policy, &subject, span_of(credential), false, NULL);
}

/* Whether the event is none of the watcher's business, whatever else there is to find out. */
static bool is_foreign(const struct watch *w, const struct event *event)
{
	return event->token && event->owner_uid != w->connection->peer.uid &&
	       w->view.generation == w->agent->access_generation && !w->view.admin;
}

/* By the view that was found. */
static bool is_visible(const struct watch *w, struct request *req, const struct event *event)
{
	if (event->token)
		return w->view.admin ||
		       (w->view.is_user && event->owner_uid == req->connection->peer.uid &&
			memcmp(event->owner_tag, w->view.tag, OWNER_TAG_LEN) == 0);
	return !event->credential || w->view.admin || may_fetch(req, event->credential);
}

/* ---- ended tokens ---------------------------------------------------------------------------- */

static struct ended_read *find_read(struct watch *w, uint64_t number)
{
	for (size_t i = 0; i < READS_MAX; i++)
		if (w->reads[i].number == number)
			return &w->reads[i];
	return NULL;
}

static void on_rows(void *userdata, struct store_rows *rows, int r)
{
	struct ended_read *read = userdata;
	struct watch *w = read->watch;

	read->rows = rows;
	read->r = r;
	w->n_reading--;
	arrived(w);
}

/* Asks for the ended tokens of the events from this one on. */
static void read_ahead(struct watch *w, struct request *req, uint64_t number)
{
	const struct events *events = &w->agent->events;
	uint64_t end = number + AHEAD_MAX;
	unsigned n = 0;

	for (size_t i = 0; i < READS_MAX; i++)
		read_done(&w->reads[i]);
	/* Not to be woken by a read that can't be asked for, which is called back at once. */
	w->n_reading++;
	for (; number <= events->last && number < end && n < READS_MAX; number++) {
		const struct event *event = events_at(events, number);
		const struct ended_token *ended;

		if (!event->token || !is_visible(w, req, event) ||
		    vault_find(w->agent->vault, event->token) != REF_NONE)
			continue;
		ended = vault_find_ended(w->agent->vault, event->token);
		if (!ended)
			continue;
		w->reads[n].number = number;
		w->n_reading++;
		store_read_ended_row(w->agent->store, ended->row, on_rows, &w->reads[n++]);
	}
	w->n_reading--;
}

/*
 * The facts of the event's token: 1; 0: it is no longer known; -EAGAIN: they are being read; other:
 * they can't be. Valid until the next row of the store is opened.
 */
static int find_facts(struct watch *w, struct request *req, const struct event *event,
		      struct token_facts *ret)
{
	token_ref ref = vault_find(w->agent->vault, event->token);
	struct ended_read *read = find_read(w, event->number);
	const uint8_t *record;
	uint64_t row;
	uint32_t version;
	size_t n;
	int r;

	if (ref != REF_NONE) {
		facts_told(w->agent, ref, ret);
		return 1;
	}
	if (!vault_find_ended(w->agent->vault, event->token))
		return 0;
	if (!read) {
		read_ahead(w, req, event->number);
		if (w->n_reading > 0)
			return -EAGAIN;
		read = find_read(w, event->number);
	}
	if (read->r < 0)
		return read->r;
	r = store_rows_next(read->rows, &row, &version, &record, &n);
	if (r > 0)
		r = record_read(record, n, ret) < 0 ? -EBADMSG : 1;
	return r;
}

/* ---- telling --------------------------------------------------------------------------------- */

static const char *const kind_names[] = {
	[EVENT_ISSUED] = "issued",	 [EVENT_DERIVED] = "derived",	[EVENT_ROTATED] = "rotated",
	[EVENT_REVOKED] = "revoked",	 [EVENT_EXPIRED] = "expired",	[EVENT_PUT] = "put",
	[EVENT_FORGOTTEN] = "forgotten", [EVENT_RELOADED] = "reloaded", [EVENT_LOCKED] = "locked",
	[EVENT_UNLOCKED] = "unlocked",
};

static void write_event(struct request *req, const struct event *event,
			const struct token_facts *facts)
{
	struct json_writer *w = reply_begin(req);

	json_key(w, "event");
	json_open(w, '{');
	json_key(w, "seq");
	json_put_int(w, (int64_t)event->number);
	json_key(w, "kind");
	json_put_string(w, span_of(kind_names[event->kind]));
	json_key(w, "atUSec");
	json_put_int(w, (int64_t)event->at_us);
	json_key(w, "token");
	if (facts)
		write_token(w, facts);
	else
		json_put_null(w);
	json_key(w, "credential");
	json_put_string_or_null(w, span_of(event->credential));
	json_close(w, '}');
	reply_end_continues(req);
}

static void write_that_it_stands(struct request *req)
{
	struct json_writer *w = reply_begin(req);

	json_key(w, "event");
	json_put_null(w);
	reply_end_continues(req);
}

static enum dispatched reply_events_missed(struct request *req)
{
	return reply_error(req, "io.jeton.Agent.EventsMissed", NULL, SPAN_NONE);
}

/* 0: it was told, or is none of the watcher's business; or as find_facts(). */
static int tell(struct watch *w, struct request *req, const struct event *event)
{
	struct ended_read *read;
	struct token_facts facts;
	int r = 0;

	if (event->token)
		r = find_facts(w, req, event, &facts);
	if (r < 0)
		return r;
	write_event(req, event, r > 0 ? &facts : NULL);
	read = find_read(w, event->number);
	if (read)
		read_done(read);
	return 0;
}

/* The event after the one that the watcher is at. As tell(), or find_view(). */
static int next_event(struct watch *w, struct request *req)
{
	const struct event *event = events_at(&w->agent->events, w->at + 1);
	int r = 0;

	if (!is_foreign(w, event)) {
		r = w->has_view ? 0 : find_view(w, req);
		if (r == 0 && is_visible(w, req, event))
			r = tell(w, req, event);
	}
	if (r == 0)
		w->at++;
	return r;
}

static int produce(struct stream *s, struct connection *c)
{
	struct watch *w = (struct watch *)s;
	struct agent *a = w->agent;
	struct request req = { .agent = a, .connection = c, .out_start = a->out.n };
	int r = 0;

	if (a->stopping)
		return -ECONNRESET;
	if (is_waiting(w))
		return -EAGAIN;
	req.now_us = agent_now(a);
	w->has_view = false;
	if (!w->stands)
		write_that_it_stands(&req);
	w->stands = true;
	for (unsigned i = 0; i < SLICE && r == 0 && !connection_out_is_full(c); i++) {
		if (w->at == a->events.last)
			return -EAGAIN;
		if (w->at + 1 < events_first(&a->events)) {
			reply_events_missed(&req);
			return 0;
		}
		r = next_event(w, &req);
	}
	if (r == 0)
		return 1;
	if (r == -EAGAIN || r == -EACCES)
		return r;
	reply_store_failed(&req, NULL);
	return 0;
}

/* ---- all who watch --------------------------------------------------------------------------- */

static int on_news(sd_event_source *source, void *userdata)
{
	struct agent *a = userdata;

	(void)source;
	/* Not one after the other here: one that is served may need room, and close another for it. */
	for (struct watch *w = a->watches; w; w = w->next)
		if (!is_waiting(w))
			turns_wait(w->connection);
	/* At once, as what comes next may be the agent's end. */
	turns_round(a);
	return 0;
}

void watch_wake(struct agent *a)
{
	if (a->watches)
		(void)sd_event_source_set_enabled(a->watch_source, SD_EVENT_ONESHOT);
}

int watch_init(struct agent *a)
{
	int r = sd_event_add_defer(a->event, &a->watch_source, on_news, a);

	return r < 0 ? r : sd_event_source_set_enabled(a->watch_source, SD_EVENT_OFF);
}

void watch_done(struct agent *a)
{
	a->watch_source = sd_event_source_unref(a->watch_source);
}

static void on_reload_kept(struct agent *a, int r)
{
	a->reload_untold = r < 0;
}

void watch_reloaded(struct agent *a)
{
	a->reload_untold = change_submit_event(a, EVENT_RELOADED, on_reload_kept) < 0;
}

/* ---- Watch ----------------------------------------------------------------------------------- */

struct watch_call {
	struct field_int after;
};

static const struct field watch_fields[] = {
	{ "after", offsetof(struct watch_call, after), FIELD_INT, false, NULL },
};

static struct watch *watch_new(struct request *req, uint64_t at)
{
	struct agent *a = req->agent;
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->stream = (struct stream){ .produce = produce, .free = on_stream_free, .is_last = true };
	w->deferred.complete = go_on;
	w->agent = a;
	w->connection = req->connection;
	w->at = at;
	for (size_t i = 0; i < READS_MAX; i++)
		w->reads[i].watch = w;
	w->next = a->watches;
	if (w->next)
		w->next->prev = w;
	a->watches = w;
	return w;
}

/* Whether all events after this one are there. One that is yet to come was another store's. */
static bool has_all_after(const struct events *events, uint64_t number)
{
	return number + 1 >= events_first(events) && number <= events->last;
}

enum dispatched method_watch(struct request *req)
{
	const struct events *events = &req->agent->events;
	struct bad_parameter bad;
	struct watch_call call;
	struct watch *watch;

	if (!params_read(&req->call.params, watch_fields, ARRAY_SIZE(watch_fields),
			 &req->agent->text, &call, sizeof(call), &bad))
		return reply_bad_parameter(req, &bad);
	if (call.after.is_set && call.after.value < 0)
		return reply_invalid_parameter(req, "after");
	if (!is_anybody(req))
		return reply_permission_denied(req);
	if (call.after.is_set && !has_all_after(events, (uint64_t)call.after.value))
		return reply_events_missed(req);
	if (req->call.oneway)
		return DISPATCH_DONE;
	watch = watch_new(req, call.after.is_set ? (uint64_t)call.after.value : events->last);
	if (!watch)
		return reply_limit(req, "memory", 0);
	req->connection->stream = &watch->stream;
	return DISPATCH_STREAM;
}
