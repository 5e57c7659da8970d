/*
 * tests/unit/test-vault-end.c - how tokens end: by somebody, with their parent, at their time; and
 * after.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/vault-unit.h"

/* ---- ends ------------------------------------------------------------------------------------ */

START_TEST(an_ended_token_is_remembered_by_its_id)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	const struct ended_token *e;
	struct vault_change *c;
	struct token_facts f;
	struct vault_row row;

	unit_add_id(v, 7);
	c = unit_prepare_end(v, vault_find(v, 7), NOW + 5);
	ck_assert(vault_find(v, 7));
	ck_assert(vault_is_busy(v, vault_find(v, 7)));
	ck_assert_ptr_null(vault_find_ended(v, 7));
	f = unit_row(c, 0, &row);
	ck_assert_int_eq(row.kind, STEP_END);
	ck_assert_uint_eq(row.id, 7);
	ck_assert_uint_eq(row.old_version, 1);
	ck_assert_uint_eq(row.version, 2);
	ck_assert_int_eq(f.state, TOKEN_REVOKED);
	ck_assert_int_eq(f.ended, END_OWNER);
	ck_assert_uint_eq(f.ended_us, NOW + 5);
	vault_commit(c);
	ck_assert_uint_eq(vault_find(v, 7), REF_NONE);
	e = vault_find_ended(v, 7);
	ck_assert_ptr_nonnull(e);
	ck_assert_uint_eq(e->row, row.row);
	ck_assert_uint_eq(e->version, 2);
	ck_assert_uint_eq(e->ended_us, NOW + 5);
	ck_assert_uint_eq(e->owner->uid, 1000);
	ck_assert(ended_hash_may_be(e, unit_facts(7).hash));
	ck_assert(!ended_hash_may_be(e, unit_facts(8).hash));
	ck_assert(vault_id_is_taken(v, 7));
	unit_done(v);
}
END_TEST

START_TEST(an_end_rolled_back_leaves_the_token_as_it_was)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = unit_add_id(v, 7);
	struct vault_row row;
	struct vault_change *c = unit_prepare_end(v, ref, NOW);

	ck_assert_uint_eq(vault_next_expiry_us(v), UINT64_MAX);
	vault_rollback(c);
	ck_assert_uint_eq(vault_find(v, 7), ref);
	ck_assert(!vault_is_busy(v, ref));
	ck_assert_uint_eq(vault_next_expiry_us(v), NOW + 30 * DAY);
	ck_assert_uint_eq(vault_n_ended(v), 0);
	c = unit_prepare_end(v, ref, NOW);
	unit_row(c, 0, &row);
	ck_assert_uint_eq(row.old_version, 1);
	vault_commit(c);
	unit_done(v);
}
END_TEST

START_TEST(a_token_that_is_ending_is_not_ended_twice)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = unit_add_id(v, 7);
	struct vault_change *first = unit_prepare_end(v, ref, NOW), *second = unit_change(v);

	ck_assert_int_eq(vault_prepare_end(second, ref, TOKEN_REVOKED, END_OWNER, NOW), -EBUSY);
	vault_rollback(second);
	vault_commit(first);
	unit_done(v);
}
END_TEST

START_TEST(an_end_reaches_a_thousand_generations)
{
	enum { DEPTH = 1000 };
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = unit_add_id(v, 1);
	struct vault_change *c;
	struct vault_row row;

	for (uint64_t id = 2; id <= DEPTH; id++)
		ref = unit_derive(v, id, ref);
	c = unit_prepare_end(v, vault_find(v, 1), NOW);
	ck_assert_uint_eq(vault_change_n(c), DEPTH);
	for (size_t i = 0; i < DEPTH; i++) {
		struct token_facts f = unit_row(c, i, &row);

		UNIT_CHECK(row.id == i + 1 && f.state == TOKEN_REVOKED, "step %zu", i);
		UNIT_CHECK(f.ended == (i == 0 ? END_OWNER : END_PARENT), "step %zu", i);
	}
	vault_commit(c);
	ck_assert_uint_eq(vault_n_active(v), 0);
	ck_assert_uint_eq(vault_n_ended(v), DEPTH);
	unit_done(v);
}
END_TEST

START_TEST(an_end_reaches_all_of_a_wide_tree_and_nothing_beside_it)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref root = unit_add_id(v, 1);
	uint64_t id = 10, seed = 1;
	token_ref refs[500] = { root };
	size_t n = 1;

	unit_add_id(v, 2);
	while (n < ARRAY_SIZE(refs)) {
		refs[n] = unit_derive(v, id++, refs[unit_random(&seed) % n]);
		n++;
	}
	for (int i = 0; i < 50; i++)
		unit_derive(v, id++, vault_find(v, 2));
	unit_end(v, 1);
	ck_assert_uint_eq(vault_n_active(v), 51);
	ck_assert_uint_eq(vault_n_ended(v), n);
	ck_assert_uint_eq(vault_n_children(v, vault_find(v, 2)), 50);
	unit_done(v);
}
END_TEST

START_TEST(what_is_being_derived_ends_with_its_parent)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref parent = unit_add_id(v, 1), child;
	struct vault_change *derive = unit_prepare(v, unit_facts(2), parent, &child);
	struct vault_change *end = unit_prepare_end(v, parent, NOW);

	ck_assert_uint_eq(vault_change_n(end), 2);
	ck_assert_uint_eq(vault_n_children(v, parent), 1);
	vault_commit(derive);
	ck_assert_uint_eq(vault_find(v, 2), child);
	ck_assert(vault_is_busy(v, child));
	vault_commit(end);
	ck_assert_uint_eq(vault_n_active(v), 0);
	ck_assert_ptr_nonnull(vault_find_ended(v, 2));
	unit_done(v);
}
END_TEST

START_TEST(nothing_is_derived_from_what_is_ending)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref parent = unit_add_id(v, 1);
	struct vault_change *end = unit_prepare_end(v, parent, NOW), *c = unit_change(v);
	struct token_facts f = unit_facts(2);

	ck_assert_int_eq(vault_prepare_insert(c, &f, parent, NULL), -EBUSY);
	vault_rollback(c);
	vault_commit(end);
	unit_done(v);
}
END_TEST

START_TEST(a_child_that_ends_leaves_its_parent)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref parent = unit_add_id(v, 1);

	for (uint64_t id = 2; id < 12; id++)
		unit_derive(v, id, parent);
	for (uint64_t id = 2; id < 12; id++) {
		unit_end(v, (id * 7 - 14) % 10 + 2);
		ck_assert_uint_eq(vault_n_children(v, parent), 11 - id);
	}
	unit_end(v, 1);
	unit_done(v);
}
END_TEST

START_TEST(a_parent_and_a_child_may_end_at_once)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref parent = unit_add_id(v, 1), child = unit_derive(v, 2, parent);
	struct vault_change *first, *second;

	unit_derive(v, 3, child);
	first = unit_prepare_end(v, child, NOW);
	second = unit_prepare_end(v, parent, NOW);
	ck_assert_uint_eq(vault_change_n(first), 2);
	/* The child is ending already, and what is below it. */
	ck_assert_uint_eq(vault_change_n(second), 1);
	vault_rollback(second);
	vault_rollback(first);
	ck_assert_uint_eq(vault_n_children(v, parent), 1);
	first = unit_prepare_end(v, child, NOW);
	second = unit_prepare_end(v, parent, NOW);
	vault_commit(first);
	vault_commit(second);
	ck_assert_uint_eq(vault_n_ended(v), 3);
	unit_done(v);
}
END_TEST

/* ---- time ------------------------------------------------------------------------------------ */

START_TEST(tokens_expire_in_order_at_their_time_in_slices)
{
	enum { N = 3000 };
	struct vault *v = unit_vault(LIMIT_SMALL);
	uint64_t seed = 1, last = 0;
	size_t total = 0, n;

	for (uint64_t id = 1; id <= N; id++) {
		struct token_facts f = unit_facts(id);

		/* Many at one time. */
		f.length_us = (1 + unit_random(&seed) % 100) * USEC_PER_SEC;
		f.expires_us = f.created_us + f.length_us;
		unit_add(v, f, REF_NONE);
	}
	while (vault_next_expiry_us(v) != UINT64_MAX) {
		uint64_t now_us = vault_next_expiry_us(v);
		struct vault_change *c = unit_change(v);
		struct vault_row row;

		UNIT_CHECK(now_us >= last, "back in time");
		last = now_us;
		UNIT_CHECK(vault_prepare_expired(c, now_us - 1, 7, &n) == 0 && n == 0, "early");
		UNIT_CHECK(vault_prepare_expired(c, now_us, 7, &n) == 0 && n > 0 && n <= 7, "%zu",
			   n);
		for (size_t i = 0; i < n; i++) {
			struct token_facts f = unit_row(c, i, &row);

			UNIT_CHECK(f.expires_us == now_us && f.ended_us == now_us, "time");
			UNIT_CHECK(f.state == TOKEN_EXPIRED && f.ended == END_EXPIRED, "how");
		}
		total += n;
		vault_commit(c);
	}
	ck_assert_uint_eq(total, N);
	ck_assert_uint_eq(vault_n_active(v), 0);
	unit_done(v);
}
END_TEST

START_TEST(ended_tokens_are_forgotten_by_age_and_by_number)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct vault_change *c = unit_change(v);
	struct vault_row row;
	size_t n;

	for (uint64_t id = 1; id <= 10; id++) {
		unit_add_id(v, id);
		vault_commit(unit_prepare_end(v, vault_find(v, id), NOW + id));
	}
	ck_assert_int_eq(vault_prepare_forget(c, NOW + 3, 1000, 100, &n), 0);
	ck_assert_uint_eq(n, 2);
	unit_row(c, 1, &row);
	ck_assert_int_eq(row.kind, STEP_FORGET);
	ck_assert_uint_eq(row.id, 2);
	ck_assert_uint_eq(row.owner_uid, 1000);
	ck_assert_uint_eq(row.old_version, 2);
	ck_assert_uint_eq(row.version, 0);
	ck_assert_uint_eq(row.n, 0);
	/* Those are on their way; the next ones by number. */
	ck_assert_int_eq(vault_prepare_forget(c, NOW + 3, 5, 2, &n), 0);
	ck_assert_uint_eq(n, 2);
	unit_row(c, 3, &row);
	ck_assert_uint_eq(row.id, 4);
	ck_assert_int_eq(vault_prepare_forget(c, NOW + 3, 5, 2, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_ptr_nonnull(vault_find_ended(v, 1));
	vault_rollback(c);
	ck_assert_uint_eq(vault_n_ended(v), 10);
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_forget(c, NOW + 3, 5, 100, &n), 0);
	ck_assert_uint_eq(n, 5);
	vault_commit(c);
	ck_assert_uint_eq(vault_n_ended(v), 5);
	ck_assert_ptr_null(vault_find_ended(v, 5));
	ck_assert_ptr_nonnull(vault_find_ended(v, 6));
	ck_assert(!vault_id_is_taken(v, 5));
	unit_done(v);
}
END_TEST

/* ---- recalls --------------------------------------------------------------------------------- */

static struct token_facts ended_facts(uint64_t id)
{
	struct token_facts f = unit_facts(id);

	f.state = TOKEN_REVOKED;
	f.ended = END_ADMINISTRATOR;
	f.ended_us = NOW + 3;
	return f;
}

START_TEST(a_recalled_token_is_known_as_ended_and_its_row_says_all_of_it)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct token_facts f = ended_facts(7), read;
	struct vault_change *c = unit_change(v);
	struct vault_row row;

	unit_add_id(v, 5);
	ck_assert_int_eq(vault_prepare_recall(c, &f), 0);
	ck_assert(vault_id_is_taken(v, 7));
	read = unit_row(c, 0, &row);
	ck_assert_int_eq(row.kind, STEP_RECALL);
	ck_assert_uint_eq(row.row, 2);
	ck_assert_uint_eq(row.id, 7);
	ck_assert_uint_eq(row.old_version, 0);
	ck_assert_uint_eq(row.version, 1);
	ck_assert_uint_eq(read.row, 2);
	ck_assert_int_eq(read.ended, END_ADMINISTRATOR);
	vault_commit(c);
	ck_assert_uint_eq(vault_find(v, 7), REF_NONE);
	ck_assert_ptr_nonnull(vault_find_ended(v, 7));
	ck_assert_uint_eq(vault_find_ended(v, 7)->ended_us, NOW + 3);
	ck_assert(ended_hash_may_be(vault_find_ended(v, 7), f.hash));
	ck_assert_uint_eq(vault_n_ended(v), 1);
	unit_done(v);
}
END_TEST

START_TEST(a_recall_rolled_back_leaves_nothing_not_even_its_owner)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct token_facts f = ended_facts(7);
	struct vault_change *c = unit_change(v);

	f.owner_name = SPAN("somebody-else");
	ck_assert_int_eq(vault_prepare_recall(c, &f), 0);
	ck_assert_ptr_nonnull(vault_find_owner(v, 1000, SPAN("somebody-else")));
	vault_rollback(c);
	ck_assert(!vault_id_is_taken(v, 7));
	ck_assert_uint_eq(vault_n_ended(v), 0);
	ck_assert_ptr_null(vault_find_owner(v, 1000, SPAN("somebody-else")));
	ck_assert_uint_eq(unit_owners_freed, 1);
	unit_done(v);
}
END_TEST

START_TEST(a_recalled_token_is_forgotten_as_any)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct token_facts f = ended_facts(7);
	struct vault_change *c = unit_change(v);
	size_t n;

	ck_assert_int_eq(vault_prepare_recall(c, &f), 0);
	vault_commit(c);
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_forget(c, NOW + DAY, 10, 10, &n), 0);
	ck_assert_uint_eq(n, 1);
	vault_commit(c);
	ck_assert(!vault_id_is_taken(v, 7));
	unit_done(v);
}
END_TEST

UNIT_MAIN("vault-end", an_ended_token_is_remembered_by_its_id,
	  an_end_rolled_back_leaves_the_token_as_it_was, a_token_that_is_ending_is_not_ended_twice,
	  an_end_reaches_a_thousand_generations,
	  an_end_reaches_all_of_a_wide_tree_and_nothing_beside_it,
	  what_is_being_derived_ends_with_its_parent, nothing_is_derived_from_what_is_ending,
	  a_child_that_ends_leaves_its_parent, a_parent_and_a_child_may_end_at_once,
	  tokens_expire_in_order_at_their_time_in_slices,
	  ended_tokens_are_forgotten_by_age_and_by_number,
	  a_recalled_token_is_known_as_ended_and_its_row_says_all_of_it,
	  a_recall_rolled_back_leaves_nothing_not_even_its_owner,
	  a_recalled_token_is_forgotten_as_any)
