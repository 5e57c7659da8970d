/*
 * ctl/passphrase.c - never from the command line or the environment, which others can read, and
 * nowhere but in locked memory.
 */
#include "ctl/passphrase.h"

#include <stdio.h>

#include "ctl/output.h"
#include "ctl/terminal.h"
#include "protocol/base/fd.h"

static int read_once(const char *what, const char *how, struct secret *s)
{
	char prompt[160];
	ssize_t n;

	snprintf(prompt, sizeof(prompt), "%s%s: ", what, how);
	/* A newline more than the most, a byte to see that it was too much, and the NUL. */
	if (secret_init(s, PASSPHRASE_MAX + 3) < 0)
		return fail(EXIT_FAILED, "there is not enough memory for the passphrase");
	if (isatty(STDIN_FILENO))
		n = terminal_read_unseen(STDIN_FILENO, prompt, s->p, PASSPHRASE_MAX + 2);
	else
		n = fd_read_all(STDIN_FILENO, s->p, PASSPHRASE_MAX + 2);
	if (n < 0)
		return fail(EXIT_FAILED, "can't read the passphrase from standard input: %s",
			    strerror((int)-n));
	s->n = (size_t)n;
	if (s->n > 0 && s->p[s->n - 1] == '\n')
		s->p[--s->n] = '\0';
	return EXIT_DONE;
}

static int judge(const struct secret *s)
{
	if (s->n == 0)
		return fail(EXIT_FAILED,
			    "the passphrase is empty: it is read from standard input, and must be "
			    "there");
	if (s->n > PASSPHRASE_MAX)
		return fail(EXIT_FAILED, "the passphrase is over %d bytes", PASSPHRASE_MAX);
	return EXIT_DONE;
}

static int read_again(const char *what, const struct secret *first)
{
	_cleanup_(secret_done) struct secret second = { NULL, 0, 0 };
	int status = read_once(what, ", again", &second);

	if (status != EXIT_DONE)
		return status;
	if (first->n != second.n || memcmp(first->p, second.p, first->n) != 0)
		return fail(EXIT_FAILED, "the two are not the same: nothing was done");
	return EXIT_DONE;
}

int passphrase_read(const char *what, bool again, struct secret *ret)
{
	struct secret s = { NULL, 0, 0 };
	int status = read_once(what, "", &s);

	if (status == EXIT_DONE)
		status = judge(&s);
	if (status == EXIT_DONE && again && isatty(STDIN_FILENO))
		status = read_again(what, &s);
	if (status == EXIT_DONE)
		*ret = s;
	else
		secret_done(&s);
	return status;
}
