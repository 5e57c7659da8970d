/*
 * protocol/json-read.c - walks text that json_check() took. That it is JSON is known, so nothing is
 * judged again: a value ends where its brackets or quotes do. Where the judge's notes are at hand
 * they say how long each string and container is.
 */
#include "protocol/json.h"

#include <assert.h>
#include <errno.h>

#include "protocol/json-text.h"
#include "protocol/json-walk.h"

/* Past the closing quote of a string of which p is past the opening one. */
static const char *skip_string(const char *p, const char *end)
{
	for (;;) {
		p = json_plain_end(p, end);
		if (*p == '"')
			return p + 1;
		p += *p == '\\' ? 2 : 1;
	}
}

static const char *skip_container(const char *p, const char *end)
{
	int depth = 0;

	do {
		char c = *p++;

		if (c == '"')
			p = skip_string(p, end);
		else if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth--;
	} while (depth > 0);
	return p;
}

const char *json_skip_unnoted(const char *p, const char *end)
{
	return *p == '"' ? skip_string(p + 1, end) : skip_container(p, end);
}

struct json_value json_root(struct span text)
{
	const char *end = text.p + text.n, *p = json_walk_space(text.p, end);

	/* All is one object: its end need not be searched from its start on. */
	while (end[-1] != '}')
		end--;
	return (struct json_value){ .type = JSON_OBJECT, .raw = { p, (size_t)(end - p) } };
}

struct json_value json_noted_root(struct span text, const struct json_scratch *scratch)
{
	const char *p = json_walk_space(text.p, text.p + text.n);

	return (struct json_value){
		.type = JSON_OBJECT,
		.raw = { p, scratch->notes[0] },
		.notes = scratch->notes + NOTES_OF_CONTAINER,
	};
}

struct json_iter json_iter(struct json_value value)
{
	assert(value.type == JSON_OBJECT || value.type == JSON_ARRAY);
	return (struct json_iter){ value.raw.p + 1, value.raw.p + value.raw.n - 1, value.notes };
}

bool json_next_element(struct json_iter *it, struct json_value *ret_value)
{
	return json_walk(it, ret_value);
}

bool json_next_member(struct json_iter *it, struct json_value *ret_key,
		      struct json_value *ret_value)
{
	return json_walk(it, ret_key) && json_walk(it, ret_value);
}

static uint32_t hex4(const char *p)
{
	uint32_t code = 0;

	for (int i = 0; i < 4; i++)
		code = code << 4 | (uint32_t)(p[i] <= '9' ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
	return code;
}

/* Puts a character's UTF-8, its last byte first. */
static void put_backwards(struct json_bytes *b, uint32_t code)
{
	/*
	 * What fits the first byte of 1, 2, 3, 4 bytes, and the bits that say how many there are.
	 */
	static const unsigned char room[] = { 0x80, 0x20, 0x10, 0x08 };
	static const unsigned char lead[] = { 0x00, 0xc0, 0xe0, 0xf0 };

	while (code >= room[b->n_left]) {
		b->left[b->n_left++] = (unsigned char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	b->left[b->n_left] = (unsigned char)(lead[b->n_left] | code);
	b->n_left++;
}

void json_decode_escape(struct json_bytes *b)
{
	static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *letter = strchr(letters, b->p[1]);
	uint32_t code;

	if (letter) {
		b->left[b->n_left++] = (unsigned char)meant[letter - letters];
		b->p += 2;
		return;
	}
	code = hex4(b->p + 2);
	b->p += 6;
	if (code >= 0xd800 && code <= 0xdfff) {
		code = 0x10000 + ((code - 0xd800) << 10) + (hex4(b->p + 2) - 0xdc00);
		b->p += 6;
	}
	put_backwards(b, code);
}

static struct json_bytes bytes_of(struct json_value string)
{
	assert(string.type == JSON_STRING);
	return (struct json_bytes){ .p = string.raw.p + 1 };
}

/* What stands between the quotes. */
static struct span inner(struct json_value string)
{
	assert(string.type == JSON_STRING);
	return (struct span){ string.raw.p + 1, string.raw.n - 2 };
}

bool json_string_is(struct json_value string, const char *text)
{
	struct json_bytes bytes;
	struct span raw = inner(string);
	size_t n;
	int byte;

	if (string.is_plain)
		return json_plain_is(string, text);
	n = strlen(text);
	/* An escape is longer than what it means. */
	if (raw.n <= n)
		return raw.n == n && memcmp(raw.p, text, n) == 0 && !memchr(text, '\\', n);
	if (!memchr(raw.p, '\\', raw.n))
		return false;
	bytes = bytes_of(string);
	for (; (byte = json_next_byte(&bytes)) >= 0; text++)
		if (byte != (unsigned char)*text)
			return false;
	return !*text;
}

bool json_member(struct json_value object, const char *key, struct json_value *ret)
{
	struct json_iter it = json_iter(object);
	struct json_value name, value;

	while (json_next_member(&it, &name, &value)) {
		if (!json_string_is(name, key))
			continue;
		*ret = value;
		return true;
	}
	return false;
}

int json_string(struct json_value string, char *dst, size_t size, struct span *ret)
{
	struct json_bytes bytes;
	struct span raw = inner(string);
	size_t n = 0;
	int byte;

	if (string.is_plain || !memchr(raw.p, '\\', raw.n)) {
		*ret = raw;
		return 0;
	}
	bytes = bytes_of(string);
	for (; (byte = json_next_byte(&bytes)) >= 0; dst[n++] = (char)byte)
		if (n == size)
			return -ENOBUFS;
	*ret = (struct span){ dst, n };
	return 0;
}

int json_int(struct json_value number, int64_t *ret)
{
	bool negative = number.raw.p[0] == '-', in_range = true;
	int64_t n = 0;

	assert(number.type == JSON_NUMBER);
	if (span_is(number.raw, "-0"))
		return -EINVAL;
	for (size_t i = negative; i < number.raw.n; i++) {
		int digit = number.raw.p[i] - '0';

		if (digit < 0 || digit > 9)
			return -EINVAL;
		in_range = in_range && !__builtin_mul_overflow(n, 10, &n) &&
			   !__builtin_add_overflow(n, negative ? -digit : digit, &n);
	}
	if (!in_range)
		return -ERANGE;
	*ret = n;
	return 0;
}
