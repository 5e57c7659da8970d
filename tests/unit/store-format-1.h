/*
 * tests/unit/store-format-1.h - a store as the first version of Jeton left it when it was killed:
 * tests/unit/format-1/, made by that version itself.
 */
#pragma once

#include "tests/unit/store-box.h"

/* What a store's file had allocated: the zeros at its end are left out in the sources. */
enum { OLD_STORE_SIZE = 256 * 1024 };

/* A file of it into the box's directory. */
static inline void box_give_old(const struct box *b, const char *name)
{
	char path[128];
	struct bytes f;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "tests/unit/format-1/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	UNIT_CHECK(fd >= 0 && fstat(fd, &st) == 0, "%s: %s (run it at the top of the sources)",
		   path, strerror(errno));
	f.n = strcmp(name, "store.db") == 0 ? OLD_STORE_SIZE : (size_t)st.st_size;
	f.p = calloc(1, f.n);
	UNIT_CHECK(f.p && fd_read_all(fd, f.p, f.n) == st.st_size, "can't read %s", path);
	close(fd);
	box_write(b, name, f);
	free(f.p);
}

/* The rows that box_fill() put, but for the audit; six events; and what is in the log. */
static inline void box_expect_old(struct box *b, bool with_log)
{
	struct rows *rows = &b->expected;

	memset(rows, 0, sizeof(*rows));
	for (uint64_t row = 1; row <= 8; row++)
		rows->version[row >= 2 && row <= 5 ? STORE_ENDED : STORE_ACTIVE][row] = 1;
	rows->version[STORE_ACTIVE][7] = 2;
	rows->version[STORE_ENDED][3] = 0;
	rows->version[STORE_CREDENTIALS][1] = 1;
	for (uint64_t row = 1; row <= 6; row++)
		rows->version[STORE_EVENTS][row] = 1;
	if (!with_log)
		return;
	rows->version[STORE_ACTIVE][20] = 1;
	rows->version[STORE_ACTIVE][8] = 0;
	rows->version[STORE_ENDED][8] = 1;
}

/* A box with that store: as it was killed, or (without the log) as it had last been stopped. */
static inline void box_init_old(struct box *b, bool with_log)
{
	box_init(b);
	box_give_old(b, "store.db");
	if (with_log)
		box_give_old(b, "store.db-wal");
	box_expect_old(b, with_log);
}
