/* ctl/fetched.h - a credential's value, for one that hands it on to another process. */
#pragma once

#include "ctl/args.h"
#include "protocol/base/cleanup.h"
#include "protocol/jeton.h"

/*
 * Fetches it, with --min-lifetime where that was given. A token that is bound to the process that
 * asks would end with this one: that is refused, and it is ended at once. *ret is the handle's,
 * until its next call. EXIT_DONE, or what it failed with, said.
 */
int fetched_value(const struct args *a, struct jeton *jeton, const char *credential,
		  const struct jeton_value **ret) MUST_USE;

/*
 * Whether a token's value is one that is bound to the process that asked for it: *ret. Where the
 * caller may not call Verify that can only be found out by ending the token, and *ret_ended says
 * so. EXIT_DONE, or what it failed with, said.
 */
int fetched_is_bound(const struct args *a, const char *value, bool *ret, bool *ret_ended) MUST_USE;

/* Says why a bound one is refused; returns EXIT_FAILED. */
int fetched_refuse_bound(const char *credential);
