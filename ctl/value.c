/*
 * ctl/value.c - takes more for a value than a scan does: it is for refusing and hiding, where a
 * false alarm does no harm.
 */
#include "ctl/value.h"

#include "protocol/token.h"

static size_t digits(const char *p)
{
	return strspn(p, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
}

bool value_find(const char *text, struct span *ret_secret)
{
	for (; (text = strstr(text, "jeton_")) != NULL; text++) {
		const char *secret = text + TOKEN_SECRET_AT;

		if (digits(text + 6) != TOKEN_ID_LEN || secret[-1] != '_' ||
		    digits(secret) < TOKEN_SECRET_LEN / 2)
			continue;
		*ret_secret = (struct span){ secret, digits(secret) };
		return true;
	}
	return false;
}
