/*
 * agent/vault-owner.c - owners: each a uid with the name it had, kept while it has tokens.
 *
 * A uid that is given to somebody else is another owner, so the name is part of what is looked for;
 * there are rarely more than one of a uid, so the hash is of the uid alone.
 *
 * Invariant: an entry is in the index and in the list of all exactly from owner_get() to
 * owner_release().
 */
#include "agent/vault-internal.h"

#include <assert.h>

uint64_t owner_hash(const void *object)
{
	const struct owner_entry *entry = object;

	return index_mix(entry->owner.uid);
}

uint32_t owner_ref(const struct vault *v, const struct owner *owner)
{
	const char *entry = (const char *)entry_of(owner);

	return (uint32_t)((size_t)(entry - v->arena.space.region.base) / REF_UNIT);
}

static bool is_of(const struct owner *owner, uid_t uid, struct span name)
{
	return owner->uid == uid && !owner->name.p == !name.p && span_equal(owner->name, name);
}

uint32_t owner_find(const struct vault *v, uid_t uid, struct span name)
{
	uint32_t ref = index_first(&v->owners, index_mix(uid));

	while (ref && !is_of(&owner_at(v, ref)->owner, uid, name))
		ref = owner_at(v, ref)->next;
	return ref;
}

static void list_add(struct vault *v, uint32_t ref)
{
	struct owner_entry *entry = owner_at(v, ref);

	entry->others_next = v->first_owner;
	if (v->first_owner)
		owner_at(v, v->first_owner)->others_prev = ref;
	v->first_owner = ref;
}

static void list_remove(struct vault *v, uint32_t ref)
{
	const struct owner_entry *entry = owner_at(v, ref);

	if (entry->others_prev)
		owner_at(v, entry->others_prev)->others_next = entry->others_next;
	else
		v->first_owner = entry->others_next;
	if (entry->others_next)
		owner_at(v, entry->others_next)->others_prev = entry->others_prev;
}

uint32_t owner_get(struct vault *v, uid_t uid, struct span name)
{
	struct owner_entry *entry;
	uint32_t ref = owner_find(v, uid, name);
	bool full = false;

	if (ref)
		return ref;
	if (index_reserve(&v->owners, v->owners.n + 1) < 0)
		return 0;
	ref = arena_alloc(&v->arena, sizeof(*entry));
	if (!ref)
		return 0;
	entry = owner_at(v, ref);
	entry->label = label_get(&v->labels, name, &full);
	if (full) {
		arena_free(&v->arena, ref);
		return 0;
	}
	entry->owner.uid = uid;
	entry->owner.name = label_text(&v->labels, entry->label);
	index_add(&v->owners, ref);
	list_add(v, ref);
	return ref;
}

void owner_release(struct vault *v, uint32_t ref)
{
	struct owner_entry *entry = owner_at(v, ref);

	if (entry->owner.n_active > 0 || entry->owner.n_ended > 0)
		return;
	cursors_stop(v, &entry->owner);
	v->on_owner_free(&entry->owner);
	owner_is_not_crowded(v, ref);
	list_remove(v, ref);
	index_remove(&v->owners, ref);
	label_put(&v->labels, entry->label);
	arena_free(&v->arena, ref);
}

void owner_is_crowded(struct vault *v, uint32_t ref)
{
	struct owner_entry *entry = owner_at(v, ref);

	if (entry->is_crowded)
		return;
	entry->is_crowded = true;
	entry->crowded_prev = 0;
	entry->crowded_next = v->crowded;
	if (v->crowded)
		owner_at(v, v->crowded)->crowded_prev = ref;
	v->crowded = ref;
}

void owner_is_not_crowded(struct vault *v, uint32_t ref)
{
	struct owner_entry *entry = owner_at(v, ref);

	if (!entry->is_crowded)
		return;
	if (entry->crowded_prev)
		owner_at(v, entry->crowded_prev)->crowded_next = entry->crowded_next;
	else
		v->crowded = entry->crowded_next;
	if (entry->crowded_next)
		owner_at(v, entry->crowded_next)->crowded_prev = entry->crowded_prev;
	entry->is_crowded = false;
}

struct owner *vault_find_owner(const struct vault *v, uid_t uid, struct span name)
{
	uint32_t ref = owner_find(v, uid, name);

	return ref ? &owner_at(v, ref)->owner : NULL;
}

struct owner *vault_next_owner(const struct vault *v, const struct owner *after)
{
	uint32_t ref = after ? entry_of(after)->others_next : v->first_owner;

	return ref ? &owner_at(v, ref)->owner : NULL;
}
