/*
 * ctl/helper-curl.c - a line for curl's --config -, so that the value stands in no command line:
 * jeton-helper curl --credential NAME | curl --config - URL
 */
#include "ctl/helper.h"
#include "ctl/output.h"

/* As a quoted parameter of curl's: backslashes and quotes by a backslash. */
static void put_quoted(struct serving *s, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			serving_put(s, SPAN("\\"));
		serving_put(s, (struct span){ text.p + i, 1 });
	}
}

/* What an HTTP header can be called. */
static bool is_header(const char *name)
{
	return name[strspn(name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
				 "ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == 0;
}

static int check(const struct args *a)
{
	if (a->username && a->header)
		return fail(EXIT_USAGE,
			    "--username and --header both say how it is sent: give one of them");
	if (a->header && !is_header(a->header))
		return fail(EXIT_USAGE,
			    "--header takes the name alone, such as X-Api-Key: '%.100s' is none",
			    a->header);
	if (a->username && strchr(a->username, ':'))
		return fail(EXIT_USAGE, "--username: no user's name can have a colon in it");
	return EXIT_DONE;
}

int helper_curl(const struct args *a)
{
	_cleanup_(serving_done) struct serving s = { .jeton = NULL };
	int status = check(a);

	if (status == EXIT_DONE)
		status = serving_init(&s, a, false);
	if (status != EXIT_DONE)
		return status;
	serving_put(&s, a->username ? SPAN("user = \"") : SPAN("header = \""));
	put_quoted(&s, a->username ? span_of(a->username)
		       : a->header ? span_of(a->header)
				   : SPAN("Authorization: Bearer "));
	if (a->username)
		serving_put(&s, SPAN(":"));
	else if (a->header)
		serving_put(&s, SPAN(": "));
	put_quoted(&s, s.text);
	serving_put(&s, SPAN("\"\n"));
	return serving_finish(&s);
}
