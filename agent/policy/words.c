/*
 * agent/policy/words.c
 *
 * Judged strictly when a file is read, since a word that can match nothing (a unit without its
 * suffix, a scope without its action, two names with a comma between) is a rule that silently does
 * not hold.
 */
#include "agent/policy/words.h"

#include "protocol/base/parse.h"
#include "protocol/scope.h"

enum { ID_MAX = 256, UNIT_MAX = 255, CREDENTIAL_NAME_MAX = 64 };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool word_next(struct span *rest, struct span *ret_word)
{
	const char *p = rest->p, *end = rest->p + rest->n, *start;

	while (p < end && is_blank(*p))
		p++;
	start = p;
	while (p < end && !is_blank(*p))
		p++;
	*rest = (struct span){ p, (size_t)(end - p) };
	if (p == start)
		return false;
	*ret_word = (struct span){ start, (size_t)(p - start) };
	return true;
}

/* Whether every byte of the word is a letter or digit of ASCII or among `others`. */
static bool made_of(struct span word, const char *others)
{
	for (size_t i = 0; i < word.n; i++) {
		char c = word.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr(others, c)))
			return false;
	}
	return true;
}

static bool contains(struct span word, const char *any_of)
{
	for (size_t i = 0; i < word.n; i++)
		if (strchr(any_of, word.p[i]))
			return true;
	return false;
}

static bool all_digits(struct span word)
{
	for (size_t i = 0; i < word.n; i++)
		if (word.p[i] < '0' || word.p[i] > '9')
			return false;
	return word.n > 0;
}

const char *word_check_id(struct span word, bool *ret_number, uint32_t *ret_id)
{
	uint64_t id;

	*ret_number = all_digits(word);
	if (*ret_number) {
		/* The highest number is what the kernel calls nobody at all. */
		if (parse_u64(word, UINT32_MAX - 1, &id) < 0)
			return "is no number of a user or group; these go from 0 to 4294967294, "
			       "without leading zeros";
		*ret_id = (uint32_t)id;
		return NULL;
	}
	if (word.p[0] == '#')
		return "is no name; a comment stands on a line of its own";
	if (contains(word, ","))
		return "has a comma; names stand apart by spaces";
	if (contains(word, "*?["))
		return "has a wildcard, which only units take; name each one, or '*' alone in "
		       "User= for everyone";
	if (word.n > ID_MAX || word.p[0] == '-' || contains(word, ":/;=\"'`()<>{}|&!%^"))
		return "can be no name of a user or group; give a name or a number as getent(1) "
		       "shows it";
	return NULL;
}

/* Units end in one of these; a pattern without one may still match if a wildcard stands for it. */
static bool ends_as_unit(struct span word)
{
	static const char *const suffixes[] = { ".service", ".scope",  ".socket",   ".mount",
						".swap",    ".timer",  ".path",	    ".slice",
						".target",  ".device", ".automount" };

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i]);

		if (word.n > n && memcmp(word.p + word.n - n, suffixes[i], n) == 0)
			return true;
	}
	return false;
}

static bool brackets_are_closed(struct span word)
{
	for (size_t i = 0; i < word.n; i++) {
		const char *close;

		if (word.p[i] != '[')
			continue;
		/* A ']' right after the '[' or its '!' is one of the characters. */
		i++;
		if (i < word.n && strchr("!^", word.p[i]))
			i++;
		if (i >= word.n)
			return false;
		close = memchr(word.p + i + 1, ']', word.n - i - 1);
		if (!close)
			return false;
		i = (size_t)(close - word.p);
	}
	return true;
}

const char *word_check_unit(struct span word)
{
	if (word.p[0] == '#')
		return "is no unit; a comment stands on a line of its own";
	if (contains(word, ","))
		return "has a comma; units stand apart by spaces";
	if (contains(word, "/"))
		return "has a '/'; a unit is named without its path, as systemctl(1) shows it";
	if (word.n > UNIT_MAX)
		return "is too long; the name of a unit has at most 255 characters";
	if (!made_of(word, ":_.@\\-*?[]!^"))
		return "has characters that no unit's name has; these are letters, digits and "
		       ":_.@-\\, and here also *?[]";
	if (!brackets_are_closed(word))
		return "has a '[' without its ']'";
	if (!ends_as_unit(word) && !contains(word, "*?["))
		return "ends as no unit does; give its whole name, as in 'NAME.service'";
	return NULL;
}

const char *word_check_scope(struct span word)
{
	const char *colon;

	if (scope_is_pattern(word))
		return NULL;
	if (word.p[0] == '#')
		return "is no scope; a comment stands on a line of its own";
	if (contains(word, ","))
		return "has a comma; scopes stand apart by spaces";
	if (word.n > SCOPE_MAX)
		return "is too long; a scope has at most 128 characters";
	colon = memchr(word.p, ':', word.n);
	if (!colon)
		return "has no action; a scope is PATH:ACTION, as in 'acme/risk:read'";
	if (!made_of(word, "._-/:*"))
		return "has characters that no scope has; its names are of letters, digits and ._-";
	return "is no scope; a scope is PATH:ACTION, as in 'acme/risk:read', where a '*' stands "
	       "for a whole name "
	       "and a '**' for the rest of the path";
}

const char *word_check_credential(struct span word)
{
	if (word.p[0] == '#')
		return "is no credential; a comment stands on a line of its own";
	if (contains(word, ","))
		return "has a comma; credentials stand apart by spaces";
	if (word.n > CREDENTIAL_NAME_MAX)
		return "is too long; the name of a credential has at most 64 characters";
	if (!made_of(word, "._-") || span_is(word, ".") || span_is(word, ".."))
		return "can be no credential's name; it is of letters, digits and ._-, and not '.' "
		       "or '..'";
	return NULL;
}
