/*
 * ctl/output.c - where words go.
 *
 * Whatever is printed may hold words of others, so all of it passes text_print() as a whole, after
 * it was put together. SIGPIPE and SIGXFSZ are ignored (main), so that a reader who went away and a
 * file that may not grow are errors like a full disk.
 */
#include "ctl/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ctl/json-print.h"
#include "ctl/text.h"
#include "protocol/base/fd.h"
#include "protocol/base/parse.h"

/* stdout's buffer: known, so that it can be wiped. */
static char stdout_buffer[32 * 1024];

/* Set once, at the start. */
static const char *program = "";
static void (*sigpipe_before)(int), (*sigxfsz_before)(int);

void output_init(const char *name)
{
	/* The wrong way round: reading 0 and writing 1 and 2 fail as they do on a closed one. */
	static const int flags[] = { O_WRONLY, O_RDONLY, O_RDONLY };

	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags[fd] | O_CLOEXEC) < 0)
			abort();
	program = name;
	sigpipe_before = signal(SIGPIPE, SIG_IGN);
	sigxfsz_before = signal(SIGXFSZ, SIG_IGN);
	setvbuf(stdout, stdout_buffer, _IOFBF, sizeof(stdout_buffer));
}

void output_undo(void)
{
	signal(SIGPIPE, sigpipe_before);
	signal(SIGXFSZ, sigxfsz_before);
}

/* Put together, spelt out and written in one go, so that lines of two processes do not mix. */
static PRINTF(2, 0) void print_line(const char *before, const char *format, va_list ap)
{
	char text[6144], line[sizeof(text) * 2]; /* the longest path and some words */
	size_t at = strlen(before);
	int n = vsnprintf(text, sizeof(text), format, ap);

	if (n < 0)
		return;
	memcpy(line, before, at);
	at += text_escape(span_of(text), line + at, sizeof(line) - at - 1);
	line[at++] = '\n';
	fflush(stdout);
	/* There is nowhere left to say that this failed. */
	if (fd_write_all(STDERR_FILENO, line, at) < 0)
		return;
}

int fail(int status, const char *format, ...)
{
	char before[32];
	va_list ap;

	va_start(ap, format);
	snprintf(before, sizeof(before), "%s: ", program);
	print_line(before, format, ap);
	va_end(ap);
	return status;
}

void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print_line("", format, ap);
	va_end(ap);
}

void remark(const struct args *a, const char *format, ...)
{
	va_list ap;

	if (a->quiet)
		return;
	va_start(ap, format);
	print_line("", format, ap);
	va_end(ap);
}

bool output_is_terminal(FILE *stream)
{
	return isatty(fileno(stream));
}

bool output_has_colour(FILE *stream)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (no_color && *no_color)
		return false;
	return output_is_terminal(stream) && term && strcmp(term, "dumb") != 0;
}

unsigned output_width(FILE *stream)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	uint64_t n;

	if (!output_is_terminal(stream))
		return 0;
	if (columns && parse_u64(span_of(columns), 10000, &n) == 0 && n > 0)
		return (unsigned)n;
	if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return 80;
}

struct table_look output_look(const struct args *a, FILE *stream)
{
	return (struct table_look){ output_width(stream), !a->no_legend,
				    output_has_colour(stream) };
}

static void print_fact(const char *label, enum style style, struct span text)
{
	bool colour = style != STYLE_PLAIN && output_has_colour(stdout);

	printf("%s%-*s%s", label ? label : "", 14 - (label ? (int)strlen(label) : 0),
	       label ? ":" : "", colour ? style_start(style) : "");
	text_print(stdout, text);
	printf("%s\n", colour ? style_end(style) : "");
}

/* Apart, for what it takes of the stack is more than all else of a short command does. */
static __attribute__((noinline)) PRINTF(3, 0) void long_fact(const char *label, enum style style,
							     const char *format, va_list ap)
{
	char text[8192] NOT_ZEROED;

	if (vsnprintf(text, sizeof(text), format, ap) >= 0)
		print_fact(label, style, span_of(text));
}

void fact(const char *label, enum style style, const char *format, ...)
{
	char text[512] NOT_ZEROED;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(text)) {
		print_fact(label, style, (struct span){ text, (size_t)n });
		return;
	}
	va_start(ap, format);
	long_fact(label, style, format, ap);
	va_end(ap);
}

void output_json(const struct args *a, struct span json)
{
	json_print(json_root(json), a->json == JSON_PRETTY, 0, stdout);
	putchar('\n');
}

/* Whether nobody is left who could read what is written. */
static bool reader_is_gone(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) > 0 && p.revents & POLLERR;
}

int output_finish(int status)
{
	bool failed;

	errno = 0;
	failed = fflush(stdout) != 0;
	if (!failed && !ferror(stdout))
		return status;
	/* A reader that has seen enough is told nothing. */
	if (!reader_is_gone())
		fail(0, "can't write to standard output%s%s", errno ? ": " : "",
		     errno ? strerror(errno) : "");
	return status == EXIT_DONE ? EXIT_FAILED : status;
}

static void warn_of_terminal(const struct args *a)
{
	if (output_is_terminal(stdout))
		remark(a, "Careful: what follows is a secret, on a terminal that may keep it.");
}

int output_secret_json(const struct args *a, struct span json)
{
	int r;

	warn_of_terminal(a);
	output_json(a, json);
	r = fflush(stdout) != 0 ? -errno : ferror(stdout) ? -EIO : 0;
	if (r < 0) {
		/* It has been told, and must not go out later. */
		__fpurge(stdout);
		clearerr(stdout);
	}
	explicit_bzero(stdout_buffer, sizeof(stdout_buffer));
	return r;
}

int output_secret(const struct args *a, const char *text, size_t n)
{
	int r;

	warn_of_terminal(a);
	r = fd_write_all(STDOUT_FILENO, text, n);
	return r < 0 ? r : fd_write_all(STDOUT_FILENO, "\n", 1);
}

int output_value(const struct args *a, const void *bytes, size_t n)
{
	bool terminal = output_is_terminal(stdout);
	int r;

	warn_of_terminal(a);
	r = fd_write_all(STDOUT_FILENO, bytes, n);
	return r < 0 || !terminal ? r : fd_write_all(STDOUT_FILENO, "\n", 1);
}

void output_end(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	if (fflush(stdout) == 0 && fd >= 0)
		dup2(fd, STDOUT_FILENO);
	close(fd);
}

int output_is_open(void)
{
	int flags = fcntl(STDOUT_FILENO, F_GETFL);

	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	return 0;
}
