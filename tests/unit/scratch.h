/* tests/unit/scratch.h - a temporary directory for tests that need files. */
#pragma once

#include <check.h>
#include <stddef.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/* Makes the directory, and removes it with all that is in it. For a checked fixture. */
void scratch_make(void);
void scratch_remove(void);

/* Its path, without a slash at the end. */
const char *scratch_dir(void);
/* The path of something in it. Good for eight more calls. */
const char *scratch_path(const char *name);

/* Make a directory (0755), or a file (0644) with this content. */
void scratch_make_dir(const char *name);
void scratch_write(const char *name, const char *text);
void scratch_write_bytes(const char *name, struct span text);

/*
 * SCRATCH_MAIN("policy", set_up, first_test, second_test, ...): as UNIT_MAIN(), where each test
 * begins with set_up(), which calls scratch_make(), and ends with scratch_remove().
 */
#define SCRATCH_MAIN(name, set_up, ...)                                     \
	int main(void)                                                      \
	{                                                                   \
		const TTest *const tests[] = { __VA_ARGS__ };               \
                                                                            \
		return scratch_run(name, set_up, tests, ARRAY_SIZE(tests)); \
	}
int scratch_run(const char *name, void (*set_up)(void), const TTest *const tests[], size_t n);
