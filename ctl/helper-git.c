/*
 * ctl/helper-git.c - git-credential-jeton, as gitcredentials(7) and git-credential(1) have it: git
 * says what it wants to reach, line by line, and is told a user's name and a password.
 *
 * What git would have stored or erased is not its to change: it asks as a matter of course, after
 * each use, so that is passed over in silence.
 */
#include <inttypes.h>
#include <stdio.h>

#include "ctl/helper.h"
#include "ctl/output.h"
#include "protocol/base/time.h"

enum { REQUEST_MAX = 64 * 1024 };

struct request {
	const char *protocol, *host, *username; /* "": not said */
};

/* Cuts the request into its lines, in place. */
static void read_request(char *text, struct request *ret)
{
	const struct {
		const char *key;
		const char **value;
	} keys[] = {
		{ "protocol=", &ret->protocol },
		{ "host=", &ret->host },
		{ "username=", &ret->username },
	};
	char *line;

	*ret = (struct request){ "", "", "" };
	while ((line = strsep(&text, "\n")) && *line)
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			if (!strncmp(line, keys[i].key, strlen(keys[i].key)))
				*keys[i].value = line + strlen(keys[i].key);
}

/* Whether it stays on this machine. */
static bool is_loopback(const char *host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(names[i]);

		if (!strncmp(host, names[i], n) && (!host[n] || host[n] == ':'))
			return true;
	}
	return false;
}

static int answer(const struct args *a, const struct request *q)
{
	_cleanup_(serving_done) struct serving s;
	const char *username = *q->username ? q->username : a->username ? a->username : "jeton";
	char expires[64];
	int status;

	status = serving_init(&s, a, false);
	if (status != EXIT_DONE)
		return status;
	serving_put(&s, SPAN("username="));
	serving_put(&s, span_of(username));
	serving_put(&s, SPAN("\npassword="));
	serving_put(&s, s.text);
	serving_put(&s, SPAN("\n"));
	if (s.value->expires_us != JETON_UNSET) {
		snprintf(expires, sizeof(expires), "password_expiry_utc=%" PRIi64 "\n",
			 s.value->expires_us / (int64_t)USEC_PER_SEC);
		serving_put(&s, span_of(expires));
	}
	return serving_finish(&s);
}

static int get(const struct args *a)
{
	_cleanup_(secret_done) struct secret text = { NULL, 0, 0 };
	struct request q;
	int status = input_text(&text, REQUEST_MAX);

	if (status != EXIT_DONE)
		return status;
	read_request(text.p, &q);
	if (strcmp(q.protocol, "https") != 0 &&
	    !(!strcmp(q.protocol, "http") && is_loopback(q.host)))
		return fail(EXIT_FAILED,
			    "%s would go to %.200s unencrypted, by %.20s: it is given for https, "
			    "and for this machine itself",
			    a->credential ? a->credential : "the credential",
			    *q.host ? q.host : "nobody knows where",
			    *q.protocol ? q.protocol : "no protocol");
	/* Another user's is not this one's to give: git asks the next helper. */
	if (a->username && *q.username && strcmp(a->username, q.username) != 0)
		return EXIT_DONE;
	return answer(a, &q);
}

int helper_git(const struct args *a)
{
	if (a->n_operands == 0)
		return fail(EXIT_USAGE, "git says what to do by a last word, such as get");
	if (!strcmp(a->operands[0], "get"))
		return get(a);
	input_discard();
	return EXIT_DONE;
}
