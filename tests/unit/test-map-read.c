/*
 * tests/unit/test-map-read.c - looking tokens up in a map: what must be there for a yes, each of it
 * wrong in turn, and maps of which nothing is right.
 */
#include "protocol/map-read.h"

#include <errno.h>
#include <pthread.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "protocol/scope.h"
#include "tests/unit/map-maker.h"
#include "tests/unit/unit.h"

/* Readers go by the coarse clock, which is a tick behind at most. */
enum { SLOTS = 1024, TEXT = 4096, TOO_OLD_US = MAP_STALE_US + 20 * 1000 };

/* Where it is not 0, the wall clock says this; it is a tick behind where it is coarse. */
static uint64_t now_us;

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	uint64_t us = clock == CLOCK_REALTIME_COARSE ? now_us - 4000 : now_us;

	if (!now_us || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return (int)syscall(SYS_clock_gettime, clock, ts);
	ts->tv_sec = (time_t)(us / 1000000);
	ts->tv_nsec = (long)(us % 1000000 * 1000);
	return 0;
}

/* A map with one token in it. */
struct box {
	struct map_maker m;
	struct map_view view;
	struct map_sample s;
	struct map_slot *slot;
	struct map_found found;
};

static const char access_text[] = "acme/risk:read\0acme/*:run\0acme/pay/**:*";

static void box_init(struct box *b)
{
	map_maker_init(&b->m, SLOTS, TEXT);
	map_sample_make(UINT64_C(0x123456789abcdef), &b->s);
	b->s.entry.access_at = map_maker_text(&b->m, access_text, sizeof(access_text));
	b->s.entry.access_bytes = sizeof(access_text);
	b->slot = map_maker_add(&b->m, &b->s.entry);
	ck_assert_int_eq(map_view_init(b->m.head, b->m.bytes, &b->view), 0);
}

static bool says_yes(struct box *b, const char *const *scopes)
{
	return map_verify(&b->view, span_of(b->s.value), scopes, &b->found);
}

/* The token is good, and what is done to it makes it no longer so; then it is written anew. */
#define NO_LONGER(b, ...)                                              \
	do {                                                           \
		ck_assert(says_yes(b, NULL));                          \
		__VA_ARGS__;                                           \
		ck_assert_msg(!says_yes(b, NULL), "%s", #__VA_ARGS__); \
		(b)->slot->seq &= ~1u;                                 \
		map_slot_write((b)->slot, &(b)->s.entry);              \
		(b)->m.head->state = MAP_GOOD;                         \
		map_maker_beat(&(b)->m);                               \
	} while (0)

START_TEST(hashes_are_those_of_another_implementation)
{
	char secret[TOKEN_SECRET_LEN];
	uint64_t random = 1, got[TOKEN_HASH_WORDS];
	uint8_t want[32];

	for (int i = 0; i < 20000; i++) {
		for (size_t at = 0; at < sizeof(secret); at++)
			secret[at] = (char)unit_random(&random);
		crypto_hash_sha256(want, (const uint8_t *)secret, sizeof(secret));
		token_hash_secret(secret, got);
		UNIT_CHECK(memcmp(got, want, sizeof(want)) == 0, "the %dth", i);
	}
}
END_TEST

START_TEST(a_good_token_is_found_with_its_facts)
{
	struct box b;

	box_init(&b);
	ck_assert(says_yes(&b, NULL));
	ck_assert_uint_eq(b.found.id, b.s.entry.id);
	ck_assert_uint_eq(b.found.expires_us, b.s.entry.expires_us);
	ck_assert_uint_eq(b.found.slot, (uint64_t)(b.slot - b.m.slots));
	map_maker_done(&b.m);
}
END_TEST

START_TEST(each_part_of_a_slot_that_is_wrong_makes_it_ask)
{
	struct box b;

	box_init(&b);
	NO_LONGER(&b, b.slot->seq++);
	NO_LONGER(&b, map_slot_kill(b.slot));
	NO_LONGER(&b, b.slot->access_bytes = TEXT + 1);
	NO_LONGER(&b, b.slot->access_bytes = UINT32_MAX);
	NO_LONGER(&b, b.slot->access_at = TEXT);
	NO_LONGER(&b, b.slot->access_at = TEXT - sizeof(access_text) + 1);
	NO_LONGER(&b, b.slot->access_at = UINT64_MAX);
	NO_LONGER(&b, b.slot->access_at = -(uint64_t)sizeof(access_text));
	NO_LONGER(&b, b.slot->id++);
	NO_LONGER(&b, b.slot->id = 0);
	NO_LONGER(&b, b.slot->expires_us = 1);
	NO_LONGER(&b, b.slot->expires_us = 0);
	for (unsigned bit = 0; bit < 256; bit++)
		NO_LONGER(&b, b.slot->hash[bit / 64] ^= UINT64_C(1) << bit % 64);
	map_maker_done(&b.m);
}
END_TEST

START_TEST(a_map_that_is_not_in_force_makes_it_ask)
{
	struct box b;
	uint32_t tid;

	box_init(&b);
	for (uint32_t state = 0; state < 40; state++)
		if (state != MAP_GOOD)
			NO_LONGER(&b, b.m.head->state = state);
	NO_LONGER(&b, b.m.head->beat_us -= TOO_OLD_US);
	NO_LONGER(&b, b.m.head->beat_us += 1000 * 1000);
	NO_LONGER(&b, b.m.head->beat_us = 0);
	NO_LONGER(&b, b.m.head->beat_us = UINT64_MAX);
	tid = b.m.head->owner;
	NO_LONGER(&b, b.m.head->owner = 0);
	b.m.head->owner = tid;
	NO_LONGER(&b, b.m.head->owner = FUTEX_OWNER_DIED);
	b.m.head->owner = tid;
	NO_LONGER(&b, b.m.head->owner |= FUTEX_OWNER_DIED);
	/* Somebody who waits for the owner is no harm. */
	b.m.head->owner = tid | FUTEX_WAITERS;
	ck_assert(says_yes(&b, NULL));
	b.m.head->owner = tid;
	map_maker_done(&b.m);
}
END_TEST

START_TEST(the_state_of_a_map_is_told)
{
	struct box b;
	uint32_t tid;

	box_init(&b);
	tid = b.m.head->owner;
	ck_assert_int_eq(map_view_state(&b.view), MAP_GOOD);
	b.m.head->state = MAP_ASK;
	ck_assert_int_eq(map_view_state(&b.view), MAP_ASK);
	b.m.head->state = 77;
	ck_assert_int_eq(map_view_state(&b.view), MAP_RETIRED);
	b.m.head->state = MAP_GOOD;
	b.m.head->owner = FUTEX_OWNER_DIED;
	ck_assert_int_eq(map_view_state(&b.view), MAP_RETIRED);
	b.m.head->owner = tid;
	b.m.head->beat_us -= TOO_OLD_US;
	ck_assert_int_eq(map_view_state(&b.view), MAP_ASK);
	map_maker_done(&b.m);
}
END_TEST

static void *own_and_end(void *m)
{
	map_maker_init(m, SLOTS, TEXT);
	return NULL;
}

START_TEST(a_thread_that_ends_leaves_its_mark_in_the_map)
{
	struct map_maker m;
	struct map_view view;
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, own_and_end, &m), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(map_view_init(m.head, m.bytes, &view), 0);
	ck_assert(m.head->owner & FUTEX_OWNER_DIED);
	ck_assert_int_eq(map_view_state(&view), MAP_RETIRED);
	munmap(m.head, m.bytes);
	close(m.fd);
}
END_TEST

START_TEST(a_token_is_good_until_the_microsecond_before_its_end)
{
	/* Near the end, where the coarse clock is not asked, and far from it. */
	static const struct {
		uint64_t left_us;
		bool is_good;
	} cases[] = {
		{ 0, false },	{ 1, true },	   { 2, true },		  { 3999, true },
		{ 4000, true }, { 999999, true },  { 1000000, true },	  { 1000001, true },
		{ 5000, true }, { 2000000, true }, { 86400000000, true },
	};
	struct box b;

	box_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		now_us = b.s.entry.expires_us - cases[i].left_us;
		ck_assert_msg(says_yes(&b, NULL) == cases[i].is_good, "%zu", i);
	}
	now_us = b.s.entry.expires_us + 1;
	ck_assert(!says_yes(&b, NULL));
	now_us = b.s.entry.expires_us + UINT64_C(86400000000);
	ck_assert(!says_yes(&b, NULL));
	now_us = 0;
	map_maker_done(&b.m);
}
END_TEST

START_TEST(scopes_must_all_be_reached)
{
	static const struct {
		const char *scopes[4];
		bool is_good;
	} cases[] = {
		{ { NULL }, true },
		{ { "acme/risk:read" }, true },
		{ { "acme/risk:write" }, false },
		{ { "acme/x:run" }, true },
		{ { "acme/x/y:run" }, false },
		{ { "acme/pay:go" }, true },
		{ { "acme/pay/a/b/c:go" }, true },
		{ { "acme/risk:read", "acme/x:run", "acme/pay/a:x" }, true },
		{ { "acme/risk:read", "acme/x:run", "acme/other:x" }, false },
		{ { "other:x", "acme/risk:read" }, false },
		/* What is no plain scope is for the agent to refuse, also where it stands there. */
		{ { "acme/*:run" }, false },
		{ { "" }, false },
		{ { "acme/risk" }, false },
		{ { ":" }, false },
		{ { "acme/risk:read", "" }, false },
	};
	struct box b;

	box_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		ck_assert_msg(says_yes(&b, cases[i].scopes) == cases[i].is_good, "%zu", i);
	map_maker_done(&b.m);
}
END_TEST

START_TEST(more_scopes_than_a_call_may_have_are_for_the_agent)
{
	const char *scopes[SCOPES_MAX + 2] = { NULL };
	struct box b;

	box_init(&b);
	for (size_t i = 0; i < SCOPES_MAX; i++)
		scopes[i] = "acme/risk:read";
	ck_assert(says_yes(&b, scopes));
	scopes[SCOPES_MAX] = "acme/risk:read";
	ck_assert(!says_yes(&b, scopes));
	map_maker_done(&b.m);
}
END_TEST

START_TEST(access_that_is_no_list_of_scopes_reaches_nothing)
{
	static const struct {
		const char *text;
		size_t n;
	} cases[] = {
		{ "x", 1 },	   { "\0", 1 },	  { "\0x:y", 5 },
		{ ":\0", 2 },	   { "x:y", 3 }, /* no NUL */
		{ "x:\xff\0", 4 }, { "**\0", 3 }, { "/////\0", 6 },
	};
	const char *const scopes[] = { "x:y", NULL };
	char text[300];
	struct box b;

	box_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		b.s.entry.access_at = map_maker_text(&b.m, cases[i].text, cases[i].n);
		b.s.entry.access_bytes = (uint32_t)cases[i].n;
		map_slot_write(b.slot, &b.s.entry);
		ck_assert_msg(!says_yes(&b, scopes), "%zu", i);
	}
	memset(text, 'x', sizeof(text));
	text[299] = '\0';
	b.s.entry.access_at = map_maker_text(&b.m, text, sizeof(text));
	b.s.entry.access_bytes = sizeof(text);
	map_slot_write(b.slot, &b.s.entry);
	ck_assert(!says_yes(&b, scopes));
	/* The control. */
	b.s.entry.access_at = map_maker_text(&b.m, "x:y", 4);
	b.s.entry.access_bytes = 4;
	map_slot_write(b.slot, &b.s.entry);
	ck_assert(says_yes(&b, scopes));
	map_maker_done(&b.m);
}
END_TEST

START_TEST(a_scope_of_the_greatest_length_is_read)
{
	char text[SCOPE_MAX + 1];
	const char *const scopes[] = { text, NULL };
	struct box b;

	box_init(&b);
	memset(text, 'x', SCOPE_MAX);
	text[1] = ':';
	text[SCOPE_MAX] = '\0';
	/* At the very end of the text. */
	b.s.entry.access_at = TEXT - sizeof(text);
	b.s.entry.access_bytes = sizeof(text);
	memcpy(b.m.text + b.s.entry.access_at, text, sizeof(text));
	map_slot_write(b.slot, &b.s.entry);
	ck_assert(says_yes(&b, scopes));
	map_maker_done(&b.m);
}
END_TEST

START_TEST(what_is_no_token_is_not_looked_up)
{
	struct map_sample none;
	struct box b;

	box_init(&b);
	for (size_t i = 0; i < TOKEN_LEN; i++) {
		b.s.value[i] ^= 1;
		ck_assert_msg(!says_yes(&b, NULL), "%zu", i);
		b.s.value[i] ^= 1;
	}
	ck_assert(!map_verify(&b.view, SPAN_NONE, NULL, &b.found));
	ck_assert(!map_verify(&b.view, (struct span){ b.s.value, TOKEN_LEN - 1 }, NULL, &b.found));
	/* An empty slot says id 0, and a hash of zeroes. */
	map_sample_make(0, &none);
	ck_assert(!map_verify(&b.view, span_of(none.value), NULL, &b.found));
	none.entry.access_bytes = 1;
	map_slot_write(&b.m.slots[0], &none.entry);
	ck_assert(!map_verify(&b.view, span_of(none.value), NULL, &b.found));
	ck_assert(says_yes(&b, NULL));
	map_maker_done(&b.m);
}
END_TEST

/* The nth id from `from` on whose search begins at this slot. */
static uint64_t id_at(uint64_t slot, uint64_t from)
{
	while (map_slot_of(from, SLOTS) != slot)
		from++;
	return from;
}

START_TEST(tokens_that_begin_at_one_slot_are_all_found_round_the_end)
{
	struct map_sample s[20];
	struct map_found found;
	struct map_slot *slot;
	uint64_t id = 1;
	struct box b;

	box_init(&b);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++, id++) {
		id = id_at(SLOTS - 3, id);
		map_sample_make(id, &s[i]);
		s[i].entry.access_bytes = 1;
		ck_assert_ptr_nonnull(map_maker_add(&b.m, &s[i].entry));
	}
	/* Those who died are passed by, and who takes their place is found in it. */
	map_slot_kill(map_maker_find(&b.m, s[1].entry.id));
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		ck_assert_msg(map_verify(&b.view, span_of(s[i].value), NULL, &found) == (i != 1),
			      "%zu", i);
	map_sample_make(id_at(SLOTS - 3, id), &s[1]);
	s[1].entry.access_bytes = 1;
	slot = map_maker_add(&b.m, &s[1].entry);
	ck_assert_ptr_eq(slot, &b.m.slots[SLOTS - 2]);
	ck_assert(map_verify(&b.view, span_of(s[1].value), NULL, &found));
	ck_assert(map_verify(&b.view, span_of(s[19].value), NULL, &found));
	map_maker_done(&b.m);
}
END_TEST

START_TEST(a_search_ends_though_no_slot_is_empty)
{
	struct map_found found;
	struct map_sample s;
	struct box b;

	box_init(&b);
	map_sample_make(id_at(5, 1), &s);
	s.entry.access_bytes = 1;
	for (size_t i = 0; i < SLOTS; i++)
		b.m.slots[i].id = UINT64_MAX;
	ck_assert(!map_verify(&b.view, span_of(s.value), NULL, &found));
	/* The last that is looked at, and the first that is not. */
	map_slot_write(&b.m.slots[5 + MAP_PROBES_MAX], &s.entry);
	ck_assert(!map_verify(&b.view, span_of(s.value), NULL, &found));
	map_slot_write(&b.m.slots[5 + MAP_PROBES_MAX - 1], &s.entry);
	ck_assert(map_verify(&b.view, span_of(s.value), NULL, &found));
	map_maker_done(&b.m);
}
END_TEST

START_TEST(a_head_that_is_wrong_is_refused)
{
	struct map_view view;
	struct box b;

	box_init(&b);
#define REFUSED(change, result)                                                                \
	do {                                                                                   \
		struct map_head kept;                                                          \
                                                                                               \
		memcpy(&kept, b.m.head, sizeof(kept));                                         \
		change;                                                                        \
		ck_assert_msg(map_view_init(b.m.head, b.m.bytes, &view) == (result), #change); \
		memcpy(b.m.head, &kept, sizeof(kept));                                         \
	} while (0)
	for (size_t i = 0; i < 8; i++)
		REFUSED(b.m.head->magic[i] ^= 1, -EBADMSG);
	REFUSED(b.m.head->format = 2, -EPROTONOSUPPORT);
	REFUSED(b.m.head->head_bytes = 64, -EBADMSG);
	REFUSED(b.m.head->n_slots = SLOTS - 1, -EBADMSG);
	REFUSED(b.m.head->n_slots = SLOTS * 2, -EBADMSG);
	REFUSED(b.m.head->n_slots = SLOTS / 2, -EBADMSG); /* the text is not behind it */
	REFUSED(b.m.head->n_slots = 0, -EBADMSG);
	REFUSED(b.m.head->n_slots = 1, -EBADMSG);
	REFUSED(b.m.head->n_slots = UINT64_C(1) << 63, -EBADMSG);
	REFUSED(b.m.head->n_slots = UINT64_C(1) << 58, -EBADMSG);
	REFUSED(b.m.head->text_at += 1, -EBADMSG);
	REFUSED(b.m.head->text_bytes += 1, -EBADMSG);
	REFUSED(b.m.head->text_bytes = UINT64_MAX, -EBADMSG);
	for (uint64_t n = 0; n < map_bytes(SLOTS, TEXT); n += n < MAP_HEAD_BYTES + 8 ? 1 : 509)
		UNIT_CHECK(map_view_init(b.m.head, n, &view) == -EBADMSG, "%u", (unsigned)n);
	ck_assert_int_eq(map_view_init(b.m.head, b.m.bytes, &view), 0);
	map_maker_done(&b.m);
}
END_TEST

/* A copy of the box's map that ends where nothing may be read. */
static char *walled(struct box *b)
{
	size_t bytes = b->m.bytes, page = 4096;
	char *p = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_int_eq(mprotect(p + bytes, page, PROT_NONE), 0);
	memcpy(p, b->m.head, bytes);
	return p;
}

START_TEST(nothing_outside_of_a_map_is_read_whatever_lies_in_it)
{
	const char *const scopes[] = { "acme/risk:read", "x:y", NULL };
	uint64_t random = 7, good = 0;
	struct map_found found;
	struct map_slot *slot;
	struct map_head *head;
	struct box b;
	char *p;

	box_init(&b);
	p = walled(&b);
	head = (struct map_head *)p;
	ck_assert_int_eq(map_view_init(head, b.m.bytes, &b.view), 0);
	for (int i = 0; i < 200000; i++) {
		slot = map_slots(head) + (b.slot - b.m.slots);
		map_slot_write(slot, &b.s.entry);
		/* What is read of the slot, near the limits and anywhere. */
		slot->access_at = TEXT - unit_random(&random) % 200 + unit_random(&random) % 4;
		slot->access_bytes = (uint32_t)(unit_random(&random) % 5000);
		if (i % 3 == 0)
			slot->access_at = unit_random(&random);
		p[b.m.bytes - 1 - unit_random(&random) % 300] = (char)unit_random(&random);
		head->n_slots = unit_random(&random);
		head->text_bytes = unit_random(&random);
		if (map_verify(&b.view, span_of(b.s.value), scopes + i % 3, &found))
			good++;
	}
	ck_assert_uint_gt(good, 0);
	munmap(p, b.m.bytes + 4096);
	map_maker_done(&b.m);
}
END_TEST

/* ---- while it is written ---- */

enum { TWINS = 2 };

struct twins {
	struct box b;
	struct map_sample s[TWINS];
	atomic_bool over;
};

static void *rewrite(void *userdata)
{
	struct twins *t = userdata;

	for (uint64_t i = 0; !atomic_load(&t->over); i++) {
		map_slot_write(t->b.slot, &t->s[i % TWINS].entry);
		if (i % 5 == 0)
			map_slot_kill(t->b.slot);
	}
	return NULL;
}

START_TEST(a_slot_that_is_written_all_the_time_gives_no_mixture)
{
	struct map_found found;
	unsigned good = 0;
	struct twins t = { 0 };
	pthread_t thread;

	/* Two that differ in everything live in one slot by turns. */
	box_init(&t.b);
	t.s[0] = t.b.s;
	map_sample_make(id_at((uint64_t)(t.b.slot - t.b.m.slots), 1), &t.s[1]);
	t.s[1].entry.access_bytes = 15;
	t.s[1].entry.expires_us--;
	ck_assert_int_eq(pthread_create(&thread, NULL, rewrite, &t), 0);
	for (unsigned i = 0; i < 100000 || (good < 100 && i < 100000000); i++) {
		const struct map_sample *s = &t.s[i % TWINS];

		map_maker_beat(&t.b.m);
		if (!map_verify(&t.b.view, span_of(s->value), NULL, &found))
			continue;
		good++;
		UNIT_CHECK(found.id == s->entry.id && found.expires_us == s->entry.expires_us,
			   "torn");
	}
	atomic_store(&t.over, true);
	pthread_join(thread, NULL);
	ck_assert_uint_gt(good, 0);
	map_maker_done(&t.b.m);
}
END_TEST

UNIT_MAIN("map-read", hashes_are_those_of_another_implementation,
	  a_good_token_is_found_with_its_facts, each_part_of_a_slot_that_is_wrong_makes_it_ask,
	  a_map_that_is_not_in_force_makes_it_ask, the_state_of_a_map_is_told,
	  a_thread_that_ends_leaves_its_mark_in_the_map,
	  a_token_is_good_until_the_microsecond_before_its_end, scopes_must_all_be_reached,
	  more_scopes_than_a_call_may_have_are_for_the_agent,
	  access_that_is_no_list_of_scopes_reaches_nothing, a_scope_of_the_greatest_length_is_read,
	  what_is_no_token_is_not_looked_up,
	  tokens_that_begin_at_one_slot_are_all_found_round_the_end,
	  a_search_ends_though_no_slot_is_empty, a_head_that_is_wrong_is_refused,
	  nothing_outside_of_a_map_is_read_whatever_lies_in_it,
	  a_slot_that_is_written_all_the_time_gives_no_mixture)
