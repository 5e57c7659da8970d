/*
 * protocol/call-read.h - the agent's half of reading: a message to a call, its parameters to a
 * struct of fixed size.
 *
 * Table-driven: each method has a table of its fields, and one function reads them all, so every
 * field of every method is held to the same rules.
 */
#pragma once

#include "protocol/json.h"
#include "protocol/scope.h"

/* A message that json_check() took. Spans and values are within it. */
struct call {
	struct span method;	  /* unescaped */
	struct json_value params; /* JSON_NULL where absent */
	bool oneway;
	bool more;
};

/*
 * Where strings go that were written with escapes: a run of locked memory, filled from its start.
 */
struct text_space {
	char *buf;
	size_t size;
	size_t n;
};

/* What of a call is wrong: its name as written, between its quotes. */
struct bad_parameter {
	struct span name;
};

enum call_result {
	CALL_OK,
	CALL_IS_NONE, /* no method: a reply, an error, anything */
	CALL_INVALID, /* a member beside `parameters` is wrong: *ret_bad */
};

/* Of the object that a message is. */
enum call_result call_read(struct json_value message, struct text_space *text, struct call *ret,
			   struct bad_parameter *ret_bad) MUST_USE;

enum field_type { FIELD_BOOL, FIELD_INT, FIELD_STRING, FIELD_STRINGS, FIELD_CHOICE, FIELD_ARRAY };

struct field {
	const char *name;
	uint16_t offset;
	uint8_t type;
	bool required;
	const char *const *choices; /* FIELD_CHOICE: the words, NULL at the end; gives their number */
};

/* How the types stand in a parameter struct. Absent and null are the same. */
struct field_bool {
	bool is_set;
	bool value;
};
struct field_int { /* FIELD_CHOICE too */
	bool is_set;
	int64_t value;
};
struct field_strings { /* more than SCOPES_MAX is an invalid parameter */
	bool is_set;
	unsigned n;
	struct span v[SCOPES_MAX];
};
/* FIELD_STRING is a struct span, p NULL where absent; FIELD_ARRAY a struct json_value, else JSON_NULL. */

/*
 * Reads params by the table into *ret (zeroed first). Returns false with *ret_bad where one is
 * missing, unknown or of the wrong type. Spans live as long as message and text.
 */
bool params_read(const struct json_value *params, const struct field fields[], size_t n_fields,
		 struct text_space *text, void *ret, size_t ret_size, struct bad_parameter *ret_bad)
	MUST_USE;
