/*
 * tests/fuzz/agent-world.h - one agent in this process, from its start to its end, with its clock
 * and the clients that hang on it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/agent.h"
#include "tests/fuzz/agent-surround.h"

/* Sets of policies: [POLICY_WRONG] is none, and is refused. */
enum policies { POLICY_SOME, POLICY_LITTLE, POLICY_ALL, POLICY_WRONG };

enum { POLICIES = POLICY_WRONG + 1 };

struct agent_world {
	struct agent *agent;
	enum policies on_disk;	/* that a reload or a start reads */
	uint64_t fds_before[1]; /* descriptors that were open before, a bit each */
};

/* An empty store, at an instant of 2026. */
void world_begin(struct agent_world *w);
/*
 * Ends the agent and all there is, and holds that everything that it took is given back: memory,
 * descriptors, threads.
 */
void world_end(struct agent_world *w);

/* The agent's state directory. */
const char *world_state_dir(void);

/* Until nobody has anything to do. */
void world_settle(struct agent_world *w);

void world_advance(struct agent_world *w, uint64_t us);

/*
 * From what is in the store: after an orderly end, or as after a cut of the power at this moment.
 */
void world_restart(struct agent_world *w, bool orderly);

/* The time in the world, µs since the epoch. */
uint64_t world_now(void);

/* What w->on_disk says is what a reload reads from now on. */
void world_point_at(struct agent_world *w);

/* Which policies are in force; POLICY_WRONG: the agent refuses, or has none yet. */
enum policies world_policies(const struct agent_world *w);

/* Buffers are where bytes are, and nowhere else. */
void world_check_buffers(const struct agent_world *w);

/* With nobody connected and nothing under way: what calls have taken is back. */
void world_check_idle(struct agent_world *w);
