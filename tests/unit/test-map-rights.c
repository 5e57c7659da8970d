/* tests/unit/test-map-rights.c - who is given the verifier's map, and what it tells. */
#include "agent/policy/map-rights.h"

#include <stdio.h>

#include "tests/unit/policy-text.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

enum { CI = 1000, BOB = 1001 };

static char said[1024];

static void say(void *userdata, struct span scope)
{
	size_t n = strlen(said);

	(void)userdata;
	snprintf(said + n, sizeof(said) - n, " %.*s", (int)scope.n, scope.p);
}

static void number(void *userdata, struct policy_id *id, bool group)
{
	(void)userdata;
	id->exists = !group;
	id->id = strcmp(id->text, "ci") == 0 ? CI : BOB;
}

static struct policy *policy_read(const char *text)
{
	const char *mistake = NULL;
	struct policy *p = policy_of(text, &mistake);

	UNIT_CHECK(p, "%s", mistake ? mistake : "");
	policy_each_name(p, number, NULL);
	return p;
}

/* "none", "all", or the scopes, each after a space. */
static const char *rights_text(const struct policy *p, const struct subject *peer)
{
	struct map_rights rights;
	int r = map_rights_of(p, peer, &rights);

	ck_assert_int_ge(r, 0);
	if (r == 0)
		return "none";
	said[0] = 0;
	for (size_t i = 0; i < rights.scopes.n; i++)
		say(NULL, rights.scopes.scopes[i]);
	if (rights.all)
		snprintf(said, sizeof(said), "all%s", rights.scopes.n > 0 ? " and more?" : "");
	map_rights_done(&rights);
	return said;
}

START_TEST(a_map_tells_what_the_sections_with_map_yes_tell_and_nothing_of_the_others)
{
	static const struct {
		const char *policy;
		bool offered;
		const char *rights;
	} rows[] = {
		{ "", false, "none" },
		{ "[Verify]\nUser=ci\n", false, "none" },
		{ "[Verify]\nUser=ci\nMap=no\n", false, "none" },
		{ "[Verify]\nUser=ci\nMap=yes\n", true, "all" },
		{ "[Verify]\nUser=bob\nMap=yes\n", true, "none" },
		{ "[Verify]\nUser=bob\nMap=yes\n[Verify]\nUser=ci\n", true, "none" },
		{ "[Verify]\nUser=ci\nScope=c:d a:b\nMap=yes\n", true, " a:b c:d" },
		{ "[Verify]\nUser=ci\nScope=a:b\nMap=yes\n[Verify]\nUser=ci\n", true, " a:b" },
		{ "[Verify]\nUser=ci\nScope=a:b\nMap=yes\n[Verify]\nUser=*\nScope=a:* x:y\nMap=yes\n",
		  true, " a:* x:y" },
		{ "[Verify]\nUser=ci\nScope=a:b\nMap=yes\n[Verify]\nUser=*\nMap=yes\n", true, "all" },
		{ "[Verify]\nUser=ci\nUnit=a.service\nMap=yes\n", true, "none" },
	};
	const struct subject peer = { .uid = CI };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct policy *p = policy_read(rows[i].policy);

		ck_assert_int_eq(map_is_offered(p), rows[i].offered);
		ck_assert_str_eq(rights_text(p, &peer), rows[i].rights);
		policy_free(p);
	}
}
END_TEST

START_TEST(peers_of_other_users_and_units_have_maps_by_what_matches_them)
{
	struct policy *p = policy_read("[Verify]\nUser=ci\nScope=a:b\nMap=yes\n"
				       "[Verify]\nUnit=api-*.service\nScope=c:d\nMap=yes\n");
	const struct subject ci = { .uid = CI }, bob = { .uid = BOB },
			     api = { .uid = BOB, .unit = "api-1.service" },
			     both = { .uid = CI, .unit = "api-1.service" },
			     elsewhere = { .uid = CI, .no_user = true, .unit = "api-1.service" };

	ck_assert_str_eq(rights_text(p, &ci), " a:b");
	ck_assert_str_eq(rights_text(p, &bob), "none");
	ck_assert_str_eq(rights_text(p, &api), " c:d");
	ck_assert_str_eq(rights_text(p, &both), " a:b c:d");
	ck_assert_str_eq(rights_text(p, &elsewhere), " c:d");
	policy_free(p);
}
END_TEST

static bool are_equal(const char *a, const char *b)
{
	const struct subject peer = { .uid = CI };
	struct policy *p = policy_read(a), *q = policy_read(b);
	struct map_rights x, y;
	bool equal;

	ck_assert_int_eq(map_rights_of(p, &peer, &x), 1);
	ck_assert_int_eq(map_rights_of(q, &peer, &y), 1);
	policy_free(p);
	/* They do not need the policy any more. */
	equal = map_rights_equal(&x, &y) && map_rights_equal(&y, &x);
	ck_assert_int_eq(equal, map_rights_equal(&x, &y) || map_rights_equal(&y, &x));
	map_rights_done(&x);
	map_rights_done(&y);
	policy_free(q);
	return equal;
}

START_TEST(maps_that_tell_the_same_are_one_however_it_is_said)
{
	ck_assert(are_equal("[Verify]\nUser=ci\nMap=yes\nScope=a:b c:d\n",
			    "[Verify]\nUser=*\nMap=yes\nScope=c:d\n[Verify]\nUser=ci\nMap=yes\n"
			    "Scope=a:b\nScope=a:b\n"));
	ck_assert(are_equal("[Verify]\nUser=ci\nMap=yes\nScope=a:* a:b\n",
			    "[Verify]\nUser=ci\nMap=yes\nScope=a:*\n"));
	ck_assert(are_equal("[Verify]\nUser=ci\nMap=yes\n", "[Verify]\nUser=*\nMap=yes\n"));
	ck_assert(!are_equal("[Verify]\nUser=ci\nMap=yes\n", "[Verify]\nUser=ci\nMap=yes\nScope=a:b\n"));
	ck_assert(!are_equal("[Verify]\nUser=ci\nMap=yes\nScope=a:b\n",
			     "[Verify]\nUser=ci\nMap=yes\nScope=a:c\n"));
	ck_assert(!are_equal("[Verify]\nUser=ci\nMap=yes\nScope=a:b\n",
			     "[Verify]\nUser=ci\nMap=yes\nScope=a:b a:c\n"));
}
END_TEST

START_TEST(a_scope_is_cut_to_what_is_told)
{
	static const char *const rows[][3] = {
		{ "", "a/*:*", " a/*:*" },
		{ "Scope=a/b:r\n", "a/*:*", " a/b:r" },
		{ "Scope=a/b:r c:*\n", "**:w", " c:w" },
		{ "Scope=x:y\n", "a:b", "" },
	};
	const struct subject peer = { .uid = CI };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[128];
		struct map_rights rights;
		struct policy *p;

		snprintf(text, sizeof(text), "[Verify]\nUser=ci\nMap=yes\n%s", rows[i][0]);
		p = policy_read(text);
		ck_assert_int_eq(map_rights_of(p, &peer, &rights), 1);
		said[0] = 0;
		map_rights_cut(&rights, span_of(rows[i][1]), say, NULL);
		ck_assert_str_eq(said, rows[i][2]);
		map_rights_done(&rights);
		policy_free(p);
	}
}
END_TEST

SCRATCH_MAIN("map-rights", scratch_make,
	     a_map_tells_what_the_sections_with_map_yes_tell_and_nothing_of_the_others,
	     peers_of_other_users_and_units_have_maps_by_what_matches_them,
	     maps_that_tell_the_same_are_one_however_it_is_said, a_scope_is_cut_to_what_is_told)
