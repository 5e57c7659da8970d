/*
 * protocol/map-hold.h - the map that a verifier has, for any number of threads to look up in, while
 * one thread gets it, lets go of it, and collects what it was used for.
 */
#pragma once

#include "protocol/map-read.h"

struct map_hold;

/* Makes one that has no map. Returns 0 or -ENOMEM. */
int map_hold_new(struct map_hold **ret) MUST_USE;

/* Nobody is in a call. What was not collected is lost. */
void map_hold_free(struct map_hold *hold);

/* ---- any thread ---- */

/* As map_verify(), and notes the use. False also where there is no map. No call into the kernel. */
bool map_hold_verify(struct map_hold *hold, struct span value, const char *const *scopes,
		     struct map_found *ret) MUST_USE;

/* As map_view_state(); MAP_RETIRED also where there is no map. */
enum map_state map_hold_state(struct map_hold *hold) MUST_USE;

/* How often map_hold_verify() said yes. */
uint64_t map_hold_count(struct map_hold *hold) MUST_USE;

/* ---- one thread at a time ---- */

/*
 * Takes a map, where there is none. fd is the caller's, and may be closed afterwards. Returns 0;
 * -EBADMSG (no map, or one that could shrink); -EPROTONOSUPPORT (another format); or another errno.
 */
int map_hold_put(struct map_hold *hold, int fd) MUST_USE;

/*
 * Lets go of the map, where there is one: when this returns, nobody looks at it. What it was used
 * for can still be collected.
 */
void map_hold_drop(struct map_hold *hold);

/* A token, how often it was found good, and when that was last, in whole seconds. */
struct map_use {
	uint64_t id;
	uint64_t count;
	uint64_t last_us;
};

/*
 * Takes up to max of the uses since they were last taken, but of tokens that have made room for
 * another meanwhile. Gives how many; less than max: that was
 * all. One token may come several times.
 */
size_t map_hold_collect(struct map_hold *hold, struct map_use uses[], size_t max) MUST_USE;

/* Puts uses back, to be collected again; where there is no memory for them they are lost. */
void map_hold_put_back(struct map_hold *hold, const struct map_use uses[], size_t n);
