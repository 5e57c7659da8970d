/*
 * ctl/cmd-lock.c - lock, unlock. The passphrase is asked for once it is known that there is an agent
 * to give it to; it comes from standard input, never from the command line.
 */
#include <string.h>

#include "ctl/ask.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "ctl/passphrase.h"
#include "protocol/base/parse.h"
#include "protocol/client.h"

/* It goes as a text. */
static int check_text(const struct secret *s)
{
	if (!memchr(s->p, '\0', s->n) && utf8_valid((struct span){ s->p, s->n }))
		return EXIT_DONE;
	return fail(EXIT_FAILED, "the passphrase is no text in UTF-8, as one must be");
}

static int done(const struct args *a, struct jeton *jeton, const char *text)
{
	if (a->json)
		output_json(a, jeton_raw_reply(jeton).parameters);
	else
		remark(a, "%s", text);
	return EXIT_DONE;
}

int cmd_lock(const struct args *a)
{
	_cleanup_(secret_done) struct secret passphrase = { NULL, 0, 0 };
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status, r;

	status = ask_open(a, &jeton);
	if (status == EXIT_DONE && (r = jeton_connect(jeton)) != 0)
		status = ask_failed(jeton, r);
	if (status == EXIT_DONE)
		status = passphrase_read("Passphrase for the lock", true, &passphrase);
	if (status == EXIT_DONE)
		status = check_text(&passphrase);
	if (status != EXIT_DONE)
		return status;
	r = jeton_lock(jeton, passphrase.p);
	if (r == JETON_ERROR_AGENT_LOCKED)
		return fail(EXIT_FAILED,
			    "The agent is locked already, with the passphrase of then.");
	return r != 0 ? ask_failed(jeton, r)
		      : done(a, jeton, "The agent is locked, until jetonctl unlock.");
}

int cmd_unlock(const struct args *a)
{
	_cleanup_(secret_done) struct secret passphrase = { NULL, 0, 0 };
	_cleanup_jeton_ struct jeton *jeton = NULL;
	int status, r;

	status = ask_open(a, &jeton);
	if (status == EXIT_DONE && (r = jeton_connect(jeton)) != 0)
		status = ask_failed(jeton, r);
	if (status == EXIT_DONE)
		status = passphrase_read("Passphrase", false, &passphrase);
	if (status == EXIT_DONE)
		status = check_text(&passphrase);
	if (status != EXIT_DONE)
		return status;
	r = jeton_unlock(jeton, passphrase.p);
	return r != 0 ? ask_failed(jeton, r) : done(a, jeton, "The agent is unlocked.");
}
