/*
 * ctl/table.c - rows and columns.
 *
 * All cells are kept until the end, since the widths depend on all of them; their texts lie one
 * after the other in one block, so that a list of a million tokens costs two blocks and not
 * millions.
 */
#include "ctl/table.h"

#include <errno.h>

#include "ctl/text.h"

#define ELLIPSIS "\u2026"
#define GAP "  "

static const char *const starts[STYLES] = {
	[STYLE_PLAIN] = "",	   [STYLE_TITLE] = "\033[1m", [STYLE_GOOD] = "\033[32m",
	[STYLE_WARN] = "\033[33m", [STYLE_BAD] = "\033[31m",  [STYLE_DIM] = "\033[2m",
};

const char *style_start(enum style style)
{
	return starts[style];
}

const char *style_end(enum style style)
{
	return style == STYLE_PLAIN ? "" : "\033[0m";
}

void table_init(struct table *t, const struct table_column columns[], size_t n_columns)
{
	*t = (struct table){ .columns = columns, .n_columns = n_columns };
}

void table_done(struct table *t)
{
	free(t->cells);
	free(t->text);
}

/* Makes room for `more` elements beside the n that there are. */
static bool grow(void **block, size_t *size, size_t n, size_t more, size_t element)
{
	size_t want = *size;
	void *p;

	if (n + more <= *size)
		return true;
	while (want < n + more)
		want = want ? want * 2 : 64;
	p = reallocarray(*block, want, element);
	if (!p)
		return false;
	*block = p;
	*size = want;
	return true;
}

void table_add(struct table *t, struct span text, enum style style)
{
	struct table_cell *cell;

	if (!grow((void **)&t->cells, &t->size_cells, t->n_cells, 1, sizeof(*t->cells)) ||
	    !grow((void **)&t->text, &t->size_text, t->n_text, text.n * TEXT_ESCAPED_MAX + 1, 1)) {
		t->failed = true;
		return;
	}
	cell = &t->cells[t->n_cells++];
	*cell = (struct table_cell){ .at = t->n_text, .style = style };
	cell->n = text_escape(text, t->text + t->n_text, text.n * TEXT_ESCAPED_MAX + 1);
	cell->width = text_width((struct span){ t->text + cell->at, cell->n });
	t->n_text += cell->n;
}

size_t table_rows(const struct table *t)
{
	return t->n_cells / t->n_columns;
}

static void widths_wanted(const struct table *t, bool titles, unsigned widths[])
{
	for (size_t c = 0; c < t->n_columns; c++)
		widths[c] = titles ? text_width(span_of(t->columns[c].title)) : 0;
	for (size_t i = 0; i < table_rows(t) * t->n_columns; i++)
		if (t->cells[i].width > widths[i % t->n_columns])
			widths[i % t->n_columns] = t->cells[i].width;
}

/* The widest column that may yet give way, or n_columns. */
static size_t widest(const struct table *t, const unsigned widths[])
{
	size_t found = t->n_columns;

	for (size_t c = 0; c < t->n_columns; c++)
		if (t->columns[c].min && widths[c] > t->columns[c].min &&
		    (found == t->n_columns || widths[c] > widths[found]))
			found = c;
	return found;
}

static void make_fit(const struct table *t, unsigned width, unsigned widths[])
{
	size_t total = (t->n_columns - 1) * (sizeof(GAP) - 1);
	size_t c;

	for (c = 0; c < t->n_columns; c++)
		total += widths[c];
	/*
	 * One by one, so that two long columns end up alike; there are few columns and no very wide
	 * terminals.
	 */
	while (total > width && (c = widest(t, widths)) < t->n_columns) {
		widths[c]--;
		total--;
	}
}

static void pad(FILE *out, unsigned n)
{
	if (n)
		fprintf(out, "%*s", (int)n, "");
}

static void print_cell(struct span text, unsigned taken, unsigned width, bool right, bool last,
		       FILE *out)
{
	bool cut = taken > width;
	unsigned gap;

	if (cut) {
		text = text_fit(text, width - 1);
		taken = text_width(text) + 1;
	}
	gap = width - taken;
	if (right)
		pad(out, gap);
	fwrite(text.p, 1, text.n, out);
	if (cut)
		fputs(ELLIPSIS, out);
	if (!right && !last)
		pad(out, gap);
}

/* last: of its line. */
static void print_styled(const struct table *t, size_t c, struct span text, unsigned taken,
			 enum style style, const unsigned widths[], bool colour, bool last,
			 FILE *out)
{
	if (colour)
		fputs(style_start(style), out);
	print_cell(text, taken, widths[c], t->columns[c].right, last, out);
	if (colour)
		fputs(style_end(style), out);
	fputs(last ? "\n" : GAP, out);
}

/* A line ends with the last cell that has something in it, and not with blanks. */
static void print_row(const struct table *t, const struct table_cell cells[],
		      const unsigned widths[], bool colour, FILE *out)
{
	size_t n = t->n_columns;

	while (n > 1 && cells[n - 1].n == 0)
		n--;
	for (size_t c = 0; c < n; c++)
		print_styled(t, c, (struct span){ t->text + cells[c].at, cells[c].n },
			     cells[c].width, cells[c].style, widths, colour, c + 1 == n, out);
}

int table_print(const struct table *t, const struct table_look *look, FILE *out)
{
	unsigned widths[TABLE_COLUMNS_MAX];

	if (t->failed)
		return -ENOMEM;
	widths_wanted(t, look->titles, widths);
	if (look->width)
		make_fit(t, look->width, widths);
	for (size_t c = 0; look->titles && c < t->n_columns; c++) {
		struct span title = span_of(t->columns[c].title);

		print_styled(t, c, title, text_width(title), STYLE_TITLE, widths, look->colour,
			     c + 1 == t->n_columns, out);
	}
	for (size_t i = 0; i < table_rows(t); i++)
		print_row(t, &t->cells[i * t->n_columns], widths, look->colour, out);
	return 0;
}
