/*
 * agent/outbox.h - replies of one turn of the loop, to many connections, that are sent together at its end. Who is sent a
 * reply wakes up at once, and where it shares a processor with the agent it takes its place: so all are answered first.
 */
#pragma once

#include "agent/connection.h"

/* agent->out is empty, behind what waits here. */
void outbox_begin_out(struct agent *a);

/*
 * Takes what is in agent->out, which is the connection's, and begins it anew. False, with nothing done, where there is no
 * room, or where it has what must not lie about: a value, a descriptor. Where there is nothing, that is true.
 */
bool outbox_put(struct connection *c) MUST_USE;

/* Whether it had better be sent now. */
bool outbox_is_full(const struct agent *a);

/* Sends all of it. Closes none of these connections: one that can't be sent to gets another turn, and is closed in it. */
void outbox_send(struct agent *a);

/* Before the connection ends: sends what its socket takes of what waits here for it. */
void outbox_forget(struct connection *c);
