/*
 * agent/pool.c - locked buffers of one size.
 *
 * Free ones are chained through their first word, so a pool costs nothing beside its buffers; that
 * word is zeroed when a buffer is handed out. Buffers never move and are never given back before
 * the pool is done.
 */
#include "agent/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

enum { BUF_ALIGN = 64 };

int pool_init(struct pool *p, struct secretmem *mem, size_t buf_size, size_t max_buffers,
	      size_t step)
{
	struct region region;
	size_t size, total;
	int k;

	assert(buf_size > 0 && buf_size < SIZE_MAX - BUF_ALIGN && max_buffers > 0 && step > 0);
	size = (buf_size + BUF_ALIGN - 1) / BUF_ALIGN * BUF_ALIGN;
	if (__builtin_mul_overflow(size, max_buffers, &total))
		return -ENOMEM;
	k = region_init(&region, mem, total);
	if (k < 0)
		return k;
	*p = (struct pool){ .region = region, .buf_size = size, .max = max_buffers, .step = step };
	return 0;
}

/* Makes room for one more buffer, and for the rest of a step where that can be had. */
static int pool_grow(struct pool *p)
{
	size_t left = p->max - p->n_made;
	size_t step = left < p->step ? left : p->step;
	int k;

	if (left == 0)
		return -ENOSPC;
	if (p->region.size / p->buf_size > p->n_made)
		return 0; /* rounding up to pages left room for one */
	k = region_grow(&p->region, (p->n_made + step) * p->buf_size - p->region.size);
	if (k < 0 && step > 1)
		k = region_grow(&p->region, (p->n_made + 1) * p->buf_size - p->region.size);
	return k;
}

char *pool_get(struct pool *p)
{
	char *buf = p->free;

	if (buf) {
		memcpy(&p->free, buf, sizeof(p->free));
		memset(buf, 0, sizeof(p->free));
	} else {
		if (pool_grow(p) < 0)
			return NULL;
		buf = p->region.base + p->n_made++ * p->buf_size;
	}
	p->n_used++;
	return buf;
}

void pool_put(struct pool *p, char *buf)
{
	if (!buf)
		return;
	assert(p->n_used > 0);
	memcpy(buf, &p->free, sizeof(p->free));
	p->free = buf;
	p->n_used--;
}

void pool_wipe_free(struct pool *p)
{
	void *next;

	for (char *buf = p->free; buf; buf = next) {
		memcpy(&next, buf, sizeof(next));
		secret_wipe(buf + sizeof(next), p->buf_size - sizeof(next));
	}
}

void pool_done(struct pool *p)
{
	region_done(&p->region);
	*p = (struct pool){};
}
