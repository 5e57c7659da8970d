/* tests/unit/test-vault-change.c - rotations and uses: seen when durable, undone when not. */
#include <errno.h>
#include <string.h>

#include "tests/unit/vault-unit.h"

/* ---- rotation -------------------------------------------------------------------------------- */

static struct vault_change *prepare_rotation(struct vault *v, uint64_t id, uint64_t by,
					     uint64_t expires_us)
{
	struct vault_change *c = unit_change(v);
	struct token_facts f = unit_facts(by);

	UNIT_CHECK(vault_prepare_insert(c, &f, REF_NONE, NULL) == 0, "insert failed");
	UNIT_CHECK(vault_prepare_replace(c, vault_find(v, id), by, expires_us) == 0,
		   "replace failed");
	return c;
}

START_TEST(a_rotation_cuts_the_life_of_a_token_and_of_what_was_derived_from_it)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref old = unit_add_id(v, 1), child = unit_derive(v, 2, old), brief;
	struct token_facts f = unit_facts(3), got;
	struct vault_change *c;
	struct vault_row row;
	uint64_t cut = NOW + DAY;

	f.expires_us = NOW + 60 * USEC_PER_SEC;
	f.length_us = 60 * USEC_PER_SEC;
	brief = unit_add(v, f, child);
	c = prepare_rotation(v, 1, 4, cut);
	/* The new one, the old one, and the child; not what ends before. */
	ck_assert_uint_eq(vault_change_n(c), 3);
	got = unit_row(c, 1, &row);
	ck_assert_int_eq(row.kind, STEP_UPDATE);
	ck_assert_uint_eq(row.version, row.old_version + 1);
	ck_assert_uint_eq(got.replaced_by, 4);
	ck_assert_uint_eq(got.expires_us, cut);
	ck_assert_uint_eq(got.length_us, 30 * DAY);
	ck_assert_uint_eq(got.created_us, NOW);
	ck_assert(vault_is_busy(v, old) && vault_is_busy(v, child) && !vault_is_busy(v, brief));
	vault_commit(c);
	ck_assert(!vault_is_busy(v, old) && !vault_is_busy(v, child));
	ck_assert_uint_eq(vault_expires_us(v, old), cut);
	ck_assert_uint_eq(vault_expires_us(v, child), cut);
	ck_assert_uint_eq(vault_next_expiry_us(v), f.expires_us);
	unit_done(v);
}
END_TEST

START_TEST(a_rotation_rolled_back_gives_back_the_whole_life)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref old = unit_add_id(v, 1), child = unit_derive(v, 2, old);
	struct token_facts f;

	vault_rollback(prepare_rotation(v, 1, 4, NOW + DAY));
	vault_facts(v, old, &f);
	ck_assert_uint_eq(f.expires_us, NOW + 30 * DAY);
	ck_assert_uint_eq(f.replaced_by, 0);
	ck_assert_uint_eq(vault_expires_us(v, child), NOW + 30 * DAY);
	ck_assert_uint_eq(vault_next_expiry_us(v), NOW + 30 * DAY);
	ck_assert(!vault_is_busy(v, old) && !vault_is_busy(v, child));
	ck_assert(!vault_id_is_taken(v, 4));
	unit_done(v);
}
END_TEST

START_TEST(a_rotation_does_not_lengthen_a_life)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref old = unit_add_id(v, 1);

	vault_commit(prepare_rotation(v, 1, 2, NOW + 60 * DAY));
	ck_assert_uint_eq(vault_expires_us(v, old), NOW + 30 * DAY);
	unit_done(v);
}
END_TEST

START_TEST(what_is_cut_short_says_so_when_it_ends)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	static const struct {
		uint64_t id;
		enum token_state state;
		enum end_reason reason;
	} expected[] = {
		/* Children before parents; who ends at its own time is just expired. */
		{ 3, TOKEN_EXPIRED, END_EXPIRED },
		{ 2, TOKEN_REVOKED, END_PARENT },
		{ 1, TOKEN_EXPIRED, END_ROTATED },
	};
	token_ref child = unit_derive(v, 2, unit_add_id(v, 1));
	struct token_facts f = unit_facts(3);
	struct vault_change *c;
	struct vault_row row;
	size_t n;

	f.expires_us = NOW + DAY;
	f.length_us = DAY;
	unit_add(v, f, child);
	vault_commit(prepare_rotation(v, 1, 4, NOW + DAY));
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_expired(c, NOW + DAY - 1, 10, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(vault_prepare_expired(c, NOW + DAY, 10, &n), 0);
	ck_assert_uint_eq(n, 3);
	for (size_t i = 0; i < 3; i++) {
		f = unit_row(c, i, &row);
		ck_assert_uint_eq(f.id, expected[i].id);
		ck_assert_int_eq(f.state, expected[i].state);
		ck_assert_int_eq(f.ended, expected[i].reason);
		ck_assert_uint_eq(f.ended_us, NOW + DAY);
	}
	vault_commit(c);
	ck_assert_uint_eq(vault_n_active(v), 1);
	unit_done(v);
}
END_TEST

START_TEST(a_token_being_rotated_is_busy_with_all_above_it)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref parent = unit_add_id(v, 1);
	struct vault_change *rotation, *c;

	unit_derive(v, 2, parent);
	rotation = prepare_rotation(v, 2, 3, NOW + DAY);
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_end(c, vault_find(v, 2), TOKEN_REVOKED, END_OWNER, NOW),
			 -EBUSY);
	ck_assert_int_eq(vault_prepare_end(c, parent, TOKEN_REVOKED, END_OWNER, NOW), -EBUSY);
	ck_assert_int_eq(vault_prepare_replace(c, vault_find(v, 2), 9, NOW), -EBUSY);
	ck_assert_int_eq(vault_prepare_replace(c, parent, 9, NOW), -EBUSY);
	ck_assert_uint_eq(vault_change_n(c), 0);
	vault_commit(rotation);
	ck_assert_int_eq(vault_prepare_end(c, parent, TOKEN_REVOKED, END_OWNER, NOW), 0);
	ck_assert_uint_eq(vault_change_n(c), 2);
	vault_commit(c);
	ck_assert_uint_eq(vault_n_active(v), 1);
	unit_done(v);
}
END_TEST

START_TEST(a_rotation_without_grace_replaces_and_ends_in_one_change)
{
	for (int committed = 0; committed < 2; committed++) {
		struct vault *v = unit_vault(LIMIT_SMALL);
		token_ref old = unit_add_id(v, 1);
		struct token_facts f = {};
		struct vault_change *c;
		struct vault_row row;

		unit_derive(v, 2, old);
		c = prepare_rotation(v, 1, 3, NOW);
		ck_assert_int_eq(vault_prepare_end(c, old, TOKEN_REVOKED, END_ROTATED, NOW), 0);
		ck_assert_uint_eq(vault_change_n(c), 5);
		f = unit_row(c, 3, &row);
		ck_assert_uint_eq(f.id, 1);
		ck_assert_uint_eq(f.replaced_by, 3);
		ck_assert_int_eq(f.ended, END_ROTATED);
		ck_assert_uint_eq(row.old_version, 2);
		ck_assert_uint_eq(row.version, 3);
		if (committed) {
			vault_commit(c);
			ck_assert_uint_eq(vault_n_active(v), 1);
			ck_assert_uint_eq(vault_n_ended(v), 2);
		} else {
			vault_rollback(c);
			ck_assert_uint_eq(vault_n_active(v), 2);
			ck_assert_uint_eq(vault_expires_us(v, old), NOW + 30 * DAY);
		}
		unit_done(v);
	}
}
END_TEST

/* ---- uses ------------------------------------------------------------------------------------ */

static token_ref add_with_uses(struct vault *v, uint64_t id, int64_t uses)
{
	struct token_facts f = unit_facts(id);

	f.uses_left = uses;
	return unit_add(v, f, REF_NONE);
}

START_TEST(the_last_use_goes_to_one_caller_only)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = add_with_uses(v, 1, 1);
	struct vault_change *first = unit_change(v), *second = unit_change(v);
	struct token_facts f;
	struct vault_row row;
	int64_t left = -5;

	ck_assert_int_eq(vault_prepare_use(first, ref, NOW, SPAN("a"), &left), 0);
	ck_assert_int_eq(left, 0);
	for (int i = 0; i < 64; i++)
		ck_assert_int_eq(vault_prepare_use(second, ref, NOW, SPAN("b"), &left), -ENOENT);
	ck_assert_uint_eq(vault_change_n(second), 0);
	f = unit_row(first, 0, &row);
	ck_assert_int_eq(row.kind, STEP_END);
	ck_assert_int_eq(f.uses_left, 0);
	ck_assert_int_eq(f.state, TOKEN_REVOKED);
	ck_assert_int_eq(f.ended, END_USES);
	ck_assert_uint_eq(f.last_used_us, NOW);
	ck_assert(vault_is_busy(v, ref));
	vault_commit(first);
	ck_assert_uint_eq(vault_n_active(v), 0);
	ck_assert_ptr_nonnull(vault_find_ended(v, 1));
	vault_rollback(second);
	unit_done(v);
}
END_TEST

START_TEST(a_use_rolled_back_is_given_back)
{
	struct vault *v = unit_vault(LIMIT_SMALL);

	for (int64_t uses = 1; uses < 4; uses++) {
		token_ref ref = add_with_uses(v, (uint64_t)uses, uses);
		struct vault_change *c = unit_change(v);
		struct token_facts before, after;
		int64_t left;

		vault_used(v, ref, NOW - DAY, SPAN("before"));
		vault_facts(v, ref, &before);
		ck_assert_int_eq(vault_prepare_use(c, ref, NOW, SPAN("now"), &left), 0);
		ck_assert_int_eq(left, uses - 1);
		ck_assert_int_eq(vault_uses_left(v, ref), uses - 1);
		vault_rollback(c);
		vault_facts(v, ref, &after);
		ck_assert_int_eq(after.uses_left, uses);
		ck_assert_uint_eq(after.last_used_us, before.last_used_us);
		ck_assert(span_is(after.last_used_by, "before"));
		ck_assert(!vault_is_busy(v, ref));
	}
	unit_done(v);
}
END_TEST

START_TEST(uses_are_counted_while_others_are_under_way)
{
	enum { USES = 64 };
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = add_with_uses(v, 1, USES);
	struct vault_change *c[USES];
	struct vault_row row;
	int64_t left;

	for (int i = 0; i < USES; i++) {
		c[i] = unit_change(v);
		ck_assert_int_eq(vault_prepare_use(c[i], ref, NOW, SPAN("a"), &left), 0);
		ck_assert_int_eq(left, USES - 1 - i);
		ck_assert_int_eq(unit_row(c[i], 0, &row).uses_left, left);
		ck_assert_uint_eq(row.old_version, 1 + (unsigned)i);
		/* Only the last one is more than counting. */
		ck_assert_int_eq(vault_is_busy(v, ref), i == USES - 1);
	}
	for (int i = 0; i < USES / 2; i++)
		vault_commit(c[i]);
	for (int i = USES; i-- > USES / 2;)
		vault_rollback(c[i]);
	ck_assert_int_eq(vault_uses_left(v, ref), USES / 2);
	unit_done(v);
}
END_TEST

START_TEST(a_token_that_is_ending_is_not_used)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = add_with_uses(v, 1, 5);
	struct vault_change *end = unit_prepare_end(v, ref, NOW), *c = unit_change(v);
	int64_t left;

	ck_assert_int_eq(vault_prepare_use(c, ref, NOW, SPAN("a"), &left), -EBUSY);
	vault_rollback(c);
	vault_commit(end);
	unit_done(v);
}
END_TEST

/* ---- last uses ------------------------------------------------------------------------------- */

static size_t prepare_last_used(struct vault_change *c, size_t max)
{
	size_t n;

	UNIT_CHECK(vault_prepare_last_used(c, max, &n) == 0, "no memory");
	UNIT_CHECK(n == vault_change_n(c), "%zu of %zu", n, vault_change_n(c));
	return n;
}

START_TEST(a_use_is_noted_once_for_the_store)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = unit_add_id(v, 1);
	struct vault_change *c = unit_change(v);
	struct vault_row row;
	struct token_facts f;

	ck_assert_uint_eq(prepare_last_used(c, 10), 0);
	for (int i = 0; i < 100; i++)
		vault_used(v, ref, NOW + 999999, i % 2 ? SPAN("a") : SPAN("b"));
	ck_assert_uint_eq(prepare_last_used(c, 10), 1);
	f = unit_row(c, 0, &row);
	ck_assert_int_eq(row.kind, STEP_UPDATE);
	ck_assert_uint_eq(f.last_used_us, NOW);
	ck_assert(span_is(f.last_used_by, "a"));
	/* No reason for anyone to wait. */
	ck_assert(!vault_is_busy(v, ref));
	vault_used(v, ref, NOW + DAY, SPAN_NONE);
	vault_commit(c);
	c = unit_change(v);
	ck_assert_uint_eq(prepare_last_used(c, 10), 1);
	f = unit_row(c, 0, &row);
	ck_assert_uint_eq(f.last_used_us, NOW + DAY);
	ck_assert_ptr_null(f.last_used_by.p);
	ck_assert_uint_eq(row.old_version, 2);
	vault_rollback(c);
	/* What did not reach the store comes again. */
	c = unit_change(v);
	ck_assert_uint_eq(prepare_last_used(c, 10), 1);
	vault_commit(c);
	unit_done(v);
}
END_TEST

START_TEST(uses_of_many_tokens_come_in_slices_and_all)
{
	enum { N = 5000 };
	struct vault *v = unit_vault(LIMIT_SMALL);
	static unsigned seen[N];
	size_t n = 0, got;

	memset(seen, 0, sizeof(seen));
	for (uint64_t id = 0; id < N; id++)
		vault_used(v, unit_add_id(v, id + 1), NOW, SPAN("a"));
	do {
		struct vault_change *c = unit_change(v);
		struct vault_row row;

		got = prepare_last_used(c, 64);
		for (size_t i = 0; i < got; i++) {
			unit_row(c, i, &row);
			seen[row.id - 1]++;
		}
		n += got;
		vault_commit(c);
	} while (got == 64);
	ck_assert_uint_eq(n, N);
	for (size_t i = 0; i < N; i++)
		UNIT_CHECK(seen[i] == 1, "%zu: %u", i, seen[i]);
	unit_done(v);
}
END_TEST

START_TEST(a_use_of_a_token_that_ends_is_in_its_end)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = unit_add_id(v, 1);
	struct vault_change *end, *c;
	struct vault_row row;

	vault_used(v, ref, NOW + DAY, SPAN("a"));
	end = unit_prepare_end(v, ref, NOW);
	ck_assert_uint_eq(unit_row(end, 0, &row).last_used_us, NOW + DAY);
	c = unit_change(v);
	ck_assert_uint_eq(prepare_last_used(c, 10), 0);
	vault_rollback(c);
	/* Without the end it is due again. */
	vault_rollback(end);
	c = unit_change(v);
	ck_assert_uint_eq(prepare_last_used(c, 10), 1);
	vault_commit(c);
	unit_done(v);
}
END_TEST

UNIT_MAIN("vault-change", a_rotation_cuts_the_life_of_a_token_and_of_what_was_derived_from_it,
	  a_rotation_rolled_back_gives_back_the_whole_life, a_rotation_does_not_lengthen_a_life,
	  what_is_cut_short_says_so_when_it_ends, a_token_being_rotated_is_busy_with_all_above_it,
	  a_rotation_without_grace_replaces_and_ends_in_one_change,
	  the_last_use_goes_to_one_caller_only, a_use_rolled_back_is_given_back,
	  uses_are_counted_while_others_are_under_way, a_token_that_is_ending_is_not_used,
	  a_use_is_noted_once_for_the_store, uses_of_many_tokens_come_in_slices_and_all,
	  a_use_of_a_token_that_ends_is_in_its_end)
