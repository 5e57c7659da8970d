/*
 * tests/unit/test-store-names.c - somebody takes a store's files away while it is in use, or puts others in their
 * place: nothing that was acknowledged is lost, and nothing of theirs is written to.
 */
#include "tests/unit/store-box.h"

static const char *const names[] = { "store.db", "store.db-wal" };

/* Which of the files: 0 the one, 1 the other, 2 both. */
static void take_away(const struct box *b, int which, bool rename_it)
{
	for (int i = 0; i < 2; i++) {
		char from[128], to[128];

		if (which != 2 && which != i)
			continue;
		box_path(b, names[i], from);
		snprintf(to, sizeof(to), "%s/away%d", b->dir, i);
		ck_assert_int_eq(rename_it ? rename(from, to) : unlink(from), 0);
	}
}

static void clear_away(const struct box *b)
{
	box_remove(b, "away0");
	box_remove(b, "away1");
}

START_TEST(files_taken_away_are_made_anew_by_the_next_change_with_all_that_was_kept)
{
	struct image m;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	take_away(&b, _i / 2, _i % 2);
	ck_assert(box_put_one(&b, STORE_ACTIVE, 50));
	ck_assert_int_eq(store_files_befell(b.store), -ESTALE);
	ck_assert_int_eq(store_files_befell(b.store), 0);
	clear_away(&b);
	/* As after a kill, too. */
	m = box_image(&b);
	box_close(&b);
	box_put_back(&b, &m);
	image_done(&m);
	box_must_hold(&b);
	ck_assert(box_put_one(&b, STORE_ACTIVE, 51));
	ck_assert_int_eq(store_files_befell(b.store), 0);
	box_done(&b);
}
END_TEST

START_TEST(files_taken_away_are_made_anew_by_a_stop)
{
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	take_away(&b, _i / 2, _i % 2);
	box_must_hold(&b);
	clear_away(&b);
	box_done(&b);
}
END_TEST

static void on_read(void *userdata, struct store_rows *rows, int r)
{
	*(int *)userdata = r;
	store_rows_free(rows);
}

static int read_one(struct box *b)
{
	struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };
	int r = 1;

	store_read_ended_row(b->store, 5, on_read, &r);
	while (r == 1 && poll(&p, 1, 100000) == 1)
		store_dispatch(b->store);
	return r;
}

static bool refuses(struct box *b)
{
	struct rows before = b->expected;
	bool kept = box_put_one(b, STORE_ACTIVE, 60);

	b->expected = before;
	return !kept;
}

static void on_rekeyed(void *userdata, int r)
{
	*(int *)userdata = r;
}

static int rekey(struct box *b)
{
	struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };
	int r = 1;

	ck_assert_int_eq(store_rekey(b->store, b->key, false, on_rekeyed, &r), 0);
	while (r == 1 && poll(&p, 1, 100000) == 1)
		store_dispatch(b->store);
	return r;
}

START_TEST(a_file_of_somebody_elses_in_their_place_is_left_alone_and_changes_are_refused)
{
	static uint8_t theirs[] = "theirs";
	struct bytes put = { theirs, sizeof(theirs) }, found;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	take_away(&b, _i, true);
	box_write(&b, names[_i], put);
	for (unsigned i = 0; i < 3; i++)
		ck_assert(refuses(&b));
	ck_assert_int_eq(store_files_befell(b.store), -EEXIST);
	ck_assert_int_lt(rekey(&b), 0);
	ck_assert_int_eq(read_one(&b), 0);
	found = box_read(&b, names[_i]);
	ck_assert(bytes_equal(found, put));
	free(found.p);
	/* Once it is out of the way all goes on, at the latest at the next try. */
	box_remove(&b, names[_i]);
	for (unsigned i = 0; i < 100 && !box_put_one(&b, STORE_ACTIVE, 61); i++) {
		b.expected.version[STORE_ACTIVE][61] = 0;
		poll(NULL, 0, 50);
	}
	ck_assert_int_eq(rekey(&b), 0);
	clear_away(&b);
	box_must_hold(&b);
	ck_assert_uint_eq(b.found.version[STORE_ACTIVE][61], 1);
	box_done(&b);
}
END_TEST

START_TEST(a_stop_leaves_a_file_of_somebody_elses_alone)
{
	static uint8_t theirs[] = "theirs";
	struct bytes put = { theirs, sizeof(theirs) }, found;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	take_away(&b, _i, true);
	box_write(&b, names[_i], put);
	box_close(&b);
	found = box_read(&b, names[_i]);
	ck_assert(bytes_equal(found, put));
	free(found.p);
	clear_away(&b);
	box_done(&b);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("store-names");
	Suite *suite = suite_create("store-names");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, files_taken_away_are_made_anew_by_the_next_change_with_all_that_was_kept,
			    0, 6);
	tcase_add_loop_test(tcase, files_taken_away_are_made_anew_by_a_stop, 0, 6);
	tcase_add_loop_test(
		tcase, a_file_of_somebody_elses_in_their_place_is_left_alone_and_changes_are_refused, 0, 2);
	tcase_add_loop_test(tcase, a_stop_leaves_a_file_of_somebody_elses_alone, 0, 2);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
