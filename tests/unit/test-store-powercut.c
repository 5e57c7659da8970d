/*
 * tests/unit/test-store-powercut.c - whatever a power cut leaves is a store that opens, and has all
 * that was acknowledged.
 */
#include "agent/unsealing.h"
#include "tests/unit/store-disk.h"
#include "tests/unit/store-format-1.h"

enum { MAX_STEPS = 64 };

/* When each step was submitted and answered, in operations of the disk. */
struct history {
	unsigned n;
	struct step {
		size_t submitted, answered;
		bool kept;
		struct rows after; /* if it was kept, on top of those kept before */
	} steps[MAX_STEPS];
	struct rows before;
};

static struct history history;

static void do_step(struct box *b, struct store_change *c, const struct rows *before)
{
	struct step *s = &history.steps[history.n++];

	UNIT_CHECK(history.n <= MAX_STEPS, "too many steps");
	s->submitted = disk_now();
	s->after = b->expected;
	s->kept = box_do(b, c);
	s->answered = disk_now();
	if (!s->kept)
		b->expected = *before;
}

static void do_small_step(struct box *b, unsigned i)
{
	struct rows before = b->expected;
	struct store_change *c = box_change(b);

	box_put(b, c, STORE_ACTIVE, 100 + i);
	box_put(b, c, STORE_ENDED, 5);
	do_step(b, c, &before);
}

static void do_wide_step(struct box *b, unsigned i)
{
	struct rows before = b->expected;
	struct store_change *c = box_change(b);

	for (uint64_t row = 1 + i % 10; row < 1500; row += 10)
		box_put(b, c, STORE_ACTIVE, row);
	do_step(b, c, &before);
}

/*
 * After a cut at this moment: what was kept by then is there, what was refused by then is not, and
 * of what was under way all or nothing.
 */
static bool may_find(const struct rows *found, size_t at)
{
	const struct rows *sure = &history.before;
	bool found_one = false;

	for (unsigned i = 0; i < history.n; i++)
		if (history.steps[i].kept && history.steps[i].answered <= at)
			sure = &history.steps[i].after;
	found_one = rows_equal(found, sure);
	for (unsigned i = 0; i < history.n && !found_one; i++)
		if (history.steps[i].submitted < at && history.steps[i].answered > at)
			found_one = rows_equal(found, &history.steps[i].after);
	return found_one;
}

/* As the agent starts: with the key in master.key, or the one beside it. */
static int start(struct box *b)
{
	enum unsealed by;
	int r = unsealing_open(b->dir, NULL, NULL, b->key, &b->mem, &b->store, &by, &b->error);

	return r < 0 ? r : box_load(b);
}

static void try_cut(const struct box *b, size_t at, enum disk_loss loss, uint64_t random)
{
	struct power_cut cut = { .at = at, .loss = loss, .random = random };
	struct box left;
	int r;

	box_init(&left);
	memcpy(left.key, b->key, sizeof(left.key));
	disk_cut(&left, cut);
	r = box_has(&left, "master.key") ? start(&left) : box_open(&left);
	UNIT_CHECK(r == 0, "cut after %zu of %zu operations (%d, %lu): %s", at, disk.n_ops,
		   (int)loss, (unsigned long)random, left.error.text);
	UNIT_CHECK(may_find(&left.found, at),
		   "cut after %zu of %zu operations (%d, %lu): other rows", at, disk.n_ops,
		   (int)loss, (unsigned long)random);
	box_done(&left);
}

/* At about n_moments operations, all of them where there are no more: each way of losing. */
static void try_cuts(const struct box *b, size_t n_moments)
{
	size_t step = 1 + disk.n_ops * box_thinning() / n_moments;

	disk_stop();
	for (size_t at = 0; at <= disk.n_ops; at += step)
		for (enum disk_loss loss = LOSE_ALL; loss < N_LOSSES; loss++)
			for (uint64_t random = 1; random <= (loss >= LOSE_SOME ? 2 : 1); random++)
				try_cut(b, at, loss, random * 1000003 + at);
	disk_done();
}

static void begin(struct box *b)
{
	history.n = 0;
	history.before = b->expected;
	disk_start(b);
}

START_TEST(a_power_cut_in_a_first_start_or_the_first_changes)
{
	struct box b;

	box_init(&b);
	begin(&b);
	box_must_open(&b);
	for (unsigned i = 0; i < 6; i++)
		do_small_step(&b, i);
	box_close(&b);
	try_cuts(&b, 300);
	box_done(&b);
}
END_TEST

START_TEST(a_power_cut_after_a_stop_or_a_kill)
{
	struct image m;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	m = box_image(&b);
	box_close(&b);
	if (_i)
		box_put_back(&b, &m);
	image_done(&m);
	begin(&b);
	for (int start = 0; start < 3; start++) {
		box_must_open(&b);
		for (unsigned i = 0; i < 3; i++)
			do_small_step(&b, i);
		box_close(&b);
	}
	try_cuts(&b, 300);
	box_done(&b);
}
END_TEST

START_TEST(a_power_cut_around_a_checkpoint)
{
	struct box b;

	box_init(&b);
	box_must_open(&b);
	for (uint64_t row = 1; row < 1500; row++) {
		struct store_change *c = box_change(&b);

		box_put(&b, c, STORE_ACTIVE, row);
		box_submit(&b, c);
	}
	box_wait(&b, 1499);
	box_close(&b);
	begin(&b);
	box_must_open(&b);
	for (unsigned i = 0; i < 24; i++)
		do_wide_step(&b, i);
	box_close(&b);
	try_cuts(&b, 40);
	box_done(&b);
}
END_TEST

START_TEST(a_power_cut_while_a_store_of_before_is_taken_over)
{
	struct box b;

	box_init_old(&b, _i);
	begin(&b);
	box_must_open(&b);
	for (unsigned i = 0; i < 3; i++)
		do_small_step(&b, i);
	box_close(&b);
	try_cuts(&b, 150);
	box_done(&b);
}
END_TEST

static void on_rekeyed(void *userdata, int r)
{
	ck_assert_int_eq(r, 0);
	*(bool *)userdata = true;
}

START_TEST(a_power_cut_while_the_keys_are_changed)
{
	struct pollfd p = { .events = POLLIN };
	struct box b;

	box_init(&b);
	box_write(&b, "master.key", (struct bytes){ b.key, sizeof(b.key) });
	box_must_open(&b);
	box_fill(&b);
	/* The log has changes that are not in the file, or the file has all. */
	if (_i)
		box_must_hold(&b);
	begin(&b);
	for (unsigned i = 0; i < 2; i++) {
		uint8_t key[STORE_KEY_LEN];
		bool called = false;

		do_small_step(&b, i);
		memset(key, (int)i + 1, sizeof(key));
		ck_assert_int_eq(store_rekey(b.store, key, true, on_rekeyed, &called), 0);
		p.fd = store_fd(b.store);
		while (!called && poll(&p, 1, 10000) == 1)
			store_dispatch(b.store);
	}
	do_small_step(&b, 2);
	try_cuts(&b, 150);
	box_done(&b);
}
END_TEST

START_TEST(a_power_cut_after_a_sync_has_failed)
{
	struct box b;

	for (unsigned at = 1; at < 12; at++) {
		unsigned n_refused = 0;

		box_init(&b);
		box_must_open(&b);
		box_fill(&b);
		box_close(&b);
		box_must_open(&b);
		begin(&b);
		disk.fail_sync_at = at;
		for (unsigned i = 0; i < 8; i++)
			do_small_step(&b, i);
		for (unsigned i = 0; i < history.n; i++)
			n_refused += !history.steps[i].kept;
		ck_assert_uint_eq(n_refused, at <= 9 ? 1 : 0);
		box_close(&b);
		try_cuts(&b, 40);
		box_done(&b);
	}
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("store-powercut");
	Suite *suite = suite_create("store-powercut");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, a_power_cut_in_a_first_start_or_the_first_changes);
	tcase_add_loop_test(tcase, a_power_cut_after_a_stop_or_a_kill, 0, 2);
	tcase_add_test(tcase, a_power_cut_around_a_checkpoint);
	tcase_add_test(tcase, a_power_cut_after_a_sync_has_failed);
	tcase_add_loop_test(tcase, a_power_cut_while_the_keys_are_changed, 0, 2);
	tcase_add_loop_test(tcase, a_power_cut_while_a_store_of_before_is_taken_over, 0, 2);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
