/* tests/unit/test-policy.c - the language of policies, and every mistake in it. */
#include "agent/policy/policy.h"

#include <stdio.h>

#include "agent/policy/words.h"
#include "tests/unit/policy-text.h"
#include "tests/unit/scratch.h"
#include "tests/unit/unit.h"

/* The policy of a text, as policy_text() has it; or its mistake, as "LINE: message". */
static const char *read_text(const char *text)
{
	const char *said = NULL;
	struct policy *p = policy_of(text, &said);

	if (p)
		said = policy_text(p);
	policy_free(p);
	return said;
}

START_TEST(the_contracts_example_says_what_it_says)
{
	ck_assert_str_eq(
		read_text("# What a user reaches.\n"
			  "[Access]\n"
			  "User=ci\n"
			  "Scope=acme/pipeline:read acme/pipeline:run\n"
			  "Scope=acme/risk:read\n"
			  "\n"
			  "[Credential modulos]\n"
			  "Description=Modulos API key\n"
			  "\n"
			  "[Credential pipeline]\n"
			  "Kind=minted\n"
			  "Owner=ci\n"
			  "Scope=acme/pipeline:run\n"
			  "Lifetime=15min\n"
			  "Binding=unit\n"
			  "MaxTokens=20000\n"
			  "\n"
			  "[Fetch]\n"
			  "Credential=modulos pipeline\n"
			  "Unit=nightly@*.service\n"
			  "\n"
			  "[Fetch]\n"
			  "Credential=modulos\n"
			  "User=ci\n"
			  "Unit=cron.service\n"
			  "\n"
			  "[Verify]\n"
			  "Group=api\n"
			  "Scope=acme/risk:*\n"),
		"access@2 u:ci@3 acme/pipeline:read@4 acme/pipeline:run@4 acme/risk:read@5\n"
		"credential modulos@7 \"Modulos API key\"\n"
		"credential pipeline@10 owner:ci@12 900s binding=2 max=20000 acme/pipeline:run@13\n"
		"fetch@18 modulos@19 pipeline@19 unit:nightly@*.service\n"
		"fetch@22 modulos@23 u:ci@24 unit:cron.service\n"
		"verify@27 g:api@28 acme/risk:*@29\n");
}
END_TEST

START_TEST(what_is_right_is_read)
{
	static const char *const pairs[][2] = {
		{ "", "" },
		{ "# nothing\n", "" },
		{ "[Access]\nUser=*\nScope=**:*\n", "access@1 u:*(any)@2 **:*@3\n" },
		{ "[Access]\nUser=a b  c\nUser=1000 0\nGroup=4294967294 x\nScope=a:b\n",
		  "access@1 u:a@2 u:b@2 u:c@2 u:1000(number)@3 u:0(number)@3 "
		  "g:4294967294(number)@4 g:x@4 a:b@5\n" },
		{ "[Access]\nScope=a:b\nUser=DOM\\user\nUser=user@example.org\nUser=host$ "
		  "a.b_c-d\n",
		  "access@1 u:DOM\\user@3 u:user@example.org@4 u:host$@5 u:a.b_c-d@5 a:b@2\n" },
		{ "[Verify]\nUser=*\n", "verify@1 u:*(any)@2\n" },
		{ "[Verify]\nUnit=*.service a@[0-9].service [!a]x.scope []].mount "
		  "dev-disk\\x2duuid.swap\n",
		  "verify@1 unit:*.service unit:a@[0-9].service unit:[!a]x.scope unit:[]].mount "
		  "unit:dev-disk\\x2duuid.swap\n" },
		{ "[Verify]\nUnit=nightly*\nContainer=yes\n",
		  "verify@1 unit:nightly* container\n" },
		{ "[Verify]\nUser=a\nContainer=no\n", "verify@1 u:a@2\n" },
		{ "[Verify]\nMap=yes\nUser=a\nScope=a:b\n", "verify@1 u:a@3 a:b@4 map\n" },
		{ "[Verify]\nUser=a\nMap=no\n", "verify@1 u:a@2\n" },
		{ "[Credential a]\n", "credential a@1\n" },
		{ "[Credential a]\nKind=held\n", "credential a@1\n" },
		{ "[Credential b]\n[Credential a]\n[Credential a.b_c-9]\n",
		  "credential a@2\ncredential a.b_c-9@3\ncredential b@1\n" },
		{ "[Credential a]\nOwner=0\nKind=minted\n",
		  "credential a@1 owner:0(number)@2 0s binding=0 max=1000\n" },
		{ "[Credential "
		  "a]\nLifetime=1min\nBinding=process\nMaxTokens=1\nKind=minted\nOwner=x\n",
		  "credential a@1 owner:x@6 60s binding=1 max=1\n" },
		{ "[Credential "
		  "a]\nLifetime=10y\nBinding=none\nMaxTokens=10000000\nKind=minted\nOwner=x\n",
		  "credential a@1 owner:x@6 315576000s binding=0 max=10000000\n" },
		{ "[Credential a]\n[Fetch]\nCredential=a\nCredential=a\nUser=x\n",
		  "credential a@1\nfetch@2 a@3 a@4 u:x@5\n" },
		{ "[Fetch]\nCredential=a\nUser=x\n[Credential a]",
		  "credential a@4\nfetch@1 a@2 u:x@3\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		ck_assert_str_eq(read_text(pairs[i][0]), pairs[i][1]);
}
END_TEST

#define MINTED "[Credential a]\nKind=minted\nOwner=x\n"
#define LETTERS_32 "abcdefghijklmnopqrstuvwxyz012345"

START_TEST(every_mistake_is_told_with_its_line_and_what_would_be_right)
{
	static const char *const pairs[][2] = {
		/* sections */
		{ "User=ci\n", "1: User= stands before any [SECTION]" },
		{ "[Acess]\n", "1: unknown section [Acess]; did you mean [Access]?" },
		{ "[access]\n", "1: unknown section [access]; did you mean [Access]?" },
		{ "\n[Fetsh]\n", "2: unknown section [Fetsh]; did you mean [Fetch]?" },
		{ "[Credentail modulos]\n",
		  "1: unknown section [Credentail modulos]; did you mean [Credential NAME]?" },
		{ "[Service]\n", "1: unknown section [Service]; there are [Access], [Credential "
				 "NAME], [Fetch] and [Verify]" },
		{ "[Access ci]\n", "1: [Access ci]: it is [Access], without a name" },
		{ "[ Access]\n", "1: unknown section [ Access]; there are [Access], [Credential "
				 "NAME], [Fetch] and "
				 "[Verify]" },
		{ "[Credential]\n", "1: [Credential] has no name; it is [Credential NAME]" },
		{ "[Credential ]\n", "1: [Credential ] has no name; it is [Credential NAME]" },
		{ "[Credential a b]\n",
		  "1: [Credential a b]: the name can be no credential's name; it is of letters, "
		  "digits and ._-, and not '.' or '..'" },
		{ "[Credential ..]\n",
		  "1: [Credential ..]: the name can be no credential's name; it is of letters, "
		  "digits and ._-, and not '.' or '..'" },
		{ "[Credential a/b]\n",
		  "1: [Credential a/b]: the name can be no credential's name; it is of letters, "
		  "digits and ._-, and not '.' or '..'" },
		{ "[Credential " LETTERS_32 LETTERS_32 "x]\n",
		  "1: [Credential " LETTERS_32 LETTERS_32
		  "]: the name is too long; the name of a credential has at most "
		  "64 characters" },
		{ "[Access]\nScope=a:b\n",
		  "1: [Access] says for nobody; give User= or Group= (everyone is 'User=*')" },
		{ "[Access]\nUser=x\n", "1: [Access] gives nothing; add Scope=" },
		{ "[Access]\nUser=x\n[Verify]\nUser=x\n", "1: [Access] gives nothing; add Scope=" },
		{ "[Fetch]\nUser=x\n", "1: [Fetch] gives nothing; add Credential=" },
		{ "[Fetch]\nCredential=a\n", "1: [Fetch] says for nobody; give User=, Group= or "
					     "Unit= (everyone is 'User=*')" },
		{ "[Fetch]\nCredential=a\nContainer=yes\n",
		  "1: [Fetch] says for nobody; give User=, Group= or Unit= (everyone is "
		  "'User=*')" },
		{ "[Verify]\nScope=a:b\n", "1: [Verify] says for nobody; give User=, Group= or "
					   "Unit= (everyone is 'User=*')" },
		{ "[Verify]\n", "1: [Verify] says for nobody; give User=, Group= or Unit= "
				"(everyone is 'User=*')" },
		/* keys */
		{ "[Access]\nScop=a:b\n",
		  "2: unknown key 'Scop=' in [Access]; did you mean Scope=?" },
		{ "[Access]\nscope=a:b\n",
		  "2: unknown key 'scope=' in [Access]; did you mean Scope=?" },
		{ "[Access]\nLifetime=1h\n",
		  "2: unknown key 'Lifetime=' in [Access]; it takes User=, Group=, Scope=" },
		{ "[Credential a]\nUser=x\n",
		  "2: unknown key 'User=' in [Credential]; it takes Description=, Kind=, "
		  "Owner=, Scope=, Lifetime=, Binding=, MaxTokens=" },
		{ "[Fetch]\nCredentials=x\n",
		  "2: unknown key 'Credentials=' in [Fetch]; did you mean Credential=?" },
		{ "[Fetch]\nScope=a:b\n", "2: unknown key 'Scope=' in [Fetch]; it takes "
					  "Credential=, User=, Group=, Unit=, Container=" },
		{ "[Verify]\nOwner=x\n", "2: unknown key 'Owner=' in [Verify]; it takes User=, "
					 "Group=, Unit=, Container=, Scope=, Map=" },
		{ "[Access]\nUser=x\nUnit=cron.service\n",
		  "3: Unit= has no place in [Access], which says what a user reaches wherever it "
		  "is used from; restrict by "
		  "unit in [Fetch] or [Verify]" },
		{ "[Access]\nUser=x\nContainer=yes\n",
		  "3: Container= has no place in [Access], which says what a user reaches wherever "
		  "it is used from; "
		  "restrict by unit in [Fetch] or [Verify]" },
		{ "[Access]\nUser=\n", "2: User= has no value; give it one or take the line out" },
		{ MINTED "Owner=y\n", "4: Owner= a second time; it is already in line 3" },
		{ "[Credential a]\nDescription=x\nDescription=x\n",
		  "3: Description= a second time; it is already in line 2" },
		{ "[Verify]\nUser=x\nContainer=no\nContainer=yes\n",
		  "4: Container= a second time; it is already in line 3" },
		/* users, groups and units */
		{ "[Access]\nUser=a,b\n",
		  "2: User=: 'a,b' has a comma; names stand apart by spaces" },
		{ "[Access]\nUser=ci # x\n",
		  "2: User=: '#' is no name; a comment stands on a line of its own" },
		{ "[Access]\nUser=ci*\n",
		  "2: User=: 'ci*' has a wildcard, which only units take; name each one, or '*' "
		  "alone in User= for everyone" },
		{ "[Access]\nGroup=*\n",
		  "2: Group=: '*' stands for users only; everyone is 'User=*'" },
		{ "[Access]\nUser=a/b\n", "2: User=: 'a/b' can be no name of a user or group; give "
					  "a name or a number as getent(1) shows it" },
		{ "[Access]\nUser=-1\n", "2: User=: '-1' can be no name of a user or group; give a "
					 "name or a number as getent(1) shows it" },
		{ "[Access]\nGroup=\"x\"\n",
		  "2: Group=: '\"x\"' can be no name of a user or group; give a name or a number "
		  "as getent(1) shows it" },
		{ "[Access]\nUser=4294967295\n",
		  "2: User=: '4294967295' is no number of a user or group; these go from "
		  "0 to 4294967294, without leading zeros" },
		{ "[Access]\nUser=007\n",
		  "2: User=: '007' is no number of a user or group; these go from 0 to "
		  "4294967294, without leading zeros" },
		{ "[Verify]\nUnit=nightly\n", "2: Unit=: 'nightly' ends as no unit does; give its "
					      "whole name, as in 'NAME.service'" },
		{ "[Verify]\nUnit=.service\n", "2: Unit=: '.service' ends as no unit does; give "
					       "its whole name, as in 'NAME.service'" },
		{ "[Verify]\nUnit=a.service,b.service\n",
		  "2: Unit=: 'a.service,b.service' has a comma; units stand apart by spaces" },
		{ "[Verify]\nUnit=system.slice/a.service\n",
		  "2: Unit=: 'system.slice/a.service' has a '/'; a unit is "
		  "named without its path, as systemctl(1) shows it" },
		{ "[Verify]\nUnit=a{b}.service\n",
		  "2: Unit=: 'a{b}.service' has characters that no unit's name has; these are "
		  "letters, digits and "
		  ":_.@-\\, and here also *?[]" },
		{ "[Verify]\nUnit=a[b.service\n",
		  "2: Unit=: 'a[b.service' has a '[' without its ']'" },
		{ "[Verify]\nUnit=a[].service\n",
		  "2: Unit=: 'a[].service' has a '[' without its ']'" },
		{ "[Verify]\nUnit=a[!]\n", "2: Unit=: 'a[!]' has a '[' without its ']'" },
		{ "[Verify]\nUser=x\nContainer=maybe\n",
		  "3: Container=: 'maybe' is neither yes nor no" },
		{ "[Verify]\nUser=x\nMap=please\n",
		  "3: Map=: 'please' is neither yes nor no" },
		{ "[Verify]\nUser=x\nMap=yes\nMap=yes\n",
		  "4: Map= a second time; it is already in line 3" },
		{ "[Verify]\nMap=yes\n", "1: [Verify] says for nobody; give User=, Group= or "
					  "Unit= (everyone is 'User=*')" },
		/* scopes */
		{ "[Access]\nScope=a/b\n", "2: Scope=: 'a/b' has no action; a scope is "
					   "PATH:ACTION, as in 'acme/risk:read'" },
		{ "[Access]\nScope=a:b,c:d\n",
		  "2: Scope=: 'a:b,c:d' has a comma; scopes stand apart by spaces" },
		{ "[Access]\nScope=a:b # x\n",
		  "2: Scope=: '#' is no scope; a comment stands on a line of its own" },
		{ "[Access]\nScope=a/**/b:c\n",
		  "2: Scope=: 'a/**/b:c' is no scope; a scope is PATH:ACTION, as in "
		  "'acme/risk:read', where a '*' stands for a whole name and a '**' for "
		  "the rest of the path" },
		{ "[Access]\nScope=a*:c\n",
		  "2: Scope=: 'a*:c' is no scope; a scope is PATH:ACTION, as in "
		  "'acme/risk:read', where a '*' stands for a whole name and a '**' for the "
		  "rest of the path" },
		{ "[Access]\nScope=a!b:c\n", "2: Scope=: 'a!b:c' has characters that no scope has; "
					     "its names are of letters, digits and ._-" },
		{ "[Access]\nScope=" LETTERS_32 LETTERS_32 LETTERS_32 LETTERS_32 ":x\n",
		  "2: Scope=: '" LETTERS_32 LETTERS_32
		  "...' is too long; a scope has at most 128 characters" },
		/* credentials */
		{ "[Credential a]\n\n[Credential a]\n",
		  "3: [Credential a] is already in DIR/one.policy:1; give this "
		  "one another name or take it out" },
		{ "[Credential a]\n[Credential b]\n[Credential b]\n[Credential a]\n",
		  "3: [Credential b] is already in DIR/one.policy:2; give this one another name or "
		  "take it out" },
		{ "[Credential modulos]\n[Fetch]\nUser=x\nCredential=modulo\n",
		  "4: no file defines credential 'modulo'; did you mean 'modulos'?" },
		{ "[Fetch]\nUser=x\nCredential=modulos\n",
		  "3: no file defines credential 'modulos'; add a section [Credential modulos]" },
		{ "[Fetch]\nUser=x\nCredential=a,b\n",
		  "3: Credential=: 'a,b' has a comma; credentials stand apart by spaces" },
		{ "[Fetch]\nUser=x\nCredential=a*\n",
		  "3: Credential=: 'a*' can be no credential's name; it is of "
		  "letters, digits and ._-, and not '.' or '..'" },
		{ "[Credential a]\nKind=mint\n", "2: Kind=: 'mint' is neither held nor minted" },
		{ "[Credential a]\nKind=minted\n",
		  "1: [Credential] is minted and has no owner; add Owner=" },
		{ "[Credential a]\nOwner=x\n",
		  "2: Owner= is for minted credentials, and a is a held one; add "
		  "Kind=minted there or take this line out" },
		{ "[Credential a]\nKind=held\nLifetime=1h\n",
		  "3: Lifetime= is for minted credentials, and a is a held "
		  "one; add Kind=minted there or take this line out" },
		{ "[Credential a]\nScope=a:b\n",
		  "2: Scope= is for minted credentials, and a is a held one; add "
		  "Kind=minted there or take this line out" },
		{ "[Credential a]\nKind=minted\nOwner=a b\n",
		  "3: Owner=: 'a b' is more than one user; a token has one owner" },
		{ "[Credential a]\nKind=minted\nOwner=*\n",
		  "3: Owner=: '*' is everyone; a token has one owner, by name or number" },
		{ MINTED "Lifetime=59s\n",
		  "4: Lifetime=: '59s' is too short; a token lives 1min or longer" },
		{ MINTED "Lifetime=0\n",
		  "4: Lifetime=: '0' is too short; a token lives 1min or longer" },
		{ MINTED "Lifetime=11y\n",
		  "4: Lifetime=: '11y' is too long; a token lives 10y at most" },
		{ MINTED "Lifetime=soon\n",
		  "4: Lifetime=: 'soon' is no span of time; write it as in '15min' or '1h 30min'" },
		{ MINTED "Binding=cgroup\n",
		  "4: Binding=: 'cgroup' is none of none, process and unit" },
		{ MINTED "MaxTokens=0\n", "4: MaxTokens=: '0' is no number from 1 to 10000000" },
		{ MINTED "MaxTokens=10000001\n",
		  "4: MaxTokens=: '10000001' is no number from 1 to 10000000" },
		{ MINTED "MaxTokens=1k\n", "4: MaxTokens=: '1k' is no number from 1 to 10000000" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		char expected[1024];
		const char *in = strstr(pairs[i][1], "DIR");

		/* Where a message has a path, DIR stands for the directory. */
		if (in)
			snprintf(expected, sizeof(expected), "%.*s%s%s", (int)(in - pairs[i][1]),
				 pairs[i][1], scratch_dir(), in + 3);
		else
			snprintf(expected, sizeof(expected), "%s", pairs[i][1]);
		ck_assert_str_eq(read_text(pairs[i][0]), expected);
	}
}
END_TEST

START_TEST(a_minted_credential_has_as_many_scopes_as_a_token_holds)
{
	char text[2048] = MINTED;

	for (unsigned i = 0; i < 32; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "Scope=a%u:b\n", i);
	ck_assert_ptr_nonnull(strstr(read_text(text), " a31:b@35\n"));
	strcat(text, "Scope=a:b\n");
	ck_assert_str_eq(read_text(text),
			 "36: 33 scopes in [Credential a]; a token has at most 32");
}
END_TEST

START_TEST(the_shipped_example_is_right)
{
	const char *file = "units/example.policy";
	struct policy *p = NULL;
	struct policy_error e;
	int r;

	if (access(file, R_OK) < 0)
		return; /* not run from the top */
	r = policy_load_files(&file, 1, &p, &e);
	ck_assert_msg(r == 0, "%s:%u: %s", e.file, e.line, e.message);
	ck_assert_uint_eq(p->n_access, 2);
	ck_assert_uint_eq(p->n_credentials, 2);
	ck_assert_uint_eq(p->n_fetch, 2);
	ck_assert_uint_eq(p->n_verify, 1);
	policy_free(p);
}
END_TEST

static void collect_name(void *userdata, struct policy_id *id, bool group)
{
	char *names = userdata;

	strcat(names, group ? " @" : " ");
	strcat(names, id->text);
	id->id = 7;
	id->exists = true;
}

START_TEST(each_name_is_told_and_no_number)
{
	char names[64] = "";
	struct policy *p =
		policy_of("[Access]\nUser=a 1 *\nGroup=b 2\nScope=x:y\n"
			  "[Credential c]\nKind=minted\nOwner=d\n[Credential e]\n[Credential "
			  "f]\nKind=minted\nOwner=3\n"
			  "[Fetch]\nCredential=c\nUser=g 4 a\n[Verify]\nGroup=h\nUnit=u.service\n",
			  NULL);

	policy_each_name(p, collect_name, names);
	ck_assert_str_eq(names, " a @b d g a @h");
	ck_assert(p->access[0].who.users[0].exists && p->access[0].who.users[0].id == 7);
	policy_free(p);
}
END_TEST

START_TEST(words_stand_apart_by_spaces_and_tabs)
{
	struct span rest = SPAN(" a\t bc  "), word;

	ck_assert(word_next(&rest, &word) && span_is(word, "a"));
	ck_assert(word_next(&rest, &word) && span_is(word, "bc"));
	ck_assert(!word_next(&rest, &word));
	ck_assert(!word_next(&rest, &word));
}
END_TEST

/* No text at all does harm: it is read, or refused with a line and a reason. */
START_TEST(no_text_at_all_does_harm)
{
	static const char *const pieces[] = { "[Access]\n",
					      "[Fetch]\n",
					      "[Verify]\n",
					      "[Credential a]\n",
					      "User=",
					      "Scope=",
					      "Credential=",
					      "Unit=",
					      "*",
					      "a",
					      "a:b",
					      " ",
					      "\n",
					      "Kind=minted\n",
					      "Owner=1\n",
					      "[",
					      "]",
					      "=",
					      "Lifetime=1h\n",
					      "x.service",
					      "#",
					      "\\" };
	uint64_t random = 3;

	for (unsigned round = 0; round < 3000; round++) {
		char text[512] = "";

		for (uint64_t n = unit_random(&random) % 20; n > 0; n--)
			strcat(text, pieces[unit_random(&random) % ARRAY_SIZE(pieces)]);
		(void)read_text(text);
	}
}
END_TEST

SCRATCH_MAIN("policy", scratch_make, the_contracts_example_says_what_it_says, what_is_right_is_read,
	     every_mistake_is_told_with_its_line_and_what_would_be_right,
	     a_minted_credential_has_as_many_scopes_as_a_token_holds, the_shipped_example_is_right,
	     each_name_is_told_and_no_number, words_stand_apart_by_spaces_and_tabs,
	     no_text_at_all_does_harm)
