/* agent/pool.h - locked buffers of one size, handed out and taken back. */
#pragma once

#include "agent/secretmem.h"

/*
 * Buffers of one size, from a region of their own. Growing happens in steps; what was grown is
 * kept.
 */
struct pool {
	struct region region;
	size_t buf_size;
	size_t max;    /* buffers, at most */
	size_t step;   /* buffers a growth */
	size_t n_used; /* handed out */
	size_t n_made;
	void *free; /* chain through the first word of each free one */
};

/*
 * At most max_buffers of buf_size (rounded up to 64) bytes. Nothing is locked until the first
 * pool_get(). 0 or -ENOMEM.
 */
int pool_init(struct pool *p, struct secretmem *mem, size_t buf_size, size_t max_buffers,
	      size_t step) MUST_USE;

/*
 * A buffer, or NULL where the pool or the limit on locked memory is used up. Its content is all
 * zeros, or whatever its last user left unwiped.
 */
char *pool_get(struct pool *p) MUST_USE;

/* The caller has wiped it. NULL is fine. */
void pool_put(struct pool *p, char *buf);

/* Wipes what the last users of free buffers may have left in them. */
void pool_wipe_free(struct pool *p);

/* Wipes and gives back all of it, what is still handed out included. */
void pool_done(struct pool *p);
