/*
 * ctl/cmd-credential.c - put, forget, get: secrets that others fetch by name. They come from
 * standard input and go to standard output, byte by byte as they are.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "ctl/secret.h"
#include "ctl/terminal.h"
#include "ctl/fetched.h"
#include "protocol/base/fd.h"
#include "protocol/base/parse.h"
#include "protocol/client.h"

/* The most that the agent holds, by its interface. */
#define VALUE_MAX ((size_t)48 * 1024)

/* The operand is a credential's name, by its form. */
static int check_name(const struct args *a)
{
	if (is_credential_name(a->operands[0]))
		return EXIT_DONE;
	return fail(EXIT_USAGE,
		    "'%.100s' is no credential's name: 1 to 64 of A-Z a-z 0-9 . _ -, and not . or "
		    "..",
		    a->operands[0]);
}

/* ---- put ---- */

/* All of standard input, or one line of a terminal. */
static int read_input(const struct args *a, struct secret *s)
{
	bool terminal = isatty(STDIN_FILENO);
	char prompt[128];
	ssize_t n;

	snprintf(prompt, sizeof(prompt), "Value of %s: ", a->operands[0]);
	if (terminal)
		n = terminal_read_unseen(STDIN_FILENO, prompt, s->p, s->size);
	else
		n = fd_read_all(STDIN_FILENO, s->p, s->size);
	if (n < 0)
		return fail(EXIT_FAILED, "can't read the value from standard input: %s",
			    strerror((int)-n));
	s->n = (size_t)n;
	if ((terminal || !a->binary) && s->n > 0 && s->p[s->n - 1] == '\n')
		s->n--;
	return EXIT_DONE;
}

static int check_value(const struct args *a, const struct secret *s)
{
	struct span value = { s->p, s->n };

	if (s->n == 0)
		return fail(EXIT_FAILED, "standard input is empty: the value belongs there");
	if (s->n > VALUE_MAX)
		return fail(EXIT_FAILED, "the value is over 48 KiB, the most that is held");
	if (!a->binary && (memchr(s->p, '\0', s->n) || !utf8_valid(value)))
		return fail(EXIT_FAILED,
			    "the value is no text: --binary takes it exactly as it is");
	return EXIT_DONE;
}

/* The library's sentences are for those who fetch. */
static int say_put_failed(const struct args *a, struct jeton *jeton, int r)
{
	const char *parameter = jeton_error_info(jeton)->parameter;

	if (r == JETON_ERROR_NO_SUCH_CREDENTIAL)
		return fail(EXIT_DENIED,
			    "no policy in force defines '%s': write a section [Credential %s], and "
			    "jetonctl reload",
			    a->operands[0], a->operands[0]);
	if (r == JETON_ERROR_INVALID_PARAMETER && parameter && !strcmp(parameter, "credential"))
		return fail(EXIT_FAILED,
			    "%s is minted anew for each fetch: there is nothing to put in or to "
			    "forget",
			    a->operands[0]);
	if (r == JETON_ERROR_INVALID_PARAMETER && parameter && !strcmp(parameter, "expiresUSec"))
		return fail(EXIT_FAILED, "--expires: that time has passed, or is too far off");
	return ask_failed(jeton, r);
}

static int put(const struct args *a, const struct secret *s)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int64_t revision = 0;
	int status, r;

	status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	r = jeton_put(jeton, a->operands[0], s->p, s->n, a->binary ? JETON_PUT_DATA : 0,
		      a->expires_us, &revision);
	if (r != 0)
		return say_put_failed(a, jeton, r);
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else
		remark(a, "%s has a new value, revision %" PRIi64 ".", a->operands[0], revision);
	return EXIT_DONE;
}

int cmd_put(const struct args *a)
{
	_cleanup_(secret_done) struct secret s = { NULL, 0, 0 };
	int status = check_name(a);

	if (status != EXIT_DONE)
		return status;
	/* A newline more than the most, and a byte to see that it was too much. */
	if (secret_init(&s, VALUE_MAX + 2) < 0)
		return fail(EXIT_FAILED, "there is not enough memory for the value");
	status = read_input(a, &s);
	if (status == EXIT_DONE)
		status = check_value(a, &s);
	return status == EXIT_DONE ? put(a, &s) : status;
}

/* ---- forget ---- */

int cmd_forget(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status, r;

	status = check_name(a);
	if (status == EXIT_DONE)
		status = ask_open(a, &jeton);
	if (status != EXIT_DONE)
		return status;
	r = jeton_forget(jeton, a->operands[0]);
	if (r != 0)
		return say_put_failed(a, jeton, r);
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else
		remark(a, "%s holds nothing now.", a->operands[0]);
	return EXIT_DONE;
}

/* ---- get ---- */

/* It could not be written. A token that nobody has is only a risk. */
static int take_back(struct jeton *jeton, const struct jeton_value *value, int error)
{
	bool minted = value->token_id;
	bool ended = minted && jeton_revoke_value(jeton, value->bytes, NULL) == 0;

	return fail(EXIT_FAILED, "the value can't be written to standard output (%s)%s",
		    strerror(-error),
		    ended    ? ", so the new token was revoked"
		    : minted ? ", and the new token could not be revoked"
			     : "");
}

int cmd_get(const struct args *a)
{
	_cleanup_jeton_ struct jeton *jeton = NULL;
	const struct jeton_value *value;
	int status, r;

	status = check_name(a);
	if (status == EXIT_DONE && output_is_open() < 0)
		status = fail(EXIT_FAILED,
			      "standard output is closed, and the value would go there");
	if (status == EXIT_DONE)
		status = ask_open(a, &jeton);
	if (status == EXIT_DONE)
		status = fetched_value(a, jeton, a->operands[0], &value);
	if (status != EXIT_DONE)
		return status;
	if (a->json)
		r = output_secret_json(a, jeton_raw_reply(jeton).parameters);
	else
		r = output_value(a, value->bytes, value->n);
	return r < 0 ? take_back(jeton, value, r) : EXIT_DONE;
}
