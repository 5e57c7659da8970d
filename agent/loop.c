/*
 * agent/loop.c - see loop.h. A turn of sd-event serves one source, and costs two system calls and some 2,000
 * instructions: as much as a call. So connections are not sources of it, but in an epoll set beside it, and all that
 * are ready are served in one turn. sd-event's own set is a member of that one: it is readable when a source is due.
 *
 * Invariant: what stands in found[at..n) are connections that live, or NULL.
 */
#include "agent/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "agent/connection.h"
#include "agent/turns.h"

enum { FOUND_MAX = 512 };

struct loop {
	int epoll;
	int at, n;
	struct epoll_event found[FOUND_MAX]; /* data.ptr: a connection; NULL: sd-event, or one that is gone */
};

int loop_init(struct agent *a)
{
	struct epoll_event sources = { .events = EPOLLIN };

	a->loop = calloc(1, sizeof(*a->loop));
	if (!a->loop)
		return -ENOMEM;
	a->loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (a->loop->epoll < 0 ||
	    epoll_ctl(a->loop->epoll, EPOLL_CTL_ADD, sd_event_get_fd(a->event), &sources) < 0)
		return -errno;
	return 0;
}

void loop_done(struct agent *a)
{
	if (a->loop && a->loop->epoll >= 0)
		close(a->loop->epoll);
	free(STEAL_PTR(a->loop));
}

/* ---- connections ----------------------------------------------------------------------------- */

static int control(struct connection *c, int operation, uint32_t more)
{
	struct epoll_event event = { .events = (uint32_t)(EPOLLIN | EPOLLRDHUP | EPOLLET) | more,
				     .data.ptr = c };

	return epoll_ctl(c->agent->loop->epoll, operation, c->fd, &event) < 0 ? -errno : 0;
}

int loop_watch(struct connection *c)
{
	return control(c, EPOLL_CTL_ADD, 0);
}

int loop_watch_out(struct connection *c, bool out)
{
	return control(c, EPOLL_CTL_MOD, out ? EPOLLOUT : 0);
}

void loop_forget(struct connection *c)
{
	struct loop *l = c->agent->loop;

	/* By hand, too: whoever else has the descriptor would keep it in the set. */
	(void)control(c, EPOLL_CTL_DEL, 0);
	for (int i = l->at; i < l->n; i++)
		if (l->found[i].data.ptr == c)
			l->found[i].data.ptr = NULL;
}

/* ---- turns ----------------------------------------------------------------------------------- */

static int find(struct loop *l, bool wait)
{
	l->at = 0;
	l->n = epoll_wait(l->epoll, l->found, FOUND_MAX, wait ? -1 : 0);
	if (l->n >= 0)
		return 0;
	l->n = 0;
	return errno == EINTR ? 0 : -errno;
}

/* Those that were found; what one of them does may end others. */
static void serve_found(struct loop *l)
{
	while (l->at < l->n) {
		const struct epoll_event *event = &l->found[l->at++];

		if (event->data.ptr)
			connection_ready(event->data.ptr, event->events);
	}
}

int loop_turn(struct agent *a, bool wait)
{
	struct loop *l = a->loop;
	bool rounds = a->turns_first != NULL;
	/* Sets timers; and looks, where it knows already that something is due. */
	int due = sd_event_prepare(a->event), r;

	if (due < 0)
		return due;
	r = find(l, wait && !due && !rounds);
	if (r < 0)
		return r;
	/* Also what sets the time of this turn. */
	if (!due)
		due = sd_event_wait(a->event, 0);
	if (due > 0)
		due = sd_event_dispatch(a->event);
	if (due < 0)
		return due;
	r = due > 0 || l->n > 0 || rounds;
	serve_found(l);
	if (rounds)
		turns_round(a);
	return r;
}

int loop_run(struct agent *a)
{
	int r = 0;

	while (r >= 0 && sd_event_get_state(a->event) != SD_EVENT_FINISHED)
		r = loop_turn(a, true);
	return r < 0 ? r : 0;
}
