/*
 * agent/policy/rules.h - the sections and keys of the language, read into a policy that is being
 * built.
 */
#pragma once

#include "agent/policy/policy.h"

/*
 * Adds what the text of one file says to p. `path` is what places in the policy point to: it must
 * live as long as p.
 * Returns 0, -EINVAL with *ret_error, or -ENOMEM; after a failure p is only good for
 * policy_free().
 */
int rules_read(struct policy *p, const char *path, struct span text, struct policy_error *ret_error)
	MUST_USE;

/*
 * Once all files are read: judges what only shows in all of them together (a credential defined
 * twice, one that a [Fetch] names and no file defines), and sorts the credentials. Returns as
 * rules_read().
 */
int rules_finish(struct policy *p, struct policy_error *ret_error) MUST_USE;
