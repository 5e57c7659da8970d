/*
 * protocol/call-read-plain.h - the call that most calls are, read in one look: Verify, written as libjeton and systemd
 * write it, with no spaces and no escapes:
 *
 *	{"method":"io.jeton.Agent.Verify","parameters":{"token":"…","scopes":["…"]}}
 *
 * or with no "scopes" at all. That is a fifth less for the agent to do.
 */
#pragma once

#include "protocol/call-read.h"

struct plain_verify {
	struct span token;
	unsigned n_scopes;
	struct span scopes[SCOPES_MAX];
};

/*
 * What is taken is what json_check(), call_read() and params_read() take, and it means the same to them
 * (tests/unit/test-call-plain.c); spans are within the message. False: it is for these to look at, whatever it is.
 */
bool call_read_plain_verify(struct span message, struct plain_verify *ret) MUST_USE;
