/*
 * protocol/client-memory.c
 *
 * Pages of their own, not the heap: locks and MADV_DONTDUMP work on pages, and the library can't
 * say what else of the program's shares one. Buffers begin as parts of one page, since nearly all that
 * is said fits it. A child sees zeros rather than nothing, so that a pointer that it holds is no
 * crash.
 *
 * Invariant: in every chunk all bytes from used[] on are zero.
 */
#include "protocol/client-memory.h"

#include <errno.h>
#include <stdalign.h>
#include <sys/mman.h>

enum { CHUNK_MIN = LOCKED_PAGE };

static void *map_pages(size_t size, int more)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | more, -1, 0);
}

int locked_map(struct locked *ret, size_t size)
{
	void *p;

	size = (size + LOCKED_PAGE - 1) & ~(size_t)(LOCKED_PAGE - 1);
	/* Locked from the start, it is never of one piece with what lies beside it, to be cut off from that. */
	p = map_pages(size, MAP_LOCKED);
	if (p == MAP_FAILED)
		p = map_pages(size, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	/* Each as far as this kernel allows. */
	(void)madvise(p, size, MADV_DONTDUMP);
	(void)madvise(p, size, MADV_WIPEONFORK);
	*ret = (struct locked){ .p = p, .size = size };
	return 0;
}

struct locked locked_part(const struct locked *of, size_t at, size_t size)
{
	return (struct locked){ of->p + at, size, .is_lent = true };
}

void locked_unmap(struct locked *l, size_t used)
{
	if (!l->p)
		return;
	explicit_bzero(l->p, used);
	if (!l->is_lent)
		munmap(l->p, l->size);
	*l = (struct locked){ .p = NULL };
}

static int add_chunk(struct client_arena *arena, size_t n)
{
	size_t size = CHUNK_MIN;
	int r;

	if (arena->n == ARRAY_SIZE(arena->chunk))
		return -ENOMEM;
	if (arena->n > 0)
		size = arena->chunk[arena->n - 1].size * 2;
	r = locked_map(&arena->chunk[arena->n], n > size ? n : size);
	if (r < 0)
		return r;
	arena->used[arena->n++] = 0;
	return 0;
}

void *client_arena_get(struct client_arena *arena, size_t n)
{
	size_t *used;
	char *p;

	n = (n + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (arena->n == 0 || arena->chunk[arena->n - 1].size - arena->used[arena->n - 1] < n)
		if (add_chunk(arena, n) < 0)
			return NULL;
	used = &arena->used[arena->n - 1];
	p = arena->chunk[arena->n - 1].p + *used;
	*used += n;
	return p;
}

char *client_arena_text(struct client_arena *arena, struct span text)
{
	char *p = client_arena_get(arena, text.n + 1);

	if (p && text.n > 0)
		memcpy(p, text.p, text.n);
	return p;
}

static void drop_chunks(struct client_arena *arena, unsigned keep)
{
	while (arena->n > keep) {
		arena->n--;
		locked_unmap(&arena->chunk[arena->n], arena->used[arena->n]);
	}
}

void client_arena_reset(struct client_arena *arena)
{
	drop_chunks(arena, 1);
	if (arena->n == 0)
		return;
	explicit_bzero(arena->chunk[0].p, arena->used[0]);
	arena->used[0] = 0;
}

void client_arena_done(struct client_arena *arena)
{
	drop_chunks(arena, 0);
}
