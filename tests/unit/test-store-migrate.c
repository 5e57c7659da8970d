/*
 * tests/unit/test-store-migrate.c - a store of the first format becomes one of the present, with
 * all its rows, whatever happens meanwhile; and not a byte of a bad one is touched.
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "tests/unit/store-faults.h"
#include "tests/unit/store-files.h"
#include "tests/unit/store-format-1.h"

/* The last byte of a file's mark of its format. */
static uint8_t format_of(const struct box *b, const char *name)
{
	struct bytes f = box_read(b, name);
	uint8_t format = f.n > 63 ? f.p[63] : 0;

	free(f.p);
	return format;
}

START_TEST(all_rows_are_there_and_the_old_store_beside_them)
{
	char path[128];
	struct stat st;
	struct box b;

	for (int with_log = 0; with_log < 2; with_log++) {
		box_init_old(&b, with_log);
		box_must_open(&b);
		ck_assert(rows_equal(&b.found, &b.expected));
		ck_assert(store_is_migrated(b.store));
		ck_assert_uint_eq(store_highest_row(b.store), with_log ? 20 : 8);
		ck_assert_uint_eq(format_of(&b, "store.db"), 2);
		ck_assert_uint_eq(format_of(&b, "store.db.1"), 1);
		box_path(&b, "store.db.1", path);
		ck_assert_int_eq(stat(path, &st), 0);
		ck_assert_uint_eq(st.st_mode & 07777, 0600);
		ck_assert_uint_eq(st.st_nlink, 1);
		ck_assert(!box_has(&b, "store.db.new"));
		ck_assert(!box_has(&b, "store.db.new-wal"));
		ck_assert(box_put_one(&b, STORE_AUDIT, 1));
		ck_assert(box_put_one(&b, STORE_ENDED, 2));
		box_must_hold(&b);
		ck_assert(!store_is_migrated(b.store));
		box_done(&b);
	}
}
END_TEST

START_TEST(the_old_store_put_back_is_taken_over_again)
{
	char old[128], now[128];
	struct box b;

	box_init_old(&b, true);
	box_must_open(&b);
	ck_assert(box_put_one(&b, STORE_ACTIVE, 30));
	box_close(&b);
	box_path(&b, "store.db.1", old);
	box_path(&b, "store.db", now);
	ck_assert_int_eq(rename(old, now), 0);
	box_expect_old(&b, true);
	box_must_open(&b);
	ck_assert(rows_equal(&b.found, &b.expected));
	/* And once more with one of them there already. */
	box_close(&b);
	box_give_old(&b, "store.db");
	box_expect_old(&b, false);
	box_must_open(&b);
	ck_assert(rows_equal(&b.found, &b.expected));
	box_done(&b);
}
END_TEST

struct ended {
	unsigned n;
	bool called;
};

static void on_ended(void *userdata, struct store_rows *rows, int r)
{
	struct ended *e = userdata;
	const uint8_t *record;
	uint32_t version;
	uint64_t row;
	size_t n;

	ck_assert_int_eq(r, 0);
	while (store_rows_next(rows, &row, &version, &record, &n) == 1)
		e->n++;
	store_rows_free(rows);
	e->called = true;
}

START_TEST(ended_rows_are_found_by_their_owner_as_before)
{
	struct pollfd p = { .events = POLLIN };
	struct box b;

	box_init_old(&b, true);
	box_must_open(&b);
	p.fd = store_fd(b.store);
	for (uid_t owner = 1000; owner < 1003; owner++) {
		struct ended e = { 0 };
		unsigned n = 0;

		store_read_ended(b.store, owner, false, 100, 64, on_ended, &e);
		while (!e.called && poll(&p, 1, 100000) == 1)
			store_dispatch(b.store);
		for (uint64_t row = 0; row < BOX_ROWS; row++)
			n += b.expected.version[STORE_ENDED][row] && box_owner(row) == owner;
		UNIT_CHECK(e.n == n, "owner %u: %u rows instead of %u", owner, e.n, n);
	}
	box_done(&b);
}
END_TEST

START_TEST(another_key_is_refused_with_not_a_byte_changed)
{
	struct image m;
	struct box b;

	for (int with_log = 0; with_log < 2; with_log++) {
		box_init_old(&b, with_log);
		b.key[7] ^= 1;
		m = box_image(&b);
		ck_assert_int_eq(open_or_untouched(&b, &m, "key", 0), -EKEYREJECTED);
		ck_assert_ptr_nonnull(strstr(b.error.text, "another master key"));
		image_done(&m);
		box_done(&b);
	}
}
END_TEST

START_TEST(a_damaged_one_is_refused_with_not_a_byte_changed)
{
	unsigned n_refused = 0;
	struct image m;
	struct box b;

	box_init_old(&b, false);
	m = box_image(&b);
	for (size_t bit = 0; bit < 8 * m.files[0].n; bit += 8 * 11 * box_thinning() + 1) {
		uint8_t *byte = &m.files[0].p[bit / 8], flip = (uint8_t)(1 << bit % 8);
		int r;

		if (!*byte)
			continue;
		*byte ^= flip;
		box_put_back(&b, &m);
		r = open_or_untouched(&b, &m, "bit", bit);
		UNIT_CHECK(r == 0 || r == -EBADMSG || r == -EMEDIUMTYPE || r == -EPROTONOSUPPORT,
			   "bit %zu: %s (%d)", bit, b.error.text, r);
		UNIT_CHECK(r < 0 || rows_equal(&b.found, &b.expected), "bit %zu: other rows", bit);
		box_close(&b);
		*byte ^= flip;
		n_refused += r < 0;
	}
	ck_assert_uint_gt(n_refused, 100 / box_thinning());
	image_done(&m);
	box_done(&b);
}
END_TEST

/* ---- what happens meanwhile ------------------------------------------------------------------ */

/* What a start finds after one that did not come to its end. */
static void must_be_all_there(struct box *b, const char *what, unsigned at)
{
	int r = box_open(b);

	UNIT_CHECK(r == 0, "%s at call %u: %s", what, at, b->error.text);
	UNIT_CHECK(rows_equal(&b->found, &b->expected), "%s at call %u: other rows", what, at);
	UNIT_CHECK(format_of(b, "store.db.1") == 1, "%s at call %u: the old store is gone", what,
		   at);
	UNIT_CHECK(!box_has(b, "store.db.new"), "%s at call %u: a new store is left", what, at);
	UNIT_CHECK(box_put_one(b, STORE_ACTIVE, 40), "%s at call %u: no change", what, at);
	box_close(b);
}

START_TEST(a_kill_at_any_call_leaves_the_old_store_or_the_new_one)
{
	bool struck = true;
	struct box b;

	for (unsigned at = 1; struck; at += box_thinning()) {
		int status;
		pid_t pid;

		box_init_old(&b, at % 3 != 0);
		pid = fork();
		if (pid == 0) {
			fault_arm(FAULT_ANY, at, false, 0);
			fault.after = _i;
			(void)box_open(&b);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		struck = WIFSIGNALED(status);
		must_be_all_there(&b, "killed", at);
		box_done(&b);
	}
}
END_TEST

struct trial {
	const char *name;
	enum fault_call call;
	int error;
	bool forever;
};

static const struct trial trials[] = {
	{ "sync once", FAULT_SYNC, EIO, false },
	{ "sync for ever", FAULT_SYNC, EIO, true },
	{ "write once", FAULT_WRITE, EIO, false },
	{ "full disk once", FAULT_WRITE, ENOSPC, false },
	{ "full disk for ever", FAULT_WRITE, ENOSPC, true },
	{ "truncate for ever", FAULT_TRUNCATE, EIO, true },
	{ "rename for ever", FAULT_RENAME, EIO, true },
	{ "unlink for ever", FAULT_UNLINK, EIO, true },
	{ "everything once", FAULT_ANY, EIO, false },
	{ "everything for ever", FAULT_ANY, EIO, true },
};

START_TEST(an_error_at_any_call_leaves_the_old_store_or_the_new_one)
{
	const struct trial *t = &trials[_i];
	bool struck = true;
	struct box b;

	for (unsigned at = 1; struck; at += box_thinning()) {
		int r;

		box_init_old(&b, at % 3 != 0);
		fault_arm(t->call, at, t->forever, t->error);
		r = box_open(&b);
		struck = fault_disarm();
		UNIT_CHECK(r == 0 || strstr(b.error.text, b.dir),
			   "%s, call %u: \"%s\" does not name the directory", t->name, at,
			   b.error.text);
		box_close(&b);
		must_be_all_there(&b, t->name, at);
		box_done(&b);
	}
}
END_TEST

START_TEST(where_there_is_no_room_for_both_it_says_so_and_the_old_one_stays)
{
	struct box b, old;
	struct image m;

	box_init_old(&old, false);
	m = box_image(&old);
	box_init(&b);
	if (geteuid() != 0 || mount("jeton", b.dir, "tmpfs", 0, "size=268k,mode=0700") < 0) {
		printf("a full disk: skipped, may not mount\n");
		box_done(&b);
		box_done(&old);
		return;
	}
	box_put_back(&b, &m);
	ck_assert_int_eq(box_open(&b), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(b.error.text, "No space left"));
	ck_assert(box_is(&b, &m));
	ck_assert_int_eq(mount("jeton", b.dir, "tmpfs", MS_REMOUNT, "size=4m,mode=0700"), 0);
	box_expect_old(&b, false);
	must_be_all_there(&b, "no room", 0);
	for (size_t i = 0; i < ARRAY_SIZE(box_files); i++)
		box_remove(&b, box_files[i]);
	ck_assert_int_eq(umount(b.dir), 0);
	box_done(&b);
	image_done(&m);
	box_done(&old);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("store-migrate");
	Suite *suite = suite_create("store-migrate");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, all_rows_are_there_and_the_old_store_beside_them);
	tcase_add_test(tcase, the_old_store_put_back_is_taken_over_again);
	tcase_add_test(tcase, ended_rows_are_found_by_their_owner_as_before);
	tcase_add_test(tcase, another_key_is_refused_with_not_a_byte_changed);
	tcase_add_test(tcase, a_damaged_one_is_refused_with_not_a_byte_changed);
	tcase_add_loop_test(tcase, a_kill_at_any_call_leaves_the_old_store_or_the_new_one, 0, 2);
	tcase_add_loop_test(tcase, an_error_at_any_call_leaves_the_old_store_or_the_new_one, 0,
			    ARRAY_SIZE(trials));
	tcase_add_test(tcase, where_there_is_no_room_for_both_it_says_so_and_the_old_one_stays);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
