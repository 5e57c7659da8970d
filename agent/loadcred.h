/*
 * agent/loadcred.h - the socket on which systemd itself asks for a unit:
 * LoadCredential=NAME:/run/jeton/credential.sock.
 *
 * There is no protocol: the client's own address says which unit and which credential (NUL, random
 * digits, "/unit/UNIT/NAME"), the answer is the value and the end. Anyone can bind such an address,
 * so it counts only of a client that is the manager (uid 0, or the user of a user's own agent) and
 * already in that very unit's control group.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent/agent.h"

/* What an address asks for. Both point into it. Pure. False where it is none of systemd's. */
bool loadcred_parse(const char *address, size_t n, struct span *ret_unit,
		    struct span *ret_credential);

/* Takes over the descriptor of a client, and answers it. */
void loadcred_take(struct agent *a, int fd);

/* Whether values are on their way; and an end to that: their units fail, as if refused. */
bool loadcred_holds_values(const struct agent *a);
void loadcred_drop_values(struct agent *a);

/* Closes those that are still being answered. */
void loadcred_done(struct agent *a);
