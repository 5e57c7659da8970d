/*
 * tests/unit/test-store-order.c - what is submitted is kept and called back in its order, failures in
 * the opposite one.
 */
#include "agent/store.h"

#include "agent/store-impl.h"
#include "tests/unit/store-box.h"

enum { LOG_MAX = 4096 };

struct log {
	struct box *box;
	unsigned n;
	int who[LOG_MAX], r[LOG_MAX];
};

struct waiter {
	struct log *log;
	int who;
	int resubmit; /* so many times, from within done() */
};

static void log_note(struct log *l, int who, int r)
{
	UNIT_CHECK(l->n < LOG_MAX, "too many calls");
	l->who[l->n] = who;
	l->r[l->n++] = r;
}

static void on_logged(void *userdata, int r)
{
	struct waiter *w = userdata;

	log_note(w->log, w->who, r);
	if (w->resubmit > 0) {
		struct store_change *c = box_change(w->log->box);

		w->resubmit--;
		w->who += 1000;
		box_put(w->log->box, c, STORE_ACTIVE, 4000 + (uint64_t)w->resubmit);
		store_submit(w->log->box->store, c, on_logged, w);
	}
}

static void on_logged_rows(void *userdata, struct store_rows *rows, int r)
{
	struct waiter *w = userdata;

	log_note(w->log, w->who, r);
	store_rows_free(rows);
}

static void wait_for(struct log *l, unsigned n)
{
	struct pollfd p = { .fd = store_fd(l->box->store), .events = POLLIN };

	while (l->n < n) {
		UNIT_CHECK(poll(&p, 1, 100000) == 1, "the store does not answer");
		store_dispatch(l->box->store);
	}
}

START_TEST(all_is_called_back_in_the_order_of_submission)
{
	struct waiter w[600];
	struct log l = { 0 };
	struct box b;

	box_init(&b);
	box_must_open(&b);
	l.box = &b;
	for (int i = 0; i < 600; i++) {
		w[i] = (struct waiter){ .log = &l, .who = i };
		if (i % 5 == 3) {
			store_read_ended(b.store, 0, true, UINT64_MAX, 64, on_logged_rows, &w[i]);
		} else {
			struct store_change *c = box_change(&b);

			if (i % 5 != 4) /* else a barrier */
				box_put(&b, c, STORE_ENDED, 1 + (uint64_t)i);
			store_submit(b.store, c, on_logged, &w[i]);
		}
	}
	wait_for(&l, 600);
	for (int i = 0; i < 600; i++) {
		ck_assert_int_eq(l.who[i], i);
		ck_assert_int_eq(l.r[i], 0);
	}
	box_must_hold(&b);
	box_done(&b);
}
END_TEST

/* A change that can't be kept: it is about a version that is not there. */
static void submit_impossible(struct box *b, struct waiter *w)
{
	struct store_change *c = box_change(b);

	UNIT_CHECK(store_change_delete(c, STORE_ACTIVE, 999, 7) == 0, "no memory");
	store_submit(b->store, c, on_logged, w);
}

static void submit_put(struct box *b, struct waiter *w, uint64_t row)
{
	struct store_change *c = box_change(b);
	uint8_t record[512];

	record_fill(STORE_ACTIVE, row, 1, record);
	UNIT_CHECK(store_change_put(c, STORE_ACTIVE, row, 0, 1, 0, record, record_len(row, 1)) == 0,
		   "no memory");
	store_submit(b->store, c, on_logged, w);
}

START_TEST(failed_changes_are_called_back_in_the_opposite_order_before_anything_later)
{
	struct waiter w[64];
	struct box b;

	box_init(&b);
	box_must_open(&b);
	for (int round = 0; round < 20; round++) {
		struct log l = { .box = &b };
		unsigned n = 3 + (unsigned)round;

		for (unsigned i = 0; i < n + 2; i++)
			w[i] = (struct waiter){ .log = &l, .who = (int)i };
		submit_impossible(&b, &w[0]);
		/* What the thread has not seen fails as well as what it has. */
		if (round % 2)
			usleep(2000);
		for (unsigned i = 1; i < n; i++)
			submit_put(&b, &w[i], 100 + i);
		store_submit(b.store, box_change(&b), on_logged, &w[n]);
		store_read_ended_row(b.store, 1, on_logged_rows, &w[n + 1]);
		wait_for(&l, n + 2);
		for (unsigned i = 0; i < n; i++) {
			ck_assert_int_eq(l.who[i], (int)(n - 1 - i));
			ck_assert_int_lt(l.r[i], 0);
		}
		/* The barrier is done when all before it are, and says that they failed. */
		ck_assert_int_eq(l.who[n], (int)n);
		ck_assert_int_lt(l.r[n], 0);
		ck_assert_int_eq(l.who[n + 1], (int)n + 1);
		ck_assert_int_eq(l.r[n + 1], 0);
		box_must_hold(&b);
	}
	box_done(&b);
}
END_TEST

START_TEST(what_is_submitted_while_failures_are_called_back_fails_before_the_earlier_ones)
{
	struct waiter w[4];
	struct log l = { 0 };
	struct box b;

	box_init(&b);
	box_must_open(&b);
	l.box = &b;
	for (int i = 0; i < 4; i++)
		w[i] = (struct waiter){ .log = &l, .who = i };
	w[3].resubmit = 2;
	submit_impossible(&b, &w[0]);
	for (int i = 1; i < 4; i++)
		submit_put(&b, &w[i], 100 + (uint64_t)i);
	wait_for(&l, 6);
	ck_assert_int_eq(l.who[0], 3);
	ck_assert_int_eq(l.who[1], 1003);
	ck_assert_int_eq(l.who[2], 2003);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(l.who[3 + i], 2 - i);
	for (unsigned i = 0; i < l.n; i++)
		ck_assert_int_lt(l.r[i], 0);
	/* And from then on it goes on. */
	memset(&b.expected, 0, sizeof(b.expected));
	ck_assert(box_put_one(&b, STORE_ACTIVE, 101));
	box_must_hold(&b);
	box_done(&b);
}
END_TEST

START_TEST(a_change_is_kept_as_a_whole_or_not_at_all)
{
	struct store_change *c;
	struct rows before;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	before = b.expected;
	c = box_change(&b);
	box_put(&b, c, STORE_ACTIVE, 50);
	box_delete(&b, c, STORE_ENDED, 4);
	box_put(&b, c, STORE_ACTIVE, 7);
	ck_assert_int_eq(store_change_delete(c, STORE_ACTIVE, 8, 77), 0);
	ck_assert(!box_do(&b, c));
	b.expected = before;
	box_must_hold(&b);
	box_done(&b);
}
END_TEST

START_TEST(changes_submitted_from_within_done_are_kept)
{
	struct waiter w = { .who = 0, .resubmit = 50 };
	struct log l = { 0 };
	struct box b;

	box_init(&b);
	box_must_open(&b);
	l.box = &b;
	w.log = &l;
	store_submit(b.store, box_change(&b), on_logged, &w);
	wait_for(&l, 51);
	for (unsigned i = 0; i < 51; i++)
		ck_assert_int_eq(l.r[i], 0);
	box_must_hold(&b);
	box_done(&b);
}
END_TEST

START_TEST(a_close_keeps_and_calls_back_all_that_was_submitted)
{
	struct box b;

	box_init(&b);
	box_must_open(&b);
	for (int i = 0; i < 300; i++) {
		struct store_change *c = box_change(&b);

		box_put(&b, c, STORE_ACTIVE, 1 + (uint64_t)i % 100);
		box_submit(&b, c);
	}
	box_close(&b);
	ck_assert_uint_eq(b.n_kept, 300);
	box_must_open(&b);
	ck_assert(rows_equal(&b.found, &b.expected));
	box_done(&b);
}
END_TEST

START_TEST(a_change_never_submitted_leaves_nothing)
{
	struct store_change *c;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	c = box_change(&b);
	box_put(&b, c, STORE_ACTIVE, 1);
	store_change_free(c);
	store_change_free(NULL);
	memset(&b.expected, 0, sizeof(b.expected));
	box_must_hold(&b);
	box_done(&b);
}
END_TEST

UNIT_MAIN("store-order", all_is_called_back_in_the_order_of_submission,
	  failed_changes_are_called_back_in_the_opposite_order_before_anything_later,
	  what_is_submitted_while_failures_are_called_back_fails_before_the_earlier_ones,
	  a_change_is_kept_as_a_whole_or_not_at_all,
	  changes_submitted_from_within_done_are_kept,
	  a_close_keeps_and_calls_back_all_that_was_submitted,
	  a_change_never_submitted_leaves_nothing)
