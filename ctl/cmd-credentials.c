/* ctl/cmd-credentials.c - credentials: what there is to fetch, a line each. */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/json-print.h"
#include "ctl/output.h"
#include "ctl/table.h"
#include "ctl/text.h"
#include "protocol/base/time.h"
#include "protocol/client.h"

static const struct table_column columns[] = {
	{ "NAME", 8, false },	 { "KIND", 0, false },	      { "REV", 0, true },
	{ "UPDATED", 0, false }, { "EXPIRES", 0, false },     { "LAST FETCHED", 0, false },
	{ "BY", 8, false },	 { "DESCRIPTION", 8, false },
};

/* What a row or an element of the array is added to. */
struct listing {
	const struct args *args;
	struct jeton *jeton;
	struct table table;
	FILE *json; /* NULL: a table is asked for */
	size_t n;
};

static void add_when(struct listing *l, int64_t at_us, const char *none, enum style style)
{
	char text[48];

	if (at_us == JETON_UNSET)
		table_add(&l->table, span_of(none), style);
	else
		table_add(&l->table,
			  span_of(time_format_relative((uint64_t)at_us, l->args->now_us, text,
						       sizeof(text))),
			  STYLE_PLAIN);
}

static void add_row(struct listing *l, const struct jeton_credential *c)
{
	bool held = c->kind == JETON_CREDENTIAL_HELD;
	char revision[24] = "";

	if (c->revision != JETON_UNSET)
		snprintf(revision, sizeof(revision), "%" PRIi64, c->revision);
	table_add(&l->table, span_of(c->name), STYLE_PLAIN);
	table_add(&l->table, span_of(jeton_credential_kind_text(c->kind)), STYLE_PLAIN);
	table_add(&l->table, span_of(revision), STYLE_PLAIN);
	add_when(l, c->updated_us, held ? "empty" : "", STYLE_WARN);
	add_when(l, c->expires_us, "", STYLE_PLAIN);
	add_when(l, c->last_fetched_us, "never", STYLE_DIM);
	table_add(&l->table, span_of(c->last_fetched_by ? c->last_fetched_by : ""), STYLE_PLAIN);
	table_add(&l->table, span_of(c->description ? c->description : ""), STYLE_PLAIN);
}

static void add_element(struct listing *l)
{
	bool pretty = l->args->json == JSON_PRETTY;
	struct json_value value;

	if (!json_member(json_root(jeton_raw_reply(l->jeton).parameters), "credential", &value))
		return;
	fputs(l->n ? "," : "", l->json);
	fputs(pretty ? "\n  " : "", l->json);
	json_print(value, pretty, 1, l->json);
}

static int on_credential(void *userdata, const struct jeton_credential *c)
{
	struct listing *l = userdata;

	if (l->json)
		add_element(l);
	else
		add_row(l, c);
	l->n++;
	return 0;
}

/* Nothing goes out before all of it has come: a list is whole, or is none. */
static int list_json(struct listing *l)
{
	_cleanup_free_ char *text = NULL;
	size_t n = 0;
	int r;

	l->json = open_memstream(&text, &n);
	if (!l->json)
		return fail(EXIT_FAILED, "there is not enough memory for this list");
	r = jeton_list_credentials(l->jeton, on_credential, l);
	if (fclose(l->json) != 0 && r == 0)
		return fail(EXIT_FAILED, "there is not enough memory for this list");
	if (r != 0)
		return ask_failed(l->jeton, r);
	printf("[%s%s]\n", text, l->args->json == JSON_PRETTY && l->n ? "\n" : "");
	return EXIT_DONE;
}

static int list_table(struct listing *l)
{
	struct table_look look = output_look(l->args, stdout);
	int r = jeton_list_credentials(l->jeton, on_credential, l);

	if (r != 0)
		return ask_failed(l->jeton, r);
	if (l->n == 0) {
		remark(l->args, "There is no credential that you may fetch.");
		return EXIT_DONE;
	}
	if (table_print(&l->table, &look, stdout) < 0)
		return fail(EXIT_FAILED, "there is not enough memory for this list");
	return EXIT_DONE;
}

int cmd_credentials(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	struct listing l = { .args = a };
	int status = ask_open(a, &jeton);

	if (status != EXIT_DONE)
		return status;
	l.jeton = jeton;
	if (a->json)
		return list_json(&l);
	text_width_init();
	table_init(&l.table, columns, ARRAY_SIZE(columns));
	status = list_table(&l);
	table_done(&l.table);
	return status;
}
