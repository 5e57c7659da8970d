/* ctl/rotation.h - a token and the one that took its place: who uses which. */
#pragma once

#include "ctl/args.h"
#include "ctl/select.h"
#include "protocol/base/cleanup.h"
#include "protocol/jeton.h"

/*
 * Prints, below a token's facts, who last used the one that replaced it and the one that it
 * replaced, where there are such. What can't be found out is left out.
 */
void rotation_print(const struct args *a, struct jeton *jeton, const struct jeton_token *token);

/*
 * Stays until all known users of the old one use the new one, and then ends the old one, or until
 * that has ended by itself. EXIT_DONE, or what it failed with, said.
 */
int rotation_wait(const struct args *a, struct jeton *jeton, const struct id_text *old,
		  const struct id_text *successor) MUST_USE;
