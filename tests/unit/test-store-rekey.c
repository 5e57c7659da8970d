/*
 * tests/unit/test-store-rekey.c - other keys for a store in use: all rows stay, no old key opens any
 * of them, and whatever happens meanwhile one of the two keys fits what was acknowledged.
 */
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "agent/masterkey.h"
#include "agent/state-dir.h"
#include "agent/store-impl.h"
#include "agent/unsealing.h"
#include "tests/unit/store-faults.h"
#include "tests/unit/store-files.h"
#include "tests/unit/store-format-1.h"

struct rekeyed {
	bool called;
	int r;
};

static void on_rekeyed(void *userdata, int r)
{
	struct rekeyed *k = userdata;

	k->called = true;
	k->r = r;
}

static void wait_rekeyed(struct box *b, const struct rekeyed *k)
{
	struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };

	while (!k->called) {
		UNIT_CHECK(poll(&p, 1, 100000) == 1, "the store does not answer");
		store_dispatch(b->store);
	}
}

/* Reads are answered apart from changes: the last one may be the last of all. */
static void wait_called(struct box *b, const bool *called)
{
	struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };

	while (!*called) {
		UNIT_CHECK(poll(&p, 1, 100000) == 1, "the store does not answer");
		store_dispatch(b->store);
	}
}

/* The keys are others afterwards, with this master key in master.key, or as a key that stays. */
static int rekey(struct box *b, const uint8_t *key, bool as_file)
{
	struct rekeyed k = { 0 };

	UNIT_CHECK(store_rekey(b->store, key, as_file, on_rekeyed, &k) == 0, "no memory");
	wait_rekeyed(b, &k);
	return k.r;
}

static const uint8_t other_key[STORE_KEY_LEN] = "another key, of thirty-two bytes";

/* As the agent starts: with master.key, or what is beside it. */
static int start(struct box *b)
{
	enum unsealed by;
	int r = unsealing_open(b->dir, NULL, NULL, b->key, &b->mem, &b->store, &by, &b->error);

	if (r == 0)
		r = box_load(b);
	if (r == 0)
		unsealing_settle(b->store, by);
	else
		box_close(b);
	return r;
}

static void write_key(struct box *b)
{
	box_write(b, "master.key", (struct bytes){ b->key, sizeof(b->key) });
}

/* A box with rows in every table and its key in master.key, open. */
static void key_box(struct box *b)
{
	box_init(b);
	write_key(b);
	box_must_open(b);
	box_fill(b);
}

static void must_start(struct box *b, const char *what, unsigned at)
{
	int r = start(b);

	UNIT_CHECK(r == 0, "%s at call %u: %s", what, at, b->error.text);
	UNIT_CHECK(rows_equal(&b->found, &b->expected), "%s at call %u: other rows", what, at);
	UNIT_CHECK(!box_has(b, "master.key.next"), "%s at call %u: a key is left", what, at);
	UNIT_CHECK(!box_has(b, "store.db.new"), "%s at call %u: a new store is left", what, at);
}

/* ---- what it does ---------------------------------------------------------------------------- */

START_TEST(all_rows_stay_and_the_old_key_opens_nothing)
{
	uint8_t old[STORE_KEY_LEN];
	struct image m;
	struct box b;

	for (int as_file = 0; as_file < 2; as_file++) {
		key_box(&b);
		memcpy(old, b.key, sizeof(old));
		ck_assert_int_eq(rekey(&b, other_key, as_file), 0);
		ck_assert(store_is_sealed_under(b.store, other_key));
		ck_assert(!store_is_sealed_under(b.store, old));
		ck_assert(box_put_one(&b, STORE_ACTIVE, 30));
		box_close(&b);
		m = box_image(&b);
		ck_assert_int_eq(open_or_untouched(&b, &m, "old key", 0), -EKEYREJECTED);
		image_done(&m);
		memcpy(b.key, other_key, sizeof(b.key));
		if (!as_file)
			write_key(&b);
		must_start(&b, "rekeyed", 0);
		box_done(&b);
	}
}
END_TEST

/* The same master key, but nothing that was sealed before is sealed the same, or opens. */
START_TEST(rows_sealed_before_do_not_open_though_the_master_key_stays)
{
	struct image before;
	struct box b;

	key_box(&b);
	box_close(&b);
	before = box_image(&b);
	box_must_open(&b);
	ck_assert_int_eq(rekey(&b, b.key, false), 0);
	box_close(&b);
	box_write(&b, "before.db", before.files[0]);
	/* An active token of before in the place of the one that is there. */
	{
		char sql[512], path[128];

		box_path(&b, "before.db", path);
		snprintf(sql, sizeof(sql),
			 "ATTACH '%s' AS o; REPLACE INTO active SELECT * FROM o.active WHERE row = 1",
			 path);
		by_hand(&b, sql);
	}
	box_remove(&b, "before.db");
	ck_assert_int_eq(box_open(&b), -EBADMSG);
	image_done(&before);
	box_done(&b);
}
END_TEST

START_TEST(what_still_opened_with_the_old_key_goes)
{
	struct box b;

	box_init_old(&b, true);
	write_key(&b);
	box_must_open(&b);
	ck_assert(box_has(&b, "store.db.1"));
	ck_assert_int_eq(rekey(&b, other_key, true), 0);
	ck_assert(!box_has(&b, "store.db.1"));
	ck_assert(!box_has(&b, "master.key.next"));
	box_close(&b);
	must_start(&b, "rekeyed", 0);
	ck_assert_mem_eq(b.key, other_key, STORE_KEY_LEN);
	box_done(&b);
}
END_TEST

START_TEST(keys_are_changed_again_and_again)
{
	uint8_t key[STORE_KEY_LEN];
	struct rekeyed two[2] = { { 0 } };
	struct box b;

	key_box(&b);
	for (unsigned i = 0; i < 20; i++) {
		memset(key, (int)i, sizeof(key));
		ck_assert_int_eq(rekey(&b, key, true), 0);
		ck_assert(box_put_one(&b, STORE_ENDED, 50 + i));
	}
	/* Also two at once. */
	ck_assert_int_eq(store_rekey(b.store, key, true, on_rekeyed, &two[0]), 0);
	ck_assert_int_eq(store_rekey(b.store, other_key, true, on_rekeyed, &two[1]), 0);
	ck_assert(store_is_rekeying(b.store));
	wait_rekeyed(&b, &two[1]);
	ck_assert(two[0].called);
	ck_assert_int_eq(two[0].r | two[1].r, 0);
	ck_assert(!store_is_rekeying(b.store));
	box_close(&b);
	must_start(&b, "rekeyed", 0);
	ck_assert_mem_eq(b.key, other_key, STORE_KEY_LEN);
	box_done(&b);
}
END_TEST

START_TEST(no_old_key_is_left_in_memory)
{
	struct seal before;
	struct box b;

	key_box(&b);
	before = *b.store->seal;
	ck_assert_int_eq(rekey(&b, other_key, true), 0);
	ck_assert_ptr_null(memmem(b.store->locked.base, b.store->locked.size, before.row_key, 32));
	ck_assert_ptr_null(
		memmem(b.store->locked.base, b.store->locked.size, before.credentials_key, 32));
	ck_assert_ptr_null(memmem(b.store->locked.base, b.store->locked.size, other_key, 32));
	box_done(&b);
}
END_TEST

/* ---- what is under way meanwhile ------------------------------------------------------------- */

struct listed {
	struct box *box;
	struct store_rows *rows;
	unsigned n;
	bool called;
};

static void on_listed(void *userdata, struct store_rows *rows, int r)
{
	struct listed *l = userdata;

	ck_assert_int_eq(r, 0);
	l->rows = rows;
	l->called = true;
}

/* Opens what was read, which may be much later. */
static void open_listed(struct listed *l)
{
	const uint8_t *record;
	uint32_t version;
	uint64_t row;
	size_t n;
	int r;

	while ((r = store_rows_next(l->rows, &row, &version, &record, &n)) == 1) {
		UNIT_CHECK(record_is(STORE_ENDED, row, version, record, n),
			   "not the record of row %lu", (unsigned long)row);
		l->n++;
	}
	ck_assert_int_eq(r, 0);
	store_rows_free(l->rows);
}

START_TEST(changes_and_reads_that_were_under_way_come_out_right)
{
	struct listed before = { 0 }, meanwhile = { 0 };
	struct rekeyed k = { 0 };
	unsigned n_ended = 0;
	struct box b;

	key_box(&b);
	for (uint64_t row = 100; row < 200; row++)
		ck_assert(box_put_one(&b, STORE_ENDED, row));
	b.n_kept = b.n_failed = 0;
	store_read_ended(b.store, box_owner(100), false, 1000, 64, on_listed, &before);
	for (uint64_t row = 200; row < 300; row++) {
		struct store_change *c = box_change(&b);

		if (row == 250)
			ck_assert_int_eq(
				store_rekey(b.store, other_key, true, on_rekeyed, &k), 0);
		box_put(&b, c, row % 2 ? STORE_ACTIVE : STORE_ENDED, row);
		if (row % 10 == 0)
			box_put(&b, c, STORE_CREDENTIALS, 1);
		box_submit(&b, c);
	}
	store_read_ended(b.store, box_owner(101), false, 1000, 64, on_listed, &meanwhile);
	box_wait(&b, 100);
	wait_rekeyed(&b, &k);
	ck_assert_int_eq(k.r, 0);
	ck_assert_uint_eq(b.n_kept, 100);
	wait_called(&b, &before.called);
	wait_called(&b, &meanwhile.called);
	/* Read before the keys were changed, and opened after it. */
	open_listed(&before);
	open_listed(&meanwhile);
	ck_assert_uint_ge(before.n, 30);
	ck_assert_uint_ge(meanwhile.n, 30);
	/* And owners' rows are found under their new tags. */
	for (uid_t owner = 1000; owner < 1003; owner++) {
		struct listed after = { 0 };

		store_read_ended(b.store, owner, false, 1000, 64, on_listed, &after);
		while (!after.called)
			store_dispatch(b.store);
		open_listed(&after);
		for (uint64_t row = 0; row < BOX_ROWS; row++)
			n_ended += b.expected.version[STORE_ENDED][row] && box_owner(row) == owner;
		UNIT_CHECK(after.n == n_ended, "owner %u: %u rows instead of %u", owner, after.n,
			   n_ended);
		n_ended = 0;
	}
	box_close(&b);
	must_start(&b, "rekeyed", 0);
	box_done(&b);
}
END_TEST

START_TEST(reads_are_answered_before_a_long_change_of_keys_is_over)
{
	struct rekeyed k = { 0 };
	bool before_the_end = false;
	struct box b;

	key_box(&b);
	for (unsigned i = 0; i < 4; i++) {
		struct store_change *c = box_change(&b);

		for (uint64_t row = 100; row < 4000; row++)
			box_put(&b, c, STORE_ACTIVE, row);
		ck_assert(box_do(&b, c));
	}
	for (int i = 0; i < 20 && !before_the_end; i++) {
		struct listed l = { 0 };

		k = (struct rekeyed){ 0 };
		ck_assert_int_eq(store_rekey(b.store, other_key, true, on_rekeyed, &k), 0);
		store_read_ended(b.store, 0, true, 1000, 64, on_listed, &l);
		while (!l.called)
			store_dispatch(b.store);
		before_the_end = !k.called;
		open_listed(&l);
		wait_rekeyed(&b, &k);
	}
	ck_assert(before_the_end);
	box_done(&b);
}
END_TEST

START_TEST(a_change_that_fails_takes_the_change_of_keys_behind_it_along)
{
	struct rekeyed k = { 0 };
	struct box b;

	key_box(&b);
	b.n_kept = b.n_failed = 0;
	for (unsigned i = 0; i < 3; i++) {
		struct store_change *c = store_change_new(b.store);

		/* There is such a row. */
		ck_assert_int_eq(store_change_put(c, STORE_ACTIVE, 1, 0, 9, 0, b.key, 32), 0);
		box_submit(&b, c);
		if (i == 1)
			ck_assert_int_eq(store_rekey(b.store, other_key, true, on_rekeyed, &k), 0);
	}
	box_wait(&b, 3);
	wait_rekeyed(&b, &k);
	ck_assert_uint_eq(b.n_failed, 3);
	/* It may have been taken between two of them. */
	ck_assert(k.r == 0 || store_is_sealed_under(b.store, b.key));
	box_close(&b);
	must_start(&b, "failed", 0);
	box_done(&b);
}
END_TEST

/* ---- what goes wrong ------------------------------------------------------------------------- */

/* Changes keys, and puts rows before and after. Tells in *report which of the two it did. */
static void run_rekey(struct box *b, int report)
{
	bool kept = box_put_one(b, STORE_ENDED, 60);

	(void)syscall(SYS_write, report, kept ? "K" : "R", 1);
	(void)syscall(SYS_write, report, rekey(b, other_key, true) == 0 ? "K" : "R", 1);
	kept = box_put_one(b, STORE_ENDED, 61);
	(void)syscall(SYS_write, report, kept ? "K" : "R", 1);
}

START_TEST(a_kill_at_any_call_leaves_a_store_that_one_of_the_keys_fits)
{
	bool struck = true;
	unsigned at = 1;
	struct image m;
	struct box b;

	key_box(&b);
	box_close(&b);
	m = box_image(&b);
	for (; struck; at += box_thinning()) {
		char answers[4] = "";
		int pipes[2], status;
		size_t n = 0;
		ssize_t got;
		pid_t pid;

		box_put_back(&b, &m);
		memset(b.key, 0x5a, sizeof(b.key));
		ck_assert_int_eq(pipe(pipes), 0);
		pid = fork();
		if (pid == 0) {
			if (start(&b) < 0)
				_exit(1);
			fault_arm(FAULT_ANY, at, false, 0);
			fault.after = _i;
			run_rekey(&b, pipes[1]);
			(void)fault_disarm();
			box_close(&b);
			_exit(0);
		}
		close(pipes[1]);
		while ((got = read(pipes[0], answers + n, 3 - n)) > 0)
			n += (size_t)got;
		close(pipes[0]);
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		struck = WIFSIGNALED(status);
		UNIT_CHECK(struck || WEXITSTATUS(status) == 0, "call %u: status %x", at, status);
		UNIT_CHECK(start(&b) == 0, "killed at call %u after \"%s\": %s", at, answers,
			   b.error.text);
		UNIT_CHECK(!box_has(&b, "master.key.next"), "killed at call %u: a key is left", at);
		/* What was answered for is there; what was under way may be. */
		UNIT_CHECK(b.found.version[STORE_ENDED][60] == 1 || n < 1, "call %u", at);
		UNIT_CHECK(b.found.version[STORE_ENDED][61] == 1 || n < 3, "call %u", at);
		b.found.version[STORE_ENDED][60] = b.found.version[STORE_ENDED][61] = 0;
		UNIT_CHECK(rows_equal(&b.found, &b.expected), "killed at call %u: other rows", at);
		if (n >= 2)
			UNIT_CHECK(store_is_sealed_under(b.store, other_key),
				   "killed at call %u: acknowledged, and the old key fits", at);
		box_close(&b);
	}
	ck_assert_uint_gt(at, 40);
	image_done(&m);
	box_done(&b);
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
	{ "quota once", FAULT_WRITE, EDQUOT, false },
	{ "quota for ever", FAULT_WRITE, EDQUOT, true },
	{ "truncate for ever", FAULT_TRUNCATE, EIO, true },
	{ "rename once", FAULT_RENAME, EIO, false },
	{ "rename for ever", FAULT_RENAME, EIO, true },
	{ "unlink for ever", FAULT_UNLINK, EIO, true },
	{ "everything once", FAULT_ANY, EIO, false },
	{ "everything for ever", FAULT_ANY, EIO, true },
};

/*
 * Whatever fails, the answer is true: the keys are others, or they are the old ones; also for one who
 * starts after a kill at that moment; and the next try is as good as the first.
 */
START_TEST(an_error_at_any_call_leaves_keys_that_are_as_was_answered)
{
	const struct trial *t = &trials[_i];
	bool struck = true;

	for (unsigned at = 1; struck; at += box_thinning()) {
		uint8_t third[STORE_KEY_LEN] = "a third key, and it is as long  ";
		struct image killed;
		struct box b, copy;
		int r;

		key_box(&b);
		fault_arm(t->call, at, t->forever, t->error);
		r = rekey(&b, other_key, true);
		struck = fault_disarm();
		UNIT_CHECK(store_is_sealed_under(b.store, r == 0 ? other_key : b.key),
			   "%s, call %u: another key than was answered", t->name, at);
		killed = box_image(&b);
		box_init(&copy);
		box_put_back(&copy, &killed);
		image_done(&killed);
		copy.expected = b.expected;
		must_start(&copy, t->name, at);
		box_done(&copy);

		UNIT_CHECK(box_put_one(&b, STORE_ENDED, 60) ||
				   (t->forever && t->call != FAULT_WRITE),
			   "%s, call %u: no change after it", t->name, at);
		b.expected.version[STORE_ENDED][60] = b.n_kept;
		UNIT_CHECK(rekey(&b, third, true) == 0 || b.n_kept == 0,
			   "%s, call %u: not the second time", t->name, at);
		box_close(&b);
		must_start(&b, t->name, at);
		box_done(&b);
	}
}
END_TEST

START_TEST(a_full_disk_changes_nothing_and_leaves_nothing_behind)
{
	struct image m;
	struct box b;
	int filler;
	char path[128];
	static const uint8_t page[4096];

	box_init(&b);
	if (geteuid() != 0 || mount("jeton", b.dir, "tmpfs", 0, "size=8m,mode=0700") < 0) {
		printf("a full disk: skipped, may not mount\n");
		box_done(&b);
		return;
	}
	write_key(&b);
	box_must_open(&b);
	box_fill(&b);
	for (uint64_t row = 100; row < 300; row++)
		ck_assert(box_put_one(&b, STORE_ENDED, row));
	box_must_hold(&b);
	m = box_image(&b);
	box_path(&b, "filler", path);
	filler = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while (syscall(SYS_write, filler, page, sizeof(page)) > 0)
		;
	ck_assert_int_eq(rekey(&b, other_key, true), -ENOSPC);
	ck_assert(box_is(&b, &m));
	ck_assert(store_is_sealed_under(b.store, b.key));
	close(filler);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(rekey(&b, other_key, true), 0);
	box_close(&b);
	must_start(&b, "full", 0);
	box_close(&b);
	for (size_t i = 0; i < ARRAY_SIZE(box_files); i++)
		box_remove(&b, box_files[i]);
	ck_assert_int_eq(umount(b.dir), 0);
	image_done(&m);
	box_done(&b);
}
END_TEST

/* ---- the credential -------------------------------------------------------------------------- */

static void give_credential(const struct box *b, const char *name, const uint8_t *key)
{
	box_write(b, name, (struct bytes){ (uint8_t *)key, STORE_KEY_LEN });
}

START_TEST(an_old_credential_beside_a_new_one_changes_the_master_key)
{
	uint8_t old[STORE_KEY_LEN];
	struct box b, given;

	box_init(&given);
	key_box(&b);
	box_close(&b);
	memcpy(old, b.key, sizeof(old));
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", given.dir, 1), 0);
	give_credential(&given, "jeton.master", other_key);
	ck_assert_int_eq(start(&b), -EKEYREJECTED);
	ck_assert_ptr_nonnull(strstr(b.error.text, "jeton.master.old"));
	give_credential(&given, "jeton.master.old", old);
	ck_assert_int_eq(start(&b), 0);
	ck_assert(rows_equal(&b.found, &b.expected));
	ck_assert(store_is_sealed_under(b.store, other_key));
	ck_assert(box_put_one(&b, STORE_ACTIVE, 30));
	box_close(&b);
	/* From now on it fits alone; the old one beside it is not needed and does no harm. */
	ck_assert_int_eq(start(&b), 0);
	box_close(&b);
	box_remove(&given, "jeton.master.old");
	ck_assert_int_eq(start(&b), 0);
	ck_assert(rows_equal(&b.found, &b.expected));
	box_close(&b);
	give_credential(&given, "jeton.master", old);
	ck_assert_int_eq(start(&b), -EKEYREJECTED);
	box_remove(&given, "jeton.master");
	box_done(&given);
	box_done(&b);
}
END_TEST

START_TEST(a_kill_while_the_credential_is_changed_leaves_one_that_fits)
{
	struct box b, given;
	bool struck = true;
	struct image m;

	box_init(&given);
	key_box(&b);
	box_close(&b);
	m = box_image(&b);
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", given.dir, 1), 0);
	give_credential(&given, "jeton.master", other_key);
	for (unsigned at = 1; struck; at += box_thinning()) {
		int status;
		pid_t pid;

		memset(b.key, 0x5a, sizeof(b.key));
		give_credential(&given, "jeton.master.old", b.key);
		box_put_back(&b, &m);
		pid = fork();
		if (pid == 0) {
			fault_arm(FAULT_ANY, at, false, 0);
			fault.after = _i;
			_exit(start(&b) == 0 ? 0 : 1);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		struck = WIFSIGNALED(status);
		UNIT_CHECK(start(&b) == 0, "killed at call %u: %s", at, b.error.text);
		UNIT_CHECK(rows_equal(&b.found, &b.expected), "call %u: other rows", at);
		UNIT_CHECK(store_is_sealed_under(b.store, other_key), "call %u: the old key", at);
		box_close(&b);
	}
	box_remove(&given, "jeton.master");
	box_remove(&given, "jeton.master.old");
	image_done(&m);
	box_done(&given);
	box_done(&b);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("store-rekey");
	Suite *suite = suite_create("store-rekey");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, all_rows_stay_and_the_old_key_opens_nothing);
	tcase_add_test(tcase, rows_sealed_before_do_not_open_though_the_master_key_stays);
	tcase_add_test(tcase, what_still_opened_with_the_old_key_goes);
	tcase_add_test(tcase, keys_are_changed_again_and_again);
	tcase_add_test(tcase, no_old_key_is_left_in_memory);
	tcase_add_test(tcase, changes_and_reads_that_were_under_way_come_out_right);
	tcase_add_test(tcase, reads_are_answered_before_a_long_change_of_keys_is_over);
	tcase_add_test(tcase, a_change_that_fails_takes_the_change_of_keys_behind_it_along);
	tcase_add_loop_test(tcase, a_kill_at_any_call_leaves_a_store_that_one_of_the_keys_fits, 0,
			    2);
	tcase_add_loop_test(tcase, an_error_at_any_call_leaves_keys_that_are_as_was_answered, 0,
			    ARRAY_SIZE(trials));
	tcase_add_test(tcase, a_full_disk_changes_nothing_and_leaves_nothing_behind);
	tcase_add_test(tcase, an_old_credential_beside_a_new_one_changes_the_master_key);
	tcase_add_loop_test(tcase, a_kill_while_the_credential_is_changed_leaves_one_that_fits, 0,
			    2);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
