/* ctl/help.h - --help, made from the tables. */
#pragma once

#include "ctl/commands.h"

/* All commands and the options common to them, to standard output. */
void help_all(void);

/* How one command is used, likewise. */
void help_command(const struct command *c);

/*
 * The commands whose names begin with these words ("policy", "policy explain"), likewise. False,
 * with nothing printed: there are none.
 */
bool help_group(char *const words[], size_t n_words);
