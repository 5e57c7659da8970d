/* tests/unit/json-help.h - what the tests of JSON share. */
#pragma once

#include "protocol/json.h"

/* Judges a copy that ends where a read beyond it is noticed by the sanitizer and by valgrind. */
enum json_error judge(struct span text);

/* Writes the character as UTF-8, surrogates too, and gives its 1 to 4 bytes. */
size_t encode(uint32_t code, char *dst);

/* The text of the one member of a checked object. */
struct span only_text(struct span text, char *dst, size_t size);
