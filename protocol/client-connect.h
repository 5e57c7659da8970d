/* protocol/client-connect.h - what client.c needs of the connection beside what client.h has. */
#pragma once

#include "protocol/client.h"

/* The instant timeout_ms from now, for the two below; -1 (for ever) stays -1. */
int64_t client_deadline(int timeout_ms);

/* What is left until then, in ms, 0 at least; -1: for ever. */
int client_rest_ms(int64_t deadline);

/* Waits until fd is ready for events, of poll(). Returns 0; -EAGAIN: too late; or another errno. */
int client_wait(int fd, short events, int64_t deadline) MUST_USE;

/*
 * Whether a connection kept from an earlier call can be used: it is open at the other end, and
 * nothing stands there that nobody asked for.
 */
bool client_is_quiet(const struct jeton *jeton);

/* Closes the descriptor that came with the last reply, where nobody took it. */
void client_drop_fd(struct jeton *jeton);
