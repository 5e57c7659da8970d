/*
 * protocol/map-hash.h - SHA-256 of a token's secret, as the map has it. The library links nothing
 * but libc, and this is half of what a verification costs.
 */
#pragma once

#include <stdint.h>

#include "protocol/map.h"
#include "protocol/token.h"

/*
 * A way to hash the 43 digits of a secret. The words of *ret are the hash's bytes as they lie. Takes
 * the same time for all secrets, and leaves none of their digits on the stack.
 */
struct map_hash {
	void (*of)(const char secret[static TOKEN_SECRET_LEN], uint64_t ret[static MAP_HASH_WORDS]);
};

/* The fastest way that this processor knows. Asks the processor, which takes its time. */
struct map_hash map_hash_pick(void);

/* The way that every processor knows. */
struct map_hash map_hash_portable(void);
