/*
 * protocol/json-at.h - writing JSON where there is room for sure: for replies that are mostly keys, whose room is asked for
 * once (json_room_for_item()) and not for each of fifty pieces. Each writes at `to` and returns where it ended.
 */
#pragma once

#include <stdint.h>

#include "protocol/base/span.h"

enum {
	JSON_INT_ROOM = 20,
	/* What may be overwritten behind a string: it is looked at by so many bytes. */
	JSON_STRING_SLACK = 16,
};

/* Room for a string of n bytes, whatever is in it; and for one in which nothing needs an escape. */
#define JSON_STRING_ROOM(n) (6 * (n) + 2 + JSON_STRING_SLACK)
#define JSON_PLAIN_ROOM(n) ((n) + 2 + JSON_STRING_SLACK)

/* A literal, as it is: brackets, keys, words. */
static inline char *json_at(char *to, const char *literal)
{
	size_t n = strlen(literal);

	memcpy(to, literal, n);
	return to + n;
}

/* A string with the escapes it needs. text is valid UTF-8. */
char *json_string_at(char *to, struct span text);
char *json_int_at(char *to, int64_t value);
