/*
 * agent/event.c - see event.h.
 *
 * Invariant: what is in the ring is kept. Events of changes under way have their numbers, and are
 * in the lists of those changes; a change that fails gives its numbers back, which works because
 * those after it have failed, and given back theirs, before.
 */
#include "agent/event.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_FIRST = 2 };

int events_init(struct events *e)
{
	*e = (struct events){ .ring = calloc(EVENTS_KEPT, sizeof(*e->ring)) };
	return e->ring ? 0 : -ENOMEM;
}

void events_done(struct events *e)
{
	for (size_t i = 0; e->ring && i < EVENTS_KEPT; i++)
		free(e->ring[i].credential);
	free(e->ring);
	*e = (struct events){ .ring = NULL };
}

/* ---- the place of an event in the store ------------------------------------------------------ */

static uint64_t row_of(uint64_t number)
{
	return number % EVENTS_KEPT + 1;
}

/* Each round of the ring is a version of its rows. */
static uint32_t version_of(uint64_t number)
{
	assert(number / EVENTS_KEPT < UINT32_MAX);
	return (uint32_t)(number / EVENTS_KEPT) + 1;
}

/* Of the row before this event is put there; 0: it is the first there. */
static uint32_t version_before(uint64_t number)
{
	return number > EVENTS_KEPT ? version_of(number) - 1 : 0;
}

/* ---- loading --------------------------------------------------------------------------------- */

int events_load(struct events *e, uint64_t row, uint32_t version, const uint8_t *record, size_t n)
{
	struct event event, *at;
	int r = event_record_read(record, n, &event);

	if (r < 0)
		return r;
	at = &e->ring[event.number % EVENTS_KEPT];
	if (event.number / EVENTS_KEPT >= UINT32_MAX || row != row_of(event.number) ||
	    version != version_of(event.number) || at->number) {
		free(event.credential);
		return -EBADMSG;
	}
	*at = event;
	e->n++;
	if (event.number > e->last)
		e->last = event.number;
	return 0;
}

int events_load_done(struct events *e)
{
	if (e->n != (e->last < EVENTS_KEPT ? e->last : EVENTS_KEPT))
		return -EBADMSG;
	for (uint64_t number = events_first(e); number <= e->last; number++)
		if (e->ring[number % EVENTS_KEPT].number != number)
			return -EBADMSG;
	e->prepared = e->last;
	return 0;
}

/* ---- changes --------------------------------------------------------------------------------- */

static struct event *list_add(struct event_list *list)
{
	size_t room = list->room ? 2 * list->room : LIST_FIRST;
	struct event *events;

	if (list->n == list->room) {
		events = reallocarray(list->events, room, sizeof(*events));
		if (!events)
			return NULL;
		list->events = events;
		list->room = room;
	}
	return &list->events[list->n];
}

static int put(struct store_change *change, const struct event *event)
{
	uint8_t record[EVENT_RECORD_MAX];
	size_t n = event_record_write(event, record);

	return store_change_put(change, STORE_EVENTS, row_of(event->number),
				version_before(event->number), version_of(event->number), 0, record,
				n);
}

int events_add(struct events *e, struct event_list *list, struct store_change *change,
	       const struct event *event)
{
	struct event *added = list_add(list);

	if (!added)
		return -ENOMEM;
	*added = *event;
	added->number = e->prepared + 1;
	if (event->credential) {
		added->credential = strdup(event->credential);
		if (!added->credential)
			return -ENOMEM;
	}
	if (put(change, added) < 0) {
		free(added->credential);
		return -ENOMEM;
	}
	list->n++;
	e->prepared++;
	return 0;
}

/* 0: nothing to tell of. */
static enum event_kind kind_of(const struct vault_row *step)
{
	switch (step->kind) {
	case STEP_INSERT:
		return step->is_derived ? EVENT_DERIVED : EVENT_ISSUED;
	case STEP_UPDATE:
		return step->is_replaced ? EVENT_ROTATED : 0;
	case STEP_END:
		return step->state == TOKEN_EXPIRED ? EVENT_EXPIRED : EVENT_REVOKED;
	case STEP_FORGET:
	case STEP_RECALL:
		break;
	}
	return 0;
}

int events_add_step(struct events *e, struct event_list *list, struct store_change *change,
		    const struct vault_row *step, uint64_t now_us)
{
	struct event event = {
		.at_us = now_us,
		.token = step->id,
		.owner_uid = step->owner_uid,
		.kind = kind_of(step),
	};

	if (!event.kind)
		return 0;
	owner_tag(step->owner_name, event.owner_tag);
	return events_add(e, list, change, &event);
}

static void list_done(struct event_list *list)
{
	free(list->events);
	*list = (struct event_list){ .events = NULL };
}

void events_keep(struct events *e, struct event_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		const struct event *event = &list->events[i];
		struct event *at = &e->ring[event->number % EVENTS_KEPT];

		assert(event->number == e->last + 1);
		free(at->credential);
		*at = *event;
		e->last++;
		if (e->n < EVENTS_KEPT)
			e->n++;
	}
	list_done(list);
}

void events_drop(struct events *e, struct event_list *list)
{
	while (list->n > 0) {
		struct event *event = &list->events[--list->n];

		assert(event->number == e->prepared);
		e->prepared--;
		free(event->credential);
	}
	list_done(list);
}

const struct event *events_at(const struct events *e, uint64_t number)
{
	assert(number >= events_first(e) && number <= e->last);
	return &e->ring[number % EVENTS_KEPT];
}
