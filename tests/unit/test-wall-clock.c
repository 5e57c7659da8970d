/* tests/unit/test-wall-clock.c - agent/wall-clock.c */
#include "agent/wall-clock.h"
#include "tests/unit/unit.h"

#define S UINT64_C(1000000)
#define HOUR (3600 * S)
#define YEAR (365 * 24 * HOUR)
#define NOW (56 * YEAR)
#define BOOT (10 * HOUR)
#define NEVER UINT64_MAX

static struct wall_clock begun(void)
{
	struct wall_clock w;

	wall_clock_start(&w, NOW, BOOT, NEVER, NOW - HOUR);
	ck_assert(wall_clock_look(&w, NOW, BOOT, 0) == WALL_CLOCK_AS_BEFORE);
	return w;
}

START_TEST(clocks_that_go_on_together_agree_however_long_and_through_any_sleep)
{
	struct wall_clock w = begun();

	for (uint64_t at = 0; at < 3 * YEAR; at = at * 2 + S)
		ck_assert(wall_clock_look(&w, NOW + at, BOOT + at, 0) == WALL_CLOCK_AS_BEFORE);
	ck_assert(!wall_clock_is_doubted(&w));
}
END_TEST

START_TEST(a_drift_that_is_small_at_each_look_is_none)
{
	struct wall_clock w = begun();

	for (uint64_t i = 1; i < 1000; i++)
		ck_assert(wall_clock_look(&w, NOW + i * 601 * S, BOOT + i * S, 0) ==
			  WALL_CLOCK_AS_BEFORE);
}
END_TEST

START_TEST(one_that_goes_ahead_is_told_of_once_and_doubted_until_it_goes_back)
{
	struct wall_clock w = begun();

	ck_assert(wall_clock_look(&w, NOW + YEAR, BOOT, 0) == WALL_CLOCK_AHEAD);
	for (uint64_t at = S; at < HOUR - S; at += 30 * S) {
		ck_assert(wall_clock_look(&w, NOW + YEAR + at, BOOT + at, 0) ==
			  WALL_CLOCK_AS_BEFORE);
		ck_assert(wall_clock_is_doubted(&w));
	}
	ck_assert(wall_clock_look(&w, NOW + HOUR, BOOT + HOUR, 0) == WALL_CLOCK_RIGHT);
	ck_assert(!wall_clock_is_doubted(&w));
}
END_TEST

START_TEST(an_hour_without_being_set_right_confirms_it_and_a_further_step_begins_it_anew)
{
	struct wall_clock w = begun();

	ck_assert(wall_clock_look(&w, NOW + YEAR, BOOT, 0) == WALL_CLOCK_AHEAD);
	ck_assert(wall_clock_look(&w, NOW + 2 * YEAR, BOOT + HOUR / 2, 0) == WALL_CLOCK_AHEAD);
	ck_assert(wall_clock_look(&w, NOW + 2 * YEAR + HOUR, BOOT + HOUR, 0) ==
		  WALL_CLOCK_AHEAD);
	ck_assert(wall_clock_look(&w, NOW + 2 * YEAR + HOUR, BOOT + 2 * HOUR - S, 0) ==
		  WALL_CLOCK_AHEAD);
	ck_assert(wall_clock_look(&w, NOW + 2 * YEAR + 2 * HOUR, BOOT + 3 * HOUR, 0) ==
		  WALL_CLOCK_CONFIRMED);
	ck_assert(wall_clock_look(&w, NOW + 2 * YEAR + 2 * HOUR, BOOT + 3 * HOUR, 0) ==
		  WALL_CLOCK_AS_BEFORE);
}
END_TEST

START_TEST(synchronisation_confirms_it_if_it_came_with_the_step_or_after_it)
{
	struct wall_clock w = begun();

	/* The clock's step and the mark, and only then a look. */
	ck_assert(wall_clock_look(&w, NOW + YEAR + 30 * S, BOOT + 30 * S, NOW + YEAR + 5 * S) ==
		  WALL_CLOCK_CONFIRMED);
	w = begun();
	ck_assert(wall_clock_look(&w, NOW + YEAR, BOOT, NOW - 60 * S) == WALL_CLOCK_AHEAD);
	ck_assert(wall_clock_look(&w, NOW + YEAR, BOOT, NOW - 60 * S) == WALL_CLOCK_AS_BEFORE);
	ck_assert(wall_clock_look(&w, NOW + YEAR + S, BOOT + S, NOW + YEAR + S) ==
		  WALL_CLOCK_CONFIRMED);
	/* A mark of the future was made by another clock. */
	w = begun();
	ck_assert(wall_clock_look(&w, NOW + YEAR, BOOT, NOW + 2 * YEAR) == WALL_CLOCK_AHEAD);
}
END_TEST

START_TEST(one_that_was_lost_is_not_doubted_nor_when_it_is_set_right)
{
	struct wall_clock w = begun();

	ck_assert(wall_clock_look(&w, S, BOOT + S, 0) == WALL_CLOCK_BEHIND);
	ck_assert(!wall_clock_is_doubted(&w));
	ck_assert(wall_clock_look(&w, 2 * S, BOOT + 2 * S, 0) == WALL_CLOCK_AS_BEFORE);
	ck_assert(wall_clock_look(&w, NOW + 3 * S, BOOT + 3 * S, 0) == WALL_CLOCK_RIGHT);
}
END_TEST

START_TEST(a_start_finds_it_ahead_of_ends_that_nobody_saw_to_and_behind_the_last_change)
{
	struct wall_clock w;

	wall_clock_start(&w, NOW, BOOT, NOW - YEAR, NOW - 2 * YEAR);
	ck_assert(wall_clock_look(&w, NOW, BOOT, 0) == WALL_CLOCK_AHEAD);
	wall_clock_start(&w, NOW, BOOT, NOW - HOUR / 5, NOW - 2 * YEAR);
	ck_assert(wall_clock_look(&w, NOW, BOOT, 0) == WALL_CLOCK_AS_BEFORE);
	wall_clock_start(&w, S, BOOT, NOW, NOW - YEAR);
	ck_assert(wall_clock_look(&w, S, BOOT, 0) == WALL_CLOCK_BEHIND);
	/* Synchronised since the machine was started. */
	wall_clock_start(&w, NOW, BOOT, NOW - YEAR, NOW - 2 * YEAR);
	ck_assert(wall_clock_look(&w, NOW, BOOT, NOW - BOOT + S) == WALL_CLOCK_CONFIRMED);
	wall_clock_start(&w, NOW, BOOT, NOW - YEAR, NOW - 2 * YEAR);
	ck_assert(wall_clock_look(&w, NOW, BOOT, NOW - BOOT - 10 * S) == WALL_CLOCK_AHEAD);
}
END_TEST

UNIT_MAIN("wall-clock", clocks_that_go_on_together_agree_however_long_and_through_any_sleep,
	  a_drift_that_is_small_at_each_look_is_none,
	  one_that_goes_ahead_is_told_of_once_and_doubted_until_it_goes_back,
	  an_hour_without_being_set_right_confirms_it_and_a_further_step_begins_it_anew,
	  synchronisation_confirms_it_if_it_came_with_the_step_or_after_it,
	  one_that_was_lost_is_not_doubted_nor_when_it_is_set_right,
	  a_start_finds_it_ahead_of_ends_that_nobody_saw_to_and_behind_the_last_change)
