/* agent/sandbox-walls.h - the two walls, by who is behind them. Inside of sandbox.c. */
#pragma once

#include "agent/sandbox.h"
#include "protocol/base/cleanup.h"

enum sandbox_part { SANDBOX_PROCESS, SANDBOX_STORE, SANDBOX_LOOP };

/* Of the calling thread: which system calls it may make. 0 or a negative errno: there is no wall. */
int sandbox_limit_calls(enum sandbox_part part, const struct sandbox *s) MUST_USE;

/* Of the calling thread: which files it may touch, and how. 0 or a negative errno: likewise. */
int sandbox_limit_files(enum sandbox_part part, const struct sandbox *s) MUST_USE;
