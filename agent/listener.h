/*
 * agent/listener.h - the agent's socket: given by systemd or made here, and the clients that come
 * in by it.
 */
#pragma once

#include "agent/agent.h"

/*
 * Takes the socket that systemd passed, or makes the one at paths.socket, and listens. A descriptor
 * that was passed and is no listening Unix stream socket is refused by name. Errors are logged. 0
 * or a negative errno.
 */
int listener_start(struct agent *a) MUST_USE;

/* Takes no more clients. A socket that was made here is removed. */
void listener_stop(struct agent *a);
