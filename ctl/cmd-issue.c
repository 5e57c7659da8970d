/*
 * ctl/cmd-issue.c - issue, derive, rotate: a value is made, and is nowhere but in the answer.
 *
 * Whether it can be printed at all is looked at before it is made; where printing fails all the
 * same, the token is ended again, since a token whose value nobody has is only a risk.
 */
#include <errno.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/facts.h"
#include "ctl/input.h"
#include "ctl/options.h"
#include "ctl/output.h"
#include "ctl/rotation.h"
#include "ctl/select.h"
#include "protocol/base/parse.h"
#include "protocol/base/time.h"
#include "protocol/client.h"

static int check_output(void)
{
	if (output_is_open() == 0)
		return EXIT_DONE;
	return fail(EXIT_FAILED,
		    "standard output is closed, and the value would go there: no token was made");
}

/* *ret_s: --lifetime, or what is left until --expires, or UNSET. */
static int lifetime_of(const struct args *a, int64_t *ret_s)
{
	if (a->lifetime_s != JETON_UNSET && a->expires_us != JETON_UNSET)
		return fail(EXIT_USAGE,
			    "--lifetime and --expires both say how long: give one of them");
	*ret_s = a->lifetime_s;
	if (a->expires_us == JETON_UNSET)
		return EXIT_DONE;
	/* Rounded down: never longer than asked for. */
	*ret_s = (a->expires_us - (int64_t)a->now_us) / (int64_t)USEC_PER_SEC;
	if (*ret_s < 1)
		return fail(EXIT_USAGE, "--expires: that time has passed");
	return EXIT_DONE;
}

/* What was asked for, checked as far as it can be here. */
static int read_request(const struct args *a, struct jeton_issue *issue)
{
	struct span name = span_of(a->operands[0]);
	int status;

	if (name.n < 1 || name.n > 128 || !utf8_clean(name))
		return fail(
			EXIT_USAGE,
			"a token's name is 1 to 128 bytes of UTF-8, with no control characters");
	issue->name = name.p;
	issue->scopes = a->scopes.n ? a->scopes.texts : NULL;
	issue->uses = a->uses;
	status = lifetime_of(a, &issue->lifetime_s);
	return status == EXIT_DONE ? ask_user(a->owner, &issue->owner_uid) : status;
}

/* After an answer that did not come, nobody knows whether the token was made. */
static int say_failed(struct jeton *jeton, int result)
{
	int status = ask_status(result);

	if (result == -ETIMEDOUT || result == -ECONNRESET || result == -EBADMSG)
		return fail(status,
			    "%s A token may have been made whose value nobody has: look at "
			    "jetonctl list.",
			    jeton_error_message(jeton));
	return ask_failed(jeton, result);
}

/* The value could not be printed: the token goes again. next: what to do then, or "". */
static int take_back(struct jeton *jeton, const struct id_text *id, int error, const char *next)
{
	int r = jeton_revoke(jeton, id->text, NULL);

	if (r == 0)
		return fail(EXIT_FAILED,
			    "the value can't be written to standard output (%s), so the new token "
			    "%s was revoked%s",
			    strerror(-error), id->text, next);
	return fail(EXIT_FAILED,
		    "the value can't be written to standard output (%s), and the new token could "
		    "not be revoked (%s); "
		    "do it with: jetonctl revoke %s",
		    strerror(-error), jeton_error_message(jeton), id->text);
}

/* advice: what follows where it reaches all, or "". */
static void remark_token(const struct args *a, const struct jeton_token *t, const char *advice)
{
	char when[FACTS_WHEN_MAX];

	remark(a, "Token %s, named %s, ends %s.", t->id, t->name,
	       facts_when_made(t->expires_us, when));
	remark(a, "Its value is shown this once, and kept nowhere.");
	if (!t->scopes)
		remark(a, "It reaches all that %s has access to, now and later%s.",
		       t->owner ? t->owner : "its owner", advice);
}

/* Prints the answer, by --json or the value alone. next: what to do where that failed, or "". */
static int print_value(const struct args *a, struct jeton *jeton, const char *value,
		       const struct jeton_token *t, const char *next)
{
	struct id_text id;
	int r;

	snprintf(id.text, sizeof(id.text), "%s", t->id);
	if (a->json)
		r = output_secret_json(a, jeton_raw_reply(jeton).parameters);
	else
		r = output_secret(a, value, strlen(value));
	return r < 0 ? take_back(jeton, &id, r, next) : EXIT_DONE;
}

int cmd_issue(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	struct jeton_issue issue = JETON_ISSUE_INIT;
	const struct jeton_token *token;
	const char *value;
	int status, r;

	status = check_output();
	if (status == EXIT_DONE)
		status = read_request(a, &issue);
	if (status == EXIT_DONE)
		status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	r = jeton_issue(jeton, &issue, &value, &token);
	if (r != 0)
		return say_failed(jeton, r);
	status = print_value(a, jeton, value, token, "");
	if (status == EXIT_DONE)
		remark_token(a, token, "; --scope narrows that");
	return status;
}

static int derive_from(const struct args *a, struct jeton *jeton, const struct jeton_issue *issue)
{
	_cleanup_(input_token_done) struct input_token parent;
	const struct jeton_token *token;
	const char *value;
	int status, r;

	status = input_token(&parent);
	if (status != EXIT_DONE)
		return status == EXIT_NOT_GOOD ? EXIT_FAILED : status;
	r = jeton_derive(jeton, parent.text, issue, &value, &token);
	if (r != 0)
		return say_failed(jeton, r);
	status = print_value(a, jeton, value, token, "");
	if (status == EXIT_DONE) {
		remark_token(a, token, "; --scope narrows that");
		if (token->parent)
			remark(a, "It ends with %s, from which it was derived, at the latest.",
			       token->parent);
	}
	return status;
}

int cmd_derive(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	struct jeton_issue issue = JETON_ISSUE_INIT;
	int status;

	status = check_output();
	if (status == EXIT_DONE)
		status = read_request(a, &issue);
	if (status == EXIT_DONE)
		status = ask_open(a, &jeton);
	return status == EXIT_DONE ? derive_from(a, jeton, &issue) : status;
}

static void remark_previous(const struct args *a, const struct jeton_token *previous)
{
	char when[FACTS_WHEN_MAX];

	if (previous->state == JETON_STATE_ACTIVE)
		remark(a, "The old one, %s, is good until it ends %s.", previous->id,
		       facts_when_made(previous->expires_us, when));
	else
		remark(a, "The old one, %s, is good no more.", previous->id);
}

static const char *next_of(const struct jeton_token *previous)
{
	return previous->state == JETON_STATE_ACTIVE
		       ? "; the old one is still good: rotate it again"
		       : "";
}

static int rotate(const struct args *a, struct jeton *jeton, const struct id_text *id,
		  struct id_text *ret_successor)
{
	const struct jeton_token *token, *previous;
	int64_t grace_s = a->grace_s;
	const char *value;
	int status, r;

	/* Its users decide when it ends, and at the latest that it does. */
	if (a->when_unused && grace_s == JETON_UNSET)
		grace_s = (int64_t)GRACE_MAX_S;
	r = jeton_rotate(jeton, id->text, grace_s, a->lifetime_s, &value, &token, &previous);
	if (r != 0)
		return say_failed(jeton, r);
	snprintf(ret_successor->text, sizeof(ret_successor->text), "%s", token->id);
	status = print_value(a, jeton, value, token, next_of(previous));
	if (status == EXIT_DONE) {
		remark_token(a, token, "");
		remark_previous(a, previous);
	}
	return status;
}

/* The one that has its place already; or "". */
static int find_successor(struct jeton *jeton, const struct id_text *id, struct id_text *ret)
{
	const struct jeton_token *token;
	int r = jeton_describe(jeton, id->text, &token);

	if (r != 0)
		return ask_failed(jeton, r);
	snprintf(ret->text, sizeof(ret->text), "%s", token->replaced_by ? token->replaced_by : "");
	return EXIT_DONE;
}

static int rotate_when_unused(const struct args *a, struct jeton *jeton, const struct id_text *id)
{
	struct id_text successor;
	int status = find_successor(jeton, id, &successor);

	if (status == EXIT_DONE && !successor.text[0])
		status = rotate(a, jeton, id, &successor);
	if (status != EXIT_DONE)
		return status;
	/* Whoever reads the value is not kept waiting for what comes now. */
	output_end();
	return rotation_wait(a, jeton, id, &successor);
}

int cmd_rotate(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	struct id_text id, successor;
	int status;

	status = check_output();
	if (status == EXIT_DONE)
		status = ask_open(a, &jeton);
	if (status == EXIT_DONE)
		status = select_token(jeton, a, a->operands[0], &id);
	if (status != EXIT_DONE)
		return status;
	return a->when_unused ? rotate_when_unused(a, jeton, &id)
			      : rotate(a, jeton, &id, &successor);
}
