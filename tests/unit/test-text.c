/* tests/unit/test-text.c - ctl/text.c */
#include "ctl/text.h"
#include "protocol/base/parse.h"
#include "tests/unit/unit.h"

static const char *escaped(struct span text)
{
	static char dst[4096];

	ck_assert_uint_eq(text_escape(text, dst, sizeof(dst)), strlen(dst));
	return dst;
}

START_TEST(clean_text_comes_out_as_it_went_in)
{
	static const char *const texts[] = { "", "ci", "dev-sda\\x2d1.service",
					     "\u00fc\u00df \u65e5\u672c \U0001f600", "a b\"c'd" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		ck_assert_str_eq(escaped(span_of(texts[i])), texts[i]);
}
END_TEST

START_TEST(what_is_not_clean_is_spelt_out)
{
	static const struct {
		struct span text;
		const char *spelt;
	} texts[] = {
		{ SPAN("a\nb\tc\rd"), "a\\nb\\tc\\rd" },
		{ SPAN("\033[31m"), "\\x1b[31m" },
		{ SPAN("\0"), "\\x00" },
		{ SPAN("\177"), "\\x7f" },
		{ SPAN("\xc2\x85"), "\\u0085" },
		{ SPAN("\u202e"), "\\u202e" },
		{ SPAN("\u2028"), "\\u2028" },
		{ SPAN("\xff"), "\\xff" },
		{ SPAN("\xc3"), "\\xc3" },
		{ SPAN("\xc3("), "\\xc3(" },
		{ SPAN("\xed\xa0\x80"), "\\xed\\xa0\\x80" },
		{ SPAN("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80" },
		{ SPAN("\xc0\xaf"), "\\xc0\\xaf" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		ck_assert_str_eq(escaped(texts[i].text), texts[i].spelt);
}
END_TEST

START_TEST(whatever_goes_in_what_comes_out_is_clean_and_no_longer_than_promised)
{
	uint64_t state = 1;

	for (int round = 0; round < 20000; round++) {
		char text[64], dst[64 * TEXT_ESCAPED_MAX + 1];
		size_t n = unit_random(&state) % sizeof(text), m;

		for (size_t i = 0; i < n; i++)
			text[i] = (char)unit_random(&state);
		m = text_escape((struct span){ text, n }, dst, sizeof(dst));
		ck_assert_uint_le(m, n * TEXT_ESCAPED_MAX);
		ck_assert(utf8_clean((struct span){ dst, m }));
	}
}
END_TEST

START_TEST(what_does_not_fit_is_left_out_by_whole_characters)
{
	char dst[16];

	for (size_t size = 1; size <= sizeof(dst); size++) {
		size_t n = text_escape(SPAN("\u65e5\n\u672c\033"), dst, size);

		ck_assert_uint_lt(n, size);
		ck_assert(utf8_clean((struct span){ dst, n }));
		ck_assert(n == 0 || n == 3 || n == 5 || n == 8 || n == 12);
	}
}
END_TEST

START_TEST(text_fit_takes_the_longest_start_that_fits)
{
	struct span text = SPAN("a\u65e5e\u0301\u672cb");

	text_width_init();
	ck_assert_uint_eq(text_width(text), 7);
	for (unsigned columns = 0; columns <= 8; columns++) {
		struct span start = text_fit(text, columns);

		ck_assert_ptr_eq(start.p, text.p);
		ck_assert_uint_le(text_width(start), columns);
		ck_assert(start.n == text.n ||
			  text_width((struct span){
				  text.p, start.n + 1 + (text.p[start.n] < 0 ? 2 : 0) }) > columns);
	}
}
END_TEST

UNIT_MAIN("text", clean_text_comes_out_as_it_went_in, what_is_not_clean_is_spelt_out,
	  whatever_goes_in_what_comes_out_is_clean_and_no_longer_than_promised,
	  what_does_not_fit_is_left_out_by_whole_characters,
	  text_fit_takes_the_longest_start_that_fits)
