/*
 * protocol/call-write.h - the client's half of writing: a method and its parameters to one message.
 *
 * A call's parameters are a list that stands where the call is made, so that one function writes
 * all methods and none can forget an escape.
 */
#pragma once

#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"
#include "protocol/json.h"

enum param_type {
	PARAM_TYPE_END,
	PARAM_TYPE_TEXT,
	PARAM_TYPE_TEXTS,
	PARAM_TYPE_INT,
	PARAM_TYPE_TRUE,
	PARAM_TYPE_DATA
};

/* One parameter, made by a PARAM_... macro. What is absent is left out of the message. */
struct param {
	const char *name;
	enum param_type type;
	bool is_needed;
	union {
		struct span text;
		const char *const *texts;
		int64_t number;
	};
};

/* C text; NULL: absent */
#define PARAM_TEXT(name_, c_text)                                                 \
	{                                                                         \
		.name = (name_), .type = PARAM_TYPE_TEXT, .text = span_of(c_text) \
	}
/* C text; NULL is a mistake of the caller's */
#define PARAM_NEEDED(name_, c_text)                                          \
	{                                                                    \
		.name = (name_), .type = PARAM_TYPE_TEXT, .is_needed = true, \
		.text = span_of(c_text)                                      \
	}
/* text as a span; p NULL: absent */
#define PARAM_SPAN(name_, span)                                          \
	{                                                                \
		.name = (name_), .type = PARAM_TYPE_TEXT, .text = (span) \
	}
/* texts ended by NULL; NULL: absent */
#define PARAM_TEXTS(name_, list)                                           \
	{                                                                  \
		.name = (name_), .type = PARAM_TYPE_TEXTS, .texts = (list) \
	}
/* -1: absent */
#define PARAM_INT(name_, value)                                            \
	{                                                                  \
		.name = (name_), .type = PARAM_TYPE_INT, .number = (value) \
	}
/* false: absent */
#define PARAM_TRUE(name_, value)                                            \
	{                                                                   \
		.name = (name_), .type = PARAM_TYPE_TRUE, .number = (value) \
	}
/* bytes, written in base64; p NULL: absent */
#define PARAM_DATA(name_, span)                                          \
	{                                                                \
		.name = (name_), .type = PARAM_TYPE_DATA, .text = (span) \
	}
#define PARAM_END                                    \
	{                                            \
		.name = NULL, .type = PARAM_TYPE_END \
	}

/*
 * Whether all texts are UTF-8, as JSON wants it, and what is needed is there. Returns 0; or -EINVAL
 * with *ret_name that of the first parameter that is wrong.
 */
int params_check(const struct param params[], const char **ret_name) MUST_USE;

/*
 * Writes the message that calls the method io.jeton.Agent.<method>, with the NUL that ends it.
 * Where it does not fit, w->overflow is set.
 */
void call_write(struct json_writer *w, const char *method, bool more, const struct param params[]);

/* The same for any method by its whole name, with parameters that json_check() took (n 0: none). */
void call_write_json(struct json_writer *w, struct span method, bool more, struct span parameters);
