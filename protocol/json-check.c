/*
 * protocol/json-check.c - the judge. One pass, no recursion: a value is a scalar, or opens a
 * container, and after each scalar the containers that end there are closed until the next value
 * stands at hand.
 *
 * Keys. While an object is open, its keys lie behind those of the objects round it in
 * scratch->keys; at its end they are compared, pairwise where they are few, and sorted first where
 * they are many: there is no hash whose collisions could be provoked. An entry's high bits are the
 * start of the key's text and its length, so that most comparisons are of integers; the low bits
 * say where it stands.
 */
#include "protocol/json.h"

#include <assert.h>

#include "protocol/base/parse.h"
#include "protocol/json-text.h"

/* What is done for each value is one function in the end, whose state is in registers. */
#define ALWAYS inline __attribute__((always_inline))

enum {
	KEY_AT_BITS = 18,
	KEY_LENGTH_BITS = 6,
	KEY_LENGTH_MAX = (1 << KEY_LENGTH_BITS) - 1,
	KEY_START_LEN = (64 - KEY_AT_BITS - KEY_LENGTH_BITS) / 8,
	KEYS_FEW = 8,
};

static_assert(JSON_TEXT_MAX <= 1 << KEY_AT_BITS, "a place in the text fits an entry");

/* Of an open container: where its keys begin and its notes; an array has no keys. */
struct open_container {
	size_t first_key;
	uint32_t *note;
	const char *start;
	char closing;
};

struct checker {
	const char *p;
	const char *end;
	const char *text;
	uint64_t *keys;
	size_t n_keys;
	uint32_t *note; /* where the next one goes */
	unsigned depth;
	struct open_container *open; /* JSON_DEPTH_MAX of them */
};

static ALWAYS void skip_space(struct checker *c)
{
	if (c->p < c->end && (unsigned char)*c->p > ' ')
		return;
	while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\r' || *c->p == '\t'))
		c->p++;
}

/* Steps over this character, if it stands here. */
static ALWAYS bool take(struct checker *c, char expected)
{
	if (c->p == c->end || *c->p != expected)
		return false;
	c->p++;
	return true;
}

static bool take_hex4(struct checker *c, uint32_t *ret)
{
	uint32_t code = 0;

	if (c->end - c->p < 4)
		return false;
	for (int i = 0; i < 4; i++) {
		char digit = *c->p++, letter = (char)(digit | 0x20);

		if (digit >= '0' && digit <= '9')
			code = code << 4 | (uint32_t)(digit - '0');
		else if (letter >= 'a' && letter <= 'f')
			code = code << 4 | (uint32_t)(letter - 'a' + 10);
		else
			return false;
	}
	*ret = code;
	return true;
}

/* What follows \u. */
static enum json_error check_code(struct checker *c)
{
	uint32_t code, low;

	if (!take_hex4(c, &code))
		return JSON_NOT_JSON;
	if (code == 0)
		return JSON_NUL;
	if (code < 0xd800 || code > 0xdfff)
		return JSON_OK;
	if (code > 0xdbff || !take(c, '\\') || !take(c, 'u'))
		return JSON_BAD_UTF8;
	if (!take_hex4(c, &low))
		return JSON_NOT_JSON;
	return low >= 0xdc00 && low <= 0xdfff ? JSON_OK : JSON_BAD_UTF8;
}

/* What follows a backslash. */
static enum json_error check_escape(struct checker *c)
{
	char letter = c->p < c->end ? *c->p++ : '\0';

	if (letter == 'u')
		return check_code(c);
	return letter && strchr("\"\\/bfnrt", letter) ? JSON_OK : JSON_NOT_JSON;
}

/* What in a string is not plain ASCII, the closing quote excepted. */
static enum json_error check_odd(struct checker *c, bool *escapes)
{
	uint32_t code;
	size_t n;

	if (c->p == c->end || (unsigned char)*c->p < 0x20)
		return JSON_NOT_JSON;
	if (*c->p == '\\') {
		*escapes = true;
		c->p++;
		return check_escape(c);
	}
	n = utf8_decode((struct span){ c->p, (size_t)(c->end - c->p) }, &code);
	c->p += n;
	return n ? JSON_OK : JSON_BAD_UTF8;
}

/* Likewise, up to and with the closing quote. */
static enum json_error check_odd_string(struct checker *c, bool *escapes)
{
	do {
		enum json_error error = check_odd(c, escapes);

		if (error != JSON_OK)
			return error;
		c->p = json_plain_end(c->p, c->end);
	} while (!take(c, '"'));
	return JSON_OK;
}

/*
 * Has a part that is seldom called at work on a checker of its own: nobody else then holds the address of the one that the
 * rest is done with, which can be all in registers.
 */
static __attribute__((noinline)) enum json_error apart(struct checker c,
						       enum json_error (*check)(struct checker *c,
										bool *escapes),
						       bool *ret_escapes, const char **ret_p)
{
	bool escapes = false;
	enum json_error error = check(&c, &escapes);

	*ret_escapes = escapes;
	*ret_p = c.p;
	return error;
}

/* What follows a quote, up to and with the next one. */
static ALWAYS enum json_error check_string(struct checker *c, bool *escapes)
{
	const char *start = c->p, *end;
	enum json_error error;
	bool odd;

	*escapes = false;
	c->p = json_plain_end(c->p, c->end);
	if (!take(c, '"')) {
		error = apart(*c, check_odd_string, &odd, &end);
		if (error != JSON_OK)
			return error;
		*escapes = odd;
		c->p = end;
	}
	*c->note = (uint32_t)(c->p - start + 1) << 1 | *escapes;
	c->note += NOTES_OF_STRING;
	return JSON_OK;
}

static bool take_digits(struct checker *c)
{
	const char *start = c->p;

	while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
		c->p++;
	return c->p > start;
}

static enum json_error check_number(struct checker *c, bool *unused)
{
	(void)unused;
	take(c, '-');
	if (!take(c, '0') && !take_digits(c))
		return JSON_NOT_JSON;
	if (take(c, '.') && !take_digits(c))
		return JSON_NOT_JSON;
	if (take(c, 'e') || take(c, 'E')) {
		if (!take(c, '+'))
			take(c, '-');
		if (!take_digits(c))
			return JSON_NOT_JSON;
	}
	return JSON_OK;
}

static ALWAYS enum json_error check_word(struct checker *c, struct span word)
{
	if ((size_t)(c->end - c->p) < word.n || memcmp(c->p, word.p, word.n) != 0)
		return JSON_NOT_JSON;
	c->p += word.n;
	return JSON_OK;
}

/* The first bytes of a key without escapes, of n bytes; zeros follow a shorter one. */
static ALWAYS uint64_t plain_start(const struct checker *c, const char *start, size_t n)
{
	uint64_t word = 0;

	if (c->end - start < (ptrdiff_t)sizeof(word))
		memcpy(&word, start, (size_t)(c->end - start));
	else
		memcpy(&word, start, sizeof(word));
	word = be64toh(word) >> (64 - 8 * KEY_START_LEN);
	if (n < KEY_START_LEN)
		word &= ~(UINT64_MAX >> (64 - 8 * KEY_START_LEN) >> 8 * n);
	return word;
}

/* Likewise of a key with escapes; *ret_n is its length. */
static uint64_t escaped_start(const char *start, size_t *ret_n)
{
	struct json_bytes bytes = { .p = start };
	uint64_t word = 0;
	size_t n = 0;

	for (int byte; (byte = json_next_byte(&bytes)) >= 0; n++)
		if (n < KEY_START_LEN)
			word |= (uint64_t)byte << 8 * (KEY_START_LEN - 1 - n);
	*ret_n = n;
	return word;
}

/* Makes the entry of the key that begins at `start` and whose closing quote was just taken. */
static ALWAYS uint64_t key_entry(const struct checker *c, const char *start, bool escapes)
{
	size_t n = (size_t)(c->p - 1 - start);
	uint64_t entry = escapes ? escaped_start(start, &n) : plain_start(c, start, n);

	entry = entry << KEY_LENGTH_BITS | (n < KEY_LENGTH_MAX ? n : KEY_LENGTH_MAX);
	return entry << KEY_AT_BITS | (uint64_t)(start - c->text);
}

/* A key and its colon; the keys of the object that was opened last. */
static ALWAYS enum json_error check_key(struct checker *c)
{
	enum json_error error;
	bool escapes;
	const char *start;

	skip_space(c);
	if (!take(c, '"'))
		return JSON_NOT_JSON;
	start = c->p;
	error = check_string(c, &escapes);
	if (error != JSON_OK)
		return error;
	c->keys[c->n_keys++] = key_entry(c, start, escapes);
	skip_space(c);
	return take(c, ':') ? JSON_OK : JSON_NOT_JSON;
}

static int compare_texts(const char *p, const char *q, const char *end)
{
	struct json_bytes a, b;
	int next_a, next_b;

	/* Long starts in common are what makes sorting dear, if anything. */
	for (; end - (p > q ? p : q) >= 8; p += 8, q += 8)
		if (json_load(p) != json_load(q) || json_odd_bytes(json_load(p)))
			break;
	a = (struct json_bytes){ .p = p };
	b = (struct json_bytes){ .p = q };
	do {
		next_a = json_next_byte(&a);
		next_b = json_next_byte(&b);
	} while (next_a == next_b && next_a >= 0);
	return next_a - next_b;
}

/* An order of keys by their texts: 0 only where these are the same. */
static int compare_keys(struct span text, uint64_t a, uint64_t b)
{
	const uint64_t at = (UINT64_C(1) << KEY_AT_BITS) - 1;

	if (a >> KEY_AT_BITS != b >> KEY_AT_BITS)
		return a < b ? -1 : 1;
	if ((a >> KEY_AT_BITS & KEY_LENGTH_MAX) <= KEY_START_LEN)
		return 0;
	return compare_texts(text.p + (a & at), text.p + (b & at), text.p + text.n);
}

static bool few_keys_repeat(struct span text, const uint64_t *keys, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t j = 0; j < i; j++)
			if (compare_keys(text, keys[i], keys[j]) == 0)
				return true;
	return false;
}

/* Lets the entry at `root` sink to where no child of it is larger, in a heap of n. */
static void sift_down(struct span text, uint64_t *keys, size_t root, size_t n)
{
	uint64_t sinking = keys[root];

	for (size_t child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && compare_keys(text, keys[child], keys[child + 1]) < 0)
			child++;
		if (compare_keys(text, sinking, keys[child]) >= 0)
			break;
		keys[root] = keys[child];
	}
	keys[root] = sinking;
}

/* Heapsort: in place, and n log n whatever the keys are. */
static bool many_keys_repeat(struct span text, uint64_t *keys, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift_down(text, keys, i, n);
	for (size_t left = n; left-- > 1;) {
		uint64_t largest = keys[0];

		keys[0] = keys[left];
		keys[left] = largest;
		sift_down(text, keys, 0, left);
	}
	for (size_t i = 1; i < n; i++)
		if (compare_keys(text, keys[i - 1], keys[i]) == 0)
			return true;
	return false;
}

static ALWAYS enum json_error open_container(struct checker *c, char closing)
{
	if (c->depth == JSON_DEPTH_MAX)
		return JSON_TOO_DEEP;
	c->open[c->depth].first_key = c->n_keys;
	c->open[c->depth].note = c->note;
	c->open[c->depth].start = c->p - 1;
	c->open[c->depth].closing = closing;
	c->note += NOTES_OF_CONTAINER;
	c->depth++;
	return JSON_OK;
}

/* Its closing bracket was taken. */
static ALWAYS enum json_error close_container(struct checker *c)
{
	size_t first = c->open[--c->depth].first_key, n = c->n_keys - first;
	struct span text = { c->text, (size_t)(c->end - c->text) };
	uint64_t *keys = c->keys + first;
	uint32_t *note = c->open[c->depth].note;

	note[0] = (uint32_t)(c->p - c->open[c->depth].start);
	note[1] = (uint32_t)(c->note - note);
	c->n_keys = first;
	if (n < 2)
		return JSON_OK;
	if (n <= KEYS_FEW ? few_keys_repeat(text, keys, n) : many_keys_repeat(text, keys, n))
		return JSON_DUPLICATE;
	return JSON_OK;
}

/* A scalar as a whole, or the opening bracket of a container. */
static ALWAYS enum json_error check_start(struct checker *c)
{
	enum json_error error;
	const char *end;
	bool escapes;

	switch (c->p < c->end ? *c->p : '\0') {
	case '"':
		c->p++;
		return check_string(c, &escapes);
	case '{':
		c->p++;
		return open_container(c, '}');
	case '[':
		c->p++;
		return open_container(c, ']');
	case 't':
		return check_word(c, SPAN("true"));
	case 'f':
		return check_word(c, SPAN("false"));
	case 'n':
		return check_word(c, SPAN("null"));
	default:
		error = apart(*c, check_number, &escapes, &end);
		c->p = end;
		return error;
	}
}

/* Closes what ends here, and steps over a comma if a further member or element is due. */
static ALWAYS enum json_error check_ends(struct checker *c)
{
	while (c->depth > 0) {
		enum json_error error;

		skip_space(c);
		if (take(c, ','))
			return JSON_OK;
		if (!take(c, c->open[c->depth - 1].closing))
			return JSON_NOT_JSON;
		error = close_container(c);
		if (error != JSON_OK)
			return error;
	}
	return JSON_OK;
}

/* One value with all that is in it. */
static ALWAYS enum json_error check_value(struct checker *c)
{
	do {
		unsigned depth = c->depth;
		enum json_error error;
		bool empty;

		error = check_start(c);
		if (error != JSON_OK)
			return error;
		skip_space(c);
		empty = c->depth > depth && c->p < c->end && *c->p == c->open[depth].closing;
		if (c->depth == depth || empty)
			error = check_ends(c);
		if (error == JSON_OK && c->depth > 0 && c->open[c->depth - 1].closing == '}')
			error = check_key(c);
		if (error != JSON_OK)
			return error;
		skip_space(c);
	} while (c->depth > 0);
	return JSON_OK;
}

static enum json_error check_in(struct span text, uint64_t keys[], uint32_t notes[])
{
	struct open_container open[JSON_DEPTH_MAX] NOT_ZEROED;
	struct checker c;
	enum json_error error;
	bool object;

	c.p = c.text = text.p;
	c.end = text.p + text.n;
	c.keys = keys;
	c.n_keys = 0;
	c.note = notes;
	c.depth = 0;
	c.open = open;

	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		return JSON_BAD_UTF8;
	skip_space(&c);
	object = c.p < c.end && *c.p == '{';
	error = check_value(&c);
	if (error != JSON_OK)
		return error;
	if (c.p < c.end)
		return JSON_NOT_JSON;
	return object ? JSON_OK : JSON_NOT_OBJECT;
}

enum json_error json_check(struct span text, struct json_scratch *scratch)
{
	assert(text.n <= JSON_TEXT_MAX);
	return check_in(text, scratch->keys, scratch->notes);
}

enum json_error json_check_short(struct span text, struct json_short_scratch *scratch)
{
	assert(text.n <= JSON_SHORT_MAX);
	return check_in(text, scratch->keys, scratch->notes);
}

const char *json_error_text(enum json_error error)
{
	static const char *const texts[] = {
		[JSON_OK] = "it is a JSON object",
		[JSON_NOT_JSON] = "it is no JSON, or more stands behind it",
		[JSON_NOT_OBJECT] = "it is JSON, but no object",
		[JSON_BAD_UTF8] = "a text in it is no valid UTF-8",
		[JSON_NUL] = "a text in it has a NUL",
		[JSON_DUPLICATE] = "a key stands twice in one object",
		[JSON_TOO_DEEP] = "objects and arrays are nested more than 16 deep",
	};

	return texts[error];
}
