/*
 * tests/unit/test-explain.c - what is said of a decision: always the one that is taken, and the
 * line that counts.
 */
#include "agent/policy/explain.h"

#include <stdio.h>

#include "tests/unit/policy-text.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

enum { CI = 1000, BOB = 1001, API = 2000 };

static const gid_t in_api[] = { 100, API };

#define HOST(id, u)                      \
	{                                \
		.uid = (id), .unit = (u) \
	}
#define HOST_API(id, u)                                                   \
	{                                                                 \
		.uid = (id), .groups = in_api, .n_groups = 2, .unit = (u) \
	}
#define CONTAINER(id, u)                                  \
	{                                                 \
		.uid = (id), .no_user = true, .unit = (u) \
	}

/*
 * The lines, each ended by a newline, where P stands for the policy's file; with yes or no before
 * them.
 */
static const char *text_of(const struct explanation *e)
{
	static char text[4096];
	const char *path = scratch_path("one.policy");
	size_t n = 0, n_path = strlen(path);

	n += (size_t)snprintf(text, sizeof(text), "%s\n", e->allowed ? "yes" : "no");
	for (size_t i = 0; i < e->n; i++) {
		const char *line = e->lines[i];
		bool at_path = strncmp(line, path, n_path) == 0;

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s\n", at_path ? "P" : "",
				      line + (at_path ? n_path : 0));
	}
	return text;
}

static const char *who_text(uid_t uid)
{
	return uid == CI ? "user ci (uid 1000)" : uid == BOB ? "user bob (uid 1001)" : "uid 4711";
}

START_TEST(a_fetch_is_explained_by_its_line_or_by_the_nearest_and_what_of_it_does_not_hold)
{
	static const char policy[] =
		"[Credential modulos]\n"					       /* 1 */
		"[Credential pipeline]\nKind=minted\nOwner=ci\n"		       /* 2 */
		"[Credential ghost]\nKind=minted\nOwner=gone\n"			       /* 5 */
		"[Credential lonely]\n"						       /* 8 */
		"[Fetch]\nCredential=modulos pipeline ghost\nUnit=nightly@*.service\n" /* 9 */
		"[Fetch]\nCredential=modulos\nUser=ci\nUnit=cron.service\n"	       /* 12 */
		"[Fetch]\nCredential=pipeline\nGroup=api dev nope\nContainer=yes\n";   /* 16 */
	static const struct {
		struct subject who;
		const char *credential, *said;
	} rows[] = {
		{ HOST(CI, "cron.service"), "modulos",
		  "yes\n"
		  "P:12 [Fetch] lets user ci (uid 1000) have it\n"
		  "P:1 [Credential modulos] is a held one\n" },
		{ HOST(CI, "nightly@x.service"), "pipeline",
		  "yes\n"
		  "P:9 [Fetch] lets user ci (uid 1000) have it\n"
		  "P:2 [Credential pipeline] is minted for user ci\n" },
		{ HOST(CI, "nightly@x.service"), "ghost",
		  "yes\n"
		  "P:9 [Fetch] lets user ci (uid 1000) have it\n"
		  "P:5 [Credential ghost] is minted for user gone, which does not exist: there "
		  "will be no token\n" },
		{ HOST(CI, "night.service"), "modulos",
		  "no\n"
		  "P:9 [Fetch] comes nearest, but the unit is night.service, not "
		  "nightly@*.service\n"
		  "P:1 [Credential modulos] is a held one\n" },
		{ HOST(BOB, "cron.service"), "modulos",
		  "no\n"
		  "P:9 [Fetch] comes nearest, but the unit is cron.service, not nightly@*.service\n"
		  "P:12 [Fetch] lets systemd load it for unit cron.service (LoadCredential=), "
		  "where the unit alone "
		  "counts\n"
		  "P:1 [Credential modulos] is a held one\n" },
		{ HOST_API(BOB, NULL), "pipeline",
		  "yes\n"
		  "P:16 [Fetch] lets user bob (uid 1001) have it\n"
		  "P:2 [Credential pipeline] is minted for user ci\n" },
		{ HOST(BOB, NULL), "ghost",
		  "no\n"
		  "P:9 [Fetch] comes nearest, but it is in no unit that is known, and would have "
		  "to be in "
		  "nightly@*.service\n"
		  "P:5 [Credential ghost] is minted for user gone, which does not exist: there "
		  "will be no token\n" },
		{ HOST(CI, NULL), "lonely",
		  "no\n"
		  "no [Fetch] section names credential 'lonely'\n"
		  "P:8 [Credential lonely] is a held one\n" },
		{ HOST(CI, NULL), "modulo",
		  "no\nno file defines credential 'modulo'; did you mean 'modulos'?\n" },
		{ HOST(CI, NULL), "else", "no\nno file defines credential 'else'\n" },
		{ HOST(CI, NULL), "\033[31m", "no\nno file defines a credential of that name\n" },
		{ HOST(CI, NULL), "", "no\nno file defines credential ''\n" },
	};
	struct policy *p = policy_with_numbers(policy);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct explanation e;

		ck_assert_int_eq(explain_fetch(p, &rows[i].who, who_text(rows[i].who.uid),
					       span_of(rows[i].credential), &e),
				 0);
		ck_assert_str_eq(text_of(&e), rows[i].said);
		explanation_done(&e);
		explanation_done(&e);
	}
	policy_free(p);
}
END_TEST

START_TEST(what_does_not_hold_is_told_for_each_kind)
{
	static const struct {
		const char *selectors;
		struct subject who;
		const char *said;
	} rows[] = {
		{ "User=ci\nUnit=cron.service", HOST(CI, "nightly@x.service"),
		  "P:3 [Fetch] lets user ci have it, but the unit is nightly@x.service, not "
		  "cron.service\n" },
		{ "User=ci\nUnit=cron.service", HOST(CI, NULL),
		  "P:3 [Fetch] lets user ci have it, but it is in no unit that is known, and would "
		  "have to be in "
		  "cron.service\n" },
		{ "User=ci\nUnit=cron.service", HOST(BOB, "x.service"),
		  "P:3 [Fetch] comes nearest, but user bob (uid 1001) is not user ci, and the unit "
		  "is x.service, not "
		  "cron.service\n" },
		{ "User=*\nUnit=cron.service", HOST(BOB, "x.service"),
		  "P:3 [Fetch] lets any user have it, but the unit is x.service, not "
		  "cron.service\n" },
		{ "User=ci gone", HOST(BOB, NULL),
		  "P:3 [Fetch] comes nearest, but user bob (uid 1001) is not user ci or gone "
		  "(which does not exist)\n" },
		{ "User=1 2 3 4 5 6", HOST(BOB, NULL),
		  "P:3 [Fetch] comes nearest, but user bob (uid 1001) is not user 1, 2, 3, 4 or 2 "
		  "more\n" },
		{ "Group=api\nUser=bob", HOST(BOB, NULL),
		  "P:3 [Fetch] lets user bob have it, but user bob (uid 1001) is not in group "
		  "api\n" },
		{ "Group=api\nUser=ci\nUnit=a.service b.service c.service",
		  HOST_API(CI, "x.service"),
		  "P:3 [Fetch] lets user ci in group api have it, but the unit is x.service, not "
		  "a.service, b.service or "
		  "c.service\n" },
		{ "Group=api\nUnit=a.service\nUser=bob", HOST_API(CI, "a.service"),
		  "P:3 [Fetch] lets group api from unit a.service have it, but user ci (uid 1000) "
		  "is not user bob\n"
		  "P:3 [Fetch] lets systemd load it for unit a.service (LoadCredential=), where "
		  "the unit alone counts\n" },
		{ "User=ci", CONTAINER(CI, NULL),
		  "P:3 [Fetch] lets user ci have it, but it is of another pid namespace, whose "
		  "users count only where "
		  "Container=yes is\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256], said[512];
		struct explanation e;
		struct policy *p;

		snprintf(text, sizeof(text), "[Credential c]\n\n[Fetch]\nCredential=c\n%s\n",
			 rows[i].selectors);
		p = policy_with_numbers(text);
		ck_assert_int_eq(explain_fetch(p, &rows[i].who, who_text(rows[i].who.uid),
					       SPAN("c"), &e),
				 0);
		snprintf(said, sizeof(said), "no\n%sP:1 [Credential c] is a held one\n",
			 rows[i].said);
		ck_assert_str_eq(text_of(&e), said);
		explanation_done(&e);
		policy_free(p);
	}
}
END_TEST

START_TEST(an_access_is_explained_by_the_scopes_that_give_it_or_what_is_reached_instead)
{
	static const char policy[] =
		"[Access]\nUser=ci\nScope=acme/pipeline:read\nScope=acme/risk:*\n" /* 1 */
		"[Access]\nUser=ops bob\nScope=acme/*:write\n"			   /* 5 */
		"[Access]\nGroup=api\nScope=acme/risk:read deep/*/**:r deep:r\n";  /* 8 */
	static const struct {
		struct subject who;
		const char *scope, *said;
	} rows[] = {
		{ HOST(CI, NULL), "acme/risk:read",
		  "yes\nP:4 [Access] gives user ci (uid 1000) acme/risk:*\n" },
		{ HOST_API(CI, NULL), "acme/risk:read",
		  "yes\n"
		  "P:4 [Access] gives user ci (uid 1000) acme/risk:*\n"
		  "P:10 [Access] gives user ci (uid 1000) acme/risk:read\n" },
		{ HOST(BOB, NULL), "acme/risk:read",
		  "no\n"
		  "P:4 [Access] comes nearest, but user bob (uid 1001) is not user ci\n"
		  "user bob (uid 1001) reaches acme/*:write\n" },
		{ HOST(BOB, NULL), "acme/*:*",
		  "no\n"
		  "no [Access] section gives anyone acme/*:*\n"
		  "P:7 [Access] gives user bob (uid 1001) acme/*:write, which is a part of it\n"
		  "user bob (uid 1001) reaches acme/*:write\n" },
		{ HOST(CI, NULL), "acme/risk:write",
		  "yes\nP:4 [Access] gives user ci (uid 1000) acme/risk:*\n" },
		{ HOST(CI, NULL), "acme/pipeline:write",
		  "no\n"
		  "P:7 [Access] comes nearest, but user ci (uid 1000) is not user ops or bob\n"
		  "user ci (uid 1000) reaches acme/pipeline:read and acme/risk:*\n" },
		{ HOST(4711, NULL), "acme/risk:read",
		  "no\n"
		  "P:4 [Access] comes nearest, but uid 4711 is not user ci\n"
		  "uid 4711 reaches nothing: no [Access] section matches\n" },
		/* several together */
		{ HOST_API(BOB, NULL), "deep/**:r",
		  "yes\n"
		  "P:10 [Access] gives user bob (uid 1001) deep/*/**:r, which is a part of it\n"
		  "P:10 [Access] gives user bob (uid 1001) deep:r, which is a part of it\n" },
		{ HOST(CI, NULL), "else:where",
		  "no\n"
		  "no [Access] section gives anyone else:where\n"
		  "user ci (uid 1000) reaches acme/pipeline:read and acme/risk:*\n" },
	};
	struct policy *p = policy_with_numbers(policy);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct explanation e;

		ck_assert_int_eq(explain_access(p, &rows[i].who, who_text(rows[i].who.uid),
						span_of(rows[i].scope), &e),
				 0);
		ck_assert_str_eq(text_of(&e), rows[i].said);
		explanation_done(&e);
	}
	policy_free(p);
}
END_TEST

START_TEST(a_verifier_is_explained_by_all_sections_that_match)
{
	static const struct {
		const char *policy;
		struct subject who;
		const char *said;
	} rows[] = {
		{ "", HOST(CI, NULL),
		  "yes\nthere is no [Verify] section, so whoever can connect may verify, and is "
		  "told all\n" },
		{ "[Verify]\nUser=ci\n", HOST(CI, NULL),
		  "yes\nP:1 [Verify] lets user ci (uid 1000) verify, and tells all of a token's "
		  "access\n" },
		{ "[Verify]\nUser=ci\nScope=a:b c:d\n[Verify]\nUser=*\nScope=e:f\n", HOST(CI, NULL),
		  "yes\n"
		  "P:1 [Verify] lets user ci (uid 1000) verify, and tells a:b and c:d\n"
		  "P:4 [Verify] lets user ci (uid 1000) verify, and tells e:f\n" },
		{ "[Verify]\nUser=ci\nMap=yes\n[Verify]\nUser=*\nMap=yes\nScope=e:f\n",
		  HOST(CI, NULL),
		  "yes\n"
		  "P:1 [Verify] lets user ci (uid 1000) verify, and tells all of a token's access, "
		  "also by the map\n"
		  "P:4 [Verify] lets user ci (uid 1000) verify, and tells e:f, also by the map\n" },
		{ "[Verify]\nUser=ci\nUnit=api.service\n", HOST(CI, "x.service"),
		  "no\n"
		  "P:1 [Verify] lets user ci verify, but the unit is x.service, not api.service\n"
		  "the owner of a token may verify it all the same\n" },
		{ "[Verify]\nUser=ops\nUnit=api.service\n[Verify]\nGroup=api\n",
		  HOST(CI, "x.service"),
		  "no\n"
		  "P:4 [Verify] comes nearest, but user ci (uid 1000) is not in group api\n"
		  "the owner of a token may verify it all the same\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct policy *p = policy_with_numbers(rows[i].policy);
		struct explanation e;

		ck_assert_int_eq(explain_verify(p, &rows[i].who, who_text(rows[i].who.uid), &e), 0);
		ck_assert_str_eq(text_of(&e), rows[i].said);
		explanation_done(&e);
		policy_free(p);
	}
}
END_TEST

/* Whatever the policy and the subject: what is said is what is done. */
START_TEST(an_explanation_never_tells_another_story_than_the_decision)
{
	static const char *const selectors[] = {
		"User=ci",
		"User=bob",
		"User=*",
		"Group=api",
		"Unit=a.service",
		"Unit=*",
		"User=ci\nUnit=a.service",
		"Group=api\nContainer=yes",
		"User=bob\nGroup=api\nUnit=a.service\nContainer=yes"
	};
	static const struct subject subjects[] = {
		HOST(CI, NULL),		  HOST(CI, "a.service"), HOST_API(BOB, "a.service"),
		HOST_API(BOB, "b.scope"), CONTAINER(CI, NULL),	 CONTAINER(BOB, "a.service"),
		HOST(4711, NULL)
	};

	for (size_t i = 0; i < ARRAY_SIZE(selectors); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(selectors); j++) {
			char text[512];
			struct policy *p;

			snprintf(text, sizeof(text),
				 "[Credential "
				 "c]\n[Fetch]\nCredential=c\n%s\n[Fetch]\nCredential=c\n%s\n"
				 "[Verify]\n%s\n[Verify]\n%s\n",
				 selectors[i], selectors[j], selectors[i], selectors[j]);
			p = policy_with_numbers(text);
			for (size_t k = 0; k < ARRAY_SIZE(subjects); k++) {
				const struct subject *who = &subjects[k];
				struct explanation e;

				ck_assert_int_eq(explain_fetch(p, who, "who", SPAN("c"), &e), 0);
				ck_assert(e.allowed ==
					  fetch_is_allowed(p, who, SPAN("c"), false, NULL));
				ck_assert_uint_ge(e.n, 1);
				explanation_done(&e);
				ck_assert_int_eq(explain_verify(p, who, "who", &e), 0);
				ck_assert(e.allowed == verify_is_allowed(p, who));
				ck_assert_uint_ge(e.n, 1);
				explanation_done(&e);
			}
			policy_free(p);
		}
	}
}
END_TEST

SCRATCH_MAIN("explain", scratch_make,
	     a_fetch_is_explained_by_its_line_or_by_the_nearest_and_what_of_it_does_not_hold,
	     what_does_not_hold_is_told_for_each_kind,
	     an_access_is_explained_by_the_scopes_that_give_it_or_what_is_reached_instead,
	     a_verifier_is_explained_by_all_sections_that_match,
	     an_explanation_never_tells_another_story_than_the_decision)
