/*
 * agent/map-owner.h - the thread that a verifier's map belongs to, as the kernel knows it: the robust
 * mutex whose futex stands in the map's head (protocol/map.h).
 */
#pragma once

#include "protocol/map.h"

struct map_owner {
	char *head; /* a mapping of the head; behind it, memory that no reader has */
	bool is_taken;
};

/*
 * Maps the head of a map a second time. fd is the caller's, and may be written to. Returns 0 with
 * what map_owner_done() takes down, or a negative errno.
 */
int map_owner_init(struct map_owner *o, int fd) MUST_USE;

/*
 * The map belongs to the calling thread, until that ends or calls map_owner_done(). Returns 0 or a
 * negative errno.
 */
int map_owner_take(struct map_owner *o) MUST_USE;

/* The map belongs to nobody. Of one that was never initialized, and is all zero, nothing is done. */
void map_owner_done(struct map_owner *o);
