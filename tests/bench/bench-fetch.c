/*
 * tests/bench/bench-fetch.c - Fetch of a held secret beside its floor, in turn in one run: one
 * connection, one call at a time, client and server on one processor, so that no figure has the
 * waking of an idle one in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/rivals.h"
#include "tests/support/test-agent.h"

#define ROUND_NS 300000000U

static const char policy[] = "[Credential api-key]\n"
			     "[Fetch]\nCredential=api-key\nUser=*\n"
			     "[Credential by-unit]\n"
			     "[Fetch]\nCredential=by-unit\nUnit=*.service *.scope\n";

/* What a client asks, and gets. */
struct exchange {
	char request[256];
	size_t n_request;
	char reply[1024];
	size_t n_reply;
};

static bool make_exchange(int fd, const char *credential, struct exchange *ret)
{
	char put[256];
	ssize_t n;

	snprintf(put, sizeof(put),
		 "{\"credential\":\"%s\",\"text\":\"sk-0123456789abcdef0123456789abcdef\"}",
		 credential);
	if (test_ask(fd, "Put", put, ret->reply, sizeof(ret->reply)) < 0)
		give_up("Put failed: %s", ret->reply);
	ret->n_request = 1 + (size_t)snprintf(ret->request, sizeof(ret->request),
					      "{\"method\":\"io.jeton.Agent.Fetch\","
					      "\"parameters\":{\"credential\":\"%s\"}}",
					      credential);
	n = test_call(fd, ret->request, ret->n_request, ret->reply, sizeof(ret->reply));
	if (n < 0)
		give_up("the connection was lost");
	ret->n_reply = (size_t)n + 1;
	return !test_member(ret->reply, "error").p;
}

/* Calls a second. */
static double call_round(int fd, const struct exchange *x)
{
	static char buf[65536];
	uint64_t start = now_ns(), now = start;
	unsigned n = 0;

	while (now - start < round_ns(ROUND_NS)) {
		for (int i = 0; i < 64; i++, n++)
			if (test_call(fd, x->request, x->n_request, buf, sizeof(buf)) < 0)
				give_up("the connection was lost");
		now = now_ns();
	}
	return n * 1e9 / (double)(now - start);
}

static const char *name(const char *key, const char *last, char dst[static 64])
{
	snprintf(dst, 64, "%s.%s", key, last);
	return dst;
}

/* `key` is "user" or "unit". */
static void measure(int fd, const struct exchange *x, const char *key, const char *what, double at_least)
{
	struct series floor = { 0 }, jeton = { 0 }, to_floor = { 0 };
	struct echo echo;
	char buf[64];
	int echo_fd;

	echo_start(&echo, x->n_request, x->reply, x->n_reply);
	echo_fd = connect_to(echo.socket);
	call_round(echo_fd, x);
	call_round(fd, x);
	for (unsigned i = rounds(15); i > 0; i--) {
		double f = call_round(echo_fd, x), j = call_round(fd, x);

		series_add(&floor, f);
		series_add(&jeton, j);
		series_add(&to_floor, j / f);
	}
	printf("(%zu bytes to the agent, %zu back)\n", x->n_request, x->n_reply);
	report(name(key, "echo", buf), "bare epoll echo of the same bytes", &floor, "/s", NO_BOUND, 0);
	report(name(key, "jeton", buf), what, &jeton, "/s", NO_BOUND, 0);
	report(name(key, "to-echo", buf), "  as a part of the echo", &to_floor, "", AT_LEAST, at_least);
	close(echo_fd);
	echo_stop(&echo);
}

int main(void)
{
	struct test_agent agent;
	struct exchange x;
	int fd;

	pin(0);
	if (test_agent_init(&agent, &(struct test_agent_options){ .under = bench_tmp(), .policy = policy }) < 0)
		give_up("no agent");
	fd = test_agent_connect(&agent);
	if (!make_exchange(fd, "api-key", &x))
		give_up("Fetch failed: %s", x.reply);
	measure(fd, &x, "user", "Fetch by user, one at a time", 0.6);
	if (make_exchange(fd, "by-unit", &x))
		measure(fd, &x, "unit", "Fetch by unit, one at a time", 0.6);
	else
		report_skipped("unit.jeton", "Fetch by unit",
			       "this process is in no unit of the manager that the agent goes by");
	close(fd);
	test_agent_done(&agent);
	return EXIT_SUCCESS;
}
