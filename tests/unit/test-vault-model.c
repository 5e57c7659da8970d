/*
 * tests/unit/test-vault-model.c - the vault does, over a few hundred thousand random operations,
 * what the plain model does.
 *
 * Changes are prepared several at a time, committed the oldest first or rolled back the newest
 * first, while tokens are used and walked. After each few steps all there is to ask is compared,
 * and what the commits left in the store is loaded again.
 */
#include "tests/unit/vault-model.h"

#include <errno.h>
#include <string.h>

#define LIMIT_LEAST ((size_t)320 * 1024)

static const char *const users[] = { "user ci", "api.service", "web.service", NULL };

static struct span random_user(struct model *m)
{
	return span_of(users[model_below(m, ARRAY_SIZE(users))]);
}

/* ---- inserts --------------------------------------------------------------------------------- */

static void fill_scopes(struct model *m, struct model_token *t)
{
	static const char *const scopes[] = { "acme/risk:read", "a:b", "acme/**:*" };
	uint8_t *p = t->scopes;
	uint8_t count = (uint8_t)model_below(m, 4);

	for (uint8_t i = 0; i < count; i++) {
		struct span scope = span_of(scopes[(i + model_below(m, 3)) % 3]);

		*p++ = (uint8_t)scope.n;
		memcpy(p, scope.p, scope.n);
		p += scope.n;
	}
	t->facts.scopes = (struct packed_scopes){ t->scopes, (uint16_t)(p - t->scopes), count };
}

/* What only some tokens have. */
static void fill_rare(struct model *m, struct token_facts *f)
{
	if (model_below(m, 4) == 0)
		f->uses_left = 1 + (int64_t)model_below(m, 4);
	if (model_below(m, 6) == 0)
		f->credential = SPAN("pipeline");
	if (model_below(m, 6) == 0) {
		f->binding = BINDING_UNIT;
		f->holder = (struct holder){ .invocation = { 7 }, .unit = SPAN("a.service") };
	} else if (model_below(m, 6) == 0) {
		f->binding = BINDING_PROCESS;
		f->holder = (struct holder){ .boot = { 8 }, .pidfd_inode = 9, .pid = 10 };
	}
}

/* A new token, at the end of the model's. */
static struct model_token *new_token(struct model *m, int parent)
{
	static const char names[] = "a name that may be cut at any length, and so is long or short";
	struct model_token *t = &m->tokens[m->n];
	struct token_facts *f = &t->facts;

	*t = (struct model_token){ .parent = parent };
	*f = (struct token_facts){
		.id = unit_random(&m->seed) | 1,
		.name = { names, 1 + model_below(m, sizeof(names) - 1) },
		.owner_uid = (uid_t)model_below(m, MODEL_OWNERS),
		.owner_name = SPAN("ci"),
		.created_us = m->now_us,
		.length_us = (1 + model_below(m, 600)) * USEC_PER_SEC + model_below(m, 4) / 3,
		.uses_left = USES_UNLIMITED,
		.issued_to = random_user(m),
	};
	if (parent >= 0) {
		const struct token_facts *p = &m->tokens[parent].facts;

		f->owner_uid = p->owner_uid;
		f->parent = p->id;
		if (f->created_us + f->length_us > p->expires_us)
			f->length_us = p->expires_us - f->created_us;
	}
	f->expires_us = f->created_us + f->length_us;
	fill_scopes(m, t);
	fill_rare(m, f);
	for (size_t i = 0; i < sizeof(f->hash); i++)
		f->hash[i] = (uint8_t)unit_random(&m->seed);
	return t;
}

/*
 * In all that follows: prepares in the change, and says what came of it: 0 or a negative errno, all
 * as expected.
 */

static int op_insert(struct model *m, struct model_change *c, int parent)
{
	struct model_token *t = new_token(m, parent), *after;
	struct token_facts facts = t->facts;
	int r;

	facts.parent = 1; /* the vault's to write */
	if (m->n == MODEL_TOKENS)
		return 0;
	r = vault_prepare_insert(c->change, &facts, parent < 0 ? REF_NONE : m->tokens[parent].ref,
				 &t->ref);
	if (parent >= 0 && model_is_busy(&m->tokens[parent])) {
		UNIT_CHECK(r == -EBUSY, "a child of a busy token: %d", r);
		return 0;
	}
	if (r < 0)
		return r;
	t->facts.row = (uint64_t)m->n + 1;
	UNIT_CHECK(facts.row == t->facts.row && facts.parent == t->facts.parent, "written back");
	after = model_expect(m, m->n++, STEP_INSERT);
	after->place = PLACE_PREPARED;
	model_absorb(m, c, true);
	return 0;
}

static int op_issue(struct model *m, struct model_change *c)
{
	return op_insert(m, c, -1);
}

static int op_derive(struct model *m, struct model_change *c)
{
	int parent = model_pick(m, PLACE_VISIBLE);

	if (parent < 0 || m->tokens[parent].facts.uses_left != USES_UNLIMITED ||
	    m->tokens[parent].facts.expires_us <= m->now_us)
		return 0;
	return op_insert(m, c, parent);
}

/* ---- ends and rotations ---------------------------------------------------------------------- */

/* by_us: that this very change has just cut it. */
static int end(struct model *m, struct model_change *c, int token, bool by_us)
{
	const struct model_token *t = &m->tokens[token];
	bool busy = t->place != PLACE_VISIBLE || t->ending ||
		    (t->cut ? !by_us : model_is_cut_below(m, token));
	int r = vault_prepare_end(c->change, t->ref, TOKEN_REVOKED, END_OWNER, m->now_us);

	UNIT_CHECK((r == -EBUSY) == busy, "an end of a token that is%s busy: %d",
		   busy ? "" : " not", r);
	if (r < 0)
		return busy ? 0 : r;
	model_expect_end(m, token, TOKEN_REVOKED, END_OWNER, m->now_us);
	model_absorb(m, c, true);
	return 0;
}

static int op_end(struct model *m, struct model_change *c)
{
	int token = model_pick(m, model_below(m, 10) ? PLACE_VISIBLE : PLACE_PREPARED);
	bool by_us = false;

	if (token < 0)
		return 0;
	for (size_t i = 0; i < c->n; i++)
		by_us |= c->steps[i].token == token && c->steps[i].cuts;
	/* A cut of its own change is meant for the token that was replaced, not for those below. */
	if (by_us && !m->tokens[token].facts.replaced_by)
		return 0;
	return end(m, c, token, by_us);
}

static void expect_cuts(struct model *m, int token, uint64_t by, uint64_t expires_us)
{
	for (int i = token; i < m->n; i++) {
		const struct model_token *t = &m->tokens[i];
		struct model_token *after;

		if (!model_is_there(t) || t->ending || !model_is_below(m, i, token) ||
		    (i != token && t->facts.expires_us <= expires_us))
			continue;
		after = model_expect(m, i, STEP_UPDATE);
		after->cut = true;
		if (i == token)
			after->facts.replaced_by = by;
		if (expires_us < after->facts.expires_us)
			after->facts.expires_us = expires_us;
	}
}

static int op_rotate(struct model *m, struct model_change *c)
{
	int token = model_pick(m, PLACE_VISIBLE);
	uint64_t by, expires_us = m->now_us + model_below(m, 200) * USEC_PER_SEC;
	int r;

	if (token < 0 || m->n == MODEL_TOKENS)
		return 0;
	r = op_insert(m, c, -1);
	if (r < 0)
		return r;
	by = m->tokens[m->n - 1].facts.id;
	r = vault_prepare_replace(c->change, m->tokens[token].ref, by, expires_us);
	if (model_is_busy(&m->tokens[token]) || model_is_cut_below(m, token)) {
		UNIT_CHECK(r == -EBUSY, "a rotation of a busy token: %d", r);
		return 0;
	}
	if (r < 0)
		return r;
	expect_cuts(m, token, by, expires_us);
	model_absorb(m, c, true);
	return model_below(m, 3) ? 0 : end(m, c, token, true);
}

/* ---- uses ------------------------------------------------------------------------------------ */

static int expected_of_use(const struct model_token *t)
{
	if (t->facts.uses_left == 0)
		return -ENOENT;
	return t->ending || t->place != PLACE_VISIBLE ? -EBUSY : 0;
}

static int op_use(struct model *m, struct model_change *c)
{
	int token = model_pick(m, PLACE_VISIBLE), expected, r;
	struct span by = random_user(m);
	const struct model_token *t;
	struct expected *e;
	int64_t left;

	if (token < 0 || m->tokens[token].facts.uses_left == USES_UNLIMITED)
		return 0;
	t = &m->tokens[token];
	expected = expected_of_use(t);
	r = vault_prepare_use(c->change, t->ref, m->now_us, by, &left);
	UNIT_CHECK(r == expected, "a use: %d, not %d", r, expected);
	if (r < 0)
		return 0;
	UNIT_CHECK(left == t->facts.uses_left - 1, "left: %ld", left);
	if (left == 0)
		model_expect_end(m, token, TOKEN_REVOKED, END_USES, m->now_us);
	else
		model_expect(m, token, STEP_UPDATE);
	e = &m->expected[0];
	e->took_use = true;
	e->after.facts.uses_left--;
	e->after.facts.last_used_us = m->now_us / USEC_PER_SEC * USEC_PER_SEC;
	e->after.facts.last_used_by = by;
	model_absorb(m, c, true);
	return 0;
}

static void op_used(struct model *m)
{
	int token = model_pick(m, PLACE_VISIBLE);
	struct model_token *t;
	struct token_facts got;

	if (token < 0)
		return;
	t = &m->tokens[token];
	t->facts.last_used_us = m->now_us / USEC_PER_SEC * USEC_PER_SEC;
	t->facts.last_used_by = random_user(m);
	t->dirty = true;
	vault_used(m->v, t->ref, m->now_us, t->facts.last_used_by);
	vault_facts(m->v, t->ref, &got);
	if (m->tight && !got.last_used_by.p)
		t->facts.last_used_by = SPAN_NONE;
}

static int op_last_used(struct model *m, struct model_change *c)
{
	size_t max = model_below(m, 30), n;

	for (int i = 0; i < m->n; i++) {
		const struct model_token *t = &m->tokens[i];

		if (t->place != PLACE_VISIBLE || !t->dirty || t->ending)
			continue;
		model_expect(m, i, STEP_UPDATE)->dirty = false;
		m->expected[m->n_expected - 1].cleaned = true;
	}
	UNIT_CHECK(vault_prepare_last_used(c->change, max, &n) == 0, "last uses");
	UNIT_CHECK(n == (m->n_expected < max ? m->n_expected : max), "%zu of %zu", n,
		   m->n_expected);
	model_absorb(m, c, false);
	return 0;
}

/* ---- what comes up by itself ----------------------------------------------------------------- */

/* The next to end by now, of those not yet expected to; -1: none. */
static int next_expired(const struct model *m, const bool *taken)
{
	int best = -1;

	for (int i = 0; i < m->n; i++) {
		const struct model_token *t = &m->tokens[i];

		if (!model_is_there(t) || t->ending || taken[i] || t->facts.expires_us > m->now_us)
			continue;
		/* Of two at one time the newer one. */
		if (best < 0 || t->facts.expires_us <= m->tokens[best].facts.expires_us)
			best = i;
	}
	return best;
}

static void expect_expired(struct model *m, int token)
{
	struct model_token *after = model_expect(m, token, STEP_END);
	struct token_facts *f = &after->facts;
	bool cut = f->expires_us < f->created_us + f->length_us;

	after->ending = true;
	f->ended_us = f->expires_us;
	f->state = cut && !f->replaced_by ? TOKEN_REVOKED : TOKEN_EXPIRED;
	f->ended = !cut ? END_EXPIRED : f->replaced_by ? END_ROTATED : END_PARENT;
}

static int op_expired(struct model *m, struct model_change *c)
{
	static bool taken[MODEL_TOKENS];
	size_t max = model_below(m, 30), n;

	memset(taken, 0, sizeof(taken));
	m->now_us += model_below(m, 20) * USEC_PER_SEC;
	for (int i; m->n_expected < max && (i = next_expired(m, taken)) >= 0;) {
		taken[i] = true;
		expect_expired(m, i);
	}
	UNIT_CHECK(vault_prepare_expired(c->change, m->now_us, max, &n) == 0, "expired");
	UNIT_CHECK(n == m->n_expected, "%zu of %zu", n, m->n_expected);
	model_absorb(m, c, true);
	return 0;
}

static void expect_forget(struct model *m, int token)
{
	struct model_token *after = model_expect(m, token, STEP_FORGET);

	after->forgetting = true;
	/* Whoever asks meanwhile is told the version that is there. */
	m->tokens[token].forgetting = true;
}

/* Of each owner what is beyond the last `max`. */
static void expect_crowded(struct model *m, uint32_t max)
{
	for (uid_t uid = 0; uid < MODEL_OWNERS; uid++) {
		uint32_t n = 0;

		for (size_t i = m->n_ended; i-- > 0;) {
			const struct model_token *t = &m->tokens[m->ended[i]];

			if (t->facts.owner_uid == uid && !t->forgetting && ++n > max)
				expect_forget(m, m->ended[i]);
		}
	}
}

static int op_forget(struct model *m, struct model_change *c)
{
	uint64_t before_us = m->now_us - model_below(m, 300) * USEC_PER_SEC;
	uint32_t max_per_owner = 20 + (uint32_t)model_below(m, 2) * 10;
	size_t max = model_below(m, 40), n, n_old;

	for (size_t i = 0; i < m->n_ended && m->n_expected < max; i++) {
		const struct model_token *t = &m->tokens[m->ended[i]];

		if (t->facts.ended_us >= before_us)
			break;
		if (!t->forgetting)
			expect_forget(m, m->ended[i]);
	}
	n_old = m->n_expected;
	if (n_old < max)
		expect_crowded(m, max_per_owner);
	for (size_t i = 0; i < m->n_expected; i++)
		m->tokens[m->expected[i].token].forgetting = false;
	UNIT_CHECK(vault_prepare_forget(c->change, before_us, max_per_owner, max, &n) == 0,
		   "forget");
	UNIT_CHECK(n == (m->n_expected < max ? m->n_expected : max), "%zu of %zu", n,
		   m->n_expected);
	model_absorb(m, c, m->n_expected <= max);
	return 0;
}

/* ---- cursors --------------------------------------------------------------------------------- */

static void open_cursor(struct model *m, struct model_cursor *c)
{
	uid_t uid = (uid_t)model_below(m, MODEL_OWNERS + 1);
	bool all = uid == MODEL_OWNERS;

	c->open = true;
	c->n = c->at = 0;
	vault_cursor_init(&c->cursor, m->v, vault_find_owner(m->v, uid, SPAN("ci")), all);
	for (int i = m->n; i-- > 0;)
		if (m->tokens[i].place == PLACE_VISIBLE &&
		    (all || m->tokens[i].facts.owner_uid == uid))
			c->tokens[c->n++] = i;
}

static void op_cursor(struct model *m)
{
	struct model_cursor *c = &m->cursors[model_below(m, ARRAY_SIZE(m->cursors))];

	if (!c->open) {
		open_cursor(m, c);
	} else if (model_below(m, 60) == 0) {
		c->open = false;
		vault_cursor_done(&c->cursor);
	} else if (c->at < c->n) {
		while (c->at < c->n && m->tokens[c->tokens[c->at]].place != PLACE_VISIBLE)
			c->at++;
		c->at++;
		vault_cursor_step(&c->cursor);
	}
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void op_change(struct model *m)
{
	static int (*const ops[])(struct model *, struct model_change *) = {
		op_issue,  op_issue, op_issue,	   op_issue,   op_derive, op_derive,
		op_derive, op_end,   op_end,	   op_rotate,  op_rotate, op_use,
		op_use,	   op_use,   op_last_used, op_expired, op_forget,
	};
	struct model_change *c = model_begin(m);
	size_t n = 1 + model_below(m, 3);
	int r = 0;

	while (r == 0 && n-- > 0)
		r = ops[model_below(m, ARRAY_SIZE(ops))](m, c);
	if (r < 0) {
		UNIT_CHECK(m->tight && r == -ENOSPC, "%d", r);
		m->n_full++;
		model_rollback_newest(m);
	} else if (vault_change_n(c->change) == 0) {
		model_rollback_newest(m);
	}
}

static void op_any(struct model *m)
{
	uint64_t dice = model_below(m, 100);

	if (dice < 40)
		op_change(m);
	else if (dice < 65)
		op_used(m);
	else if (dice < 75)
		op_cursor(m);
	else if (dice < 97 && m->n_under_way > 0)
		model_commit_oldest(m);
	else if (dice == 98)
		while (m->n_under_way > 0)
			model_rollback_newest(m);
}

/* n_blocks: of the arena; 0: no limit that matters. Gives how often the arena was full. */
static size_t run(uint64_t seed, size_t n_ops, unsigned n_blocks)
{
	struct model *m = model_new(seed, n_blocks ? LIMIT_LEAST : LIMIT_SMALL);
	size_t n_full;

	if (n_blocks)
		model_tighten(m, n_blocks);
	for (size_t i = 0; i < n_ops; i++) {
		op_any(m);
		if (i % 32 == 0)
			model_check(m);
		if (m->n_under_way == 0 && model_below(m, 100) == 0)
			model_check_store(m);
	}
	model_check(m);
	n_full = m->n_full;
	model_free(m);
	return n_full;
}

START_TEST(the_vault_does_what_the_model_does)
{
	for (uint64_t seed = 1; seed <= 30; seed++)
		run(seed << 32, 4000, 0);
}
END_TEST

START_TEST(a_vault_that_is_often_full_does_so_too)
{
	size_t n_full = 0;

	for (unsigned seed = 1; seed <= 16; seed++)
		n_full += run((uint64_t)seed << 40, 2000, 3 + seed);
	ck_assert_uint_gt(n_full, 1000);
}
END_TEST

UNIT_MAIN("vault-model", the_vault_does_what_the_model_does, a_vault_that_is_often_full_does_so_too)
