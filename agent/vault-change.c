/*
 * agent/vault-change.c - what a change is made of, and how it ends.
 *
 * Preparing has already done to the vault all that could fail, and kept in the step what a rollback
 * needs. So a commit only uncovers or takes away, and a rollback is the steps backwards. Both hold
 * only in order: the oldest change may be committed, the newest rolled back.
 *
 * Invariant: a token's version is the one after the last step prepared on it.
 */
#include "agent/vault-internal.h"

#include <assert.h>
#include <stdlib.h>

enum { STEPS_FIRST = 4 };

struct vault_change *vault_change_new(struct vault *v)
{
	struct vault_change *c = calloc(1, sizeof(*c));

	if (c)
		c->vault = v;
	return c;
}

size_t vault_change_n(const struct vault_change *c)
{
	return c->n;
}

static void enter(struct vault_change *c)
{
	struct vault *v = c->vault;

	c->older = v->newest_change;
	*(c->older ? &c->older->newer : &v->oldest_change) = c;
	v->newest_change = c;
}

static void leave(struct vault_change *c)
{
	struct vault *v = c->vault;

	*(c->newer ? &c->newer->older : &v->newest_change) = c->older;
	*(c->older ? &c->older->newer : &v->oldest_change) = c->newer;
}

struct step *change_add(struct vault_change *c, enum step_kind kind, uint32_t ref)
{
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : STEPS_FIRST;
		struct step *steps = reallocarray(c->steps, room, sizeof(*steps));

		if (!steps)
			return NULL;
		c->steps = steps;
		c->room = room;
	}
	if (c->n == 0)
		enter(c);
	c->steps[c->n] = (struct step){ .kind = (uint8_t)kind, .ref = ref };
	return &c->steps[c->n++];
}

static void change_free(struct vault_change *c)
{
	if (c->n > 0)
		leave(c);
	free(c->steps);
	free(c);
}

/* ---- the row that a step is for the store ---------------------------------------------------- */

static void row_of_ended(const struct vault *v, const struct step *s, struct vault_row *ret)
{
	const struct ended_token *e = &ended_at(&v->ended, s->ref)->token;

	*ret = (struct vault_row){
		.kind = STEP_FORGET,
		.row = e->row,
		.id = e->id,
		.owner_uid = e->owner->uid,
		.old_version = s->old_version,
	};
}

static void row_of_recalled(const struct step *s, uint8_t *dst, struct vault_row *ret)
{
	const struct token_facts *facts = s->facts;

	*ret = (struct vault_row){
		.kind = STEP_RECALL,
		.row = facts->row,
		.id = facts->id,
		.owner_uid = facts->owner_uid,
		.version = s->version,
		.n = record_write(facts, dst),
	};
}

/* Whether the step names another token in the place of its own. */
static bool replaces(const struct step *s, const struct token_facts *facts)
{
	return s->effects & STEP_CUT_LIFE && facts->replaced_by != s->old_replaced_by;
}

void vault_change_row(const struct vault_change *c, size_t i, uint8_t dst[static RECORD_MAX],
		      struct vault_row *ret)
{
	const struct step *s = &c->steps[i];
	struct token_facts facts;

	assert(i < c->n);
	if (s->kind == STEP_FORGET) {
		row_of_ended(c->vault, s, ret);
		return;
	}
	if (s->kind == STEP_RECALL) {
		row_of_recalled(s, dst, ret);
		return;
	}
	vault_facts(c->vault, s->ref, &facts);
	if (s->kind == STEP_END) {
		facts.state = s->state;
		facts.ended = s->reason;
		facts.ended_us = s->ended_us;
	}
	*ret = (struct vault_row){
		.kind = s->kind,
		.row = facts.row,
		.id = facts.id,
		.owner_uid = facts.owner_uid,
		.old_version = s->old_version,
		.version = s->version,
		.n = record_write(&facts, dst),
		.owner_name = facts.owner_name,
		.state = facts.state,
		.is_derived = facts.parent != 0,
		.is_replaced = replaces(s, &facts),
		.reason = facts.ended,
		.credential = facts.credential,
	};
}

/* ---- commit ---------------------------------------------------------------------------------- */

static void commit_insert(struct vault *v, const struct step *s)
{
	token_at(v, s->ref)->flags |= TOKEN_IS_VISIBLE;
	v->n_visible++;
	token_changed(v, s->ref);
}

/* All children are ending as well, in this change or an earlier one. */
static void let_children_go(struct vault *v, token_ref ref)
{
	const struct extension *e = extension_of(v, token_at(v, ref));

	while (e && e->child)
		token_orphan(v, e->child);
}

static void commit_end(struct vault *v, const struct step *s)
{
	const struct token *t = token_at(v, s->ref);
	struct owner_entry *owner = owner_at(v, t->owner);

	v->n_over_ending -= t->flags & TOKEN_IS_OVER ? 1 : 0;
	let_children_go(v, s->ref);
	token_orphan(v, s->ref);
	token_unlink(v, s->ref);
	index_remove(&v->ids, s->ref);
	v->n_visible--;
	/* Counted before the token goes, so that its owner does not. */
	owner->owner.n_ended++;
	ended_add(&v->ended, s->node, &owner->ended);
	owner_is_crowded(v, t->owner);
	label_put(&v->labels, s->old_last_used_by);
	token_free(v, s->ref);
}

static void commit_update(struct vault *v, const struct step *s)
{
	if (s->effects & STEP_CUT_LIFE)
		token_at(v, s->ref)->flags &= (uint8_t)~TOKEN_IS_CUT;
	label_put(&v->labels, s->old_last_used_by);
}

static void commit_forget(struct vault *v, const struct step *s)
{
	struct owner_entry *owner = entry_of(ended_at(&v->ended, s->ref)->token.owner);

	owner->n_forgetting--;
	owner->owner.n_ended--;
	ended_remove(&v->ended, s->ref, &owner->ended);
	ended_free(&v->ended, s->ref);
	owner_release(v, owner_ref(v, &owner->owner));
}

static void commit_recall(struct vault *v, const struct step *s)
{
	owner_is_crowded(v, owner_ref(v, ended_at(&v->ended, s->ref)->token.owner));
}

void vault_commit(struct vault_change *c)
{
	static void (*const commit[])(struct vault *, const struct step *) = {
		[STEP_INSERT] = commit_insert,
		[STEP_END] = commit_end,
		[STEP_UPDATE] = commit_update,
		[STEP_FORGET] = commit_forget,
		[STEP_RECALL] = commit_recall,
	};

	assert(c->n == 0 || c->vault->oldest_change == c);
	for (size_t i = 0; i < c->n; i++)
		commit[c->steps[i].kind](c->vault, &c->steps[i]);
	change_free(c);
}

/* ---- rollback -------------------------------------------------------------------------------- */

static void give_back_use(struct vault *v, const struct step *s)
{
	struct token *t = token_at(v, s->ref);

	extension_at(v, t)->uses_left++;
	label_put(&v->labels, t->last_used_by);
	t->last_used_by = s->old_last_used_by;
	t->last_used_s = s->old_last_used_s;
}

static void give_back_life(struct vault *v, const struct step *s)
{
	struct token *t = token_at(v, s->ref);
	uint64_t expires_us = t->expires_us;

	t->expires_us = s->old_expires_us & TOKEN_TIME_MAX;
	extension_at(v, t)->replaced_by = s->old_replaced_by;
	t->flags &= (uint8_t)~TOKEN_IS_CUT;
	/* It was over by an end that it does not have. */
	if (s->old_expires_us > expires_us)
		t->flags &= (uint8_t) ~(TOKEN_IS_OVER | TOKEN_IS_UNKEPT);
	expiry_moved(&v->expiry, s->ref);
	token_changed(v, s->ref);
}

/* Its id may no longer wait among the dirty ones; to stand there twice does no harm. */
static void soil_again(struct vault *v, struct token *t)
{
	t->flags &= (uint8_t)~TOKEN_IS_DIRTY;
	token_soil(v, t);
}

static void rollback_insert(struct vault *v, const struct step *s)
{
	token_orphan(v, s->ref);
	expiry_remove(&v->expiry, s->ref);
	token_unlink(v, s->ref);
	index_remove(&v->ids, s->ref);
	token_free(v, s->ref);
}

static void rollback_end(struct vault *v, const struct step *s)
{
	struct token *t = token_at(v, s->ref);

	ended_free(&v->ended, s->node);
	if (s->effects & STEP_TOOK_USE)
		give_back_use(v, s);
	t->version = s->old_version;
	t->flags &= (uint8_t)~TOKEN_IS_ENDING;
	if (t->flags & TOKEN_IS_OVER) {
		t->flags |= TOKEN_IS_UNKEPT;
		v->n_over_ending--;
	}
	expiry_add(&v->expiry, s->ref);
	if (t->flags & TOKEN_IS_DIRTY)
		soil_again(v, t);
	token_changed(v, s->ref);
}

static void rollback_update(struct vault *v, const struct step *s)
{
	struct token *t = token_at(v, s->ref);

	if (s->effects & STEP_TOOK_USE)
		give_back_use(v, s);
	if (s->effects & STEP_CUT_LIFE)
		give_back_life(v, s);
	if (s->effects & STEP_CLEANED)
		soil_again(v, t);
	t->version = s->old_version;
}

static void rollback_forget(struct vault *v, const struct step *s)
{
	struct ended_node *node = ended_at(&v->ended, s->ref);

	node->forgetting = false;
	entry_of(node->token.owner)->n_forgetting--;
	owner_is_crowded(v, owner_ref(v, node->token.owner));
}

static void rollback_recall(struct vault *v, const struct step *s)
{
	struct owner_entry *owner = entry_of(ended_at(&v->ended, s->ref)->token.owner);

	owner->owner.n_ended--;
	ended_remove(&v->ended, s->ref, &owner->ended);
	ended_free(&v->ended, s->ref);
	owner_release(v, owner_ref(v, &owner->owner));
}

void vault_rollback(struct vault_change *c)
{
	static void (*const rollback[])(struct vault *, const struct step *) = {
		[STEP_INSERT] = rollback_insert,
		[STEP_END] = rollback_end,
		[STEP_UPDATE] = rollback_update,
		[STEP_FORGET] = rollback_forget,
		[STEP_RECALL] = rollback_recall,
	};

	if (!c)
		return;
	assert(c->n == 0 || c->vault->newest_change == c);
	for (size_t i = c->n; i-- > 0;)
		rollback[c->steps[i].kind](c->vault, &c->steps[i]);
	change_free(c);
}
