/*
 * agent/policy/explain.h - why a decision is as it is, in lines for people: by the same functions
 * that decide, the file and line that decided, or the nearest rule and what of it did not match.
 */
#pragma once

#include "agent/policy/access.h"

/* Lines, one after the other, without newlines. */
struct explanation {
	bool allowed;
	char **lines;
	size_t n;
};
void explanation_done(struct explanation *e);

/*
 * What an owner reaches of a scope (with stars: of all that it stands for), who may fetch a
 * credential, who may call Verify. who_text: how the lines call the subject ("user ci (uid 1000)").
 * *ret is the caller's, for explanation_done(). Each: 0 or -ENOMEM. The scope is a valid one; the
 * credential is any text.
 */
int explain_access(const struct policy *p, const struct subject *owner, const char *who_text,
		   struct span scope, struct explanation *ret) MUST_USE;
int explain_fetch(const struct policy *p, const struct subject *peer, const char *who_text,
		  struct span credential, struct explanation *ret) MUST_USE;
int explain_verify(const struct policy *p, const struct subject *peer, const char *who_text,
		   struct explanation *ret) MUST_USE;
