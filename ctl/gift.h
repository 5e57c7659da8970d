/* ctl/gift.h - credentials that a command is given: fetched, and put where it finds them. */
#pragma once

#include "ctl/args.h"
#include "ctl/secret.h"
#include "protocol/base/cleanup.h"
#include "protocol/jeton.h"

struct gift {
	const struct pair *pair;
	bool as_file;

	/* Once it was fetched: */
	int fd;		      /* as_file: of the sealed memfd; -1 */
	struct secret secret; /* else: "VARIABLE=VALUE" */
	bool minted;
	int64_t revision;   /* JETON_UNSET: minted */
	int64_t expires_us; /* JETON_UNSET: it does not */
};

struct gifts {
	const struct args *args;
	struct gift *items;
	size_t n;
	char **environment; /* for execvpe(), see gifts_environment() */
	char (*paths)[192]; /* what it points to, of files */
};

/*
 * What --file and --env ask for, nothing fetched yet. EXIT_DONE, or what it failed with, said: a
 * variable that is given twice. gifts_done() in either case.
 */
int gifts_init(struct gifts *g, const struct args *a) MUST_USE;

/* Closes and wipes. */
void gifts_done(struct gifts *g);

/*
 * Fetches them all, in this process, whose tokens they are where they are bound. What was fetched
 * before is let go. EXIT_DONE, or EXIT_NO_CREDENTIAL, said.
 */
int gifts_fetch(struct gifts *g) MUST_USE;

/*
 * Makes the environment for the command: this process's own, with each variable set, to a value or
 * to "/proc/OWNER/fd/N" (owner "self": descriptors of the command itself). EXIT_DONE, or what it
 * failed with, said.
 */
int gifts_environment(struct gifts *g, const char *owner) MUST_USE;

/*
 * Becomes the command, with the files' descriptors (inherit) or without them. Returns only where it
 * can't: EXIT_NOT_FOUND or EXIT_CANNOT_RUN, said.
 */
int gifts_exec(struct gifts *g, bool inherit);
