/* agent/denied.c - a short list, empty on all but the worst of days: nothing else pays for it. */
#include "agent/denied.h"

#include <stdlib.h>

static bool is_listed(const struct agent *a, uint64_t id)
{
	for (size_t i = 0; i < a->n_denied; i++)
		if (a->denied[i] == id)
			return true;
	return false;
}

void denied_add(struct agent *a, uint64_t id)
{
	uint64_t *larger;

	if (is_listed(a, id))
		return;
	larger = reallocarray(a->denied, a->n_denied + 1, sizeof(*larger));
	if (!larger) {
		log_error("a revocation could neither be kept nor remembered: revoke the token "
			  "again");
		return;
	}
	a->denied = larger;
	a->denied[a->n_denied++] = id;
	log_warning("a revocation could not be made durable: it holds until the agent stops; "
		    "revoke the token again when the store works");
}

bool is_denied(const struct agent *a, token_ref ref)
{
	struct token_facts facts;

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
