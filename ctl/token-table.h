/* ctl/token-table.h - tokens, one a line. */
#pragma once

#include <stdio.h>

#include "ctl/select.h"

/*
 * Prints the selection as a table, fit to where it goes. EXIT_DONE, or what it failed with, said.
 */
int token_table_print(const struct args *a, const struct selection *s, FILE *out) MUST_USE;
