/*
 * tests/fuzz/files.h - files that are only there in an input: what agent/policy/trusted.c reads from a
 * disk, read from the input, with no system call. To be included by one file of a program only, whose
 * definitions take the place of trusted.c's.
 *
 * A byte 0x1E begins another file, 0x1D the first file of the next directory. A file that begins with
 * 0x1F is a link to /dev/null, one with 0x1A a link that leads nowhere; 0x18 gives all names another end.
 */
#pragma once

#include <errno.h>

#include "agent/policy/trusted.h"
#include "tests/fuzz/fuzz.h"

enum { FUZZ_FILES = 8, FUZZ_DIRS = 2, NEXT_DIR = 0x1D, NEXT_FILE = 0x1E, IS_NULL = 0x1F, IS_LOST = 0x1A, IS_OTHER = 0x18 };

static struct {
	struct span text[FUZZ_DIRS][FUZZ_FILES];
	size_t n[FUZZ_DIRS];
	unsigned opened;    /* directories, since fuzz_files_set() */
	const char *suffix; /* of names: "a.conf", "b.conf", ... */
} fuzz_files;

static void fuzz_files_set(const uint8_t *data, size_t n, const char *suffix)
{
	const char *p = (const char *)data, *end = p + n, *start = p;
	unsigned dir = 0;

	memset(&fuzz_files, 0, sizeof(fuzz_files));
	fuzz_files.suffix = suffix;
	for (;; p++) {
		bool at_end = p == end;

		if (p == start && !at_end && *p == IS_OTHER) {
			fuzz_files.suffix = "~";
			start++;
			continue;
		}

		if (!at_end && *p != NEXT_FILE && *p != NEXT_DIR)
			continue;
		if (fuzz_files.n[dir] < FUZZ_FILES)
			fuzz_files.text[dir][fuzz_files.n[dir]++] =
				(struct span){ start, (size_t)(p - start) };
		start = p + 1;
		if (at_end || (*p == NEXT_DIR && ++dir == FUZZ_DIRS))
			break;
	}
}

/* What stands for the descriptor of a directory: no number that close() is called with. */
int trusted_open_dir(const char *path, uid_t trusted, int *ret_fd, struct policy_error *ret_error)
{
	unsigned dir = fuzz_files.opened++;

	(void)trusted;
	(void)ret_error;
	FUZZ_HOLDS(path[0]);
	if (dir >= FUZZ_DIRS || fuzz_files.n[dir] == 0)
		return -ENOENT;
	*ret_fd = -2 - (int)dir;
	return 0;
}

int trusted_read_file(int dir_fd, const char *name, const char *path, uid_t trusted,
		      struct span *ret_text, struct policy_error *ret_error)
{
	unsigned dir = (unsigned)(-2 - dir_fd), file = (unsigned)(name[0] - 'a');
	struct span text;

	(void)trusted;
	(void)ret_error;
	FUZZ_HOLDS(path[0] && dir < FUZZ_DIRS);
	text = fuzz_files.text[dir][file < fuzz_files.n[dir] ? file : 0];
	if (text.n > 0 && (text.p[0] == IS_NULL || text.p[0] == IS_LOST))
		return text.p[0] == IS_NULL ? 0 : -ENOENT;
	*ret_text = (struct span){ fuzz_text((const uint8_t *)text.p, text.n), text.n };
	return 1;
}

int trusted_list(int dir_fd, const char *path, struct trusted_names *ret,
		 struct policy_error *ret_error)
{
	unsigned dir = (unsigned)(-2 - dir_fd);

	(void)path;
	(void)ret_error;
	FUZZ_HOLDS(dir < FUZZ_DIRS);
	ret->names = calloc(FUZZ_FILES, sizeof(*ret->names));
	FUZZ_HOLDS(ret->names);
	for (; ret->n < fuzz_files.n[dir]; ret->n++)
		FUZZ_HOLDS(asprintf(&ret->names[ret->n], "%c%s", (char)('a' + ret->n),
				    fuzz_files.suffix) > 0);
	return 0;
}

void trusted_names_done(struct trusted_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->names[i]);
	free(names->names);
}

char *trusted_path(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}
