/*
 * agent/map.h - one verifier's map (protocol/map.h) as its writer has it. It knows no vault and no
 * policy: what stands in it is what it was given.
 *
 * All of it is the thread's that made it, which the kernel declares dead in the map when it dies.
 */
#pragma once

#include "agent/token-facts.h"
#include "protocol/map.h"

struct map;

/*
 * Makes a map of so many slots (a power of two, MAP_SLOTS_MIN to MAP_SLOTS_MAX) and so many bytes of
 * text (a multiple of 64), that has no memory yet. Returns 0 with what is the caller's, for
 * map_free(); or a negative errno.
 */
int map_new(uint64_t n_slots, uint64_t text_bytes, struct map **ret) MUST_USE;

/*
 * Gives it up to so many bytes more of its memory, all of which it must have before anything else is
 * asked of it. Returns 1: it has, is sealed, and says MAP_ASK; 0: some is missing; or a negative
 * errno: there is none.
 */
int map_fill(struct map *m, uint64_t bytes) MUST_USE;
bool map_is_whole(const struct map *m);

/* All the memory that it takes. */
uint64_t map_size(const struct map *m);

/* A new descriptor by which it can be read and nothing else; the caller's. Or a negative errno. */
int map_open(const struct map *m) MUST_USE;

/* MAP_GOOD or MAP_ASK; and that its writer lives. */
void map_set_state(struct map *m, enum map_state state);
void map_beat(struct map *m, uint64_t monotonic_us);

/* For ever of no use: readers are told so. All that may be done with it then is to free it. */
void map_retire(struct map *m);

/*
 * Frees up to so many bytes (a multiple of 64 KiB) more of a map that is retired. True: there is
 * nothing left of it.
 */
bool map_free_some(struct map *m, uint64_t bytes) MUST_USE;

/* Both, at once. NULL is fine. */
void map_free(struct map *m);

/* ---- tokens ---------------------------------------------------------------------------------- */

struct map_token {
	uint64_t id;
	uint64_t expires_us;
	const uint8_t *hash; /* TOKEN_HASH_LEN bytes */
	struct span access;  /* scopes, each with a NUL behind it; 1 to MAP_ACCESS_MAX bytes */
};

/*
 * The map says this of the token from now on. False: it has no room, and says nothing of it.
 */
bool map_enter(struct map *m, const struct map_token *token) MUST_USE;

/* The map says nothing of the token from now on, if it did. */
void map_leave(struct map *m, uint64_t id);

bool map_has(const struct map *m, uint64_t id);
uint64_t map_n_tokens(const struct map *m);
uint64_t map_n_text(const struct map *m); /* bytes that these tokens' accesses take */

/* It is time for another: too many slots or too much of the text are used up. */
bool map_is_crowded(const struct map *m);
