/* tests/unit/test-state-dir.c - who may have a state directory, and which will do. */
#include "agent/state-dir.h"

#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/store-box.h"

START_TEST(a_second_agent_is_refused_and_the_first_goes_on)
{
	struct store *second = NULL;
	struct store_error e;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	ck_assert_int_eq(store_open(b.dir, b.key, &b.mem, &second, &e), -EWOULDBLOCK);
	ck_assert_ptr_null(second);
	ck_assert_ptr_nonnull(strstr(e.text, b.dir));
	ck_assert_ptr_nonnull(strstr(e.text, "another agent"));
	ck_assert(box_put_one(&b, STORE_ACTIVE, 1));
	box_must_hold(&b);
	box_done(&b);
}
END_TEST

START_TEST(an_agent_that_is_killed_leaves_no_lock)
{
	struct box b;
	pid_t pid;

	box_init(&b);
	pid = fork();
	if (pid == 0) {
		box_must_open(&b);
		(void)box_put_one(&b, STORE_ACTIVE, 1);
		raise(SIGKILL);
	}
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	box_must_open(&b);
	ck_assert_uint_eq(b.found.version[STORE_ACTIVE][1], 1);
	box_done(&b);
}
END_TEST

static void refuse_dir(struct box *b, const char *dir, int r, const char *text)
{
	int got = store_open(dir, b->key, &b->mem, &b->store, &b->error);

	UNIT_CHECK(got == r, "%s: %d instead of %d", dir, got, r);
	UNIT_CHECK(strstr(b->error.text, text), "\"%s\" does not say \"%s\"", b->error.text, text);
	b->store = NULL;
}

START_TEST(a_directory_that_others_could_change_is_refused)
{
	char link_path[80], slashed[96];
	struct box b;

	box_init(&b);
	refuse_dir(&b, "/nonexistent/jeton", -ENOENT, "does not exist");
	ck_assert_int_eq(chmod(b.dir, 0770), 0);
	refuse_dir(&b, b.dir, -EPERM, "chmod 0700");
	ck_assert_int_eq(chmod(b.dir, 01777), 0);
	refuse_dir(&b, b.dir, -EPERM, "chmod 0700");
	ck_assert_int_eq(chmod(b.dir, 0700), 0);
	snprintf(link_path, sizeof(link_path), "%s.link", b.dir);
	snprintf(slashed, sizeof(slashed), "%s//", link_path);
	ck_assert_int_eq(symlink(b.dir, link_path), 0);
	refuse_dir(&b, link_path, -ELOOP, "symbolic link");
	refuse_dir(&b, slashed, -ELOOP, "symbolic link");
	ck_assert_int_eq(unlink(link_path), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(b.dir, 65534, 65534), 0);
		refuse_dir(&b, b.dir, -EPERM, "chown 0");
		ck_assert_int_eq(chown(b.dir, 0, 0), 0);
	}
	box_must_open(&b);
	box_done(&b);
}
END_TEST

UNIT_MAIN("state-dir", a_second_agent_is_refused_and_the_first_goes_on,
	  an_agent_that_is_killed_leaves_no_lock, a_directory_that_others_could_change_is_refused)
