/* agent/over.c - see over.h. */
#include "agent/over.h"

#include "agent/change.h"
#include "agent/reply.h"
#include "agent/upkeep.h"

/* Whoever waits looks again; where it failed the vault knows. */
static void on_ended(struct agent *a, int r)
{
	(void)a;
	(void)r;
}

/* False: it could not even be begun. */
static bool end_it(struct agent *a, token_ref ref, uint64_t now_us)
{
	struct vault_change *change = vault_change_new(a->vault);

	if (!change || vault_prepare_over(change, ref, now_us) < 0) {
		vault_rollback(change);
		return false;
	}
	return change_submit_own(a, change, on_ended) == 0;
}

bool over_may_be_told(struct request *req, token_ref ref, enum dispatched *ret)
{
	struct agent *a = req->agent;

	if (vault_is_over_unkept(a->vault, ref))
		return true;
	if (!vault_is_busy(a->vault, ref) && !end_it(a, ref, req->now_us))
		*ret = reply_limit(req, "memory", (int64_t)a->settings.memory_limit);
	else
		*ret = change_wait(req);
	return false;
}

bool over_may_be_shown(struct request *req, token_ref ref, enum dispatched *ret)
{
	struct agent *a = req->agent;

	if (!vault_is_over(a->vault, ref, req->now_us) || !upkeep_believes_clock(a))
		return true;
	return over_may_be_told(req, ref, ret);
}

/* The first of those that are not ending: unless the store could not keep its end just now. */
static bool has_due(struct agent *a, uint64_t until_us)
{
	return vault_next_expiry_us(a->vault) <= until_us && upkeep_believes_clock(a) &&
	       !vault_is_next_unkept(a->vault);
}

bool over_all_may_be_shown(struct request *req, enum dispatched *ret)
{
	struct agent *a = req->agent;
	struct connection *c = req->connection;
	bool waits = false;

	if (c->asked_us == 0)
		c->asked_us = req->now_us;
	if (has_due(a, c->asked_us < req->now_us ? c->asked_us : req->now_us)) {
		upkeep_sweep(a);
		waits = true;
	} else if (!c->has_waited && vault_n_over_ending(a->vault) > 0) {
		/* Those that were on their way to their end. */
		c->has_waited = waits = true;
	}
	if (waits) {
		*ret = change_wait(req);
		return false;
	}
	c->asked_us = 0;
	c->has_waited = false;
	return true;
}
