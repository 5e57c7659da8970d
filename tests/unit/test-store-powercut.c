/*
 * tests/unit/test-store-powercut.c - whatever a power cut leaves is a store that opens, and has all
 * that was acknowledged.
 *
 * JETON_STATES=N tries about N states, all tests together, in place of some 9,000; JETON_SHARD=I/N
 * the I-th of N parts of them (tests/crash/powercuts does both).
 */
#include "agent/lock-file.h"
#include "agent/unsealing.h"

#include <sodium.h>

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

static void anchor_of(const struct box *b, char ret[static 80])
{
	snprintf(ret, 80, "%s-anchor", b->dir);
}

static void init(struct box *b)
{
	char anchor[80];

	if (!b->dir[0])
		box_init(b);
	anchor_of(b, anchor);
	UNIT_CHECK(mkdir(anchor, 0700) == 0, "mkdir: %s", strerror(errno));
}

/* As the agent starts: with the key in master.key, or the one beside it; or with that of the box. */
static int start(struct box *b, bool by_file)
{
	enum unsealed by;
	char anchor[80];
	int r;

	anchor_of(b, anchor);
	r = by_file ? unsealing_open(b->dir, anchor, NULL, b->key, &b->mem, &b->store, &by,
				     &b->error)
		    : store_open_anchored(b->dir, anchor, b->key, &b->mem, &b->store, &b->error);
	if (r < 0)
		b->store = NULL;
	return r < 0 ? r : box_load(b);
}

static void must_start(struct box *b, bool by_file)
{
	int r = start(b, by_file);

	UNIT_CHECK(r == 0, "can't open: %s (%s)", b->error.text, strerror(-r));
}

/* ---- states ---------------------------------------------------------------------------------- */

/* What is tried, of all that is left by cuts: each state once. */
static struct states {
	struct box left;
	bool by_file;
	size_t n_tried, n_alike;
	uint64_t seen[1 << 18]; /* a table of hashes; 0: free */
} states;

static bool is_new(uint64_t hash)
{
	size_t n = ARRAY_SIZE(states.seen), i = hash % n;

	hash += hash == 0;
	while (states.seen[i] != 0 && states.seen[i] != hash)
		i = (i + 1) % n;
	if (states.seen[i] == hash)
		return false;
	UNIT_CHECK(states.n_tried < n / 2, "too many states");
	states.seen[i] = hash;
	return true;
}

/* In what of its history a moment is: what may be found is the same within. */
static uint64_t period(size_t at)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < history.n; i++)
		n += (history.steps[i].submitted < at ? 1u : 0) +
		     (history.steps[i].answered <= at ? 1u : 0);
	return n * UINT64_C(0x9e3779b97f4a7c15);
}

static void must_be_good(const struct power_cut *cut)
{
	struct box *b = &states.left;
	int r = start(b, states.by_file);

	UNIT_CHECK(r == 0, "cut after %zu of %zu operations (%d, %lu): %s", cut->at, disk.n_ops,
		   (int)cut->loss, (unsigned long)cut->random, b->error.text);
	UNIT_CHECK(may_find(&b->found, cut->at),
		   "cut after %zu of %zu operations (%d, %lu): other rows", cut->at, disk.n_ops,
		   (int)cut->loss, (unsigned long)cut->random);
	box_close(b);
}

static void try_cut(size_t at, enum disk_loss loss, uint64_t random,
		    void (*check)(const struct power_cut *cut))
{
	struct power_cut cut = { .at = at, .loss = loss, .random = random };
	struct disk_left left = disk_cut(cut);

	if (is_new(left.hash ^ period(at))) {
		disk_put_left(&states.left, &left);
		check(&cut);
		states.n_tried++;
	} else {
		states.n_alike++;
	}
	disk_left_done(&left);
}

enum { MOMENTS = 2100 }; /* of all tests together */

/* How many are asked for, of a test of so many moments; 0: as ever. */
static size_t states_wanted(size_t n_moments)
{
	const char *all = getenv("JETON_STATES");

	return all ? strtoul(all, NULL, 10) * n_moments / MOMENTS : 0;
}

/* Every n-th of them is ours. */
static void shard(unsigned long *ret_i, unsigned long *ret_n)
{
	const char *text = getenv("JETON_SHARD");

	*ret_i = 0;
	*ret_n = 1;
	if (text)
		UNIT_CHECK(sscanf(text, "%lu/%lu", ret_i, ret_n) == 2 && *ret_i < *ret_n, "%s",
			   text);
}

/* Cuts at any moment, until there were as many states as are wanted, or there are no others. */
static void try_many(size_t wanted, void (*check)(const struct power_cut *cut))
{
	static const enum disk_loss ways[] = { LOSE_SECTORS, LOSE_SECTORS,  LOSE_SECTORS,
					       LOSE_SOME,    LOSE_TO_ZEROS, LOSE_LAST };
	unsigned long i, n;
	uint64_t random;

	shard(&i, &n);
	random = i * UINT64_C(0x5851f42d4c957f2d) + 1;
	for (size_t tries = 0; states.n_tried < wanted / n && tries < 30 * wanted / n; tries++) {
		size_t at = unit_random(&random) % (disk.n_ops + 1);
		enum disk_loss loss = ways[unit_random(&random) % ARRAY_SIZE(ways)];

		try_cut(at, loss, unit_random(&random), check);
	}
}

/* At about n_moments operations, all of them where there are no more: each way of losing. */
static void try_cuts_with(const struct box *b, size_t n_moments,
			  void (*check)(const struct power_cut *cut))
{
	size_t step = 1 + disk.n_ops * box_thinning() / n_moments;
	size_t wanted = states_wanted(n_moments);

	disk_stop();
	init(&states.left);
	memcpy(states.left.key, b->key, sizeof(b->key));
	states.by_file = box_has(b, "master.key");
	for (size_t at = 0; at <= disk.n_ops; at += step)
		for (enum disk_loss loss = LOSE_ALL; loss < N_LOSSES; loss++)
			for (uint64_t random = 1; random <= (loss >= LOSE_SOME ? 2 : 1); random++)
				try_cut(at, loss, random * 1000003 + at, check);
	try_many(wanted, check);
	printf("%zu states, and %zu that were like others\n", states.n_tried, states.n_alike);
	disk_box_done(&states.left);
	memset(&states, 0, sizeof(states));
	disk_done();
}

static void try_cuts(const struct box *b, size_t n_moments)
{
	try_cuts_with(b, n_moments, must_be_good);
}

static void begin(struct box *b)
{
	history.n = 0;
	history.before = b->expected;
	disk_start(b);
}

START_TEST(a_power_cut_in_a_first_start_or_the_first_changes)
{
	struct box b = { 0 };

	init(&b);
	begin(&b);
	must_start(&b, _i); /* makes its master key, too */
	for (unsigned i = 0; i < 6; i++)
		do_small_step(&b, i);
	box_close(&b);
	try_cuts(&b, 300);
	disk_box_done(&b);
}
END_TEST

START_TEST(a_power_cut_after_a_stop_or_a_kill)
{
	struct image m;
	struct box b = { 0 };

	init(&b);
	must_start(&b, false);
	box_fill(&b);
	m = box_image(&b);
	box_close(&b);
	if (_i)
		box_put_back(&b, &m);
	image_done(&m);
	begin(&b);
	for (int start = 0; start < 3; start++) {
		must_start(&b, false);
		for (unsigned i = 0; i < 3; i++)
			do_small_step(&b, i);
		box_close(&b);
	}
	try_cuts(&b, 300);
	disk_box_done(&b);
}
END_TEST

START_TEST(a_power_cut_around_a_checkpoint)
{
	struct box b = { 0 };

	init(&b);
	must_start(&b, false);
	for (uint64_t row = 1; row < 1500; row++) {
		struct store_change *c = box_change(&b);

		box_put(&b, c, STORE_ACTIVE, row);
		box_submit(&b, c);
	}
	box_wait(&b, 1499);
	box_close(&b);
	begin(&b);
	must_start(&b, false);
	for (unsigned i = 0; i < 24; i++)
		do_wide_step(&b, i);
	box_close(&b);
	try_cuts(&b, 40);
	disk_box_done(&b);
}
END_TEST

START_TEST(a_power_cut_while_a_store_of_before_is_taken_over)
{
	struct box b = { 0 };

	box_init_old(&b, _i);
	init(&b);
	begin(&b);
	must_start(&b, false);
	for (unsigned i = 0; i < 3; i++)
		do_small_step(&b, i);
	box_close(&b);
	try_cuts(&b, 150);
	disk_box_done(&b);
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
	struct box b = { 0 };

	init(&b);
	box_write(&b, "master.key", (struct bytes){ b.key, sizeof(b.key) });
	must_start(&b, false);
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
		while (!called && poll(&p, 1, 100000) == 1)
			store_dispatch(b.store);
	}
	do_small_step(&b, 2);
	try_cuts(&b, 150);
	disk_box_done(&b);
}
END_TEST

START_TEST(a_power_cut_after_a_sync_has_failed)
{
	struct box b = { 0 };

	for (unsigned at = 1; at < 12; at++) {
		unsigned n_refused = 0;

		init(&b);
		must_start(&b, false);
		box_fill(&b);
		box_close(&b);
		must_start(&b, false);
		begin(&b);
		disk.fail_sync_at = at;
		for (unsigned i = 0; i < 8; i++)
			do_small_step(&b, i);
		for (unsigned i = 0; i < history.n; i++)
			n_refused += !history.steps[i].kept;
		ck_assert_uint_eq(n_refused, at <= 9 ? 1 : 0);
		box_close(&b);
		try_cuts(&b, 40);
		disk_box_done(&b);
	}
}
END_TEST

static size_t n_wrong;

static void count_wrong(const struct power_cut *cut)
{
	struct box *b = &states.left;

	n_wrong += start(b, false) < 0 || !may_find(&b->found, cut->at) ? 1 : 0;
	box_close(b);
}

START_TEST(a_disk_that_does_not_do_what_it_says_would_be_noticed)
{
	struct box b = { 0 };

	init(&b);
	must_start(&b, false);
	begin(&b);
	for (unsigned i = 0; i < 6; i++)
		do_small_step(&b, i);
	disk.lies = true;
	try_cuts_with(&b, 20, count_wrong);
	ck_assert_uint_gt(n_wrong, 5);
	disk.lies = false;
	disk_box_done(&b);
}
END_TEST

/* ---- the file that says that it is locked ---------------------------------------------------- */

static struct lock_history {
	unsigned n;
	struct {
		size_t begun, done;
		bool locks;
	} steps[8];
} locks;

/* By then: 1 locked, 0 not, -1 either. */
static int locked_at(size_t at)
{
	int is = 0;

	for (unsigned i = 0; i < locks.n; i++)
		if (locks.steps[i].done <= at)
			is = locks.steps[i].locks;
		else if (locks.steps[i].begun < at)
			is = -1;
	return is;
}

static void must_be_locked_or_not(const struct power_cut *cut)
{
	int is = locked_at(cut->at), r;
	struct state_dir d;
	struct lockbox box;
	struct store_error e;

	UNIT_CHECK(state_dir_open(states.left.dir, &d, &e) == 0, "%s", e.text);
	r = lock_file_read(&d, &box, &e);
	UNIT_CHECK(r >= 0, "cut after %zu operations: %s", cut->at, e.text);
	UNIT_CHECK(is < 0 || r == is, "cut after %zu operations: locked: %d", cut->at, r);
	state_dir_close(&d);
}

static void do_lock_step(const struct state_dir *d, const struct lockbox *box, bool lock)
{
	unsigned i = locks.n++;

	locks.steps[i].begun = disk_now();
	locks.steps[i].locks = lock;
	ck_assert_int_eq(lock ? lock_file_write(d, box) : lock_file_remove(d), 0);
	locks.steps[i].done = disk_now();
}

START_TEST(a_power_cut_while_it_is_locked_or_unlocked)
{
	static const struct lockbox_cost cheap = { 64 * 1024, 1 };
	struct lockbox_room room;
	struct lockbox lockbox;
	struct box b = { 0 };
	struct store_error e;
	struct state_dir d;

	ck_assert_int_ge(sodium_init(), 0);
	init(&b);
	ck_assert_int_eq(lockbox_make(SPAN("p"), &cheap, 1, 2, &room, &lockbox), 0);
	ck_assert_int_eq(state_dir_open(b.dir, &d, &e), 0);
	begin(&b);
	for (unsigned i = 0; i < 4; i++)
		do_lock_step(&d, &lockbox, i % 2 == 0);
	ck_assert_uint_gt(disk.n_ops, 12);
	try_cuts_with(&b, 20, must_be_locked_or_not);
	state_dir_close(&d);
	disk_box_done(&b);
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
	tcase_add_loop_test(tcase, a_power_cut_in_a_first_start_or_the_first_changes, 0, 2);
	tcase_add_loop_test(tcase, a_power_cut_after_a_stop_or_a_kill, 0, 2);
	tcase_add_test(tcase, a_power_cut_around_a_checkpoint);
	tcase_add_test(tcase, a_power_cut_after_a_sync_has_failed);
	tcase_add_loop_test(tcase, a_power_cut_while_the_keys_are_changed, 0, 2);
	tcase_add_loop_test(tcase, a_power_cut_while_a_store_of_before_is_taken_over, 0, 2);
	tcase_add_test(tcase, a_power_cut_while_it_is_locked_or_unlocked);
	tcase_add_test(tcase, a_disk_that_does_not_do_what_it_says_would_be_noticed);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
