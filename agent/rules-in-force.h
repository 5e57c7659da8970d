/*
 * agent/rules-in-force.h - the policies that hold now, and how others come to: read in the loop,
 * the names in them looked up by the names' thread, then put in place whole. Each call is judged by
 * exactly one.
 */
#pragma once

#include "agent/agent.h"

/*
 * Reads the policies at start. Wrong ones leave the agent refusing, with a line in the log. Calls
 * wait until the names are looked up (agent->policy is NULL until then). Returns 0 or -ENOMEM.
 */
int rules_start(struct agent *a) MUST_USE;

/*
 * Whether a start would find policies without a mistake; where not, the log has what is wrong.
 * Changes nothing.
 */
bool rules_check(struct agent *a);
void rules_done(struct agent *a);

/*
 * Reads them anew; those before stay in force until done(userdata) is called, or for good where
 * they are wrong: then -EINVAL with *ret_error. done may be NULL.
 */
int rules_reload(struct agent *a, void (*done)(void *userdata), void *userdata,
		 struct policy_error *ret_error) MUST_USE;

/* Looks up again all accounts that matter: those that policies name, that own tokens, that asked lately. */
void rules_refresh_names(struct agent *a);

/* Accounts are not what they were: numbers of names, groups of owners. */
void rules_names_changed(struct agent *a);
