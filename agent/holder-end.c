/*
 * agent/holder-end.c - what a holder that is gone held ends with it, a slice at a time, one change
 * after the other, as often as it takes.
 */
#include "agent/holder-internal.h"

#include <errno.h>

#include "agent/change.h"
#include "protocol/base/time.h"

enum { REAP_AT_ONCE = 64 }; /* tokens ended in one change */
static const uint64_t RETRY_US = 5 * USEC_PER_SEC;

void holder_try_later(struct holders *h)
{
	(void)sd_event_source_set_time_relative(h->retry_timer, RETRY_US);
	(void)sd_event_source_set_enabled(h->retry_timer, SD_EVENT_ONESHOT);
}

/*
 * Prepares the end of its tokens, until there are enough for one change. Those that are gone
 * already are taken off.
 */
static int prepare_ends(struct holder_entry *e, struct vault_change *change, size_t *n_prepared)
{
	struct vault *v = e->agent->vault;
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; i < e->n_ids; i++) {
		token_ref ref = vault_find(v, e->ids[i]);

		if (ref == REF_NONE)
			continue;
		e->ids[kept++] = e->ids[i];
		if (r < 0 || *n_prepared >= REAP_AT_ONCE || vault_is_busy(v, ref))
			continue;
		r = vault_prepare_end(change, ref, TOKEN_REVOKED, END_BINDING, agent_now(e->agent));
		/* What is under way with it comes first; it is looked at again after that. */
		if (r == -EBUSY)
			r = 0;
		++*n_prepared;
	}
	e->n_ids = kept;
	return r;
}

/*
 * The same of all that are dying, but for those that a call is about to bind to: it is answered
 * first. Who has no token left is freed. *ret_waiting: some are left, for this change or another.
 */
static int prepare_dying(struct holders *h, struct vault_change *change, bool *ret_waiting)
{
	struct holder_entry **at = &h->dying, *e;
	size_t n_prepared = 0;
	int r = 0;

	*ret_waiting = false;
	while (r == 0 && n_prepared < REAP_AT_ONCE && (e = *at)) {
		if (e->n_pins == 0)
			r = prepare_ends(e, change, &n_prepared);
		if (e->n_pins == 0 && e->n_ids == 0) {
			*at = e->next;
			holder_entry_free(e);
			continue;
		}
		*ret_waiting |= e->n_pins == 0;
		at = &e->next;
	}
	if (!*at)
		h->dying_end = at;
	return r;
}

static void on_reaped(struct agent *a, int r)
{
	struct holders *h = a->holders;

	if (!h)
		return;
	h->reaping = false;
	if (r == 0)
		holder_reap(a);
	else
		holder_try_later(h);
}

/*
 * Ends what the dying held, one change after the other. A change of no steps waits for those under
 * way.
 */
void holder_reap(struct agent *a)
{
	struct holders *h = a->holders;
	struct vault_change *change;
	bool waiting = false;
	int r;

	if (!h->dying || h->reaping)
		return;
	change = vault_change_new(a->vault);
	r = change ? prepare_dying(h, change, &waiting) : -ENOMEM;
	if (r < 0 || !waiting) {
		vault_rollback(change);
		if (r < 0)
			holder_try_later(h);
		return;
	}
	h->reaping = true;
	if (change_submit_own(a, change, on_reaped) < 0)
		on_reaped(a, -ENOMEM);
}

int holder_on_retry(sd_event_source *source, uint64_t at_us, void *userdata)
{
	(void)source;
	(void)at_us;
	holder_look_again(userdata);
	holder_reap(userdata);
	return 0;
}

void holder_die(struct holder_entry *e)
{
	struct holders *h = e->agent->holders;

	if (e->dying)
		return;
	e->dying = true;
	holder_stop_watching(e);
	holder_entry_take_out(h, e);
	*h->dying_end = e;
	h->dying_end = &e->next;
	holder_reap(e->agent);
}
