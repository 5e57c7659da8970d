/*
 * agent/last-use.c - see last-use.h. A verification changes memory only, so what it changes goes to
 * the store in rounds: all that has changed when a round begins, 256 at a time, so that no round
 * delays a call or goes on for as long as calls come in. Between rounds it stands in the notes.
 *
 * Invariant: what a note tells of is in the vault and marked there as changed, or was in the change
 * of a round that the store has kept, or is in a round that is under way.
 */
#include "agent/last-use.h"

#include <errno.h>

#include "agent/carried.h"
#include "agent/change.h"
#include "agent/credential.h"
#include "agent/denied.h"
#include "protocol/base/time.h"

enum { SLICE = 256 };
static const uint64_t RETRY_US = 5 * USEC_PER_SEC; /* after the store failed */

/* ---- notes ----------------------------------------------------------------------------------- */

/* What came of a note. */
static void look_at(struct agent *a, int r)
{
	if (r == -ENOSPC)
		log_limited(&a->limit_store, agent_monotonic(a),
			    "last uses can't be noted, for the store keeps none of those before: a "
			    "crash would lose when tokens were last used");
	if (r < 0 && agent_monotonic(a) >= a->keep.retry_us)
		last_use_keep(a);
}

bool last_use_verified(struct agent *a, token_ref ref, const struct last_use *was,
		       const struct token_facts *facts)
{
	/* Instants of use are kept in seconds, so one note a second tells all. */
	bool is_news =
		was->used_us != facts->last_used_us || !span_equal(was->by, facts->last_used_by);

	/* Before the vault forgets whom `was` names. */
	vault_used(a->vault, ref, facts->last_used_us, facts->last_used_by);
	if (is_news)
		look_at(a, carried_use(a->carried, facts->id, facts->last_used_us,
				       facts->last_used_by));
	return is_news;
}

void last_use_fetched(struct agent *a, struct span name, uint64_t now_us, struct span by)
{
	credentials_fetched(a->credentials, name, now_us, by);
	look_at(a, carried_fetch(a->carried, name, now_us, by));
}

/* ---- notes of before ------------------------------------------------------------------------- */

/* Notes come in order, so of one second the last one counts. */
static void on_use(void *userdata, uint64_t id, uint64_t at_us, struct span by)
{
	struct agent *a = userdata;
	token_ref ref = vault_find(a->vault, id);
	struct token_facts facts;

	if (!ref)
		return; /* It has ended; the store has it with its last use. */
	vault_facts(a->vault, ref, &facts);
	if (at_us > facts.last_used_us ||
	    (at_us == facts.last_used_us && !span_equal(by, facts.last_used_by)))
		vault_used(a->vault, ref, at_us, by);
}

static void on_fetch(void *userdata, struct span name, uint64_t at_us, struct span by)
{
	struct agent *a = userdata;
	const struct credential *c = credentials_find(a->credentials, name);

	if (!c || at_us > c->fetched_us)
		credentials_fetched(a->credentials, name, at_us, by);
}

static void on_denial(void *userdata, uint64_t id)
{
	denied_found(userdata, id);
}

int last_use_start(struct agent *a)
{
	static const struct carried_fns fns = { on_use, on_fetch, on_denial };
	int r = carried_open(a->store, &a->carried);

	/* Not worth a start: the store is kept all the same. */
	if (r < 0)
		log_warning("a crash will lose when tokens were last used in its last minute: "
			    "nothing can be given to the service manager: %s",
			    strerror(-r));
	_Static_assert(sizeof(a->scratch->record) >= CARRIED_NOTE_MAX, "room for a note");
	carried_replay(a->carried, a->scratch->record, &fns, a);
	return r == -ENOMEM ? r : 0;
}

void last_use_done(struct agent *a)
{
	carried_close(a->carried);
	a->carried = NULL;
}

/* ---- a round --------------------------------------------------------------------------------- */

static void note_fetch_again(void *userdata, const struct credential *c)
{
	struct agent *a = userdata;

	(void)carried_fetch(a->carried, span_of(c->name), c->fetched_us,
			    c->fetched_by[0] ? span_of(c->fetched_by) : SPAN_NONE);
}

/* What no round keeps: fetches of which another change was under way, and denials. */
static void note_rest_again(struct agent *a)
{
	credentials_each_unkept(a->credentials, note_fetch_again, a);
	for (size_t i = 0; i < a->n_denied; i++)
		if (vault_find(a->vault, a->denied[i]))
			(void)carried_denial(a->carried, a->denied[i]);
}

static void note_use_again(void *userdata, token_ref ref)
{
	struct agent *a = userdata;
	struct token_facts facts;

	vault_facts(a->vault, ref, &facts);
	(void)carried_use(a->carried, facts.id, facts.last_used_us, facts.last_used_by);
}

void last_use_rekeyed(struct agent *a)
{
	carried_begin_anew(a->carried);
	vault_each_unkept(a->vault, note_use_again, a);
	note_rest_again(a);
	/* And what a round that is under way has taken out. */
	last_use_keep(a);
}

/* One of the two parts of a round is over. */
static void end_part(struct agent *a, int r)
{
	bool again;

	a->keep.failed |= r < 0;
	if (--a->keep.n_parts > 0)
		return;
	if (a->keep.failed) {
		a->keep.retry_us = agent_monotonic(a) + RETRY_US;
	} else {
		note_rest_again(a);
		carried_kept(a->carried);
	}
	again = a->keep.again && !a->keep.failed;
	a->keep.again = false;
	if (again)
		last_use_keep(a);
}

static void keep_uses(struct agent *a);

static void on_uses_kept(struct agent *a, int r)
{
	if (r < 0)
		end_part(a, r);
	else
		keep_uses(a);
}

/* Up to SLICE of those that had changed when the round began. */
static void keep_uses(struct agent *a)
{
	size_t max = a->keep.n_uses < SLICE ? a->keep.n_uses : SLICE, n = 0;
	struct vault_change *change = max > 0 ? vault_change_new(a->vault) : NULL;
	int r = max > 0 && !change ? -ENOMEM : 0;

	if (change)
		r = vault_prepare_last_used(change, max, &n);
	if (r < 0 || n == 0) {
		vault_rollback(change);
		end_part(a, r);
		return;
	}
	a->keep.n_uses -= n;
	r = change_submit_own(a, change, on_uses_kept);
	if (r < 0)
		end_part(a, r);
}

static void keep_fetches(struct agent *a);

static void on_fetches_kept(struct agent *a, int r)
{
	if (r < 0 || a->keep.n_fetches < SLICE)
		end_part(a, r);
	else
		keep_fetches(a);
}

/*
 * Those of a change that is still under way are passed over. While locked there is no key to keep
 * them with.
 */
static void keep_fetches(struct agent *a)
{
	struct credential_change *change = NULL;
	int r = a->locked ? 0 : credentials_prepare_fetched(a->credentials, SLICE, &change);

	if (r == 0 && change) {
		a->keep.n_fetches = credential_change_n(change);
		r = change_submit_own_credentials(a, change, on_fetches_kept);
		if (r == 0)
			return;
	}
	end_part(a, r);
}

void last_use_keep(struct agent *a)
{
	if (a->keep.n_parts > 0) {
		a->keep.again = true;
		return;
	}
	carried_turn(a->carried);
	a->keep.n_parts = 2;
	a->keep.failed = false;
	a->keep.n_uses = vault_n_unkept(a->vault);
	keep_fetches(a);
	keep_uses(a);
}

static void no_more(struct agent *a, int r)
{
	(void)a;
	(void)r;
}

void last_use_keep_fetches(struct agent *a)
{
	struct credential_change *fetches;

	while (credentials_prepare_fetched(a->credentials, SLICE, &fetches) == 0 && fetches &&
	       change_submit_own_credentials(a, fetches, no_more) == 0)
		;
}

void last_use_keep_all(struct agent *a)
{
	struct vault_change *uses;
	size_t n;

	if (!a->locked)
		last_use_keep_fetches(a);
	do {
		n = 0;
		uses = vault_change_new(a->vault);
		if (!uses || vault_prepare_last_used(uses, SLICE, &n) < 0 || n == 0) {
			vault_rollback(uses);
			return;
		}
	} while (change_submit_own(a, uses, no_more) == 0);
}
