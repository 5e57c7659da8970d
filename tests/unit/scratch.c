/* tests/unit/scratch.c - see scratch.h. */
#include "tests/unit/scratch.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/jeton-test-XXXXXX";

const char *scratch_dir(void)
{
	return dir;
}

const char *scratch_path(const char *name)
{
	static char paths[8][256];
	static unsigned i;

	i = (i + 1) % ARRAY_SIZE(paths);
	snprintf(paths[i], sizeof(paths[i]), "%s/%s", dir, name);
	return paths[i];
}

void scratch_write_bytes(const char *name, struct span text)
{
	int fd = open(scratch_path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fchmod(fd, 0644), 0);
	ck_assert(write(fd, text.p, text.n) == (ssize_t)text.n);
	close(fd);
}

void scratch_write(const char *name, const char *text)
{
	scratch_write_bytes(name, span_of(text));
}

void scratch_make_dir(const char *name)
{
	ck_assert(mkdir(scratch_path(name), 0755) == 0);
	ck_assert_int_eq(chmod(scratch_path(name), 0755), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void scratch_make(void)
{
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

void scratch_remove(void)
{
	ck_assert_int_eq(nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int scratch_run(const char *name, void (*set_up)(void), const TTest *const tests[], size_t n)
{
	TCase *tcase = tcase_create(name);
	Suite *suite = suite_create(name);
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_checked_fixture(tcase, set_up, scratch_remove);
	tcase_set_timeout(tcase, 300);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tcase, tests[i]);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
