/* tests/unit/facts-unit.h - facts of tokens: any there can be, and whether two say the same. */
#pragma once

#include <string.h>

#include "agent/token-facts.h"
#include "protocol/base/time.h"
#include "protocol/scope.h"
#include "tests/unit/unit.h"

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

/* Facts with memory of their own for what they borrow. */
struct facts_sample {
	struct token_facts facts;
	char name[TOKEN_NAME_MAX];
	char labels[5][LABEL_MAX];
	uint8_t scopes[SCOPES_MAX * (1 + SCOPE_MAX)];
};

static inline uint64_t facts_below(uint64_t *seed, uint64_t n)
{
	return unit_random(seed) % n;
}

static inline bool facts_one_in(uint64_t *seed, uint64_t n)
{
	return facts_below(seed, n) == 0;
}

static inline uint64_t facts_random_instant(uint64_t *seed)
{
	return facts_below(seed, UINT64_C(1) << (20 + facts_below(seed, 39)));
}

static inline struct span facts_random_label(uint64_t *seed, char *dst)
{
	size_t n = facts_one_in(seed, 8) ? LABEL_MAX : facts_below(seed, 30);

	/* All of it, for who takes more. */
	for (size_t i = 0; i < LABEL_MAX; i++)
		dst[i] = (char)(1 + facts_below(seed, 127));
	return facts_one_in(seed, 2) ? SPAN_NONE : (struct span){ dst, n };
}

static inline struct packed_scopes facts_random_scopes(uint64_t *seed, uint8_t *dst, bool most)
{
	static const char chars[] = "abcXYZ019._-";
	unsigned count = most ? SCOPES_MAX : (unsigned)facts_below(seed, 5);
	size_t n = 0;

	for (unsigned i = 0; i < count; i++) {
		size_t len = most ? SCOPE_MAX : 3 + facts_below(seed, 40);

		dst[n++] = (uint8_t)len;
		for (size_t at = 0; at < len; at++)
			dst[n + at] = (uint8_t)chars[facts_below(seed, sizeof(chars) - 1)];
		dst[n + len / 2] = ':';
		n += len;
	}
	return (struct packed_scopes){ dst, (uint16_t)n, (uint8_t)count };
}

static inline void facts_fill_holder(uint64_t *seed, struct facts_sample *s)
{
	struct holder *h = &s->facts.holder;

	s->facts.binding = (enum token_binding)facts_below(seed, 3);
	if (s->facts.binding == BINDING_PROCESS) {
		for (size_t i = 0; i < sizeof(h->boot); i++)
			h->boot[i] = (uint8_t)unit_random(seed);
		h->pidfd_inode = unit_random(seed);
		h->pid = (int32_t)facts_below(seed, INT32_MAX);
	} else if (s->facts.binding == BINDING_UNIT) {
		for (size_t i = 0; i < sizeof(h->invocation); i++)
			h->invocation[i] = (uint8_t)unit_random(seed);
		h->unit = (struct span){ s->labels[4], facts_below(seed, LABEL_MAX + 1) };
	}
}

static inline void facts_fill_times(uint64_t *seed, struct token_facts *f)
{
	f->created_us = facts_random_instant(seed);
	f->expires_us = facts_random_instant(seed);
	f->length_us = f->expires_us > f->created_us && facts_one_in(seed, 2)
			       ? f->expires_us - f->created_us
			       : facts_random_instant(seed);
	if (facts_one_in(seed, 2))
		f->last_used_us = (1 + facts_below(seed, UINT32_MAX)) * USEC_PER_SEC;
	if (facts_one_in(seed, 2)) {
		f->state = facts_one_in(seed, 2) ? TOKEN_EXPIRED : TOKEN_REVOKED;
		f->ended = (enum end_reason)(END_EXPIRED + facts_below(seed, END_ROTATED));
		f->ended_us = facts_random_instant(seed);
	}
}

static inline void facts_fill(uint64_t *seed, struct facts_sample *s)
{
	struct token_facts *f = &s->facts;
	size_t name_len = 1 + facts_below(seed, TOKEN_NAME_MAX);

	memset(s, 'n', sizeof(*s));
	*f = (struct token_facts){
		.id = unit_random(seed) | 1,
		.row = 1 + facts_below(seed, (UINT64_C(1) << 48) - 1),
		.name = { s->name, name_len },
		.owner_uid = (uid_t)unit_random(seed),
		.owner_name = facts_random_label(seed, s->labels[0]),
		.last_used_by = facts_random_label(seed, s->labels[1]),
		.credential = facts_random_label(seed, s->labels[2]),
		.issued_to = facts_random_label(seed, s->labels[3]),
		.scopes = facts_random_scopes(seed, s->scopes, facts_one_in(seed, 50)),
		.uses_left = facts_one_in(seed, 2) ? USES_UNLIMITED
						   : (int64_t)facts_below(seed, INT64_MAX),
		.parent = facts_one_in(seed, 2) ? 0 : unit_random(seed) | 1,
		.replaced_by = facts_one_in(seed, 2) ? 0 : unit_random(seed) | 1,
	};
	facts_fill_times(seed, f);
	facts_fill_holder(seed, s);
	for (size_t i = 0; i < sizeof(f->hash); i++)
		f->hash[i] = (uint8_t)unit_random(seed);
}
