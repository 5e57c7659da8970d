/* ctl/complete-line.h - a command line that is being typed, cut off at the cursor: what is due there. Pure. */
#pragma once

#include "ctl/commands.h"

struct complete_line {
	const char *word;  /* the one at the cursor, as far as it is there */
	const char *value; /* what there is of an option's value: word, or what stands after its = */

	const struct command *command; /* NULL: none yet */
	char group[64];		       /* the words so far of a command that has several */
	bool unknown;		       /* there is no such command */
	const struct option *option;   /* whose value is due; NULL: none's */
	size_t n_operands;	       /* before the cursor */
	bool only_operands;	       /* after a -- */
	bool others;		       /* the words of the command that run runs */

	/* Which agent, and whose tokens. */
	const char *socket, *owner;
	bool user;
};

/*
 * words: those after the program's name, the last one being the one at the cursor, "" where none is
 * begun. n is 1 or more. *ret points into them.
 */
void complete_line_read(char *const words[], size_t n, struct complete_line *ret);

/* Whether the option takes a word of its own as its value. */
bool complete_takes_word(const struct option *o);

/* The kind of a command's operands, the first word of its synopsis that is one: "TOKEN"; n 0: none. */
struct span complete_operand(const struct command *c);
