/*
 * protocol/scope.h - PATH:ACTION, and what of it stands for what. Pure.
 *
 * A path is names joined by `/`; an action is a name. A pattern may have `*` for any one name, `**`
 * as the last part of the path for any number of names, none included (but a path has at least
 * one), and `*` for any action.
 */
#pragma once

#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum {
	SCOPE_MAX = 128, /* bytes of one */
	SCOPES_MAX = 32, /* of one token or call */
};

/* Whether text is a scope with no stars. */
bool scope_is_plain(struct span text);

/* Whether text is a scope, with or without stars. */
bool scope_is_pattern(struct span text);

/* Both valid: whether `pattern` stands for the plain scope. */
bool scope_matches(struct span pattern, struct span plain);

/*
 * All valid: whether everything that `inner` (plain or with stars) stands for is within what the n
 * outer ones stand for together. Exact: names are taken to be without end, so only a star covers a
 * star; a trailing double star may be covered by several together (its short paths by one, its long
 * ones by another).
 */
bool scope_is_within(struct span inner, const struct span outer[], size_t n);

/*
 * Both valid: what a and b have in common, which is nothing or a single scope. Writes it to dst and
 * gives its length, or 0 where there is nothing, or nothing that can be written in SCOPE_MAX bytes.
 */
size_t scope_cut(struct span a, struct span b, char dst[static SCOPE_MAX]);

/* Both valid: whether scope_cut() would write a as it is, for b has all of it. Never where a ends in a double star. */
bool scope_is_left_whole(struct span a, struct span b);

/* Whether text is a name as in a scope's path: [A-Za-z0-9._-]+ */
bool scope_name_is_valid(struct span text);
