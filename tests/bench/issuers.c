/* tests/bench/issuers.c - one epoll loop, so that on two processors the clients take as little as they can of what is measured. */
#include "tests/bench/issuers.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/measure.h"

#define CLIENTS_MAX 256

static const char request[] = "{\"method\":\"io.jeton.Agent.Issue\",\"parameters\":{\"name\":\"nightly-pipeline\","
			      "\"lifetimeSec\":31536000,\"scopes\":[\"acme/risk:read\"]}}";

struct client {
	int fd;
	size_t have;
	char buf[65536];
};

static struct client clients[CLIENTS_MAX];

static void send_request(struct client *c)
{
	if (send(c->fd, request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
		give_up("a request was not taken whole");
}

/* Takes whole replies; returns how many. */
static size_t take_replies(struct client *c, void (*on_token)(struct span token))
{
	char *at = c->buf, *end;
	size_t taken = 0;
	ssize_t n = recv(c->fd, c->buf + c->have, sizeof(c->buf) - c->have, 0);

	if (n <= 0)
		give_up("the agent closed a connection");
	c->have += (size_t)n;
	while ((end = memchr(at, '\0', c->have - (size_t)(at - c->buf))) != NULL) {
		struct span token = test_member(at, "token");

		if (token.n != 67)
			give_up("Issue was refused: %s", at);
		if (on_token)
			on_token(token);
		at = end + 1;
		taken++;
	}
	c->have -= (size_t)(at - c->buf);
	memmove(c->buf, at, c->have);
	return taken;
}

static int open_clients(const struct test_agent *agent, unsigned n_clients, unsigned depth)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	for (unsigned i = 0; i < n_clients; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		clients[i].fd = test_agent_connect(agent);
		clients[i].have = 0;
		if (clients[i].fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event) < 0)
			give_up("no connection for client %u", i);
		for (unsigned j = 0; j < depth; j++)
			send_request(&clients[i]);
	}
	return epoll;
}

size_t issue_many(const struct test_agent *agent, unsigned n_clients, unsigned depth, uint64_t ns, size_t n_max,
		  void (*on_token)(struct span token))
{
	int epoll = open_clients(agent, n_clients, depth);
	size_t asked = (size_t)n_clients * depth, done = 0;
	uint64_t start = now_ns();
	struct epoll_event events[64];

	while (done < asked) {
		bool over = now_ns() - start >= ns;
		int n = epoll_wait(epoll, events, 64, 10000);

		if (n == 0)
			give_up("the agent does not answer");
		for (int i = 0; i < n; i++) {
			struct client *c = &clients[events[i].data.u32];

			for (size_t k = take_replies(c, on_token); k > 0; k--) {
				done++;
				if (!over && (n_max == 0 || asked < n_max)) {
					send_request(c);
					asked++;
				}
			}
		}
	}
	for (unsigned i = 0; i < n_clients; i++)
		close(clients[i].fd);
	close(epoll);
	return done;
}
