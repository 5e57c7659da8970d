/*
 * protocol/client-memory.h - memory for secrets in a program that is not ours: locked where the
 * limits let us, in no core dump, zero in a child, wiped before it goes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/* Whole pages of their own, or a part of such. p is NULL where there are none. */
struct locked {
	char *p;
	size_t size;
	bool is_lent; /* a part of another's, which gives the pages back */
};

/* The least that is locked. */
enum { LOCKED_PAGE = 4096 };

/*
 * Maps at least size bytes, all zero. That they could not be locked is no failure: a program's limit
 * may be 0. Returns 0 or -ENOMEM.
 */
int locked_map(struct locked *ret, size_t size) MUST_USE;

/* A part of another's, which is to end before that does. */
struct locked locked_part(const struct locked *of, size_t at, size_t size);

/*
 * Wipes the first `used` bytes, all that may hold something, and gives the pages back, unless they
 * are lent.
 */
void locked_unmap(struct locked *l, size_t used);

/*
 * What a reply gives, piece by piece, all to be wiped at once. Pieces never move: where one piece
 * of memory is full, another of at least twice its size is added.
 */
struct client_arena {
	struct locked chunk[12];
	size_t used[12];
	unsigned n; /* chunks there are; the last one is filled */
};

/* A piece of n bytes, aligned for any type, all zero. NULL where there is no memory. */
void *client_arena_get(struct client_arena *arena, size_t n) MUST_USE;

/* A copy of text and a NUL. NULL where there is no memory. */
char *client_arena_text(struct client_arena *arena, struct span text) MUST_USE;

/* Ends and wipes all pieces. One chunk is kept for the next. */
void client_arena_reset(struct client_arena *arena);

/* The same, and no chunk is kept. */
void client_arena_done(struct client_arena *arena);
