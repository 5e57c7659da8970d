/* tests/unit/test-scope.c - the language of scopes, and its arithmetic held against enumeration. */
#include "protocol/scope.h"

#include <stdio.h>

#include "tests/unit/unit.h"

START_TEST(a_scope_is_names_and_an_action)
{
	static const char *const plain[] = { "a:b", "acme/risk:read", "A.b_c-9/..:-",
					     "a/b/c/d/e:x" };
	static const char *const starred[] = {
		"*:a", "**:a", "a/*:b", "a/**:b", "*/**:*", "*/*/a:*"
	};
	static const char *const neither[] = {
		"",	   ":",	      "a",	  "a:",	     ":a",	"a:b:c",    "/a:b",  "a/:b",
		"a//b:c",  "a/b",     "a:b/c",	  "a:**",    "**/a:b",	"a/**/b:c", "a*:b",  "*a:b",
		"***:a",   "a/***:b", "a:*b",	  "a b:c",   "a:b ",	" a:b",	    "a:b\n",
		"\xc3\xa9:a",
		"a/**/**:b", "**/**:a", "a,b:c",  "a/b*/c:d", "/:a",	"//:a",	    "/**:a", "a?:b",
	};

	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		ck_assert_msg(scope_is_plain(span_of(plain[i])), "%s", plain[i]);
		ck_assert_msg(scope_is_pattern(span_of(plain[i])), "%s", plain[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(starred); i++) {
		ck_assert_msg(!scope_is_plain(span_of(starred[i])), "%s", starred[i]);
		ck_assert_msg(scope_is_pattern(span_of(starred[i])), "%s", starred[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(neither); i++) {
		ck_assert_msg(!scope_is_plain(span_of(neither[i])), "%s", neither[i]);
		ck_assert_msg(!scope_is_pattern(span_of(neither[i])), "%s", neither[i]);
	}
	ck_assert(!scope_is_pattern(SPAN_NONE));
	ck_assert(!scope_is_plain(SPAN("a\0b:c")));
}
END_TEST

START_TEST(a_scope_has_at_most_128_bytes)
{
	char text[SCOPE_MAX + 1];

	memset(text, 'a', sizeof(text));
	text[60] = ':';
	ck_assert(scope_is_plain((struct span){ text, SCOPE_MAX }));
	ck_assert(!scope_is_plain((struct span){ text, SCOPE_MAX + 1 }));
}
END_TEST

START_TEST(a_name_is_of_certain_characters_alone)
{
	for (int c = 0; c < 256; c++) {
		char text = (char)c;
		bool good =
			c && strchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "._-",
				    c);

		ck_assert_int_eq(scope_name_is_valid((struct span){ &text, 1 }), good);
	}
	ck_assert(!scope_name_is_valid(SPAN("")));
}
END_TEST

/*
 * Enumeration. Names are taken to be without end; of three, of which patterns use two, the third
 * stands for all that are not written. Paths go one beyond the longest pattern.
 */
enum { NAMES = 3, WRITTEN = 2, PATTERN_LEN = 3, PLAIN_LEN = PATTERN_LEN + 2, TEXT = 24 };

struct texts {
	char (*text)[TEXT];
	size_t n;
};

/*
 * All scopes of paths of up to `longest` parts, from these parts and actions, with each of the
 * tails.
 */
static struct texts all_texts(const char *const parts[], size_t n_parts, size_t longest,
			      const char *const actions[], size_t n_actions, bool tails)
{
	struct texts all = { calloc(20000, TEXT), 0 };

	ck_assert_ptr_nonnull(all.text);
	for (size_t length = 0; length <= longest; length++) {
		size_t paths = 1;

		for (size_t i = 0; i < length; i++)
			paths *= n_parts;
		for (size_t path = 0; path < paths; path++)
			for (size_t tail = 0; tail <= tails; tail++)
				for (size_t action = 0; action < n_actions; action++) {
					char *at = all.text[all.n];
					size_t rest = path;

					if (length + tail == 0)
						continue;
					UNIT_CHECK(all.n < 20000, "more than foreseen");
					for (size_t i = 0; i < length; i++, rest /= n_parts) {
						at = stpcpy(at, i ? "/" : "");
						at = stpcpy(at, parts[rest % n_parts]);
					}
					if (tail)
						at = stpcpy(at, length ? "/**" : "**");
					at = stpcpy(at, ":");
					strcpy(at, actions[action]);
					all.n++;
				}
	}
	return all;
}

static struct texts patterns(void)
{
	static const char *const parts[] = { "a", "b", "*" };
	static const char *const actions[] = { "r", "*" };

	return all_texts(parts, 3, PATTERN_LEN, actions, 2, true);
}

static struct texts plains(void)
{
	static const char *const parts[] = { "a", "b", "else" };
	static const char *const actions[] = { "r", "x" };

	return all_texts(parts, NAMES, PLAIN_LEN, actions, 2, false);
}

/* Matching as one would first write it: text against text, with recursion. */
static bool naive_match(const char *pattern, const char *plain)
{
	if (strncmp(pattern, "**:", 3) == 0) {
		const char *colon = strchr(plain, ':');

		return naive_match(pattern + 2, colon);
	}
	/* A tail that stands for nothing takes the slash before it with it. */
	if (strncmp(pattern, "/**:", 4) == 0 && *plain == ':')
		return naive_match(pattern + 3, plain);
	if (*pattern == '*') {
		size_t n = strcspn(plain, "/:");

		return n > 0 && naive_match(pattern + 1, plain + n);
	}
	if (*pattern != *plain)
		return false;
	return !*pattern || naive_match(pattern + 1, plain + 1);
}

START_TEST(a_pattern_matches_what_it_is_written_to_match)
{
	struct texts pattern = patterns(), plain = plains();

	for (size_t i = 0; i < pattern.n; i++)
		for (size_t j = 0; j < plain.n; j++)
			UNIT_CHECK(scope_matches(span_of(pattern.text[i]),
						 span_of(plain.text[j])) ==
					   naive_match(pattern.text[i], plain.text[j]),
				   "%s %s", pattern.text[i], plain.text[j]);
	free(pattern.text);
	free(plain.text);
}
END_TEST

/* Which plain scopes each pattern stands for, a bit each. */
struct sets {
	uint64_t (*bits)[16];
};

static struct sets sets_of(const struct texts *pattern, const struct texts *plain)
{
	struct sets sets = { calloc(pattern->n, sizeof(*sets.bits)) };

	ck_assert_ptr_nonnull(sets.bits);
	ck_assert_uint_le(plain->n, 16 * 64);
	for (size_t i = 0; i < pattern->n; i++)
		for (size_t j = 0; j < plain->n; j++)
			if (naive_match(pattern->text[i], plain->text[j]))
				sets.bits[i][j / 64] |= UINT64_C(1) << j % 64;
	return sets;
}

static bool is_subset(const uint64_t *inner, const uint64_t *outer)
{
	for (size_t i = 0; i < 16; i++)
		if (inner[i] & ~outer[i])
			return false;
	return true;
}

START_TEST(within_is_what_enumeration_says_of_one_of_two_and_of_many)
{
	struct texts pattern = patterns(), plain = plains();
	struct sets sets = sets_of(&pattern, &plain);
	uint64_t random = 1;
	size_t yes = 0;

	for (size_t round = 0; round < 400000; round++) {
		size_t inner = unit_random(&random) % pattern.n, n = 1 + unit_random(&random) % 6;
		struct span outer[6];
		uint64_t join[16] = { 0 };
		bool is;

		for (size_t k = 0; k < n; k++) {
			size_t pick = unit_random(&random) % pattern.n;

			outer[k] = span_of(pattern.text[pick]);
			for (size_t i = 0; i < 16; i++)
				join[i] |= sets.bits[pick][i];
		}
		is = is_subset(sets.bits[inner], join);
		yes += is;
		UNIT_CHECK(scope_is_within(span_of(pattern.text[inner]), outer, n) == is,
			      "%s within %zu, the first %s: %d", pattern.text[inner], n, outer[0].p,
			is);
	}
	ck_assert_uint_gt(yes, 10000);
	for (size_t i = 0; i < pattern.n; i++)
		for (size_t j = 0; j < pattern.n; j++) {
			struct span outer = span_of(pattern.text[j]);

			UNIT_CHECK(scope_is_within(span_of(pattern.text[i]), &outer, 1) ==
					      is_subset(sets.bits[i], sets.bits[j]),
				      "%s within %s", pattern.text[i], pattern.text[j]);
		}
	free(sets.bits);
	free(pattern.text);
	free(plain.text);
}
END_TEST

START_TEST(a_cut_stands_for_exactly_what_both_stand_for)
{
	struct texts pattern = patterns(), plain = plains();
	struct sets sets = sets_of(&pattern, &plain);

	for (size_t i = 0; i < pattern.n; i++)
		for (size_t j = 0; j < pattern.n; j++) {
			char cut[SCOPE_MAX];
			size_t n =
				scope_cut(span_of(pattern.text[i]), span_of(pattern.text[j]), cut);
			struct span found = { cut, n };

			UNIT_CHECK(n == 0 || scope_is_pattern(found), "%.*s", (int)n, cut);
			UNIT_CHECK(scope_is_left_whole(span_of(pattern.text[i]),
						       span_of(pattern.text[j])) ==
					   (span_is(found, pattern.text[i]) &&
					    !strstr(pattern.text[i], "**")),
				   "%s cut by %s: %.*s", pattern.text[i], pattern.text[j], (int)n,
				   cut);
			for (size_t k = 0; k < plain.n; k++) {
				bool both =
					(sets.bits[i][k / 64] & sets.bits[j][k / 64]) >> k % 64 & 1;

				UNIT_CHECK((n && scope_matches(found, span_of(plain.text[k]))) ==
						   both,
					   "%s cut by %s: %.*s, but %s", pattern.text[i],
					   pattern.text[j], (int)n, cut, plain.text[k]);
			}
		}
	free(sets.bits);
	free(pattern.text);
	free(plain.text);
}
END_TEST

START_TEST(a_double_star_may_be_covered_by_several_together)
{
	struct span outer[] = { SPAN("*:r"), SPAN("*/*:r"), SPAN("*/*/*/**:r") };
	struct span tail[] = { SPAN("a:r"), SPAN("a/*/**:r") };

	ck_assert(scope_is_within(SPAN("**:r"), outer, 3));
	ck_assert(scope_is_within(SPAN("a/**:r"), outer, 3));
	ck_assert(!scope_is_within(SPAN("**:r"), outer + 1, 2));
	ck_assert(!scope_is_within(SPAN("**:r"), outer, 2));
	ck_assert(scope_is_within(SPAN("a/**:r"), tail, 2));
	ck_assert(!scope_is_within(SPAN("a/**:r"), tail + 1, 1));
	ck_assert(!scope_is_within(SPAN("a:r"), NULL, 0));
}
END_TEST

START_TEST(the_longest_paths_are_taken)
{
	char inner[SCOPE_MAX + 1] = "", outer[SCOPE_MAX + 1] = "", cut[SCOPE_MAX];
	struct span deep;

	for (int i = 0; i < 63; i++) {
		strcat(inner, i ? "/a" : "a");
		strcat(outer, i ? "/*" : "*");
	}
	strcat(inner, ":r");
	strcat(outer, ":r");
	deep = span_of(outer);
	ck_assert_uint_eq(strlen(inner), 127);
	ck_assert(scope_is_within(span_of(inner), &deep, 1));
	ck_assert(!scope_is_within(SPAN("**:r"), &deep, 1));
	ck_assert(!scope_is_within(deep, &(struct span){ inner, strlen(inner) }, 1));
	ck_assert_uint_eq(scope_cut(span_of(inner), deep, cut), 127);
	ck_assert_mem_eq(cut, inner, 127);
	ck_assert_uint_eq(scope_cut(deep, SPAN("**:*"), cut), 127);
	ck_assert_mem_eq(cut, outer, 127);
}
END_TEST

START_TEST(a_double_star_has_no_longest_path)
{
	char text[63][SCOPE_MAX + 1];
	struct span outer[64];

	for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
		char *at = text[i];

		for (size_t k = 0; k <= i; k++)
			at = stpcpy(at, k ? "/*" : "*");
		strcpy(at, ":r");
		outer[i] = span_of(text[i]);
	}
	ck_assert(!scope_is_within(SPAN("**:r"), outer, 63));
	outer[63] = SPAN("*/*/**:r");
	ck_assert(scope_is_within(SPAN("**:r"), outer, 64));
}
END_TEST

START_TEST(a_cut_that_can_not_be_written_is_nothing)
{
	char a[SCOPE_MAX + 1], b[SCOPE_MAX + 1], cut[SCOPE_MAX + 1];

	snprintf(a, sizeof(a), "%0100d/*:r", 0);
	snprintf(b, sizeof(b), "*/%0100d:r", 0);
	cut[SCOPE_MAX] = 'x';
	ck_assert_uint_eq(scope_cut(span_of(a), span_of(b), cut), 0);
	ck_assert_int_eq(cut[SCOPE_MAX], 'x');
	for (int n = 1; n < 124; n++) {
		size_t length;

		snprintf(a, sizeof(a), "%0*d/*:r", n, 0);
		snprintf(b, sizeof(b), "*/%0*d:r", 124 - n, 0);
		length = scope_cut(span_of(a), span_of(b), cut);
		ck_assert_uint_eq(length, 127);
	}
}
END_TEST

START_TEST(what_is_within_the_other_is_not_lost_for_its_length)
{
	char a[SCOPE_MAX + 1], cut[SCOPE_MAX];

	snprintf(a, sizeof(a), "**:%0125d", 0);
	ck_assert_uint_eq(strlen(a), SCOPE_MAX);
	ck_assert_uint_eq(scope_cut(span_of(a), SPAN("*/**:*"), cut), SCOPE_MAX);
	ck_assert_mem_eq(cut, a, SCOPE_MAX);
	ck_assert_uint_eq(scope_cut(SPAN("*/**:*"), span_of(a), cut), SCOPE_MAX);
}
END_TEST

UNIT_MAIN("scope", what_is_within_the_other_is_not_lost_for_its_length,
	  a_scope_is_names_and_an_action, a_scope_has_at_most_128_bytes,
	  a_name_is_of_certain_characters_alone, a_pattern_matches_what_it_is_written_to_match,
	  within_is_what_enumeration_says_of_one_of_two_and_of_many,
	  a_cut_stands_for_exactly_what_both_stand_for,
	  a_double_star_may_be_covered_by_several_together, the_longest_paths_are_taken,
	  a_double_star_has_no_longest_path, a_cut_that_can_not_be_written_is_nothing)
