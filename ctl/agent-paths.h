/* ctl/agent-paths.h - where an agent that was started with paths of its own has them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * What stands behind an option, such as "--policy", on the command line of the agent that listens
 * at this socket; a path that is not absolute is made so. False where there is none: no such
 * option, no agent, one that the service manager gave its socket, one of another user than root,
 * `jeton` and the caller, or one whose command line can't be read.
 */
bool agent_path(const char *socket, const char *option, char *dst, size_t size);
