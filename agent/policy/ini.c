/*
 * agent/policy/ini.c
 *
 * libinih splits keys from values. As distributions build it, it gives no line numbers, is silent
 * about sections, takes indented lines as more of the line before, `:` for `=` and ` ;` as the
 * start of a comment, cuts section names at 50 bytes and lines at 200. A rule that is read as
 * another than its author wrote would be worse than none, so it is only shown lines that mean the
 * same to it and to us: its reader callback cuts, counts and judges the lines, joins those that go
 * on in the next, keeps sections and comments to itself, and hands a line too long for the library
 * over in pieces, each under the same key, which are joined again. The invariant: one line of the
 * file, with those that it goes on in, becomes one event or one mistake.
 */
#include "agent/policy/ini.h"

#include <errno.h>
#include <ini.h>
#include <stdbool.h>
#include <stdio.h>

#include "protocol/base/parse.h"

struct scan {
	const char *path;
	const struct ini_events *on;
	void *userdata;
	struct policy_error *error;
	int r; /* what has ended the reading; 0: nothing yet */

	struct span rest; /* of the text: the lines still to come */
	unsigned n_lines; /* taken from it */
	unsigned line;	  /* what is being judged is told of by this number */
	bool in_section;

	/* A line that goes on in others, with what of them there is by now. */
	char joined[INI_LINE_MAX + 1];
	size_t n_joined;

	/*
	 * The entry that is on its way through the library: what of its value is still to be handed
	 * over ...
	 */
	char key[INI_KEY_MAX + 1];
	struct span pending;
	bool under_way;
	/* ... and what has come back. */
	char value[INI_LINE_MAX + 1];
	size_t n_value;
};

#define mistake(s, ...) policy_mistake((s)->error, (s)->path, (s)->line, __VA_ARGS__)

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span trim_start(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	return s;
}

static struct span trim(struct span s)
{
	s = trim_start(s);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static struct span next_line(struct scan *s)
{
	const char *end = memchr(s->rest.p, '\n', s->rest.n);
	struct span line = { s->rest.p, end ? (size_t)(end - s->rest.p) : s->rest.n };
	size_t taken = line.n + (end ? 1 : 0);

	s->rest = (struct span){ s->rest.p + taken, s->rest.n - taken };
	s->line = ++s->n_lines;
	return line;
}

/* The length of the longest beginning that is fit to be shown; line.n where all of it is. */
static size_t clean_length(struct span line)
{
	size_t at = 0;

	while (at < line.n) {
		size_t n = 1;

		while (n < 4 && at + n < line.n && ((unsigned char)line.p[at + n] & 0xC0) == 0x80)
			n++;
		if (line.p[at] != '\t' && !utf8_clean((struct span){ line.p + at, n }))
			break;
		at += n;
	}
	return at;
}

/* Says what is wrong with the first byte that has no place in a line. */
static int bad_byte(struct scan *s, struct span line, size_t at)
{
	unsigned char c = (unsigned char)line.p[at];

	if (c == '\r' && at + 1 == line.n)
		return mistake(
			s, "the line ends in CR LF; lines end in LF alone (dos2unix changes that)");
	if (c == 0)
		return mistake(s, "a NUL at byte %zu of the line; the file must be text", at + 1);
	if (c < 0x20 || c == 0x7F)
		return mistake(s,
			       "a control character (0x%02X) at byte %zu of the line; take it out",
			       c, at + 1);
	if (!utf8_valid(line))
		return mistake(s, "not UTF-8 at byte %zu of the line; save the file as UTF-8",
			       at + 1);
	return mistake(s,
		       "an invisible character at byte %zu of the line, which may make it look "
		       "like another; take it out",
		       at + 1);
}

static int check_bytes(struct scan *s, struct span line)
{
	size_t clean;

	if (line.n > INI_LINE_MAX)
		return mistake(
			s, "a line of %zu bytes; at most %d: give the key again on another line",
			line.n, INI_LINE_MAX);
	if (s->line == 1 && line.n >= 3 && memcmp(line.p, "\xEF\xBB\xBF", 3) == 0)
		return mistake(s, "a byte order mark; save the file as UTF-8 without one");
	clean = clean_length(line);
	return clean < line.n ? bad_byte(s, line, clean) : 0;
}

static int take_section(struct scan *s, struct span text)
{
	char name[INI_SECTION_MAX + 1];

	if (text.p[text.n - 1] != ']')
		return mistake(s, "a section is [NAME], with nothing after the ']'");
	text = (struct span){ text.p + 1, text.n - 2 };
	if (text.n == 0)
		return mistake(s, "a section without a name");
	if (text.n > INI_SECTION_MAX)
		return mistake(s, "a section's name has at most %d bytes", INI_SECTION_MAX);
	if (memchr(text.p, '[', text.n) || memchr(text.p, ']', text.n))
		return mistake(s, "a section is [NAME], with no brackets in its name");

	memcpy(name, text.p, text.n);
	name[text.n] = '\0';
	s->in_section = true;
	return s->on->on_section(s->userdata, name, s->line);
}

static bool is_key(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
			return false;
	}
	return text.n > 0 && text.n <= INI_KEY_MAX;
}

/* What the library would take for the start of a comment. */
static bool has_inline_comment(struct span value)
{
	for (size_t i = 1; i < value.n; i++)
		if (value.p[i] == ';' && is_blank(value.p[i - 1]))
			return true;
	return false;
}

/* Judges a KEY=VALUE line and gets it under way through the library. */
static int take_entry(struct scan *s, struct span line)
{
	const char *equals = memchr(line.p, '=', line.n);
	struct span key, value;

	if (!equals)
		return mistake(s, "neither KEY=VALUE nor [SECTION]; a comment begins with '#'");
	key = trim((struct span){ line.p, (size_t)(equals - line.p) });
	value = trim((struct span){ equals + 1, line.n - (size_t)(equals + 1 - line.p) });
	if (!is_key(key))
		return mistake(s,
			       "before the '=' stands a key of at most %d letters; a comment "
			       "begins with '#'",
			       INI_KEY_MAX);
	memcpy(s->key, key.p, key.n);
	s->key[key.n] = '\0';
	if (!s->in_section)
		return mistake(s, "%s= stands before any [SECTION]", s->key);
	if (value.n == 0)
		return mistake(s, "%s= has no value; give it one or take the line out", s->key);
	if (value.p[value.n - 1] == '\\')
		return mistake(s,
			       "%s= ends in a '\\' that does not go on in the next line: a "
			       "single one does, with nothing after it",
			       s->key);
	if (has_inline_comment((struct span){ equals, (size_t)(value.p + value.n - equals) }))
		return mistake(s, "a ';' after white space; a comment stands on a line of its own");

	s->pending = value;
	s->n_value = 0;
	s->under_way = true;
	return 0;
}

/* Whether a line ends in a '\\' that no other one stands for: it goes on in the next. */
static bool goes_on(struct span line)
{
	size_t n = 0;

	while (n < line.n && line.p[line.n - 1 - n] == '\\')
		n++;
	return n % 2 == 1;
}

static bool is_comment(struct span text)
{
	return text.n > 0 && (text.p[0] == '#' || text.p[0] == ';');
}

/* Puts a line to those before that went on in it, with a space for the '\\' that said so. */
static int join(struct scan *s, struct span line)
{
	bool more = goes_on(line);
	size_t n = line.n - (more ? 1 : 0);

	if (n + 1 > INI_LINE_MAX - s->n_joined)
		return mistake(s,
			       "more than %d bytes with the lines before that go on in this one: "
			       "give the key again on another line",
			       INI_LINE_MAX);
	memcpy(s->joined + s->n_joined, line.p, n);
	s->n_joined += n;
	if (more)
		s->joined[s->n_joined++] = ' ';
	return more;
}

/*
 * Takes the lines that a first one goes on in, as unit files have it: comments among them are
 * passed over, an empty one is the last. Afterwards *line is all of it, under the first one's
 * number.
 */
static int take_joined(struct scan *s, struct span *line)
{
	unsigned first = s->line;
	int r;

	s->n_joined = 0;
	r = join(s, *line);
	while (r > 0) {
		if (s->rest.n == 0)
			return mistake(s, "the file ends where a '\\' says that the line goes on");
		*line = next_line(s);
		r = check_bytes(s, *line);
		if (r == 0)
			r = is_comment(trim(*line)) ? 1 : join(s, trim_start(*line));
	}
	*line = (struct span){ s->joined, s->n_joined };
	s->line = r < 0 ? s->line : first;
	return r;
}

static int take_line(struct scan *s)
{
	struct span line = next_line(s), text;
	int r;

	r = check_bytes(s, line);
	if (r < 0 || is_comment(trim(line)))
		return r;
	if (goes_on(line))
		r = take_joined(s, &line);
	text = trim(line);
	if (r < 0 || text.n == 0)
		return r;
	return text.p[0] == '[' ? take_section(s, text) : take_entry(s, text);
}

/* All of a value has come back: it is an event. */
static int finish_entry(struct scan *s)
{
	s->under_way = false;
	s->value[s->n_value] = '\0';
	return s->on->on_entry(s->userdata, s->key, s->value, s->line);
}

/*
 * How much of a value goes over in one piece of at most `max` bytes: all, or up to a place with no
 * white space on either side, which the library would trim away. 0 where there is none.
 */
static size_t piece_length(struct span value, size_t max)
{
	if (value.n <= max)
		return value.n;
	while (max > 0 && (is_blank(value.p[max - 1]) || is_blank(value.p[max])))
		max--;
	return max;
}

/* The library's reader: gives it the next line, or what it can hold of one. */
static char *on_read(char *str, int num, void *userdata)
{
	struct scan *s = userdata;
	size_t overhead, piece;

	while (s->r == 0 && s->pending.n == 0) {
		if (s->under_way)
			s->r = finish_entry(s);
		else if (s->rest.n > 0)
			s->r = take_line(s);
		else
			return NULL;
	}
	if (s->r < 0)
		return NULL;

	/*
	 * KEY=...LF NUL, and one byte less than full, which it would take for a line that goes on.
	 */
	overhead = strlen(s->key) + 4;
	piece = piece_length(s->pending, (size_t)num > overhead ? (size_t)num - overhead : 0);
	if (piece == 0) {
		s->r = mistake(s, "too long for what it says; give the key again on another line");
		return NULL;
	}
	snprintf(str, (size_t)num, "%s=%.*s\n", s->key, (int)piece, s->pending.p);
	s->pending = (struct span){ s->pending.p + piece, s->pending.n - piece };
	return str;
}

/* What the library made of a piece. */
static int on_pair(void *userdata, const char *section, const char *name, const char *value)
{
	struct scan *s = userdata;
	size_t n = strlen(value);

	(void)section;
	if (s->r < 0 || strcmp(name, s->key) != 0 || n > INI_LINE_MAX - s->n_value)
		return 0;
	memcpy(s->value + s->n_value, value, n);
	s->n_value += n;
	return 1;
}

int ini_scan(const char *path, struct span text, const struct ini_events *on, void *userdata,
	     struct policy_error *ret_error)
{
	struct scan s = {
		.path = path, .on = on, .userdata = userdata, .error = ret_error, .rest = text
	};
	int r = ini_parse_stream(on_read, &s, on_pair, &s);

	if (s.r < 0)
		return s.r;
	if (r < 0)
		return -ENOMEM;
	if (r >
	    0) /* not to be met, unless the library takes a line for something else than we do */
		return policy_mistake(ret_error, path, 0,
				      "cannot be read by the INI library on this system");
	return 0;
}
