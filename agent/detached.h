/*
 * agent/detached.h - a thread that nobody waits for: the loop goes on, and what it has to itself is
 * all that it may touch.
 */
#pragma once

#include <stdbool.h>

#include "protocol/base/cleanup.h"

/* Starts run(userdata) with a small stack. False: no thread can be had. */
bool detached_start(void *(*run)(void *userdata), void *userdata) MUST_USE;
