/*
 * agent/event.h - what has happened: the last EVENTS_KEPT events of the store, for those who watch.
 *
 * An event is kept in the same change as what it tells of: the store has both or neither. The rows
 * are a ring, where each new event takes the place of the one EVENTS_KEPT before it, so that
 * nothing has to be deleted, the newest is always there, and numbers never start again.
 *
 * Nothing here is secret: ids, owners' numbers, names of credentials. It is all the loop's.
 */
#pragma once

#include "agent/event-record.h"
#include "agent/store.h"
#include "agent/vault.h"

enum { EVENTS_KEPT = 10000 };

struct events {
	struct event *ring; /* EVENTS_KEPT; the event of a number is at that number modulo the size */
	uint64_t last;	    /* the newest that is kept and visible; 0: none */
	uint64_t n;	    /* visible ones: those up to `last` */
	uint64_t prepared; /* the newest of all changes under way */
};

/* The events of one change, until it is kept or not. Zeros: none. */
struct event_list {
	struct event *events;
	size_t n, room;
};

/* 0 or -ENOMEM. */
int events_init(struct events *e) MUST_USE;
void events_done(struct events *e);

/*
 * A row of the store, in any order; then, once all are there, whether they are the last ones
 * without a gap. 0, -EBADMSG or -ENOMEM.
 */
int events_load(struct events *e, uint64_t row, uint32_t version, const uint8_t *record, size_t n)
	MUST_USE;
int events_load_done(struct events *e) MUST_USE;

/*
 * Adds the next event to a change of the store, and to the list of its events. The number is given
 * here; the credential is copied. Changes are under way in the order of their events. 0 or -ENOMEM:
 * then events_drop() what the list has.
 */
int events_add(struct events *e, struct event_list *list, struct store_change *change,
	       const struct event *event) MUST_USE;

/* The event that a step of the vault's change makes, if it makes one. */
int events_add_step(struct events *e, struct event_list *list, struct store_change *change,
		    const struct vault_row *step, uint64_t now_us) MUST_USE;

/*
 * The change was kept: they are visible. Or it was not: there never were any. The oldest change may
 * be kept, the newest dropped. Both empty the list.
 */
void events_keep(struct events *e, struct event_list *list);
void events_drop(struct events *e, struct event_list *list);

/* The oldest that is still there, or the one that comes next where there is none. */
static inline uint64_t events_first(const struct events *e)
{
	return e->last - e->n + 1;
}

/* The event of a number from events_first() to last. Until the next events_keep(). */
const struct event *events_at(const struct events *e, uint64_t number);
