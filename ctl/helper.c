/* ctl/helper.c - what all helpers do: fetch, look whether the form can take it, write and wipe. */
#include "ctl/helper.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "ctl/ask.h"
#include "ctl/fetched.h"
#include "ctl/output.h"
#include "protocol/base/fd.h"
#include "protocol/base/parse.h"
#include "protocol/base/time.h"

/* A value of 48 KiB, each byte an escape, and what stands around it. */
enum { OUT_MAX = 300 * 1024 };

void serving_done(struct serving *s)
{
	secret_done(&s->memory);
	jeton_free(s->jeton);
	s->jeton = NULL;
}

static bool is_control(char c, bool with_lines)
{
	return ((unsigned char)c < 0x20 || c == 0x7f) && !(with_lines && strchr("\n\r\t", c) && c);
}

/* One that stands on a line of its own, as most do. */
static int check_text(const struct args *a, struct span text, bool with_lines)
{
	bool good = utf8_valid(text);

	for (size_t i = 0; i < text.n; i++)
		good = good && !is_control(text.p[i], with_lines);
	if (good)
		return EXIT_DONE;
	return fail(EXIT_FAILED,
		    "%s is no text, or has line breaks or control characters in it, which this "
		    "tool takes none of: put it in without them",
		    a->credential);
}

int serving_init(struct serving *s, const struct args *a, bool with_lines)
{
	int status;

	*s = (struct serving){ .jeton = NULL };
	if (!a->credential)
		return fail(EXIT_USAGE, "--credential NAME is needed: which one to fetch");
	if (output_is_open() < 0)
		return fail(EXIT_FAILED, "standard output is closed, and the value would go there");
	if (secret_init(&s->memory, OUT_MAX) < 0)
		return fail(EXIT_FAILED, "there is not enough memory for the value");
	json_writer_init(&s->out, s->memory.p, OUT_MAX);
	status = ask_open(a, &s->jeton);
	if (status == EXIT_DONE)
		status = fetched_value(a, s->jeton, a->credential, &s->value);
	if (status != EXIT_DONE)
		return status;
	s->text = (struct span){ s->value->bytes, s->value->n };
	return check_text(a, s->text, with_lines);
}

void serving_put(struct serving *s, struct span text)
{
	json_put_raw(&s->out, text);
}

int serving_finish(struct serving *s)
{
	int r;

	if (s->out.overflow)
		return fail(EXIT_FAILED, "the value is too long for this form");
	r = fd_write_all(STDOUT_FILENO, s->out.buf, s->out.n);
	if (r == 0)
		return EXIT_DONE;
	/* A token that nobody has is only a risk. */
	if (s->value && s->value->token_id &&
	    jeton_revoke_value(s->jeton, s->value->bytes, NULL) != 0)
		say("The new token could not be revoked.");
	return fail(EXIT_FAILED, "can't write to standard output: %s", strerror(-r));
}

const char *instant_text(int64_t at_us, char dst[static INSTANT_MAX])
{
	time_t at = (time_t)(at_us / (int64_t)USEC_PER_SEC);
	struct tm tm;

	if (!gmtime_r(&at, &tm) || strftime(dst, INSTANT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		dst[0] = 0;
	return dst;
}

void input_discard(void)
{
	char buffer[4096];
	ssize_t n;

	do {
		n = fd_read_all(STDIN_FILENO, buffer, sizeof(buffer));
	} while (n == sizeof(buffer));
	explicit_bzero(buffer, sizeof(buffer));
}

int input_text(struct secret *s, size_t size)
{
	ssize_t n;

	if (secret_init(s, size + 1) < 0)
		return fail(EXIT_FAILED, "there is not enough memory");
	n = fd_read_all(STDIN_FILENO, s->p, size);
	if (n < 0)
		return fail(EXIT_FAILED, "can't read standard input: %s", strerror((int)-n));
	if ((size_t)n == size || memchr(s->p, '\0', (size_t)n))
		return fail(EXIT_FAILED, "what stands on standard input is no request");
	s->n = (size_t)n;
	s->p[n] = 0;
	return EXIT_DONE;
}
