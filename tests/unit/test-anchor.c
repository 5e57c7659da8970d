/*
 * tests/unit/test-anchor.c - an old copy of the store is told by its anchor, and nothing else is ever taken for
 * one: not after a kill at any call, nor what a power cut leaves.
 */
#include <sodium.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/unit/anchor-box.h"
#include "tests/unit/store-faults.h"
#include "tests/unit/store-format-1.h"

/* ---- an old copy ----------------------------------------------------------------------------- */

/* A token of row 1 to 8 ends. */
static void end_one(struct anchored *b, uint64_t row)
{
	struct store_change *c = box_change(&b->box);

	box_delete(&b->box, c, STORE_ACTIVE, row);
	box_put(&b->box, c, STORE_ENDED, row);
	ck_assert(box_do(&b->box, c));
}

static void must_refuse(struct anchored *b, const char *why)
{
	struct image before = box_image(&b->box);
	struct bytes anchor = anchored_read(b), after;

	ck_assert_int_eq(anchored_open(b), -ESTALE);
	ck_assert_msg(strstr(b->box.error.text, why) && strstr(b->box.error.text, b->box.dir) &&
			      strstr(b->box.error.text, b->path),
		      "%s", b->box.error.text);
	ck_assert_msg(box_is(&b->box, &before), "the store was changed");
	after = anchored_read(b);
	ck_assert(bytes_equal(anchor, after));
	image_done(&before);
	free(anchor.p);
	free(after.p);
}

START_TEST(an_old_copy_put_back_is_refused_with_the_way_out_and_not_a_byte_changes)
{
	struct anchored b;
	struct image old;

	anchored_init(&b);
	anchored_must_open(&b);
	for (uint64_t row = 1; row <= 8; row++)
		ck_assert(box_put_one(&b.box, STORE_ACTIVE, row));
	if (_i)
		box_close(&b.box);
	old = box_image(&b.box);
	if (_i)
		anchored_must_open(&b);
	/* The last thing before the end, by a kill: no second has passed, and nobody stopped it. */
	end_one(&b, 3);
	anchored_kill(&b);
	box_put_back(&b.box, &old);
	must_refuse(&b, "is an old copy, 1 changes behind");
	/* The way out that it names. */
	anchored_remove(&b);
	ck_assert_int_eq(anchored_open(&b), 0);
	ck_assert(store_lacked_anchor(b.box.store));
	box_close(&b.box);
	anchored_must_open(&b);
	ck_assert(!store_lacked_anchor(b.box.store));
	image_done(&old);
	anchored_done(&b);
}
END_TEST

START_TEST(what_no_token_ended_by_is_covered_within_a_second_and_by_a_stop)
{
	struct bytes before;
	struct anchored b;
	struct image old;

	anchored_init(&b);
	anchored_must_open(&b);
	old = box_image(&b.box);
	before = anchored_read(&b);
	ck_assert(box_put_one(&b.box, STORE_ACTIVE, 1));
	if (_i)
		anchored_wait(&b, before);
	else
		box_close(&b.box);
	if (_i)
		anchored_kill(&b);
	box_put_back(&b.box, &old);
	must_refuse(&b, "is an old copy");
	image_done(&old);
	free(before.p);
	anchored_done(&b);
}
END_TEST

START_TEST(another_store_in_its_place_is_refused_and_one_made_anew_is_not)
{
	struct anchored b;
	struct image old;

	anchored_init(&b);
	anchored_must_open(&b);
	ck_assert(box_put_one(&b.box, STORE_ACTIVE, 1));
	box_close(&b.box);
	old = box_image(&b.box);
	box_remove(&b.box, "store.db");
	anchored_must_open(&b);
	ck_assert(!store_lacked_anchor(b.box.store));
	box_close(&b.box);
	box_put_back(&b.box, &old);
	must_refuse(&b, "is another one");
	image_done(&old);
	anchored_done(&b);
}
END_TEST

START_TEST(one_of_before_it_was_taken_over_is_an_old_copy)
{
	struct image old;
	struct anchored b;

	box_init_old(&b.box, true);
	anchored_init_beside(&b);
	old = box_image(&b.box);
	ck_assert_int_eq(anchored_open(&b), 0);
	ck_assert(store_is_migrated(b.box.store) && store_lacked_anchor(b.box.store));
	box_close(&b.box);
	ck_assert_int_eq(anchored_open(&b), 0);
	box_close(&b.box);
	box_put_back(&b.box, &old);
	must_refuse(&b, "is an old copy");
	image_done(&old);
	anchored_done(&b);
}
END_TEST

static void on_rekeyed(void *userdata, int r)
{
	*(int *)userdata = r;
}

START_TEST(other_keys_are_no_other_store_and_one_of_before_them_is_an_old_copy)
{
	struct pollfd p = { .events = POLLIN };
	uint8_t key[STORE_KEY_LEN];
	struct anchored b;
	struct image old;
	int r = 1;

	anchored_init(&b);
	anchored_must_open(&b);
	ck_assert(box_put_one(&b.box, STORE_ACTIVE, 1));
	box_close(&b.box);
	old = box_image(&b.box);
	anchored_must_open(&b);
	memset(key, 7, sizeof(key));
	ck_assert_int_eq(store_rekey(b.box.store, key, false, on_rekeyed, &r), 0);
	p.fd = store_fd(b.box.store);
	while (r == 1 && poll(&p, 1, 100000) == 1)
		store_dispatch(b.box.store);
	ck_assert_int_eq(r, 0);
	box_close(&b.box);
	memcpy(b.box.key, key, sizeof(key));
	anchored_must_open(&b);
	box_close(&b.box);
	memset(b.box.key, 0x5a, sizeof(b.box.key));
	box_put_back(&b.box, &old);
	must_refuse(&b, "is an old copy");
	image_done(&old);
	anchored_done(&b);
}
END_TEST

/* ---- the file -------------------------------------------------------------------------------- */

/* Of the two places that the file has, one is the mark, and a write that was torn is in the other. */
START_TEST(a_torn_place_leaves_the_other_and_damage_to_both_is_refused)
{
	struct anchored b;
	struct bytes whole, f;

	anchored_init(&b);
	anchored_must_open(&b);
	ck_assert(box_put_one(&b.box, STORE_ACTIVE, 1));
	ck_assert(box_put_one(&b.box, STORE_ACTIVE, 2));
	box_close(&b.box);
	anchored_must_open(&b);
	ck_assert(box_put_one(&b.box, STORE_ACTIVE, 3));
	box_close(&b.box);
	whole = anchored_read(&b);
	ck_assert_uint_eq(whole.n, 4096 + 64);
	for (size_t bit = 0; bit < 64 * 8; bit++) {
		f = anchored_read(&b);
		f.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		f.p[4096 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		anchored_write(&b, f);
		ck_assert_int_eq(anchored_open(&b), -EBADMSG);
		ck_assert_msg(strstr(b.box.error.text, "is damaged") && strstr(b.box.error.text, b.path),
			      "%s", b.box.error.text);
		f.p[_i ? 4096 + bit / 8 : bit / 8] = whole.p[_i ? 4096 + bit / 8 : bit / 8];
		anchored_write(&b, f);
		ck_assert_int_eq(anchored_open(&b), 0);
		box_close(&b.box);
		anchored_write(&b, whole);
		free(f.p);
	}
	free(whole.p);
	anchored_done(&b);
}
END_TEST

START_TEST(each_shorter_file_is_one_mark_or_damaged_and_a_newer_one_is_said_to_be)
{
	struct anchored b;
	struct bytes f;

	anchored_init(&b);
	anchored_must_open(&b);
	box_close(&b.box);
	f = anchored_read(&b);
	for (size_t n = 0; n < 130; n++) {
		int r;

		anchored_write(&b, (struct bytes){ f.p, n });
		r = anchored_open(&b);
		ck_assert_int_eq(r, n < 64 ? -EBADMSG : 0);
		if (r == 0)
			box_close(&b.box);
	}
	f.p[8] = 2;
	crypto_generichash(f.p + 48, 16, f.p, 48, NULL, 0);
	anchored_write(&b, f);
	ck_assert_int_eq(anchored_open(&b), -EPROTONOSUPPORT);
	ck_assert(strstr(b.box.error.text, "newer Jeton"));
	free(f.p);
	anchored_done(&b);
}
END_TEST

START_TEST(a_file_or_a_directory_that_others_could_have_written_is_refused)
{
	struct anchored b;

	anchored_init(&b);
	anchored_must_open(&b);
	box_close(&b.box);
	ck_assert_int_eq(chmod(b.path, 0620), 0);
	ck_assert_int_eq(anchored_open(&b), -EPERM);
	ck_assert(strstr(b.box.error.text, "chmod 0600"));
	ck_assert_int_eq(chmod(b.path, 0600), 0);
	ck_assert_int_eq(chmod(b.dir, 0777), 0);
	ck_assert_int_eq(anchored_open(&b), -EPERM);
	ck_assert_int_eq(chmod(b.dir, 0700), 0);
	ck_assert_int_eq(unlink(b.path), 0);
	ck_assert_int_eq(symlink("/dev/null", b.path), 0);
	ck_assert_int_eq(anchored_open(&b), -EBADMSG);
	ck_assert(strstr(b.box.error.text, "no plain file"));
	ck_assert_int_eq(unlink(b.path), 0);
	anchored_done(&b);
}
END_TEST

START_TEST(it_must_be_apart_from_the_store_and_one_agents_alone)
{
	struct anchored b;
	struct store *second;
	struct store_error e;
	struct box other;

	anchored_init(&b);
	ck_assert_int_eq(store_open_anchored(b.box.dir, b.box.dir, b.box.key, &b.box.mem, &second, &e),
			 -EINVAL);
	ck_assert(strstr(e.text, "--anchor"));
	anchored_must_open(&b);
	box_init(&other);
	ck_assert_int_eq(store_open_anchored(other.dir, b.dir, b.box.key, &b.box.mem, &second, &e),
			 -EWOULDBLOCK);
	ck_assert(strstr(e.text, "another agent has its anchor in"));
	box_done(&other);
	anchored_done(&b);
}
END_TEST

/* ---- what fails ------------------------------------------------------------------------------ */

static void must_open_again(struct anchored *b)
{
	struct rows expected = b->box.expected;
	int r = anchored_open(b);

	UNIT_CHECK(r == 0, "%s", b->box.error.text);
	UNIT_CHECK(rows_equal(&b->box.found, &expected), "other rows");
}

START_TEST(an_anchor_that_can_not_be_written_is_told_and_keeps_nothing_back)
{
	enum fault_call call = _i ? FAULT_SYNC : FAULT_WRITE;
	struct anchored b;

	anchored_init(&b);
	anchored_must_open(&b);
	ck_assert(box_put_one(&b.box, STORE_ACTIVE, 1));
	ck_assert(box_put_one(&b.box, STORE_ACTIVE, 2));
	fault_arm(call, 1, true, EIO);
	fault.file = "/anchor";
	end_one(&b, 1);
	ck_assert(fault_disarm());
	ck_assert_int_eq(store_anchor_error(b.box.store), -EIO);
	/* As a new file, which nothing stands in the way of any more. */
	end_one(&b, 2);
	ck_assert_int_eq(store_anchor_error(b.box.store), 0);
	box_close(&b.box);
	must_open_again(&b);
	anchored_done(&b);
}
END_TEST

/* ---- what it costs --------------------------------------------------------------------------- */

START_TEST(changes_by_which_no_token_ends_cost_one_sync_in_a_second)
{
	struct timespec begin, end;
	struct anchored b;

	anchored_init(&b);
	anchored_must_open(&b);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	fault_arm(FAULT_SYNC, UINT32_MAX, false, EIO);
	fault.file = "/anchor";
	for (unsigned i = 0; i < 500; i++)
		ck_assert(box_put_one(&b.box, STORE_ACTIVE, 1 + i % 100));
	(void)fault_disarm();
	clock_gettime(CLOCK_MONOTONIC, &end);
	ck_assert_uint_le(fault.n_calls, 1 + (unsigned)(end.tv_sec - begin.tv_sec + 1));
	anchored_done(&b);
}
END_TEST

START_TEST(tokens_that_end_together_cost_one_sync_together)
{
	struct store_change *c;
	struct anchored b;

	anchored_init(&b);
	anchored_must_open(&b);
	for (uint64_t row = 1; row <= 200; row++)
		ck_assert(box_put_one(&b.box, STORE_ACTIVE, row));
	fault_arm(FAULT_SYNC, UINT32_MAX, false, EIO);
	fault.file = "/anchor";
	c = box_change(&b.box);
	for (uint64_t row = 1; row <= 200; row++) {
		box_delete(&b.box, c, STORE_ACTIVE, row);
		box_put(&b.box, c, STORE_ENDED, row);
	}
	ck_assert(box_do(&b.box, c));
	(void)fault_disarm();
	ck_assert_uint_le(fault.n_calls, 2);
	ck_assert_uint_ge(fault.n_calls, 1);
	anchored_done(&b);
}
END_TEST

/* ---- kills ----------------------------------------------------------------------------------- */

/* A first start, changes, a stop, a start, changes: killed at the how many-th call. */
static void work(struct anchored *b)
{
	anchored_must_open(b);
	for (uint64_t row = 1; row <= 3; row++)
		(void)box_put_one(&b->box, STORE_ACTIVE, row);
	end_one(b, 1);
	box_close(&b->box);
	anchored_must_open(b);
	end_one(b, 2);
	/* A second store, made where the first is taken away. */
	box_close(&b->box);
	box_remove(&b->box, "store.db");
	memset(&b->box.expected, 0, sizeof(b->box.expected));
	anchored_must_open(b);
	(void)box_put_one(&b->box, STORE_ACTIVE, 4);
	end_one(b, 4);
	box_close(&b->box);
}

/* Whether it came to its end unkilled. */
static bool killed_at(struct anchored *b, unsigned at, bool after)
{
	pid_t pid = fork();
	int status = 0;

	ck_assert(pid >= 0);
	if (pid == 0) {
		fault_arm(FAULT_ANY, at, false, 0);
		fault.after = after;
		work(b);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
	return WIFEXITED(status);
}

START_TEST(after_a_kill_at_any_call_it_starts)
{
	unsigned at = 1;

	for (bool done = false; !done; at += box_thinning()) {
		struct anchored b;
		int r;

		anchored_init(&b);
		done = killed_at(&b, at, _i);
		r = anchored_open(&b);
		ck_assert_msg(r == 0, "killed at call %u: %s", at, b.box.error.text);
		anchored_done(&b);
	}
	ck_assert_uint_gt(at, 60);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("anchor");
	Suite *suite = suite_create("anchor");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, an_old_copy_put_back_is_refused_with_the_way_out_and_not_a_byte_changes,
			    0, 2);
	tcase_add_loop_test(tcase, what_no_token_ended_by_is_covered_within_a_second_and_by_a_stop, 0, 2);
	tcase_add_test(tcase, another_store_in_its_place_is_refused_and_one_made_anew_is_not);
	tcase_add_test(tcase, one_of_before_it_was_taken_over_is_an_old_copy);
	tcase_add_test(tcase, other_keys_are_no_other_store_and_one_of_before_them_is_an_old_copy);
	tcase_add_loop_test(tcase, a_torn_place_leaves_the_other_and_damage_to_both_is_refused, 0, 2);
	tcase_add_test(tcase, each_shorter_file_is_one_mark_or_damaged_and_a_newer_one_is_said_to_be);
	tcase_add_test(tcase, a_file_or_a_directory_that_others_could_have_written_is_refused);
	tcase_add_test(tcase, it_must_be_apart_from_the_store_and_one_agents_alone);
	tcase_add_loop_test(tcase, an_anchor_that_can_not_be_written_is_told_and_keeps_nothing_back, 0, 2);
	tcase_add_test(tcase, changes_by_which_no_token_ends_cost_one_sync_in_a_second);
	tcase_add_test(tcase, tokens_that_end_together_cost_one_sync_together);
	tcase_add_loop_test(tcase, after_a_kill_at_any_call_it_starts, 0, 2);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
