/*
 * agent/labels.h - texts that many tokens share (names of owners, units, credentials), each kept
 * once while anyone uses it.
 */
#pragma once

#include "agent/index.h"
#include "agent/token-facts.h"

struct labels {
	struct arena *arena;
	struct index index;
	uint8_t key[16]; /* of the hash */
};

/* None yet. The arena must outlive the labels. 0 or -ENOMEM. */
int labels_init(struct labels *l, struct secretmem *mem, struct budget *budget, struct arena *arena,
		size_t max_labels) MUST_USE;
void labels_done(struct labels *l);

/*
 * The label of this text, one user more; the caller gives it back by label_put(). Returns 0 where
 * the text is absent (p NULL), and, with *ret_full set, where it can't be kept: the arena is full,
 * or it is longer than LABEL_MAX.
 */
uint32_t label_get(struct labels *l, struct span text, bool *ret_full) MUST_USE;

/* One user more of a label that has one. 0 is fine. */
uint32_t label_ref(struct labels *l, uint32_t label);

/*
 * One token more (1) or less (-1) that was minted for the credential of this label. 0 is fine. And how
 * many there are for the credential of this name.
 */
void label_count_minted(struct labels *l, uint32_t label, int more);
uint32_t labels_n_minted(const struct labels *l, struct span text);

/* One user less; the last one frees it. 0 is fine. */
void label_put(struct labels *l, uint32_t label);

/* Its text, which lives as long as the label; of 0: absent. */
struct span label_text(const struct labels *l, uint32_t label);

/* Whether it is the label of this text; 0 is that of none. */
static inline bool label_is(const struct labels *l, uint32_t label, struct span text)
{
	struct span mine = label_text(l, label);

	return !mine.p == !text.p && span_equal(mine, text);
}
