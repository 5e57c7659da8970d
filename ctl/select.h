/* ctl/select.h - the tokens that a command is about: by filters, or by an id or name. */
#pragma once

#include "ctl/args.h"
#include "protocol/base/cleanup.h"
#include "protocol/jeton.h"
#include "protocol/token.h"

struct selected {
	struct jeton_token *token;
	char *json; /* the agent's own words, with --json; else NULL */
};

/* In the agent's order, the newest first. */
struct selection {
	struct selected *items;
	size_t n, size;
};

void selection_done(struct selection *s);

/*
 * Asks for the tokens that args' --owner, --all-users, --ended, --expiring and --unused select.
 * Ended ones are asked for with --unused as well, though not selected: what was derived from a
 * token counts as its use, ended or not. EXIT_DONE, or what it failed with, said.
 */
int selection_ask(struct jeton *jeton, const struct args *a, struct selection *ret) MUST_USE;

/* Leaves only those of which is_kept says so. */
void selection_keep(struct selection *s,
		    bool (*is_kept)(const struct jeton_token *token, void *userdata),
		    void *userdata);

/* An id as text. */
struct id_text {
	char text[TOKEN_ID_LEN + 1];
};

/*
 * The token that a TOKEN of the command line means: an id, or a name that one active token has, not
 * replaced, of the caller's (--owner: that user's). EXIT_DONE, or what it failed with, said: a name
 * that several have, or that is also an id, is an error that lists them.
 */
int select_token(struct jeton *jeton, const struct args *a, const char *text, struct id_text *ret)
	MUST_USE;
