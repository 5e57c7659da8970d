/*
 * tests/fuzz/agent-threads.h - the agent's threads as coroutines of one thread: who runs, and for
 * how long, is the target's to say, and the same input gives the same order every time.
 */
#pragma once

#include <stdbool.h>

/* From here on to threads_end(), pthread_create() makes a coroutine. */
void threads_begin(void);
/* All must be over by now. */
void threads_end(void);

/* Each has a turn, until it waits. A store that is held has none. Not from within a coroutine. */
void threads_run(void);

/* The store's thread stands still until it is let go, or until somebody waits for it for good. */
void threads_hold_store(bool held);
