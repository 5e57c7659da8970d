/*
 * ctl/leaked.c - Revoke by value: the agent demands the right secret, so a made-up one ends
 * nothing. One that has ended is no error.
 */
#include "ctl/leaked.h"

#include "ctl/ask.h"
#include "protocol/token.h"

static const struct {
	const char *text;
	const char *word;
} names[] = {
	[LEAKED_ENDED] = { "revoked; it was good until now", "ended" },
	[LEAKED_EXPIRED] = { "had expired before", "expired" },
	[LEAKED_REVOKED] = { "had been revoked before", "revoked" },
	[LEAKED_UNKNOWN] = { "is no token of this agent's", "unknown" },
	[LEAKED_FAILED] = { "", "failed" },
};

const char *leaked_text(enum leaked leaked)
{
	return names[leaked].text;
}

const char *leaked_word(enum leaked leaked)
{
	return names[leaked].word;
}

/*
 * The agent's time of a call is that of its loop's turn, which may have begun a little before the
 * call came.
 */
#define TURN_US UINT64_C(100000)

enum leaked leaked_of(const struct jeton_token *token, uint64_t now_us)
{
	if (token->state == JETON_STATE_EXPIRED)
		return LEAKED_EXPIRED;
	if (token->ended_us != JETON_UNSET && (uint64_t)token->ended_us + TURN_US < now_us)
		return LEAKED_REVOKED;
	return LEAKED_ENDED;
}

/*
 * By whoever presents it, or with a parent that was presented before it; other ends were others'.
 */
static bool may_be_ours(const struct jeton_token *token)
{
	return token->ended == JETON_END_PRESENTED || token->ended == JETON_END_PARENT ||
	       token->ended == JETON_END_OTHER;
}

enum leaked leaked_end(const struct args *a, struct jeton *jeton, struct span value,
		       int *ret_status)
{
	const struct jeton_token *token;
	char text[TOKEN_LEN + 1];
	int r;

	memcpy(text, value.p, TOKEN_LEN);
	text[TOKEN_LEN] = 0;
	r = jeton_revoke_value(jeton, text, &token);
	explicit_bzero(text, sizeof(text));
	if (r == 0 && token->state == JETON_STATE_REVOKED && !may_be_ours(token))
		return LEAKED_REVOKED;
	if (r == 0)
		return leaked_of(token, a->now_us);
	if (r == JETON_ERROR_INVALID_TOKEN)
		return LEAKED_UNKNOWN;
	*ret_status = ask_failed(jeton, r);
	return LEAKED_FAILED;
}
