/*
 * agent/policy/words.h - the words that values are made of: user names, units, scopes, names of
 * credentials.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/*
 * Cuts the next word off *rest; words stand apart by spaces and tabs. False where there is none
 * left.
 */
bool word_next(struct span *rest, struct span *ret_word);

/*
 * Each of these judges one word. They return NULL where it is right; else what is wrong with it and
 * what would be right, to follow the word in a sentence ("'a/b' has no action; ..."): a string that
 * lives for ever.
 */

/*
 * The name or number of a user or group. *ret_number: whether it is a number, which is then in
 * *ret_id.
 */
const char *word_check_id(struct span word, bool *ret_number, uint32_t *ret_id);

/* A unit's name, or a shell pattern of units' names. */
const char *word_check_unit(struct span word);

/* A scope, with or without stars. */
const char *word_check_scope(struct span word);

/* A credential's name. */
const char *word_check_credential(struct span word);
