/* tests/unit/facts-unit.h - whether two facts of a token say the same. */
#pragma once

#include <string.h>

#include "agent/token-facts.h"

static inline bool same_span(struct span a, struct span b)
{
	return !a.p == !b.p && span_equal(a, b);
}

static inline bool same_holder(const struct holder *a, const struct holder *b)
{
	return memcmp(a->boot, b->boot, sizeof(a->boot)) == 0 && a->pidfd_inode == b->pidfd_inode &&
	       a->pid == b->pid &&
	       memcmp(a->invocation, b->invocation, sizeof(a->invocation)) == 0 &&
	       same_span(a->unit, b->unit);
}

static inline bool same_scopes(const struct packed_scopes *a, const struct packed_scopes *b)
{
	return a->count == b->count && a->n_bytes == b->n_bytes &&
	       (a->n_bytes == 0 || memcmp(a->p, b->p, a->n_bytes) == 0);
}

static inline bool facts_same(const struct token_facts *a, const struct token_facts *b)
{
	return a->id == b->id && a->row == b->row && same_span(a->name, b->name) &&
	       a->owner_uid == b->owner_uid && same_span(a->owner_name, b->owner_name) &&
	       same_scopes(&a->scopes, &b->scopes) && a->created_us == b->created_us &&
	       a->expires_us == b->expires_us && a->last_used_us == b->last_used_us &&
	       same_span(a->last_used_by, b->last_used_by) && a->state == b->state &&
	       a->binding == b->binding && same_holder(&a->holder, &b->holder) &&
	       a->uses_left == b->uses_left && a->parent == b->parent &&
	       a->replaced_by == b->replaced_by && a->length_us == b->length_us &&
	       same_span(a->credential, b->credential) && same_span(a->issued_to, b->issued_to) &&
	       a->ended_us == b->ended_us && a->ended == b->ended &&
	       memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}
