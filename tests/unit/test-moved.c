/* tests/unit/test-moved.c - ctl/moved.c */
#include "ctl/moved.h"
#include "tests/unit/unit.h"

#define QUIET 60

/* A token as it was last used; by NULL: it was not. */
static struct jeton_token used(const char *by, int64_t at)
{
	return (struct jeton_token){
		.last_used_us = by ? at : JETON_UNSET,
		.last_used_by = by,
	};
}

static void note(struct moved *m, const char *old_by, int64_t old_at, const char *new_by,
		 int64_t new_at)
{
	struct jeton_token old = used(old_by, old_at), successor = used(new_by, new_at);

	ck_assert_int_eq(moved_note(m, &old, &successor), 0);
}

START_TEST(one_user_has_moved_once_it_used_the_new_one_after_the_old_one)
{
	_cleanup_(moved_done) struct moved m = { 0 };

	note(&m, "unit a", 100, NULL, 0);
	ck_assert(!moved_all(&m, 1000, QUIET));
	ck_assert_str_eq(moved_laggard(&m), "unit a");
	note(&m, "unit a", 100, "unit a", 90);
	ck_assert(!moved_all(&m, 1000, QUIET));
	note(&m, "unit a", 100, "unit a", 100);
	ck_assert(!moved_all(&m, 1000, QUIET));
	note(&m, "unit a", 100, "unit a", 101);
	ck_assert(moved_all(&m, 1000, QUIET));
	ck_assert_ptr_null(moved_laggard(&m));
}
END_TEST

START_TEST(everyone_who_was_seen_must_have_moved)
{
	_cleanup_(moved_done) struct moved m = { 0 };

	note(&m, "a", 100, NULL, 0);
	note(&m, "b", 110, NULL, 0);
	note(&m, "b", 110, "b", 120);
	ck_assert(!moved_all(&m, 1000, QUIET));
	ck_assert_str_eq(moved_laggard(&m), "a");
	note(&m, "b", 110, "a", 130);
	ck_assert(moved_all(&m, 1000, QUIET));
	/* Who comes back to the old one has not. */
	note(&m, "b", 140, "a", 130);
	ck_assert(!moved_all(&m, 1000, QUIET));
	note(&m, "b", 140, "b", 150);
	ck_assert(moved_all(&m, 1000, QUIET));
}
END_TEST

START_TEST(others_who_use_the_new_one_do_not_count_for_those_of_the_old_one)
{
	_cleanup_(moved_done) struct moved m = { 0 };

	note(&m, "a", 100, "z", 200);
	ck_assert(!moved_all(&m, 1000, QUIET));
}
END_TEST

START_TEST(instants_that_are_none_make_nobody_move)
{
	_cleanup_(moved_done) struct moved m = { 0 };

	note(&m, "a", INT64_MIN, "b", 200);
	ck_assert(!moved_all(&m, 1000, QUIET));
	ck_assert_str_eq(moved_laggard(&m), "a");
	note(&m, "a", INT64_MIN, "a", INT64_MIN + 1);
	ck_assert(moved_all(&m, 1000, QUIET));
	note(&m, "a", INT64_MAX - 1, "a", INT64_MAX);
	ck_assert(!moved_all(&m, 1000, QUIET));
}
END_TEST

START_TEST(a_use_of_the_old_one_just_now_is_waited_out)
{
	_cleanup_(moved_done) struct moved m = { 0 };

	note(&m, "a", 100, "a", 101);
	ck_assert(!moved_all(&m, 100 + QUIET - 1, QUIET));
	ck_assert(moved_all(&m, 100 + QUIET, QUIET));
}
END_TEST

START_TEST(an_old_one_that_nobody_used_waits_for_the_first_use_of_the_new_one)
{
	_cleanup_(moved_done) struct moved m = { 0 };

	note(&m, NULL, 0, NULL, 0);
	ck_assert(!moved_all(&m, 1000, QUIET));
	ck_assert_ptr_null(moved_laggard(&m));
	note(&m, NULL, 0, "a", 10);
	ck_assert(moved_all(&m, 1000, QUIET));
}
END_TEST

UNIT_MAIN("moved", one_user_has_moved_once_it_used_the_new_one_after_the_old_one,
	  everyone_who_was_seen_must_have_moved,
	  others_who_use_the_new_one_do_not_count_for_those_of_the_old_one,
	  instants_that_are_none_make_nobody_move, a_use_of_the_old_one_just_now_is_waited_out,
	  an_old_one_that_nobody_used_waits_for_the_first_use_of_the_new_one)
