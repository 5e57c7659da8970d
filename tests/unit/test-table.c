/* tests/unit/test-table.c - ctl/table.c */
#include "ctl/table.h"
#include "ctl/text.h"
#include "tests/unit/unit.h"

static const struct table_column columns[] = { { "NAME", 5, false },
					       { "N", 0, true },
					       { "SCOPES", 6, false } };

/* What is printed; free it. */
static char *printed(const struct table *t, const struct table_look *look)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	ck_assert_int_eq(table_print(t, look, out), 0);
	fclose(out);
	return text;
}

static void fill(struct table *t, const char *const cells[], size_t n)
{
	text_width_init();
	table_init(t, columns, ARRAY_SIZE(columns));
	for (size_t i = 0; i < n; i++)
		table_add(t, span_of(cells[i]), STYLE_PLAIN);
}

/* The widest line, in columns. */
static unsigned widest(const char *text)
{
	unsigned most = 0;

	while (*text) {
		size_t n = strcspn(text, "\n");
		unsigned width = text_width((struct span){ text, n });

		most = width > most ? width : most;
		text += n + 1;
	}
	return most;
}

START_TEST(columns_are_as_wide_as_what_stands_in_them_and_numbers_stand_to_the_right)
{
	const char *const cells[] = { "a", "1", "x", "abcdef", "1000", "longer" };
	struct table t;
	char *text;

	fill(&t, cells, ARRAY_SIZE(cells));
	ck_assert_uint_eq(table_rows(&t), 2);
	text = printed(&t, &(struct table_look){ 0, true, false });
	ck_assert_str_eq(text, "NAME       N  SCOPES\n"
			       "a          1  x\n"
			       "abcdef  1000  longer\n");
	free(text);
	text = printed(&t, &(struct table_look){ 0, false, false });
	ck_assert_str_eq(text, "a          1  x\n"
			       "abcdef  1000  longer\n");
	free(text);
	table_done(&t);
}
END_TEST

START_TEST(wide_characters_take_the_columns_that_a_terminal_gives_them)
{
	const char *const cells[] = { "\u65e5\u672c", "1", "x", "e\u0301", "2", "y",
				      "abcde",	      "3", "z" };
	struct table t;
	char *text;

	fill(&t, cells, ARRAY_SIZE(cells));
	text = printed(&t, &(struct table_look){ 0, false, false });
	ck_assert_str_eq(text, "\u65e5\u672c   1  x\n"
			       "e\u0301      2  y\n"
			       "abcde  3  z\n");
	free(text);
	table_done(&t);
}
END_TEST

START_TEST(at_every_width_lines_fit_or_have_no_more_to_give)
{
	const char *const cells[] = { "a-name-that-is-long",
				      "12",
				      "acme/risk:read acme/pipeline:run",
				      "\u65e5\u672c\u8a9e\u306e\u30c8\u30fc\u30af\u30f3",
				      "12345",
				      "s" };
	/* The columns' least, and what stands between them. */
	const unsigned least = 5 + 5 + 6 + 4;
	struct table t;

	fill(&t, cells, ARRAY_SIZE(cells));
	for (unsigned width = 1; width <= 100; width++) {
		char *text = printed(&t, &(struct table_look){ width, true, false });

		ck_assert_uint_le(widest(text), width > least ? width : least);
		ck_assert_ptr_nonnull(strstr(text, "12345"));
		free(text);
	}
	table_done(&t);
}
END_TEST

START_TEST(what_is_cut_ends_with_an_ellipsis_and_what_fits_does_not)
{
	const char *const cells[] = { "abcdefghij", "1", "acme/risk" };
	struct table t;
	char *text;

	fill(&t, cells, ARRAY_SIZE(cells));
	text = printed(&t, &(struct table_look){ 24, false, false });
	ck_assert_str_eq(text, "abcdefghij  1  acme/risk\n");
	free(text);
	text = printed(&t, &(struct table_look){ 22, false, false });
	ck_assert_str_eq(text, "abcdefg\u2026  1  acme/risk\n");
	free(text);
	table_done(&t);
}
END_TEST

START_TEST(no_cell_can_steer_a_terminal_or_start_a_line)
{
	struct table t;
	char *text;

	text_width_init();
	table_init(&t, columns, 1);
	for (int c = 0; c < 256; c++) {
		char cell[] = { 'a', (char)c, 'b' };

		table_add(&t, (struct span){ cell, 3 }, STYLE_PLAIN);
	}
	table_add(&t, SPAN("\u202eright\u2066 \xc2\x85 \u2028"), STYLE_PLAIN);
	text = printed(&t, &(struct table_look){ 0, false, false });
	ck_assert_ptr_null(strchr(text, 033));
	ck_assert_ptr_null(strstr(text, "\u202e"));
	ck_assert_ptr_null(strstr(text, "\xc2\x85"));
	ck_assert_ptr_nonnull(strstr(text, "\\u202eright\\u2066"));
	size_t lines = 0;
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	ck_assert_uint_eq(lines, 257);
	free(text);
	table_done(&t);
}
END_TEST

START_TEST(colour_comes_only_where_it_was_asked_for_and_always_ends)
{
	struct table t;
	char *text;

	text_width_init();
	table_init(&t, columns, 2);
	table_add(&t, SPAN("a"), STYLE_BAD);
	table_add(&t, SPAN("b"), STYLE_PLAIN);
	text = printed(&t, &(struct table_look){ 0, false, true });
	ck_assert_str_eq(text, "\033[31ma\033[0m  b\n");
	free(text);
	text = printed(&t, &(struct table_look){ 0, false, false });
	ck_assert_str_eq(text, "a  b\n");
	free(text);
	table_done(&t);
}
END_TEST

START_TEST(no_line_ends_with_blanks)
{
	struct table t;
	char *text;

	text_width_init();
	table_init(&t, columns, 2);
	table_add(&t, SPAN("a"), STYLE_PLAIN);
	table_add(&t, SPAN(""), STYLE_DIM);
	table_add(&t, SPAN("b"), STYLE_PLAIN);
	table_add(&t, SPAN("c"), STYLE_PLAIN);
	table_add(&t, SPAN(""), STYLE_PLAIN);
	table_add(&t, SPAN(""), STYLE_PLAIN);
	text = printed(&t, &(struct table_look){ 0, false, true });
	ck_assert_str_eq(text, "a\nb  c\n\n");
	free(text);
	table_done(&t);
}
END_TEST

START_TEST(a_table_of_many_cells_keeps_them_all)
{
	struct table t;
	char cell[32], *text, *line;

	text_width_init();
	table_init(&t, columns, 1);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(cell, sizeof(cell), "%u", i);
		table_add(&t, span_of(cell), STYLE_PLAIN);
	}
	line = text = printed(&t, &(struct table_look){ 0, false, false });
	for (unsigned i = 0; i < 20000; i++) {
		ck_assert_uint_eq(strtoul(line, &line, 10), i);
		line++;
	}
	free(text);
	table_done(&t);
}
END_TEST

UNIT_MAIN("table", columns_are_as_wide_as_what_stands_in_them_and_numbers_stand_to_the_right,
	  wide_characters_take_the_columns_that_a_terminal_gives_them,
	  at_every_width_lines_fit_or_have_no_more_to_give,
	  what_is_cut_ends_with_an_ellipsis_and_what_fits_does_not,
	  no_cell_can_steer_a_terminal_or_start_a_line,
	  colour_comes_only_where_it_was_asked_for_and_always_ends, no_line_ends_with_blanks,
	  a_table_of_many_cells_keeps_them_all)
