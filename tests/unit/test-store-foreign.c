/*
 * tests/unit/test-store-foreign.c - files that are no store, not ours, newer than us, or left by a
 * first start: told apart, and left as they are.
 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/store-files.h"

static void must_refuse(struct box *b, int expected, const char *text)
{
	struct image m = box_image(b);
	int r = open_or_untouched(b, &m, text, 0);

	UNIT_CHECK(r == expected, "%s: %d instead of %d: %s", text, r, expected, b->error.text);
	UNIT_CHECK(strstr(b->error.text, text), "\"%s\" does not say \"%s\"", b->error.text, text);
	image_done(&m);
}

START_TEST(what_is_no_store_of_ours_is_left_alone)
{
	uint8_t noise[9000];
	uint64_t random = 7;
	char path[128], target[128];
	struct box b;

	box_init(&b);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)unit_random(&random);
	box_write(&b, "store.db", (struct bytes){ noise, sizeof(noise) });
	must_refuse(&b, -EMEDIUMTYPE, "not a store of Jeton's");
	box_write(&b, "store.db", (struct bytes){ (uint8_t[]){ 'x' }, 1 });
	must_refuse(&b, -EMEDIUMTYPE, "not a store of Jeton's");
	box_remove(&b, "store.db");
	by_hand(&b, "CREATE TABLE t (x); INSERT INTO t VALUES (1)");
	must_refuse(&b, -EMEDIUMTYPE, "SQLite database");
	by_hand(&b, "PRAGMA journal_mode = WAL");
	must_refuse(&b, -EMEDIUMTYPE, "SQLite database");
	box_remove(&b, "store.db");
	box_path(&b, "store.db", path);
	box_path(&b, "store.db.new", target);
	ck_assert_int_eq(symlink(target, path), 0);
	must_refuse(&b, -EMEDIUMTYPE, "symbolic link");
	box_remove(&b, "store.db");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(box_open(&b), -EMEDIUMTYPE);
	ck_assert_ptr_nonnull(strstr(b.error.text, "no plain file"));
	box_done(&b);
}
END_TEST

START_TEST(a_store_that_others_can_change_is_refused)
{
	char path[128], other[128];
	struct image m;
	struct box b;

	stopped_box(&b, &m);
	box_path(&b, "store.db", path);
	box_path(&b, "store.db.new", other);
	ck_assert_int_eq(chmod(path, 0660), 0);
	must_refuse(&b, -EPERM, "chmod 0600");
	ck_assert_int_eq(chmod(path, 0600), 0);
	ck_assert_int_eq(link(path, other), 0);
	must_refuse(&b, -EMLINK, "hard links");
	ck_assert_int_eq(unlink(other), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(path, 65534, 65534), 0);
		must_refuse(&b, -EPERM, "belongs to uid 65534");
		ck_assert_int_eq(chown(path, 0, 0), 0);
	}
	box_must_hold(&b);
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_store_of_a_newer_jeton_is_refused)
{
	struct image m;
	struct box b;

	stopped_box(&b, &m);
	by_hand(&b, "PRAGMA user_version = 3; CREATE TABLE more (x)");
	must_refuse(&b, -EPROTONOSUPPORT, "newer Jeton");
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_newer_version_that_stands_in_the_log_only_is_seen)
{
	struct image m;
	char path[128];
	struct box b;
	sqlite3 *db;
	pid_t pid;

	stopped_box(&b, &m);
	box_path(&b, "store.db", path);
	pid = fork();
	if (pid == 0) {
		sqlite3_open(path, &db);
		sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA user_version = 4", NULL,
			     NULL, NULL);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert(box_has(&b, "store.db-wal"));
	must_refuse(&b, -EPROTONOSUPPORT, "newer Jeton");
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(what_a_killed_first_start_leaves_counts_as_none)
{
	struct image m;
	struct box b;

	stopped_box(&b, &m);
	for (size_t n = 0; n < used(&m); n += 1000) {
		box_remove(&b, "store.db");
		box_write(&b, "store.db.new", (struct bytes){ m.files[0].p, n });
		box_write(&b, "store.db.new-wal", (struct bytes){ m.files[0].p, n / 2 });
		box_must_open(&b);
		ck_assert_uint_eq(store_highest_row(b.store), 0);
		ck_assert(!box_has(&b, "store.db.new"));
		ck_assert(!box_has(&b, "store.db.new-wal"));
		box_close(&b);
	}
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_log_without_its_store_is_no_reason_to_make_another)
{
	struct image m;
	struct box b;

	killed_box(&b, &m);
	box_remove(&b, "store.db");
	must_refuse(&b, -EBADMSG, "is missing");
	box_write(&b, "store.db", (struct bytes){ m.files[0].p, 0 });
	must_refuse(&b, -EBADMSG, "is damaged");
	/* Nor is one that has become empty, as some file systems leave it after a power cut. */
	box_remove(&b, "store.db-wal");
	must_refuse(&b, -EBADMSG, "is damaged");
	box_put_back(&b, &m);
	box_must_hold(&b);
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_journal_beside_the_store_is_not_played_back)
{
	struct image m;
	struct box b;

	stopped_box(&b, &m);
	box_write(&b, "store.db-journal", m.files[0]);
	must_refuse(&b, -EMEDIUMTYPE, "journal");
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_store_open_in_another_program_is_said_to_be)
{
	struct image m;
	char path[128];
	sqlite3 *db;
	struct box b;
	pid_t pid;
	int pipes[2];
	char c;

	stopped_box(&b, &m);
	box_path(&b, "store.db", path);
	ck_assert_int_eq(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		sqlite3_open(path, &db);
		sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE", NULL, NULL,
			     NULL);
		(void)!write(pipes[1], "x", 1);
		pause();
	}
	ck_assert_int_eq((int)read(pipes[0], &c, 1), 1);
	ck_assert_int_eq(box_open(&b), -EBUSY);
	ck_assert_ptr_nonnull(strstr(b.error.text, "another program"));
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	close(pipes[0]);
	close(pipes[1]);
	box_must_open(&b);
	ck_assert(rows_equal(&b.found, &b.expected));
	image_done(&m);
	box_done(&b);
}
END_TEST

UNIT_MAIN("store-foreign", what_is_no_store_of_ours_is_left_alone,
	  a_store_that_others_can_change_is_refused, a_store_of_a_newer_jeton_is_refused,
	  a_newer_version_that_stands_in_the_log_only_is_seen,
	  what_a_killed_first_start_leaves_counts_as_none,
	  a_log_without_its_store_is_no_reason_to_make_another,
	  a_journal_beside_the_store_is_not_played_back,
	  a_store_open_in_another_program_is_said_to_be)
