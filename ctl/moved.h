/*
 * ctl/moved.h - whether those who used a token have gone over to the one that took its place. Pure.
 *
 * Of each token the agent tells only who used it last, and who that is only as a unit or a user. So
 * what is noted again and again is all that can be known: who used it between two looks, with
 * another use after, is not.
 */
#pragma once

#include "protocol/base/cleanup.h"
#include "protocol/jeton.h"

struct moved_user {
	char *name;
	int64_t old_us; /* that used the old one last; JETON_UNSET: never seen */
	int64_t new_us; /* likewise the new one */
};

/* Zero is a good start. */
struct moved {
	struct moved_user *users;
	size_t n;
	int64_t old_us; /* the last use of the old one by anyone; 0: none */
};

void moved_done(struct moved *m);

/* What is known of both at this moment. 0 or -ENOMEM. */
int moved_note(struct moved *m, const struct jeton_token *old, const struct jeton_token *successor)
	MUST_USE;

/*
 * Whether the old one can go: the new one is in use, everyone who was seen to use the old one was
 * seen to use the new one after that, and for quiet_us nobody has used the old one.
 */
bool moved_all(const struct moved *m, int64_t now_us, int64_t quiet_us);

/* Somebody who was seen to use the old one and not the new one since; NULL: nobody. */
const char *moved_laggard(const struct moved *m);
