/*
 * tests/bench/bench-load.c - what a Verify waits while another client issues without pause, beside an agent that is
 * otherwise idle, in turn in one run.
 *
 * The agent's loop and the verifying client share one processor, the issuing client has another; the agent's writer goes
 * where the kernel puts it. The same is measured with no one kept anywhere.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "protocol/base/cleanup.h"
#include "tests/bench/measure.h"
#include "tests/support/test-agent.h"

#define ROUND_NS 700000000U

/* Shared with the issuing process. */
static struct {
	atomic_bool run;
	atomic_ulong issued;
} *shared;

static _Noreturn void issue_for_ever(const struct test_agent *agent, int cpu)
{
	int fd = test_agent_connect(agent);
	char token[68];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(cpu);
	for (;;) {
		if (!atomic_load(&shared->run)) {
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
			continue;
		}
		if (test_issue(fd, "nightly-pipeline", "acme/risk:read", 86400, token) < 0)
			_exit(1);
		atomic_fetch_add(&shared->issued, 1);
	}
}

static void verify_round(int fd, const char *request, size_t n, struct latencies *l)
{
	uint64_t start = now_ns(), before = start, after;
	char buf[8192];

	latencies_clear(l);
	do {
		if (test_call(fd, request, n, buf, sizeof(buf)) < 0)
			give_up("the connection was lost");
		after = now_ns();
		latencies_add(l, after - before);
		before = after;
	} while (after - start < round_ns(ROUND_NS));
}

static void set_running(bool run)
{
	atomic_store(&shared->run, run);
	/* Long enough for what is under way to be done, and for the other's first call. */
	nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
}

static const char *name(const char *key, const char *last, char dst[static 64])
{
	snprintf(dst, 64, "%s.%s", key, last);
	return dst;
}

static void measure(int fd, const char *request, size_t n, const char *key, const char *how)
{
	struct series idle50 = { 0 }, idle99 = { 0 }, busy50 = { 0 }, busy99 = { 0 }, ratio50 = { 0 }, ratio99 = { 0 };
	struct series rate = { 0 };
	struct latencies l = { 0 };
	char what[128], k[64];

	for (unsigned i = rounds(9); i > 0; i--) {
		double i50, i99, b50, b99;
		unsigned long issued;

		verify_round(fd, request, n, &l);
		i50 = latencies_at(&l, 0.5);
		i99 = latencies_at(&l, 0.99);
		set_running(true);
		issued = atomic_load(&shared->issued);
		verify_round(fd, request, n, &l);
		series_add(&rate, (double)(atomic_load(&shared->issued) - issued) * 1e9 / (double)round_ns(ROUND_NS));
		set_running(false);
		b50 = latencies_at(&l, 0.5);
		b99 = latencies_at(&l, 0.99);
		series_add(&idle50, i50 / 1000);
		series_add(&idle99, i99 / 1000);
		series_add(&busy50, b50 / 1000);
		series_add(&busy99, b99 / 1000);
		series_add(&ratio50, b50 / i50);
		series_add(&ratio99, b99 / i99);
	}
	printf("(%s)\n", how);
	report(name(key, "idle.median", k), "Verify of an idle agent, median", &idle50, "us", NO_BOUND, 0);
	report(name(key, "idle.p99", k), "Verify of an idle agent, p99", &idle99, "us", NO_BOUND, 0);
	report(name(key, "busy.median", k), "Verify while another client issues, median", &busy50, "us",
	       NO_BOUND, 0);
	report(name(key, "busy.p99", k), "Verify while another client issues, p99", &busy99, "us", NO_BOUND, 0);
	report(name(key, "issued", k), "  tokens issued meanwhile", &rate, "/s", NO_BOUND, 0);
	snprintf(what, sizeof(what), "  median beside the idle agent's (%s)", how);
	report(name(key, "to-idle.median", k), what, &ratio50, "times", AT_MOST, 1.5);
	snprintf(what, sizeof(what), "  p99 beside the idle agent's (%s)", how);
	report(name(key, "to-idle.p99", k), what, &ratio99, "times", AT_MOST, 3);
	latencies_done(&l);
}

static pid_t start_issuing(const struct test_agent *agent, int cpu)
{
	pid_t pid = fork();

	if (pid == 0)
		issue_for_ever(agent, cpu);
	return pid;
}

static void stop_issuing(pid_t pid)
{
	int status;

	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	if (WIFEXITED(status))
		give_up("the client that issues was refused");
}

int main(void)
{
	struct test_agent agent;
	char request[512], token[68];
	size_t n;
	pid_t issuing;
	int fd;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	/* On the disk of the build, for /tmp may be memory. */
	if (test_agent_init(&agent, &(struct test_agent_options){ .under = getenv("BENCH_DIR"),
								   .settings = "MaxTokensPerUser=2000000" }) < 0)
		give_up("no agent");
	fd = test_agent_connect(&agent);
	if (test_issue(fd, "nightly-pipeline", "acme/risk:read", 86400, token) < 0)
		give_up("no token to verify");
	n = 1 + (size_t)snprintf(request, sizeof(request),
				 "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"%s\"}}", token);

	issuing = start_issuing(&agent, -1);
	measure(fd, request, n, "free", "wherever the kernel puts each");
	stop_issuing(issuing);

	pin(0);
	pin_main_thread(agent.pid, 0);
	issuing = start_issuing(&agent, 1);
	measure(fd, request, n, "one", "agent and verifier on one processor");
	stop_issuing(issuing);

	close(fd);
	test_agent_done(&agent);
	return EXIT_SUCCESS;
}
