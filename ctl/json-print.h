/* ctl/json-print.h - JSON set anew: for people to read, or on one line. */
#pragma once

#include <stdio.h>

#include "protocol/json.h"

/*
 * Prints a value of checked text with every scalar as it was spelt and no newline at its end.
 * pretty: a member a line, two spaces a level, the value itself standing on this level; else all on
 * one line without spaces.
 */
void json_print(struct json_value value, bool pretty, unsigned level, FILE *out);
