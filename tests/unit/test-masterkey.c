/*
 * tests/unit/test-masterkey.c - where the key comes from, when a new one is made, and what is no
 * key.
 */
#include "agent/masterkey.h"

#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>

#include "tests/unit/store-box.h"
#include "tests/unit/store-faults.h"

static const uint8_t raw[STORE_KEY_LEN] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
					    0xcd, 0xef, 0xfe, 0xdc, 0xba };
static const char hex[] = "0123456789abcdefFEDCBA000000000000000000000000000000000000000000";

static const uint8_t none[STORE_KEY_LEN];

static int read_key(struct box *b)
{
	memset(b->key, 0, sizeof(b->key));
	b->error.text[0] = '\0';
	return masterkey_read(b->dir, b->key, &b->error);
}

/* Refused, for a reason that names the file and says this; nothing of a key is left. */
static void must_refuse(struct box *b, int expected, const char *text)
{
	int r = read_key(b);

	UNIT_CHECK(r == expected, "%s: %d instead of %d: %s", text, r, expected, b->error.text);
	UNIT_CHECK(strstr(b->error.text, text), "\"%s\" does not say \"%s\"", b->error.text, text);
	UNIT_CHECK(memcmp(b->key, none, sizeof(none)) == 0, "%s: a part of a key is left", text);
}

static void put_key(struct box *b, const void *p, size_t n)
{
	box_remove(b, "master.key");
	box_write(b, "master.key", (struct bytes){ (uint8_t *)p, n });
}

static void setup(struct box *b)
{
	unsetenv("CREDENTIALS_DIRECTORY");
	box_init(b);
}

/* ---- a first start --------------------------------------------------------------------------- */

START_TEST(a_first_start_makes_a_key_that_stays)
{
	uint8_t first[STORE_KEY_LEN];
	mode_t before = umask(0);
	char path[128];
	struct stat st;
	struct box b;

	setup(&b);
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert_int_ne(memcmp(b.key, none, sizeof(none)), 0);
	memcpy(first, b.key, sizeof(first));
	box_path(&b, "master.key", path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(st.st_size, STORE_KEY_LEN);
	ck_assert(!box_has(&b, "master.key.new"));
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(read_key(&b), 0);
		ck_assert_mem_eq(b.key, first, sizeof(first));
		box_must_open(&b);
		box_close(&b);
	}
	umask(before);
	box_done(&b);
}
END_TEST

START_TEST(two_first_starts_make_two_keys)
{
	struct box a, b;

	setup(&a);
	setup(&b);
	ck_assert_int_eq(read_key(&a), 0);
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert_int_ne(memcmp(a.key, b.key, sizeof(a.key)), 0);
	box_done(&a);
	box_done(&b);
}
END_TEST

START_TEST(no_key_is_made_where_there_is_a_store)
{
	struct image m;
	struct box b;

	setup(&b);
	ck_assert_int_eq(read_key(&b), 0);
	box_must_open(&b);
	ck_assert(box_put_one(&b, STORE_ACTIVE, 1));
	m = box_image(&b);
	box_close(&b);
	box_remove(&b, "master.key");
	must_refuse(&b, -ENOKEY, "no master key");
	ck_assert(!box_has(&b, "master.key"));
	/* A log alone is what is left of a store, too. */
	box_put_back(&b, &m);
	box_remove(&b, "master.key");
	box_remove(&b, "store.db");
	must_refuse(&b, -ENOKEY, "no master key");
	box_remove(&b, "store.db-wal");
	box_write(&b, "store.db", (struct bytes){ (uint8_t[]){ 0 }, 0 });
	must_refuse(&b, -ENOKEY, "no master key");
	/* What a first start that was killed has left is none. */
	box_remove(&b, "store.db");
	box_write(&b, "store.db.new", m.files[0]);
	ck_assert_int_eq(read_key(&b), 0);
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(no_key_is_made_while_another_agent_has_the_directory)
{
	struct box b;
	int fd;

	setup(&b);
	fd = open(b.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	must_refuse(&b, -EWOULDBLOCK, "another agent");
	put_key(&b, raw, sizeof(raw));
	ck_assert_int_eq(read_key(&b), 0);
	close(fd);
	box_done(&b);
}
END_TEST

START_TEST(a_first_start_that_fails_or_is_killed_anywhere_leaves_a_whole_key_or_none)
{
	bool struck = true;
	struct box b;
	pid_t pid;

	for (unsigned at = 1; struck; at += 1) {
		setup(&b);
		pid = fork();
		if (pid == 0) {
			fault_arm(FAULT_ANY, at, false, 0);
			fault.after = _i;
			(void)read_key(&b);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		UNIT_CHECK(read_key(&b) == 0, "killed at call %u: %s", at, b.error.text);
		box_done(&b);

		setup(&b);
		fault_arm(FAULT_ANY, at, _i, at % 2 ? EIO : ENOSPC);
		if (read_key(&b) < 0) {
			UNIT_CHECK(strstr(b.error.text, b.dir), "\"%s\" does not name the file",
				   b.error.text);
			UNIT_CHECK(memcmp(b.key, none, sizeof(none)) == 0, "call %u: a key is left",
				   at);
		}
		struck = fault_disarm();
		UNIT_CHECK(read_key(&b) == 0, "failed at call %u: %s", at, b.error.text);
		box_done(&b);
	}
}
END_TEST

/* ---- key files ------------------------------------------------------------------------------- */

START_TEST(a_key_file_is_raw_or_hex)
{
	char line[sizeof(hex)];
	struct box b;

	setup(&b);
	put_key(&b, raw, sizeof(raw));
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert_mem_eq(b.key, raw, sizeof(raw));
	put_key(&b, hex, 64);
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert_mem_eq(b.key, raw, sizeof(raw));
	memcpy(line, hex, sizeof(line));
	line[64] = '\n';
	put_key(&b, line, 65);
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert_mem_eq(b.key, raw, sizeof(raw));
	box_done(&b);
}
END_TEST

START_TEST(what_has_another_length_or_other_digits_is_no_key)
{
	char text[80];
	struct box b;

	setup(&b);
	memset(text, '0', sizeof(text));
	for (size_t n = 0; n <= sizeof(text); n++) {
		if (n == 32 || n == 64)
			continue;
		put_key(&b, text, n);
		must_refuse(&b, -EINVAL, "no master key");
	}
	for (int c = 0; c < 256; c++) {
		bool digit = c && strchr("0123456789abcdefABCDEF", c);

		text[63] = (char)c;
		put_key(&b, text, 64);
		if (!digit)
			must_refuse(&b, -EINVAL, "no master key");
		else
			ck_assert_int_eq(read_key(&b), 0);
	}
	box_done(&b);
}
END_TEST

START_TEST(a_key_file_that_others_can_reach_is_refused)
{
	char path[128], other[128];
	struct box b;

	setup(&b);
	put_key(&b, raw, sizeof(raw));
	box_path(&b, "master.key", path);
	box_path(&b, "master.key.new", other);
	for (mode_t mode = 1; mode <= 0077; mode++) {
		ck_assert_int_eq(chmod(path, 0600 | mode), 0);
		must_refuse(&b, -EPERM, "chmod 0600");
	}
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_assert_int_eq(read_key(&b), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(chown(path, 65534, 65534), 0);
		must_refuse(&b, -EPERM, "belongs to uid 65534");
	}
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(symlink(other, path), 0);
	must_refuse(&b, -ELOOP, "symbolic link");
	box_remove(&b, "master.key");
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	must_refuse(&b, -EMEDIUMTYPE, "no plain file");
	box_remove(&b, "master.key");
	ck_assert_int_eq(mkdir(path, 0700), 0);
	must_refuse(&b, -EMEDIUMTYPE, "no plain file");
	ck_assert_int_eq(rmdir(path), 0);
	box_done(&b);
}
END_TEST

START_TEST(a_directory_that_others_can_change_gives_no_key)
{
	struct box b;

	setup(&b);
	put_key(&b, raw, sizeof(raw));
	ck_assert_int_eq(chmod(b.dir, 0777), 0);
	must_refuse(&b, -EPERM, "chmod 0700");
	ck_assert_int_eq(chmod(b.dir, 0700), 0);
	ck_assert_int_eq(read_key(&b), 0);
	box_done(&b);
}
END_TEST

/* ---- the credential -------------------------------------------------------------------------- */

static void put_credential(struct box *c, const void *p, size_t n, mode_t mode)
{
	char path[128];

	box_path(c, "jeton.master", path);
	(void)unlink(path);
	box_write(c, "jeton.master", (struct bytes){ (uint8_t *)p, n });
	UNIT_CHECK(chmod(path, mode) == 0, "chmod");
}

START_TEST(the_credential_comes_before_the_file)
{
	struct box b, c;

	setup(&b);
	box_init(&c);
	put_key(&b, none, sizeof(none));
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", c.dir, 1), 0);
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert_mem_eq(b.key, none, sizeof(none));
	/* As systemd lends it: root's, by an access list that shows as the group's. */
	put_credential(&c, raw, sizeof(raw), 0440);
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert_mem_eq(b.key, raw, sizeof(raw));
	put_credential(&c, hex, 64, 0400);
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert_mem_eq(b.key, raw, sizeof(raw));
	put_credential(&c, raw, 31, 0400);
	ck_assert_int_eq(read_key(&b), -EINVAL);
	ck_assert_ptr_nonnull(strstr(b.error.text, c.dir));
	put_credential(&c, raw, sizeof(raw), 0444);
	ck_assert_int_eq(read_key(&b), -EPERM);
	ck_assert_ptr_nonnull(strstr(b.error.text, "chmod o="));
	unsetenv("CREDENTIALS_DIRECTORY");
	box_remove(&c, "jeton.master");
	box_done(&c);
	box_done(&b);
}
END_TEST

START_TEST(a_credential_makes_no_key_file)
{
	struct box b, c;

	setup(&b);
	box_init(&c);
	put_credential(&c, raw, sizeof(raw), 0400);
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", c.dir, 1), 0);
	ck_assert_int_eq(read_key(&b), 0);
	ck_assert(!box_has(&b, "master.key"));
	box_must_open(&b);
	box_close(&b);
	/* Taken away again: the store can't be opened, and is left alone. */
	unsetenv("CREDENTIALS_DIRECTORY");
	must_refuse(&b, -ENOKEY, "jeton.master");
	box_remove(&c, "jeton.master");
	box_done(&c);
	box_done(&b);
}
END_TEST

int main(void)
{
	TCase *tcase = tcase_create("masterkey");
	Suite *suite = suite_create("masterkey");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 300);
	tcase_add_test(tcase, a_first_start_makes_a_key_that_stays);
	tcase_add_test(tcase, two_first_starts_make_two_keys);
	tcase_add_test(tcase, no_key_is_made_where_there_is_a_store);
	tcase_add_test(tcase, no_key_is_made_while_another_agent_has_the_directory);
	tcase_add_loop_test(
		tcase, a_first_start_that_fails_or_is_killed_anywhere_leaves_a_whole_key_or_none, 0,
		2);
	tcase_add_test(tcase, a_key_file_is_raw_or_hex);
	tcase_add_test(tcase, what_has_another_length_or_other_digits_is_no_key);
	tcase_add_test(tcase, a_key_file_that_others_can_reach_is_refused);
	tcase_add_test(tcase, a_directory_that_others_can_change_gives_no_key);
	tcase_add_test(tcase, the_credential_comes_before_the_file);
	tcase_add_test(tcase, a_credential_makes_no_key_file);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
