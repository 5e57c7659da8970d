/*
 * tests/bench/bench-verify.c - Verify beside its floor and its rival, in turn in one run: one connection, one call at a time,
 * client and server on one processor, so that no figure has the waking of an idle one in it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/measure.h"
#include "tests/bench/rivals.h"
#include "tests/support/test-agent.h"

#define ROUND_NS 300000000U
#define CREDENTIALS_MAX 20000

static char request[512];
static size_t n_request;
static char reply[65536];
static size_t n_reply;

static void make_request(int fd)
{
	char token[68];
	ssize_t n;

	if (test_issue(fd, "nightly-pipeline", "acme/risk:read", 86400, token) < 0)
		give_up("no token to verify");
	n_request = 1 + (size_t)snprintf(request, sizeof(request),
					 "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"%s\","
					 "\"scopes\":[\"acme/risk:read\"]}}",
					 token);
	/* Twice: the first one changes what the reply says of the last use. */
	for (int i = 0; i < 2; i++) {
		n = test_call(fd, request, n_request, reply, sizeof(reply));
		if (n < 0 || test_member(reply, "error").p)
			give_up("Verify failed: %s", n < 0 ? strerror((int)-n) : reply);
	}
	n_reply = (size_t)n + 1;
}

/* Calls a second. */
static double call_round(int fd)
{
	static char buf[65536];
	uint64_t start = now_ns(), now = start;
	unsigned n = 0;

	while (now - start < ROUND_NS) {
		for (int i = 0; i < 64; i++, n++)
			if (test_call(fd, request, n_request, buf, sizeof(buf)) < 0)
				give_up("the connection was lost");
		now = now_ns();
	}
	return n * 1e9 / (double)(now - start);
}

/* Each credential is decoded once: a second time it is a replay. Only decoding is timed. */
static double munge_round(struct munge *m)
{
	static char *credentials[CREDENTIALS_MAX];
	uint64_t start, stop = now_ns() + ROUND_NS;
	size_t n = 0, done = 0;
	double rate;

	while (n < CREDENTIALS_MAX && now_ns() < stop)
		if ((credentials[n] = munge_encode_one(m)) != NULL)
			n++;
	start = now_ns();
	for (size_t i = 0; i < n; i++)
		done += munge_decode_one(m, credentials[i]);
	rate = (double)n * 1e9 / (double)(now_ns() - start);
	if (done != n)
		give_up("MUNGE decoded only %zu of %zu", done, n);
	for (size_t i = 0; i < n; i++)
		free(credentials[i]);
	return rate;
}

int main(void)
{
	struct series floor = { 0 }, jeton = { 0 }, munge = { 0 }, to_floor = { 0 }, to_munge = { 0 };
	struct test_agent agent;
	struct munge munged;
	struct echo echo;
	bool has_munge;
	int fd;

	pin(0);
	if (test_agent_init(&agent, &(struct test_agent_options){ 0 }) < 0)
		give_up("no agent");
	fd = test_agent_connect(&agent);
	make_request(fd);
	echo_start(&echo, n_request, reply, n_reply);
	has_munge = munge_start(&munged, "/tmp");

	call_round(echo.fd);
	call_round(fd);
	for (unsigned i = rounds(15); i > 0; i--) {
		double f = call_round(echo.fd), j = call_round(fd);

		series_add(&floor, f);
		series_add(&jeton, j);
		series_add(&to_floor, j / f);
		if (has_munge) {
			double m = munge_round(&munged);

			series_add(&munge, m);
			series_add(&to_munge, j / m);
		}
	}
	printf("(%zu bytes to the agent, %zu back)\n", n_request, n_reply);
	report("bare epoll echo of the same bytes", &floor, "/s", NO_BOUND, 0);
	report("Verify, one connection, one at a time", &jeton, "/s", NO_BOUND, 0);
	report("  as a part of the echo", &to_floor, "", AT_LEAST, 0.75);
	if (has_munge) {
		report("MUNGE decode, one at a time", &munge, "/s", NO_BOUND, 0);
		report("  Verify as a multiple of it", &to_munge, "times", AT_LEAST, 3.5);
		munge_stop(&munged);
	} else {
		report_skipped("MUNGE decode", "munged and libmunge.so.2 are not there; `make deps-bench` installs them");
	}
	echo_stop(&echo);
	close(fd);
	test_agent_done(&agent);
	return EXIT_SUCCESS;
}
