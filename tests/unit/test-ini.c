/*
 * tests/unit/test-ini.c - what lines of a file are, and that every other line is refused with its
 * number.
 */
#include "agent/policy/ini.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/policy/near.h"
#include "tests/unit/unit.h"

/* What a scan said, as one text: "[Section]@1 Key=value@2 ", and then "!3: mistake" or the end. */
struct heard {
	char text[16384];
	size_t n;
	int give_up_with;
};

static int on_section(void *userdata, const char *name, unsigned line)
{
	struct heard *h = userdata;

	h->n += (size_t)snprintf(h->text + h->n, sizeof(h->text) - h->n, "[%s]@%u ", name, line);
	return h->give_up_with;
}

static int on_entry(void *userdata, const char *key, const char *value, unsigned line)
{
	struct heard *h = userdata;

	h->n += (size_t)snprintf(h->text + h->n, sizeof(h->text) - h->n, "%s=%s@%u ", key, value,
				 line);
	return 0;
}

static const struct ini_events events = { on_section, on_entry };

static const char *scan(struct heard *h, struct span text)
{
	struct policy_error e = { .line = 0 };
	int r;

	*h = (struct heard){ .n = 0 };
	r = ini_scan("F", text, &events, h, &e);
	if (r < 0)
		h->n += (size_t)snprintf(h->text + h->n, sizeof(h->text) - h->n, "!%u: %s", e.line,
					 e.message);
	ck_assert(r == 0 || r == -EINVAL);
	ck_assert(r == 0 || strcmp(e.file, "F") == 0);
	return h->text;
}

static void check(struct span text, const char *expected)
{
	struct heard h;

	ck_assert_str_eq(scan(&h, text), expected);
}

START_TEST(sections_and_entries_are_told_in_order_with_their_lines)
{
	check(SPAN_NONE, "");
	check(SPAN(""), "");
	check(SPAN("\n\n"), "");
	check(SPAN("# a\n; b\n\n[A]\nK=v\n"), "[A]@4 K=v@5 ");
	check(SPAN("[A]\nK=v"), "[A]@1 K=v@2 ");
	check(SPAN("[A]\n[A]\n[A x]\n"), "[A]@1 [A]@2 [A x]@3 ");
	check(SPAN("[A]\nK=1\nK=2\n[B]\nK=3\n"), "[A]@1 K=1@2 K=2@3 [B]@4 K=3@5 ");
}
END_TEST

START_TEST(white_space_around_the_equals_sign_and_at_the_end_is_no_part_of_anything)
{
	check(SPAN("[A] \t\nK = v w \t\n \t \nL\t=\tx"), "[A]@1 K=v w@2 L=x@4 ");
	check(SPAN("[A]\nK=a  b\n"), "[A]@1 K=a  b@2 ");
}
END_TEST

START_TEST(values_are_kept_to_the_letter)
{
	check(SPAN("[A]\nK=a:b=c#d;e\n"), "[A]@1 K=a:b=c#d;e@2 ");
	check(SPAN("[A]\nK=;\nL=#x\n"), "[A]@1 K=;@2 L=#x@3 ");
	check(SPAN("[A]\nK=\"q\"\nU=dev-disk\\x2duuid.swap\n"),
	      "[A]@1 K=\"q\"@2 U=dev-disk\\x2duuid.swap@3 ");
	check(SPAN("[A]\nK=gr\xC3\xB6\xC3\x9F"
		   "er \xE2\x82\xAC\n"),
	      "[A]@1 K=gr\xC3\xB6\xC3\x9F"
	      "er \xE2\x82\xAC@2 ");
	check(SPAN("[A]\nK=[x]\n"), "[A]@1 K=[x]@2 ");
	check(SPAN("[A]\nK=a\tb\n"), "[A]@1 K=a\tb@2 ");
}
END_TEST

START_TEST(a_line_goes_on_in_the_next_as_in_unit_files)
{
	check(SPAN("[A]\nK=a \\\n  b\nL=c\n"), "[A]@1 K=a  b@2 L=c@4 ");
	check(SPAN("[A]\nK=a\\\nb\\\n\tc\nL=d\n"), "[A]@1 K=a b c@2 L=d@5 ");
	check(SPAN("[A]\nK=\\\n a"), "[A]@1 K=a@2 ");
	/* Comments among them are passed over, and go on nowhere; an empty line is the last of it. */
	check(SPAN("[A]\nK=a \\\n# b \\\n ; c\nd\n"), "[A]@1 K=a  d@2 ");
	check(SPAN("# a \\\n[A]\n"), "[A]@2 ");
	check(SPAN("[A]\nK=a\\\n\nL=b\n"), "[A]@1 K=a@2 L=b@4 ");
	check(SPAN("[A]\nK=a\\\nL=b\n"), "[A]@1 K=a L=b@2 ");
	check(SPAN("[A]\n\\\n\nL=b\n"), "[A]@1 L=b@4 ");
	/* Two stand for no such thing. */
	check(SPAN("[A]\nK=a\\\\b\n"), "[A]@1 K=a\\\\b@2 ");
	check(SPAN("[A]\nK=a\\\\\\\nb\n"), "[A]@1 K=a\\\\ b@2 ");
}
END_TEST

START_TEST(white_space_before_a_line_is_no_part_of_it)
{
	check(SPAN("  [A]\n\tK=v\n \t# x\n  ; y\n"), "[A]@1 K=v@2 ");
}
END_TEST

START_TEST(lines_that_go_on_have_an_end_together)
{
	static char text[3 * INI_LINE_MAX];
	size_t n = (size_t)snprintf(text, sizeof(text), "[A]\nK=");
	struct heard h;

	for (int i = 0; i < 3; i++) {
		memset(text + n, 'x', 1500);
		memcpy(text + n + 1500, "\\\n", 2);
		n += 1502;
	}
	ck_assert_str_eq(scan(&h, (struct span){ text, n }),
			 "[A]@1 !4: more than 4096 bytes with the lines before that go on in this "
			 "one: give the key again on another line");
}
END_TEST

START_TEST(every_other_line_is_a_mistake_that_says_what_would_be_right)
{
	static const struct {
		struct span text;
		const char *said;
	} mistakes[] = {
		{ SPAN("K=v\n"), "!1: K= stands before any [SECTION]" },
		{ SPAN("[A]\nK\n"),
		  "[A]@1 !2: neither KEY=VALUE nor [SECTION]; a comment begins with '#'" },
		{ SPAN("[A]\nK: v\n"),
		  "[A]@1 !2: neither KEY=VALUE nor [SECTION]; a comment begins with '#'" },
		{ SPAN("[A]\nK:x=v\n"), "[A]@1 !2: before the '=' stands a key of at most 32 "
					"letters; a comment begins with '#'" },
		{ SPAN("[A]\n=v\n"), "[A]@1 !2: before the '=' stands a key of at most 32 letters; "
				     "a comment begins with '#'" },
		{ SPAN("[A]\nK L=v\n"), "[A]@1 !2: before the '=' stands a key of at most 32 "
					"letters; a comment begins with '#'" },
		{ SPAN("[A]\nAbcdefghijklmnopqrstuvwxyz1234567=v\n"),
		  "[A]@1 !2: before the '=' stands a key of at most 32 letters; a comment begins "
		  "with '#'" },
		{ SPAN("[A]\nK=\n"),
		  "[A]@1 !2: K= has no value; give it one or take the line out" },
		{ SPAN("[A]\nK= \t\n"),
		  "[A]@1 !2: K= has no value; give it one or take the line out" },
		{ SPAN("[A]\nK=v ; x\n"),
		  "[A]@1 !2: a ';' after white space; a comment stands on a line of its own" },
		{ SPAN("[A]\nK= ;x\n"),
		  "[A]@1 !2: a ';' after white space; a comment stands on a line of its own" },
		{ SPAN("[A]\nK=a\n  b\n"),
		  "[A]@1 K=a@2 !3: neither KEY=VALUE nor [SECTION]; a comment begins with '#'" },
		{ SPAN("[A]\nK=a \\ \nL=b\n"),
		  "[A]@1 !2: K= ends in a '\\' that does not go on in the next line: a single one "
		  "does, with nothing after it" },
		{ SPAN("[A]\nK=a\\\\\nL=b\n"),
		  "[A]@1 !2: K= ends in a '\\' that does not go on in the next line: a single one "
		  "does, with nothing after it" },
		{ SPAN("[A]\nK=a\\"),
		  "[A]@1 !2: the file ends where a '\\' says that the line goes on" },
		{ SPAN("[A]\nK=a\\\n# b\n"),
		  "[A]@1 !3: the file ends where a '\\' says that the line goes on" },
		{ SPAN("[A]\nK=a\\\n b\r\n"), "[A]@1 !3: the line ends in CR LF; lines end in LF "
					      "alone (dos2unix changes that)" },
		{ SPAN("[A]\nK=\\\n\nL=x\n"),
		  "[A]@1 !2: K= has no value; give it one or take the line out" },
		{ SPAN("[A] \\\nK=v\n"), "!1: a section is [NAME], with nothing after the ']'" },
		{ SPAN("[A\n"), "!1: a section is [NAME], with nothing after the ']'" },
		{ SPAN("[\n"), "!1: a section is [NAME], with nothing after the ']'" },
		{ SPAN("[A] x\n"), "!1: a section is [NAME], with nothing after the ']'" },
		{ SPAN("[A] # x\n"), "!1: a section is [NAME], with nothing after the ']'" },
		{ SPAN("[]\n"), "!1: a section without a name" },
		{ SPAN("[A][B]\n"), "!1: a section is [NAME], with no brackets in its name" },
		{ SPAN("[[A]]\n"), "!1: a section is [NAME], with no brackets in its name" },
		{ SPAN("\xEF\xBB\xBF[A]\n"),
		  "!1: a byte order mark; save the file as UTF-8 without one" },
		{ SPAN("[A]\r\nK=v\r\n"),
		  "!1: the line ends in CR LF; lines end in LF alone (dos2unix changes that)" },
		{ SPAN("[A]\nK=v\r"), "[A]@1 !2: the line ends in CR LF; lines end in LF alone "
				      "(dos2unix changes that)" },
		{ SPAN("[A]\nK=a\rb\n"),
		  "[A]@1 !2: a control character (0x0D) at byte 4 of the line; take it out" },
		{ SPAN("[A]\nK=\033[2J\n"),
		  "[A]@1 !2: a control character (0x1B) at byte 3 of the line; take it out" },
		{ SPAN("[A]\nK=\x7F\n"),
		  "[A]@1 !2: a control character (0x7F) at byte 3 of the line; take it out" },
		{ SPAN("# a\0b\n"), "!1: a NUL at byte 4 of the line; the file must be text" },
		{ SPAN("[A]\nK=v\0\n"),
		  "[A]@1 !2: a NUL at byte 4 of the line; the file must be text" },
		{ SPAN("\0"), "!1: a NUL at byte 1 of the line; the file must be text" },
		{ SPAN("[A]\nK=\xFFx\n"),
		  "[A]@1 !2: not UTF-8 at byte 3 of the line; save the file as UTF-8" },
		{ SPAN("[A]\nK=x\xC3\n"),
		  "[A]@1 !2: not UTF-8 at byte 4 of the line; save the file as UTF-8" },
		{ SPAN("# \xC0\x80\n"),
		  "!1: not UTF-8 at byte 3 of the line; save the file as UTF-8" },
		{ SPAN("[A]\nK=a\xE2\x80\xAE"
		       "b\n"),
		  "[A]@1 !2: an invisible character at byte 4 of the line, which may make it look "
		  "like another; take "
		  "it out" },
		{ SPAN("# \xE2\x80\xA8\n"), "!1: an invisible character at byte 3 of the line, "
					    "which may make it look like another; take it out" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(mistakes); i++)
		check(mistakes[i].text, mistakes[i].said);
}
END_TEST

START_TEST(the_first_mistake_ends_the_reading)
{
	check(SPAN("[A]\nK\nL\nM=v\n"),
	      "[A]@1 !2: neither KEY=VALUE nor [SECTION]; a comment begins with '#'");
}
END_TEST

START_TEST(an_event_that_fails_ends_the_reading_with_what_it_returned)
{
	struct heard h = { .give_up_with = -ENOMEM };
	struct policy_error e;

	ck_assert_int_eq(ini_scan("F", SPAN("[A]\nK=v\n"), &events, &h, &e), -ENOMEM);
	ck_assert_str_eq(h.text, "[A]@1 ");
}
END_TEST

/*
 * A line longer than the library's own buffer (200 bytes as distributions build it) means the same
 * as a short one.
 */
START_TEST(a_value_of_any_length_comes_through_whole)
{
	static char text[INI_LINE_MAX + 64], expected[INI_LINE_MAX + 64];
	struct heard h;

	for (size_t n = 1; n <= INI_LINE_MAX - 2; n = n < 600 ? n + 1 : n + 487) {
		size_t at = (size_t)snprintf(text, sizeof(text), "[A]\nK=");

		for (size_t i = 0; i < n; i++)
			text[at + i] = i % 9 == 7 && i + 1 < n ? ' '
				       : i % 13 == 3	       ? '='
							       : (char)('a' + i % 26);
		text[at + n] = '\0';
		snprintf(expected, sizeof(expected), "[A]@1 K=%s@2 ", text + at);
		snprintf(text + at + n, sizeof(text) - at - n, "\n");
		ck_assert_str_eq(scan(&h, span_of(text)), expected);
	}
}
END_TEST

START_TEST(no_value_is_changed_by_where_it_is_cut)
{
	static const char alphabet[] = "ab ;#=[:\\\t\"";
	uint64_t random = 1;
	static char text[2048], expected[2048];
	struct heard h;

	for (unsigned round = 0; round < 3000; round++) {
		size_t n = 150 + unit_random(&random) % 500;
		char value[700];

		for (size_t i = 0; i < n; i++)
			value[i] = alphabet[unit_random(&random) % (sizeof(alphabet) - 1)];
		value[0] = value[n - 1] = 'x';
		value[n] = '\0';
		for (size_t i = 1; i < n; i++)
			if (value[i] == ';' && strchr(" \t", value[i - 1]))
				value[i] = 'y';
		snprintf(text, sizeof(text), "[A]\nKey=%s\n", value);
		snprintf(expected, sizeof(expected), "[A]@1 Key=%s@2 ", value);
		ck_assert_str_eq(scan(&h, span_of(text)), expected);
	}
}
END_TEST

START_TEST(a_line_has_an_end)
{
	static char text[200000];
	struct heard h;

	for (size_t n = INI_LINE_MAX + 1; n < sizeof(text); n += 50000) {
		char expected[128];

		memset(text, 'x', n);
		memcpy(text, "#", 1);
		snprintf(expected, sizeof(expected),
			 "!1: a line of %zu bytes; at most 4096: give the key again on "
			 "another line",
			 n);
		ck_assert_str_eq(scan(&h, (struct span){ text, n }), expected);
	}
	memset(text, ' ', 4000);
	memcpy(text, "[A]\nK=a", 7);
	text[4000] = 'b';
	check((struct span){ text, 4001 },
	      "[A]@1 !2: too long for what it says; give the key again on another line");
}
END_TEST

START_TEST(no_bytes_at_all_do_harm)
{
	static const char alphabet[] = "[]=#; \n\n\rAK\0\xC3\xA9\xFFv\\";
	uint64_t random = 7;

	for (unsigned round = 0; round < 20000; round++) {
		char text[64];
		size_t n = unit_random(&random) % sizeof(text);
		struct heard h = { .n = 0 };
		struct policy_error e = { .line = 0 };

		for (size_t i = 0; i < n; i++)
			text[i] = alphabet[unit_random(&random) % (sizeof(alphabet) - 1)];
		if (ini_scan("F", (struct span){ text, n }, &events, &h, &e) < 0)
			ck_assert(e.line > 0 && e.message[0]);
	}
}
END_TEST

static const char *candidate(const void *userdata, size_t i)
{
	const char *const *words = userdata;

	return words[i];
}

START_TEST(a_misspelt_word_finds_the_one_that_was_meant)
{
	static const char *const words[] = { "User",	  "Group",     "Scope", "Unit",
					     "Container", "MaxTokens", NULL };
	static const char *const pairs[][2] = {
		{ "Scop", "Scope" },
		{ "Scoep", "Scope" },
		{ "scope", "Scope" },
		{ "SCOPE", "Scope" },
		{ "Scopes", "Scope" },
		{ "Users", "User" },
		{ "Usre", "User" },
		{ "Contaner", "Container" },
		{ "Kontainer", "Container" },
		{ "MaxToken", "MaxTokens" },
		{ "Uint", "Unit" },
		{ "grup", "Group" },
		{ "Path", NULL },
		{ "Exec", NULL },
		{ "", NULL },
		{ "Lifetime", NULL },
		{ "aVeryLongWordThatIsLongerThanAnyOfTheCandidatesCouldPossiblyEverBecome", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		const char *near = near_find(pairs[i][0], candidate, words);

		if (pairs[i][1])
			ck_assert_str_eq(near, pairs[i][1]);
		else
			ck_assert_ptr_null(near);
	}
}
END_TEST

START_TEST(a_mistake_keeps_the_end_of_a_long_path_and_whole_characters)
{
	struct policy_error e;
	char path[600];

	memset(path, 'a', sizeof(path) - 1);
	memcpy(path + sizeof(path) - 8, "/the.end", 8);
	path[sizeof(path) - 1] = '\0';
	ck_assert_int_eq(policy_mistake(&e, path, 3, "%0600d\xC3\xA9", 1), -EINVAL);
	ck_assert_uint_eq(strlen(e.file), sizeof(e.file) - 1);
	ck_assert(strncmp(e.file, "...", 3) == 0);
	ck_assert_str_eq(e.file + sizeof(e.file) - 8, "/the.en");
	ck_assert_uint_eq(strlen(e.message), sizeof(e.message) - 1);
	policy_mistake(&e, "F", 3, "%0510d\xC3\xA9", 1);
	ck_assert_str_eq(e.message + 509, "1?");
}
END_TEST

UNIT_MAIN("ini", sections_and_entries_are_told_in_order_with_their_lines,
	  white_space_around_the_equals_sign_and_at_the_end_is_no_part_of_anything,
	  values_are_kept_to_the_letter, a_line_goes_on_in_the_next_as_in_unit_files,
	  white_space_before_a_line_is_no_part_of_it, lines_that_go_on_have_an_end_together,
	  every_other_line_is_a_mistake_that_says_what_would_be_right,
	  the_first_mistake_ends_the_reading,
	  an_event_that_fails_ends_the_reading_with_what_it_returned,
	  a_value_of_any_length_comes_through_whole, no_value_is_changed_by_where_it_is_cut,
	  a_line_has_an_end, no_bytes_at_all_do_harm, a_misspelt_word_finds_the_one_that_was_meant,
	  a_mistake_keeps_the_end_of_a_long_path_and_whole_characters)
