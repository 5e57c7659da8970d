/*
 * agent/loop.h - what the agent's thread does next: connections, which are many and quick, beside sd-event's sources,
 * which are few.
 */
#pragma once

#include "agent/agent.h"

struct connection;

/* After a->event is there. 0 or a negative errno; loop_done() in either case, after all connections. */
int loop_init(struct agent *a) MUST_USE;
void loop_done(struct agent *a);

/*
 * Has connection_ready() called whenever something is new of the connection: bytes or an end, or, if `out`, room for
 * replies. loop_watch_out() changes the latter. 0 or a negative errno.
 */
int loop_watch(struct connection *c) MUST_USE;
int loop_watch_out(struct connection *c, bool out) MUST_USE;

/* Nothing of this connection is told any more, what was found already included. */
void loop_forget(struct connection *c);

/*
 * One turn: waits for something to do if `wait`, and does it. What is due: of sd-event's sources one, all connections
 * that are ready, and a round of those that wait for a turn (agent/turns.h). Returns 1; 0: there was nothing to do; or a
 * negative errno.
 */
int loop_turn(struct agent *a, bool wait) MUST_USE;

/* Turns until sd_event_exit(). 0 or a negative errno. */
int loop_run(struct agent *a) MUST_USE;
