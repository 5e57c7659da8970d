/* ctl/owners.h - whose tokens a backup holds, and who of them is not on this host. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

struct owner_seen {
	char *name;
	uint64_t n_active;
};

/* By name. All zeros: nobody yet. */
struct owners {
	struct owner_seen *all;
	size_t n, room;
	bool is_short; /* of memory: some are missing */
};

/* One more active token of this owner (n 0: one without a name, who is not counted). */
void owners_add(struct owners *o, struct span name);

/* Leaves those that this host has no account for. */
void owners_keep_missing(struct owners *o);

void owners_done(struct owners *o);
