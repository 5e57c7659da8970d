/* tests/fuzz/agent-calls.h - well-formed calls, made of an input's bytes and of what is known. */
#pragma once

#include "protocol/json.h"
#include "tests/fuzz/agent-model.h"

/* What is left of an input. At its end it gives zeros. */
struct input {
	const uint8_t *p;
	size_t n;
};

uint8_t input_byte(struct input *in);

/* A call, ready to be sent. */
struct call_made {
	char text[4096];
	size_t n; /* with the NUL */
	struct asked asked;
	bool oneway;
	int fd; /* to be passed along, the caller's; -1: none */
};

/* A call of any method with any parameters, most of them such that it can succeed. */
void call_make(struct model *m, struct input *in, struct call_made *ret);

/* Verify of a known token, for no scopes. */
void call_make_verify(struct model *m, size_t token, struct call_made *ret);
