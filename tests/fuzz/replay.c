/*
 * tests/fuzz/replay.c - a fuzz target as a test: every input that is kept for it, each cut at every
 * quarter as well, and an empty one. Prints TAP.
 *	fuzz-NAME [FILE...]		(else all of tests/fuzz/corpus/NAME, from the top of the tree)
 */
#include <dirent.h>
#include <limits.h>

#include "tests/fuzz/fuzz.h"

enum { INPUT_MAX = 1024 * 1024 };

static void replay(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f) {
		perror(path);
		exit(1);
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	/* Seen where it aborts: the last line is the input that did it. */
	fprintf(stderr, "# %s\n", path);
	for (size_t quarter = 0; quarter <= 4; quarter++)
		LLVMFuzzerTestOneInput(data, n * quarter / 4);
}

/* The directory of inputs, from the name of the program: NAME of …/fuzz-NAME. */
static void corpus_of(const char *program, char path[static PATH_MAX])
{
	const char *name = strrchr(program, '/');

	name = name ? name + 1 : program;
	name += strncmp(name, "fuzz-", 5) ? 0 : 5;
	snprintf(path, PATH_MAX, "%s/corpus/%s", "tests/fuzz", name);
}

static unsigned replay_all(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char path[PATH_MAX + NAME_MAX + 2];
	unsigned n = 0;

	if (!d) {
		perror(dir);
		exit(1);
	}
	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		replay(path);
		n++;
	}
	closedir(d);
	return n;
}

int main(int argc, char *argv[])
{
	char dir[PATH_MAX];
	unsigned n = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++, n++)
		replay(argv[i]);
	if (argc == 1) {
		corpus_of(argv[0], dir);
		n = replay_all(dir);
	}
	printf("1..1\n%s 1 - %u inputs do no harm\n", n ? "ok" : "not ok", n);
	return n ? 0 : 1;
}
