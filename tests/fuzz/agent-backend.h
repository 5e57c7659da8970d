/*
 * tests/fuzz/agent-backend.h - the store's rows in memory, in place of store-sqlite.c: they outlive
 * the agent, and can be made to fail.
 */
#pragma once

#include <stdbool.h>

/* Where it fails. */
enum backend_step { BACKEND_BEGIN, BACKEND_WRITE, BACKEND_COMMIT, BACKEND_RENEW, BACKEND_STEPS };

struct backend_fault {
	bool steps[BACKEND_STEPS];
	bool for_ever; /* else the next of them only */
	bool breaks;   /* nothing more may be written before a renewal */
	int error;     /* negative errno */
};

/* All zeros: nothing fails. */
void backend_set_fault(const struct backend_fault *fault);

/* An empty disk. */
void backend_wipe(void);

/*
 * What is committed now is what there will be after backend_fall_back(): a power cut between the
 * two.
 */
void backend_remember(void);
void backend_fall_back(void);
