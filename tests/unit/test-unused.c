/* tests/unit/test-unused.c - ctl/unused.c and ctl/leaked.c's judgement */
#include "ctl/leaked.h"
#include "ctl/unused.h"
#include "protocol/token.h"
#include "tests/unit/unit.h"

enum { N = 40 };

static char ids[N + 1][TOKEN_ID_LEN + 1];

static const char *id(unsigned i)
{
	token_id_write(i * 7919, ids[i]);
	return ids[i];
}

static struct jeton_token token(unsigned i, int parent, int64_t created_us, int64_t used_us)
{
	return (struct jeton_token){ .id = id(i),
				     .name = "t",
				     .parent = parent < 0 ? NULL : id((unsigned)parent),
				     .created_us = created_us,
				     .last_used_us = used_us };
}

START_TEST(issued_and_used_before_is_unused_and_at_that_moment_is_not)
{
	_cleanup_(unused_done)
	struct unused u = { NULL, 0, 0 };
	struct jeton_token tokens[] = {
		token(0, -1, 99, JETON_UNSET),
		token(1, -1, 100, JETON_UNSET),
		token(2, -1, 5, 99),
		token(3, -1, 5, 100),
	};

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++)
		ck_assert_int_eq(unused_note(&u, &tokens[i]), 0);
	unused_judge(&u, 100);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_int_eq(unused_is(&u, id(i)), i % 2 == 0);
	ck_assert(!unused_is(&u, id(9)));
	ck_assert(!unused_is(&u, "no id"));
}
END_TEST

/*
 * Whether i, or anything derived from it, was issued or used at 100 or later: worked out the slow
 * way.
 */
static bool is_used(unsigned i, const int parents[], const int64_t created[], const int64_t used[])
{
	if (created[i] >= 100 || used[i] >= 100)
		return true;
	for (unsigned c = 0; c < N; c++)
		if (parents[c] == (int)i && is_used(c, parents, created, used))
			return true;
	return false;
}

START_TEST(a_use_counts_for_all_that_a_token_was_derived_from)
{
	uint64_t state = 3;

	for (int round = 0; round < 500; round++) {
		_cleanup_(unused_done)
		struct unused u = { NULL, 0, 0 };
		int parents[N];
		int64_t created[N], used[N];

		for (unsigned i = 0; i < N; i++) {
			struct jeton_token t;

			parents[i] =
				i && unit_random(&state) % 4 ? (int)(unit_random(&state) % i) : -1;
			created[i] = (int64_t)(unit_random(&state) % 102);
			used[i] = unit_random(&state) % 3 ? JETON_UNSET
							  : (int64_t)(unit_random(&state) % 102);
			t = token(i, parents[i], created[i], used[i]);
			ck_assert_int_eq(unused_note(&u, &t), 0);
		}
		unused_judge(&u, 100);
		for (unsigned i = 0; i < N; i++)
			ck_assert_int_eq(unused_is(&u, id(i)), !is_used(i, parents, created, used));
	}
}
END_TEST

START_TEST(a_parent_that_is_not_listed_and_a_circle_do_no_harm)
{
	_cleanup_(unused_done)
	struct unused u = { NULL, 0, 0 };
	struct jeton_token tokens[] = { token(0, 1, 200, JETON_UNSET), token(1, 0, 5, 5),
					token(2, 30, 200, 5) };
	struct jeton_token bad = { .id = "not an id" };

	for (size_t i = 0; i < ARRAY_SIZE(tokens); i++)
		ck_assert_int_eq(unused_note(&u, &tokens[i]), 0);
	ck_assert_int_lt(unused_note(&u, &bad), 0);
	unused_judge(&u, 100);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(!unused_is(&u, id(i)));
}
END_TEST

START_TEST(what_ended_before_is_told_from_what_ends_now)
{
	struct jeton_token t = { .state = JETON_STATE_REVOKED, .ended_us = 1000000 };

	ck_assert_int_eq(leaked_of(&t, 1000000), LEAKED_ENDED);
	ck_assert_int_eq(leaked_of(&t, 1001000), LEAKED_ENDED);
	ck_assert_int_eq(leaked_of(&t, 2000000), LEAKED_REVOKED);
	t.state = JETON_STATE_EXPIRED;
	ck_assert_int_eq(leaked_of(&t, 1000000), LEAKED_EXPIRED);
}
END_TEST

UNIT_MAIN("unused", issued_and_used_before_is_unused_and_at_that_moment_is_not,
	  a_use_counts_for_all_that_a_token_was_derived_from,
	  a_parent_that_is_not_listed_and_a_circle_do_no_harm,
	  what_ended_before_is_told_from_what_ends_now)
