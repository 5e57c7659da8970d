/*
 * agent/labels.c - shared texts.
 *
 * A token names its labels by reference, which costs it 4 bytes whatever the text is. Texts come
 * from peers (unit names), so their hash is keyed: nobody can make many that fall into one bucket.
 */
#include "agent/labels.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

struct label {
	uint32_t next; /* in its bucket */
	uint32_t n_users;
	uint64_t hash;
	uint32_t n_minted;
	uint16_t n;
	char text[];
};

_Static_assert(sizeof(((struct labels *)NULL)->key) == crypto_shorthash_KEYBYTES, "SipHash's");

static uint64_t hash_text(const struct labels *l, struct span text)
{
	uint64_t hash;

	crypto_shorthash((unsigned char *)&hash, (const unsigned char *)text.p, text.n, l->key);
	return hash;
}

static uint64_t hash_of(const void *object)
{
	const struct label *label = object;

	return label->hash;
}

static struct label *label_at(const struct labels *l, uint32_t ref)
{
	return arena_at(l->arena, ref);
}

int labels_init(struct labels *l, struct secretmem *mem, struct budget *budget, struct arena *arena,
		size_t max_labels)
{
	struct labels labels = { .arena = arena };
	int k = index_init(&labels.index, mem, budget, arena->space.region.base, hash_of,
			   max_labels, 4096);

	if (k < 0)
		return k;
	randombytes_buf(labels.key, sizeof(labels.key));
	*l = labels;
	return 0;
}

void labels_done(struct labels *l)
{
	index_done(&l->index);
}

static uint32_t find(const struct labels *l, struct span text, uint64_t hash)
{
	uint32_t ref = index_first(&l->index, hash);

	while (ref) {
		const struct label *label = label_at(l, ref);

		if (label->hash == hash && span_equal((struct span){ label->text, label->n }, text))
			break;
		ref = label->next;
	}
	return ref;
}

static uint32_t add(struct labels *l, struct span text, uint64_t hash)
{
	struct label *label;
	uint32_t ref;

	if (index_reserve(&l->index, l->index.n + 1) < 0)
		return 0;
	ref = arena_alloc(l->arena, offsetof(struct label, text) + text.n);
	if (!ref)
		return 0;
	label = label_at(l, ref);
	label->hash = hash;
	label->n = (uint16_t)text.n;
	if (text.n > 0)
		memcpy(label->text, text.p, text.n);
	index_add(&l->index, ref);
	return ref;
}

uint32_t label_get(struct labels *l, struct span text, bool *ret_full)
{
	uint64_t hash;
	uint32_t ref = 0;

	if (!text.p)
		return 0;
	if (text.n <= LABEL_MAX) {
		hash = hash_text(l, text);
		ref = find(l, text, hash);
		if (!ref)
			ref = add(l, text, hash);
	}
	if (!ref)
		*ret_full = true;
	return label_ref(l, ref);
}

uint32_t label_ref(struct labels *l, uint32_t label)
{
	if (label)
		label_at(l, label)->n_users++;
	return label;
}

void label_count_minted(struct labels *l, uint32_t label, int more)
{
	if (label)
		label_at(l, label)->n_minted += (uint32_t)more;
}

uint32_t labels_n_minted(const struct labels *l, struct span text)
{
	uint32_t label = find(l, text, hash_text(l, text));

	return label ? label_at(l, label)->n_minted : 0;
}

void label_put(struct labels *l, uint32_t label)
{
	if (!label)
		return;
	assert(label_at(l, label)->n_users > 0);
	if (--label_at(l, label)->n_users > 0)
		return;
	index_remove(&l->index, label);
	arena_free(l->arena, label);
}

struct span label_text(const struct labels *l, uint32_t label)
{
	const struct label *it;

	if (!label)
		return SPAN_NONE;
	it = label_at(l, label);
	return (struct span){ it->text, it->n };
}
