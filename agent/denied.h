/*
 * agent/denied.h - tokens that an administrator revoked while the store could not keep it: dead for
 * as long as this agent runs, with all that was derived from them; and after it, where there is a
 * place to note it (carried.h).
 */
#pragma once

#include "agent/agent.h"

/* Denies the token of this id. */
void denied_add(struct agent *a, uint64_t id);

/* The same of one that was noted by an agent before. */
void denied_found(struct agent *a, uint64_t id);

bool is_denied(const struct agent *a, token_ref ref);

void denied_done(struct agent *a);
