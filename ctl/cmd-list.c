/* ctl/cmd-list.c - list, show, verify: what is known of tokens. */
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/facts.h"
#include "ctl/input.h"
#include "ctl/json-print.h"
#include "ctl/output.h"
#include "ctl/rotation.h"
#include "ctl/select.h"
#include "ctl/token-table.h"
#include "protocol/client.h"

/* An array, each token as the agent wrote it. */
static void print_json(const struct args *a, const struct selection *s)
{
	bool pretty = a->json == JSON_PRETTY;

	putchar('[');
	for (size_t i = 0; i < s->n; i++) {
		const char *json = s->items[i].json;

		fputs(i ? "," : "", stdout);
		fputs(pretty ? "\n  " : "", stdout);
		json_print((struct json_value){ .type = JSON_OBJECT, .raw = span_of(json) }, pretty, 1, stdout);
	}
	puts(pretty && s->n ? "\n]" : "]");
}

int cmd_list(const struct args *a)
{
	_cleanup_(selection_done) struct selection selection = { NULL, 0, 0 };
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status;

	status = ask_open(a, &jeton);
	if (status == EXIT_DONE)
		status = selection_ask(jeton, a, &selection);
	if (status != EXIT_DONE)
		return status;
	if (a->json) {
		print_json(a, &selection);
		return EXIT_DONE;
	}
	if (selection.n == 0) {
		remark(a, "There is no token to list.");
		return EXIT_DONE;
	}
	return token_table_print(a, &selection, stdout);
}

static void print_facts(const struct args *a, struct jeton *jeton, const struct jeton_token *token)
{
	facts_print(token);
	rotation_print(a, jeton, token);
}

int cmd_show(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	const struct jeton_token *token;
	struct id_text id;
	int status, r;

	status = ask_open(a, &jeton);
	if (status == EXIT_DONE)
		status = select_token(jeton, a, a->operands[0], &id);
	if (status != EXIT_DONE)
		return status;
	r = jeton_describe(jeton, id.text, &token);
	if (r != 0)
		return ask_failed(jeton, r);
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else
		print_facts(a, jeton, token);
	return EXIT_DONE;
}

static int verify(const struct args *a, struct jeton *jeton)
{
	_cleanup_(input_token_done) struct input_token value;
	const struct jeton_token *token;
	const char *const *access;
	int status, r;

	status = input_token(&value);
	if (status != EXIT_DONE)
		return status;
	r = jeton_verify(jeton, value.text, a->scopes.n ? a->scopes.texts : NULL, -1, &token,
			 &access);
	if (r != 0)
		return fail(ask_status_of_token(r), "%s", jeton_error_message(jeton));
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else if (!a->quiet)
		facts_print_verified(token, access);
	return EXIT_DONE;
}

int cmd_verify(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status;

	for (size_t i = 0; i < a->scopes.n; i++)
		if (!scope_is_plain(span_of(a->scopes.texts[i])))
			return fail(EXIT_USAGE,
				    "--scope: '%.130s' has stars: a token is verified for a plain "
				    "scope, like acme/risk:read",
				    a->scopes.texts[i]);
	status = ask_open(a, &jeton);
	return status == EXIT_DONE ? verify(a, jeton) : status;
}
