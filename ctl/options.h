/*
 * ctl/options.h - options as tables: one reader for all commands, and what --help is made from.
 * Pure.
 */
#pragma once

#include "ctl/args.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/time.h"

/* The longest grace that the agent takes. */
#define GRACE_MAX_S (30 * SEC_PER_DAY)

enum option_kind {
	OPTION_FLAG,	   /* bool */
	OPTION_TEXT,	   /* const char *, not empty */
	OPTION_SCOPE,	   /* struct text_list, one more each time */
	OPTION_SPAN,	   /* int64_t, whole seconds, 1 or more */
	OPTION_GRACE,	   /* int64_t, whole seconds, 0 to GRACE_MAX_S */
	OPTION_WHEN,	   /* int64_t, µs since the epoch */
	OPTION_SINCE,	   /* int64_t, µs since the epoch: a span is so long ago */
	OPTION_COUNT,	   /* int64_t, 1 or more */
	OPTION_NUMBER,	   /* int64_t, 0 or more */
	OPTION_CREDENTIAL, /* const char *, a credential's name */
	OPTION_PAIR,	   /* struct pair_list, one more each time */
	OPTION_RENEW,	   /* int: RENEW_RESTART, or a signal's number */
	OPTION_JSON,	   /* enum json_mode; "=MODE" may be left out */
	OPTION_KINDS,
};

struct option {
	const char *name; /* without its dashes; NULL ends a table */
	char letter;	  /* 0: none */
	enum option_kind kind;
	size_t at;	   /* offset in struct args */
	const char *value; /* how help calls the value; NULL: takes none */
	const char *help;
};

/* A mistake in the command line, in a sentence without a newline. */
struct usage_error {
	char text[512];
};

/* Whether a credential could have this name. */
bool is_credential_name(const char *text);

/* Nothing given. */
void args_init(struct args *a, uint64_t now_us);

/*
 * Reads words of the command line: options, wherever they stand, are taken out of them and into *a
 * by the tables (own first, then common; either may be NULL), all others are left in `words`, in
 * order, from the front, and a NULL after them where any was taken out. After "--" all are others.
 * "-" is one too. Returns how many are left, or -1 with *ret_error.
 *
 * only_leading: stops at the first word that is no option, which stays with all after it.
 */
int options_read(const struct option *own, const struct option *common, char *words[], int n_words,
		 bool only_leading, struct args *a, struct usage_error *ret_error) MUST_USE;
