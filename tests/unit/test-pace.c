/* tests/unit/test-pace.c - ctl/pace.c */
#include <inttypes.h>

#include "ctl/pace.h"
#include "protocol/base/time.h"
#include "tests/unit/unit.h"

#define S USEC_PER_SEC

START_TEST(what_is_wanted_is_due_a_moment_later_and_once)
{
	uint64_t state = 1;

	for (unsigned i = 0; i < 10000; i++) {
		struct pace p;
		uint64_t now = unit_random(&state) % (1000000 * S), due;

		pace_init(&p);
		UNIT_CHECK(p.due_us == PACE_NEVER, "due though nothing is wanted");
		pace_wanted(&p, now, unit_random(&state));
		due = p.due_us;
		UNIT_CHECK(due >= now + S / 2 && due < now + 5 * S / 2, "due after %" PRIu64,
			   due - now);
		pace_wanted(&p, now + S, unit_random(&state));
		UNIT_CHECK(p.due_us == due, "a second change moved it");
		pace_acted(&p, due);
		UNIT_CHECK(p.due_us == PACE_NEVER, "still due");
	}
}
END_TEST

START_TEST(a_thousand_that_hear_the_same_spread_over_two_seconds)
{
	unsigned slots[20] = { 0 };
	uint64_t state = 2;

	for (unsigned i = 0; i < 1000; i++) {
		struct pace p;

		pace_init(&p);
		pace_wanted(&p, 0, unit_random(&state));
		slots[(p.due_us - S / 2) / (S / 10)]++;
	}
	for (unsigned i = 0; i < 20; i++)
		UNIT_CHECK(slots[i] > 20 && slots[i] < 90, "slot %u has %u", i, slots[i]);
}
END_TEST

START_TEST(what_changes_again_and_again_is_acted_on_ever_more_seldom)
{
	uint64_t now = S, state = 3, last = 0, waits[12];
	struct pace p;

	pace_init(&p);
	for (unsigned i = 0; i < ARRAY_SIZE(waits); i++) {
		pace_wanted(&p, now, unit_random(&state));
		now = p.due_us;
		waits[i] = now - last;
		last = now;
		pace_acted(&p, now);
	}
	for (unsigned i = 1; i < ARRAY_SIZE(waits); i++) {
		UNIT_CHECK(waits[i] >= 5 * S, "only %" PRIu64 " between two", waits[i]);
		UNIT_CHECK(waits[i] < 303 * S, "%" PRIu64 " is too long", waits[i]);
	}
	UNIT_CHECK(waits[11] >= 300 * S, "no back-off: %" PRIu64, waits[11]);
	/* After a calm time all is as at first. */
	now += 3600 * S;
	pace_wanted(&p, now, 0);
	UNIT_CHECK(p.due_us == now + S / 2, "not at once");
	pace_acted(&p, p.due_us);
	now = p.acted_us + S;
	pace_wanted(&p, now, 0);
	UNIT_CHECK(p.due_us == p.acted_us + 5 * S + S / 2, "the pause is not the shortest again");
}
END_TEST

START_TEST(what_fails_is_tried_again_at_times_that_double_to_a_limit)
{
	uint64_t now = 0, state = 4;
	struct pace p;

	pace_init(&p);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t least = S << (i < 5 ? i : 5);

		if (least > 30 * S)
			least = 30 * S;
		pace_failed(&p, now, unit_random(&state));
		UNIT_CHECK(p.due_us >= now + least && p.due_us < now + 2 * least,
			   "failure %u: %" PRIu64, i, p.due_us - now);
		now = p.due_us;
	}
	pace_acted(&p, now);
	pace_failed(&p, now, 0);
	UNIT_CHECK(p.due_us == now + S, "a success does not end it");
}
END_TEST

START_TEST(tokens_are_renewed_between_three_fifths_and_two_thirds_of_their_life)
{
	uint64_t state = 5;

	for (unsigned i = 0; i < 10000; i++) {
		uint64_t life = 60 * S + unit_random(&state) % (31536000 * S);
		uint64_t at = pace_renewal_us(7, life, unit_random(&state)) - 7;

		UNIT_CHECK(at >= life / 5 * 3 && at <= life / 3 * 2 + 1, "%" PRIu64 " of %" PRIu64,
			   at, life);
	}
	ck_assert_uint_eq(pace_renewal_us(7, 0, 12345), 7);
	ck_assert_uint_eq(pace_renewal_us(7, 14, 12345), 13);
}
END_TEST

UNIT_MAIN("pace", what_is_wanted_is_due_a_moment_later_and_once,
	  a_thousand_that_hear_the_same_spread_over_two_seconds,
	  what_changes_again_and_again_is_acted_on_ever_more_seldom,
	  what_fails_is_tried_again_at_times_that_double_to_a_limit,
	  tokens_are_renewed_between_three_fifths_and_two_thirds_of_their_life)
