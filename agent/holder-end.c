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

/*
 * Prepares the end of some of its tokens. Those that are gone already are taken off; *ret_left: how
 * many are left.
 */
static int prepare_ends(struct holder_entry *e, struct vault_change *change, size_t *ret_left)
{
	struct vault *v = e->agent->vault;
	size_t n_prepared = 0, kept = 0;
	int r = 0;

	for (size_t i = 0; i < e->n_ids; i++) {
		token_ref ref = vault_find(v, e->ids[i]);

		if (ref == REF_NONE)
			continue;
		e->ids[kept++] = e->ids[i];
		if (r < 0 || n_prepared >= REAP_AT_ONCE || vault_is_busy(v, ref))
			continue;
		r = vault_prepare_end(change, ref, TOKEN_REVOKED, END_BINDING, agent_now(e->agent));
		/* What is under way with it comes first; it is looked at again after that. */
		if (r == -EBUSY)
			r = 0;
		n_prepared++;
	}
	e->n_ids = kept;
	*ret_left = kept;
	return r;
}

static void on_reaped(struct agent *a, int r)
{
	struct holders *h = a->holders;

	if (!h)
		return;
	h->reaping = false;
	if (r == 0) {
		holder_reap(a);
		return;
	}
	(void)sd_event_source_set_time_relative(h->retry_timer, RETRY_US);
	(void)sd_event_source_set_enabled(h->retry_timer, SD_EVENT_ONESHOT);
}

void holder_free_first_dying(struct holders *h)
{
	struct holder_entry *e = h->dying;

	h->dying = e->next;
	holder_entry_free(e);
}

/*
 * Ends what the dying held, one change after the other. A change of no steps waits for those under
 * way.
 */
void holder_reap(struct agent *a)
{
	struct holders *h = a->holders;
	struct vault_change *change;
	size_t left = 0;
	int r;

	while (h->dying && !h->reaping) {
		/* A call that is about to bind to it is answered first. */
		if (h->dying->n_pins > 0)
			return;
		change = vault_change_new(a->vault);
		r = change ? prepare_ends(h->dying, change, &left) : -ENOMEM;
		if (r == 0 && left == 0) {
			vault_rollback(change);
			holder_free_first_dying(h);
			continue;
		}
		h->reaping = true;
		if (r < 0) {
			vault_rollback(change);
			on_reaped(a, r);
		} else if (change_submit_own(a, change, on_reaped) < 0) {
			on_reaped(a, -ENOMEM);
		}
	}
}

int holder_on_retry(sd_event_source *source, uint64_t at_us, void *userdata)
{
	(void)source;
	(void)at_us;
	holder_reap(userdata);
	return 0;
}

void holder_die(struct holder_entry *e)
{
	struct holders *h = e->agent->holders;
	struct holder_entry **last = &h->dying;

	if (e->dying)
		return;
	e->dying = true;
	holder_stop_watching(e);
	holder_entry_take_out(h, e);
	while (*last)
		last = &(*last)->next;
	*last = e;
	holder_reap(e->agent);
}

/*
 * ---- watching ----------------------------------------------------------------------------------
 */
