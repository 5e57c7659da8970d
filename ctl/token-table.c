/*
 * ctl/token-table.c - the columns of a list are rows of a table, shown or not by what was asked
 * for.
 */
#include "ctl/token-table.h"

#include <stdio.h>

#include "ctl/facts.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "protocol/base/time.h"

struct cell {
	char room[48]; /* for a text that is made */
	char *heap;    /* likewise, where it is long; freed after */
	const char *text;
	enum style style;
};

static void name_cell(const struct args *a, const struct jeton_token *t, struct cell *c)
{
	(void)a;
	c->text = t->name;
}

static void id_cell(const struct args *a, const struct jeton_token *t, struct cell *c)
{
	(void)a;
	c->text = t->id;
}

static void owner_cell(const struct args *a, const struct jeton_token *t, struct cell *c)
{
	(void)a;
	snprintf(c->room, sizeof(c->room), "%u", (unsigned)t->owner_uid);
	c->text = t->owner ? t->owner : c->room;
}

static void scopes_cell(const struct args *a, const struct jeton_token *t, struct cell *c)
{
	(void)a;
	c->heap = facts_scopes(t->scopes);
	c->text = c->heap;
	if (!t->scopes)
		c->style = STYLE_DIM;
}

static void relative(const struct args *a, int64_t at_us, struct cell *c)
{
	c->text = time_format_relative((uint64_t)at_us, a->now_us, c->room, sizeof(c->room));
}

static void expires_cell(const struct args *a, const struct jeton_token *t, struct cell *c)
{
	bool soon = t->state == JETON_STATE_ACTIVE &&
		    t->expires_us - (int64_t)a->now_us < (int64_t)(SEC_PER_DAY * USEC_PER_SEC);

	relative(a, t->expires_us, c);
	c->style = soon ? STYLE_WARN : STYLE_PLAIN;
}

static void used_cell(const struct args *a, const struct jeton_token *t, struct cell *c)
{
	if (t->last_used_us != JETON_UNSET) {
		relative(a, t->last_used_us, c);
		return;
	}
	c->text = "never";
	c->style = STYLE_DIM;
}

static void state_cell(const struct args *a, const struct jeton_token *t, struct cell *c)
{
	(void)a;
	c->style = facts_style(t);
	c->text = jeton_state_text(t->state);
	if (t->state == JETON_STATE_ACTIVE && t->replaced_by)
		c->text = "active, replaced";
}

static void ended_cell(const struct args *a, const struct jeton_token *t, struct cell *c)
{
	c->text = "";
	if (t->ended_us != JETON_UNSET)
		relative(a, t->ended_us, c);
}

static const struct {
	struct table_column column;
	void (*fill)(const struct args *a, const struct jeton_token *t, struct cell *c);
	size_t only_with; /* offset of a bool in args; 0: always */
} rows[] = {
	{ { "NAME", 8, false }, name_cell, 0 },
	{ { "ID", 0, false }, id_cell, 0 },
	{ { "OWNER", 6, false }, owner_cell, offsetof(struct args, all_users) },
	{ { "SCOPES", 8, false }, scopes_cell, 0 },
	{ { "EXPIRES", 0, false }, expires_cell, 0 },
	{ { "LAST USED", 0, false }, used_cell, 0 },
	{ { "STATE", 0, false }, state_cell, 0 },
	{ { "ENDED", 0, false }, ended_cell, offsetof(struct args, ended) },
};

static bool is_shown(const struct args *a, size_t row)
{
	size_t at = rows[row].only_with;

	return at == 0 || *(const bool *)((const char *)a + at);
}

static void add_row(struct table *table, const struct args *a, const struct jeton_token *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct cell cell = { .heap = NULL, .style = STYLE_PLAIN };

		if (!is_shown(a, i))
			continue;
		rows[i].fill(a, t, &cell);
		if (cell.text)
			table_add(table, span_of(cell.text), cell.style);
		else
			table->failed = true;
		free(cell.heap);
	}
}

int token_table_print(const struct args *a, const struct selection *s, FILE *out)
{
	struct table_column columns[ARRAY_SIZE(rows)];
	_cleanup_(table_done) struct table table;
	struct table_look look = output_look(a, out);
	size_t n = 0;

	text_width_init();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (is_shown(a, i))
			columns[n++] = rows[i].column;
	table_init(&table, columns, n);
	for (size_t i = 0; i < s->n; i++)
		add_row(&table, a, s->items[i].token);
	if (table_print(&table, &look, out) < 0)
		return fail(EXIT_FAILED, "there is not enough memory for this list");
	return EXIT_DONE;
}
