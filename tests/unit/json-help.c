/* tests/unit/json-help.c - see json-help.h. */
#include "tests/unit/json-help.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct json_scratch scratch;
static struct json_short_scratch few;

enum json_error judge(struct span text)
{
	char *copy = malloc(text.n ? text.n : 1);
	enum json_error error;

	UNIT_CHECK(copy, "no memory");
	memcpy(copy, text.n ? text.p : "", text.n);
	error = json_check((struct span){ copy, text.n }, &scratch);
	if (text.n <= JSON_SHORT_MAX)
		UNIT_CHECK(json_check_short((struct span){ copy, text.n }, &few) == error,
			   "as a short text it is another: %.*s", (int)text.n, text.p);
	free(copy);
	return error;
}

size_t encode(uint32_t code, char *dst)
{
	unsigned char *p = (unsigned char *)dst;

	if (code < 0x80) {
		p[0] = (unsigned char)code;
		return 1;
	}
	if (code < 0x800) {
		p[0] = (unsigned char)(0xc0 | code >> 6);
		p[1] = (unsigned char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		p[0] = (unsigned char)(0xe0 | code >> 12);
		p[1] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
		p[2] = (unsigned char)(0x80 | (code & 0x3f));
		return 3;
	}
	p[0] = (unsigned char)(0xf0 | code >> 18);
	p[1] = (unsigned char)(0x80 | (code >> 12 & 0x3f));
	p[2] = (unsigned char)(0x80 | (code >> 6 & 0x3f));
	p[3] = (unsigned char)(0x80 | (code & 0x3f));
	return 4;
}

struct span only_text(struct span text, char *dst, size_t size)
{
	struct json_iter it = json_iter(json_root(text));
	struct json_value key, value;
	struct span decoded;

	UNIT_CHECK(json_next_member(&it, &key, &value), "no member");
	UNIT_CHECK(json_string(value, dst, size, &decoded) == 0, "no room");
	UNIT_CHECK(!json_next_member(&it, &key, &value), "a second member");
	return decoded;
}
