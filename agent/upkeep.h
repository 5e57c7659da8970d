/*
 * agent/upkeep.h - what the agent does by itself: tokens that come to their end, last uses,
 * accounts, and policies read anew.
 */
#pragma once

#include "agent/agent.h"

struct pending;

/* Timers. 0 or a negative errno. */
int upkeep_init(struct agent *a) MUST_USE;
void upkeep_done(struct agent *a);

/* After each change of the vault: the next token to end may be another. */
void upkeep_vault_changed(struct agent *a);

/*
 * Looks whether the clock is to be believed (wall-clock.h), and logs what is new of that. While it
 * is not, nothing ends by itself, and nothing is forgotten.
 */
bool upkeep_believes_clock(struct agent *a);

/* Ends what has come to its end by now, without waiting for the timer. */
void upkeep_sweep(struct agent *a);
