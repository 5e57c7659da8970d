/*
 * agent/names-thread.h - the thread that looks names up, and the two queues to and from it. Inside
 * of names.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/names-lookup.h"

enum names_kind { USER_BY_UID, USER_BY_NAME, GROUP_BY_NAME, BARRIER };

/* One question, and then its answer. */
struct names_request {
	struct names_request *next;
	enum names_kind kind;
	uid_t uid;
	char *name;
	uint64_t serial; /* of a barrier */
	bool begun;	 /* the thread's, under its mutex: too late to stand for a later question */

	/* The answer: as lookup_user() and so on return. */
	int result;
	char *user_name;
	gid_t *groups;
	size_t n_groups;
	uint32_t id;
};

void names_request_free(struct names_request *r);

struct names_thread;

/* Starts the thread. 0 or a negative errno. */
int names_thread_new(const struct names_functions *fns, struct names_thread **ret) MUST_USE;
/* Leaves it, without waiting: it ends after the look-up it is in. NULL is fine. */
void names_thread_leave(struct names_thread *t);

/* Becomes readable when there are answers. */
int names_thread_fd(const struct names_thread *t);
/* Makes it readable. */
void names_thread_wake(struct names_thread *t);

/*
 * Hands a request over, unless `like`, an earlier one that asks the same (or NULL), has not been
 * begun: that one then stands for both, and this one is freed. Returns the one that will be
 * answered. An answered request is the caller's again.
 */
struct names_request *names_thread_ask(struct names_thread *t, struct names_request *r,
				       struct names_request *like);

/* The next answer, in the order of asking, or NULL: it is the caller's to free. */
struct names_request *names_thread_answer(struct names_thread *t);
