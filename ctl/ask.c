/* ctl/ask.c - results of the library to sentences and exit statuses, in one table. */
#include "ctl/ask.h"

#include <errno.h>
#include <pwd.h>

#include "ctl/output.h"
#include "protocol/base/parse.h"

int ask_open(const struct args *a, struct jeton **ret_jeton)
{
	char path[256]; /* longer than any that a socket can have */
	int r;

	if (a->socket)
		r = jeton_new(a->socket, ret_jeton);
	else
		r = jeton_socket_path(a->user ? JETON_SOCKET_USER : 0, path, sizeof(path)) < 0
			    ? -ENAMETOOLONG
			    : jeton_new(path, ret_jeton);
	if (r == -ENAMETOOLONG)
		return fail(EXIT_FAILED,
			    "the socket's path is too long: a socket's can have 107 bytes");
	if (r < 0)
		return fail(EXIT_FAILED, "can't prepare to ask the agent: %s", strerror(-r));
	return EXIT_DONE;
}

static const struct {
	int result;
	enum exit_status status;
	bool token; /* the token presented is not good */
} statuses[] = {
	{ 0, EXIT_DONE, false },
	{ -ENOENT, EXIT_NO_AGENT, false },
	{ -ECONNREFUSED, EXIT_NO_AGENT, false },
	{ -EACCES, EXIT_DENIED, false },
	{ JETON_ERROR_PERMISSION_DENIED, EXIT_DENIED, false },
	{ JETON_ERROR_NO_SUCH_CREDENTIAL, EXIT_DENIED, false },
	{ JETON_ERROR_INVALID_TOKEN, EXIT_FAILED, true },
	{ JETON_ERROR_TOKEN_EXPIRED, EXIT_FAILED, true },
	{ JETON_ERROR_TOKEN_REVOKED, EXIT_FAILED, true },
	{ JETON_ERROR_INSUFFICIENT_SCOPE, EXIT_FAILED, true },
	{ JETON_ERROR_WRONG_BEARER, EXIT_FAILED, true },
};

int ask_status(int result)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].result == result)
			return (int)statuses[i].status;
	return EXIT_FAILED;
}

int ask_status_of_token(int result)
{
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (statuses[i].result == result && statuses[i].token)
			return EXIT_NOT_GOOD;
	return ask_status(result);
}

int ask_failed(struct jeton *jeton, int result)
{
	return fail(ask_status(result), "%s", jeton_error_message(jeton));
}

int ask_user(const char *text, int64_t *ret_uid)
{
	const struct passwd *pw;
	uint64_t uid;

	if (!text) {
		*ret_uid = JETON_UNSET;
		return EXIT_DONE;
	}
	/* 2^32 - 1 is nobody's, by the kernel. */
	if (parse_u64(span_of(text), UINT32_MAX - 1, &uid) == 0) {
		*ret_uid = (int64_t)uid;
		return EXIT_DONE;
	}
	pw = getpwnam(text);
	if (!pw)
		return fail(EXIT_FAILED,
			    "there is no user %s here: --owner takes a user's name or number",
			    text);
	*ret_uid = (int64_t)pw->pw_uid;
	return EXIT_DONE;
}
