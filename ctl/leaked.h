/* ctl/leaked.h - values that somebody else may have: proved to the agent and ended by it. */
#pragma once

#include "ctl/args.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"
#include "protocol/jeton.h"

enum leaked {
	LEAKED_ENDED,	/* it was good until this process ended it or its parent */
	LEAKED_EXPIRED, /* before */
	LEAKED_REVOKED, /* before */
	LEAKED_UNKNOWN, /* no token of this agent's: a wrong secret, or another machine's */
	LEAKED_FAILED,	/* the agent could not be asked, or refused, which was said */
};

/*
 * Presents a token's value, TOKEN_LEN bytes, so that the agent ends it. *ret_status: the exit
 * status, after LEAKED_FAILED only.
 */
enum leaked leaked_end(const struct args *a, struct jeton *jeton, struct span value,
		       int *ret_status);

/*
 * How a token stood when Revoke came, by the facts that it answered with: not LEAKED_UNKNOWN or
 * LEAKED_FAILED. now_us: when this process started. Pure.
 */
enum leaked leaked_of(const struct jeton_token *token, uint64_t now_us);

/*
 * "revoked; it was good until now" and so on, for the line that names the token; "" for
 * LEAKED_FAILED.
 */
const char *leaked_text(enum leaked leaked);
/* One word for JSON: "ended", "expired", "revoked", "unknown", "failed". */
const char *leaked_word(enum leaked leaked);
