/* tests/unit/test-vault-facts.c - whatever a token is, the vault tells it as it was told. */
#include "tests/unit/facts-unit.h"
#include "tests/unit/vault-unit.h"

enum { ALIVE = 300 };

/* As a token that can be issued: active, and with no parent. */
static void fill_active(uint64_t *seed, uint64_t id, struct facts_sample *s)
{
	facts_fill(seed, s);
	s->facts.id = id;
	s->facts.state = TOKEN_ACTIVE;
	s->facts.ended = END_NOT;
	s->facts.ended_us = 0;
	s->facts.parent = 0;
}

/* Its owner goes with it. */
static void end_and_forget(struct vault *v, uint64_t id)
{
	struct vault_change *c;
	size_t n;

	unit_end(v, id);
	c = unit_change(v);
	UNIT_CHECK(vault_prepare_forget(c, UINT64_MAX, 0, 10, &n) == 0 && n == 1, "%zu", n);
	vault_commit(c);
}

START_TEST(any_facts_come_back_beside_many_others)
{
	static struct facts_sample alive[ALIVE];
	struct vault *v = unit_vault(LIMIT_SMALL);
	uint64_t seed = 1;

	for (uint64_t id = 1; id <= 30000; id++) {
		struct facts_sample *s = &alive[id % ALIVE];
		struct token_facts got;

		if (id > ALIVE) {
			token_ref old = vault_find(v, s->facts.id);

			UNIT_CHECK(old, "id %lu is lost", s->facts.id);
			vault_facts(v, old, &got);
			UNIT_CHECK(facts_same(&got, &s->facts), "id %lu is another", s->facts.id);
			end_and_forget(v, s->facts.id);
		}
		fill_active(&seed, id, s);
		vault_facts(v, unit_add(v, s->facts, REF_NONE), &got);
		s->facts.row = id;
		UNIT_CHECK(facts_same(&got, &s->facts), "id %lu is another at once", id);
	}
	unit_done(v);
}
END_TEST

UNIT_MAIN("vault-facts", any_facts_come_back_beside_many_others)
