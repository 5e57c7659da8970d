/* tests/unit/vault-model.c - the model: what is under way, and the comparison with the vault. */
#include "tests/unit/vault-model.h"

#include <string.h>

#include "agent/vault-internal.h"

uint64_t model_below(struct model *m, uint64_t n)
{
	return unit_random(&m->seed) % n;
}

struct model *model_new(uint64_t seed, size_t memory_limit)
{
	struct model *m = calloc(1, sizeof(*m));

	UNIT_CHECK(m, "no memory");
	m->seed = seed;
	m->now_us = NOW;
	m->v = unit_vault(memory_limit);
	return m;
}

void model_tighten(struct model *m, unsigned n_blocks)
{
	struct arena *a = &m->v->arena;
	uint32_t ref;

	m->tight = true;
	while ((ref = arena_alloc(a, ARENA_PIECE_MAX)))
		m->hogs[m->n_hogs++] = ref;
	for (unsigned i = 0; i < 2 * n_blocks; i++)
		arena_free(a, m->hogs[--m->n_hogs]);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

bool model_is_there(const struct model_token *t)
{
	return t->place == PLACE_PREPARED || t->place == PLACE_VISIBLE;
}

bool model_is_busy(const struct model_token *t)
{
	return t->place != PLACE_VISIBLE || t->ending || t->cut;
}

int model_pick(struct model *m, enum place place)
{
	for (int i = 0; i < 64 && m->n > 0; i++) {
		/* Among the newest: older ones have mostly ended. */
		uint64_t back = model_below(m, (uint64_t)(m->n < 300 ? m->n : 300));
		int at = m->n - 1 - (int)back;

		if (m->tokens[at].place == place)
			return at;
	}
	return -1;
}

bool model_is_below(const struct model *m, int a, int b)
{
	while (a != b && a >= 0 && !m->tokens[a].ending)
		a = m->tokens[a].parent;
	return a == b;
}

bool model_is_cut_below(const struct model *m, int token)
{
	for (int i = token + 1; i < m->n; i++) {
		const struct model_token *t = &m->tokens[i];

		if (model_is_there(t) && t->cut && !t->ending && model_is_below(m, i, token))
			return true;
	}
	return false;
}

static unsigned count_children(const struct model *m, int token)
{
	unsigned n = 0;

	for (int i = token + 1; i < m->n; i++)
		n += model_is_there(&m->tokens[i]) && m->tokens[i].parent == token;
	return n;
}

/* ---- what is expected ------------------------------------------------------------------------ */

struct model_token *model_expect(struct model *m, int token, enum step_kind kind)
{
	struct expected *e = &m->expected[m->n_expected++];

	*e = (struct expected){ .token = token, .kind = kind, .after = m->tokens[token] };
	e->after.version++;
	return &e->after;
}

void model_expect_end(struct model *m, int token, enum token_state state, enum end_reason reason,
		      uint64_t ended_us)
{
	for (int i = token; i < m->n; i++) {
		struct model_token *after;

		if (!model_is_there(&m->tokens[i]) || m->tokens[i].ending ||
		    !model_is_below(m, i, token))
			continue;
		after = model_expect(m, i, STEP_END);
		after->ending = true;
		after->facts.state = i == token ? state : TOKEN_REVOKED;
		after->facts.ended = i == token ? reason : END_PARENT;
		after->facts.ended_us = ended_us;
	}
}

static struct expected *find_expected(struct model *m, uint64_t id, enum step_kind kind)
{
	for (size_t i = 0; i < m->n_expected; i++) {
		struct expected *e = &m->expected[i];

		if (!e->met && e->kind == kind && m->tokens[e->token].facts.id == id)
			return e;
	}
	return NULL;
}

/* ---- changes --------------------------------------------------------------------------------- */

struct model_change *model_begin(struct model *m)
{
	struct model_change *c;

	while (m->n_under_way == MODEL_UNDER_WAY)
		model_commit_oldest(m);
	c = &m->under_way[m->n_under_way++];
	*c = (struct model_change){ .change = unit_change(m->v) };
	return c;
}

/* What the row of a step says, and what it is expected to say. */
static void check_row(struct model *m, struct expected *e, const struct model_step *s)
{
	struct token_facts got, *want = &e->after.facts;

	UNIT_CHECK(s->row.row == want->row && s->row.owner_uid == want->owner_uid, "another row");
	if (e->kind == STEP_FORGET) {
		UNIT_CHECK(s->row.version == 0 && s->row.n == 0, "a forget with a record");
		UNIT_CHECK(s->row.old_version + 1 == e->after.version, "a wrong version");
		return;
	}
	UNIT_CHECK(record_read(s->data, s->row.n, &got) == 0, "no record");
	if (m->tight && !got.last_used_by.p)
		want->last_used_by = SPAN_NONE;
	UNIT_CHECK(facts_same(&got, want), "kind %d of id %lu: other facts", e->kind, want->id);
	UNIT_CHECK(s->row.version == e->after.version, "version %u", s->row.version);
	UNIT_CHECK(s->row.old_version + 1 == s->row.version, "version %u", s->row.old_version);
}

static void absorb_step(struct model *m, struct model_change *c, size_t i)
{
	uint8_t data[RECORD_MAX];
	struct model_step *s = &c->steps[i];
	struct expected *e;

	vault_change_row(c->change, i, data, &s->row);
	e = find_expected(m, s->row.id, s->row.kind);
	UNIT_CHECK(e, "kind %d of id %lu is not expected", s->row.kind, s->row.id);
	e->met = true;
	s->data = malloc(s->row.n + 1);
	UNIT_CHECK(s->data, "no memory");
	memcpy(s->data, data, s->row.n);
	check_row(m, e, s);
	s->token = e->token;
	s->took_use = e->took_use;
	s->cleaned = e->cleaned;
	s->before = m->tokens[e->token];
	s->cuts = e->after.cut && !s->before.cut;
	m->tokens[e->token] = e->after;
}

void model_absorb(struct model *m, struct model_change *c, bool exactly)
{
	size_t n = vault_change_n(c->change);

	c->steps = reallocarray(c->steps, n + 1, sizeof(*c->steps));
	UNIT_CHECK(c->steps, "no memory");
	for (; c->n < n; c->n++)
		absorb_step(m, c, c->n);
	for (size_t i = 0; exactly && i < m->n_expected; i++)
		UNIT_CHECK(m->expected[i].met, "id %lu is left out", m->expected[i].after.facts.id);
	m->n_expected = 0;
}

static void done(struct model_change *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->steps[i].data);
	free(c->steps);
}

/* The store takes a step only where it has just the version before. */
static void store_step(struct model *m, const struct model_step *s)
{
	static const enum place from[] = { PLACE_NONE, PLACE_VISIBLE, PLACE_VISIBLE, PLACE_ENDED };
	static const enum place to[] = { PLACE_VISIBLE, PLACE_ENDED, PLACE_VISIBLE, PLACE_NONE };
	struct model_row *row = &m->rows[s->row.row];

	UNIT_CHECK(row->place == from[s->row.kind], "row %lu is elsewhere", s->row.row);
	UNIT_CHECK(row->version == s->row.old_version, "row %lu has another version", s->row.row);
	row->place = to[s->row.kind];
	row->version = s->row.version;
	row->n = s->row.n;
	memcpy(row->data, s->data, s->row.n);
}

static void take_from_ended(struct model *m, int token)
{
	size_t at = 0;

	while (m->ended[at] != token)
		at++;
	memmove(&m->ended[at], &m->ended[at + 1], (--m->n_ended - at) * sizeof(m->ended[0]));
}

static void commit_step(struct model *m, const struct model_step *s)
{
	struct model_token *t = &m->tokens[s->token];

	store_step(m, s);
	switch (s->row.kind) {
	case STEP_INSERT:
		t->place = PLACE_VISIBLE;
		break;
	case STEP_END:
		t->place = PLACE_ENDED;
		m->ended[m->n_ended++] = s->token;
		break;
	case STEP_UPDATE:
		t->cut = t->cut && !s->cuts;
		break;
	case STEP_FORGET:
		t->place = PLACE_FORGOTTEN;
		take_from_ended(m, s->token);
		break;
	case STEP_RECALL:
		ck_abort_msg("the model recalls nothing");
	}
}

void model_commit_oldest(struct model *m)
{
	struct model_change c = m->under_way[0];

	memmove(&m->under_way[0], &m->under_way[1], --m->n_under_way * sizeof(c));
	for (size_t i = 0; i < c.n; i++)
		commit_step(m, &c.steps[i]);
	vault_commit(c.change);
	done(&c);
}

static void rollback_step(struct model *m, const struct model_step *s)
{
	struct model_token *t = &m->tokens[s->token], now = *t;

	*t = s->before;
	/* What older changes did meanwhile, by their commits, stays. */
	t->place = s->row.kind == STEP_INSERT ? PLACE_NONE : now.place;
	t->cut = now.cut && !s->cuts;
	/* Uses of the time between are no part of the change. */
	if (!s->took_use) {
		t->facts.last_used_us = now.facts.last_used_us;
		t->facts.last_used_by = now.facts.last_used_by;
	}
	t->dirty = now.dirty || s->cleaned;
}

void model_rollback_newest(struct model *m)
{
	struct model_change *c = &m->under_way[--m->n_under_way];

	for (size_t i = c->n; i-- > 0;)
		rollback_step(m, &c->steps[i]);
	vault_rollback(c->change);
	done(c);
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void check_active(const struct model *m, int i)
{
	const struct model_token *t = &m->tokens[i];
	struct token_facts got, want = t->facts;

	/* Of a token that is ending, its end is not told. */
	want.state = TOKEN_ACTIVE;
	want.ended = END_NOT;
	want.ended_us = 0;
	vault_facts(m->v, t->ref, &got);
	UNIT_CHECK(facts_same(&got, &want), "facts of id %lu", want.id);
	UNIT_CHECK(vault_find(m->v, want.id) == (t->place == PLACE_VISIBLE ? t->ref : REF_NONE),
		   "id %lu is not where it should be", want.id);
	UNIT_CHECK(vault_is_busy(m->v, t->ref) == model_is_busy(t), "busy: id %lu", want.id);
	UNIT_CHECK(vault_n_children(m->v, t->ref) == count_children(m, i), "children");
	UNIT_CHECK(vault_hash_is(m->v, t->ref, want.hash), "hash");
	UNIT_CHECK(vault_uses_left(m->v, t->ref) == want.uses_left, "uses");
	UNIT_CHECK(vault_owner(m->v, t->ref)->uid == want.owner_uid, "owner");
	UNIT_CHECK(vault_id_is_taken(m->v, want.id), "taken");
}

static void check_ended(const struct model *m, const struct model_token *t)
{
	const struct ended_token *e = vault_find_ended(m->v, t->facts.id);

	UNIT_CHECK(e && e->row == t->facts.row, "id %lu is not among the ended", t->facts.id);
	UNIT_CHECK(e->ended_us == t->facts.ended_us, "ended when");
	UNIT_CHECK(e->version + t->forgetting == t->version, "ended: version");
	UNIT_CHECK(e->owner->uid == t->facts.owner_uid, "ended: owner");
	UNIT_CHECK(ended_hash_may_be(e, t->facts.hash), "ended: hash");
	UNIT_CHECK(!vault_find(m->v, t->facts.id), "found");
}

static void check_owners(const struct model *m)
{
	for (uid_t uid = 0; uid < MODEL_OWNERS; uid++) {
		const struct owner *o = vault_find_owner(m->v, uid, SPAN("ci"));
		unsigned n_active = 0, n_ended = 0;

		for (int i = 0; i < m->n; i++) {
			const struct model_token *t = &m->tokens[i];

			if (t->facts.owner_uid != uid)
				continue;
			n_active += model_is_there(t);
			n_ended += t->place == PLACE_ENDED;
		}
		UNIT_CHECK(!o == !(n_active + n_ended), "owner %u", uid);
		UNIT_CHECK(!o || (o->n_active == n_active && o->n_ended == n_ended),
			   "owner %u: %u of %u active, %u of %u ended", uid, o->n_active, n_active,
			   o->n_ended, n_ended);
	}
}

static void check_cursor(const struct model *m, struct model_cursor *c)
{
	while (c->at < c->n && m->tokens[c->tokens[c->at]].place != PLACE_VISIBLE)
		c->at++;
	UNIT_CHECK(vault_cursor_peek(&c->cursor) ==
			   (c->at < c->n ? m->tokens[c->tokens[c->at]].ref : REF_NONE),
		   "a cursor stands elsewhere");
}

void model_check(struct model *m)
{
	uint64_t next_us = UINT64_MAX;
	size_t n_visible = 0;

	for (int i = 0; i < m->n; i++) {
		const struct model_token *t = &m->tokens[i];

		if (model_is_there(t))
			check_active(m, i);
		else if (t->place == PLACE_ENDED)
			check_ended(m, t);
		else
			UNIT_CHECK(!vault_id_is_taken(m->v, t->facts.id), "taken");
		n_visible += t->place == PLACE_VISIBLE;
		if (model_is_there(t) && !t->ending && t->facts.expires_us < next_us)
			next_us = t->facts.expires_us;
	}
	UNIT_CHECK(vault_n_active(m->v) == n_visible, "active");
	UNIT_CHECK(vault_n_ended(m->v) == m->n_ended, "ended");
	UNIT_CHECK(vault_next_expiry_us(m->v) == next_us, "the next end");
	UNIT_CHECK(vault_locked_bytes(m->v) == unit_mem.locked, "locked");
	check_owners(m);
	for (size_t i = 0; i < ARRAY_SIZE(m->cursors); i++)
		if (m->cursors[i].open)
			check_cursor(m, &m->cursors[i]);
}

static void load_row(struct vault *v, const struct model_row *row)
{
	struct token_facts facts;
	int r;

	if (row->place == PLACE_NONE)
		return;
	UNIT_CHECK(record_read(row->data, row->n, &facts) == 0, "no record");
	r = row->place == PLACE_VISIBLE ? vault_load_active(v, &facts, row->version)
					: vault_load_ended(v, &facts, row->version);
	UNIT_CHECK(r == 0, "not loaded: %d", r);
}

/* From the newest row to the oldest, each that is there. */
static void check_order(struct model *m, struct vault *v)
{
	struct vault_cursor c;

	vault_cursor_init(&c, v, NULL, true);
	for (int i = m->n; i-- > 0;) {
		struct token_facts facts;

		if (m->tokens[i].place != PLACE_VISIBLE)
			continue;
		vault_facts(v, vault_cursor_peek(&c), &facts);
		UNIT_CHECK(facts.id == m->tokens[i].facts.id, "out of order");
		vault_cursor_step(&c);
	}
	vault_cursor_done(&c);
}

void model_check_store(struct model *m)
{
	struct vault *v;
	size_t n = MODEL_TOKENS + 1;
	size_t start = model_below(m, n), stride = 1 + model_below(m, n - 1);

	UNIT_CHECK(vault_new(&unit_mem, (size_t)8 << 20, NULL, &v) == 0, "no vault");
	/* All rows, in an odd order: n is a prime. */
	for (size_t i = 0, at = start; i < n; i++, at = (at + stride) % n)
		load_row(v, &m->rows[at]);
	UNIT_CHECK(vault_load_done(v) == 0, "they do not fit together");
	UNIT_CHECK(vault_n_active(v) == vault_n_active(m->v), "active");
	UNIT_CHECK(vault_n_ended(v) == m->n_ended, "ended");
	check_order(m, v);
	for (int i = 0; i < m->n; i++) {
		const struct model_token *t = &m->tokens[i];
		struct token_facts got, want = t->facts;

		if (t->place != PLACE_VISIBLE)
			continue;
		vault_facts(v, vault_find(v, want.id), &got);
		if (t->dirty) {
			want.last_used_us = got.last_used_us;
			want.last_used_by = got.last_used_by;
		}
		UNIT_CHECK(facts_same(&got, &want), "id %lu is another now", want.id);
		UNIT_CHECK(vault_n_children(v, vault_find(v, want.id)) == count_children(m, i),
			   "children");
	}
	vault_free(v);
}

/* ---- the end --------------------------------------------------------------------------------- */

static size_t count_pieces(const struct vault *v)
{
	size_t n = 0;

	/* The number in use is the fifth field of a block's header. */
	for (uint32_t i = 0; i < v->arena.n_blocks; i++) {
		uint16_t n_used;

		memcpy(&n_used, v->arena.space.region.base + (size_t)i * ARENA_BLOCK + 10,
		       sizeof(n_used));
		n += n_used;
	}
	return n;
}

void model_free(struct model *m)
{
	struct vault_change *c;
	size_t n;

	while (m->n_under_way > 0)
		model_commit_oldest(m);
	for (size_t i = 0; i < ARRAY_SIZE(m->cursors); i++)
		if (m->cursors[i].open)
			vault_cursor_done(&m->cursors[i].cursor);
	while (m->n_hogs > 0)
		arena_free(&m->v->arena, m->hogs[--m->n_hogs]);
	c = unit_change(m->v);
	UNIT_CHECK(vault_prepare_expired(c, TOKEN_TIME_MAX, SIZE_MAX, &n) == 0, "expired");
	vault_commit(c);
	UNIT_CHECK(vault_n_active(m->v) == 0, "some never end");
	c = unit_change(m->v);
	UNIT_CHECK(vault_prepare_forget(c, UINT64_MAX, 0, SIZE_MAX, &n) == 0, "forgotten");
	vault_commit(c);
	UNIT_CHECK(vault_n_ended(m->v) == 0, "some are never forgotten");
	UNIT_CHECK(count_pieces(m->v) == (m->v->last_by ? 1 : 0), "%zu pieces are left",
		   count_pieces(m->v));
	unit_done(m->v);
	free(m);
}
