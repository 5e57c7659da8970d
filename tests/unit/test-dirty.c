/* tests/unit/test-dirty.c - the ring of used tokens is a queue, whatever its room. */
#include "agent/dirty.h"
#include "tests/unit/unit.h"

START_TEST(ids_come_out_in_the_order_they_went_in)
{
	struct dirty d;
	uint64_t seed = 1, in = 0, out = 0, id;
	size_t tokens = 10;

	ck_assert_int_eq(dirty_init(&d, 100000), 0);
	ck_assert(!dirty_pop(&d, &id) && !dirty_push(&d, 1));
	for (int round = 0; round < 3000; round++) {
		uint64_t n = unit_random(&seed) % 400;

		/* Room grows while the ring is wrapped around in all ways. */
		tokens += unit_random(&seed) % 30;
		UNIT_CHECK(dirty_reserve(&d, tokens) == 0, "no memory");
		for (; n > 0 && in - out < tokens; n--)
			UNIT_CHECK(dirty_push(&d, in++), "no room for %lu", in - out);
		for (n = unit_random(&seed) % 380; n > 0 && out < in; n--) {
			UNIT_CHECK(dirty_pop(&d, &id), "%lu is lost", out);
			UNIT_CHECK(id == out++, "%lu, not %lu", id, out - 1);
		}
	}
	ck_assert_uint_gt(tokens, 16384);
	while (out < in)
		ck_assert(dirty_pop(&d, &id) && id == out++);
	ck_assert(!dirty_pop(&d, &id));
	dirty_done(&d);
}
END_TEST

START_TEST(a_ring_that_is_full_says_so)
{
	struct dirty d;
	uint64_t id;
	size_t n = 0;

	ck_assert_int_eq(dirty_init(&d, 1000), 0);
	ck_assert_int_eq(dirty_reserve(&d, 1000), 0);
	while (dirty_push(&d, n))
		n++;
	ck_assert_uint_ge(n, 1000);
	ck_assert(dirty_pop(&d, &id) && id == 0);
	ck_assert(dirty_push(&d, n) && !dirty_push(&d, n));
	ck_assert_int_lt(dirty_reserve(&d, 1000000), 0);
	for (size_t i = 1; i <= n; i++)
		UNIT_CHECK(dirty_pop(&d, &id) && id == i, "%zu", i);
	dirty_done(&d);
}
END_TEST

UNIT_MAIN("dirty", ids_come_out_in_the_order_they_went_in, a_ring_that_is_full_says_so)
