/*
 * agent/vault-prepare.c - the steps of changes: each takes all memory that its commit will need,
 * and does at once what other calls must not do twice (a use, an end), such that a rollback can
 * undo it.
 *
 * Trees of derived tokens are walked without a stack, since chains may be a thousand deep. Where a
 * token is ending, all below it is: nothing can be derived from it any more.
 */
#include "agent/vault-internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "protocol/base/time.h"

static void next_version(struct token *t, struct step *s)
{
	s->old_version = t->version;
	s->version = ++t->version;
}

/* ---- insert ---------------------------------------------------------------------------------- */

static int insert(struct vault_change *c, struct token_facts *facts, token_ref parent,
		  token_ref *ret)
{
	struct vault *v = c->vault;
	int r = 0;
	struct step *s;
	token_ref ref;

	if (parent && token_extend(v, token_at(v, parent)) < 0)
		return -ENOSPC;
	ref = token_new(v, facts, &r);
	if (!ref)
		return r;
	s = change_add(c, STEP_INSERT, ref);
	if (!s) {
		token_free(v, ref);
		return -ENOMEM;
	}
	next_version(token_at(v, ref), s);
	*ret = ref;
	return 0;
}

int vault_prepare_insert(struct vault_change *c, struct token_facts *facts, token_ref parent,
			 token_ref *ret_ref)
{
	struct vault *v = c->vault;
	token_ref ref = REF_NONE;
	int r;

	assert(facts->state == TOKEN_ACTIVE && facts->id && v->highest_row < TOKEN_ROW_MAX);
	if (parent && vault_is_busy(v, parent))
		return -EBUSY;
	facts->row = v->highest_row + 1;
	facts->parent = parent ? token_at(v, parent)->id : 0;
	r = insert(c, facts, parent, &ref);
	if (r < 0)
		return r;
	v->highest_row++;
	index_add(&v->ids, ref);
	token_link(v, ref);
	expiry_add(&v->expiry, ref);
	if (parent)
		token_adopt(v, parent, ref);
	if (ret_ref)
		*ret_ref = ref;
	return 0;
}

/* ---- end ------------------------------------------------------------------------------------- */

struct ending {
	enum token_state state;
	enum end_reason reason;
	uint64_t ended_us;
};

static void fill_node(struct vault *v, const struct token *t, const struct step *s)
{
	struct ended_token *e = &ended_at(&v->ended, s->node)->token;

	*e = (struct ended_token){
		.id = t->id,
		.row = t->row,
		.ended_us = s->ended_us,
		.owner = &owner_at(v, t->owner)->owner,
		.version = s->version,
	};
	memcpy(&e->hash_prefix, t->hash, sizeof(e->hash_prefix));
}

static int end_one(struct vault_change *c, token_ref ref, struct ending how)
{
	struct vault *v = c->vault;
	struct token *t = token_at(v, ref);
	uint32_t node = ended_new(&v->ended);
	struct step *s = node ? change_add(c, STEP_END, ref) : NULL;

	if (!s) {
		ended_free(&v->ended, node);
		return -ENOMEM;
	}
	s->node = node;
	s->state = (uint8_t)how.state;
	s->reason = (uint8_t)how.reason;
	s->ended_us = how.ended_us;
	next_version(t, s);
	fill_node(v, t, s);
	expiry_remove(&v->expiry, ref);
	t->flags |= TOKEN_IS_ENDING;
	v->n_over_ending += t->flags & TOKEN_IS_OVER ? 1 : 0;
	token_changed(v, ref);
	return 0;
}

/* Ends what is below root and not yet ending. */
static int end_below(struct vault_change *c, token_ref root, struct ending how)
{
	struct vault *v = c->vault;
	token_ref ref = token_next_below(v, root, root, true);

	while (ref) {
		bool ending = token_at(v, ref)->flags & TOKEN_IS_ENDING;
		int r = ending ? 0 : end_one(c, ref, how);

		if (r < 0)
			return r;
		ref = token_next_below(v, root, ref, !ending);
	}
	return 0;
}

static int end_tree(struct vault_change *c, token_ref root, struct ending how)
{
	int r = end_one(c, root, how);

	if (r < 0)
		return r;
	return end_below(c, root, (struct ending){ TOKEN_REVOKED, END_PARENT, how.ended_us });
}

/* Whether a change cuts the life of any below root that is not ending anyway. */
static bool is_cut_below(const struct vault *v, token_ref root)
{
	token_ref ref = token_next_below(v, root, root, true);

	while (ref) {
		uint8_t flags = token_at(v, ref)->flags;

		if ((flags & (TOKEN_IS_CUT | TOKEN_IS_ENDING)) == TOKEN_IS_CUT)
			return true;
		ref = token_next_below(v, root, ref, !(flags & TOKEN_IS_ENDING));
	}
	return false;
}

/* Whether it is this change that replaces the token. */
static bool replaces(const struct vault_change *c, token_ref ref)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->steps[i].ref == ref && c->steps[i].kind == STEP_UPDATE &&
		    c->steps[i].effects & STEP_CUT_LIFE)
			return true;
	return false;
}

int vault_prepare_end(struct vault_change *c, token_ref ref, enum token_state state,
		      enum end_reason reason, uint64_t ended_us)
{
	struct vault *v = c->vault;
	uint8_t flags = token_at(v, ref)->flags;

	if (!(flags & TOKEN_IS_VISIBLE) || flags & TOKEN_IS_ENDING)
		return -EBUSY;
	/*
	 * What this very change has cut, it may end; then it has cut all that is cut below as well.
	 */
	if (flags & TOKEN_IS_CUT ? !replaces(c, ref) : is_cut_below(v, ref))
		return -EBUSY;
	return end_tree(c, ref, (struct ending){ state, reason, ended_us });
}

/* ---- recall -------------------------------------------------------------------------------- */

static void note_ended(struct vault *v, uint32_t node, uint32_t owner,
		       const struct token_facts *facts)
{
	struct ended_token *e = &ended_at(&v->ended, node)->token;

	*e = (struct ended_token){
		.id = facts->id,
		.row = facts->row,
		.ended_us = facts->ended_us,
		.owner = &owner_at(v, owner)->owner,
		.version = 1,
	};
	memcpy(&e->hash_prefix, facts->hash, sizeof(e->hash_prefix));
	ended_add(&v->ended, node, &owner_at(v, owner)->ended);
	e->owner->n_ended++;
}

int vault_prepare_recall(struct vault_change *c, struct token_facts *facts)
{
	struct vault *v = c->vault;
	uint32_t node, owner;
	struct step *s;

	assert(facts->state != TOKEN_ACTIVE && facts->id && v->highest_row < TOKEN_ROW_MAX);
	node = ended_new(&v->ended);
	if (!node)
		return -ENOMEM;
	owner = owner_get(v, facts->owner_uid, facts->owner_name);
	s = owner ? change_add(c, STEP_RECALL, node) : NULL;
	if (!s) {
		ended_free(&v->ended, node);
		if (owner)
			owner_release(v, owner);
		return owner ? -ENOMEM : -ENOSPC;
	}
	s->version = 1;
	s->facts = facts;
	facts->row = ++v->highest_row;
	note_ended(v, node, owner, facts);
	return 0;
}

/* ---- replace --------------------------------------------------------------------------------- */

/* One token's part: it may end sooner, and `by` (0: nobody) replaces it. Extended. */
static int cut_one(struct vault_change *c, token_ref ref, uint64_t by, uint64_t expires_us)
{
	struct vault *v = c->vault;
	struct token *t = token_at(v, ref);
	struct extension *e = extension_at(v, t);
	struct step *s = change_add(c, STEP_UPDATE, ref);

	if (!s)
		return -ENOMEM;
	s->effects = STEP_CUT_LIFE;
	s->old_expires_us = t->expires_us;
	s->old_replaced_by = e->replaced_by;
	next_version(t, s);
	t->flags |= TOKEN_IS_CUT;
	if (by)
		e->replaced_by = by;
	if (expires_us < t->expires_us) {
		t->expires_us = expires_us & TOKEN_TIME_MAX;
		expiry_moved(&v->expiry, ref);
		token_changed(v, ref);
	}
	return 0;
}

/* Children before parents would do as well: the order of expiry is put right one by one. */
static int cut_below(struct vault_change *c, token_ref root, uint64_t expires_us)
{
	struct vault *v = c->vault;
	token_ref ref = token_next_below(v, root, root, true);

	while (ref) {
		const struct token *t = token_at(v, ref);
		bool ending = t->flags & TOKEN_IS_ENDING;
		int r = 0;

		if (!ending && t->expires_us > expires_us)
			r = cut_one(c, ref, 0, expires_us);
		if (r < 0)
			return r;
		ref = token_next_below(v, root, ref, !ending);
	}
	return 0;
}

int vault_prepare_replace(struct vault_change *c, token_ref ref, uint64_t by, uint64_t expires_us)
{
	struct vault *v = c->vault;
	int r;

	if (vault_is_busy(v, ref) || is_cut_below(v, ref))
		return -EBUSY;
	if (token_extend(v, token_at(v, ref)) < 0)
		return -ENOSPC;
	r = cut_one(c, ref, by, expires_us);
	return r < 0 ? r : cut_below(c, ref, expires_us);
}

/* ---- uses ------------------------------------------------------------------------------------ */

/*
 * The step that takes one of the token's uses: an update, or its end where this is the last. Its
 * index, or -ENOMEM.
 */
static int use_step(struct vault_change *c, token_ref ref, uint64_t now_us, bool last)
{
	struct step *s;
	size_t at = c->n;

	if (last) {
		int r = end_tree(c, ref, (struct ending){ TOKEN_REVOKED, END_USES, now_us });

		return r < 0 ? r : (int)at;
	}
	s = change_add(c, STEP_UPDATE, ref);
	if (!s)
		return -ENOMEM;
	next_version(token_at(c->vault, ref), s);
	return (int)at;
}

int vault_prepare_use(struct vault_change *c, token_ref ref, uint64_t now_us, struct span by,
		      int64_t *ret_left)
{
	struct vault *v = c->vault;
	struct token *t = token_at(v, ref);
	struct extension *e = extension_of(v, t);
	struct step *s;
	int at;

	assert(e && e->uses_left != USES_UNLIMITED);
	if (e->uses_left <= 0)
		return -ENOENT;
	if (t->flags & TOKEN_IS_ENDING || !(t->flags & TOKEN_IS_VISIBLE))
		return -EBUSY;
	at = use_step(c, ref, now_us, e->uses_left == 1);
	if (at < 0)
		return at;
	s = &c->steps[at];
	s->effects = STEP_TOOK_USE;
	s->old_last_used_s = t->last_used_s;
	s->old_last_used_by = t->last_used_by;
	t->last_used_s = token_second(now_us);
	t->last_used_by = label_ref(&v->labels, token_user_label(v, by));
	*ret_left = --e->uses_left;
	return 0;
}

/* ---- what comes up by itself ----------------------------------------------------------------- */

int vault_prepare_last_used(struct vault_change *c, size_t max, size_t *ret_n)
{
	struct vault *v = c->vault;
	size_t before = c->n;
	uint64_t id;

	while (c->n - before < max && dirty_pop(&v->dirty, &id)) {
		token_ref ref = vault_find(v, id);
		struct token *t = ref ? token_at(v, ref) : NULL;
		struct step *s;

		/* An end has the last use in it. */
		if (!t || !(t->flags & TOKEN_IS_DIRTY) || t->flags & TOKEN_IS_ENDING)
			continue;
		t->flags &= (uint8_t)~TOKEN_IS_DIRTY;
		s = change_add(c, STEP_UPDATE, ref);
		if (!s) {
			token_soil(v, t);
			return -ENOMEM;
		}
		s->effects = STEP_CLEANED;
		next_version(t, s);
	}
	*ret_n = c->n - before;
	return 0;
}

/*
 * How a token ends that is at its end: cut short by its own rotation, by its parent's, or neither.
 */
static struct ending how_expired(const struct vault *v, const struct token *t, uint64_t now_us)
{
	const struct extension *e = extension_of(v, t);
	/* A clock that was set back may have an end before the beginning. */
	bool cut = e && t->expires_us < e->created_us + e->length_us;

	if (t->expires_us > now_us)
		return (struct ending){ TOKEN_REVOKED, END_PARENT, now_us };
	if (!cut)
		return (struct ending){ TOKEN_EXPIRED, END_EXPIRED, t->expires_us };
	if (e->replaced_by)
		return (struct ending){ TOKEN_EXPIRED, END_ROTATED, t->expires_us };
	return (struct ending){ TOKEN_REVOKED, END_PARENT, t->expires_us };
}

/* The end of one token at its time, or with its parent's. */
static int expire_one(struct vault_change *c, token_ref ref, uint64_t now_us)
{
	struct vault *v = c->vault;
	struct token *t = token_at(v, ref);

	if (t->expires_us <= now_us)
		t->flags |= TOKEN_IS_OVER;
	return end_one(c, ref,
		       how_expired(v, t, t->flags & TOKEN_IS_OVER ? t->expires_us : now_us));
}

/*
 * Ends root and what is below. That mostly is ending already, as no child outlives its parent and
 * the order of expiry has it first.
 */
static int expire_tree(struct vault_change *c, token_ref root, uint64_t now_us)
{
	struct vault *v = c->vault;
	token_ref ref = root;

	while (ref) {
		bool ending = token_at(v, ref)->flags & TOKEN_IS_ENDING;
		int r = ending ? 0 : expire_one(c, ref, now_us);

		if (r < 0)
			return r;
		ref = token_next_below(v, root, ref, !ending);
	}
	return 0;
}

int vault_prepare_expired(struct vault_change *c, uint64_t now_us, size_t max, size_t *ret_n)
{
	struct vault *v = c->vault;
	size_t before = c->n;

	while (c->n - before < max && vault_next_expiry_us(v) <= now_us) {
		int r = expire_tree(c, expiry_first(&v->expiry), now_us);

		if (r < 0)
			return r;
	}
	*ret_n = c->n - before;
	return 0;
}

int vault_prepare_over(struct vault_change *c, token_ref ref, uint64_t now_us)
{
	return expire_tree(c, ref, now_us);
}

/* ---- forget ---------------------------------------------------------------------------------- */

static int forget(struct vault_change *c, uint32_t ref)
{
	struct ended_node *node = ended_at(&c->vault->ended, ref);
	struct step *s = change_add(c, STEP_FORGET, ref);

	if (!s)
		return -ENOMEM;
	s->old_version = node->token.version;
	node->forgetting = true;
	entry_of(node->token.owner)->n_forgetting++;
	return 0;
}

static int forget_old(struct vault_change *c, uint64_t before_us, size_t until)
{
	const struct ended *e = &c->vault->ended;
	int r = 0;

	for (uint32_t ref = e->all.oldest; ref && c->n < until && r == 0;
	     ref = ended_at(e, ref)->all_newer) {
		if (ended_at(e, ref)->token.ended_us >= before_us)
			break;
		if (!ended_at(e, ref)->forgetting)
			r = forget(c, ref);
	}
	return r;
}

static bool has_too_many(const struct owner_entry *owner, uint32_t max)
{
	return owner->owner.n_ended - owner->n_forgetting > max;
}

static int forget_of_owner(struct vault_change *c, const struct owner_entry *owner, uint32_t max,
			   size_t until)
{
	const struct ended *e = &c->vault->ended;
	int r = 0;

	for (uint32_t ref = owner->ended.oldest; r == 0 && c->n < until && has_too_many(owner, max);
	     ref = ended_at(e, ref)->own_newer)
		if (!ended_at(e, ref)->forgetting)
			r = forget(c, ref);
	return r;
}

static int forget_crowded(struct vault_change *c, uint32_t max, size_t until)
{
	struct vault *v = c->vault;

	while (v->crowded && c->n < until) {
		uint32_t ref = v->crowded;
		int r = forget_of_owner(c, owner_at(v, ref), max, until);

		if (r < 0)
			return r;
		if (!has_too_many(owner_at(v, ref), max))
			owner_is_not_crowded(v, ref);
	}
	return 0;
}

/* With a lower limit than before, owners that had not too many may have. */
static void note_limit(struct vault *v, uint32_t max)
{
	if (max < v->crowded_limit)
		for (uint32_t ref = v->first_owner; ref; ref = owner_at(v, ref)->others_next)
			owner_is_crowded(v, ref);
	v->crowded_limit = max;
}

int vault_prepare_forget(struct vault_change *c, uint64_t before_us, uint32_t max_per_owner,
			 size_t max, size_t *ret_n)
{
	size_t before = c->n;
	size_t until = max < SIZE_MAX - before ? before + max : SIZE_MAX;
	int r;

	note_limit(c->vault, max_per_owner);
	r = forget_old(c, before_us, until);
	if (r == 0)
		r = forget_crowded(c, max_per_owner, until);
	if (r < 0)
		return r;
	*ret_n = c->n - before;
	return 0;
}
