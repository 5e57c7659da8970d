/* ctl/input.h - what comes in on standard input: values, and answers. */
#pragma once

#include "ctl/args.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"
#include "protocol/token.h"

/* A value that was read. Wipe it by input_token_done() as soon as it is sent. */
struct input_token {
	char text[TOKEN_LEN + 1];
};

/*
 * Reads the one line of standard input, a token. Where that is a terminal it asks for it, without
 * echo, which is restored whatever ends it. Returns EXIT_DONE; or what it failed with, said:
 * EXIT_NOT_GOOD where it has not the form of a token.
 */
int input_token(struct input_token *ret) MUST_USE;
void input_token_done(struct input_token *t);

/*
 * Takes standard input line by line, to its end, on a terminal too. on_line gets each without its
 * newline; empty lines are left out. number: from 1. A line over 4096 bytes comes cut. What was
 * read is wiped. Returns EXIT_DONE; or what on_line returned, where that is another, at once; or
 * what it failed with, said.
 */
int input_lines(int (*on_line)(void *userdata, struct span line, uint64_t number), void *userdata)
	MUST_USE;

/*
 * Asks a yes-or-no question, on the terminal that standard input is. Returns whether it was yes;
 * false where it is none.
 */
bool input_confirm(const char *question);
