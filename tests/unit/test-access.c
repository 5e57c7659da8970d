/* tests/unit/test-access.c - what a policy decides, by tables of selectors and subjects. */
#include "agent/policy/access.h"

#include <stdio.h>

#include "tests/unit/policy-text.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* ---- selectors ------------------------------------------------------------------------------- */

enum { CI = 1000, BOB = 1001, API = 2000 };

static const gid_t in_api[] = { 0, 100, API };

#define HOST(id)            \
	{                   \
		.uid = (id) \
	}
#define HOST_UNIT(id, u)                 \
	{                                \
		.uid = (id), .unit = (u) \
	}
#define HOST_API(id, u)                                                   \
	{                                                                 \
		.uid = (id), .groups = in_api, .n_groups = 3, .unit = (u) \
	}
#define CONTAINER(id, u)                                                                   \
	{                                                                                  \
		.uid = (id), .no_user = true, .groups = in_api, .n_groups = 3, .unit = (u) \
	}

START_TEST(selectors_of_a_kind_are_alternatives_and_all_kinds_must_hold)
{
	static const struct {
		const char *selectors;
		struct subject who;
		bool matches;
	} rows[] = {
		{ "User=ci", HOST(CI), true },
		{ "User=ci", HOST(BOB), false },
		{ "User=ci", HOST(0), false },
		{ "User=ci bob", HOST(BOB), true },
		{ "User=ci\nUser=bob", HOST(BOB), true },
		{ "User=1001", HOST(BOB), true },
		{ "User=0", HOST(0), true },
		{ "User=*", HOST(4711), true },
		{ "User=*", HOST((uid_t)-1), false }, /* nobody at all */
		{ "User=nobody-of-that-name", HOST(0), false },
		{ "User=nobody-of-that-name ci", HOST(CI), true },
		{ "Group=api", HOST_API(BOB, NULL), true },
		{ "Group=dev", HOST_API(BOB, NULL), false },
		{ "Group=dev api", HOST_API(BOB, NULL), true },
		{ "Group=100", HOST_API(BOB, NULL), true },
		{ "Group=nogroup-of-that-name", HOST_API(0, NULL), false },
		{ "Group=api", HOST(BOB), false },
		{ "Unit=a.service", HOST_UNIT(BOB, "a.service"), true },
		{ "Unit=a.service", HOST_UNIT(BOB, "b.service"), false },
		{ "Unit=a.service", HOST(BOB), false },
		{ "Unit=*", HOST(BOB), false }, /* no unit is not any unit */
		{ "Unit=a.service b.service", HOST_UNIT(BOB, "b.service"), true },
		{ "User=ci\nGroup=api", HOST_API(CI, NULL), true },
		{ "User=ci\nGroup=api", HOST(CI), false },
		{ "User=ci\nGroup=api", HOST_API(BOB, NULL), false },
		{ "User=ci\nUnit=a.service", HOST_UNIT(CI, "a.service"), true },
		{ "User=ci\nUnit=a.service", HOST_UNIT(CI, "b.service"), false },
		{ "User=ci\nUnit=a.service", HOST_UNIT(BOB, "a.service"), false },
		{ "User=ci\nGroup=api\nUnit=a.service", HOST_API(CI, "a.service"), true },
		{ "User=ci\nGroup=api\nUnit=a.service", HOST_API(CI, "b.service"), false },
		/* another pid namespace: by the unit alone, or with Container=yes */
		{ "User=ci", CONTAINER(CI, "a.service"), false },
		{ "User=*", CONTAINER(CI, "a.service"), false },
		{ "User=0", CONTAINER(0, NULL), false },
		{ "Group=api", CONTAINER(CI, "a.service"), false },
		{ "Unit=a.service", CONTAINER(CI, "a.service"), true },
		{ "Unit=a.service", CONTAINER(CI, "b.service"), false },
		{ "Unit=a.service", CONTAINER(CI, NULL), false },
		{ "User=ci\nUnit=a.service", CONTAINER(CI, "a.service"), false },
		{ "User=ci\nContainer=yes", CONTAINER(CI, NULL), true },
		{ "User=ci\nContainer=yes", CONTAINER(BOB, NULL), false },
		{ "User=ci\nContainer=yes", HOST(CI), true },
		{ "User=ci\nContainer=no", CONTAINER(CI, NULL), false },
		{ "Group=api\nContainer=yes", CONTAINER(BOB, NULL), true },
		{ "User=ci\nUnit=a.service\nContainer=yes", CONTAINER(CI, "a.service"), true },
		{ "User=ci\nUnit=a.service\nContainer=yes", CONTAINER(CI, "b.service"), false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];
		struct policy *p;

		snprintf(text, sizeof(text),
			 "[Credential c]\n[Fetch]\nCredential=c\n%s\n[Verify]\n%s\n",
			 rows[i].selectors, rows[i].selectors);
		p = policy_with_numbers(text);
		ck_assert_msg(selector_matches(&p->verify[0].who, &rows[i].who) == rows[i].matches,
			      "row %zu: %s", i, rows[i].selectors);
		ck_assert(verify_is_allowed(p, &rows[i].who) == rows[i].matches);
		ck_assert(fetch_is_allowed(p, &rows[i].who, SPAN("c"), false, NULL) ==
			  rows[i].matches);
		policy_free(p);
	}
}
END_TEST

START_TEST(a_selector_of_nothing_matches_nobody)
{
	const struct policy_selector none = { .container = true };
	const struct subject who = HOST_API(CI, "a.service");

	ck_assert(!selector_matches(&none, &who));
	ck_assert(!selector_has_unit(&none, "a.service"));
}
END_TEST

START_TEST(a_unit_pattern_matches_as_in_a_shell_and_a_name_matches_itself)
{
	static const struct {
		const char *pattern, *unit;
		bool matches;
	} rows[] = {
		{ "a.service", "a.service", true },
		{ "a.service", "A.service", false },
		{ "a.service", "a.service2", false },
		{ "nightly@*.service", "nightly@x.service", true },
		{ "nightly@*.service", "nightly@.service", true },
		{ "nightly@*.service", "nightly@x.service.d", false },
		{ "nightly@*.service", "nightly.service", false },
		{ "*", "anything.scope", true },
		{ "?.service", "a.service", true },
		{ "?.service", "ab.service", false },
		{ "a@[0-9].service", "a@5.service", true },
		{ "a@[0-9].service", "a@x.service", false },
		{ "[!a]*.service", "b.service", true },
		{ "[!a]*.service", "ab.service", false },
		{ "*.service", ".service", true },
		{ "a.b.service", "aXb.service", false }, /* a dot is a dot */
		/* Names with escapes, as systemctl shows them. */
		{ "dev-disk-by\\x2duuid.swap", "dev-disk-by\\x2duuid.swap", true },
		{ "a@b\\x5cc.service", "a@b\\x5cc.service", true },
		{ "dev-disk-by\\x2duuid.swap", "dev-disk-byx2duuid.swap", false },
		{ "dev-*\\x2d*.swap", "dev-disk-by\\x2duuid.swap", true },
		{ "a\\*.service", "a\\b.service", true },
		{ "a\\*.service", "a*.service", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		ck_assert_msg(unit_matches(rows[i].pattern, rows[i].unit) == rows[i].matches,
			      "%s %s", rows[i].pattern, rows[i].unit);
}
END_TEST

START_TEST(every_unit_name_is_a_pattern_that_matches_itself_and_no_other)
{
	static const char alphabet[] = "ab:_.\\-@x2d";
	uint64_t random = 5;

	for (unsigned round = 0; round < 20000; round++) {
		char a[16], b[16];

		for (size_t i = 0; i < sizeof(a) - 1; i++) {
			a[i] = alphabet[unit_random(&random) % (sizeof(alphabet) - 1)];
			b[i] = unit_random(&random) % 8 ? a[i] : 'b';
		}
		a[sizeof(a) - 1] = b[sizeof(b) - 1] = '\0';
		UNIT_CHECK(unit_matches(a, a), "%s", a);
		UNIT_CHECK(unit_matches(a, b) == (strcmp(a, b) == 0), "%s %s", a, b);
	}
}
END_TEST

START_TEST(the_hot_path_is_told_what_it_need_not_know)
{
	static const struct {
		const char *policy;
		bool peer, unit;
	} rows[] = {
		{ "", false, false },
		{ "[Access]\nUser=ci\nScope=a:b\n", false, false },
		{ "[Verify]\nUser=ci\n", true, false },
		{ "[Verify]\nUser=*\n", true, false },
		{ "[Verify]\nUser=ci\n[Verify]\nUnit=a.service\n", true, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct policy *p = policy_with_numbers(rows[i].policy);

		ck_assert(verify_needs_peer(p) == rows[i].peer);
		ck_assert(verify_needs_unit(p) == rows[i].unit);
		policy_free(p);
	}
}
END_TEST

/* ---- [Fetch] --------------------------------------------------------------------------------- */

START_TEST(a_credential_goes_to_whom_a_section_names_and_by_the_unit_alone_on_the_credential_socket)
{
	static const char policy[] = "[Credential m]\n[Credential p]\n[Credential lonely]\n"
				     "[Fetch]\nCredential=m p\nUnit=nightly@*.service\n"
				     "[Fetch]\nCredential=m\nUser=ci\nUnit=cron.service\n"
				     "[Fetch]\nCredential=m\nUser=bob\n";
	static const struct {
		struct subject who;
		const char *credential;
		unsigned by, by_unit; /* the line that decides; 0: refused */
	} rows[] = {
		{ HOST_UNIT(0, "nightly@x.service"), "m", 4, 4 },
		{ HOST_UNIT(0, "nightly@x.service"), "p", 4, 4 },
		{ HOST_UNIT(CI, "cron.service"), "m", 7, 7 },
		{ HOST_UNIT(CI, "cron.service"), "p", 0, 0 },
		{ HOST_UNIT(0, "cron.service"), "m", 0, 7 }, /* systemd asks as root */
		{ HOST_UNIT(CI, "session-1.scope"), "m", 0, 0 },
		{ HOST(CI), "m", 0, 0 },
		{ HOST(BOB), "m", 11, 0 },
		{ HOST_UNIT(BOB, "x.service"), "m", 11, 0 },
		{ HOST(BOB), "p", 0, 0 },
		{ HOST(0), "m", 0, 0 },
		{ HOST_UNIT(0, "nightly@x.service"), "lonely", 0, 0 },
		{ HOST_UNIT(0, "nightly@x.service"), "unknown", 0, 0 },
		{ HOST_UNIT(0, "nightly@x.service"), "", 0, 0 },
		{ CONTAINER(CI, "nightly@x.service"), "m", 4, 4 },
		{ CONTAINER(CI, "cron.service"), "m", 0, 7 },
	};
	struct policy *p = policy_with_numbers(policy);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct policy_fetch *by;

		ck_assert(fetch_is_allowed(p, &rows[i].who, span_of(rows[i].credential), false,
					   &by) == (rows[i].by != 0));
		ck_assert_uint_eq(by ? by->place.line : 0, rows[i].by);
		ck_assert(fetch_is_allowed(p, &rows[i].who, span_of(rows[i].credential), true,
					   &by) == (rows[i].by_unit != 0));
		ck_assert_uint_eq(by ? by->place.line : 0, rows[i].by_unit);
	}
	policy_free(p);
}
END_TEST

START_TEST(credentials_are_found_by_their_whole_name)
{
	struct policy *p = policy_with_numbers(
		"[Credential b]\n[Credential a]\n[Credential ab]\n[Credential a.b]\n"
		"[Fetch]\nCredential=a\nUser=ci\n[Fetch]\nCredential=b\nUnit=u.service\n");
	struct policy *empty = policy_new_empty();

	ck_assert_uint_eq(policy_find_credential(p, SPAN("a"))->place.line, 2);
	ck_assert_uint_eq(policy_find_credential(p, SPAN("ab"))->place.line, 3);
	ck_assert_uint_eq(policy_find_credential(p, SPAN("a.b"))->place.line, 4);
	ck_assert_uint_eq(policy_find_credential(p, SPAN("b"))->place.line, 1);
	ck_assert_ptr_null(policy_find_credential(p, SPAN("")));
	ck_assert_ptr_null(policy_find_credential(p, SPAN_NONE));
	ck_assert_ptr_null(policy_find_credential(p, SPAN("A")));
	ck_assert_ptr_null(policy_find_credential(p, SPAN("abc")));
	ck_assert_ptr_null(policy_find_credential(p, SPAN("a\0b")));
	ck_assert_ptr_null(policy_find_credential(empty, SPAN("a")));

	ck_assert(!fetch_needs_unit(p, SPAN("a")));
	ck_assert(fetch_needs_unit(p, SPAN("b")));
	ck_assert(!fetch_needs_unit(p, SPAN("ab")));
	ck_assert(fetch_needs_unit(p, SPAN_NONE));
	ck_assert(!fetch_needs_unit(empty, SPAN_NONE));
	policy_free(p);
	policy_free(empty);
}
END_TEST

START_TEST(a_policy_that_says_nothing_gives_nothing_but_verify)
{
	struct policy *p = policy_new_empty();
	const struct subject who = HOST_API(0, "a.service"), container = CONTAINER(0, NULL);
	struct access access;

	ck_assert_int_eq(access_of(p, &who, &access), 0);
	ck_assert_uint_eq(access.n, 0);
	access_done(&access);
	ck_assert(!fetch_is_allowed(p, &who, SPAN("a"), false, NULL));
	ck_assert(!fetch_is_allowed(p, &who, SPAN("a"), true, NULL));
	ck_assert(verify_is_allowed(p, &who));
	ck_assert(verify_is_allowed(p, &container));
	policy_free(p);
}
END_TEST

SCRATCH_MAIN(
	"access", scratch_make, selectors_of_a_kind_are_alternatives_and_all_kinds_must_hold,
	a_selector_of_nothing_matches_nobody,
	a_unit_pattern_matches_as_in_a_shell_and_a_name_matches_itself,
	every_unit_name_is_a_pattern_that_matches_itself_and_no_other,
	the_hot_path_is_told_what_it_need_not_know,
	a_credential_goes_to_whom_a_section_names_and_by_the_unit_alone_on_the_credential_socket,
	credentials_are_found_by_their_whole_name,
	a_policy_that_says_nothing_gives_nothing_but_verify)
