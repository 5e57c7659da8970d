/*
 * agent/restore-ownerless.h - the ended tokens of a backup that are left out because their owners
 * are no users of this host. They are among what is known here to have ended for as long as the
 * restore takes: none comes back by another entry of its id, whoever that says it belongs to.
 *
 * Ids only, in ordinary memory: there is nothing secret about them.
 */
#pragma once

#include "agent/index.h"

/* All zeros: none, and no memory is taken. */
struct ownerless {
	struct space nodes;
	struct index index;
};

/* 0 (it may be there already), -ENOMEM or -ENOSPC: no memory. */
int ownerless_add(struct ownerless *o, uint64_t id) MUST_USE;

bool ownerless_has(const struct ownerless *o, uint64_t id);

/* Gives back what it took; there are none then. */
void ownerless_done(struct ownerless *o);
