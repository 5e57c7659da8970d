/* agent/vault-internal.h - what the vault is made of. For the vault's own files. */
#pragma once

#include "agent/dirty.h"
#include "agent/ended.h"
#include "agent/expiry.h"
#include "agent/labels.h"
#include "agent/vault-token.h"
#include "agent/vault.h"

/* An owner in the arena. Its name is a label's text. */
struct owner_entry {
	uint32_t next; /* in the index's bucket */
	uint32_t label;
	struct owner owner;
	uint32_t newest, oldest; /* its tokens */
	struct ended_queue ended;
	uint32_t n_forgetting;
	bool is_crowded;
	uint32_t crowded_next, crowded_prev; /* those that may have too many ended ones */
	uint32_t others_next, others_prev;   /* all owners */
};

struct vault {
	struct budget budget;
	struct arena arena;
	struct index ids;
	struct index owners;
	struct labels labels;
	struct expiry expiry;
	struct ended ended;
	struct dirty dirty;
	uint32_t newest, oldest; /* tokens, in the order of their rows */
	uint32_t first_owner;
	uint32_t crowded;
	uint32_t crowded_limit; /* max_per_owner of the vault_prepare_forget() before */
	size_t n_visible;
	size_t n_over_ending; /* that are over, with their end prepared */
	uint64_t highest_row;
	uint32_t last_by; /* the label that vault_used() had last, held */
	struct vault_cursor *cursors;
	struct vault_change *oldest_change, *newest_change;
	uint32_t orphans; /* while loading: their parent is not known yet; by sibling_older */
	bool unsorted;	  /* while loading: rows came out of order */
	void (*on_owner_free)(struct owner *owner);
	void (*on_token)(void *userdata, token_ref ref); /* NULL: nobody watches */
	void *on_token_userdata;
};

static inline struct token *token_at(const struct vault *v, token_ref ref)
{
	return arena_at(&v->arena, ref);
}

/* Only of a token that is extended. */
static inline struct extension *extension_at(const struct vault *v, const struct token *t)
{
	return arena_at(&v->arena, t->more);
}

/* The extension, or NULL. */
static inline struct extension *extension_of(const struct vault *v, const struct token *t)
{
	return t->flags & TOKEN_IS_EXTENDED ? extension_at(v, t) : NULL;
}

static inline struct owner_entry *owner_at(const struct vault *v, uint32_t ref)
{
	return arena_at(&v->arena, ref);
}

static inline struct owner_entry *entry_of(const struct owner *owner)
{
	return (struct owner_entry *)(void *)((char *)owner - offsetof(struct owner_entry, owner));
}

/* ---- vault-owner.c --------------------------------------------------------------------------- */

uint64_t owner_hash(const void *object);

/* The owner of this uid and name; 0: none. */
uint32_t owner_find(const struct vault *v, uid_t uid, struct span name);

/*
 * The same, made where there is none. Goes by owner_release() unless it is given a token. 0: the
 * arena is full.
 */
uint32_t owner_get(struct vault *v, uid_t uid, struct span name) MUST_USE;

/* Frees the owner if it has no tokens at all; on_owner_free is told, and its cursors stop. */
void owner_release(struct vault *v, uint32_t ref);

/* Its ended tokens may be too many: vault_prepare_forget() looks at it. */
void owner_is_crowded(struct vault *v, uint32_t ref);
void owner_is_not_crowded(struct vault *v, uint32_t ref);

/* The reference of an entry. */
uint32_t owner_ref(const struct vault *v, const struct owner *owner);

/* ---- vault-token.c --------------------------------------------------------------------------- */

uint64_t token_hash(const void *object);

/*
 * A token of these facts (but for parent, state and what ended it), with its labels, owner and
 * extension, and with room for it in all orders and indexes; in none of them yet. Returns its
 * reference, or 0 where the arena is full; *ret_r is then -ENOSPC or -ENOMEM, and nothing is left
 * of it.
 */
token_ref token_new(struct vault *v, const struct token_facts *facts, int *ret_r) MUST_USE;

/* Frees a token that is in no order and no index any more, and what only it used. */
void token_free(struct vault *v, token_ref ref);

/* Gives the token an extension if it has none. 0 or -ENOSPC. */
int token_extend(struct vault *v, struct token *t) MUST_USE;

/* Enters a token in all orders and indexes, as the newest, or takes it out. */
void token_link(struct vault *v, token_ref ref);
void token_unlink(struct vault *v, token_ref ref);

/* As its newest child, both extended; takes it from its parent, if it has one. */
void token_adopt(struct vault *v, token_ref parent, token_ref child);
void token_orphan(struct vault *v, token_ref child);

/*
 * The token after ref in the tree below root, parents before children; 0: none. into: also those
 * below ref.
 */
token_ref token_next_below(const struct vault *v, token_ref root, token_ref ref, bool into);

/* The token of this id, visible or not; 0: none. */
token_ref token_by_id(const struct vault *v, uint64_t id);

uint64_t token_created_us(const struct vault *v, const struct token *t);
uint64_t token_length_us(const struct vault *v, const struct token *t);

/* Marks its last use as not in the store. */
void token_soil(struct vault *v, struct token *t);

/*
 * The label of whoever uses a token: mostly that of the use before, which the vault keeps. 0:
 * absent, or it can't be kept. It is held for nobody: take it by label_ref().
 */
uint32_t token_user_label(struct vault *v, struct span by);

/* The token is or may soon be another. */
static inline void token_changed(const struct vault *v, token_ref ref)
{
	if (v->on_token)
		v->on_token(v->on_token_userdata, ref);
}

/* ---- vault-cursor.c -------------------------------------------------------------------------- */

/* The token is about to go: cursors that stand at it go on. */
void cursors_leave(struct vault *v, token_ref ref);

/* The owner is about to go: its cursors stop. */
void cursors_stop(struct vault *v, const struct owner *owner);

/* ---- vault-change.c -------------------------------------------------------------------------- */

/* What a step did beside its kind, and a rollback undoes. */
enum step_effect {
	STEP_TOOK_USE = 1 << 0,
	STEP_CUT_LIFE = 1 << 1,
	STEP_CLEANED = 1 << 2, /* the last use is in the step: no longer dirty */
};

struct step {
	uint8_t kind; /* enum step_kind */
	uint8_t effects;
	uint8_t state;	/* of an end: enum token_state */
	uint8_t reason; /* of an end: enum end_reason */
	uint32_t ref;	/* the token, or of a forget or recall the ended node */
	uint32_t node;	/* of an end: the ended node it becomes */
	uint32_t old_version, version;
	uint32_t old_last_used_s, old_last_used_by; /* the label is held */
	uint64_t ended_us;
	uint64_t old_expires_us, old_replaced_by;
	const struct token_facts *facts; /* of a recall: until its row is made */
};

struct vault_change {
	struct vault *vault;
	struct step *steps;
	size_t n, room;
	struct vault_change *newer, *older; /* all that are under way, from the first step on */
};

/*
 * One more step, of this kind, all else zeros. NULL: no memory. The change is under way from now
 * on.
 */
struct step *change_add(struct vault_change *c, enum step_kind kind, uint32_t ref);
