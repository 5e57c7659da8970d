/*
 * agent/denied.h - tokens that an administrator revoked while the store could not keep it: dead for
 * as long as this agent runs, with all that was derived from them.
 */
#pragma once

#include "agent/agent.h"

/* Denies the token of this id. */
void denied_add(struct agent *a, uint64_t id);

bool is_denied(const struct agent *a, token_ref ref);

void denied_done(struct agent *a);
