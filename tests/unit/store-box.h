/*
 * tests/unit/store-box.h - a store in a directory of its own, and records that tell by themselves
 * whether they are the right ones.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/seal.h"
#include "agent/store.h"
#include "protocol/base/fd.h"
#include "tests/unit/unit.h"

enum { BOX_ROWS = 4096, BOX_TABLES = SEAL_TABLES + 1, BOX_RECORD_MIN = 44 };

/* What is expected, or was found: the version of each row, 0 for none. */
struct rows {
	uint32_t version[BOX_TABLES][BOX_ROWS];
};

struct box {
	char dir[64];
	uint8_t key[STORE_KEY_LEN];
	struct secretmem mem;
	struct store *store;
	struct store_error error;
	struct rows found; /* at the last box_open() */
	struct rows expected;
	/* Of the last changes: */
	unsigned n_kept, n_failed;
};

/* The n-th byte of the record of this row and version. */
static inline uint8_t record_byte(enum store_table table, uint64_t row, uint32_t version, size_t i)
{
	uint64_t state = (uint64_t)table << 60 ^ row << 32 ^ version;

	return (uint8_t)(unit_random(&state) + i * 7);
}

static inline size_t record_len(uint64_t row, uint32_t version)
{
	uint64_t state = row << 32 | version;

	return BOX_RECORD_MIN + unit_random(&state) % 300;
}

static inline uid_t box_owner(uint64_t row)
{
	return 1000 + (uid_t)(row % 3);
}

static inline void record_fill(enum store_table table, uint64_t row, uint32_t version, uint8_t *dst)
{
	uint8_t first = record_byte(table, row, version, 0);

	for (size_t i = 0; i < record_len(row, version); i++)
		dst[i] = (uint8_t)(first + i * 7);
	/* Whose it is stands where a token's record has it: the tables of ended rows go by that. */
	for (unsigned i = 0; i < 4; i++)
		dst[40 + i] = (uint8_t)(box_owner(row) >> 8 * i);
}

static inline bool record_is(enum store_table table, uint64_t row, uint32_t version,
			     const uint8_t *record, size_t n)
{
	uint8_t expected[512];

	record_fill(table, row, version, expected);
	return n == record_len(row, version) && memcmp(record, expected, n) == 0;
}

/*
 * Of many cases that are alike, one of how many is to be tried: under a tool that makes all of it
 * many times slower not all of them can be.
 */
static inline unsigned box_thinning(void)
{
	return getenv("RUN_UNDER") ? 25 : 1;
}

/* ---- the directory --------------------------------------------------------------------------- */

/* Where a sync costs nothing: what survives a power cut is not what these tests ask. */
static inline void box_init(struct box *b)
{
	bool fast = access("/dev/shm", W_OK) == 0;

	memset(b, 0, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "%s/jeton-store.XXXXXX", fast ? "/dev/shm" : "/tmp");
	UNIT_CHECK(mkdtemp(b->dir), "mkdtemp: %s", strerror(errno));
	memset(b->key, 0x5a, sizeof(b->key));
	b->mem.no_secretmem = true;
	b->mem.allow_unlocked = true;
}

/* An anchor's files are in a directory beside it, where a test has one. */
static inline bool box_is_anchors(const char *name)
{
	return strncmp(name, "anchor", strlen("anchor")) == 0;
}

static inline void box_path(const struct box *b, const char *name, char dst[static 128])
{
	snprintf(dst, 128, "%s%s/%s", b->dir, box_is_anchors(name) ? "-anchor" : "", name);
}

static inline void box_remove(const struct box *b, const char *name)
{
	char path[128];

	box_path(b, name, path);
	(void)unlink(path);
}

static inline bool box_has(const struct box *b, const char *name)
{
	char path[128];
	struct stat st;

	box_path(b, name, path);
	return lstat(path, &st) == 0;
}

static const char *const box_files[] = { "store.db",	 "store.db-wal",  "store.db-journal",
					 "store.db-shm", "store.db.new",  "store.db.new-wal",
					 "master.key",	 "master.key.new", "store.db.1",
					 "master.key.next" };

static inline void box_done(struct box *b)
{
	store_close(b->store);
	b->store = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(box_files); i++)
		box_remove(b, box_files[i]);
	UNIT_CHECK(rmdir(b->dir) == 0, "%s is left behind with more than a store: %s", b->dir,
		   strerror(errno));
}

/* A file's bytes. p NULL: there is none. */
struct bytes {
	uint8_t *p;
	size_t n;
};

static inline struct bytes box_read(const struct box *b, const char *name)
{
	char path[128];
	struct stat st;
	struct bytes f = { NULL, 0 };
	int fd;

	box_path(b, name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return f;
	UNIT_CHECK(fstat(fd, &st) == 0, "fstat");
	f.n = (size_t)st.st_size;
	f.p = malloc(f.n + 1);
	UNIT_CHECK(f.p && fd_read_all(fd, f.p, f.n) == (ssize_t)f.n, "can't read %s", path);
	close(fd);
	return f;
}

/* Makes a file hold these bytes; p NULL: makes it go. */
static inline void box_write(const struct box *b, const char *name, struct bytes f)
{
	char path[128];
	int fd;

	box_path(b, name, path);
	if (!f.p) {
		(void)unlink(path);
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	UNIT_CHECK(fd >= 0 && fd_write_all(fd, f.p, f.n) == 0, "can't write %s", path);
	close(fd);
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return !a.p == !b.p && a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* All there is in the directory of a store, to be put back or compared. */
struct image {
	struct bytes files[ARRAY_SIZE(box_files)];
};

static inline struct image box_image(const struct box *b)
{
	struct image m;

	for (size_t i = 0; i < ARRAY_SIZE(box_files); i++)
		m.files[i] = box_read(b, box_files[i]);
	return m;
}

static inline void box_put_back(const struct box *b, const struct image *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(box_files); i++)
		box_write(b, box_files[i], m->files[i]);
}

static inline void image_done(struct image *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(box_files); i++)
		free(m->files[i].p);
}

/* Nothing was changed, made or removed since the image was taken. */
static inline bool box_is(const struct box *b, const struct image *m)
{
	struct image now = box_image(b);
	bool same = true;

	for (size_t i = 0; i < ARRAY_SIZE(box_files); i++)
		same = same && bytes_equal(now.files[i], m->files[i]);
	image_done(&now);
	return same;
}

/* ---- the store ------------------------------------------------------------------------------- */

struct finding {
	struct rows *rows;
	bool *twice;
	enum store_table table;
};

static inline int box_on_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			     size_t n)
{
	struct finding *f = userdata;

	UNIT_CHECK(row < BOX_ROWS, "row %lu of table %d was never put", (unsigned long)row,
		   (int)f->table);
	UNIT_CHECK(record_is(f->table, row, version, record, n),
		   "row %lu version %u of table %d is not what was put", (unsigned long)row,
		   version, (int)f->table);
	*f->twice |= f->rows->version[f->table][row] != 0;
	f->rows->version[f->table][row] = version;
	return 0;
}

static inline int box_load(struct box *b)
{
	bool twice = false;
	int r = 0;

	memset(&b->found, 0, sizeof(b->found));
	for (unsigned t = STORE_ACTIVE; r == 0 && t < BOX_TABLES; t++)
		r = store_read_all(b->store, t, box_on_row,
				   &(struct finding){ &b->found, &twice, t }, &b->error);
	if (r == 0)
		r = store_start(b->store, &b->error);
	UNIT_CHECK(r < 0 || !twice, "started with a row that is there twice");
	return r;
}

/*
 * As the agent starts: opens, reads all, starts. Fills `found`; on failure the store is closed and
 * `error` says why.
 */
static inline int box_open(struct box *b)
{
	int r;

	b->error.text[0] = '\0';
	r = store_open(b->dir, b->key, &b->mem, &b->store, &b->error);
	if (r < 0) {
		b->store = NULL;
		return r;
	}
	r = box_load(b);
	if (r < 0) {
		store_close(b->store);
		b->store = NULL;
	}
	return r;
}

static inline void box_must_open(struct box *b)
{
	int r = box_open(b);

	UNIT_CHECK(r == 0, "can't open: %s (%s)", b->error.text, strerror(-r));
}

static inline void box_close(struct box *b)
{
	store_close(b->store);
	b->store = NULL;
}

static inline bool rows_equal(const struct rows *a, const struct rows *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Closes, opens again, and finds what is expected. */
static inline void box_must_hold(struct box *b)
{
	box_close(b);
	box_must_open(b);
	UNIT_CHECK(rows_equal(&b->found, &b->expected), "not the rows that were kept");
}

/* ---- changes --------------------------------------------------------------------------------- */

static inline struct store_change *box_change(struct box *b)
{
	struct store_change *c = store_change_new(b->store);

	UNIT_CHECK(c, "no memory");
	return c;
}

/* Adds the next version of a row to a change, and to what is expected. */
static inline void box_put(struct box *b, struct store_change *c, enum store_table table,
			   uint64_t row)
{
	uint32_t *version = &b->expected.version[table][row], old = *version;
	uint8_t record[512];

	*version += 1;
	record_fill(table, row, *version, record);
	UNIT_CHECK(store_change_put(c, table, row, old, *version, box_owner(row), record,
				    record_len(row, *version)) == 0,
		   "no memory");
}

static inline void box_delete(struct box *b, struct store_change *c, enum store_table table,
			      uint64_t row)
{
	uint32_t *version = &b->expected.version[table][row];

	UNIT_CHECK(store_change_delete(c, table, row, *version) == 0, "no memory");
	*version = 0;
}

static inline void box_on_done(void *userdata, int r)
{
	struct box *b = userdata;

	if (r == 0)
		b->n_kept++;
	else
		b->n_failed++;
}

static inline void box_submit(struct box *b, struct store_change *c)
{
	store_submit(b->store, c, box_on_done, b);
}

/* Calls back until so many changes have been, one way or the other. */
static inline void box_wait(struct box *b, unsigned n)
{
	struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };

	while (b->n_kept + b->n_failed < n) {
		UNIT_CHECK(poll(&p, 1, 100000) == 1, "the store does not answer");
		store_dispatch(b->store);
	}
}

/* Submits one change and waits for it. Whether it was kept. */
static inline bool box_do(struct box *b, struct store_change *c)
{
	b->n_kept = b->n_failed = 0;
	box_submit(b, c);
	box_wait(b, 1);
	return b->n_kept == 1;
}

static inline bool box_put_one(struct box *b, enum store_table table, uint64_t row)
{
	struct store_change *c = box_change(b);

	box_put(b, c, table, row);
	return box_do(b, c);
}

/* A few rows in every table, some of them changed, moved and deleted. */
static inline void box_fill(struct box *b)
{
	struct store_change *c;

	for (uint64_t row = 1; row <= 8; row++)
		UNIT_CHECK(box_put_one(b, STORE_ACTIVE, row), "not kept");
	for (uint64_t row = 2; row <= 5; row++) {
		c = box_change(b);
		box_delete(b, c, STORE_ACTIVE, row);
		box_put(b, c, STORE_ENDED, row);
		UNIT_CHECK(box_do(b, c), "not kept");
	}
	UNIT_CHECK(box_put_one(b, STORE_ACTIVE, 7), "not kept");
	UNIT_CHECK(box_put_one(b, STORE_CREDENTIALS, 1), "not kept");
	for (uint64_t row = 1; row <= 3; row++)
		UNIT_CHECK(box_put_one(b, STORE_AUDIT, row), "not kept");
	c = box_change(b);
	box_delete(b, c, STORE_ENDED, 3);
	UNIT_CHECK(box_do(b, c), "not kept");
}
