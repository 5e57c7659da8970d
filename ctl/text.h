/*
 * ctl/text.h - text as a terminal shows it: what may be sent there, and how many columns it takes.
 */
#pragma once

#include <stdio.h>

#include "protocol/base/span.h"

/*
 * Takes the first character of text, n > 0 bytes of it. Returns how many bytes it is, 1 to 4;
 * *ret_clean is whether it may go to a terminal as it is: whole UTF-8, no control character,
 * nothing that turns the direction of writing.
 */
size_t text_next(struct span text, bool *ret_clean);

/*
 * Writes text with what is not clean spelt out: \n, \t, \x1b, or \u202e, and bytes that are no
 * UTF-8 like \xff. A backslash stands as it is, as unit names have them. Pure ASCII comes out of
 * anything that is not clean.
 */
void text_print(FILE *out, struct span text);

/*
 * The same into dst, always ended by a NUL; returns its length. What does not fit is left out, by
 * whole characters.
 */
size_t text_escape(struct span text, char *dst, size_t size);

/* The most bytes that text_escape() makes of one. */
#define TEXT_ESCAPED_MAX 6

/*
 * The columns that clean text takes, by wcwidth() of the locale: call text_width_init() before.
 * Without a locale that knows UTF-8 every character counts as one.
 */
unsigned text_width(struct span text);

/* The longest start of clean text that takes at most `columns`. */
struct span text_fit(struct span text, unsigned columns);

/*
 * Makes wcwidth() right. It costs what loading a locale costs, so only those call it who need it.
 */
void text_width_init(void);
