/*
 * tests/unit/test-access-scopes.c - what scopes come of a policy: an owner's reach, and what of it a
 * verifier is told. Held against every scope of a small world.
 */
#include "agent/policy/access.h"

#include <stdio.h>

#include "protocol/scope.h"
#include "tests/unit/policy-text.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

enum { CI = 1000, BOB = 1001, API = 2000, DEV = 2001 };

static const gid_t in_api[] = { 100, API }, in_dev[] = { DEV };

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
		.uid = (id), .groups = in_api, .n_groups = 2, .unit = (u) \
	}
#define CONTAINER(id, u)                                                                   \
	{                                                                                  \
		.uid = (id), .no_user = true, .groups = in_api, .n_groups = 2, .unit = (u) \
	}

/* ---- [Access] -------------------------------------------------------------------------------- */

static const char *joined(const struct span *scopes, size_t n)
{
	static char text[4096];
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s", i > 0 ? " " : "",
				       (int)scopes[i].n, scopes[i].p);
	return text;
}

START_TEST(what_a_user_reaches_adds_up)
{
	static const char policy[] = "[Access]\nUser=ci\nScope=a/p:run a/p:read\n"
				     "[Access]\nUser=ci bob\nScope=a/r:read a/p:read\n"
				     "[Access]\nGroup=api\nScope=api:*\n"
				     "[Access]\nUser=ci\nGroup=dev\nScope=dev/ci:x\n"
				     "[Access]\nUser=nobody-of-that-name 4711\nScope=z:z\n"
				     "[Access]\nUser=*\nScope=all:read\n";
	static const struct {
		struct subject owner;
		const char *reaches;
	} rows[] = {
		{ HOST(CI), "a/p:read a/p:run a/r:read all:read" },
		{ HOST(BOB), "a/p:read a/r:read all:read" },
		{ HOST_API(BOB, NULL), "a/p:read a/r:read all:read api:*" },
		{ HOST(0), "all:read" },
		{ HOST(4711), "all:read z:z" },
		{ { .uid = CI, .groups = in_dev, .n_groups = 1 },
		  "a/p:read a/p:run a/r:read all:read dev/ci:x" },
		{ { .uid = BOB, .groups = in_dev, .n_groups = 1 }, "a/p:read a/r:read all:read" },
		/* the unit plays no part; another pid namespace reaches nothing */
		{ HOST_UNIT(BOB, "x.service"), "a/p:read a/r:read all:read" },
		{ CONTAINER(CI, "x.service"), "" },
	};
	struct policy *p = policy_with_numbers(policy);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct access access;

		ck_assert_int_eq(access_of(p, &rows[i].owner, &access), 0);
		ck_assert_str_eq(joined(access.scopes, access.n), rows[i].reaches);
		access_done(&access);
		access_done(&access);
	}
	policy_free(p);
}
END_TEST

START_TEST(no_scope_stands_within_the_others)
{
	static const char *const pairs[][2] = {
		{ "a:b", "a:b" },
		{ "a:b a:b a:b", "a:b" },
		{ "a:* a:b", "a:*" },
		{ "a:b a:*", "a:*" },
		{ "a/*:r a/b:r a/c:r b/c:r", "a/*:r b/c:r" },
		{ "**:* a:b c/d/e:f *:x", "**:*" },
		{ "a/**:r a/*:r a:r a/b/c:r", "a/**:r" },
		{ "a/**:r a/*/**:r", "a/**:r" },
		{ "a:r a/*/**:r", "a/*/**:r a:r" },
		{ "a:r a/*/**:r a/**:r", "a/**:r" },
		{ "a/*:r */b:r", "*/b:r a/*:r" },
		{ "b:x a:x", "a:x b:x" },
	};
	const struct subject owner = HOST(CI);

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		char text[256];
		struct access access;
		struct policy *p;

		snprintf(text, sizeof(text), "[Access]\nUser=ci\nScope=%s\n", pairs[i][0]);
		p = policy_with_numbers(text);
		ck_assert_int_eq(access_of(p, &owner, &access), 0);
		/* The texts are the access's own. */
		policy_free(p);
		if (strcmp(pairs[i][0], "a:r a/*/**:r a/**:r") == 0)
			ck_assert(strcmp(joined(access.scopes, access.n), pairs[i][1]) == 0 ||
				  strcmp(joined(access.scopes, access.n), "a/*/**:r a:r") == 0);
		else
			ck_assert_str_eq(joined(access.scopes, access.n), pairs[i][1]);
		access_done(&access);
	}
}
END_TEST

/* A random scope of a small world, so that they meet often. */
static size_t random_scope(uint64_t *random, char dst[static 64], bool stars)
{
	static const char *const names[] = { "a", "b", "*" };
	size_t n_names = stars ? 3 : 2, n = 0;
	uint64_t depth = 1 + unit_random(random) % 3;

	for (uint64_t i = 0; i < depth; i++)
		n += (size_t)snprintf(dst + n, 64 - n, "%s%s", i > 0 ? "/" : "",
				      names[unit_random(random) % n_names]);
	if (stars && unit_random(random) % 4 == 0)
		n += (size_t)snprintf(dst + n, 64 - n, "/**");
	n += (size_t)snprintf(dst + n, 64 - n, ":%s", names[unit_random(random) % n_names]);
	return n;
}

/* Every plain scope of that world up to a depth of four, one after the other. False at the end. */
static bool each_plain(unsigned *i, char dst[static 64])
{
	for (unsigned depth = 1, left = (*i)++; depth <= 4; depth++) {
		unsigned count = 2U << depth; /* with the action */

		if (left < count) {
			size_t n = 0;

			for (unsigned j = 0; j < depth; j++)
				n += (size_t)snprintf(dst + n, 64 - n, "%s%c", j > 0 ? "/" : "",
						      left >> j & 1 ? 'a' : 'b');
			snprintf(dst + n, 64 - n, ":%c", left >> depth & 1 ? 'a' : 'b');
			return true;
		}
		left -= count;
	}
	return false;
}

static bool any_matches(const struct span scopes[], size_t n, const char *plain)
{
	for (size_t i = 0; i < n; i++)
		if (scope_matches(scopes[i], span_of(plain)))
			return true;
	return false;
}

static void check_antichain(const struct span scopes[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct span others[64];
		size_t n_others = 0;

		for (size_t j = 0; j < n; j++)
			if (j != i)
				others[n_others++] = scopes[j];
		UNIT_CHECK(!scope_is_within(scopes[i], others, n_others), "%.*s", (int)scopes[i].n,
			   scopes[i].p);
	}
}

START_TEST(the_fewest_scopes_stand_for_all_that_were_given_and_no_more)
{
	uint64_t random = 11;
	struct policy_scope scopes[12];
	struct policy_id user = { .any = true };
	struct policy_access section = { .who = { .users = &user, .n_users = 1 },
					 .scopes = scopes };
	struct policy p = { .access = &section, .n_access = 1 };
	const struct subject owner = HOST(CI);

	for (unsigned round = 0; round < 3000; round++) {
		char texts[ARRAY_SIZE(scopes)][64], plain[64];
		struct span given[ARRAY_SIZE(scopes)];
		struct access access;
		size_t n = unit_random(&random) % (ARRAY_SIZE(scopes) + 1);

		for (size_t i = 0; i < n; i++) {
			given[i] = (struct span){ texts[i], random_scope(&random, texts[i], true) };
			scopes[i].text = texts[i];
		}
		section.n_scopes = n;
		UNIT_CHECK(access_of(&p, &owner, &access) == 0, "memory");
		check_antichain(access.scopes, access.n);
		for (unsigned i = 0; each_plain(&i, plain);)
			UNIT_CHECK(any_matches(access.scopes, access.n, plain) ==
					   any_matches(given, n, plain),
				   "%s", plain);
		for (size_t i = 0; i < n; i++)
			UNIT_CHECK(scope_is_within(given[i], access.scopes, access.n), "%s",
				   texts[i]);
		access_done(&access);
	}
}
END_TEST

/* ---- [Verify] -------------------------------------------------------------------------------- */

struct told {
	char texts[256][SCOPE_MAX];
	struct span scopes[256];
	size_t n;
};

static void on_scope(void *userdata, struct span scope)
{
	struct told *t = userdata;

	memcpy(t->texts[t->n], scope.p, scope.n);
	t->scopes[t->n] = (struct span){ t->texts[t->n], scope.n };
	t->n++;
}

static const char *tells(const struct policy *p, const struct subject *peer, const char *scopes)
{
	static struct told told;
	struct span list[16], rest = span_of(scopes);
	size_t n = 0;

	while (rest.n > 0) {
		const char *space = memchr(rest.p, ' ', rest.n);
		size_t length = space ? (size_t)(space - rest.p) : rest.n;

		list[n++] = (struct span){ rest.p, length };
		length += space ? 1 : 0;
		rest = (struct span){ rest.p + length, rest.n - length };
	}
	told.n = 0;
	verify_tells(p, peer, list, n, on_scope, &told);
	return joined(told.scopes, told.n);
}

START_TEST(a_verifier_is_told_what_its_sections_let_it_know)
{
	static const struct {
		const char *policy;
		const char *access, *told;
	} rows[] = {
		{ "", "a:b c:*", "a:b c:*" },
		{ "[Verify]\nUser=ci\n", "a:b c:*", "a:b c:*" },
		{ "[Verify]\nUser=ci\nScope=a:*\n", "a:b c:*", "a:b" },
		{ "[Verify]\nUser=ci\nScope=a:b\n", "**:*", "a:b" },
		{ "[Verify]\nUser=ci\nScope=**:*\n", "a:b c:*", "a:b c:*" },
		{ "[Verify]\nUser=ci\nScope=x:y\n", "a:b c:*", "" },
		{ "[Verify]\nUser=ci\nScope=a:b\n", "", "" },
		{ "[Verify]\nUser=ci\nScope=a:b c:d\n", "**:*", "a:b c:d" },
		{ "[Verify]\nUser=ci\nScope=a:b\n[Verify]\nUser=*\nScope=c:d\n", "**:*",
		  "a:b c:d" },
		{ "[Verify]\nUser=ci\nScope=a:b\n[Verify]\nUser=*\n", "**:*", "**:*" },
		{ "[Verify]\nUser=ci\nScope=a:b\n[Verify]\nUser=bob\n", "**:*", "a:b" },
		{ "[Verify]\nUser=ci\nScope=a:b\n[Verify]\nUser=bob\nScope=c:d\n", "**:*", "a:b" },
		/* what two sections, or two scopes, give is told once */
		{ "[Verify]\nUser=ci\nScope=a:b a:*\n", "**:*", "a:*" },
		{ "[Verify]\nUser=ci\nScope=a:* a:b\n", "**:*", "a:*" },
		{ "[Verify]\nUser=ci\nScope=a/b:*\n", "a/*:r */b:r", "a/b:r" },
		{ "[Verify]\nUser=ci\nScope=a/*:r */b:r\n", "a/b:r", "a/b:r" },
	};
	const struct subject peer = HOST(CI);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct policy *p = policy_with_numbers(rows[i].policy);

		ck_assert_str_eq(tells(p, &peer, rows[i].access), rows[i].told);
		policy_free(p);
	}
}
END_TEST

START_TEST(a_verifier_is_told_all_of_what_both_have_and_no_more)
{
	uint64_t random = 13;
	struct policy_scope scopes[6];
	struct policy_id user = { .any = true };
	struct policy_verify sections[2] = {
		{ .who = { .users = &user, .n_users = 1 }, .scopes = scopes },
		{ .who = { .users = &user, .n_users = 1 }, .scopes = scopes + 3 },
	};
	struct policy_access access_section = { .who = sections[0].who };
	struct policy p = {
		.access = &access_section, .n_access = 1, .verify = sections, .n_verify = 2
	};
	const struct subject who = HOST(CI);

	for (unsigned round = 0; round < 3000; round++) {
		char texts[12][64], plain[64];
		struct policy_scope owned[6];
		struct span let[6];
		struct access access;
		static struct told told;

		for (size_t i = 0; i < 6; i++) {
			random_scope(&random, texts[i], true);
			let[i] = (struct span){ texts[6 + i],
						random_scope(&random, texts[6 + i], true) };
			owned[i].text = texts[i];
			scopes[i].text = texts[6 + i];
		}
		sections[0].n_scopes = 1 + unit_random(&random) % 3;
		sections[1].n_scopes = 3;
		memmove(let + sections[0].n_scopes, let + 3, 3 * sizeof(*let));
		access_section.scopes = owned;
		access_section.n_scopes = unit_random(&random) % 6;
		UNIT_CHECK(access_of(&p, &who, &access) == 0, "memory");
		told.n = 0;
		verify_tells(&p, &who, access.scopes, access.n, on_scope, &told);
		for (unsigned i = 0; each_plain(&i, plain);)
			UNIT_CHECK(any_matches(told.scopes, told.n, plain) ==
					   (any_matches(access.scopes, access.n, plain) &&
					    any_matches(let, sections[0].n_scopes + 3, plain)),
				   "%s", plain);
		for (size_t i = 0; i < told.n; i++)
			for (size_t j = 0; j < told.n; j++)
				UNIT_CHECK(i == j || !scope_is_within(told.scopes[i],
								      &told.scopes[j], 1),
					   "%.*s %.*s", (int)told.scopes[i].n, told.scopes[i].p,
					   (int)told.scopes[j].n, told.scopes[j].p);
		access_done(&access);
	}
}
END_TEST

SCRATCH_MAIN("access-scopes", scratch_make, what_a_user_reaches_adds_up,
	     no_scope_stands_within_the_others,
	     the_fewest_scopes_stand_for_all_that_were_given_and_no_more,
	     a_verifier_is_told_what_its_sections_let_it_know,
	     a_verifier_is_told_all_of_what_both_have_and_no_more)
