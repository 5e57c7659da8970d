/*
 * tests/unit/test-anchor-powercut.c - whatever a power cut leaves of a store and its anchor, in two directories
 * of which neither is sure when the other is, starts; and the anchor still tells what was put back.
 */
#include "tests/unit/store-disk.h"

#include "tests/unit/anchor-box.h"

enum { N_OLD = 8 };

/* Copies of the store as it was when a token had just not ended yet, and from when on they are old. */
static struct {
	struct image m;
	size_t old_from;
} old[N_OLD];
static unsigned n_old;

static void end_one(struct anchored *b, uint64_t row)
{
	struct store_change *c = box_change(&b->box);

	UNIT_CHECK(n_old < N_OLD, "too many copies");
	old[n_old].m = box_image(&b->box);
	box_delete(&b->box, c, STORE_ACTIVE, row);
	box_put(&b->box, c, STORE_ENDED, row);
	UNIT_CHECK(box_do(&b->box, c), "not kept");
	old[n_old++].old_from = disk_now();
}

/* A first start, changes, a stop, a start; then a store that is made in the place of the first. */
static void work(struct anchored *b)
{
	anchored_must_open(b);
	for (uint64_t row = 1; row <= 4; row++)
		UNIT_CHECK(box_put_one(&b->box, STORE_ACTIVE, row), "not kept");
	end_one(b, 1);
	end_one(b, 2);
	box_close(&b->box);
	anchored_must_open(b);
	end_one(b, 3);
	(void)box_put_one(&b->box, STORE_ACTIVE, 9);
	box_close(&b->box);
}

static void make_another(struct anchored *b)
{
	box_remove(&b->box, "store.db");
	memset(&b->box.expected, 0, sizeof(b->box.expected));
	anchored_must_open(b);
	UNIT_CHECK(box_put_one(&b->box, STORE_ACTIVE, 4), "not kept");
	end_one(b, 4);
	box_close(&b->box);
}

/* What the cut leaves starts; and where it has an anchor, the copies that were old by then do not. */
static void try_cut(const struct anchored *b, const struct power_cut *cut)
{
	struct disk_left on_disk;
	struct anchored left;
	bool has_anchor;
	int r;

	anchored_init(&left);
	memcpy(left.box.key, b->box.key, sizeof(left.box.key));
	on_disk = disk_cut(*cut);
	disk_put_left(&left.box, &on_disk);
	disk_left_done(&on_disk);
	has_anchor = box_has(&left.box, ANCHOR_FILE);
	for (unsigned i = 0; i < n_old; i++) {
		struct image now;

		if (old[i].old_from > cut->at || !has_anchor)
			continue;
		now = box_image(&left.box);
		box_put_back(&left.box, &old[i].m);
		r = anchored_open(&left);
		UNIT_CHECK(r == -ESTALE, "cut after %zu of %zu (%d): copy %u is taken (%d)", cut->at,
			   disk.n_ops, (int)cut->loss, i, r);
		box_put_back(&left.box, &now);
		image_done(&now);
	}
	r = anchored_open(&left);
	UNIT_CHECK(r == 0, "cut after %zu of %zu (%d, %lu): %s", cut->at, disk.n_ops, (int)cut->loss,
		   (unsigned long)cut->random, left.box.error.text);
	anchored_done(&left);
}

static void try_cuts(const struct anchored *b)
{
	size_t step = 1 + box_thinning() / 2;

	disk_stop();
	for (size_t at = 0; at <= disk.n_ops; at += step)
		for (enum disk_loss loss = LOSE_ALL; loss < N_LOSSES; loss++)
			try_cut(b, &(struct power_cut){ .at = at, .loss = loss, .random = 1000003 + at });
	disk_done();
	for (unsigned i = 0; i < n_old; i++)
		image_done(&old[i].m);
	n_old = 0;
}

START_TEST(a_power_cut_never_leaves_a_store_that_is_behind_its_anchor)
{
	struct anchored b;

	anchored_init(&b);
	disk_start(&b.box);
	work(&b);
	try_cuts(&b);
	anchored_done(&b);
}
END_TEST

START_TEST(a_power_cut_while_a_store_is_made_in_the_place_of_another)
{
	struct anchored b;

	anchored_init(&b);
	work(&b);
	disk_start(&b.box);
	make_another(&b);
	try_cuts(&b);
	anchored_done(&b);
}
END_TEST

START_TEST(a_power_cut_after_a_sync_of_the_anchor_or_the_store_has_failed)
{
	struct anchored b;

	anchored_init(&b);
	anchored_must_open(&b);
	UNIT_CHECK(box_put_one(&b.box, STORE_ACTIVE, 1) && box_put_one(&b.box, STORE_ACTIVE, 2), "not kept");
	disk_start(&b.box);
	disk.fail_sync_at = (unsigned)_i;
	for (uint64_t row = 1; row <= 2; row++) {
		struct store_change *c = box_change(&b.box);
		struct rows before = b.box.expected;

		box_delete(&b.box, c, STORE_ACTIVE, row);
		box_put(&b.box, c, STORE_ENDED, row);
		if (!box_do(&b.box, c))
			b.box.expected = before;
	}
	box_close(&b.box);
	try_cuts(&b);
	anchored_done(&b);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("anchor-powercut");
	Suite *suite = suite_create("anchor-powercut");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, a_power_cut_never_leaves_a_store_that_is_behind_its_anchor);
	tcase_add_test(tcase, a_power_cut_while_a_store_is_made_in_the_place_of_another);
	tcase_add_loop_test(tcase, a_power_cut_after_a_sync_of_the_anchor_or_the_store_has_failed, 1, 6);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
