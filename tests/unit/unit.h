/* tests/unit/unit.h - what every unit test's main does, and texts in a loop. */
#pragma once

#include <check.h>
#include <stdint.h>
#include <stdlib.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/*
 * Runs the tests under the suite's name, as CK_RUN_CASE, CK_VERBOSITY and so on say. Gives main's
 * result.
 */
static inline int unit_run(const char *name, const TTest *const tests[], size_t n)
{
	TCase *tcase = tcase_create(name);
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	/* Loops over properties may be slow under valgrind. */
	tcase_set_timeout(tcase, 300);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tcase, tests[i]);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* UNIT_MAIN("token", first_test, second_test, …) */
#define UNIT_MAIN(name, ...)                                                                       \
	int main(void)                                                                             \
	{                                                                                          \
		const TTest *const tests[] = { __VA_ARGS__ };                                      \
                                                                                                   \
		return unit_run(name, tests, ARRAY_SIZE(tests));                                   \
	}

/*
 * ck_assert_msg for long loops: Check notes each of its own asserts, held or not, with a system
 * call.
 */
#define UNIT_CHECK(held, ...)                                                                      \
	do {                                                                                       \
		if (!(held))                                                                       \
			ck_abort_msg(__VA_ARGS__);                                                 \
	} while (0)

/* A small generator of numbers, the same in each run, so that a failure can be repeated. */
static inline uint64_t unit_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}
