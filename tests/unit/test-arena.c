/*
 * tests/unit/test-arena.c - pieces of the arena: apart from each other, zeroed, wiped, and all
 * usable again.
 */
#include <string.h>

#include "agent/arena.h"
#include "tests/unit/unit.h"

enum { PIECES = 3000 };

struct piece {
	uint32_t ref;
	size_t n;
	uint8_t fill;
};

static struct secretmem mem;
static struct budget budget;

static void init(struct arena *a, size_t limit)
{
	mem = (struct secretmem){};
	budget = (struct budget){ .limit = limit };
	ck_assert_int_eq(arena_init(a, &mem, &budget, limit, (size_t)256 * 1024), 0);
}

static void done(struct arena *a)
{
	arena_done(a);
	ck_assert_uint_eq(mem.locked, 0);
	ck_assert_uint_eq(budget.used, 0);
}

static bool is_filled(const struct arena *a, const struct piece *p)
{
	const uint8_t *bytes = arena_at(a, p->ref);

	for (size_t i = 0; i < p->n; i++)
		if (bytes[i] != p->fill)
			return false;
	return true;
}

static void fill(struct arena *a, struct piece *p)
{
	memset(arena_at(a, p->ref), p->fill, p->n);
}

/* Mostly small, now and then anything. */
static size_t random_size(uint64_t *seed)
{
	uint64_t most = unit_random(seed) % 20 ? 300 : ARENA_PIECE_MAX;

	return 1 + unit_random(seed) % most;
}

START_TEST(pieces_of_all_sizes_keep_what_is_written_to_them)
{
	static struct piece pieces[PIECES];
	struct arena a;
	uint64_t seed = 1;

	memset(pieces, 0, sizeof(pieces));
	init(&a, (size_t)6 * 1024 * 1024);
	for (int i = 0; i < 200000; i++) {
		struct piece *p = &pieces[unit_random(&seed) % PIECES];

		if (p->ref) {
			UNIT_CHECK(is_filled(&a, p), "a piece was written over");
			arena_free(&a, p->ref);
			p->ref = 0;
			continue;
		}
		*p = (struct piece){ .n = random_size(&seed) };
		p->ref = arena_alloc(&a, p->n);
		UNIT_CHECK(p->ref, "the arena is full");
		UNIT_CHECK(is_filled(&a, p), "a new piece is not zeroed");
		p->fill = (uint8_t)unit_random(&seed);
		fill(&a, p);
	}
	done(&a);
}
END_TEST

START_TEST(every_size_is_had)
{
	struct arena a;

	init(&a, (size_t)4 * 1024 * 1024);
	for (size_t n = 1; n <= ARENA_PIECE_MAX; n++) {
		uint32_t refs[3];

		for (int i = 0; i < 3; i++) {
			refs[i] = arena_alloc(&a, n);
			UNIT_CHECK(refs[i], "%zu", n);
			memset(arena_at(&a, refs[i]), 'x', n);
		}
		for (int i = 0; i < 3; i++)
			arena_free(&a, refs[i]);
	}
	arena_free(&a, 0);
	/* Nothing was in use at one time but three pieces, so nothing had to grow. */
	ck_assert_uint_eq(budget.used, (size_t)256 * 1024);
	done(&a);
}
END_TEST

static size_t fill_up(struct arena *a, size_t n, uint32_t *refs)
{
	size_t count = 0;

	while ((refs[count] = arena_alloc(a, n)))
		count++;
	return count;
}

START_TEST(what_one_size_held_another_can_hold)
{
	enum { LIMIT = 1024 * 1024 };
	static uint32_t refs[LIMIT / 8];
	static const size_t sizes[] = { 8, 144, 24, 512, 520, 4400, ARENA_PIECE_MAX, 8 };
	struct arena a;

	init(&a, LIMIT);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		size_t n = fill_up(&a, sizes[s], refs);

		/* All but a few in a hundred of the memory, however it was used before. */
		UNIT_CHECK(n * sizes[s] >= (size_t)LIMIT * 75 / 100, "%zu of %zu bytes", n,
			   sizes[s]);
		ck_assert_uint_le(budget.used, LIMIT);
		for (size_t i = 0; i < n; i++)
			arena_free(&a, refs[(i * 7919) % n]);
		if (n % 7919 == 0)
			break;
	}
	done(&a);
}
END_TEST

START_TEST(a_token_costs_little_more_than_its_bytes)
{
	enum { N = 5000 };
	struct arena a;

	init(&a, (size_t)4 * 1024 * 1024);
	for (int i = 0; i < N; i++)
		UNIT_CHECK(arena_alloc(&a, 141), "full");
	/* 144 and a share of headers and of what is left of each block. */
	ck_assert_uint_le((size_t)a.n_blocks * ARENA_BLOCK, (size_t)N * 146 + ARENA_BLOCK);
	done(&a);
}
END_TEST

START_TEST(freed_pieces_are_wiped)
{
	static const size_t sizes[] = { 9, 144, 1000, ARENA_PIECE_MAX };
	struct arena a;

	init(&a, (size_t)1024 * 1024);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct piece keep = { arena_alloc(&a, sizes[s]), sizes[s], 'k' };
		struct piece p = { arena_alloc(&a, sizes[s]), sizes[s], 's' };
		const struct region *r = &a.space.region;

		fill(&a, &keep);
		fill(&a, &p);
		ck_assert_ptr_nonnull(memmem(r->base, r->size, "sssssssss", 9));
		arena_free(&a, p.ref);
		ck_assert_ptr_null(memmem(r->base, r->size, "ss", 2));
		ck_assert(is_filled(&a, &keep));
		arena_free(&a, keep.ref);
	}
	done(&a);
}
END_TEST

UNIT_MAIN("arena", pieces_of_all_sizes_keep_what_is_written_to_them, every_size_is_had,
	  what_one_size_held_another_can_hold, a_token_costs_little_more_than_its_bytes,
	  freed_pieces_are_wiped)
