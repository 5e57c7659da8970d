/*
 * agent/loop.c - see loop.h. A turn of sd-event serves one source, and costs two system calls and some 2,000
 * instructions: as much as a call. So connections are not sources of it, but in an epoll set beside it, and all that
 * are ready are served in one turn. sd-event's own set is a member of that one: it is readable when a source is due.
 *
 * Nor has sd-event a part in every turn. Its timers are set when it is prepared, so it must be where a source of it may
 * have been touched: by a call, but for those that say they did not (agent->n_quiet), and where agent->sources_changed
 * says so. And it looks once in a millisecond at least, if there are turns at all, since it reckons spans from when it
 * looked last.
 *
 * Invariant: what stands in found[at..n) are connections that live, or NULL.
 */
#include "agent/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "agent/connection.h"
#include "agent/outbox.h"
#include "agent/turns.h"

enum { FOUND_MAX = 512 };

static const uint64_t LOOK_US = 1000;

struct loop {
	int epoll;
	bool waits;	    /* sd-event does, prepared: it must look before it is prepared anew */
	uint64_t n_others;  /* calls of those that may touch its sources, when it was prepared */
	uint64_t looked_us; /* when that was */
	bool is_due;	    /* it is among what was found */
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
	l->is_due = false;
	l->n = epoll_wait(l->epoll, l->found, FOUND_MAX, wait ? -1 : 0);
	for (int i = 0; i < l->n; i++)
		l->is_due |= !l->found[i].data.ptr;
	if (l->n >= 0)
		return 0;
	l->n = 0;
	return errno == EINTR ? 0 : -errno;
}

/* The next few of those that were found. */
static void receive_ahead(struct loop *l)
{
	for (int i = l->at; i < l->n && i < l->at + RECEIVE_AHEAD; i++) {
		struct connection *c = l->found[i].data.ptr;

		if (!c)
			continue;
		connection_found(c, l->found[i].events);
		connection_receive_ahead(c);
	}
}

/* Those that were found; what one of them does may end others. */
static void serve_found(struct agent *a)
{
	struct loop *l = a->loop;

	while (l->at < l->n) {
		const struct epoll_event *event;

		if (l->at % RECEIVE_AHEAD == 0)
			receive_ahead(l);
		event = &l->found[l->at++];
		if (event->data.ptr)
			connection_ready(event->data.ptr, event->events);
		if (outbox_is_full(a))
			outbox_send(a);
	}
}

/* A new turn's time begins. */
static void begin_turn(struct agent *a)
{
	a->turn.is_one = true;
	a->turn.real_us = a->turn.monotonic_us = 0;
}

/* Has sd-event look, which waits since it was prepared: whether something is due, or a negative errno. */
static int look(struct agent *a)
{
	a->loop->waits = false;
	return sd_event_wait(a->event, 0);
}

/*
 * Has sd-event set its timers, unless it waits already and nobody has touched a source of it since. Whether it knows
 * already that something is due, or a negative errno.
 */
static int prepare(struct agent *a)
{
	struct loop *l = a->loop;
	uint64_t n_others = a->n_calls - a->n_quiet;
	int due;

	if (l->waits && !a->sources_changed && n_others == l->n_others)
		return 0;
	due = l->waits ? look(a) : 0;
	if (due)
		return due;
	a->sources_changed = false;
	l->n_others = n_others;
	l->looked_us = agent_monotonic(a);
	due = sd_event_prepare(a->event);
	l->waits = due == 0;
	return due;
}

/* Whether sd-event has to look: for what is due, or for what it takes for the time not to be old. */
static bool is_to_look(struct agent *a)
{
	return a->loop->is_due || agent_monotonic(a) - a->loop->looked_us >= LOOK_US;
}

int loop_turn(struct agent *a, bool wait)
{
	struct loop *l = a->loop;
	bool rounds = a->turns_first != NULL;
	int due = prepare(a), r;

	if (due < 0)
		return due;
	r = find(l, wait && !due && !rounds);
	if (r < 0)
		return r;
	begin_turn(a);
	if (!due && is_to_look(a)) {
		due = look(a);
		begin_turn(a);
	}
	if (due > 0)
		due = sd_event_dispatch(a->event);
	/* Whatever comes of sd-event: what was found is not told again. */
	r = due < 0 ? due : due > 0 || l->n > 0 || rounds;
	serve_found(a);
	if (rounds)
		turns_round(a);
	outbox_send(a);
	return r;
}

int loop_run(struct agent *a)
{
	int r = 0;

	while (r >= 0 && sd_event_get_state(a->event) != SD_EVENT_FINISHED)
		r = loop_turn(a, true);
	return r < 0 ? r : 0;
}
