/* tests/unit/store-files.h - a store's files as they are found at a start, good or bad. */
#pragma once

#include <sqlite3.h>

#include "tests/unit/store-box.h"

/* Keeps a store's files as an agent leaves them that is killed: with a log. */
static inline void killed_box(struct box *b, struct image *ret)
{
	box_init(b);
	box_must_open(b);
	box_fill(b);
	*ret = box_image(b);
	box_close(b);
	box_put_back(b, ret);
	UNIT_CHECK(ret->files[1].n > 32 + 10 * 4120, "no log to speak of");
}

/* Likewise after a stop: the file alone. */
static inline void stopped_box(struct box *b, struct image *ret)
{
	box_init(b);
	box_must_open(b);
	box_fill(b);
	box_close(b);
	*ret = box_image(b);
	UNIT_CHECK(!ret->files[1].p, "a log is left");
}

/* Of the file, what its header says is in use; the rest is room to grow. */
static inline size_t used(const struct image *m)
{
	const uint8_t *p = m->files[0].p + 28;
	size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];

	return n * 4096;
}

/* Opens and says why not; where not, all must be as it was. */
static inline int open_or_untouched(struct box *b, const struct image *before, const char *what,
				    size_t where)
{
	int r = box_open(b);

	if (r == 0)
		return 0;
	UNIT_CHECK(box_is(b, before), "%s %zu: refused (%s), but something has changed", what,
		   where, b->error.text);
	UNIT_CHECK(strstr(b->error.text, b->dir), "%s %zu: \"%s\" does not name the file", what,
		   where, b->error.text);
	return r;
}

static inline void by_hand(struct box *b, const char *sql)
{
	char path[128], *text = NULL;
	sqlite3 *db;

	box_path(b, "store.db", path);
	UNIT_CHECK(sqlite3_open(path, &db) == SQLITE_OK, "can't open by hand");
	UNIT_CHECK(sqlite3_exec(db, sql, NULL, NULL, &text) == SQLITE_OK, "%s: %s", sql, text);
	UNIT_CHECK(sqlite3_close(db) == SQLITE_OK, "can't close");
}
