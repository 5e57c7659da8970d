/*
 * tests/unit/test-man-pages.c - what pages and shipped files say of settings and policies, held
 * against the tables that the agent reads them by.
 *
 * The pages are read from the top of the tree, where tests are run.
 */
#include <stdio.h>
#include <string.h>

#include "agent/policy/rules-keys.h"
#include "agent/settings.h"
#include "tests/unit/unit.h"

static char page[256 * 1024];

/* The file as it stands, but for what troff wants before a hyphen. */
static void read_page(const char *path)
{
	FILE *f = fopen(path, "re");
	size_t n = 0;
	int c, escaped = 0;

	ck_assert_msg(f != NULL, "%s is not there", path);
	while (n < sizeof(page) - 1 && (c = getc(f)) != EOF) {
		if (c == '-' && escaped)
			n--;
		page[n++] = (char)c;
		escaped = c == '\\';
	}
	page[n] = '\0';
	fclose(f);
}

/*
 * The part of the page between a line that begins with `title` and the next that begins with
 * `stop` (or the end): cut out in place.
 */
static const char *part_of(const char *title, const char *stop)
{
	static char part[sizeof(page)];
	char line[256];
	char *start, *end;

	snprintf(line, sizeof(line), "\n%s", title);
	start = strstr(page, line);
	ck_assert_msg(start != NULL, "there is no '%s'", title);
	snprintf(line, sizeof(line), "\n%s", stop);
	end = strstr(start + 1, line);
	snprintf(part, sizeof(part), "%.*s", (int)(end ? end - start : (ptrdiff_t)strlen(start)),
		 start);
	return part;
}

/* Whether the word stands in the text and is no part of a longer one. */
static bool has_word(const char *text, const char *word)
{
	static const char inner[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t n = strlen(word);

	for (const char *p = strstr(text, word); p; p = strstr(p + 1, word))
		if ((p == text || !strchr(inner, p[-1])) && (!p[n] || !strchr(inner, p[n])))
			return true;
	return false;
}

/* The paragraph (from one .TP to the next) whose heading has NAME=. */
static const char *paragraph_of(const char *name)
{
	static char paragraph[8192];
	char word[64];

	snprintf(word, sizeof(word), "%s=", name);
	for (char *p = strstr(page, "\n.TP\n"); p; p = strstr(p + 1, "\n.TP\n")) {
		const char *heading = p + strlen("\n.TP\n");
		const char *end = strstr(heading, "\n.TP\n");
		int n_heading = (int)strcspn(heading, "\n");

		if (!end)
			end = heading + strlen(heading);
		snprintf(paragraph, sizeof(paragraph), "%.*s", n_heading, heading);
		if (!has_word(paragraph, word))
			continue;
		snprintf(paragraph, sizeof(paragraph), "%.*s", (int)(end - heading), heading);
		return paragraph;
	}
	ck_abort_msg("%s has no paragraph", word);
}

START_TEST(every_setting_is_in_its_page_with_what_is_shipped_and_its_bounds)
{
	size_t n;
	const struct setting *table = settings_table(&n);

	read_page("docs/man/jeton.conf.5");
	for (size_t i = 0; i < n; i++) {
		const struct setting *t = &table[i];
		const char *text = paragraph_of(t->name);

		UNIT_CHECK(has_word(text, t->shipped), "%s=: not that %s is shipped", t->name,
			   t->shipped);
		UNIT_CHECK(!t->shipped_user || has_word(text, t->shipped_user),
			   "%s=: not that %s is shipped for a user", t->name, t->shipped_user);
		UNIT_CHECK(!t->min || (has_word(text, t->min) && has_word(text, t->max)),
			   "%s=: not that it goes from %s to %s", t->name, t->min, t->max);
		for (size_t j = 0; t->choices && t->choices[j]; j++)
			UNIT_CHECK(has_word(text, t->choices[j]), "%s=: not '%s'", t->name,
				   t->choices[j]);
	}
}
END_TEST

START_TEST(the_shipped_file_has_every_setting_as_it_is_without_it)
{
	size_t n;
	const struct setting *table = settings_table(&n);
	char line[128];

	read_page("units/jeton.conf");
	for (size_t i = 0; i < n; i++) {
		snprintf(line, sizeof(line), "\n#%s=%s\n", table[i].name, table[i].shipped);
		UNIT_CHECK(strstr(page, line), "no line #%s=%s", table[i].name, table[i].shipped);
	}
}
END_TEST

static const struct {
	const char *in_page, *in_example;
	const struct key *keys;
} sections[] = {
	{ ".SS [Access]", "# ---- [Access]", access_keys },
	{ ".SS [Credential", "# ---- [Credential", credential_keys },
	{ ".SS [Fetch]", "# ---- [Fetch]", fetch_keys },
	{ ".SS [Verify]", "# ---- [Verify]", verify_keys },
};

/* Whether a key that a text tells of is one of the table's. */
static bool is_key(const struct key *keys, const char *name, size_t n)
{
	for (; keys->name; keys++)
		if (strlen(keys->name) == n && memcmp(keys->name, name, n) == 0)
			return true;
	return false;
}

START_TEST(every_key_of_a_policy_is_told_of_where_its_section_is)
{
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		char word[64];

		for (const struct key *k = sections[i].keys; k->name; k++) {
			snprintf(word, sizeof(word), "%s=", k->name);
			read_page("docs/man/jeton.policy.5");
			UNIT_CHECK(has_word(part_of(sections[i].in_page, ".S"), word),
				   "jeton.policy(5): %s does not tell of %s", sections[i].in_page,
				   word);
			if (k->flags & KEY_NO_PLACE)
				continue;
			read_page("units/example.policy");
			UNIT_CHECK(has_word(part_of(sections[i].in_example, "# ---- ["), word),
				   "example.policy: %s does not tell of %s",
				   sections[i].in_example, word);
		}
	}
}
END_TEST

START_TEST(no_heading_tells_of_a_key_that_there_is_not)
{
	read_page("docs/man/jeton.policy.5");
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		char *part = strdup(part_of(sections[i].in_page, ".S"));

		for (char *p = strstr(part, "\n.TP\n"); p; p = strstr(p + 1, "\n.TP\n")) {
			char *heading = p + strlen("\n.TP\n"), *end = strchr(heading, '\n');

			for (char *equals = heading; (equals = memchr(equals, '=', (size_t)(end - equals)));
			     equals++) {
				char *start = equals;

				while (start > heading && strchr(" \"", start[-1]) == NULL)
					start--;
				UNIT_CHECK(is_key(sections[i].keys, start,
						  (size_t)(equals - start)),
					   "%s takes no '%.*s'", sections[i].in_page,
					   (int)(equals - start), start);
			}
		}
		free(part);
	}
}
END_TEST

UNIT_MAIN("man pages", every_setting_is_in_its_page_with_what_is_shipped_and_its_bounds,
	  the_shipped_file_has_every_setting_as_it_is_without_it,
	  every_key_of_a_policy_is_told_of_where_its_section_is,
	  no_heading_tells_of_a_key_that_there_is_not)
