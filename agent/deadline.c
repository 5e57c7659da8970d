/*
 * agent/deadline.c - see deadline.h. Invariant: the timer stands at the earliest head of the two
 * lists, or is off.
 */
#include "agent/deadline.h"

#include "agent/log.h"
#include "protocol/base/time.h"

enum timed { TIMED_NOT, TIMED_HALF, TIMED_UNREAD };

static const uint64_t HALF_US = 5 * USEC_PER_SEC;
static const uint64_t UNREAD_US = 30 * USEC_PER_SEC;

static struct connection **first_of(struct agent *a, enum timed timed)
{
	return timed == TIMED_HALF ? &a->half_first : &a->unread_first;
}

static struct connection **last_of(struct agent *a, enum timed timed)
{
	return timed == TIMED_HALF ? &a->half_last : &a->unread_last;
}

static void set_timer(struct agent *a)
{
	uint64_t next = UINT64_MAX;

	a->sources_changed = true;
	if (a->half_first)
		next = a->half_first->deadline_us;
	if (a->unread_first && a->unread_first->deadline_us < next)
		next = a->unread_first->deadline_us;
	if (next == UINT64_MAX) {
		(void)sd_event_source_set_enabled(a->deadline_timer, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_source_set_time(a->deadline_timer, next);
	(void)sd_event_source_set_enabled(a->deadline_timer, SD_EVENT_ONESHOT);
}

static void take_off(struct connection *c)
{
	struct agent *a = c->agent;
	enum timed timed = (enum timed)c->timed;

	if (timed == TIMED_NOT)
		return;
	if (c->timed_prev)
		c->timed_prev->timed_next = c->timed_next;
	else
		*first_of(a, timed) = c->timed_next;
	if (c->timed_next)
		c->timed_next->timed_prev = c->timed_prev;
	else
		*last_of(a, timed) = c->timed_prev;
	c->timed_next = c->timed_prev = NULL;
	c->timed = TIMED_NOT;
}

static void put_on(struct connection *c, enum timed timed, uint64_t in_us)
{
	struct agent *a = c->agent;
	struct connection **last = last_of(a, timed);
	bool alone = !*first_of(a, timed);

	take_off(c);
	c->timed = (uint8_t)timed;
	c->deadline_us = agent_monotonic(a) + in_us;
	c->timed_prev = *last;
	if (*last)
		(*last)->timed_next = c;
	else
		*first_of(a, timed) = c;
	*last = c;
	/*
	 * Only the head of a list matters to the timer, and a head that left makes it fire early,
	 * once.
	 */
	if (alone)
		set_timer(a);
}

void deadline_half(struct connection *c, bool restart)
{
	if (c->timed != TIMED_HALF || restart)
		put_on(c, TIMED_HALF, HALF_US);
}

void deadline_unread(struct connection *c, bool restart)
{
	if (c->timed != TIMED_UNREAD || restart)
		put_on(c, TIMED_UNREAD, UNREAD_US);
}

void deadline_none(struct connection *c)
{
	if (c->timed != TIMED_NOT)
		take_off(c);
}

static void close_saying(struct connection *c, struct log_limit *limit, const char *why)
{
	log_limited(limit, agent_monotonic(c->agent), "a connection of uid %u was closed: %s",
		    (unsigned)c->peer.uid, why);
	connection_close(c);
}

/* The first of a list, but for this one. */
static struct connection *first_other(struct agent *a, enum timed timed, const struct connection *c)
{
	struct connection *first = *first_of(a, timed);

	return first == c ? first->timed_next : first;
}

bool deadline_make_room(const struct connection *c)
{
	struct connection *half = first_other(c->agent, TIMED_HALF, c);
	struct connection *unread = first_other(c->agent, TIMED_UNREAD, c);

	/* Half a message is thrown away before a reply is. */
	if (!half && !unread)
		return false;
	close_saying(half ? half : unread, &c->agent->limit_room,
		     "others needed the buffer that it kept for what was not finished");
	return true;
}

static int on_deadline(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct agent *a = userdata;
	uint64_t now = agent_monotonic(a);

	(void)source;
	(void)at_us;
	while (a->half_first && a->half_first->deadline_us <= now)
		close_saying(a->half_first, &a->limit_late, "it did not finish a message within 5 s");
	while (a->unread_first && a->unread_first->deadline_us <= now)
		close_saying(a->unread_first, &a->limit_late, "it left its replies unread for 30 s");
	set_timer(a);
	return 0;
}

void deadline_forget(struct connection *c)
{
	take_off(c);
}

int deadline_init(struct agent *a)
{
	int r;

	r = sd_event_add_time(a->event, &a->deadline_timer, CLOCK_MONOTONIC, 0, 100 * 1000,
			      on_deadline, a);
	if (r < 0)
		return r;
	return sd_event_source_set_enabled(a->deadline_timer, SD_EVENT_OFF);
}

void deadline_done(struct agent *a)
{
	a->deadline_timer = sd_event_source_unref(a->deadline_timer);
}
