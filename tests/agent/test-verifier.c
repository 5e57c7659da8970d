/*
 * tests/agent/test-verifier.c - jeton_verifier_...() with a real agent and its map: a revocation, a kill, a restart.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "protocol/jeton.h"
#include "tests/support/test-agent.h"

#define POLICY "[Access]\nUser=*\nScope=acme/**:*\n[Verify]\nUser=*\nScope=**:*\nMap=yes\n"

static const char *const scopes[] = { "acme/risk:read", NULL };
static int n, bad;

static void check(bool held, const char *what)
{
	printf("%sok %d - %s\n", held ? "" : "not ", ++n, what);
	bad += !held;
}

static int verify(struct jeton_verifier *v, const char *value, struct jeton_verified *ret)
{
	*ret = (struct jeton_verified)JETON_VERIFIED_INIT;
	return jeton_verifier_verify(v, value, scopes, -1, ret);
}

/* Whether the map comes to say yes within a minute. */
static bool comes_by_map(struct jeton_verifier *v, const char *value)
{
	const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
	struct jeton_verified ret;

	for (int i = 0; i < 6000; i++, nanosleep(&pause, NULL))
		if (verify(v, value, &ret) == 0 && ret.by_map)
			return true;
	return false;
}

int main(void)
{
	struct test_agent_options options = { .policy = POLICY };
	char first[68], second[68];
	struct jeton_verifier *v;
	struct jeton_verified ret;
	struct test_agent agent;
	struct jeton *jeton;
	int fd;

	if (test_agent_init(&agent, &options) < 0)
		return 1;
	fd = test_agent_connect(&agent);
	if (test_issue(fd, "a", scopes[0], 86400, first) < 0 || test_issue(fd, "b", scopes[0], 86400, second) < 0 ||
	    jeton_new(agent.socket, &jeton) < 0 || jeton_verifier_new(agent.socket, &v) < 0)
		return 1;
	check(comes_by_map(v, first) && comes_by_map(v, second), "an agent's map says yes to its tokens");
	(void)!verify(v, first, &ret);
	check(jeton_revoke(jeton, ret.id, NULL) == 0 && verify(v, first, &ret) == JETON_ERROR_TOKEN_REVOKED,
	      "the first verification after a revocation says no");
	check(verify(v, second, &ret) == 0 && ret.by_map, "others go on by the map");
	test_agent_kill(&agent);
	check(verify(v, second, &ret) != 0, "the map of an agent that was killed says nothing");
	check(test_agent_start(&agent) == 0 && comes_by_map(v, second), "after a restart there is another map");
	check(verify(v, first, &ret) == JETON_ERROR_TOKEN_REVOKED, "in which what was revoked is not");
	jeton_verifier_free(v);
	jeton_free(jeton);
	test_agent_done(&agent);
	printf("1..%d\n", n);
	return bad > 0;
}
