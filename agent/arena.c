/*
 * agent/arena.c - an allocator of small pieces by size classes.
 *
 * The space is cut into blocks of 16 KiB. A block belongs to one class, all its pieces have one
 * size, and it is given back when its last piece is, so what many small tokens held can later hold
 * a few large ones. Sizes go by 8 bytes up to 512, above by how many fit a block. A piece costs
 * nothing beside itself but its share of a header of 16 bytes.
 *
 * Invariant: a block is in its class's chain exactly while it has room and a piece in use; a block
 * of no class is in free_blocks.
 */
#include "agent/arena.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum { FINE_CLASSES = 512 / REF_UNIT };

struct block {
	uint32_t next, prev; /* in the class's chain, or in that of free ones; number + 1 */
	uint16_t kind;	     /* its class */
	uint16_t n_used;
	uint16_t free;	   /* chain through freed pieces; units from the block's start */
	uint16_t n_carved; /* pieces that were ever handed out */
};

enum { BLOCK_ROOM = ARENA_BLOCK - sizeof(struct block) };

_Static_assert(sizeof(struct block) == 16, "the header is as small as the comment says");
_Static_assert(ARENA_PIECE_MAX == BLOCK_ROOM / 2, "two of the largest fit a block");

static unsigned class_of(size_t n)
{
	size_t units = (n + REF_UNIT - 1) / REF_UNIT;

	if (units <= FINE_CLASSES)
		return (unsigned)units - 1;
	/* Of whole units, so that as many fit as the class, which is of whole units too, says. */
	return FINE_CLASSES + 31 - (unsigned)(BLOCK_ROOM / (units * REF_UNIT));
}

static size_t class_size(unsigned kind)
{
	if (kind < FINE_CLASSES)
		return (kind + 1) * (size_t)REF_UNIT;
	return BLOCK_ROOM / (FINE_CLASSES + 31 - kind) / REF_UNIT * REF_UNIT;
}

static struct block *block_at(const struct arena *a, uint32_t number)
{
	return (struct block *)(void *)(a->space.region.base + (size_t)number * ARENA_BLOCK);
}

int arena_init(struct arena *a, struct secretmem *mem, struct budget *budget, size_t limit,
	       size_t first)
{
	struct arena arena = {};
	/* What a reference can name. */
	size_t most = (size_t)UINT32_MAX * REF_UNIT;
	int k = space_init(&arena.space, mem, budget, limit < most ? limit : most, first);

	if (k < 0)
		return k;
	if (space_need(&arena.space, first) < 0) {
		space_done(&arena.space);
		return -ENOMEM;
	}
	*a = arena;
	return 0;
}

void arena_done(struct arena *a)
{
	space_done(&a->space);
	*a = (struct arena){};
}

static void chain_add(struct arena *a, uint32_t *head, uint32_t number)
{
	struct block *b = block_at(a, number);

	b->prev = 0;
	b->next = *head;
	if (*head)
		block_at(a, *head - 1)->prev = number + 1;
	*head = number + 1;
}

static void chain_remove(struct arena *a, uint32_t *head, uint32_t number)
{
	struct block *b = block_at(a, number);

	if (b->prev)
		block_at(a, b->prev - 1)->next = b->next;
	else
		*head = b->next;
	if (b->next)
		block_at(a, b->next - 1)->prev = b->prev;
}

/* A block of no class. False where there is none and none can be made. */
static bool take_block(struct arena *a, uint32_t *ret)
{
	if (a->free_blocks) {
		*ret = a->free_blocks - 1;
		chain_remove(a, &a->free_blocks, *ret);
		return true;
	}
	if (space_need(&a->space, ((size_t)a->n_blocks + 1) * ARENA_BLOCK) < 0)
		return false;
	*ret = a->n_blocks++;
	return true;
}

static bool add_block(struct arena *a, unsigned kind)
{
	uint32_t number;

	if (!take_block(a, &number))
		return false;
	*block_at(a, number) = (struct block){ .kind = (uint16_t)kind };
	chain_add(a, &a->partial[kind], number);
	return true;
}

static bool block_is_full(const struct block *b)
{
	return !b->free && b->n_carved == BLOCK_ROOM / class_size(b->kind);
}

/* A piece of a block that has room, zeroed. */
static char *take_piece(struct block *b)
{
	size_t size = class_size(b->kind);
	char *piece;

	if (b->free) {
		piece = (char *)b + (size_t)b->free * REF_UNIT;
		memcpy(&b->free, piece, sizeof(b->free));
	} else {
		piece = (char *)b + sizeof(*b) + b->n_carved++ * size;
	}
	b->n_used++;
	return memset(piece, 0, size);
}

uint32_t arena_alloc(struct arena *a, size_t n)
{
	unsigned kind;
	struct block *b;
	uint32_t number;
	char *piece;

	assert(n > 0 && n <= ARENA_PIECE_MAX);
	kind = class_of(n);
	if (!a->partial[kind] && !add_block(a, kind))
		return 0;
	number = a->partial[kind] - 1;
	b = block_at(a, number);
	piece = take_piece(b);
	if (block_is_full(b))
		chain_remove(a, &a->partial[kind], number);
	return (uint32_t)((size_t)(piece - a->space.region.base) / REF_UNIT);
}

void arena_free(struct arena *a, uint32_t ref)
{
	uint32_t number = ref / (ARENA_BLOCK / REF_UNIT);
	struct block *b;
	char *piece;
	bool was_full;

	if (!ref)
		return;
	b = block_at(a, number);
	piece = arena_at(a, ref);
	assert(b->n_used > 0);
	was_full = block_is_full(b);
	secret_wipe(piece, class_size(b->kind));
	memcpy(piece, &b->free, sizeof(b->free));
	b->free = (uint16_t)(ref % (ARENA_BLOCK / REF_UNIT));
	b->n_used--;
	if (was_full)
		chain_add(a, &a->partial[b->kind], number);
	if (b->n_used == 0) {
		chain_remove(a, &a->partial[b->kind], number);
		chain_add(a, &a->free_blocks, number);
	}
}
