/*
 * agent/audit-queue.c - entries that no change brings into the chain: refusals, sums, what
 * administrators did. They wait in a queue of fixed size for a change of their own, one at a time
 * and a few times in a second at most, so that whoever is refused again and again keeps no disk
 * busy.
 */
#include <errno.h>
#include <string.h>

#include "agent/audit-internal.h"
#include "agent/change.h"
#include "protocol/base/time.h"

enum { AT_ONCE = 64 }; /* entries of one change */
static const uint64_t SOON_US = 100 * 1000;
static const uint64_t RETRY_US = 5 * USEC_PER_SEC; /* after the store failed */

static void wait_for(struct agent *a, uint64_t us)
{
	struct audit *audit = a->audit;

	if (audit->queue_waits || audit->queue_under_way || !audit->queue_timer)
		return;
	a->sources_changed = true;
	(void)sd_event_source_set_time_relative(audit->queue_timer, us);
	(void)sd_event_source_set_enabled(audit->queue_timer, SD_EVENT_ONESHOT);
	audit->queue_waits = true;
}

static bool push(struct audit *audit, const struct audit_entry *entry)
{
	if (audit->queue_n == AUDIT_QUEUE)
		return false;
	audit->queue[(audit->queue_first + audit->queue_n++) % AUDIT_QUEUE] = *entry;
	return true;
}

static struct audit_entry gap_of(struct agent *a, const char *what, uint32_t n)
{
	struct audit_actor itself;
	struct audit_entry e;

	audit_actor_itself(a, &itself);
	e = audit_entry_of(a, &itself, AUDIT_GAP, what);
	e.count = n;
	return e;
}

/* That some were lost stands where they would. */
static void push_gap(struct agent *a)
{
	struct audit *audit = a->audit;
	struct audit_note note = { .entry = gap_of(a, "store", audit->queue_lost) };

	if (!audit->queue_lost || !push(audit, &note.entry))
		return;
	audit->queue_lost = 0;
	audit_tell_journal(a, &note);
}

static void on_kept(struct agent *a, int r)
{
	struct audit *audit = a->audit;

	if (r == 0) {
		audit->queue_first = (audit->queue_first + audit->queue_under_way) % AUDIT_QUEUE;
		audit->queue_n -= audit->queue_under_way;
	}
	audit->queue_under_way = 0;
	push_gap(a);
	if (audit->queue_n > 0)
		wait_for(a, r == 0 ? SOON_US : RETRY_US);
}

static void submit(struct agent *a)
{
	struct audit *audit = a->audit;
	struct audit_entry entries[AT_ONCE];
	size_t n = audit->queue_n < AT_ONCE ? audit->queue_n : AT_ONCE;

	if (n == 0 || audit->queue_under_way)
		return;
	for (size_t i = 0; i < n; i++)
		entries[i] = audit->queue[(audit->queue_first + i) % AUDIT_QUEUE];
	audit->queue_under_way = n;
	if (change_submit_audit(a, entries, n, on_kept) < 0)
		on_kept(a, -ENOMEM);
}

static int on_time(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct agent *a = userdata;

	(void)source;
	(void)at_us;
	a->audit->queue_waits = false;
	submit(a);
	return 0;
}

void audit_keep_now(struct agent *a)
{
	submit(a);
}

void audit_queue_add(struct agent *a, const struct audit_entry *entry)
{
	struct audit *audit = a->audit;

	if (audit->queue_lost || !push(audit, entry))
		audit->queue_lost += audit->queue_lost < UINT32_MAX;
	wait_for(a, SOON_US);
}

void audit_gap(struct agent *a, const char *what, uint32_t n, bool tell_journal)
{
	struct audit_note note = { .entry = gap_of(a, what, n) };

	if (tell_journal)
		audit_tell_journal(a, &note);
	audit_queue_add(a, &note.entry);
}

static void on_last_kept(struct agent *a, int r)
{
	(void)r;
	a->audit->queue_under_way = 0;
}

void audit_queue_flush(struct agent *a)
{
	struct audit *audit = a->audit;
	struct audit_entry entries[AT_ONCE];

	/* What is under way already is not asked for again. */
	audit->queue_first = (audit->queue_first + audit->queue_under_way) % AUDIT_QUEUE;
	audit->queue_n -= audit->queue_under_way;
	audit->queue_under_way = 0;
	push_gap(a);
	while (audit->queue_n > 0) {
		size_t n = 0;

		for (; n < AT_ONCE && audit->queue_n > 0; n++) {
			entries[n] = audit->queue[audit->queue_first];
			audit->queue_first = (audit->queue_first + 1) % AUDIT_QUEUE;
			audit->queue_n--;
		}
		if (change_submit_audit(a, entries, n, on_last_kept) < 0)
			return;
	}
}

int audit_queue_start(struct agent *a)
{
	struct audit *audit = a->audit;
	int r = sd_event_add_time(a->event, &audit->queue_timer, CLOCK_MONOTONIC, 0, 0, on_time, a);

	if (r >= 0)
		r = sd_event_source_set_enabled(audit->queue_timer, SD_EVENT_OFF);
	if (r >= 0 && audit->queue_n > 0)
		wait_for(a, SOON_US);
	return r < 0 ? r : 0;
}

void audit_queue_done(struct agent *a)
{
	a->audit->queue_timer = sd_event_source_unref(a->audit->queue_timer);
}
