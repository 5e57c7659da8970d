/*
 * ctl/ask.h - the agent that is asked: which one, and what its refusals mean for the exit status.
 */
#pragma once

#include "ctl/args.h"
#include "protocol/base/cleanup.h"
#include "protocol/jeton.h"

DEFINE_CLEANUP(struct jeton *, jeton_free)
#define _cleanup_jeton_ _cleanup_(jeton_freep)

/*
 * A handle for the agent that --socket, $JETON_SOCKET and --user name; no connection yet.
 * EXIT_DONE, or what it failed with, said.
 */
int ask_open(const struct args *a, struct jeton **ret_jeton) MUST_USE;

/* The exit status of what a call of the library returned; 0 for 0. Pure. */
int ask_status(int result);

/*
 * The same where the call's question was whether a token is good: EXIT_NOT_GOOD where it is not.
 * Pure.
 */
int ask_status_of_token(int result);

/* Says what the last call failed with; returns its exit status. */
int ask_failed(struct jeton *jeton, int result);

/* A user's name or number; EXIT_DONE, or what it failed with, said. text NULL: JETON_UNSET. */
int ask_user(const char *text, int64_t *ret_uid) MUST_USE;
