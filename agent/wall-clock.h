/*
 * agent/wall-clock.h - whether CLOCK_REALTIME is to be believed. Pure: whoever looks brings the
 * instants.
 *
 * It is held against CLOCK_BOOTTIME, which nobody can set. A clock that has gone ahead of that is
 * doubted, until a second source confirms it: time synchronisation, or that it has stood for an
 * hour without being set right. One that has gone back is told of, and changes nothing: what has
 * ended is not judged by the clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Clocks that are no further apart agree. */
#define WALL_CLOCK_APART_US (UINT64_C(15) * 60 * 1000000)
/* So long it has to stand where nothing else confirms it. */
#define WALL_CLOCK_STANDS_US (UINT64_C(3600) * 1000000)

enum wall_clock_news {
	WALL_CLOCK_AS_BEFORE,
	WALL_CLOCK_AHEAD,     /* doubted from now on */
	WALL_CLOCK_BEHIND,    /* was set back, or was lost */
	WALL_CLOCK_RIGHT,     /* agrees again, and no longer is either */
	WALL_CLOCK_CONFIRMED, /* as it is; from now on it is what is believed */
};

struct wall_clock {
	uint64_t wall_us, boot_us; /* one instant by both clocks, which is believed */
	uint64_t looked_us;	   /* the last look: CLOCK_BOOTTIME */
	int64_t apart_us;	   /* how far ahead it was found to be; 0: it agrees */
	uint64_t apart_wall_us, apart_boot_us; /* since when */
};

/*
 * At a start. first_end_us: the first end that a token of the store has come to, and is in it as
 * active (UINT64_MAX: none): an agent that was there would have seen to it. last_us: when the
 * store was last changed (0: never).
 */
void wall_clock_start(struct wall_clock *w, uint64_t wall_us, uint64_t boot_us,
		      uint64_t first_end_us, uint64_t last_us);

/* A look at both clocks. synchronized_us: when the clock was last synchronised (0: never). */
enum wall_clock_news wall_clock_look(struct wall_clock *w, uint64_t wall_us, uint64_t boot_us,
				     uint64_t synchronized_us);

/* As the last look found it. */
static inline bool wall_clock_is_doubted(const struct wall_clock *w)
{
	return w->apart_us > 0;
}
