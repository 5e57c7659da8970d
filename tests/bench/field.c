/* tests/bench/field.c - whoever is not asked sleeps: that all of them run at once costs none of them anything. */
#include "tests/bench/field.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/measure.h"

const char *const runner_keys[RUNNERS] = { "echo", "jeton", "redis" };
const char *const runner_names[RUNNERS] = { "bare epoll echo", "Verify", "Redis GET" };

static void make_request(struct field *f)
{
	char token[68];
	int fd = test_agent_connect(&f->agent);
	ssize_t n = 0;

	if (fd < 0 || test_issue(fd, "nightly-pipeline", "acme/risk:read", 86400, token) < 0)
		give_up("no token to verify");
	f->n_request = 1 + (size_t)snprintf(f->request, sizeof(f->request),
					    "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"%s\","
					    "\"scopes\":[\"acme/risk:read\"]}}",
					    token);
	/* Twice: the first one changes what the reply says of the last use. */
	for (int i = 0; i < 2; i++) {
		n = test_call(fd, f->request, f->n_request, f->reply, sizeof(f->reply));
		if (n < 0 || test_member(f->reply, "error").p)
			give_up("Verify failed: %s", n < 0 ? strerror((int)-n) : f->reply);
	}
	f->n_reply = (size_t)n + 1;
	close(fd);
}

static void add_redis(struct field *f)
{
	char key[68];

	f->has_redis = redis_start(&f->redis, bench_tmp());
	if (!f->has_redis)
		return;
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	redis_set(&f->redis, key, f->reply, f->n_reply);
	f->options[REDIS] = (struct flood_options){
		.socket = f->redis.socket,
		.request = f->redis_request,
		.n_request = redis_get_request(key, f->redis_request, sizeof(f->redis_request)),
		.n_reply = redis_get_reply_size(f->n_reply),
		.last = '\n',
		.n_connections = 1,
	};
}

void field_start(struct field *f)
{
	*f = (struct field){ 0 };
	if (test_agent_init(&f->agent, &(struct test_agent_options){
						   .under = bench_tmp(),
						   .settings = "MaxConnections=20000\nMaxConnectionsPerUser=20000" }) < 0)
		give_up("no agent");
	make_request(f);
	echo_start(&f->echo, f->n_request, f->reply, f->n_reply);
	f->options[JETON] = (struct flood_options){
		.socket = f->agent.socket,
		.request = f->request,
		.n_request = f->n_request,
		.n_reply = f->n_reply,
		.n_connections = 1,
	};
	f->options[ECHO] = f->options[JETON];
	f->options[ECHO].socket = f->echo.socket;
	add_redis(f);
	f->has_munge = munge_start(&f->munge, bench_tmp());
}

void field_stop(struct field *f)
{
	if (f->has_munge)
		munge_stop(&f->munge);
	if (f->has_redis)
		redis_stop(&f->redis);
	echo_stop(&f->echo);
	test_agent_done(&f->agent);
}

void field_pin(struct field *f, bool two)
{
	const pid_t pids[] = { f->agent.pid, f->echo.pid, f->has_redis ? f->redis.pid : 0, f->has_munge ? f->munge.pid : 0 };

	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++)
		if (pids[i] > 0)
			pin_process(pids[i], 0);
	pin(two ? 1 : 0);
}

bool field_has(const struct field *f, enum runner r)
{
	return r != REDIS || f->has_redis;
}
