/* tests/unit/policy-text.h - a policy as text, so that a test can say what it expects. */
#pragma once

#include "agent/policy/policy.h"

/*
 * What a policy says, a line for each section with its line number; what it ignored, after that.
 * Good until the next call.
 */
const char *policy_text(const struct policy *p);

/*
 * Reads a text as a policy file in the scratch directory. Returns the policy, which is the
 * caller's, or NULL with "LINE: message" in *ret_mistake (may be NULL: a mistake then fails the
 * test).
 */
struct policy *policy_of(const char *text, const char **ret_mistake);

/*
 * As policy_of(), a policy without mistakes, with numbers for the names there are in tests: users
 * ci 1000, bob 1001, ops 1002; groups api 2000, dev 2001. Others do not exist.
 */
struct policy *policy_with_numbers(const char *text);
