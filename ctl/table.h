/* ctl/table.h - rows and columns, made to fit a width. Knows nothing of where they are printed. */
#pragma once

#include <stdio.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum style { STYLE_PLAIN, STYLE_TITLE, STYLE_GOOD, STYLE_WARN, STYLE_BAD, STYLE_DIM, STYLES };

/* The escape sequence that starts a style ("" for plain); style_end() ends any. */
const char *style_start(enum style style);
const char *style_end(enum style style);

struct table_column {
	const char *title;
	unsigned min; /* columns that it keeps when the width is short; 0: it is never cut */
	bool right;   /* numbers */
};

struct table_cell {
	size_t at; /* of its text, in the table's */
	size_t n;
	unsigned width;
	enum style style;
};

enum { TABLE_COLUMNS_MAX = 12 };

struct table {
	const struct table_column *columns; /* the caller's, for the table's life */
	size_t n_columns;
	struct table_cell *cells; /* row by row */
	size_t n_cells, size_cells;
	char *text;
	size_t n_text, size_text;
	bool failed; /* there was no memory for a cell */
};

/* n_columns: 1 to TABLE_COLUMNS_MAX. Call text_width_init() before the first cell. */
void table_init(struct table *t, const struct table_column columns[], size_t n_columns);
void table_done(struct table *t);

/* Adds the next cell, row by row. Its text is copied, made fit for a terminal. */
void table_add(struct table *t, struct span text, enum style style);

size_t table_rows(const struct table *t);

struct table_look {
	unsigned width; /* columns there are; 0: any number */
	bool titles;
	bool colour;
};

/*
 * Prints all whole rows. Where the width is short the widest columns that may be cut give way
 * first, their texts ending with an ellipsis; below their minimum nothing is cut. Returns 0, or
 * -ENOMEM where a cell could not be kept.
 */
int table_print(const struct table *t, const struct table_look *look, FILE *out) MUST_USE;
