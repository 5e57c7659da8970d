/*
 * ctl/changes.h - whether held credentials that were fetched have been put anew since, across
 * restarts of the agent.
 */
#pragma once

#include "ctl/gift.h"

struct changes {
	const struct gifts *gifts; /* as they were fetched last */
	struct jeton *watch;	   /* NULL: none stands */
	uint64_t retry_us;	   /* when to try again to watch; UINT64_MAX: not at all */
	uint64_t wait_us;	   /* how long the last try was put off; 0: it stood */
	bool told;		   /* that it can't be watched */
};

void changes_init(struct changes *c, const struct gifts *gifts);
void changes_done(struct changes *c);

/* Starts to watch, once the gifts were fetched, where any of them is held. Harmless again. */
void changes_start(struct changes *c);

/* What to poll for POLLIN: a descriptor or -1. */
int changes_fd(const struct changes *c);

/*
 * Takes what has come, and tries again to watch where the time has come (clock as of retry_us).
 * Never waits for long. Returns whether it is time to look.
 */
bool changes_pump(struct changes *c, uint64_t now_us, uint64_t random);

/*
 * Whether any has another revision than was fetched: 1 or 0; or -1 where the agent did not say.
 */
int changes_look(const struct changes *c) MUST_USE;
