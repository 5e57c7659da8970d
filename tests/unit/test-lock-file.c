/*
 * tests/unit/test-lock-file.c - the file that says that an agent is locked: whole or not there,
 * whatever fails or is killed; and what is said of one that is no good.
 */
#include "agent/lock-file.h"

#include <sodium.h>
#include <sys/wait.h>

#include "tests/unit/store-box.h"
#include "tests/unit/store-faults.h"

static const struct lockbox_cost cheap = { 64 * 1024, 1 };

struct fixture {
	struct box box;
	struct state_dir dir;
	struct lockbox lock, read;
	struct store_error error;
};

static void setup(struct fixture *f)
{
	struct lockbox_room room;

	memset(f, 0, sizeof(*f));
	ck_assert_int_ge(sodium_init(), 0);
	box_init(&f->box);
	ck_assert_int_eq(state_dir_open(f->box.dir, &f->dir, &f->error), 0);
	ck_assert_int_eq(lockbox_make(SPAN("p"), &cheap, 1, 2, &room, &f->lock), 0);
}

static void done(struct fixture *f)
{
	static const char *const names[] = { "locked", "locked.new", "locked.old" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)state_dir_remove(&f->dir, names[i]);
	state_dir_close(&f->dir);
	box_done(&f->box);
}

static int read_it(struct fixture *f)
{
	f->error.text[0] = '\0';
	return lock_file_read(&f->dir, &f->read, &f->error);
}

static bool is_the_same(const struct fixture *f)
{
	return memcmp(f->read.public_key, f->lock.public_key, sizeof(f->lock.public_key)) == 0;
}

/* Refused, by a sentence that names the file and what to do. */
static void must_refuse(struct fixture *f, int expected, const char *text)
{
	int r = read_it(f);

	UNIT_CHECK(r == expected, "%d instead of %d: %s", r, expected, f->error.text);
	UNIT_CHECK(strstr(f->error.text, "/locked ") && strstr(f->error.text, text),
		   "\"%s\" does not say \"%s\"", f->error.text, text);
}

START_TEST(it_is_written_whole_and_for_nobody_else)
{
	mode_t before = umask(0);
	struct fixture f;
	struct stat st;
	char path[128];

	setup(&f);
	ck_assert_int_eq(read_it(&f), 0);
	ck_assert_int_eq(lock_file_write(&f.dir, &f.lock), 0);
	ck_assert_int_eq(read_it(&f), 1);
	ck_assert(is_the_same(&f));
	box_path(&f.box, "locked", path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(lock_file_remove(&f.dir), 0);
	ck_assert_int_eq(read_it(&f), 0);
	ck_assert_int_eq(lock_file_remove(&f.dir), 0);
	ck_assert(!box_has(&f.box, "locked.new") && !box_has(&f.box, "locked.old"));
	umask(before);
	done(&f);
}
END_TEST

/* What is left: 1 the file, 0 none, as the call said where it came back. */
static void strike(struct fixture *f, bool removes, unsigned at, int error, bool *ret_struck)
{
	int r;

	fault_arm(FAULT_ANY, at, false, error);
	r = removes ? lock_file_remove(&f->dir) : lock_file_write(&f->dir, &f->lock);
	*ret_struck = fault_disarm();
	UNIT_CHECK(read_it(f) == (removes == (r < 0)), "call %u, %s: %d, and then %s", at,
		   removes ? "remove" : "write", r, f->error.text);
}

START_TEST(what_fails_leaves_all_as_it_was)
{
	bool removes = _i, struck = true;

	for (unsigned at = 1; struck; at++) {
		struct fixture f;

		setup(&f);
		if (removes)
			ck_assert_int_eq(lock_file_write(&f.dir, &f.lock), 0);
		strike(&f, removes, at, at % 2 ? EIO : ENOSPC, &struck);
		/* And it goes on from there. */
		ck_assert_int_eq(lock_file_write(&f.dir, &f.lock), 0);
		ck_assert_int_eq(read_it(&f), 1);
		ck_assert_int_eq(lock_file_remove(&f.dir), 0);
		ck_assert_int_eq(read_it(&f), 0);
		done(&f);
	}
}
END_TEST

START_TEST(a_kill_anywhere_leaves_a_whole_file_or_none)
{
	bool removes = _i & 1, after = _i & 2;

	/* Neither makes more calls than these. */
	for (unsigned at = 1; at < 12; at++) {
		struct fixture f;
		pid_t pid;
		int r;

		setup(&f);
		if (removes)
			ck_assert_int_eq(lock_file_write(&f.dir, &f.lock), 0);
		pid = fork();
		if (pid == 0) {
			fault_arm(FAULT_ANY, at, false, 0);
			fault.after = after;
			r = removes ? lock_file_remove(&f.dir) : lock_file_write(&f.dir, &f.lock);
			_exit(r < 0);
		}
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		r = read_it(&f);
		UNIT_CHECK(r == 0 || (r == 1 && is_the_same(&f)), "killed at %u: %s", at,
			   f.error.text);
		done(&f);
	}
}
END_TEST

START_TEST(one_that_is_no_good_is_refused_with_the_way_out)
{
	uint8_t data[LOCKBOX_LEN];
	struct fixture f;
	char path[128];

	setup(&f);
	box_path(&f.box, "locked", path);
	lockbox_write(&f.lock, data);
	box_write(&f.box, "locked", (struct bytes){ data, sizeof(data) });
	ck_assert_int_eq(read_it(&f), 1);

	data[100] ^= 1;
	box_write(&f.box, "locked", (struct bytes){ data, sizeof(data) });
	must_refuse(&f, -EBADMSG, "or remove it, which unlocks this agent");
	box_write(&f.box, "locked", (struct bytes){ data, 20 });
	must_refuse(&f, -EBADMSG, "or remove it, which unlocks this agent");
	box_write(&f.box, "locked", (struct bytes){ data, 0 });
	must_refuse(&f, -EMEDIUMTYPE, "was not written by Jeton");
	box_write(&f.box, "locked", (struct bytes){ (uint8_t *)"yes\n", 4 });
	must_refuse(&f, -EMEDIUMTYPE, "was not written by Jeton");
	data[100] ^= 1;
	data[8] = 2;
	box_write(&f.box, "locked", (struct bytes){ data, sizeof(data) });
	must_refuse(&f, -EPROTONOSUPPORT, "newer Jeton");
	data[8] = 1;

	box_write(&f.box, "locked", (struct bytes){ data, sizeof(data) });
	ck_assert_int_eq(chmod(path, 0640), 0);
	must_refuse(&f, -EPERM, "chmod 0600");
	box_remove(&f.box, "locked");
	ck_assert_int_eq(symlink("elsewhere", path), 0);
	must_refuse(&f, -EMEDIUMTYPE, "was not written by Jeton");
	box_remove(&f.box, "locked");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	must_refuse(&f, -EMEDIUMTYPE, "was not written by Jeton");
	box_remove(&f.box, "locked");
	ck_assert_int_eq(mkdir(path, 0700), 0);
	must_refuse(&f, -EMEDIUMTYPE, "was not written by Jeton");
	ck_assert_int_eq(rmdir(path), 0);
	done(&f);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("lock-file");
	Suite *suite = suite_create("lock-file");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, it_is_written_whole_and_for_nobody_else);
	tcase_add_loop_test(tcase, what_fails_leaves_all_as_it_was, 0, 2);
	tcase_add_loop_test(tcase, a_kill_anywhere_leaves_a_whole_file_or_none, 0, 4);
	tcase_add_test(tcase, one_that_is_no_good_is_refused_with_the_way_out);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
