/* agent/log.c - one write a line, so that lines of two processes on one terminal stay whole. */
#include "agent/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

enum { LINE_SIZE = 1024 };
static const uint64_t LIMIT_US = 10 * 1000 * 1000;

/* Whether standard error is the journal's: then lines start with their level. */
static bool to_journal;

void log_init(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	to_journal = stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
		     fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

bool log_is_journal(void)
{
	return to_journal;
}

__attribute__((format(printf, 3, 0)))
static void log_line(int level, const char *more, const char *format, va_list args)
{
	char line[LINE_SIZE];
	size_t n, start;
	int r;

	r = to_journal ? snprintf(line, sizeof(line), "<%d>", level)
		       : snprintf(line, sizeof(line), "jetond: ");
	start = n = (size_t)r;
	r = vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	if (r < 0)
		return;
	n = n + (size_t)r < sizeof(line) - 2 ? n + (size_t)r : sizeof(line) - 2;
	r = snprintf(line + n, sizeof(line) - n - 1, "%s", more);
	if (r > 0)
		n = n + (size_t)r < sizeof(line) - 2 ? n + (size_t)r : sizeof(line) - 2;
	for (size_t i = start; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n++] = '\n';
	/* Nothing can be said of a log that can't be written. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}

#define DEFINE_LOG(name, level)                    \
	void name(const char *format, ...)         \
	{                                          \
		va_list args;                      \
                                                   \
		va_start(args, format);            \
		log_line(level, "", format, args); \
		va_end(args);                      \
	}

DEFINE_LOG(log_error, LOG_ERR)
DEFINE_LOG(log_warning, LOG_WARNING)
DEFINE_LOG(log_notice, LOG_NOTICE)

void log_limited(struct log_limit *limit, uint64_t monotonic_us, const char *format, ...)
{
	char more[64] = "";
	va_list args;

	if (monotonic_us < limit->next_us) {
		limit->n_left_out++;
		return;
	}
	if (limit->n_left_out)
		snprintf(more, sizeof(more), " (and %u more like it before)", limit->n_left_out);
	limit->n_left_out = 0;
	limit->next_us = monotonic_us + LIMIT_US;
	va_start(args, format);
	log_line(LOG_WARNING, more, format, args);
	va_end(args);
}
