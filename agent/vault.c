/*
 * agent/vault.c - the vault as a whole, and what the way of a verification touches.
 *
 * Everything is in one arena, with four arrays beside it (three indexes and the order of expiry),
 * each growing in small steps within one budget. A token is found by its id in two or three cache
 * misses; nothing on that way allocates.
 *
 * Invariants: a token is in the index of ids, in the order of all and in its owner's from its
 * prepared insert to its committed end, and in the order of expiry until its end is prepared.
 * Tokens not yet visible are newer than all that are.
 */
#include "agent/vault-internal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "protocol/base/time.h"

enum {
	ARENA_FIRST = 64 * 1024,
	INDEX_STEP = 8 * 1024,
	LEAST_LIMIT = ARENA_FIRST + 64 * 1024,
};

DEFINE_CLEANUP(struct vault *, vault_free)

static void on_owner_free_nothing(struct owner *owner)
{
	(void)owner;
}

/*
 * How many tokens, labels or owners a vault of this limit can ever hold, generously: the size of
 * reservations.
 */
static size_t most_of(size_t memory_limit)
{
	return memory_limit / 64;
}

static int init_parts(struct vault *v, struct secretmem *mem)
{
	size_t limit = v->budget.limit;
	size_t most = most_of(limit);
	const char *base;

	if (arena_init(&v->arena, mem, &v->budget, limit, ARENA_FIRST) < 0)
		return -ENOMEM;
	base = v->arena.space.region.base;
	if (index_init(&v->ids, mem, &v->budget, base, token_hash, most, INDEX_STEP) < 0 ||
	    index_init(&v->owners, mem, &v->budget, base, owner_hash, most, 4096) < 0 ||
	    labels_init(&v->labels, mem, &v->budget, &v->arena, most) < 0 ||
	    expiry_init(&v->expiry, mem, &v->budget, &v->arena, most, INDEX_STEP) < 0 ||
	    ended_init(&v->ended) < 0 || dirty_init(&v->dirty, most) < 0)
		return -ENOMEM;
	return 0;
}

int vault_new(struct secretmem *mem, size_t memory_limit,
	      void (*on_owner_free)(struct owner *owner), struct vault **ret)
{
	_cleanup_(vault_freep)
	struct vault *v = NULL;

	if (memory_limit < LEAST_LIMIT)
		return -ENOMEM;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->budget.limit = memory_limit;
	v->on_owner_free = on_owner_free ? on_owner_free : on_owner_free_nothing;
	if (init_parts(v, mem) < 0)
		return -ENOMEM;
	*ret = STEAL_PTR(v);
	return 0;
}

void vault_free(struct vault *v)
{
	if (!v)
		return;
	for (struct owner *owner = NULL; (owner = vault_next_owner(v, owner));)
		v->on_owner_free(owner);
	dirty_done(&v->dirty);
	ended_done(&v->ended);
	expiry_done(&v->expiry);
	labels_done(&v->labels);
	index_done(&v->owners);
	index_done(&v->ids);
	arena_done(&v->arena);
	free(v);
}

size_t vault_locked_bytes(const struct vault *v)
{
	return v->budget.used;
}

size_t vault_n_active(const struct vault *v)
{
	return v->n_visible;
}

size_t vault_n_ended(const struct vault *v)
{
	return v->ended.index.n;
}

uint64_t vault_highest_row(const struct vault *v)
{
	return v->highest_row;
}

/* ---- looking --------------------------------------------------------------------------------- */

token_ref token_by_id(const struct vault *v, uint64_t id)
{
	token_ref ref = index_first(&v->ids, index_mix(id));

	while (ref && token_at(v, ref)->id != id)
		ref = token_at(v, ref)->next;
	return ref;
}

token_ref vault_find(const struct vault *v, uint64_t id)
{
	token_ref ref = token_by_id(v, id);

	return ref && token_at(v, ref)->flags & TOKEN_IS_VISIBLE ? ref : REF_NONE;
}

token_ref vault_find_evenly(const struct vault *v, uint64_t id, token_ref *ret_looked)
{
	token_ref spare = expiry_any(&v->expiry, (uint32_t)index_mix(id)), ref, looked;

	_Static_assert(offsetof(struct token, id) == offsetof(struct numbered, number), "by its id");
	ref = index_find_evenly(&v->ids, id, spare);
	/* No branch: one that goes as it was not foreseen takes longer. */
	looked = ref | (spare & -(token_ref)(ref == REF_NONE));
	*ret_looked = looked;
	return looked && token_at(v, looked)->flags & TOKEN_IS_VISIBLE ? ref : REF_NONE;
}

const struct ended_token *vault_find_ended_evenly(const struct vault *v, uint64_t id)
{
	uint32_t ref;

	_Static_assert(offsetof(struct ended_node, token.id) == offsetof(struct numbered, number),
		       "by its token's id");
	ref = index_find_evenly(&v->ended.index, id, 0);
	return ref ? &ended_at(&v->ended, ref)->token : NULL;
}

bool vault_id_is_taken(const struct vault *v, uint64_t id)
{
	return token_by_id(v, id) || ended_find(&v->ended, id);
}

bool vault_hash_is(const struct vault *v, token_ref ref, const uint8_t hash[static TOKEN_HASH_LEN])
{
	_Static_assert(TOKEN_HASH_LEN == crypto_verify_32_BYTES, "one comparison does");
	return crypto_verify_32(token_at(v, ref)->hash, hash) == 0;
}

uint64_t vault_expires_us(const struct vault *v, token_ref ref)
{
	return token_at(v, ref)->expires_us;
}

bool vault_is_over(const struct vault *v, token_ref ref, uint64_t now_us)
{
	const struct token *t = token_at(v, ref);

	return t->flags & TOKEN_IS_OVER || t->expires_us <= now_us;
}

bool vault_is_over_unkept(const struct vault *v, token_ref ref)
{
	return token_at(v, ref)->flags & TOKEN_IS_UNKEPT;
}

bool vault_is_sound(const struct vault *v, token_ref ref)
{
	uint8_t flags = token_at(v, ref)->flags;

	return flags & TOKEN_IS_VISIBLE && !(flags & (TOKEN_IS_ENDING | TOKEN_IS_OVER));
}

bool vault_is_bound(const struct vault *v, token_ref ref)
{
	const struct extension *e = extension_of(v, token_at(v, ref));

	return e && e->bond;
}

int64_t vault_uses_left(const struct vault *v, token_ref ref)
{
	const struct extension *e = extension_of(v, token_at(v, ref));

	return e ? e->uses_left : USES_UNLIMITED;
}

struct owner *vault_owner(const struct vault *v, token_ref ref)
{
	return &owner_at(v, token_at(v, ref)->owner)->owner;
}

const struct ended_token *vault_find_ended(const struct vault *v, uint64_t id)
{
	uint32_t ref = ended_find(&v->ended, id);

	return ref ? &ended_at(&v->ended, ref)->token : NULL;
}

bool ended_hash_may_be(const struct ended_token *e, const uint8_t hash[static TOKEN_HASH_LEN])
{
	uint32_t prefix;

	memcpy(&prefix, hash, sizeof(prefix));
	return e->hash_prefix == prefix;
}

uint64_t vault_next_expiry_us(const struct vault *v)
{
	token_ref ref = expiry_first(&v->expiry);

	return ref ? token_at(v, ref)->expires_us : UINT64_MAX;
}

bool vault_is_next_unkept(const struct vault *v)
{
	token_ref ref = expiry_first(&v->expiry);

	return ref && vault_is_over_unkept(v, ref);
}

size_t vault_n_over_ending(const struct vault *v)
{
	return v->n_over_ending;
}

bool vault_is_busy(const struct vault *v, token_ref ref)
{
	uint8_t flags = token_at(v, ref)->flags;

	return !(flags & TOKEN_IS_VISIBLE) || flags & (TOKEN_IS_ENDING | TOKEN_IS_CUT);
}

void vault_watch(struct vault *v, void (*on_token)(void *userdata, token_ref ref), void *userdata)
{
	v->on_token = on_token;
	v->on_token_userdata = userdata;
}

/* ---- last uses ------------------------------------------------------------------------------- */

void token_soil(struct vault *v, struct token *t)
{
	if (!(t->flags & TOKEN_IS_DIRTY) && dirty_push(&v->dirty, t->id))
		t->flags |= TOKEN_IS_DIRTY;
}

size_t vault_n_unkept(const struct vault *v)
{
	return v->dirty.n;
}

void vault_each_unkept(const struct vault *v, void (*on_token)(void *userdata, token_ref ref),
		       void *userdata)
{
	for (size_t i = 0; i < v->dirty.n; i++) {
		token_ref ref = vault_find(v, dirty_at(&v->dirty, i));

		if (ref && token_at(v, ref)->flags & TOKEN_IS_DIRTY)
			on_token(userdata, ref);
	}
}

uint32_t token_user_label(struct vault *v, struct span by)
{
	bool full = false;
	uint32_t label;

	if (label_is(&v->labels, v->last_by, by))
		return v->last_by;
	label = label_get(&v->labels, by, &full);
	if (!label)
		return 0;
	label_put(&v->labels, v->last_by);
	return v->last_by = label;
}

void vault_used(struct vault *v, token_ref ref, uint64_t now_us, struct span by)
{
	struct token *t = token_at(v, ref);

	t->last_used_s = token_second(now_us);
	if (!label_is(&v->labels, t->last_used_by, by)) {
		uint32_t label = label_ref(&v->labels, token_user_label(v, by));

		label_put(&v->labels, t->last_used_by);
		t->last_used_by = label;
	}
	token_soil(v, t);
}
