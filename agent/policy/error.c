/*
 * agent/policy/error.c
 *
 * A mistake is plain data in its finder's hands: whoever reports it decides where it goes, and
 * nothing here allocates, so that finding one cannot fail.
 */
#include "agent/policy/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base/parse.h"

/*
 * What was cut in the middle of a character is no UTF-8 any more, and goes into logs and replies.
 */
static void mend(char *text)
{
	if (utf8_valid(span_of(text)))
		return;
	for (; *text; text++)
		if ((unsigned char)*text >= 0x80)
			*text = '?';
}

int policy_mistake(struct policy_error *e, const char *file, unsigned line, const char *format, ...)
{
	size_t n = strlen(file);
	va_list args;

	if (n < sizeof(e->file))
		memcpy(e->file, file, n + 1);
	else
		snprintf(e->file, sizeof(e->file), "...%s", file + n - (sizeof(e->file) - 4));
	e->line = line;

	va_start(args, format);
	vsnprintf(e->message, sizeof(e->message), format, args);
	va_end(args);
	mend(e->file);
	mend(e->message);
	return -EINVAL;
}
