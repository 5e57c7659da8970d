/*
 * agent/arena.h - pieces of a few bytes to 8 KiB in one space, named by 32-bit references.
 */
#pragma once

#include "agent/space.h"

enum {
	REF_UNIT = 8, /* a reference counts so many bytes from the start of a space; 0 is none */
	ARENA_BLOCK = 16 * 1024,
	ARENA_CLASSES = 94,
	ARENA_PIECE_MAX = 8184,
};

/* Where a reference of a space leads. */
static inline void *ref_at(const char *base, uint32_t ref)
{
	return (void *)(base + (size_t)ref * REF_UNIT);
}

struct arena {
	struct space space;
	uint32_t n_blocks;		 /* that were ever made of the space */
	uint32_t free_blocks;		 /* chain of those that no class has; number + 1 */
	uint32_t partial[ARENA_CLASSES]; /* chains of blocks with room; number + 1 */
};

/*
 * An empty arena of at most `limit` bytes that has its first `first` bytes already. Returns 0;
 * -ENOMEM where even these can't be had.
 */
int arena_init(struct arena *a, struct secretmem *mem, struct budget *budget, size_t limit,
	       size_t first) MUST_USE;

void arena_done(struct arena *a);

/* A piece of n bytes (1 to ARENA_PIECE_MAX), aligned to 8, all zeros; 0 where the arena is full. */
uint32_t arena_alloc(struct arena *a, size_t n) MUST_USE;

/* Wipes the piece and takes it back. 0 is fine. */
void arena_free(struct arena *a, uint32_t ref);

/* Where the piece is; it stays there until it is freed. */
static inline void *arena_at(const struct arena *a, uint32_t ref)
{
	return ref_at(a->space.region.base, ref);
}
