/*
 * ctl/value.h - values where none should stand: on the command line, in the name of a file. Pure.
 */
#pragma once

#include <stdbool.h>

#include "protocol/base/span.h"

/*
 * Finds what may be a token's value, or most of one: by its form alone, whatever stands around it,
 * since what was glued to a word or cut off in copying is a secret still. *ret_secret is all of it
 * from its secret on, within text.
 */
bool value_find(const char *text, struct span *ret_secret);
