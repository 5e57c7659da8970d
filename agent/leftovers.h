/*
 * agent/leftovers.h - values that are on their way through the agent at the moment when it is
 * locked: they are let out, given up after a while, and wiped.
 */
#pragma once

#include "agent/agent.h"

/* Notes who holds bytes of a value at this moment. */
void leftovers_note(struct agent *a);

/* Whether any of those still do. Messages that Lock and Unlock came in don't count: see lock.h. */
bool leftovers_are_there(struct agent *a);

/* Closes those that still do: half a message that goes no further, replies that nobody reads. */
void leftovers_drop(struct agent *a);

/* Wipes what may be left in memory that is in nobody's use now. Between two turns of connections. */
void leftovers_wipe(struct agent *a);
