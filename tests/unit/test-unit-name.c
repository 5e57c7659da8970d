/* tests/unit/test-unit-name.c - names of units that are kept, with processes that are but numbers. */
#include "agent/unit-name.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/unit.h"

/* What stands in for the kernel: a pidfd is a number here. */
static struct {
	uint64_t group, group_after; /* 0: the kernel does not tell */
	const char *unit;
	int r;
	unsigned looks;
} the;

uint64_t unit_group(int pidfd)
{
	uint64_t group = the.group;

	(void)pidfd;
	the.group = the.group_after;
	return group;
}

int unit_of_process(int pidfd, uid_t uid, struct unit *ret)
{
	(void)pidfd;
	(void)uid;
	the.looks++;
	if (the.r < 0)
		return the.r;
	*ret = (struct unit){ .group = the.group };
	snprintf(ret->name, sizeof(ret->name), "%s", the.unit);
	return 0;
}

/* What is found of a process in this group, and whether it had to be looked for. */
static const char *find(struct unit_names *names, uint64_t group, const char *unit, int r, bool looked)
{
	const char *name;

	the.group = the.group_after = group;
	the.unit = unit;
	the.r = r;
	the.looks = 0;
	name = unit_names_find(names, 3, (uid_t)-1);
	ck_assert_uint_eq(the.looks, looked);
	return name;
}

START_TEST(the_next_process_of_a_group_is_not_looked_for)
{
	struct unit_names names = { .next = 0 };

	ck_assert_str_eq(find(&names, 7, "app.service", 0, true), "app.service");
	ck_assert_str_eq(find(&names, 7, "other.service", 0, false), "app.service");
	ck_assert_str_eq(find(&names, 8, "other.service", 0, true), "other.service");
	ck_assert_str_eq(find(&names, 7, "other.service", -ESRCH, false), "app.service");
}
END_TEST

START_TEST(that_a_group_is_no_units_is_kept_too)
{
	struct unit_names names = { .next = 0 };

	ck_assert_ptr_null(find(&names, 7, NULL, -ENXIO, true));
	ck_assert_ptr_null(find(&names, 7, "app.service", 0, false));
}
END_TEST

START_TEST(what_may_be_another_next_time_is_looked_for_again)
{
	static const int passing[] = { -ENODATA, -ESRCH, -EREMOTE, -EOPNOTSUPP, -EMFILE, -ENOMEM };
	struct unit_names names = { .next = 0 };

	for (size_t i = 0; i < ARRAY_SIZE(passing); i++) {
		ck_assert_ptr_null(find(&names, 7 + i, NULL, passing[i], true));
		ck_assert_str_eq(find(&names, 7 + i, "app.service", 0, true), "app.service");
	}
}
END_TEST

START_TEST(a_process_that_moved_tells_nothing_of_a_group)
{
	struct unit_names names = { .next = 0 };

	the.group = 7;
	the.group_after = 8;
	the.r = -ENXIO;
	ck_assert_ptr_null(unit_names_find(&names, 3, (uid_t)-1));
	ck_assert_str_eq(find(&names, 7, "app.service", 0, true), "app.service");
	ck_assert_str_eq(find(&names, 8, "other.service", 0, true), "other.service");
}
END_TEST

START_TEST(where_the_kernel_tells_no_group_nothing_is_kept)
{
	struct unit_names names = { .next = 0 };

	ck_assert_str_eq(find(&names, 0, "app.service", 0, true), "app.service");
	ck_assert_str_eq(find(&names, 0, "other.service", 0, true), "other.service");
	ck_assert_ptr_null(find(&names, 0, NULL, -ENXIO, true));
}
END_TEST

START_TEST(of_many_groups_the_last_ones_are_kept)
{
	struct unit_names names = { .next = 0 };
	enum { KEPT = ARRAY_SIZE(names.of) };

	for (uint64_t group = 1; group <= KEPT + 1; group++)
		ck_assert_str_eq(find(&names, group, "app.service", 0, true), "app.service");
	for (uint64_t group = 2; group <= KEPT + 1; group++)
		ck_assert_str_eq(find(&names, group, "other.service", 0, false), "app.service");
	ck_assert_str_eq(find(&names, 1, "other.service", 0, true), "other.service");
}
END_TEST

UNIT_MAIN("unit-name", the_next_process_of_a_group_is_not_looked_for, that_a_group_is_no_units_is_kept_too,
	  what_may_be_another_next_time_is_looked_for_again,
	  a_process_that_moved_tells_nothing_of_a_group, where_the_kernel_tells_no_group_nothing_is_kept,
	  of_many_groups_the_last_ones_are_kept)
