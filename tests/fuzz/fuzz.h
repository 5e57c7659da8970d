/*
 * tests/fuzz/fuzz.h - what a fuzz target is: one function that takes any bytes and returns, with
 * everything freed. libFuzzer calls it with what it makes up (tests/fuzz/run), replay.c with what is
 * kept in tests/fuzz/corpus/NAME (make check).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* As assert(), of what must hold for every input; it tells what of which target did not. */
#define FUZZ_HOLDS(condition)                                                              \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);     \
			abort();                                                           \
		}                                                                          \
	} while (0)

/*
 * A copy of exactly n bytes, so that the address sanitizer sees every step beyond them. The
 * caller's, to free.
 */
static inline char *fuzz_copy(const uint8_t *data, size_t n)
{
	char *copy = malloc(n ? n : 1);

	FUZZ_HOLDS(copy);
	if (n)
		memcpy(copy, data, n);
	return copy;
}

/* The same with a NUL behind it, which the text may have before as well. */
static inline char *fuzz_text(const uint8_t *data, size_t n)
{
	char *text = malloc(n + 1);

	FUZZ_HOLDS(text);
	if (n)
		memcpy(text, data, n);
	text[n] = '\0';
	return text;
}

/* Takes a byte off the front: a choice that the input makes. 0 at the end. */
static inline uint8_t fuzz_byte(const uint8_t **data, size_t *n)
{
	if (*n == 0)
		return 0;
	(*n)--;
	return *(*data)++;
}
