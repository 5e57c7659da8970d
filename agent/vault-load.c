/*
 * agent/vault-load.c - filling the vault at start.
 *
 * Records come in any order. Each is linked as it comes; where they did not come in the order of
 * their rows (or, of ended ones, of their ends), all is put in order once, at the end. A child
 * whose parent may still come waits in a chain of orphans.
 */
#include "agent/vault-internal.h"

#include <errno.h>
#include <stdlib.h>

static void note_row(struct vault *v, uint64_t row)
{
	if (row > v->highest_row)
		v->highest_row = row;
}

void vault_set_highest_row(struct vault *v, uint64_t row)
{
	note_row(v, row);
}

int vault_expect(struct vault *v, size_t n_active)
{
	return index_expect(&v->ids, n_active);
}

static bool can_be_loaded(const struct vault *v, const struct token_facts *facts)
{
	return facts->row > 0 && facts->row <= TOKEN_ROW_MAX && facts->id != 0 &&
	       facts->expires_us <= TOKEN_TIME_MAX && !ended_find(&v->ended, facts->id);
}

int vault_load_active(struct vault *v, const struct token_facts *facts, uint32_t version)
{
	struct token *t;
	token_ref ref;
	int r = 0;

	if (facts->state != TOKEN_ACTIVE || !can_be_loaded(v, facts))
		return -EBADMSG;
	index_prefetch(&v->ids, index_mix(facts->id));
	ref = token_new(v, facts, &r);
	if (!ref)
		return r;
	t = token_at(v, ref);
	t->version = version;
	t->flags |= TOKEN_IS_VISIBLE;
	v->n_visible++;
	v->unsorted |= v->newest && token_at(v, v->newest)->row > facts->row;
	index_add(&v->ids, ref);
	token_link(v, ref);
	expiry_add(&v->expiry, ref);
	note_row(v, facts->row);
	if (facts->parent) {
		extension_at(v, t)->sibling_older = v->orphans;
		v->orphans = ref;
	}
	return 0;
}

int vault_load_ended(struct vault *v, const struct token_facts *facts, uint32_t version)
{
	uint32_t owner, node;
	struct ended_token *e;

	if (facts->state == TOKEN_ACTIVE || !can_be_loaded(v, facts) || token_by_id(v, facts->id))
		return -EBADMSG;
	node = ended_new(&v->ended);
	if (!node)
		return -ENOMEM;
	owner = owner_get(v, facts->owner_uid, facts->owner_name);
	if (!owner) {
		ended_free(&v->ended, node);
		return -ENOSPC;
	}
	e = &ended_at(&v->ended, node)->token;
	*e = (struct ended_token){
		.id = facts->id,
		.row = facts->row,
		.ended_us = facts->ended_us,
		.owner = &owner_at(v, owner)->owner,
		.version = version,
	};
	memcpy(&e->hash_prefix, facts->hash, sizeof(e->hash_prefix));
	ended_add(&v->ended, node, &owner_at(v, owner)->ended);
	e->owner->n_ended++;
	owner_is_crowded(v, owner);
	note_row(v, facts->row);
	return 0;
}

struct row_entry {
	uint64_t row;
	token_ref ref;
};

static int compare(const void *a, const void *b)
{
	const struct row_entry *x = a, *y = b;

	return x->row < y->row ? -1 : x->row > y->row;
}

/* Empties all orders, and fills them again with the tokens as they are here. */
static void relink(struct vault *v, const struct row_entry *entries, size_t n)
{
	v->newest = v->oldest = REF_NONE;
	for (uint32_t ref = v->first_owner; ref; ref = owner_at(v, ref)->others_next) {
		owner_at(v, ref)->newest = owner_at(v, ref)->oldest = REF_NONE;
		owner_at(v, ref)->owner.n_active = owner_at(v, ref)->owner.n_minted = 0;
	}
	for (size_t i = 0; i < n; i++)
		token_link(v, entries[i].ref);
}

static int sort(struct vault *v)
{
	_cleanup_free_
	struct row_entry *entries = NULL;
	size_t n = 0;

	if (!v->unsorted)
		return 0;
	entries = malloc(v->n_visible * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	for (token_ref ref = v->oldest; ref; ref = token_at(v, ref)->all_newer)
		entries[n++] = (struct row_entry){ token_at(v, ref)->row, ref };
	qsort(entries, n, sizeof(*entries), compare);
	relink(v, entries, n);
	v->unsorted = false;
	return 0;
}

static int tie(struct vault *v, token_ref child)
{
	const struct token *c = token_at(v, child);
	token_ref parent = token_by_id(v, extension_at(v, c)->parent_id);
	struct token *p = parent ? token_at(v, parent) : NULL;

	/* A parent is older than its children, so there can be no circle. */
	if (!p || p->owner != c->owner || p->row >= c->row)
		return -EBADMSG;
	if (token_extend(v, p) < 0)
		return -ENOSPC;
	token_adopt(v, parent, child);
	return 0;
}

static int tie_orphans(struct vault *v)
{
	while (v->orphans) {
		token_ref child = v->orphans;
		int r;

		v->orphans = extension_at(v, token_at(v, child))->sibling_older;
		r = tie(v, child);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether another with its id is behind the token in its bucket. */
static bool has_twin(const struct vault *v, const struct token *t)
{
	for (token_ref ref = t->next; ref; ref = token_at(v, ref)->next)
		if (token_at(v, ref)->id == t->id)
			return true;
	return false;
}

/*
 * Of ids only now, one token after the other: looked for as each comes, they would be most of the
 * time of a start, since every look is a miss in the processor's cache.
 */
static bool has_any_twice(const struct vault *v)
{
	for (token_ref ref = v->oldest; ref; ref = token_at(v, ref)->all_newer) {
		const struct token *t = token_at(v, ref);

		if (t->all_older && token_at(v, t->all_older)->row == t->row)
			return true;
		if (has_twin(v, t))
			return true;
	}
	return false;
}

static struct ended_queue *queue_of(struct owner *owner)
{
	return &entry_of(owner)->ended;
}

int vault_load_done(struct vault *v)
{
	int r = sort(v);

	if (r == 0 && has_any_twice(v))
		r = -EBADMSG;
	if (r == 0)
		r = tie_orphans(v);
	return r < 0 ? r : ended_sort(&v->ended, queue_of);
}
