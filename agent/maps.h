/*
 * agent/maps.h - the verifiers' maps that are given out, kept such that they say what Verify would.
 *
 * A map is of a view: of all peers that the policies tell the same. It is made when the first of
 * them asks, and filled bit by bit from the loop; what it does not have yet its readers ask for. From
 * then on the vault tells of each token that is or may soon be another, before anybody is told.
 */
#pragma once

#include "agent/request.h"
#include "agent/policy/map-rights.h"

enum {
	MAPS_MAX = 8, /* views */
};

/*
 * The map of these rights, by a new descriptor that is the caller's. Returns 0 with *ret_fd; -EAGAIN:
 * its memory is being taken, and the call will be dispatched again (DISPATCH_LATER); -EUSERS (there
 * are MAPS_MAX); -ENOSPC (all of them would take more than MemoryLimit=, or than the system has); or
 * another errno.
 */
int maps_get(struct request *req, const struct map_rights *rights, int *ret_fd) MUST_USE;

/*
 * Whether the map of these rights says anything of the token, or would if it were there: whether
 * who has the map can have verified it by that.
 */
bool maps_would_tell(struct agent *a, const struct map_rights *rights, token_ref ref);

/* What all maps say rests on what is no more so: they are retired. Before anybody is told. */
void maps_retire(struct agent *a);

/* Something is known of an account for the first time. */
void maps_names_known(struct agent *a);

/* The agent is locked or unlocked, or the clock is believed or not. */
void maps_state_changed(struct agent *a);

/* That peer still has its map. */
void maps_in_use(struct agent *a, const struct map_rights *rights);

/* Takes all down. */
void maps_done(struct agent *a);
