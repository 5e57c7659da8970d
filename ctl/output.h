/*
 * ctl/output.h - what the tool says, and where: results on standard output, all else on standard
 * error.
 */
#pragma once

#include <stdarg.h>
#include <stdio.h>

#include "ctl/args.h"
#include "ctl/table.h"
#include "protocol/json.h"

#define PRINTF(n, first) __attribute__((format(printf, n, first)))

/*
 * Call first of all: makes sure that descriptors 0 to 2 are taken, so that no socket or file gets
 * the number of a closed one; reading or writing one that was closed goes on to fail. And gives
 * stdout a buffer that is wiped where it must be. A reader that goes away is an error, no signal,
 * and so is a file that may not grow.
 * program: whose messages these are, a literal.
 */
void output_init(const char *program);

/*
 * Before another program takes over this process: what was closed is closed there, and signals are
 * as they were.
 */
void output_undo(void);

/*
 * One line on standard error, "jetonctl: " before it and what could steer a terminal spelt out.
 * Returns status, so that a function can end with it.
 */
int fail(int status, const char *format, ...) PRINTF(2, 3);

/* One line on standard error, likewise, with nothing before it. */
void say(const char *format, ...) PRINTF(1, 2);

/* A remark: one line on standard error, nothing with --quiet. */
void remark(const struct args *a, const char *format, ...) PRINTF(2, 3);

/* Whether standard output (or that stream) is a terminal. */
bool output_is_terminal(FILE *stream);
/* A terminal that takes colour, and $NO_COLOR is not set. */
bool output_has_colour(FILE *stream);
/* The columns of the terminal; 0 where it is none. */
unsigned output_width(FILE *stream);

/* How a table is to look there. */
struct table_look output_look(const struct args *a, FILE *stream);

/*
 * "Label:      text", the text spelt out where it must be. Further lines of the same label: label
 * NULL.
 */
void fact(const char *label, enum style style, const char *format, ...) PRINTF(3, 4);

/* Prints an answer of the agent's (checked JSON) as --json has it, and a newline. */
void output_json(const struct args *a, struct span json);

/*
 * Ends standard output: what was printed is out, or it says that it is not. Returns status; or
 * EXIT_FAILED where status was EXIT_DONE and something could not be written.
 */
int output_finish(int status);

/*
 * Writes a secret and a newline to standard output at once, past stdio's buffer: it is out, or it
 * is not, when this returns: 0, or a negative errno. On a terminal a warning goes to standard error
 * first.
 */
int output_secret(const struct args *a, const char *text, size_t n) MUST_USE;

/*
 * As output_json(), of an answer that holds a secret: it is out, or it is not, and stdio's buffer
 * is wiped.
 */
int output_secret_json(const struct args *a, struct span json) MUST_USE;

/*
 * Lets whoever reads standard output see its end, though this process goes on: nothing printed from
 * here on comes out.
 */
void output_end(void);

/*
 * Whether standard output can be written at all: 0, or a negative errno. To be asked before a value
 * is made.
 */
int output_is_open(void) MUST_USE;

/*
 * Writes a value to standard output exactly as it is, past stdio's buffer; on a terminal with a
 * warning before it and a newline after it. Returns as output_secret().
 */
int output_value(const struct args *a, const void *bytes, size_t n) MUST_USE;
