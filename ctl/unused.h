/*
 * ctl/unused.h - which tokens nobody has used for a while, with what was derived from them. Pure.
 */
#pragma once

#include "protocol/base/cleanup.h"
#include "protocol/jeton.h"

struct unused_token {
	uint64_t id;
	uint64_t parent;
	int64_t last_us; /* issued or used */
	bool has_parent;
	bool used;
};

/* Zero is a good start. */
struct unused {
	struct unused_token *tokens;
	size_t n, size;
};

void unused_done(struct unused *u);

/* One token more, in any state. 0, -ENOMEM, or -EBADMSG where its ids are none. */
int unused_note(struct unused *u, const struct jeton_token *token) MUST_USE;

/*
 * When all are noted: used are those issued or used at since_us or later, and those that such a one
 * was derived from.
 */
void unused_judge(struct unused *u, int64_t since_us);

/* Whether a noted token is unused; after unused_judge(). */
bool unused_is(const struct unused *u, const char *id);
