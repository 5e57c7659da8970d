/*
 * agent/names.h - users and groups by NSS, which may take its time (LDAP): looked up in a thread of
 * its own, never in the loop.
 *
 * What was found is kept, and looked up again when names_refresh() says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"

struct names;
struct names_functions;

/*
 * A user as last looked up. Don't keep it across calls of names_dispatch() and names_refresh(): it
 * ends when the user is looked up again.
 */
struct user {
	uid_t uid;
	char *name;    /* NULL: this uid has no account */
	gid_t *groups; /* in order, with the primary one */
	size_t n_groups;
	bool failed; /* there was no answer: name and groups are as before, or none */
	bool sure;   /* there was one before, at least: what is there is what was known last */
};

/* Starts the thread. Returns 0 with what is the caller's (names_free()), or a negative errno. */
int names_new(struct names **ret) MUST_USE;
/*
 * As names_new(), with other functions in libc's place (agent/names-lookup.h), which must live for
 * ever.
 */
int names_new_with(const struct names_functions *fns, struct names **ret) MUST_USE;
/* Does not wait for a look-up that hangs; no barrier is called any more. NULL is fine. */
void names_free(struct names *n);

/* Becomes readable when there is something for names_dispatch(). */
int names_fd(const struct names *n);
/*
 * Takes in what the thread has found and calls what waits for it. Returns whether anything differs
 * from what was known; the first answer for a uid is no difference, since nothing can rest on it
 * yet.
 */
bool names_dispatch(struct names *n);

/*
 * What is known of the uid; NULL where it was never looked up: a look-up is then started (once),
 * and names_dispatch() has it later. Where there never was an answer, another is started as well.
 */
const struct user *names_user(struct names *n, uid_t uid);

/*
 * Something that waits for look-ups: `done` is called once, from names_dispatch(), after all that
 * was asked before this call. Returns 0, or -ENOMEM: it will not be called.
 */
int names_barrier(struct names *n, void (*done)(void *userdata), void *userdata);
/* Drops a barrier's call, where the one that waits goes away. */
void names_barrier_cancel(struct names *n, void *userdata);

/* Asks for a name's number, anew where it is known; the answer is kept. */
void names_ask_user(struct names *n, const char *name);
void names_ask_group(struct names *n, const char *name);
/*
 * The answer, as last looked up: 1 with *ret; 0: no such name; -EAGAIN: not yet asked or answered.
 * A look-up that failed leaves the answer before in force; -EIO: there never was one.
 */
int names_user_id(const struct names *n, const char *name, uid_t *ret);
int names_group_id(const struct names *n, const char *name, gid_t *ret);

/*
 * Looks up again all that is known. Uids without an account that nobody asked for since the last
 * time are forgotten, which names_dispatch() then reports as a difference.
 */
void names_refresh(struct names *n);
