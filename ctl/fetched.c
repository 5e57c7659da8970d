/*
 * ctl/fetched.c - Fetch does not say what a minted token is bound to, and its facts are its owner's
 * to see. But whoever has a value may have it verified, or end it, and both tell.
 */
#include "ctl/fetched.h"

#include "ctl/ask.h"
#include "ctl/output.h"

/* A handle of its own: the next call on the one that gave the value would wipe it. */
int fetched_is_bound(const struct args *a, const char *value, bool *ret, bool *ret_ended)
{
	_cleanup_jeton_ struct jeton *judge = NULL;
	const struct jeton_token *token;
	bool ended = false;
	int status, r;

	status = ask_open(a, &judge);
	if (status != EXIT_DONE)
		return status;
	r = jeton_verify(judge, value, NULL, -1, &token, NULL);
	if (r == JETON_ERROR_PERMISSION_DENIED) {
		r = jeton_revoke_value(judge, value, &token);
		ended = true;
	}
	if (r != 0)
		return ask_failed(judge, r);
	*ret = token->binding == JETON_BINDING_PROCESS;
	*ret_ended = ended;
	/* It would end with this process anyway, a moment later. */
	if (*ret && !ended && jeton_revoke_value(judge, value, NULL) == 0)
		*ret_ended = true;
	return EXIT_DONE;
}

int fetched_refuse_bound(const char *credential)
{
	return fail(EXIT_FAILED,
		    "a token of %s is bound to the process that asks for it, and would end with "
		    "this one: jetonctl run fetches it in the process that becomes the command",
		    credential);
}

int fetched_value(const struct args *a, struct jeton *jeton, const char *credential,
		  const struct jeton_value **ret)
{
	bool bound = false, ended = false;
	int status, r;

	r = jeton_fetch(jeton, credential, a->min_lifetime_s, ret);
	if (r == 0 && (*ret)->token_id) {
		status = fetched_is_bound(a, (*ret)->bytes, &bound, &ended);
		if (status != EXIT_DONE)
			return status;
		if (bound)
			return fetched_refuse_bound(credential);
		if (ended)
			r = jeton_fetch(jeton, credential, a->min_lifetime_s, ret);
	}
	return r == 0 ? EXIT_DONE : ask_failed(jeton, r);
}
