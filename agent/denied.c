/* agent/denied.c - a short list, empty on all but the worst of days: nothing else pays for it. */
#include "agent/denied.h"

#include <errno.h>
#include <stdlib.h>

#include "agent/carried.h"
#include "agent/maps.h"

static bool is_listed(const struct agent *a, uint64_t id)
{
	for (size_t i = 0; i < a->n_denied; i++)
		if (a->denied[i] == id)
			return true;
	return false;
}

/* False where there is no memory. */
static bool list(struct agent *a, uint64_t id)
{
	uint64_t *larger = reallocarray(a->denied, a->n_denied + 1, sizeof(*larger));

	if (!larger)
		return false;
	a->denied = larger;
	a->denied[a->n_denied++] = id;
	return true;
}

void denied_add(struct agent *a, uint64_t id)
{
	int r;

	if (is_listed(a, id))
		return;
	if (!list(a, id)) {
		log_error("a revocation could neither be kept nor remembered: revoke the token "
			  "again");
		return;
	}
	/* It is dead with all that was derived from it, which is seldom, and for maps to work out anew. */
	maps_retire(a);
	r = carried_denial(a->carried, id);
	log_warning("a revocation could not be made durable: it holds until %s; revoke the token "
		    "again when the store works",
		    r == 0 || r == -EXFULL ? "the service is stopped" : "the agent stops");
}

void denied_found(struct agent *a, uint64_t id)
{
	if (!is_listed(a, id) && vault_find(a->vault, id) && !list(a, id))
		log_error("no memory for a revocation that could not be made durable");
}

bool is_denied(const struct agent *a, token_ref ref)
{
	struct token_facts facts NOT_ZEROED;

	if (a->n_denied == 0)
		return false;
	for (; ref != REF_NONE;
	     ref = facts.parent ? vault_find(a->vault, facts.parent) : REF_NONE) {
		vault_facts(a->vault, ref, &facts);
		if (is_listed(a, facts.id))
			return true;
	}
	return false;
}

void denied_done(struct agent *a)
{
	free(a->denied);
	a->denied = NULL;
	a->n_denied = 0;
}
