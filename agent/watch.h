/*
 * agent/watch.h - those who watch what happens, as others see them: woken when there is something
 * new. The rest is method-watch.c's.
 */
#pragma once

#include "agent/agent.h"

/* 0 or a negative errno. */
int watch_init(struct agent *a) MUST_USE;
void watch_done(struct agent *a);

/*
 * Events have come: whoever watches is told of them in the next turn of the loop, after the answers
 * to those who made the changes.
 */
void watch_wake(struct agent *a);

/* Others have come into force: an event tells of it, now or once it can be kept. */
void watch_reloaded(struct agent *a);
