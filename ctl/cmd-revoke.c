/*
 * ctl/cmd-revoke.c - revoke: tokens by name, those that nobody uses, those that leaked.
 *
 * What was named is found out as a whole before the first token ends, so that a typing error in the
 * last name ends nothing. From then on a failure is said and the rest is done all the same: every
 * token ended is one less.
 */
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/input.h"
#include "ctl/leaked.h"
#include "ctl/output.h"
#include "ctl/select.h"
#include "ctl/text.h"
#include "ctl/token-table.h"
#include "protocol/client.h"

static void say_revoked(const struct args *a, struct jeton *jeton, const struct jeton_token *t)
{
	enum leaked leaked = leaked_of(t, a->now_us);

	if (a->json) {
		output_json(a, jeton_raw_reply(jeton).parameters);
		return;
	}
	if (a->quiet)
		return;
	text_print(stdout, span_of(t->id));
	fputs(" (", stdout);
	text_print(stdout, span_of(t->name));
	printf(") %s\n", leaked == LEAKED_ENDED ? "revoked" : leaked_text(leaked));
}

/* One token less; the worst status so far goes on. */
static int revoke_id(const struct args *a, struct jeton *jeton, const char *id, int status)
{
	const struct jeton_token *token;
	int r = jeton_revoke(jeton, id, &token);

	if (r != 0) {
		r = ask_failed(jeton, r);
		return status == EXIT_DONE ? r : status;
	}
	say_revoked(a, jeton, token);
	return status;
}

static bool is_among(const struct id_text ids[], size_t n, const char *id)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(ids[i].text, id))
			return true;
	return false;
}

static int revoke_named(const struct args *a, struct jeton *jeton)
{
	_cleanup_free_ struct id_text *ids = calloc(a->n_operands, sizeof(*ids));
	int status = EXIT_DONE;
	size_t n = 0;

	if (!ids)
		return fail(EXIT_FAILED, "there is not enough memory for so many tokens");
	for (size_t i = 0; i < a->n_operands && status == EXIT_DONE; i++) {
		status = select_token(jeton, a, a->operands[i], &ids[n]);
		if (status == EXIT_DONE && !is_among(ids, n, ids[n].text))
			n++;
	}
	if (status != EXIT_DONE)
		return status;
	for (size_t i = 0; i < n; i++)
		status = revoke_id(a, jeton, ids[i].text, status);
	return status;
}

/* ---- --unused ---- */

static bool selection_has(const struct selection *s, const char *id)
{
	for (size_t i = 0; id && i < s->n; i++)
		if (!strcmp(s->items[i].token->id, id))
			return true;
	return false;
}

static bool is_shown(const struct jeton_token *token, void *shown)
{
	return selection_has(shown, token->id);
}

/*
 * Asks, where it must. The answer may take its time, and a token may be used in the meantime: what
 * is ended is what is unused by then and was shown.
 */
static int confirm(const struct args *a, struct jeton *jeton, struct selection *shown)
{
	struct selection now = { NULL, 0, 0 };
	char question[64];
	int status;

	status = token_table_print(a, shown, stderr);
	if (status != EXIT_DONE)
		return status;
	if (!isatty(STDIN_FILENO))
		return fail(EXIT_FAILED, "nobody is there to be asked, so nothing was revoked: "
					 "--yes revokes without asking");
	snprintf(question, sizeof(question), "Revoke %s? [y/N] ",
		 shown->n == 1 ? "this token" : "all of these tokens");
	if (!input_confirm(question))
		return fail(EXIT_FAILED, "nothing was revoked");
	status = selection_ask(jeton, a, &now);
	if (status != EXIT_DONE)
		return status;
	selection_keep(&now, is_shown, shown);
	selection_done(shown);
	*shown = now;
	return EXIT_DONE;
}

static int revoke_unused(const struct args *a, struct jeton *jeton)
{
	_cleanup_(selection_done) struct selection selection = { NULL, 0, 0 };
	int status = selection_ask(jeton, a, &selection);

	if (status == EXIT_DONE && selection.n == 0)
		remark(a, "There is no such token.");
	if (status == EXIT_DONE && selection.n > 0 && !a->yes)
		status = confirm(a, jeton, &selection);
	if (status != EXIT_DONE)
		return status;
	for (size_t i = 0; i < selection.n; i++)
		/* What was derived from another of these ends with it. */
		if (!selection_has(&selection, selection.items[i].token->parent))
			status = revoke_id(a, jeton, selection.items[i].token->id, status);
	return status;
}

/* ---- --leaked ---- */

struct leaking {
	const struct args *args;
	struct jeton *jeton;
	int status;
};

static int on_leaked_line(void *userdata, struct span line, uint64_t number)
{
	struct leaking *l = userdata;
	struct span secret;
	enum leaked leaked;
	uint64_t id;
	int status = EXIT_FAILED;

	if (line.p[line.n - 1] == '\r' && --line.n == 0)
		return EXIT_DONE;
	if (!token_read(line, &id, &secret)) {
		l->status = fail(EXIT_FAILED, "line %llu is no token", (unsigned long long)number);
		return EXIT_DONE;
	}
	leaked = leaked_end(l->args, l->jeton, line, &status);
	if (leaked == LEAKED_FAILED)
		return status;
	if (leaked == LEAKED_UNKNOWN)
		l->status = EXIT_FAILED;
	if (!l->args->json && !l->args->quiet)
		printf("%.*s %s\n", TOKEN_ID_LEN, line.p + TOKEN_SECRET_AT - 1 - TOKEN_ID_LEN,
		       leaked_text(leaked));
	else if (l->args->json && leaked != LEAKED_UNKNOWN)
		output_json(l->args, jeton_raw_reply(l->jeton).parameters);
	return EXIT_DONE;
}

static int revoke_leaked(const struct args *a, struct jeton *jeton)
{
	struct leaking l = { a, jeton, EXIT_DONE };
	int status;

	if (isatty(STDIN_FILENO))
		remark(a, "Values, one a line, then ^D:");
	status = input_lines(on_leaked_line, &l);
	return status == EXIT_DONE ? l.status : status;
}

int cmd_revoke(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	bool unused = a->unused_s != JETON_UNSET;
	int status;

	if ((a->n_operands > 0) + unused + a->leaked != 1)
		return fail(EXIT_USAGE,
			    "revoke needs one of these: TOKEN..., --unused SPAN, --leaked");
	if (a->yes && !unused)
		return fail(EXIT_USAGE, "--yes belongs to --unused: nothing else asks");
	if (a->all_users && !unused)
		return fail(EXIT_USAGE, "--all-users belongs to --unused");
	if (a->owner && a->leaked)
		return fail(EXIT_USAGE, "--leaked takes whoever's tokens the values are: --owner "
					"does not belong there");
	status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	if (unused)
		return revoke_unused(a, jeton);
	return a->leaked ? revoke_leaked(a, jeton) : revoke_named(a, jeton);
}
