/*
 * agent/wall-clock.c - see wall-clock.h.
 *
 * Invariant: wall_us and boot_us are one instant, and the latest that is believed; so a clock that
 * was lost and is set right again agrees with it, however far it jumps.
 */
#include "agent/wall-clock.h"

/* How long after a synchronisation its mark is made, at most. */
#define MARK_US (UINT64_C(2) * 1000000)

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

void wall_clock_start(struct wall_clock *w, uint64_t wall_us, uint64_t boot_us,
		      uint64_t first_end_us, uint64_t last_us)
{
	*w = (struct wall_clock){ .wall_us = wall_us, .boot_us = boot_us };
	if (less(wall_us, first_end_us) > WALL_CLOCK_APART_US)
		w->wall_us = first_end_us;
	else if (less(last_us, wall_us) > WALL_CLOCK_APART_US)
		w->wall_us = last_us;
}

static bool agree(int64_t apart_us)
{
	return apart_us <= (int64_t)WALL_CLOCK_APART_US && apart_us >= -(int64_t)WALL_CLOCK_APART_US;
}

static enum wall_clock_news believe(struct wall_clock *w, uint64_t wall_us, uint64_t boot_us,
				    enum wall_clock_news news)
{
	*w = (struct wall_clock){ .wall_us = wall_us, .boot_us = boot_us, .looked_us = boot_us };
	return news;
}

/* Synchronised since it reads as it does. */
static bool is_synchronized(const struct wall_clock *w, uint64_t wall_us, uint64_t synchronized_us)
{
	return synchronized_us && synchronized_us >= less(w->apart_wall_us, MARK_US) &&
	       synchronized_us <= wall_us + MARK_US;
}

enum wall_clock_news wall_clock_look(struct wall_clock *w, uint64_t wall_us, uint64_t boot_us,
				     uint64_t synchronized_us)
{
	int64_t apart_us = (int64_t)(wall_us - w->wall_us) - (int64_t)(boot_us - w->boot_us);
	bool was_apart = w->apart_us != 0;
	bool is_new = !was_apart || !agree(apart_us - w->apart_us);

	if (agree(apart_us))
		return believe(w, wall_us, boot_us,
			       was_apart ? WALL_CLOCK_RIGHT : WALL_CLOCK_AS_BEFORE);
	if (is_new) {
		w->apart_us = apart_us;
		/* It was moved after the last look. */
		w->apart_wall_us = less(wall_us, less(boot_us, w->looked_us));
		w->apart_boot_us = boot_us;
	}
	w->looked_us = boot_us;
	if (is_synchronized(w, wall_us, synchronized_us) ||
	    less(boot_us, w->apart_boot_us) >= WALL_CLOCK_STANDS_US)
		return believe(w, wall_us, boot_us, WALL_CLOCK_CONFIRMED);
	if (!is_new)
		return WALL_CLOCK_AS_BEFORE;
	return apart_us > 0 ? WALL_CLOCK_AHEAD : WALL_CLOCK_BEHIND;
}
