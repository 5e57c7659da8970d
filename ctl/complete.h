/* ctl/complete.h - what could stand at the cursor of a command line, for the shells' completions. */
#pragma once

#include "protocol/base/span.h"

/* The word on the command line that asks for it; no command of people's. */
#define COMPLETE_WORD "__complete"

/*
 * words: the command line after the program's name, up to the cursor, the last word being the one at
 * it. Prints a line for each candidate, the whole word, with a tab and what it is after it where
 * there is something to say; what the shell itself knows best is a line of a tab and its name:
 * commands, directories, files, units, users. Where the agent is asked (ids, names of tokens and
 * credentials) the whole ends after a second at most. Always EXIT_DONE.
 */
int complete(char *const words[], size_t n);

/* Whether it is known what to offer for a word of a synopsis, or for an option's value. Pure. */
bool complete_knows(const char *option, struct span word);
