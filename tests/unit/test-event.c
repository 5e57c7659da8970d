/*
 * tests/unit/test-event.c - events as bytes; the ring of the last ones, through changes that are
 * kept and that fail, and through a store.
 */
#include "agent/event.h"

#include <string.h>

#include "tests/unit/store-box.h"
#include "tests/unit/vault-unit.h"

/* ---- records --------------------------------------------------------------------------------- */

static struct event sample(enum event_kind kind)
{
	static char credential[] = "modulos";
	struct event e = { .number = 0x0102030405060708, .at_us = NOW, .kind = kind };

	if (kind <= EVENT_EXPIRED) {
		e.token = UINT64_MAX - kind;
		e.owner_uid = 1000;
		owner_tag(SPAN("ci"), e.owner_tag);
	} else if (kind == EVENT_PUT || kind == EVENT_FORGOTTEN) {
		e.credential = credential;
	}
	return e;
}

static bool events_equal(const struct event *a, const struct event *b)
{
	return a->number == b->number && a->at_us == b->at_us && a->kind == b->kind &&
	       a->token == b->token && a->owner_uid == b->owner_uid &&
	       memcmp(a->owner_tag, b->owner_tag, OWNER_TAG_LEN) == 0 &&
	       !a->credential == !b->credential &&
	       (!a->credential || strcmp(a->credential, b->credential) == 0);
}

START_TEST(a_record_holds_all_of_its_event)
{
	uint8_t record[EVENT_RECORD_MAX];

	for (enum event_kind kind = EVENT_ISSUED; kind <= EVENT_UNLOCKED; kind++) {
		struct event e = sample(kind), back;
		size_t n = event_record_write(&e, record);
		/* With nothing behind it, as at the end of what a load reads at once. */
		uint8_t *alone = malloc(n);

		ck_assert_ptr_nonnull(alone);
		memcpy(alone, record, n);
		ck_assert_int_eq(event_record_read(alone, n, &back), 0);
		free(alone);
		ck_assert(events_equal(&e, &back));
		free(back.credential);
	}
}
END_TEST

START_TEST(a_record_that_is_read_is_the_one_way_to_write_its_event)
{
	uint8_t record[EVENT_RECORD_MAX], again[EVENT_RECORD_MAX];
	uint64_t random = 7;

	for (unsigned i = 0; i < 200000; i++) {
		struct event e = sample(EVENT_ISSUED + i % EVENT_UNLOCKED), back;
		size_t n = event_record_write(&e, record), at = unit_random(&random) % n;

		record[at] = (uint8_t)unit_random(&random);
		if (event_record_read(record, n, &back) < 0)
			continue;
		UNIT_CHECK(event_record_write(&back, again) == n && memcmp(record, again, n) == 0,
			   "another way, at %zu", at);
		free(back.credential);
	}
}
END_TEST

START_TEST(a_record_that_is_cut_or_too_long_or_says_what_its_kind_does_not_is_none)
{
	uint8_t record[EVENT_RECORD_MAX + 1] = { 0 };
	struct event back;

	for (enum event_kind kind = EVENT_ISSUED; kind <= EVENT_UNLOCKED; kind++) {
		struct event e = sample(kind);
		size_t n = event_record_write(&e, record);

		for (size_t cut = 0; cut <= n + 1; cut++)
			if (cut != n)
				UNIT_CHECK(event_record_read(record, cut, &back) == -EBADMSG,
					   "%zu of %zu bytes of kind %d", cut, n, (int)kind);
		for (unsigned other = 0; other < 256; other++) {
			record[1] = (uint8_t)other;
			if (event_record_read(record, n, &back) < 0)
				continue;
			UNIT_CHECK(!back.token == !e.token && !back.credential == !e.credential,
				   "kind %u with what is of kind %d", other, (int)kind);
			free(back.credential);
		}
	}
}
END_TEST

START_TEST(names_have_tags_of_their_own_and_no_name_has_another)
{
	static const char *const names[] = { "ci", "ci ", "c", "", "root", "CI" };
	uint8_t tags[ARRAY_SIZE(names) + 1][OWNER_TAG_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		owner_tag(span_of(names[i]), tags[i]);
	owner_tag(SPAN_NONE, tags[ARRAY_SIZE(names)]);
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		for (size_t j = 0; j < i; j++)
			ck_assert_mem_ne(tags[i], tags[j], OWNER_TAG_LEN);
}
END_TEST

/* ---- a store with events --------------------------------------------------------------------- */

struct ring {
	struct box box;
	struct events events;
};

static int on_nothing(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
		      size_t n)
{
	(void)userdata, (void)row, (void)version, (void)record, (void)n;
	return -EBADMSG;
}

static int on_event(void *userdata, uint64_t row, uint32_t version, const uint8_t *record, size_t n)
{
	return events_load(userdata, row, version, record, n);
}

static void ring_open(struct ring *r)
{
	struct box *b = &r->box;

	ck_assert_int_eq(events_init(&r->events), 0);
	ck_assert_int_eq(store_open(b->dir, b->key, &b->mem, &b->store, &b->error), 0);
	for (enum store_table t = STORE_ACTIVE; t <= STORE_AUDIT; t++)
		if (t != STORE_EVENTS)
			ck_assert_int_eq(store_read_all(b->store, t, on_nothing, NULL, &b->error), 0);
	ck_assert_int_eq(store_read_all(b->store, STORE_EVENTS, on_event, &r->events, &b->error),
			 0);
	ck_assert_int_eq(events_load_done(&r->events), 0);
	ck_assert_int_eq(store_start(b->store, &b->error), 0);
}

static void ring_close(struct ring *r)
{
	box_close(&r->box);
	events_done(&r->events);
}

/* The event of a number, as these tests make it. */
static struct event event_of(uint64_t number)
{
	static char credential[] = "c";
	struct event e = { .at_us = NOW + number, .kind = EVENT_RELOADED };

	if (number % 3 == 0) {
		e.kind = EVENT_REVOKED;
		e.token = number * 17;
		e.owner_uid = (uid_t)number;
	} else if (number % 3 == 1) {
		e.kind = EVENT_PUT;
		e.credential = credential;
	}
	return e;
}

static void add(struct ring *r, struct event_list *list, struct store_change *c)
{
	struct event e = event_of(r->events.prepared + 1);

	UNIT_CHECK(events_add(&r->events, list, c, &e) == 0, "no memory");
}

static void check_ring(const struct ring *r, uint64_t last)
{
	const struct events *e = &r->events;

	UNIT_CHECK(e->last == last && e->prepared == last, "the last is %lu, not %lu",
		   (unsigned long)e->last, (unsigned long)last);
	UNIT_CHECK(events_first(e) == (last > EVENTS_KEPT ? last - EVENTS_KEPT + 1 : 1),
		   "the first is %lu", (unsigned long)events_first(e));
	for (uint64_t number = events_first(e); number <= last; number++) {
		struct event expected = event_of(number);

		expected.number = number;
		UNIT_CHECK(events_equal(events_at(e, number), &expected), "event %lu",
			   (unsigned long)number);
	}
}

/* One change of n events, kept. */
static void keep(struct ring *r, unsigned n)
{
	struct event_list list = { .events = NULL };
	struct store_change *c = box_change(&r->box);

	for (unsigned i = 0; i < n; i++)
		add(r, &list, c);
	UNIT_CHECK(box_do(&r->box, c), "not kept");
	events_keep(&r->events, &list);
	UNIT_CHECK(!list.events && list.n == 0, "the list is not empty");
}

/* Some changes under way at once, none of which is kept. */
static void fail_some(struct ring *r, unsigned n_changes, unsigned n)
{
	struct event_list lists[8] = { { .n = 0 } };
	struct store_change *c = box_change(&r->box);

	for (unsigned i = 0; i < n_changes; i++)
		for (unsigned k = 0; k < n; k++)
			add(r, &lists[i], c);
	for (unsigned i = n_changes; i-- > 0;)
		events_drop(&r->events, &lists[i]);
	store_change_free(c);
}

START_TEST(numbers_go_on_over_restarts_failures_and_rounds_of_the_ring)
{
	uint64_t random = 3, last = 0;
	struct ring r;

	box_init(&r.box);
	ring_open(&r);
	while (last < 2 * EVENTS_KEPT + 777) {
		unsigned n = 1 + (unsigned)(unit_random(&random) % 600);

		keep(&r, n);
		last += n;
		fail_some(&r, 1 + (unsigned)(unit_random(&random) % 8),
			  (unsigned)(unit_random(&random) % 20));
		if (unit_random(&random) % 4 == 0) {
			ring_close(&r);
			ring_open(&r);
		}
		check_ring(&r, last);
	}
	ring_close(&r);
	box_done(&r.box);
}
END_TEST

START_TEST(a_change_of_more_events_than_are_kept_leaves_the_last_ones)
{
	struct ring r;

	box_init(&r.box);
	ring_open(&r);
	keep(&r, 5);
	keep(&r, 2 * EVENTS_KEPT + 5);
	check_ring(&r, 2 * EVENTS_KEPT + 10);
	ring_close(&r);
	ring_open(&r);
	check_ring(&r, 2 * EVENTS_KEPT + 10);
	ring_close(&r);
	box_done(&r.box);
}
END_TEST

START_TEST(each_size_around_a_whole_ring_is_found_again)
{
	for (int around = -2; around <= 2; around++) {
		uint64_t last = (uint64_t)(EVENTS_KEPT + around);
		struct ring r;

		box_init(&r.box);
		ring_open(&r);
		keep(&r, (unsigned)last);
		ring_close(&r);
		ring_open(&r);
		check_ring(&r, last);
		ring_close(&r);
		box_done(&r.box);
	}
}
END_TEST

/* ---- loading --------------------------------------------------------------------------------- */

static int load(struct events *e, uint64_t number, uint64_t row, uint32_t version)
{
	uint8_t record[EVENT_RECORD_MAX];
	struct event event = event_of(number);

	event.number = number;
	return events_load(e, row, version, record, event_record_write(&event, record));
}

static int load_right(struct events *e, uint64_t number)
{
	return load(e, number, number % EVENTS_KEPT + 1, (uint32_t)(number / EVENTS_KEPT) + 1);
}

START_TEST(rows_in_any_order_are_taken_and_gaps_and_strange_places_are_damage)
{
	struct events e;

	/* backwards */
	ck_assert_int_eq(events_init(&e), 0);
	for (uint64_t number = 500; number >= 1; number--)
		ck_assert_int_eq(load_right(&e, number), 0);
	ck_assert_int_eq(events_load_done(&e), 0);
	ck_assert_uint_eq(e.last, 500);
	events_done(&e);
	/* one is missing: in the midst, the first, all before the last */
	for (unsigned missing = 1; missing <= 3; missing++) {
		ck_assert_int_eq(events_init(&e), 0);
		for (uint64_t number = 1; number <= 3; number++)
			if (number != missing)
				ck_assert_int_eq(load_right(&e, number), 0);
		ck_assert_int_eq(events_load_done(&e), missing == 3 ? 0 : -EBADMSG);
		events_done(&e);
	}
	ck_assert_int_eq(events_init(&e), 0);
	ck_assert_int_eq(load_right(&e, EVENTS_KEPT + 1), 0);
	ck_assert_int_eq(events_load_done(&e), -EBADMSG);
	/* in another's place, of another round, twice */
	ck_assert_int_eq(load(&e, 7, 7, 1), -EBADMSG);
	ck_assert_int_eq(load(&e, 7, 8, 2), -EBADMSG);
	ck_assert_int_eq(load(&e, 7, 8, 1), 0);
	ck_assert_int_eq(load(&e, 7, 8, 1), -EBADMSG);
	events_done(&e);
}
END_TEST

/* ---- what of a vault's change is an event ---------------------------------------------------- */

/* The events of the change, as a text: a letter each, and which token. */
static const char *told(struct ring *r, struct vault_change *change)
{
	static const char letters[] = "?idrxe";
	static char text[64];
	struct event_list list = { .events = NULL };
	struct store_change *c = box_change(&r->box);
	uint8_t record[RECORD_MAX], tag[OWNER_TAG_LEN];
	struct vault_row row;
	size_t n = 0;

	owner_tag(SPAN("ci"), tag);
	for (size_t i = 0; i < vault_change_n(change); i++) {
		vault_change_row(change, i, record, &row);
		ck_assert_int_eq(events_add_step(&r->events, &list, c, &row, NOW), 0);
	}
	for (size_t i = 0; i < list.n; i++) {
		const struct event *e = &list.events[i];

		ck_assert(e->owner_uid == 1000 && memcmp(e->owner_tag, tag, sizeof(tag)) == 0);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%c%u ", letters[e->kind],
				      (unsigned)e->token);
	}
	text[n] = '\0';
	events_drop(&r->events, &list);
	store_change_free(c);
	vault_commit(change);
	return text;
}

static struct vault_change *change_of_end(struct vault *v, token_ref ref, enum token_state state)
{
	struct vault_change *c = unit_change(v);

	ck_assert_int_eq(vault_prepare_end(c, ref, state, END_OWNER, NOW), 0);
	return c;
}

START_TEST(what_happens_to_a_token_is_told_and_its_uses_are_not)
{
	struct token_facts limited = unit_facts(9), by = unit_facts(4);
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref parent, child, used;
	struct vault_change *c;
	struct ring r;
	int64_t left;
	size_t n;

	box_init(&r.box);
	ring_open(&r);
	ck_assert_str_eq(told(&r, unit_prepare(v, unit_facts(1), REF_NONE, &parent)), "i1 ");
	ck_assert_str_eq(told(&r, unit_prepare(v, unit_facts(2), parent, &child)), "d2 ");
	/* a rotation with a grace: the child's life is cut as well, which is no event */
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_insert(c, &by, REF_NONE, NULL), 0);
	ck_assert_int_eq(vault_prepare_replace(c, parent, 4, NOW + 5), 0);
	ck_assert_str_eq(told(&r, c), "i4 r1 ");
	/* with none: replaced, and ended with all below */
	by = unit_facts(5);
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_insert(c, &by, REF_NONE, NULL), 0);
	ck_assert_int_eq(vault_prepare_replace(c, parent, 5, NOW + 5), 0);
	ck_assert_int_eq(vault_prepare_end(c, parent, TOKEN_REVOKED, END_ROTATED, NOW), 0);
	ck_assert_str_eq(told(&r, c), "i5 r1 x1 x2 ");
	ck_assert_str_eq(told(&r, change_of_end(v, vault_find(v, 4), TOKEN_EXPIRED)), "e4 ");
	/* uses, but for the last */
	limited.uses_left = 2;
	ck_assert_str_eq(told(&r, unit_prepare(v, limited, REF_NONE, &used)), "i9 ");
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_use(c, used, NOW, SPAN("x"), &left), 0);
	ck_assert_str_eq(told(&r, c), "");
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_use(c, used, NOW, SPAN("x"), &left), 0);
	ck_assert_str_eq(told(&r, c), "x9 ");
	vault_used(v, vault_find(v, 5), NOW, SPAN("y"));
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_last_used(c, 10, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_str_eq(told(&r, c), "");
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_forget(c, NOW + 1, 1000, 10, &n), 0);
	ck_assert_uint_eq(n, 4);
	ck_assert_str_eq(told(&r, c), "");
	ring_close(&r);
	box_done(&r.box);
	unit_done(v);
}
END_TEST

UNIT_MAIN("event", a_record_holds_all_of_its_event,
	  a_record_that_is_read_is_the_one_way_to_write_its_event,
	  a_record_that_is_cut_or_too_long_or_says_what_its_kind_does_not_is_none,
	  names_have_tags_of_their_own_and_no_name_has_another,
	  numbers_go_on_over_restarts_failures_and_rounds_of_the_ring,
	  a_change_of_more_events_than_are_kept_leaves_the_last_ones,
	  each_size_around_a_whole_ring_is_found_again,
	  rows_in_any_order_are_taken_and_gaps_and_strange_places_are_damage,
	  what_happens_to_a_token_is_told_and_its_uses_are_not)
