/* agent/space.h - a region that grows by itself, in steps, within a budget that several share. */
#pragma once

#include "agent/secretmem.h"

/* Bytes of locked memory that all spaces of a vault may have together. */
struct budget {
	size_t limit;
	size_t used;
};

struct space {
	struct region region;
	struct budget *budget; /* NULL: not counted */
	size_t step;	       /* the least growth */
};

/*
 * An empty space that can become `reserve` bytes at most. mem and budget NULL: ordinary memory. 0
 * or -ENOMEM.
 */
int space_init(struct space *s, struct secretmem *mem, struct budget *budget, size_t reserve,
	       size_t step) MUST_USE;

/*
 * Makes at least `size` bytes usable, all in all; a whole step where that can be had. New bytes are
 * zeros.
 * Returns 0 or -ENOSPC: the budget, the reservation, the limit on locked memory or memory itself is
 * used up.
 */
int space_need(struct space *s, size_t size) MUST_USE;

void space_done(struct space *s);
