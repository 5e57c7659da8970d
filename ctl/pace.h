/*
 * ctl/pace.h - when to act on a change, so that many commands that were given the same credential
 * do not all act at once, nor one of them again and again. Pure: instants are any clock's, µs;
 * `random` is any number, drawn anew for each call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct pace {
	uint64_t due_us;    /* when to act; PACE_NEVER: there is nothing to do */
	uint64_t acted_us;  /* the last time; 0: never */
	uint64_t pause_us;  /* that lie between two times at least */
	uint64_t failed_us; /* how long it was put off after the last failure; 0: there was none */
};

#define PACE_NEVER UINT64_MAX

void pace_init(struct pace *p);

/*
 * There is something to do: it is due a moment later, between half a second and two and a half, and
 * not before the pause since the last time is over. What comes up to then is done with it.
 */
void pace_wanted(struct pace *p, uint64_t now_us, uint64_t random);

/* It was done: nothing is due. */
void pace_acted(struct pace *p, uint64_t now_us);

/* There was nothing to do after all, or it was done with something else: nothing is due. */
void pace_dropped(struct pace *p);

/* It could not be done: due again after a while, that doubles from one to 30 seconds and more. */
void pace_failed(struct pace *p, uint64_t now_us, uint64_t random);

/*
 * When to fetch anew what was fetched at now_us and lives that long: after about two thirds of it,
 * three fifths at the earliest.
 */
uint64_t pace_renewal_us(uint64_t now_us, uint64_t life_us, uint64_t random);
