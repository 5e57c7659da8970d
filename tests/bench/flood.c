/*
 * tests/bench/flood.c - with one connection there is nothing to wait for but it: no epoll then. Invariant: a connection that
 * awaits nothing has nothing unread, so a run leaves none behind for the next.
 */
#include "tests/bench/flood.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/measure.h"
#include "tests/bench/rivals.h"

struct client {
	int fd;
	size_t awaits; /* bytes */
	uint64_t sent; /* when, where latencies are wanted */
};

struct flood {
	struct flood_options o;
	char *batch; /* the request, depth times */
	int epoll;   /* -1: there is one connection */
	struct latencies *latencies;
	struct client clients[];
};

struct flood *flood_open(const struct flood_options *o)
{
	struct flood *f = calloc(1, sizeof(*f) + o->n_connections * sizeof(f->clients[0]));

	if (!f)
		give_up("no memory");
	f->o = *o;
	f->o.depth = o->depth ? o->depth : 1;
	f->batch = malloc(f->o.depth * o->n_request);
	if (!f->batch)
		give_up("no memory");
	for (unsigned i = 0; i < f->o.depth; i++)
		memcpy(f->batch + i * o->n_request, o->request, o->n_request);
	f->epoll = o->n_connections > 1 ? epoll_create1(EPOLL_CLOEXEC) : -1;
	for (unsigned i = 0; i < o->n_connections; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		f->clients[i].fd = connect_to(o->socket);
		if (f->epoll >= 0 && epoll_ctl(f->epoll, EPOLL_CTL_ADD, f->clients[i].fd, &event) < 0)
			give_up("epoll: %s", strerror(errno));
	}
	return f;
}

void flood_close(struct flood *f)
{
	for (unsigned i = 0; i < f->o.n_connections; i++)
		close(f->clients[i].fd);
	if (f->epoll >= 0)
		close(f->epoll);
	free(f->batch);
	free(f);
}

static void ask(struct flood *f, struct client *c)
{
	const char *what = f->o.next ? f->o.next(f->o.userdata) : f->batch;
	size_t n = f->o.depth * f->o.n_request;

	c->awaits = f->o.depth * f->o.n_reply;
	if (f->latencies)
		c->sent = now_ns();
	for (size_t done = 0; done < n;) {
		ssize_t sent = send(c->fd, what + done, n - done, MSG_NOSIGNAL);

		if (sent < 0)
			give_up("%s: send: %s", f->o.socket, strerror(errno));
		done += (size_t)sent;
	}
}

/* Takes what is there; whether that was the last of it. */
static bool take(struct flood *f, struct client *c)
{
	static char buf[131072];
	ssize_t n = recv(c->fd, buf, sizeof(buf), 0);

	if (n <= 0)
		give_up("%s: %s", f->o.socket, n < 0 ? strerror(errno) : "the connection was closed");
	if ((size_t)n > c->awaits || ((size_t)n == c->awaits && buf[n - 1] != f->o.last))
		give_up("%s: another reply than should come: %.*s", f->o.socket, (int)n, buf);
	c->awaits -= (size_t)n;
	if (c->awaits == 0 && f->latencies)
		latencies_add(f->latencies, now_ns() - c->sent);
	return c->awaits == 0;
}

static size_t run_one(struct flood *f, uint64_t until)
{
	struct client *c = &f->clients[0];
	size_t batches = 0;

	do {
		for (int i = 0; i < 16; i++, batches++) {
			ask(f, c);
			while (!take(f, c))
				;
		}
	} while (now_ns() < until);
	return batches;
}

static size_t run_many(struct flood *f, unsigned n_connections, uint64_t until)
{
	struct epoll_event events[256];
	size_t batches = 0, under_way = n_connections;
	bool over = false;

	for (unsigned i = 0; i < n_connections; i++)
		ask(f, &f->clients[i]);
	while (under_way > 0) {
		int n = epoll_wait(f->epoll, events, 256, 20000);

		if (n == 0)
			give_up("%s does not answer", f->o.socket);
		over = over || now_ns() >= until;
		for (int i = 0; i < n; i++) {
			struct client *c = &f->clients[events[i].data.u32];

			if (!take(f, c))
				continue;
			batches++;
			if (over)
				under_way--;
			else
				ask(f, c);
		}
	}
	return batches;
}

double flood_run(struct flood *f, unsigned n_connections, uint64_t ns, struct latencies *latencies)
{
	uint64_t start = now_ns();
	size_t batches;

	f->latencies = latencies;
	if (f->epoll < 0)
		batches = run_one(f, start + ns);
	else
		batches = run_many(f, n_connections ? n_connections : f->o.n_connections, start + ns);
	return (double)(batches * f->o.depth) * 1e9 / (double)(now_ns() - start);
}

double flood_one_shots(const struct flood_options *o, uint64_t ns)
{
	uint64_t start = now_ns();
	size_t n = 0;

	do {
		struct flood *f = flood_open(o);

		ask(f, &f->clients[0]);
		while (!take(f, &f->clients[0]))
			;
		flood_close(f);
		n++;
	} while (now_ns() - start < ns);
	return (double)n * 1e9 / (double)(now_ns() - start);
}
