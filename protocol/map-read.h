/*
 * protocol/map-read.h - looking a token up in the verifier's map. docs/map-format.md has the
 * protocol. Nothing here writes to the map, allocates, or makes a system call.
 *
 * Whatever lies in the map, and whatever changes in it meanwhile: nothing outside of it is read, and
 * what can't be so is no answer.
 */
#pragma once

#include "protocol/map.h"

/* A map in this process's memory. Its sizes are taken from the head once, and not believed again. */
struct map_view {
	const struct map_head *head;
	const struct map_slot *slots;
	const char *text;
	uint64_t n_slots;
	uint64_t text_bytes;
};

/*
 * Looks at the head of a map of so many bytes, which must stay there, and as large, for as long as
 * *ret is used. Returns 0; -EBADMSG (no map, or not all of it is there); or -EPROTONOSUPPORT
 * (another format).
 */
int map_view_init(const void *map, uint64_t bytes, struct map_view *ret) MUST_USE;

/* What a token was found to be. */
struct map_found {
	uint64_t id;
	uint64_t expires_us;
	uint64_t now_us; /* the coarse clock's time, when it was good */
	uint64_t slot;	 /* where it stands */
};

/*
 * Whether the map says that this is good now, and reaches all of scopes (a list that ends with NULL;
 * or NULL: none). False says nothing but that the agent has to be asked.
 */
bool map_verify(const struct map_view *view, struct span value, const char *const *scopes,
		struct map_found *ret) MUST_USE;

/* The same, for who has had the slot where the search begins fetched already. */
bool map_verify_near(const struct map_view *view, struct span value, const char *const *scopes,
		     struct map_found *ret) MUST_USE;

/*
 * What the map is worth now: MAP_GOOD; MAP_ASK, also where its writer has not beaten for too long;
 * MAP_RETIRED, also where its writer is dead.
 */
enum map_state map_view_state(const struct map_view *view) MUST_USE;
