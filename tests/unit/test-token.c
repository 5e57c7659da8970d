/*
 * tests/unit/test-token.c - the form of a token, held against plain long division and bitwise
 * CRC-32.
 */
#include "protocol/token.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* The number of these bytes, big-endian, in base 62, as one learns it at school. */
static void naive_base62(const uint8_t *number, size_t size, char *dst, size_t n)
{
	uint8_t rest[TOKEN_RANDOM_LEN];

	memcpy(rest, number, size);
	while (n > 0) {
		unsigned carry = 0;

		for (size_t i = 0; i < size; i++) {
			carry = carry << 8 | rest[i];
			rest[i] = (uint8_t)(carry / 62);
			carry %= 62;
		}
		dst[--n] = digits[carry];
	}
}

static uint32_t naive_crc(const char *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	while (n-- > 0) {
		crc ^= (unsigned char)*p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static void big_endian(uint64_t n, uint8_t dst[8])
{
	for (int i = 0; i < 8; i++)
		dst[i] = (uint8_t)(n >> (56 - 8 * i));
}

/* Puts the right check behind a text. */
static void mend(char text[TOKEN_LEN])
{
	uint8_t bytes[8];

	big_endian(naive_crc(text, TOKEN_LEN - TOKEN_CHECK_LEN), bytes);
	naive_base62(bytes, 8, text + TOKEN_LEN - TOKEN_CHECK_LEN, TOKEN_CHECK_LEN);
}

static void fill(uint64_t *random, uint8_t dst[TOKEN_RANDOM_LEN])
{
	for (int i = 0; i < TOKEN_RANDOM_LEN; i += 8)
		big_endian(unit_random(random), dst + i);
}

static bool good(const char *text, size_t n)
{
	struct span secret = SPAN_NONE;
	uint64_t id = 0;
	bool is = token_read((struct span){ text, n }, &id, &secret);

	UNIT_CHECK(is || (!secret.p && id == 0), "outputs of a refusal");
	return is;
}

START_TEST(an_id_is_written_as_by_long_division_and_read_back)
{
	uint64_t random = 1;

	for (int round = 0; round < 100000; round++) {
		uint64_t id = unit_random(&random) >> (round % 64), back = 0;
		char text[TOKEN_ID_LEN], expected[TOKEN_ID_LEN];
		uint8_t bytes[8];

		big_endian(id, bytes);
		naive_base62(bytes, 8, expected, TOKEN_ID_LEN);
		token_id_write(id, text);
		UNIT_CHECK(memcmp(text, expected, TOKEN_ID_LEN) == 0, "%.11s", text);
		UNIT_CHECK(token_id_read((struct span){ text, TOKEN_ID_LEN }, &back) && back == id,
			   "%.11s", text);
	}
}
END_TEST

START_TEST(an_id_over_64_bits_or_of_other_form_is_refused)
{
	static const char *const bad[] = {
		"LygHa16AHYG", "LygHa16AHZ0", "M0000000000", "zzzzzzzzzzz", "LygHa16AHY",  "",
		"LygHa16AHYF0", "0000000000-", "-0000000000", " 0000000001", "0000000001 ",
		"000000 0001",
		"000000000_1", "\xef\xbc\x91" "00000000", "0000000000/", "0000000000:",
		"0000000000@",
		"0000000000[", "0000000000`", "0000000000{", "/0000000000", "\x80" "0000000000",
	};
	uint64_t id = 7;

	ck_assert(token_id_read(SPAN("LygHa16AHYF"), &id));
	ck_assert_uint_eq(id, UINT64_MAX);
	ck_assert(token_id_read(SPAN("00000000000"), &id));
	ck_assert_uint_eq(id, 0);
	id = 7;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(!token_id_read(span_of(bad[i]), &id), "%s", bad[i]);
	ck_assert(!token_id_read(SPAN_NONE, &id));
	ck_assert_uint_eq(id, 7);
}
END_TEST

START_TEST(a_token_is_made_as_the_contract_says_and_read_back)
{
	uint64_t random = 2;

	for (int round = 0; round < 20000; round++) {
		uint64_t id = unit_random(&random), back = 0;
		char text[TOKEN_LEN], expected[TOKEN_LEN];
		uint8_t secret[TOKEN_RANDOM_LEN], bytes[8];
		struct span read;

		fill(&random, secret);
		memset(secret, round % 3 ? 0 : 0xff, (size_t)(round % 33));
		token_make(id, secret, text);

		memcpy(expected, "jeton_", 6);
		big_endian(id, bytes);
		naive_base62(bytes, 8, expected + 6, TOKEN_ID_LEN);
		expected[17] = '_';
		naive_base62(secret, TOKEN_RANDOM_LEN, expected + 18, TOKEN_SECRET_LEN);
		mend(expected);
		UNIT_CHECK(memcmp(text, expected, TOKEN_LEN) == 0, "%.67s, not %.67s", text,
			   expected);
		UNIT_CHECK(token_read((struct span){ text, TOKEN_LEN }, &back, &read) &&
				   back == id && read.p == text + 18 && read.n == TOKEN_SECRET_LEN,
			   "%.67s", text);
	}
}
END_TEST

START_TEST(the_checksum_is_the_well_known_crc_32)
{
	/* Worked out elsewhere, with zlib. */
	static const uint8_t zero[TOKEN_RANDOM_LEN];
	char text[TOKEN_LEN + 1] = "";

	token_make(0, zero, text);
	ck_assert_str_eq(text, "jeton_00000000000_" "0000000000000000000000000000000000000000000"
			       "2tDdCH");
	ck_assert_uint_eq(naive_crc("123456789", 9), 0xcbf43926);
}
END_TEST

START_TEST(any_single_change_is_refused)
{
	uint8_t secret[TOKEN_RANDOM_LEN];
	uint64_t random = 3;
	char text[TOKEN_LEN], changed[TOKEN_LEN];

	for (int round = 0; round < 20; round++) {
		fill(&random, secret);
		token_make(unit_random(&random), secret, text);
		for (size_t at = 0; at < TOKEN_LEN; at++)
			for (int c = 0; c < 256; c++) {
				memcpy(changed, text, TOKEN_LEN);
				changed[at] = (char)c;
				UNIT_CHECK(good(changed, TOKEN_LEN) == ((char)c == text[at]),
					   "%.67s at %zu: %d", text, at, c);
			}
	}
}
END_TEST

START_TEST(what_is_no_digit_is_refused_though_the_checksum_is_right)
{
	uint8_t secret[TOKEN_RANDOM_LEN] = { 1 };
	char text[TOKEN_LEN];

	for (size_t at = 0; at < TOKEN_LEN - TOKEN_CHECK_LEN; at++)
		for (int c = 0; c < 256; c++) {
			bool digit = c && strchr(digits, c);
			bool fixed = at < 6 || at == 17, first = at == 6 || at == 18;

			token_make(5, secret, text);
			if (fixed && text[at] == (char)c)
				continue;
			text[at] = (char)c;
			mend(text);
			/* A first digit may also be too large; that is for the next test. */
			if (digit && first)
				continue;
			UNIT_CHECK(good(text, TOKEN_LEN) == (digit && !fixed), "%zu: %d", at, c);
		}
}
END_TEST

START_TEST(numbers_over_their_size_are_refused_though_the_checksum_is_right)
{
	static const char largest[] = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1";
	uint8_t secret[TOKEN_RANDOM_LEN];
	char text[TOKEN_LEN];

	memset(secret, 0xff, sizeof(secret));
	token_make(UINT64_MAX, secret, text);
	ck_assert_mem_eq(text + 18, largest, TOKEN_SECRET_LEN);
	ck_assert(good(text, TOKEN_LEN));
	for (size_t at = 18; at < TOKEN_LEN - TOKEN_CHECK_LEN; at++) {
		const char *digit = strchr(digits, largest[at - 18]);

		/* One more at any place is too much, one less is not, whatever comes after it. */
		memcpy(text + 18, largest, TOKEN_SECRET_LEN);
		memset(text + at, '0', TOKEN_LEN - TOKEN_CHECK_LEN - at);
		text[at] = digit[1];
		mend(text);
		if (digit[1])
			ck_assert_msg(!good(text, TOKEN_LEN), "%.67s", text);
		memset(text + at, 'z', TOKEN_LEN - TOKEN_CHECK_LEN - at);
		text[at] = digit[-1];
		mend(text);
		if (digit > digits)
			ck_assert_msg(good(text, TOKEN_LEN), "%.67s", text);
	}
	token_make(UINT64_MAX, secret, text);
	text[16]++;
	mend(text);
	ck_assert(!good(text, TOKEN_LEN));
}
END_TEST

START_TEST(other_lengths_are_refused)
{
	uint8_t secret[TOKEN_RANDOM_LEN] = { 0 };
	char text[TOKEN_LEN + 2];
	char *large = calloc(1, 1 << 20);

	ck_assert_ptr_nonnull(large);
	memset(text, '0', sizeof(text));
	token_make(1, secret, text + 1);
	for (size_t n = 0; n < TOKEN_LEN; n++) {
		ck_assert(!good(text + 1, n));
		ck_assert(!good(text + 1 + TOKEN_LEN - n, n));
	}
	ck_assert(good(text + 1, TOKEN_LEN));
	ck_assert(!good(text + 1, TOKEN_LEN + 1));
	ck_assert(!good(text, TOKEN_LEN + 1));
	ck_assert(!good(text, TOKEN_LEN));
	ck_assert(!good(NULL, 0));
	memcpy(large, text + 1, TOKEN_LEN);
	ck_assert(!good(large, 1 << 20));
	free(large);
}
END_TEST

/* How often tokens are found in a text, which is copied to where a read past its end is noticed. */
static int count(struct span text)
{
	char *copy = malloc(text.n + 1);
	struct span rest = { copy, text.n }, token;
	int n = 0;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, text.p, text.n);
	for (; token_find(rest, &token); n++) {
		size_t end = (size_t)(token.p + token.n - rest.p);

		ck_assert(good(token.p, token.n));
		rest = (struct span){ rest.p + end, rest.n - end };
	}
	free(copy);
	return n;
}

START_TEST(tokens_are_found_whatever_stands_next_to_them)
{
	static const struct {
		const char *before, *after;
		int found;
	} places[] = {
		{ "", "", 1 },	       { "\"", "\"", 1 },	{ "KEY=", "\n", 1 },
		{ "Bearer ", "\r", 1 }, { "jeton_", "", 1 },	{ "x", "", 1 },
		{ "", "x", 1 },	       { "_", "", 1 },		{ "", "_", 1 },
		{ "0", "", 1 },	       { "", "9", 1 },		{ "\xc3\xa9", "\xc3\xa9", 1 },
		{ "-", "-", 1 },       { "jeton_ ", " jeton_", 1 },
		{ "jeton_jeton_jeton_ ", "", 1 },
		{ ":", ".", 1 },       { "/", "@", 1 },		{ "[", "`", 1 },
		{ "Z", "", 1 },	       { "", "a", 1 },		{ "{", "}", 1 },
	};
	uint8_t secret[TOKEN_RANDOM_LEN] = { 4, 5 };
	char token[TOKEN_LEN], text[200];

	token_make(77, secret, token);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int n = snprintf(text, sizeof(text), "%s%.67s%s", places[i].before, token,
				 places[i].after);

		ck_assert_msg(count((struct span){ text, (size_t)n }) == places[i].found, "%s",
			      text);
	}
	ck_assert_int_eq(count(SPAN("")), 0);
	ck_assert_int_eq(count(SPAN("jeton_")), 0);
	for (size_t n = 0; n < TOKEN_LEN; n++)
		ck_assert_int_eq(count((struct span){ token, n }), 0);
}
END_TEST

START_TEST(every_token_in_a_large_text_is_found_and_no_false_one)
{
	uint64_t random = 5;
	size_t n = 0, size = 1 << 20;
	char *text = malloc(size);
	int put = 0;

	ck_assert_ptr_nonnull(text);
	while (n + 3 * TOKEN_LEN < size) {
		uint8_t secret[TOKEN_RANDOM_LEN];
		size_t kind = unit_random(&random) % 8;

		fill(&random, secret);
		token_make(unit_random(&random), secret, text + n);
		if (kind == 0) /* one wrong character */
			text[n + unit_random(&random) % TOKEN_LEN] ^= 1;
		if (kind == 1) /* cut short */
			n -= 1 + unit_random(&random) % TOKEN_LEN;
		put += kind > 1;
		n += TOKEN_LEN;
		text[n++] = "\n\0 '"[kind % 4];
		if (kind == 7)
			n += (size_t)sprintf(text + n, "jeton_jetonjeton__ ");
	}
	ck_assert_int_gt(put, 1000);
	ck_assert_int_eq(count((struct span){ text, n }), put);
	free(text);
}
END_TEST

UNIT_MAIN("token", an_id_is_written_as_by_long_division_and_read_back,
	  an_id_over_64_bits_or_of_other_form_is_refused,
	  a_token_is_made_as_the_contract_says_and_read_back, the_checksum_is_the_well_known_crc_32,
	  any_single_change_is_refused, what_is_no_digit_is_refused_though_the_checksum_is_right,
	  numbers_over_their_size_are_refused_though_the_checksum_is_right,
	  other_lengths_are_refused, tokens_are_found_whatever_stands_next_to_them,
	  every_token_in_a_large_text_is_found_and_no_false_one)
