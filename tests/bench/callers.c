/* tests/bench/callers.c - one epoll loop, so that on two processors the clients take as little as they can of what is measured. */
#include "tests/bench/callers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define CLIENTS_MAX 256

struct client {
	int fd;
	size_t have;
	char buf[65536];
};

static struct client clients[CLIENTS_MAX];

/* Whether there was one to send. */
static bool send_next(struct client *c, const struct calls *calls)
{
	char request[512];
	size_t n = calls->make(calls->userdata, request);

	if (n > 0 && send(c->fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
		give_up("a request was not taken whole");
	return n > 0;
}

/* Takes whole replies; returns how many. */
static size_t take_replies(struct client *c, const struct calls *calls)
{
	char *at = c->buf, *end;
	size_t taken = 0;
	ssize_t n = recv(c->fd, c->buf + c->have, sizeof(c->buf) - c->have, 0);

	if (n <= 0)
		give_up("the agent closed a connection");
	c->have += (size_t)n;
	while ((end = memchr(at, '\0', c->have - (size_t)(at - c->buf))) != NULL) {
		if (test_member(at, "error").p)
			give_up("refused: %s", at);
		if (calls->on_reply)
			calls->on_reply(calls->userdata, at);
		at = end + 1;
		taken++;
	}
	c->have -= (size_t)(at - c->buf);
	memmove(c->buf, at, c->have);
	return taken;
}

/* Each sends its first ones; *ret_asked: how many in all. */
static int open_clients(const struct test_agent *agent, unsigned n_clients, unsigned depth, const struct calls *calls,
			size_t *ret_asked)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	*ret_asked = 0;
	for (unsigned i = 0; i < n_clients; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		clients[i].fd = test_agent_connect(agent);
		clients[i].have = 0;
		if (clients[i].fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event) < 0)
			give_up("no connection for client %u", i);
		for (unsigned j = 0; j < depth; j++)
			*ret_asked += send_next(&clients[i], calls);
	}
	return epoll;
}

size_t call_many(const struct test_agent *agent, unsigned n_clients, unsigned depth, uint64_t ns, const struct calls *calls)
{
	uint64_t start = now_ns();
	struct epoll_event events[64];
	size_t asked, done = 0;
	int epoll = open_clients(agent, n_clients, depth, calls, &asked);

	while (done < asked) {
		bool over = now_ns() - start >= ns;
		int n = epoll_wait(epoll, events, 64, 10000);

		if (n == 0)
			give_up("the agent does not answer");
		for (int i = 0; i < n; i++) {
			struct client *c = &clients[events[i].data.u32];

			for (size_t k = take_replies(c, calls); k > 0; k--, done++)
				if (!over)
					asked += send_next(c, calls);
		}
	}
	for (unsigned i = 0; i < n_clients; i++)
		close(clients[i].fd);
	close(epoll);
	return done;
}

struct issues {
	size_t n, n_max;
	void (*on_reply)(void *userdata, const char *reply);
	void *userdata;
};

static size_t make_issue(void *userdata, char *dst)
{
	static const char request[] = "{\"method\":\"io.jeton.Agent.Issue\",\"parameters\":{\"name\":\"nightly-pipeline\","
				      "\"lifetimeSec\":31536000,\"scopes\":[\"acme/risk:read\"]}}";
	struct issues *issues = userdata;

	if (issues->n_max && issues->n >= issues->n_max)
		return 0;
	issues->n++;
	memcpy(dst, request, sizeof(request));
	return sizeof(request);
}

static void pass_on(void *userdata, const char *reply)
{
	struct issues *issues = userdata;

	if (issues->on_reply)
		issues->on_reply(issues->userdata, reply);
}

size_t issue_many(const struct test_agent *agent, unsigned n_clients, unsigned depth, uint64_t ns, size_t n_max,
		  void (*on_reply)(void *userdata, const char *reply), void *userdata)
{
	struct issues issues = { .n_max = n_max, .on_reply = on_reply, .userdata = userdata };

	return call_many(agent, n_clients, depth, ns, &(struct calls){ make_issue, pass_on, &issues });
}

struct revokes {
	char (*ids)[12];
	size_t at, n;
};

static size_t make_revoke(void *userdata, char *dst)
{
	struct revokes *r = userdata;

	if (r->at == r->n)
		return 0;
	return 1 + (size_t)snprintf(dst, 512, "{\"method\":\"io.jeton.Agent.Revoke\",\"parameters\":{\"id\":\"%s\"}}",
				    r->ids[r->at++]);
}

size_t revoke_many(const struct test_agent *agent, unsigned n_clients, unsigned depth, uint64_t ns, char (*ids)[12], size_t n)
{
	return call_many(agent, n_clients, depth, ns,
			 &(struct calls){ make_revoke, NULL, &(struct revokes){ ids, 0, n } });
}
