/*
 * agent/restore.c - see restore.h.
 *
 * The file is read three times. First all of it is proved and the names of owners are asked for, so
 * that nothing has changed where it is no good. Then what has ended: a token that is in the file as
 * active too, because it ended while the copy was made, is known to have ended before its turn
 * comes. Then what is active, and credentials. One block, or one slice of it, is a turn of the
 * loop; a slice is a change of the store, and the next one begins when it is durable.
 *
 * Invariant: a restore waits for exactly one of these: its turn, by the source; a change, which
 * calls on_slice(); names, which call on_names(); at its end the removal, which calls on_removed().
 */
#include "agent/restore-impl.h"

#include <errno.h>
#include <inttypes.h>

#include "agent/change.h"
#include "agent/reply.h"
#include "protocol/base/time.h"

/* A failure is not met with another try at once: whoever waited goes on. */
static const uint64_t REST_US = USEC_PER_SEC;

struct waiter {
	struct waiter *next;
	struct pending *pending;
};

_Static_assert(sizeof(struct restore_work) <= LARGE_BUF, "room to work in");

/* ---- its end --------------------------------------------------------------------------------- */

/* No value is in memory any more. */
static void drop_work(struct restore *r)
{
	if (!r->work)
		return;
	secret_wipe(r->work, sizeof(*r->work));
	pool_put(&r->agent->large, (char *)STEAL_PTR(r->work));
	r->file.open = NULL;
}

/* Nothing is left but what a change that is under way will ask for. */
static void end(struct restore *r)
{
	struct agent *a = r->agent;

	vault_rollback(STEAL_PTR(r->slice));
	names_barrier_cancel(a->names, r);
	r->source = sd_event_source_unref(r->source);
	drop_work(r);
	ownerless_done(&r->ownerless);
	restore_file_close(&r->file);
	if (r->is_waiting)
		return;
	a->restore = NULL;
	free(r);
}

static void release_waiters(struct agent *a)
{
	while (a->restore_waiters) {
		struct waiter *w = a->restore_waiters;

		a->restore_waiters = w->next;
		pending_complete(w->pending);
		free(w);
	}
	change_complete_deferred(a);
}

void restore_stop(struct agent *a)
{
	if (a->restore && a->restore->work)
		end(a->restore);
	/* Their messages are dispatched again, and find the agent as it is then. */
	release_waiters(a);
}

static void rest(struct agent *a)
{
	a->restore_rests_until_us = agent_monotonic(a) + REST_US;
}

/* Reading the file again may go better; what is wrong with it is no reason to lose it. */
static void fail(struct restore *r, int error)
{
	struct agent *a = r->agent;

	log_error("a restore from %s/restore was broken off: %s; it is begun again when the agent "
		  "reloads or starts",
		  a->paths.state, strerror(-error));
	r->result.is_whole = false;
	restore_file_tell(&r->file, &r->result);
	rest(a);
	end(r);
	release_waiters(a);
}

/* Where it can't even be renamed, it is not looked at again at once. */
static void set_aside(struct agent *a, const char *why)
{
	int r = restore_file_set_aside(a->paths.state);

	log_error("nothing was restored: %s; %s", why,
		  r < 0 ? "it can't be renamed, remove it"
			: "it is named restore.bad now: use jetonctl restore again");
	if (r < 0)
		rest(a);
}

static void fail_bad(struct restore *r)
{
	struct agent *a = r->agent;

	r->result.is_whole = false;
	restore_file_tell(&r->file, &r->result);
	set_aside(a, "the file restore in the state directory was altered or is damaged");
	end(r);
	release_waiters(a);
}

static void tell(const struct restore *r)
{
	const uint64_t *n = r->result.n;
	char when[64];

	log_notice("a backup of %s, made %s, was taken in: %" PRIu64
		   " active tokens came back and %" PRIu64 " that had ended, %" PRIu64
		   " were known and %" PRIu64 " of them have ended by it; %" PRIu64 " credentials",
		   r->host[0] ? r->host : "a host without a name",
		   time_format_local(r->taken_us, when, sizeof(when)), n[BACKUP_CAME_BACK],
		   n[BACKUP_ENDED_CAME_BACK], n[BACKUP_WERE_KNOWN] + n[BACKUP_ENDED_NOW],
		   n[BACKUP_ENDED_NOW], n[BACKUP_CREDENTIALS_CAME_BACK]);
	if (n[BACKUP_NO_OWNER] > 0)
		log_warning("%" PRIu64 " tokens of that backup were left out: their owners are no "
			    "users of this host",
			    n[BACKUP_NO_OWNER]);
	if (n[BACKUP_NO_ROOM] > 0)
		log_warning("%" PRIu64 " tokens of that backup were left out: they do not fit into "
			    "MemoryLimit= or LimitMEMLOCK=; raise it and restore again",
			    n[BACKUP_NO_ROOM]);
}

/* In a thread of its own, since it takes a sync. */
static void work_remove(void *userdata)
{
	struct restore *r = ((struct agent *)userdata)->restore;

	r->removed = restore_file_remove(&r->file);
}

static void on_removed(void *userdata)
{
	struct agent *a = userdata;
	struct restore *r = a->restore;

	r->is_waiting = false;
	if (r->removed < 0) {
		fail(r, r->removed);
		return;
	}
	tell(r);
	end(r);
	release_waiters(a);
}

/* All of it is in. */
static void finish(struct restore *r)
{
	int error;

	r->source = sd_event_source_unref(r->source);
	drop_work(r);
	r->result.is_whole = true;
	restore_file_tell(&r->file, &r->result);
	r->is_waiting = true;
	error = aside_start(&r->agent->restore_removal, work_remove);
	if (error < 0) {
		r->is_waiting = false;
		fail(r, error);
	}
}

/*
 * ---- changes ----------------------------------------------------------------------------------
 */

static void go_on(struct restore *r)
{
	int error = sd_event_source_set_enabled(r->source, SD_EVENT_ON);

	if (error < 0)
		fail(r, error);
}

static void on_slice(struct agent *a, int error)
{
	struct restore *r = a->restore;
	bool again;

	r->is_waiting = false;
	if (!r->work) {
		again = r->again;
		end(r);
		if (again)
			restore_begin(a);
	} else if (error < 0) {
		fail(r, error);
	} else {
		go_on(r);
	}
}

static void wait_for(struct restore *r)
{
	r->is_waiting = true;
	(void)sd_event_source_set_enabled(r->source, SD_EVENT_OFF);
}

int restore_submit_slice(struct restore *r)
{
	struct vault_change *slice = STEAL_PTR(r->slice);
	int error;

	if (!slice)
		slice = vault_change_new(r->agent->vault);
	r->n_slice = 0;
	wait_for(r);
	error = slice ? change_submit_own(r->agent, slice, on_slice) : -ENOMEM;
	if (error < 0)
		r->is_waiting = false;
	return error;
}

int restore_submit_credential(struct restore *r, struct credential_change *change)
{
	int error;

	wait_for(r);
	error = change_submit_own_credentials(r->agent, change, on_slice);
	if (error < 0)
		r->is_waiting = false;
	return error;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void begin_phase(struct restore *r, enum restore_phase phase)
{
	int error = restore_file_rewind(&r->file);

	r->phase = phase;
	r->has_block = false;
	if (error < 0)
		fail(r, error);
	else
		go_on(r);
}

static void on_names(void *userdata)
{
	begin_phase(userdata, RESTORE_ENDED);
}

/* The file was read to its end. */
static void end_phase(struct restore *r)
{
	int error;

	if (r->phase == RESTORE_ACTIVE) {
		finish(r);
	} else if (r->phase == RESTORE_ENDED) {
		begin_phase(r, RESTORE_ACTIVE);
	} else if (!backup_order_is_whole(&r->order)) {
		fail_bad(r);
	} else {
		(void)sd_event_source_set_enabled(r->source, SD_EVENT_OFF);
		error = names_barrier(r->agent->names, on_names, r);
		if (error < 0)
			fail(r, error);
	}
}

static int on_turn(sd_event_source *source, void *userdata)
{
	struct restore *r = userdata;
	int k = 1;

	(void)source;
	if (!r->has_block) {
		k = restore_file_next(&r->file);
		r->has_block = k > 0;
		r->at = 0;
	}
	if (k == 0) {
		end_phase(r);
		return 0;
	}
	if (k > 0)
		k = r->phase == RESTORE_PROVES ? restore_prove_block(r) : restore_take_some(r);
	if (k == -EBADMSG)
		fail_bad(r);
	else if (k < 0)
		fail(r, k);
	return 0;
}

/* ---- its start ------------------------------------------------------------------------------- */

static int open_file(struct restore *r, struct store_error *e)
{
	struct agent *a = r->agent;

	r->work = (struct restore_work *)(void *)pool_get(&a->large);
	if (!r->work)
		return store_fail(e, -ENOMEM, "no locked buffer is left for a restore");
	return restore_file_open(a->paths.state, a->store, a->scratch->random, &r->work->open,
				 &r->file, e);
}

static int start(struct restore *r, struct store_error *e)
{
	int error = open_file(r, e);

	if (error < 0)
		return error;
	error = sd_event_add_defer(r->agent->event, &r->source, on_turn, r);
	if (error >= 0)
		error = sd_event_source_set_enabled(r->source, SD_EVENT_ON);
	return error < 0 ? store_fail(e, error, "%s", strerror(-error)) : 0;
}

static void begin(struct agent *a)
{
	struct restore *r = calloc(1, sizeof(*r));
	struct store_error e = { "" };
	int error;

	if (!r)
		return;
	r->agent = a;
	r->file = RESTORE_FILE_NONE;
	a->restore = r;
	error = start(r, &e);
	if (error == 0)
		return;
	if (error == -EBADMSG) {
		set_aside(a, e.text);
	} else {
		log_error("a restore could not be begun: %s", e.text);
		rest(a);
	}
	end(r);
}

bool restore_begin(struct agent *a)
{
	/* With no disk there is no such directory, and nothing was started for it. */
	if (!a->restore_removal.source || a->locked || a->stopping)
		return false;
	if (a->restore) {
		a->restore->again |= !a->restore->work;
		return true;
	}
	if (agent_monotonic(a) >= a->restore_rests_until_us &&
	    restore_file_is_there(a->paths.state))
		begin(a);
	return a->restore;
}

enum dispatched restore_wait(struct request *req)
{
	struct agent *a = req->agent;
	struct waiter *w = malloc(sizeof(*w));
	struct pending *p = w ? pending_new_again(req) : NULL;

	if (!p) {
		free(w);
		return reply_limit(req, "memory", 0);
	}
	*w = (struct waiter){ a->restore_waiters, p };
	a->restore_waiters = w;
	return DISPATCH_LATER;
}

void restore_rekeyed(struct agent *a)
{
	struct store_error e = { "" };

	if (a->settings.storage == STORAGE_VOLATILE)
		return;
	if (restore_file_publish(a->paths.state, a->store, a->scratch->random, &e) < 0)
		log_warning("no backup can be restored here: %s", e.text);
}

void restore_start(struct agent *a)
{
	if (a->settings.storage == STORAGE_VOLATILE)
		return;
	restore_rekeyed(a);
	if (aside_init(&a->restore_removal, a->event, on_removed, a) < 0)
		log_warning("no backup can be restored here: no descriptor is left");
	restore_begin(a);
}

void restore_done(struct agent *a)
{
	aside_done(&a->restore_removal);
	if (!a->restore)
		return;
	a->restore->is_waiting = false;
	end(a->restore);
}
