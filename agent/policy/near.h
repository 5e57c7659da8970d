/* agent/policy/near.h - the word that somebody may have meant. */
#pragma once

#include <stddef.h>

/*
 * Steps over candidates: gives the i-th, or NULL after the last. They must stay as they are while
 * near_find() looks.
 */
typedef const char *near_candidate(const void *userdata, size_t i);

/*
 * The candidate that `word` most likely stands for: one that differs in case only, or by at most
 * two letters added, left out, changed or swapped (by one in words of up to four). NULL where none
 * is near.
 */
const char *near_find(const char *word, near_candidate *candidate, const void *userdata);
