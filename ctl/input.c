/* ctl/input.c - values never come from the command line, so they come from here. */
#include "ctl/input.h"

#include <errno.h>
#include <stdio.h>

#include "ctl/output.h"
#include "ctl/terminal.h"
#include "protocol/base/fd.h"

void input_token_done(struct input_token *t)
{
	explicit_bzero(t, sizeof(*t));
}

/* Reads all of standard input, or one line where it is a terminal; at most size bytes. */
static ssize_t read_value(char *dst, size_t size)
{
	if (isatty(STDIN_FILENO))
		return terminal_read_unseen(STDIN_FILENO, "Token: ", dst, size);
	return fd_read_all(STDIN_FILENO, dst, size);
}

static int take_value(struct span text, struct input_token *ret)
{
	struct span secret;
	uint64_t id;

	if (text.n > 0 && text.p[text.n - 1] == '\n')
		text.n--;
	if (text.n == 0)
		return fail(EXIT_NOT_GOOD, "standard input is empty: a token's value belongs "
					   "there, on a line of its own");
	if (memchr(text.p, '\n', text.n))
		return fail(EXIT_NOT_GOOD, "standard input has more than one line: just the "
					   "token's value belongs there");
	if (!token_read(text, &id, &secret))
		return fail(
			EXIT_NOT_GOOD,
			"what stands on standard input is no token: a token is jeton_ and %d more "
			"characters, and these are not all, or not as they were issued",
			TOKEN_LEN - 6);
	memcpy(ret->text, text.p, TOKEN_LEN);
	ret->text[TOKEN_LEN] = 0;
	return EXIT_DONE;
}

int input_token(struct input_token *ret)
{
	char buffer[4096];
	ssize_t n = read_value(buffer, sizeof(buffer));
	int status;

	if (n < 0)
		return fail(EXIT_FAILED, "can't read the token from standard input: %s",
			    strerror((int)-n));
	status = take_value((struct span){ buffer, (size_t)n }, ret);
	explicit_bzero(buffer, (size_t)n);
	return status;
}

struct lines {
	char buffer[4096];
	size_t have;
	bool skipping; /* what is left of a line that was too long */
	uint64_t number;
};

/* Gives out whole lines, and at the end what is left. */
static int give_lines(struct lines *l, bool at_end, int (*on_line)(void *, struct span, uint64_t),
		      void *userdata)
{
	size_t at = 0;
	int status = EXIT_DONE;

	while (status == EXIT_DONE && at < l->have) {
		char *start = l->buffer + at, *newline = memchr(start, '\n', l->have - at);
		bool full = at == 0 && l->have == sizeof(l->buffer);
		size_t n = newline ? (size_t)(newline - start) : l->have - at;

		if (!newline && !full && !at_end)
			break;
		if (!l->skipping)
			l->number++;
		if (n > 0 && !l->skipping)
			status = on_line(userdata, (struct span){ start, n }, l->number);
		l->skipping = !newline;
		at += n + (newline != NULL);
	}
	memmove(l->buffer, l->buffer + at, l->have - at);
	l->have -= at;
	return status;
}

int input_lines(int (*on_line)(void *userdata, struct span line, uint64_t number), void *userdata)
{
	struct lines l = { .have = 0 };
	int status = EXIT_DONE;
	ssize_t n = 1;

	while (status == EXIT_DONE && n > 0) {
		n = read(STDIN_FILENO, l.buffer + l.have, sizeof(l.buffer) - l.have);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n < 0)
			status =
				fail(EXIT_FAILED, "can't read standard input: %s", strerror(errno));
		else {
			l.have += (size_t)n;
			status = give_lines(&l, n == 0, on_line, userdata);
		}
	}
	explicit_bzero(&l, sizeof(l));
	return status;
}

bool input_confirm(const char *question)
{
	char answer[16];
	ssize_t n;

	if (!isatty(STDIN_FILENO) || fd_write_all(STDERR_FILENO, question, strlen(question)) < 0)
		return false;
	n = read(STDIN_FILENO, answer, sizeof(answer));
	return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}
