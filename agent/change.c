/*
 * agent/change.c - see change.h. Invariant: a pending is on exactly one way to its end, and freed
 * there.
 */
#include "agent/change.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "agent/change-parts.h"
#include "agent/holder.h"
#include "agent/maps.h"
#include "agent/reply.h"
#include "agent/rules-in-force.h"
#include "agent/upkeep.h"

/* How long the end of the agent waits for one more sign of life from the store. */
enum { DRAIN_MS = 10000 };

struct pending {
	struct deferred deferred;
	struct pending *waiting_next, **waiting_at; /* of those that a connection waits with */
	struct agent *agent;
	struct connection *connection; /* NULL: gone */
	bool oneway;
	bool again; /* dispatch the message anew */
	int r;

	/* a change */
	struct change_parts parts;
	char *reply;
	size_t reply_n;
	int reply_fd; /* goes with the reply; -1: none */
	bool reply_large;
	bool has_value;
	void (*on_failed)(struct agent *a, uint64_t what);
	uint64_t what;
	void (*on_own)(struct agent *a, int r);
	void (*on_minted)(void *userdata, int r);
	struct holder_entry *holder; /* that the new token is bound to; pinned */
	uint64_t bound_id;

	/* a read of the store */
	struct store_rows *rows;
	uint8_t hash[TOKEN_HASH_LEN]; /* of a secret, which tells nothing of it */
	bool has_hash;
	void (*on_read)(struct request *req, const struct token_facts *facts, const uint8_t *hash,
			int r);

	/* anything else */
	void (*on_complete)(struct request *req, void *userdata);
	void *userdata;
};

void change_defer(struct agent *a, struct deferred *d)
{
	d->next = NULL;
	if (a->deferred_last)
		a->deferred_last->next = d;
	else
		a->deferred_first = d;
	a->deferred_last = d;
}

void change_complete_deferred(struct agent *a)
{
	struct deferred *d;

	while ((d = a->deferred_first)) {
		a->deferred_first = d->next;
		if (!a->deferred_first)
			a->deferred_last = NULL;
		d->complete(d);
	}
}

/* The store goes on without: what an old copy lacks is then told less tightly. */
static void note_anchor(struct agent *a)
{
	int r = store_anchor_error(a->store);

	if (r == a->anchor_error)
		return;
	if (r < 0)
		log_warning("the anchor in %s, by which an old copy of the store is told, can't be "
			    "written: %s; changes are kept as ever, and it is tried again",
			    a->paths.anchor, strerror(-r));
	else
		log_notice("the anchor in %s is written again", a->paths.anchor);
	a->anchor_error = r;
}

/* Somebody else's doing, which they may not know of. */
static void note_files(struct agent *a)
{
	int r = store_files_befell(a->store);

	if (r == -ESTALE)
		log_warning("store.db or store.db-wal was removed from %s, or renamed, while it was in use: "
			    "all of the store was written there anew",
			    a->paths.state);
	else if (r == -EIO)
		log_error("store.db or store.db-wal was removed from %s, or renamed, while it was in use, and "
			  "the store can't be written there anew: it is tried again with each change",
			  a->paths.state);
	else if (r == -EEXIST)
		log_error("another file took the place of store.db or store.db-wal in %s while it was in use: "
			  "nothing can be changed before that file, which is left alone, is moved away",
			  a->paths.state);
}

static int on_store(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct agent *a = userdata;

	(void)source;
	(void)fd;
	(void)events;
	store_dispatch(a->store);
	note_anchor(a);
	note_files(a);
	change_complete_deferred(a);
	return 0;
}

static int on_names(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct agent *a = userdata;

	(void)source;
	(void)fd;
	(void)events;
	if (names_dispatch(a->names))
		rules_names_changed(a);
	maps_names_known(a);
	change_complete_deferred(a);
	return 0;
}

int change_init(struct agent *a)
{
	int r = sd_event_add_io(a->event, &a->store_source, store_fd(a->store), EPOLLIN, on_store,
				a);

	return r < 0 ? r
		     : sd_event_add_io(a->event, &a->names_source, names_fd(a->names), EPOLLIN,
				       on_names, a);
}

void change_done(struct agent *a)
{
	a->store_source = sd_event_source_unref(a->store_source);
	a->names_source = sd_event_source_unref(a->names_source);
}

/* ---- what a connection waits for ------------------------------------------------------------- */

static void reply_put(struct pending *p)
{
	if (!p->reply)
		return;
	secret_wipe(p->reply, p->reply_n);
	pool_put(p->reply_large ? &p->agent->large : &p->agent->small, p->reply);
	p->reply = NULL;
}

static void reply_fd_close(struct pending *p)
{
	if (p->reply_fd >= 0)
		close(p->reply_fd);
	p->reply_fd = -1;
}

static void pending_free(struct pending *p)
{
	if (p->waiting_at) {
		*p->waiting_at = p->waiting_next;
		if (p->waiting_next)
			p->waiting_next->waiting_at = p->waiting_at;
	}
	reply_put(p);
	reply_fd_close(p);
	store_rows_free(p->rows);
	free(p);
}

void change_forget_waiting(struct agent *a)
{
	while (a->waiting_calls)
		pending_free(a->waiting_calls);
}

void pending_forget(struct pending *p)
{
	if (p)
		p->connection = NULL;
}

static void no_longer_pending(struct pending *p)
{
	if (p->connection)
		p->connection->pending = NULL;
}

/* Answers with what on_complete or on_read writes to agent->out, which is empty now. */
static void answer_written(struct pending *p, const struct token_facts *facts)
{
	struct agent *a = p->agent;
	struct request req = {
		.agent = a,
		.connection = p->connection,
		.call = { .oneway = p->oneway },
		.now_us = agent_now(a),
	};

	if (p->on_read)
		p->on_read(&req, facts, p->has_hash ? p->hash : NULL, p->r);
	else
		p->on_complete(&req, p->userdata);
	connection_answer(p->connection, NULL, 0, false, -1);
}

static void complete_read(struct pending *p)
{
	struct token_facts facts;
	const uint8_t *record;
	uint64_t row;
	uint32_t version;
	size_t n;

	if (p->r == 0 && p->rows)
		p->r = store_rows_next(p->rows, &row, &version, &record, &n);
	if (p->r > 0) {
		p->r = record_read(record, n, &facts);
		answer_written(p, p->r < 0 ? NULL : &facts);
		return;
	}
	answer_written(p, NULL);
}

static void complete(struct deferred *d)
{
	struct pending *p = (struct pending *)d;
	struct connection *c = p->connection;

	no_longer_pending(p);
	if (p->on_own)
		p->on_own(p->agent, p->r);
	else if (p->on_minted)
		p->on_minted(p->userdata, p->r);
	else if (!c)
		;
	else if (p->again)
		connection_again(c);
	else if (p->on_read)
		complete_read(p);
	else if (p->on_complete)
		answer_written(p, NULL);
	else
		connection_answer(c, p->reply, p->reply_n, p->has_value, steal_fd(&p->reply_fd));
	pending_free(p);
}

static struct pending *pending_make(struct request *req)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->waiting_next = req->agent->waiting_calls;
	p->waiting_at = &req->agent->waiting_calls;
	if (p->waiting_next)
		p->waiting_next->waiting_at = &p->waiting_next;
	req->agent->waiting_calls = p;
	p->deferred.complete = complete;
	p->reply_fd = -1;
	p->agent = req->agent;
	p->connection = req->connection;
	p->oneway = req->call.oneway;
	req->connection->pending = p;
	return p;
}

struct pending *pending_new(struct request *req,
			    void (*on_complete)(struct request *req, void *userdata),
			    void *userdata)
{
	struct pending *p = pending_make(req);

	if (p) {
		p->on_complete = on_complete;
		p->userdata = userdata;
	}
	return p;
}

struct pending *pending_new_again(struct request *req)
{
	struct pending *p = pending_make(req);

	if (p)
		p->again = true;
	return p;
}

void pending_complete(struct pending *p)
{
	change_defer(p->agent, &p->deferred);
}

void pending_fail(struct pending *p)
{
	p->on_complete = reply_store_failed;
	change_defer(p->agent, &p->deferred);
}

void pending_cancel(struct pending *p)
{
	if (!p)
		return;
	no_longer_pending(p);
	pending_free(p);
}

/* ---- changes --------------------------------------------------------------------------------- */

/* The reply waits in locked memory of its own, as it may carry a value. */
static bool take_reply(struct request *req, struct pending *p)
{
	struct agent *a = req->agent;
	char *reply = a->out.buf + req->out_start;

	p->reply_n = a->out.n - req->out_start;
	p->reply_large = p->reply_n > SMALL_BUF;
	p->reply = pool_get(p->reply_large ? &a->large : &a->small);
	if (p->reply) {
		memcpy(p->reply, reply, p->reply_n);
		p->has_value = a->out_has_value;
		p->reply_fd = steal_fd(&a->out_fd);
	}
	secret_wipe(reply, p->reply_n);
	reply_drop(req);
	return p->reply;
}

static void on_stored(void *userdata, int r)
{
	struct pending *p = userdata;
	struct agent *a = p->agent;

	p->r = r;
	a->n_changes--;
	if (r == 0) {
		change_parts_commit(a, &p->parts);
		if (p->holder)
			holder_bind(a, p->holder, p->bound_id);
		upkeep_vault_changed(a);
	} else {
		audit_failed(a, &p->parts.audit, &p->parts.who, r,
			     p->connection || p->on_minted);
		change_parts_rollback(a, &p->parts);
		if (!audit_has_journal(a))
			log_limited(&a->limit_store, agent_monotonic(a),
				    "a change could not be made durable: %s", strerror(-r));
		if (p->on_failed)
			p->on_failed(a, p->what);
		reply_put(p);
		reply_fd_close(p);
		p->on_complete = p->on_own ? NULL : reply_store_failed;
	}
	holder_unpin(a, STEAL_PTR(p->holder));
	change_defer(a, &p->deferred);
}

static void submit(struct agent *a, struct store_change *stored, struct pending *p)
{
	a->n_changes++;
	store_submit(a->store, stored, on_stored, p);
}

void change_drain(struct agent *a)
{
	struct pollfd poll_fd = { .fd = store_fd(a->store), .events = POLLIN };

	while (a->n_changes > 0 && poll(&poll_fd, 1, DRAIN_MS) > 0) {
		store_dispatch(a->store);
		change_complete_deferred(a);
	}
}

/* The request's change, of either kind, with the reply that agent->out holds. */
static enum dispatched submit_request(struct request *req, struct change_parts parts,
				      void (*on_failed)(struct agent *a, uint64_t what),
				      uint64_t what)
{
	struct agent *a = req->agent;
	struct pending *p = pending_make(req);
	struct store_change *stored = NULL;

	audit_actor_of(req->connection, &parts.who);
	if (p && take_reply(req, p))
		stored = change_parts_to_store(a, &parts);
	if (!stored) {
		change_parts_rollback(a, &parts);
		pending_cancel(p);
		reply_drop(req);
		return reply_limit(req, "memory", (int64_t)a->settings.memory_limit);
	}
	p->parts = parts;
	p->on_failed = on_failed;
	p->what = what;
	if (p->oneway)
		reply_put(p), p->reply_n = 0;
	submit(a, stored, p);
	return DISPATCH_LATER;
}

enum dispatched change_submit(struct request *req, struct vault_change *change,
			      void (*on_failed)(struct agent *a, uint64_t what), uint64_t what)
{
	return submit_request(req, (struct change_parts){ .tokens = change }, on_failed, what);
}

enum dispatched change_submit_credentials(struct request *req, struct credential_change *change)
{
	return submit_request(req, (struct change_parts){ .credentials = change }, NULL, 0);
}

void change_binds(struct request *req, struct holder_entry *holder, uint64_t id)
{
	struct pending *p = req->connection->pending;

	p->holder = holder;
	p->bound_id = id;
}

/* who NULL: the agent by itself. NULL: there was no memory, and all is rolled back. */
static struct pending *submit_own(struct agent *a, struct change_parts parts,
				  const struct audit_actor *who,
				  void (*done)(struct agent *a, int r))
{
	struct pending *p = calloc(1, sizeof(*p));
	struct store_change *stored;

	if (who)
		parts.who = *who;
	else
		audit_actor_itself(a, &parts.who);
	stored = p ? change_parts_to_store(a, &parts) : NULL;
	if (!stored) {
		change_parts_rollback(a, &parts);
		free(p);
		return NULL;
	}
	p->deferred.complete = complete;
	p->agent = a;
	p->parts = parts;
	p->reply_fd = -1;
	p->on_own = done;
	submit(a, stored, p);
	return p;
}

int change_submit_own(struct agent *a, struct vault_change *change,
		      void (*done)(struct agent *a, int r))
{
	return submit_own(a, (struct change_parts){ .tokens = change }, NULL, done) ? 0 : -ENOMEM;
}

int change_submit_own_credentials(struct agent *a, struct credential_change *change,
				  void (*done)(struct agent *a, int r))
{
	return submit_own(a, (struct change_parts){ .credentials = change }, NULL, done) ? 0 : -ENOMEM;
}

int change_submit_minted(struct agent *a, struct vault_change *change,
			 const struct audit_actor *who, struct holder_entry *holder, uint64_t id,
			 void (*done)(void *userdata, int r), void *userdata)
{
	struct pending *p = submit_own(a, (struct change_parts){ .tokens = change }, who, NULL);

	if (!p) {
		holder_unpin(a, holder);
		return -ENOMEM;
	}
	p->on_minted = done;
	p->userdata = userdata;
	p->holder = holder;
	p->bound_id = id;
	return 0;
}

int change_submit_event(struct agent *a, enum event_kind kind, void (*done)(struct agent *a, int r))
{
	return submit_own(a, (struct change_parts){ .event = kind }, NULL, done) ? 0 : -ENOMEM;
}

int change_submit_audit(struct agent *a, const struct audit_entry *entries, size_t n,
			void (*done)(struct agent *a, int r))
{
	struct change_parts parts = { .entries = entries, .n_entries = n };

	return submit_own(a, parts, NULL, done) ? 0 : -ENOMEM;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void on_waited(void *userdata, int r)
{
	struct pending *p = userdata;

	(void)r;
	change_defer(p->agent, &p->deferred);
}

enum dispatched change_wait(struct request *req)
{
	struct pending *p = pending_make(req);
	struct store_change *barrier = p ? store_change_new(req->agent->store) : NULL;

	if (!barrier) {
		pending_cancel(p);
		return reply_limit(req, "memory", (int64_t)req->agent->settings.memory_limit);
	}
	p->again = true;
	store_submit(req->agent->store, barrier, on_waited, p);
	return DISPATCH_LATER;
}

static void on_named(void *userdata)
{
	struct pending *p = userdata;

	change_defer(p->agent, &p->deferred);
}

enum dispatched change_wait_names(struct request *req)
{
	struct pending *p = pending_make(req);

	if (!p)
		return reply_limit(req, "memory", (int64_t)req->agent->settings.memory_limit);
	p->again = true;
	if (names_barrier(req->agent->names, on_named, p) < 0) {
		pending_cancel(p);
		return reply_limit(req, "memory", (int64_t)req->agent->settings.memory_limit);
	}
	return DISPATCH_LATER;
}

static void on_rows(void *userdata, struct store_rows *rows, int r)
{
	struct pending *p = userdata;

	p->rows = rows;
	p->r = r;
	change_defer(p->agent, &p->deferred);
}

enum dispatched change_read_ended(struct request *req, uint64_t row, const uint8_t *hash,
				  void (*on_read)(struct request *req,
						  const struct token_facts *facts,
						  const uint8_t *hash, int r))
{
	struct pending *p = pending_make(req);

	if (!p)
		return reply_limit(req, "memory", (int64_t)req->agent->settings.memory_limit);
	p->on_read = on_read;
	if (hash) {
		memcpy(p->hash, hash, sizeof(p->hash));
		p->has_hash = true;
	}
	store_read_ended_row(req->agent->store, row, on_rows, p);
	return DISPATCH_LATER;
}
