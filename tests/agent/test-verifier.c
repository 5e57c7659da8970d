/*
 * tests/agent/test-verifier.c - jeton_verifier_...() with a real agent and its map: a revocation, a kill, a restart, and
 * threads that verify all the while as tokens are issued and revoked.
 *	test-verifier [REVOCATIONS]		(200; by hand 100000)
 *	test-verifier --serve SOCKET TIMEOUT-MS	(a verifier for tests/agent/test-map.py: see serve())
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- a race of revoking against verifying ---- */

enum { RACERS = 3, ELSE = 8 };

struct raced {
	char value[68];
	_Atomic uint32_t n_yes; /* by the map */
	atomic_bool is_revoked; /* the agent has said so */
};

struct race {
	struct jeton_verifier *v;
	struct raced *tokens;
	_Atomic size_t n;
	atomic_bool over;
};

struct racer {
	struct race *race;
	pthread_t thread;
	bool is_stale; /* the control: believes for ever what it was told once */
	uint64_t n_yes, n_late;
};

static void *run_race(void *userdata)
{
	struct racer *r = userdata;
	struct race *race = r->race;
	const struct raced *known = NULL;
	struct jeton_verified ret;

	for (uint64_t i = 0; !atomic_load(&race->over); i++) {
		size_t last = atomic_load_explicit(&race->n, memory_order_acquire), back = i % ELSE == 0;
		struct raced *t = last > back ? &race->tokens[last - 1 - back] : NULL;
		bool was_revoked = t && atomic_load_explicit(&t->is_revoked, memory_order_acquire);

		if (!t || (known != t && verify(race->v, t->value, &ret) != 0))
			continue;
		known = r->is_stale ? t : NULL;
		r->n_late += was_revoked;
		r->n_yes++;
		if (ret.by_map)
			atomic_fetch_add(&t->n_yes, 1);
	}
	return NULL;
}

/* Issues, waits until the map has said yes to it, and revokes. */
static bool race_once(struct race *race, int fd, struct jeton *jeton)
{
	struct raced *t = &race->tokens[race->n];
	char id[12] = "";

	if (test_issue(fd, "r", scopes[0], 86400, t->value) < 0)
		return false;
	memcpy(id, t->value + 6, 11);
	atomic_fetch_add_explicit(&race->n, 1, memory_order_release);
	for (time_t end = time(NULL) + 60; !atomic_load(&t->n_yes);)
		if (time(NULL) > end)
			return false;
	if (jeton_revoke(jeton, id, NULL) != 0)
		return false;
	atomic_store_explicit(&t->is_revoked, true, memory_order_release);
	return true;
}

static void check_race(struct jeton_verifier *v, int fd, struct jeton *jeton, size_t revocations)
{
	struct race race = { .v = v, .tokens = calloc(revocations, sizeof(*race.tokens)) };
	struct racer racers[RACERS] = { { .race = &race }, { .race = &race }, { .race = &race, .is_stale = true } };
	size_t raced = 0;

	for (int i = 0; i < RACERS; i++)
		if (!race.tokens || pthread_create(&racers[i].thread, NULL, run_race, &racers[i]) != 0)
			exit(1);
	while (raced < revocations && race_once(&race, fd, jeton))
		raced++;
	atomic_store(&race.over, true);
	for (int i = 0; i < RACERS; i++)
		pthread_join(racers[i].thread, NULL);
	printf("# %zu revocations, %llu verifications that said yes\n", raced,
	       (unsigned long long)(racers[0].n_yes + racers[1].n_yes));
	check(raced == revocations, "each token was found good by the map, and revoked");
	check(racers[0].n_late + racers[1].n_late == 0, "no verification that begins after a revocation's reply says yes");
	check(racers[2].n_late > 0, "a reader that believes what it was told before is found");
	free(race.tokens);
}

/* ---- a verifier at the other end of a pipe ---- */

enum { SERVED = 3 };

struct served {
	struct jeton_verifier *v;
	const char *value, *scopes[2];
	pthread_t thread;
	struct jeton_verified ret;
	int r;
};

static void *run_served(void *userdata)
{
	struct served *s = userdata;

	s->ret = (struct jeton_verified)JETON_VERIFIED_INIT;
	s->r = jeton_verifier_verify(s->v, s->value, s->scopes, -1, &s->ret);
	return NULL;
}

/* "VALUE SCOPE" on a line: verified by some threads at once. A line comes back: each one's result, and "m" by the map. */
static int serve(const char *socket, int timeout_ms)
{
	struct jeton_verifier *v;
	char line[256];

	if (jeton_verifier_new(socket, &v) < 0)
		return 1;
	jeton_verifier_set_timeout(v, timeout_ms);
	while (fgets(line, sizeof(line), stdin)) {
		struct served s[SERVED];
		char *scope = strchr(line, ' ');

		line[strcspn(line, "\n")] = '\0';
		if (!scope)
			return 1;
		*scope++ = '\0';
		for (int i = 0; i < SERVED; i++) {
			s[i] = (struct served){ .v = v, .value = line, .scopes = { scope, NULL } };
			if (pthread_create(&s[i].thread, NULL, run_served, &s[i]) != 0)
				return 1;
		}
		for (int i = 0; i < SERVED; i++) {
			pthread_join(s[i].thread, NULL);
			printf("%d%s%s", s[i].r, s[i].r == 0 && s[i].ret.by_map ? "m" : "", i + 1 < SERVED ? " " : "\n");
		}
		fflush(stdout);
	}
	jeton_verifier_free(v);
	return 0;
}

int main(int argc, char **argv)
{
	struct test_agent_options options = { .policy = POLICY };
	char first[68], second[68];
	struct jeton_verifier *v;
	struct jeton_verified ret;
	struct test_agent agent;
	struct jeton *jeton;
	int fd;

	if (argc == 4 && strcmp(argv[1], "--serve") == 0)
		return serve(argv[2], atoi(argv[3]));
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
	check_race(v, fd, jeton, argc > 1 ? strtoul(argv[1], NULL, 10) : 200);
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
