/*
 * tests/unit/test-json.c - the judge held against a table and against a naive one; and the walk.
 */
#include "protocol/json.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/json-cases.h"
#include "tests/unit/json-help.h"
#include "tests/unit/unit.h"

static struct json_scratch scratch;

static void check_cases(const struct json_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		enum json_error error = judge(cases[i].text);

		ck_assert_msg(error == cases[i].expected, "%.*s: %s", (int)cases[i].text.n,
			      cases[i].text.p, json_error_text(error));
	}
}

START_TEST(what_is_json_is_taken_but_for_what_is_refused_on_purpose)
{
	check_cases(json_good, ARRAY_SIZE(json_good));
	ck_assert_uint_ge(ARRAY_SIZE(json_good), 95);
}
END_TEST

START_TEST(what_is_no_json_is_refused)
{
	check_cases(json_bad, ARRAY_SIZE(json_bad));
	ck_assert_uint_ge(ARRAY_SIZE(json_bad), 188);
}
END_TEST

START_TEST(what_is_left_open_is_decided)
{
	check_cases(json_open_cases, ARRAY_SIZE(json_open_cases));
	ck_assert_uint_ge(ARRAY_SIZE(json_open_cases), 35);
}
END_TEST

/* A value that is taken alone is taken in an object, and one that is refused is not. */
START_TEST(a_value_is_judged_alike_wherever_it_stands)
{
	char text[400];

	for (size_t i = 0; i < ARRAY_SIZE(json_good); i++) {
		struct span alone = json_good[i].text;
		enum json_error expected = json_good[i].expected == JSON_NOT_OBJECT ?
						   JSON_OK : json_good[i].expected;
		int n = snprintf(text, sizeof(text), "{\"\xc3\xa4\":[%.*s]}", (int)alone.n,
				 alone.p);

		ck_assert_msg(judge((struct span){ text, (size_t)n }) == expected, "%s", text);
	}
	for (size_t i = 0; i < ARRAY_SIZE(json_bad); i++) {
		struct span alone = json_bad[i].text;
		char *at = stpcpy(text, "{\"k\":");
		bool nothing = strspn(alone.p, " ") == alone.n;

		memcpy(at, alone.p, alone.n);
		memcpy(at + alone.n, "}", 1);
		ck_assert_msg(judge((struct span){ text, 6 + alone.n }) != JSON_OK || nothing,
			      "%.*s", (int)(6 + alone.n), text);
	}
}
END_TEST

START_TEST(every_shorter_start_of_a_text_is_refused)
{
	static const char text[] =
		"{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"\\ud834"
		"\\udd1e\xf0\x9d\x84\x9e\xe2\x82\xac\",\"n\":[-1.5e+3,true,false,null,{}]}}";

	ck_assert_int_eq(judge(SPAN_NONE), JSON_NOT_JSON);
	for (size_t n = 0; n < sizeof(text) - 1; n++)
		ck_assert_msg(judge((struct span){ text, n }) != JSON_OK, "%zu", n);
	ck_assert_int_eq(judge((struct span){ text, sizeof(text) - 1 }), JSON_OK);
}
END_TEST

/* A judge by recursion, straight from the grammar, of ASCII with no \u; moves *p past a value. */
static bool naive_value(const char **p);

static void naive_space(const char **p)
{
	*p += strspn(*p, " \t\r\n");
}

static bool naive_string(const char **p, struct span *ret)
{
	const char *start = *p;

	if (*start != '"')
		return false;
	for (++*p; **p != '"'; ++*p) {
		if ((unsigned char)**p < 0x20)
			return false;
		if (**p == '\\' && (!*++*p || !strchr("\"\\/bfnrt", **p)))
			return false;
	}
	++*p;
	*ret = (struct span){ start, (size_t)(*p - start) };
	return true;
}

static bool naive_digits(const char **p)
{
	size_t n = strspn(*p, "0123456789");

	*p += n;
	return n > 0;
}

static bool naive_number(const char **p)
{
	*p += **p == '-';
	if (**p == '0')
		++*p;
	else if (!naive_digits(p))
		return false;
	if (**p == '.' && (++*p, !naive_digits(p)))
		return false;
	if (**p == 'e' || **p == 'E') {
		++*p;
		*p += **p == '+' || **p == '-';
		return naive_digits(p);
	}
	return true;
}

static bool naive_items(const char **p, char closing)
{
	struct span keys[32];
	size_t n = 0;

	++*p;
	naive_space(p);
	if (**p == closing)
		return ++*p;
	for (;; ++*p) {
		naive_space(p);
		if (closing == '}') {
			if (!naive_string(p, &keys[n]))
				return false;
			for (size_t i = 0; i < n; i++)
				if (span_equal(keys[i], keys[n]))
					return false;
			n++;
			naive_space(p);
			if (*(*p)++ != ':')
				return false;
		}
		if (!naive_value(p))
			return false;
		if (**p != ',')
			break;
	}
	return *(*p)++ == closing;
}

static bool naive_value(const char **p)
{
	struct span text;
	bool good = false;

	naive_space(p);
	if (**p == '{' || **p == '[')
		good = naive_items(p, **p == '{' ? '}' : ']');
	else if (**p == '"')
		good = naive_string(p, &text);
	else if (strncmp(*p, "null", 4) == 0)
		good = (*p += 4);
	else
		good = naive_number(p);
	naive_space(p);
	return good;
}

static bool naive_judge(const char *text)
{
	const char *p = text + strspn(text, " \t\r\n");

	return *p == '{' && naive_value(&p) && !*p;
}

START_TEST(all_short_texts_are_judged_as_by_the_grammar)
{
	static const char alphabet[] = "{}[]:,\"a\\ 0-";
	size_t base = sizeof(alphabet) - 1, taken = 0;

	for (size_t length = 0; length <= 6; length++) {
		size_t all = 1;

		for (size_t i = 0; i < length; i++)
			all *= base;
		for (size_t number = 0; number < all; number++) {
			char text[16] = "";
			size_t rest = number;
			bool good;

			for (size_t i = 0; i < length; i++, rest /= base)
				text[i] = alphabet[rest % base];
			good = naive_judge(text);
			taken += good;
			UNIT_CHECK((json_check(span_of(text), &scratch) == JSON_OK) == good, "%s",
				   text);
		}
	}
	ck_assert_uint_gt(taken, 30);
}
END_TEST

START_TEST(changed_texts_are_judged_as_by_the_grammar)
{
	static const char *const seeds[] = {
		"{\"a\":1,\"b\":[0.0,null,{\"c\":\"d\"}],\"e\":-0.5e+10}",
		"{\"a\":{\"a\":{\"a\":[[],{},\"\",0]}},\"b\":{\"a\":0}}",
		" { \"a\" : [ null , -1 , \"\\\\\\\"\" ] , \"aa\" : { } } ",
		"{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0,\"j\":0}",
	};
	static const char alphabet[] = "{}[]:,\"abcnul\\ 01-+.eE\n/";
	uint64_t random = 11;
	size_t taken = 0;

	for (int round = 0; round < 400000; round++) {
		char text[128];
		size_t n;
		bool good;

		strcpy(text, seeds[round % (int)ARRAY_SIZE(seeds)]);
		n = strlen(text);
		for (uint64_t edits = 1 + unit_random(&random) % 3; edits > 0; edits--) {
			size_t at = unit_random(&random) % n;

			switch (unit_random(&random) % 3) {
			case 0:
				text[at] = alphabet[unit_random(&random) % (sizeof(alphabet) - 1)];
				break;
			case 1:
				memmove(text + at, text + at + 1, n - at);
				n--;
				break;
			default:
				memmove(text + at + 1, text + at, n - at + 1);
				text[at] = alphabet[unit_random(&random) % (sizeof(alphabet) - 1)];
				n++;
			}
		}
		/* Which the naive one does not know. */
		if (strstr(text, "\\u"))
			continue;
		good = naive_judge(text);
		taken += good;
		UNIT_CHECK((judge(span_of(text)) == JSON_OK) == good, "%s", text);
	}
	ck_assert_uint_gt(taken, 1000);
}
END_TEST

START_TEST(every_character_is_read_raw_and_escaped)
{
	for (uint32_t code = 1; code <= 0x10ffff; code++) {
		char raw[8], text[64], decoded[64], escape[16];
		bool surrogate = code >= 0xd800 && code <= 0xdfff;
		size_t n = encode(code, raw);
		struct span whole = { text, 0 }, found;

		if (code < 0x10000)
			sprintf(escape, code & 1 ? "\\u%04x" : "\\u%04X", code);
		else
			sprintf(escape, "\\u%04x\\u%04X", 0xd800 + ((code - 0x10000) >> 10),
				0xdc00 + (code & 0x3ff));
		whole.n = (size_t)sprintf(text, "{\"k\":\"%s-\"}", escape);
		UNIT_CHECK(json_check(whole, &scratch) == (surrogate ? JSON_BAD_UTF8 : JSON_OK),
			   "%x", code);
		if (!surrogate) {
			found = only_text(whole, decoded, n + 1);
			UNIT_CHECK(found.n == n + 1 && memcmp(found.p, raw, n) == 0, "%x", code);
		}
		if (code < 0x20 || code == '"' || code == '\\')
			continue;
		whole.n = (size_t)sprintf(text, "{\"k\":\"%.*s-\"}", (int)n, raw);
		UNIT_CHECK(json_check(whole, &scratch) == (surrogate ? JSON_BAD_UTF8 : JSON_OK),
			   "%x", code);
	}
}
END_TEST

START_TEST(every_pair_of_surrogates_the_wrong_way_is_refused)
{
	for (unsigned high = 0xd800; high <= 0xdfff; high += 13)
		for (unsigned low = 0xd000; low <= 0xe100; low += 7) {
			bool good = high <= 0xdbff && low >= 0xdc00 && low <= 0xdfff;
			char text[32];

			sprintf(text, "{\"\\u%x\\u%x\":0}", high, low);
			UNIT_CHECK((json_check(span_of(text), &scratch) == JSON_OK) == good, "%s",
				   text);
		}
}
END_TEST

START_TEST(a_byte_is_judged_alike_wherever_it_stands_in_a_string)
{
	for (int c = 0; c < 256; c++)
		for (size_t at = 0; at < 40; at++) {
			char text[64] = "{\"k\":\"0123456789012345678901234567890123456789\"}";
			struct span whole = { text, strlen(text) };
			enum json_error expected = c < 0x20 || c == '\\' || c == '"' ? JSON_NOT_JSON
						   : c < 0x80			     ? JSON_OK
							      : JSON_BAD_UTF8;

			text[6 + at] = (char)c;
			if (c == '"' && at == 39)
				expected = JSON_NOT_JSON;
			if (c == '\\' && at < 39)
				expected = JSON_NOT_JSON; /* a digit follows */
			UNIT_CHECK(judge(whole) == expected, "%d at %zu", c, at);
		}
}
END_TEST

static enum json_error nested(size_t depth, bool arrays)
{
	char *text = malloc(depth * 8 + 16), *p = text;
	enum json_error error;

	UNIT_CHECK(text, "no memory");
	for (size_t i = 0; i < depth; i++)
		p = stpcpy(p, i == 0 || !arrays ? "{\"a\":" : "[");
	p = stpcpy(p, "0");
	for (size_t i = depth; i > 0; i--)
		p = stpcpy(p, i == 1 || !arrays ? "}" : "]");
	error = judge((struct span){ text, (size_t)(p - text) });
	free(text);
	return error;
}

START_TEST(nesting_ends_at_sixteen)
{
	static char deep[JSON_TEXT_MAX];

	for (size_t depth = 1; depth <= JSON_DEPTH_MAX; depth++) {
		ck_assert_int_eq(nested(depth, false), JSON_OK);
		ck_assert_int_eq(nested(depth, true), JSON_OK);
	}
	for (size_t depth = JSON_DEPTH_MAX + 1; depth < 20000; depth = depth * 3 / 2) {
		ck_assert_int_eq(nested(depth, false), JSON_TOO_DEEP);
		ck_assert_int_eq(nested(depth, true), JSON_TOO_DEEP);
	}
	memset(deep, '[', sizeof(deep));
	ck_assert_int_eq(judge((struct span){ deep, sizeof(deep) }), JSON_TOO_DEEP);
	for (size_t i = 0; i + 5 <= sizeof(deep); i += 5)
		memcpy(deep + i, "{\"\":[", 5);
	ck_assert_int_eq(judge((struct span){ deep, sizeof(deep) }), JSON_TOO_DEEP);
}
END_TEST

/* What stands before and after a key's number. */
static const char *const key_shapes[][2] = {
	{ "", "" },
	{ "k000", "" },
	{ "a long start that many keys have in common, and then ", "" },
	{ "", " is first, and this longer than the 63 bytes to which a length is counted" },
	{ "\xc3\xa4\\u00e4\\n", "" },
	{ "\\ud834\\udd1e", "" },
	{ "\\n", "\\t" },
};

/*
 * An object of n keys, of which number `again` stands for number `first` once more, perhaps spelt
 * otherwise.
 */
static enum json_error with_keys(size_t shape, unsigned n, unsigned first, unsigned again)
{
	static char text[JSON_TEXT_MAX];
	char *p = stpcpy(text, "{\"outer\":[{"), key[128];

	for (unsigned i = 0; i < n; i++) {
		unsigned number = i == again ? first : i;
		const char *rest = key;

		/* A permutation, so that they come in no order. */
		snprintf(key, sizeof(key), "%s%u%s", key_shapes[shape][0],
			 number * 2654435761u % 1000003u, key_shapes[shape][1]);
		p = stpcpy(p, i ? ",\"" : "\"");
		/* Spelt otherwise: an ASCII character as an escape. */
		if (i == again && again % 2 && *rest != '\\' && (unsigned char)*rest < 0x80)
			p += sprintf(p, "\\u%04x", (unsigned)*rest++);
		p = stpcpy(p, rest);
		p = stpcpy(p, "\":{\"1\":0}");
	}
	p = stpcpy(p, "}],\"x\":1}");
	return judge((struct span){ text, (size_t)(p - text) });
}

START_TEST(a_key_twice_is_found_among_few_and_many)
{
	static const unsigned sizes[] = { 2, 3, 7, 8, 9, 10, 16, 17, 100, 900 };
	uint64_t random = 21;

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (size_t shape = 0; shape < ARRAY_SIZE(key_shapes); shape++) {
			unsigned n = sizes[s];

			UNIT_CHECK(with_keys(shape, n, 0, n) == JSON_OK, "%zu %u", shape, n);
			for (int round = 0; round < 60; round++) {
				unsigned again = 1 + (unsigned)(unit_random(&random) % (n - 1));
				unsigned first = (unsigned)(unit_random(&random) % again);

				UNIT_CHECK(with_keys(shape, n, first, again) == JSON_DUPLICATE,
					   "%zu %u %u %u", shape, n, first, again);
			}
		}
}
END_TEST

START_TEST(a_key_is_the_same_however_it_is_spelt)
{
	static const char *const same[] = {
		"{\"name\":1,\"na\\u006de\":2}", "{\"\\u006e\\u0061\\u006D\\u0065\":1,\"name\":2}",
		"{\"/\":1,\"\\/\":2}", "{\"\\n\":1,\"\\u000a\":2}",
		"{\"\xc3\xa9\":1,\"\\u00e9\":2}",
		"{\"\\ud834\\udd1e\":1,\"\xf0\x9d\x84\x9e\":2}", "{\"\":1,\"\":2}",
		"{\"\\\\\":1,\"\\u005c\":2}",
		"{\"a\":{\"b\":1,\"b\":1}}", "{\"a\":[{\"b\":1,\"c\":{},\"b\":1}]}",
		"{\"a\":1,\"b\":{\"a\":2},\"a\":3}", "{\"ab\xc3\xa9ghijk\":1,\"ab\\u00e9ghijk\":2}",
	};
	static const char *const other[] = {
		"{\"name\":1,\"Name\":2}",
		"{\"a\":1,\"aa\":2,\"aaa\":3,\"aaaa\":4,\"aaaaa\":5,\"aaaaaa\":6}",
		"{\"a\":{\"a\":{\"a\":1}}}", "{\"a\":[{\"a\":1},{\"a\":1}],\"b\":{\"a\":1}}",
		"{\"abcde1\":1,\"abcde2\":2}", "{\"\\\\n\":1,\"\\n\":2,\"n\":3}",
		"{\"\xc3\xa9\":1,\"e\xcc\x81\":2}", "{\"a\\u0001\":1,\"a\":2}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		ck_assert_msg(judge(span_of(same[i])) == JSON_DUPLICATE, "%s", same[i]);
	for (size_t i = 0; i < ARRAY_SIZE(other); i++)
		ck_assert_msg(judge(span_of(other[i])) == JSON_OK, "%s", other[i]);
}
END_TEST

START_TEST(the_largest_texts_fit)
{
	static char text[JSON_TEXT_MAX];
	size_t n;

	/* As many keys as there can be; only that they are all the same ends it. */
	text[0] = '{';
	for (n = 1; n + 5 <= sizeof(text) - 5; n += 5)
		memcpy(text + n, "\"\":0,", 5);
	n += (size_t)sprintf(text + n, "\"\":0");
	text[n++] = '}';
	ck_assert_int_eq(json_check((struct span){ text, n }, &scratch), JSON_DUPLICATE);

	text[0] = '{';
	n = 1;
	for (unsigned i = 0; n + 16 < sizeof(text); i++)
		n += (size_t)sprintf(text + n, "%s\"%x\":0", i ? "," : "", i);
	text[n++] = '}';
	ck_assert_int_eq(json_check((struct span){ text, n }, &scratch), JSON_OK);

	memset(text, ' ', sizeof(text));
	memcpy(text + sizeof(text) - 2, "{}", 2);
	ck_assert_int_eq(json_check((struct span){ text, sizeof(text) }, &scratch), JSON_OK);
	memset(text, 'x', sizeof(text));
	memcpy(text, "{\"", 2);
	memcpy(text + sizeof(text) - 4, "\":0}", 4);
	ck_assert_int_eq(json_check((struct span){ text, sizeof(text) }, &scratch), JSON_OK);
}
END_TEST

/* A text of so many bytes: `start`, then `again` as often as there is room, then `end`. */
static size_t fill(char *text, size_t size, const char *start, const char *again, const char *end)
{
	size_t n = (size_t)sprintf(text, "%s", start);

	while (n + strlen(again) + strlen(end) < size)
		n += (size_t)sprintf(text + n, "%s", again);
	return n + (size_t)sprintf(text + n, "%s", end);
}

static bool all_are(unsigned char byte, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != byte)
			return false;
	return true;
}

START_TEST(no_text_needs_more_memory_than_there_is)
{
	static const struct {
		const char *start, *again, *end;
		enum json_error error;
	} texts[] = {
		{ "{\"\":[0", ",[[[[[[[[[[[[[[]]]]]]]]]]]]]]", "]}", JSON_OK },
		{ "{\"\":[0", ",[[[[[[[[[[[[[[]]]]]]]]]]]]]]", ",[[[[[[[[[[[[[[\"\"",
		  JSON_NOT_JSON },
		{ "{\"\":[0", ",[[[[[[[[[[[[[\"\"]]]]]]]]]]]]]", "]}", JSON_OK },
		{ "{\"\":[0", ",\"\"", "]}", JSON_OK },
		{ "{\"\":[0", ",[]", ",[[[[[[[[[[[[[[\"\"", JSON_NOT_JSON },
		{ "{\"\":[0", ",{}", "]}", JSON_OK },
		{ "{\"\":0", ",\"\":0", "}", JSON_DUPLICATE },
		{ "{\"\":0", ",\"\":[]", ",\"\"", JSON_NOT_JSON },
		{ "{\"\":[0", ",{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":{\"\":0}}}}}}}", "]}",
		  JSON_OK },
	};
	static struct {
		struct json_scratch scratch;
		unsigned char beyond[1 << 20];
		struct json_short_scratch few;
		unsigned char beyond_few[1 << 16];
	} room;
	static char text[JSON_TEXT_MAX + 1];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		size_t n = fill(text, sizeof(text), texts[i].start, texts[i].again, texts[i].end);

		memset(room.beyond, 0xa5, sizeof(room.beyond));
		memset(room.beyond_few, 0xa5, sizeof(room.beyond_few));
		UNIT_CHECK(json_check((struct span){ text, n }, &room.scratch) == texts[i].error,
			   "text %zu", i);
		n = fill(text, JSON_SHORT_MAX + 1, texts[i].start, texts[i].again, texts[i].end);
		UNIT_CHECK(json_check_short((struct span){ text, n }, &room.few) == texts[i].error,
			   "short text %zu", i);
		UNIT_CHECK(all_are(0xa5, room.beyond, sizeof(room.beyond)), "text %zu", i);
		UNIT_CHECK(all_are(0xa5, room.beyond_few, sizeof(room.beyond_few)),
			   "short text %zu", i);
	}
}
END_TEST

static void walk(struct json_value root)
{
	static const struct {
		const char *key, *raw;
		enum json_type type;
	} members[] = {
		{ "a", "[ 1 , \"]}\\\"\" , { \"b\" : [ ] } , [ [ ] ] ]", JSON_ARRAY },
		{ "c", "true", JSON_TRUE },   { "de", "null", JSON_NULL },
		{ "f", "false", JSON_FALSE }, { "g", "-1.5e3", JSON_NUMBER },
		{ "h", "{}", JSON_OBJECT },   { "i", "\"\"", JSON_STRING },
	};
	static const char *const elements[] = { "1", "\"]}\\\"\"", "{ \"b\" : [ ] }", "[ [ ] ]" };
	struct json_value key, value, found;
	struct json_iter it;

	ck_assert_int_eq(root.type, JSON_OBJECT);
	it = json_iter(root);
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		ck_assert(json_next_member(&it, &key, &value));
		ck_assert(json_string_is(key, members[i].key));
		ck_assert(span_is(value.raw, members[i].raw));
		ck_assert_int_eq(value.type, members[i].type);
		ck_assert(json_member(root, members[i].key, &found));
		ck_assert_ptr_eq(found.raw.p, value.raw.p);
	}
	ck_assert(!json_next_member(&it, &key, &value));
	ck_assert(!json_next_member(&it, &key, &value));
	ck_assert(!json_member(root, "b", &found));
	ck_assert(!json_member(root, "d\\u0065", &found));

	ck_assert(json_member(root, "a", &found));
	it = json_iter(found);
	for (size_t i = 0; i < ARRAY_SIZE(elements); i++) {
		ck_assert(json_next_element(&it, &value));
		ck_assert(span_is(value.raw, elements[i]));
	}
	ck_assert(!json_next_element(&it, &value));
	ck_assert(json_member(root, "h", &found));
	it = json_iter(found);
	ck_assert(!json_next_member(&it, &key, &value));
}

START_TEST(a_walk_gives_what_is_there)
{
	struct span text =
		SPAN(" { \"a\" : [ 1 , \"]}\\\"\" , { \"b\" : [ ] } , [ [ ] ] ] ,\n\"c\":true,"
		     "\"d\\u0065\":null,\"f\":false,\"g\":-1.5e3 ,\"h\":{},\"i\":\"\"} ");

	ck_assert_int_eq(json_check(text, &scratch), JSON_OK);
	walk(json_root(text));
	/* By the judge's notes, too. */
	walk(json_noted_root(text, &scratch));
}
END_TEST

START_TEST(a_string_is_compared_as_it_is_meant)
{
	struct span text = SPAN("{\"k\":\"a\\n\\\\b\"}");
	struct json_value value;

	ck_assert(json_member(json_root(text), "k", &value));
	ck_assert(json_string_is(value, "a\n\\b"));
	ck_assert(!json_string_is(value, "a\\n\\\\b"));
	ck_assert(!json_string_is(value, "a\n\\"));
	ck_assert(!json_string_is(value, "a\n\\bc"));
	ck_assert(!json_string_is(value, ""));
}
END_TEST

START_TEST(a_string_without_escapes_is_not_copied_and_one_with_some_fits_exactly)
{
	struct span plain = SPAN("{\"k\":\"acme/risk\"}"), escaped = SPAN("{\"k\":\"a\\u20acb\"}");
	struct json_value value;
	struct span found = SPAN_NONE;
	char dst[8];

	ck_assert(json_member(json_root(plain), "k", &value));
	ck_assert_int_eq(json_string(value, NULL, 0, &found), 0);
	ck_assert_ptr_eq(found.p, plain.p + 6);
	ck_assert_uint_eq(found.n, 9);
	ck_assert(json_member(json_root(escaped), "k", &value));
	found = SPAN_NONE;
	for (size_t size = 0; size < 5; size++)
		ck_assert_int_eq(json_string(value, dst, size, &found), -ENOBUFS);
	ck_assert_ptr_null(found.p);
	ck_assert_int_eq(json_string(value, dst, 5, &found), 0);
	ck_assert(span_is(found, "a\xe2\x82\xac" "b"));
}
END_TEST

START_TEST(a_number_is_an_integer_of_64_bits_or_none)
{
	static const struct {
		const char *text;
		int result;
		int64_t value;
	} numbers[] = {
		{ "0", 0, 0 }, { "1", 0, 1 }, { "-1", 0, -1 },
		{ "1234567890123", 0, 1234567890123 },
		{ "9223372036854775807", 0, INT64_MAX }, { "-9223372036854775808", 0, INT64_MIN },
		{ "9223372036854775808", -ERANGE, 0 }, { "-9223372036854775809", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 }, { "99999999999999999999", -ERANGE, 0 },
		{ "-18446744073709551615", -ERANGE, 0 }, { "-0", -EINVAL, 0 },
		{ "1.0", -EINVAL, 0 },
		{ "1e2", -EINVAL, 0 }, { "1E2", -EINVAL, 0 }, { "0.0", -EINVAL, 0 },
		{ "-0.0", -EINVAL, 0 }, { "1e999", -EINVAL, 0 }, { "0e0", -EINVAL, 0 },
		{ "99999999999999999999.5", -EINVAL, 0 }, { "100000000000000000000e1", -EINVAL, 0 },
	};
	static char digits[100000];

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		struct json_value number = { .type = JSON_NUMBER, .raw = span_of(numbers[i].text) };
		int64_t value = 0;

		ck_assert_msg(json_int(number, &value) == numbers[i].result, "%s", numbers[i].text);
		ck_assert_msg(value == numbers[i].value, "%s", numbers[i].text);
	}
	memset(digits, '7', sizeof(digits));
	ck_assert_int_eq(json_int((struct json_value){ .type = JSON_NUMBER, .raw = { digits, sizeof(digits) } },
				  &(int64_t){ 0 }),
			 -ERANGE);
}
END_TEST

START_TEST(every_error_has_a_text)
{
	for (int error = JSON_OK; error <= JSON_TOO_DEEP; error++)
		ck_assert_ptr_nonnull(json_error_text((enum json_error)error));
}
END_TEST

UNIT_MAIN("json", what_is_json_is_taken_but_for_what_is_refused_on_purpose,
	  what_is_no_json_is_refused, what_is_left_open_is_decided,
	  a_value_is_judged_alike_wherever_it_stands, every_shorter_start_of_a_text_is_refused,
	  all_short_texts_are_judged_as_by_the_grammar, changed_texts_are_judged_as_by_the_grammar,
	  every_character_is_read_raw_and_escaped,
	  every_pair_of_surrogates_the_wrong_way_is_refused,
	  a_byte_is_judged_alike_wherever_it_stands_in_a_string, nesting_ends_at_sixteen,
	  a_key_twice_is_found_among_few_and_many, a_key_is_the_same_however_it_is_spelt,
	  the_largest_texts_fit, no_text_needs_more_memory_than_there_is,
	  a_walk_gives_what_is_there, a_string_is_compared_as_it_is_meant,
	  a_string_without_escapes_is_not_copied_and_one_with_some_fits_exactly,
	  a_number_is_an_integer_of_64_bits_or_none, every_error_has_a_text)
