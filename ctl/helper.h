/*
 * ctl/helper.h - jeton-helper: credentials in the forms that other tools ask their helpers for. A
 * row of helpers[] is one tool.
 */
#pragma once

#include "ctl/args.h"
#include "ctl/options.h"
#include "ctl/secret.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"
#include "protocol/jeton.h"
#include "protocol/json.h"

struct helper {
	const char *name; /* the word after jeton-helper; NULL ends the table */
	/*
	 * The name of a link by which the tool finds it, NULL: none. As LINK-NAME it also names the
	 * credential.
	 */
	const char *link;
	const char *synopsis;
	const char *help; /* one line */
	const struct option *options;
	size_t max; /* operands */
	int (*run)(const struct args *a);
};

extern const struct helper helpers[];
/* The options of all of them. */
extern const struct option helper_options[];

/* One function a row. a->credential may be NULL. Each returns its exit status, and has said why. */
int helper_git(const struct args *a);
int helper_docker(const struct args *a);
int helper_aws(const struct args *a);
int helper_kubectl(const struct args *a);
int helper_curl(const struct args *a);

/* ---- what they share ---- */

/* A credential in a form of somebody's: fetched, and what is written of it. */
struct serving {
	struct jeton *jeton;
	const struct jeton_value *value;
	struct span text;     /* the value */
	struct secret memory; /* what `out` writes to */
	struct json_writer out;
};
void serving_done(struct serving *s);

/*
 * Fetches what --credential names (NULL: usage, said), which must be text without control
 * characters; with_lines: new lines and tabs may stand in it. EXIT_DONE, or what it failed with,
 * said. serving_done() in either case.
 */
int serving_init(struct serving *s, const struct args *a, bool with_lines) MUST_USE;

/* Writes text to s->out as it stands. */
void serving_put(struct serving *s, struct span text);

/* Writes all of s->out to standard output. EXIT_DONE, or what it failed with, said. */
int serving_finish(struct serving *s) MUST_USE;

/* "2027-01-31T12:00:00Z" */
#define INSTANT_MAX 32
const char *instant_text(int64_t at_us, char dst[static INSTANT_MAX]);

/* Takes in what stands on standard input, which nobody wants, and wipes it. */
void input_discard(void);

/*
 * Reads all of standard input as text, up to size - 1 bytes, into s, with a NUL. EXIT_DONE, or what
 * it failed with, said.
 */
int input_text(struct secret *s, size_t size) MUST_USE;
