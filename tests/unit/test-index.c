/*
 * tests/unit/test-index.c - the index finds what it holds while it grows; labels are kept once and
 * while they are used.
 */
#include <stdio.h>
#include <string.h>

#include "agent/labels.h"
#include "tests/unit/unit.h"

enum { OBJECTS = 20000 };

struct object {
	uint32_t next;
	uint32_t number;
};

static struct secretmem mem;
static struct budget budget;

/* How many low bits of a hash differ: few make long chains. */
static uint64_t hash_mask;

static uint64_t hash_of_number(uint32_t number)
{
	return index_mix(number) & hash_mask;
}

static uint64_t hash_of(const void *object)
{
	return hash_of_number(((const struct object *)object)->number);
}

static uint32_t find(const struct index *ix, uint32_t number)
{
	uint32_t ref = index_first(ix, hash_of_number(number));

	while (ref && ((struct object *)ref_at(ix->base, ref))->number != number)
		ref = ((struct object *)ref_at(ix->base, ref))->next;
	return ref;
}

static void try_index(uint32_t n_objects)
{
	static struct object objects[OBJECTS + 1];
	static bool in[OBJECTS + 1];
	const char *base = (const char *)objects;
	struct index ix;
	uint64_t seed = 1;
	size_t n = 0;

	memset(in, 0, sizeof(in));
	ck_assert_int_eq(index_init(&ix, &mem, &budget, base, hash_of, OBJECTS, 4096), 0);
	for (uint32_t i = 0; i < 10 * n_objects; i++) {
		/* First ever more, then more or less as many. */
		uint32_t number =
			i < n_objects ? i + 1 : 1 + (uint32_t)(unit_random(&seed) % n_objects);

		if (in[number]) {
			UNIT_CHECK(find(&ix, number) == number, "%u is lost", number);
			index_remove(&ix, number);
			n--;
		} else {
			UNIT_CHECK(!find(&ix, number), "%u is still there", number);
			objects[number].number = number;
			UNIT_CHECK(index_reserve(&ix, n + 1) == 0, "no memory");
			index_add(&ix, number);
			n++;
		}
		in[number] = !in[number];
		UNIT_CHECK(ix.n == n, "%zu, not %zu", ix.n, n);
	}
	for (uint32_t number = 1; number <= n_objects; number++)
		UNIT_CHECK(!find(&ix, number) == !in[number], "%u", number);
	index_done(&ix);
	ck_assert_uint_eq(budget.used, 0);
}

START_TEST(what_is_in_the_index_is_found_however_it_grows)
{
	_Static_assert(sizeof(struct object) == REF_UNIT, "a number is a reference");
	budget = (struct budget){ .limit = (size_t)4 * 1024 * 1024 };
	mem = (struct secretmem){};
	hash_mask = UINT64_MAX;
	try_index(OBJECTS);
	/* Nearly all in one chain. */
	hash_mask = 3;
	try_index(600);
}
END_TEST

START_TEST(an_index_takes_no_more_than_its_budget)
{
	struct object objects[1] = {};
	struct index ix;

	budget = (struct budget){ .limit = 16384 };
	mem = (struct secretmem){};
	ck_assert_int_eq(index_init(&ix, &mem, &budget, (char *)objects, hash_of, 1000000, 4096),
			 0);
	ck_assert_int_eq(index_reserve(&ix, 4096), 0);
	ck_assert_int_lt(index_reserve(&ix, 4097), 0);
	ck_assert_uint_eq(budget.used, 16384);
	index_done(&ix);
}
END_TEST

/* ---- labels ---------------------------------------------------------------------------------- */

struct world {
	struct arena arena;
	struct labels labels;
};

static void world_init(struct world *w)
{
	budget = (struct budget){ .limit = (size_t)1024 * 1024 };
	mem = (struct secretmem){};
	ck_assert_int_eq(arena_init(&w->arena, &mem, &budget, budget.limit, (size_t)64 * 1024), 0);
	ck_assert_int_eq(labels_init(&w->labels, &mem, &budget, &w->arena, 100000), 0);
}

static void world_done(struct world *w)
{
	labels_done(&w->labels);
	arena_done(&w->arena);
	ck_assert_uint_eq(mem.locked, 0);
}

START_TEST(equal_texts_are_one_label_while_anyone_uses_it)
{
	struct world w;
	bool full = false;
	uint32_t a, b, empty;

	world_init(&w);
	a = label_get(&w.labels, SPAN("nightly.service"), &full);
	b = label_get(&w.labels, SPAN("nightly.service"), &full);
	empty = label_get(&w.labels, SPAN(""), &full);
	ck_assert(a && a == b && empty && empty != a);
	ck_assert_uint_eq(label_get(&w.labels, SPAN_NONE, &full), 0);
	ck_assert_uint_eq(label_ref(&w.labels, a), a);
	ck_assert(span_is(label_text(&w.labels, a), "nightly.service"));
	ck_assert_ptr_null(label_text(&w.labels, 0).p);
	ck_assert(label_text(&w.labels, empty).p && label_text(&w.labels, empty).n == 0);
	ck_assert(label_is(&w.labels, 0, SPAN_NONE) && !label_is(&w.labels, empty, SPAN_NONE));
	for (int i = 0; i < 3; i++) {
		ck_assert(span_is(label_text(&w.labels, a), "nightly.service"));
		label_put(&w.labels, a);
	}
	label_put(&w.labels, 0);
	label_put(&w.labels, empty);
	ck_assert_uint_eq(w.labels.index.n, 0);
	ck_assert_ptr_null(
		memmem(w.arena.space.region.base, w.arena.space.region.size, "nightly", 7));
	ck_assert(!full);
	world_done(&w);
}
END_TEST

START_TEST(a_label_that_cannot_be_kept_says_so)
{
	static char text[LABEL_MAX + 1];
	struct world w;
	bool full = false;
	uint32_t n = 0;

	world_init(&w);
	memset(text, 'x', sizeof(text));
	ck_assert(label_get(&w.labels, (struct span){ text, LABEL_MAX }, &full) && !full);
	ck_assert(!label_get(&w.labels, (struct span){ text, LABEL_MAX + 1 }, &full) && full);
	full = false;
	for (; !full; n++) {
		snprintf(text, sizeof(text), "label %u", n);
		UNIT_CHECK(!label_get(&w.labels, span_of(text), &full) == full, "%u", n);
	}
	ck_assert_uint_gt(n, 10000);
	ck_assert_uint_le(budget.used, budget.limit);
	/* The others are there, and can be had again. */
	full = false;
	for (uint32_t i = 0; i < n - 1; i++) {
		snprintf(text, sizeof(text), "label %u", i);
		UNIT_CHECK(label_get(&w.labels, span_of(text), &full) && !full, "%u", i);
	}
	world_done(&w);
}
END_TEST

UNIT_MAIN("index", what_is_in_the_index_is_found_however_it_grows,
	  an_index_takes_no_more_than_its_budget, equal_texts_are_one_label_while_anyone_uses_it,
	  a_label_that_cannot_be_kept_says_so)
