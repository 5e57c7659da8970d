/*
 * tests/system/load.c - a program that uses tokens by libjeton without pause, while the agent is
 * restarted, and holds it to all that it was told.
 *
 *	load SOCKET	until its standard input ends
 */
#include <errno.h>
#include <jeton.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE = 16, ENDED = 4096 };

struct held {
	char value[JETON_TOKEN_LEN + 1];
	char id[12];
	int64_t used_us; /* as the last Verify said */
};

static struct jeton *jeton;
static struct held live[LIVE], ended[ENDED];
static unsigned n_live, n_ended;
static unsigned long n_verified, n_unsure;
static long worst_ms;

static void fail(const char *what, int r)
{
	printf("%s: %d: %s\n", what, r, jeton_error_message(jeton));
	exit(1);
}

/* Any number below n; the same ones in each run. */
static unsigned any(unsigned n)
{
	static uint32_t state = 1;

	state = state * 1664525 + 1013904223;
	return (unsigned)((uint64_t)state * n >> 32);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void verify(struct held *h)
{
	const struct jeton_token *token;
	long begin = now_ms(), took;
	int r = jeton_verify(jeton, h->value, NULL, -1, &token, NULL);

	if (r != 0)
		fail("a good token was not verified", r);
	took = now_ms() - begin;
	worst_ms = took > worst_ms ? took : worst_ms;
	if (strcmp(token->id, h->id) != 0)
		fail("the answer is another token's", 0);
	h->used_us = token->last_used_us;
	n_verified++;
}

/* Nobody knows where the agent was killed before it answered; that one is left alone. */
static void issue(void)
{
	struct jeton_issue call = JETON_ISSUE_INIT;
	const struct jeton_token *token;
	const char *value;
	int r;

	call.name = "load";
	r = jeton_issue(jeton, &call, &value, &token);
	if (r == -ECONNRESET) {
		n_unsure++;
		return;
	}
	if (r != 0)
		fail("no token was issued", r);
	memcpy(live[n_live].value, value, sizeof(live[0].value));
	memcpy(live[n_live].id, token->id, sizeof(live[0].id));
	live[n_live++].used_us = -1;
}

static void revoke(unsigned i)
{
	int r = jeton_revoke(jeton, live[i].id, NULL);

	if (r != 0)
		fail("a token was not revoked", r);
	ended[n_ended++] = live[i];
	live[i] = live[--n_live];
}

static void check_ended(const struct held *h)
{
	int r = jeton_verify(jeton, h->value, NULL, -1, NULL, NULL);

	if (r != JETON_ERROR_TOKEN_REVOKED)
		fail("a revoked token is not", r);
}

static void check_last_use(const struct held *h)
{
	const struct jeton_token *token;
	int r = jeton_describe(jeton, h->id, &token);

	if (r != 0)
		fail("a token is gone", r);
	if (token->last_used_us != h->used_us)
		fail("its last use is another", 0);
}

static int is_over(void)
{
	struct pollfd p = { .fd = 0, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

int main(int argc, char **argv)
{
	int r = argc == 2 ? jeton_new(argv[1], &jeton) : -EINVAL;

	if (r < 0)
		return 2;
	jeton_set_timeout(jeton, 30 * 1000);
	for (unsigned long n = 0; !is_over(); n++) {
		if (n_live < LIVE)
			issue();
		if (n_live > 0)
			verify(&live[any(n_live)]);
		if (n % 64 == 0 && n_live > 0)
			check_last_use(&live[0]);
		if (n % 64 == 32 && n_ended > 0)
			check_ended(&ended[any(n_ended)]);
		if (n % 256 == 255 && n_live == LIVE && n_ended < ENDED)
			revoke(any(n_live));
	}
	for (unsigned i = 0; i < n_live; i++)
		check_last_use(&live[i]);
	for (unsigned i = 0; i < n_ended; i++)
		check_ended(&ended[i]);
	printf("%lu verified, %u revoked, %lu unsure, %ld ms at worst\n", n_verified, n_ended,
	       n_unsure, worst_ms);
	jeton_free(jeton);
	return 0;
}
