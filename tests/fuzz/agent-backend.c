/*
 * tests/fuzz/agent-backend.c - see agent-backend.h. Rows stand in order of their numbers; a change
 * keeps what it has replaced until it is committed, so that a rollback is that, put back from the
 * last to the first.
 */
#include "tests/fuzz/agent-backend.h"

#include <errno.h>

#include "agent/seal.h"
#include "agent/store-sqlite.h"
#include "tests/fuzz/fuzz.h"

enum { TABLES = STORE_AUDIT };

struct row {
	uint64_t row, owner;
	uint32_t version;
	size_t n;
	uint8_t *sealed;
};

struct rows {
	struct row *v;
	size_t n, room;
};

/* What was there before a step of a change; sealed NULL: nothing. */
struct undo {
	struct undo *next;
	enum store_table table;
	struct row before;
};

struct disk {
	bool exists;
	struct rows tables[TABLES];
	struct meta_value meta[META_LAST];
};

struct backend {
	struct store_backend base;
	struct disk *disk;
	struct undo *undo;
	struct meta_value meta_before[META_LAST];
	bool broken, in_change;
};

static struct {
	struct disk disk, remembered;
	struct backend_fault fault;
} the;

static struct backend *of(struct store_backend *b)
{
	return (struct backend *)b;
}

/* ---- disks ----------------------------------------------------------------------------------- */

static void disk_done(struct disk *d)
{
	for (size_t t = 0; t < TABLES; t++) {
		for (size_t i = 0; i < d->tables[t].n; i++)
			free(d->tables[t].v[i].sealed);
		free(d->tables[t].v);
	}
	*d = (struct disk){ .exists = false };
}

static uint8_t *copy_sealed(const uint8_t *sealed, size_t n)
{
	return (uint8_t *)fuzz_copy(sealed, n);
}

static void disk_copy(const struct disk *from, struct disk *to)
{
	*to = *from;
	for (size_t t = 0; t < TABLES; t++) {
		struct rows *rows = &to->tables[t];

		rows->v = malloc((rows->room ? rows->room : 1) * sizeof(*rows->v));
		FUZZ_HOLDS(rows->v);
		for (size_t i = 0; i < rows->n; i++) {
			rows->v[i] = from->tables[t].v[i];
			rows->v[i].sealed = copy_sealed(rows->v[i].sealed, rows->v[i].n);
		}
	}
}

void backend_wipe(void)
{
	disk_done(&the.disk);
	disk_done(&the.remembered);
	the.fault = (struct backend_fault){ .error = 0 };
}

void backend_remember(void)
{
	disk_done(&the.remembered);
	disk_copy(&the.disk, &the.remembered);
}

void backend_fall_back(void)
{
	disk_done(&the.disk);
	the.disk = the.remembered;
	the.remembered = (struct disk){ .exists = false };
}

void backend_set_fault(const struct backend_fault *fault)
{
	the.fault = *fault;
}

/* Whether this step fails now: 0 or a negative errno. */
static int trouble(struct backend *b, enum backend_step step)
{
	int r = the.fault.error;

	if (!the.fault.steps[step])
		return 0;
	b->broken |= the.fault.breaks;
	if (!the.fault.for_ever)
		the.fault = (struct backend_fault){ .error = 0 };
	return r;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct rows *table_of(const struct backend *b, enum store_table table)
{
	return &b->disk->tables[table - 1];
}

/* Where the row is, or would be. */
static size_t place_in(const struct rows *rows, uint64_t row)
{
	size_t low = 0, high = rows->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rows->v[middle].row < row)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct row *find(const struct backend *b, enum store_table table, uint64_t row)
{
	struct rows *rows = table_of(b, table);
	size_t at = place_in(rows, row);

	return at < rows->n && rows->v[at].row == row ? &rows->v[at] : NULL;
}

static void put_in(struct rows *rows, struct row row)
{
	size_t at = place_in(rows, row.row);

	if (rows->n == rows->room) {
		rows->room = rows->room * 2 + 16;
		rows->v = reallocarray(rows->v, rows->room, sizeof(*rows->v));
		FUZZ_HOLDS(rows->v);
	}
	memmove(rows->v + at + 1, rows->v + at, (rows->n - at) * sizeof(*rows->v));
	rows->v[at] = row;
	rows->n++;
}

static struct row take_out(struct rows *rows, struct row *row)
{
	struct row taken = *row;
	size_t at = (size_t)(row - rows->v);

	rows->n--;
	memmove(rows->v + at, rows->v + at + 1, (rows->n - at) * sizeof(*rows->v));
	return taken;
}

static void note_before(struct backend *b, enum store_table table, struct row before)
{
	struct undo *u = malloc(sizeof(*u));

	FUZZ_HOLDS(u);
	*u = (struct undo){ b->undo, table, before };
	b->undo = u;
}

static struct stored_row as_stored(enum store_table table, const struct row *row)
{
	return (struct stored_row){ .table = table,
				    .row = row->row,
				    .owner = row->owner,
				    .version = row->version,
				    .sealed = row->sealed,
				    .n = row->n };
}

/* ---- reading --------------------------------------------------------------------------------- */

static unsigned format(const struct store_backend *b)
{
	(void)b;
	return SEAL_FORMAT;
}

static int read_meta(struct store_backend *b, enum store_meta which, struct meta_value *ret)
{
	const struct meta_value *value = &of(b)->disk->meta[which - 1];

	if (!value->n)
		return -ENOENT;
	*ret = *value;
	return 0;
}

static int read_from(struct store_backend *b, enum store_table table, uint64_t first_row,
		     unsigned max, stored_row_fn on_row, void *userdata)
{
	struct rows *rows = table_of(of(b), table);
	int r = 0;

	for (size_t i = place_in(rows, first_row); r == 0 && i < rows->n && max > 0; i++, max--) {
		struct stored_row row = as_stored(table, &rows->v[i]);

		r = on_row(userdata, &row);
	}
	return r;
}

static int read_table(struct store_backend *b, enum store_table table, stored_row_fn on_row,
		      void *userdata)
{
	return read_from(b, table, 0, UINT32_MAX, on_row, userdata);
}

static int read_owners(struct store_backend *b, stored_row_fn on_row, void *userdata)
{
	struct rows *rows = table_of(of(b), STORE_ENDED);
	int r = 0;

	for (size_t i = 0; r == 0 && i < rows->n; i++) {
		struct stored_row row = as_stored(STORE_ENDED, &rows->v[i]);

		row.sealed = NULL;
		row.n = 0;
		r = on_row(userdata, &row);
	}
	return r;
}

static int read_ended(struct store_backend *b, const struct ended_query *q, stored_row_fn on_row,
		      void *userdata)
{
	struct rows *rows = table_of(of(b), STORE_ENDED);
	unsigned max = q->max;
	int r = 0;

	for (size_t i = place_in(rows, q->before_row); r == 0 && i > 0 && max > 0; i--) {
		struct stored_row row = as_stored(STORE_ENDED, &rows->v[i - 1]);

		if (q->owner && row.owner != q->owner)
			continue;
		r = on_row(userdata, &row);
		max--;
	}
	return r;
}

static int read_ended_row(struct store_backend *b, uint64_t row, stored_row_fn on_row,
			  void *userdata)
{
	struct row *there = find(of(b), STORE_ENDED, row);
	struct stored_row stored;

	if (!there)
		return 0;
	stored = as_stored(STORE_ENDED, there);
	return on_row(userdata, &stored);
}

/* ---- changing -------------------------------------------------------------------------------- */

static int trust(struct store_backend *b)
{
	(void)b;
	return 0;
}

static int begin(struct store_backend *b)
{
	int r = of(b)->broken ? -EIO : trouble(of(b), BACKEND_BEGIN);

	FUZZ_HOLDS(!of(b)->in_change && !of(b)->undo);
	if (r < 0)
		return r;
	of(b)->in_change = true;
	memcpy(of(b)->meta_before, of(b)->disk->meta, sizeof(of(b)->meta_before));
	return 0;
}

static int head(struct store_backend *b, enum store_table table, uint64_t row, uint32_t version,
		uint8_t *ret, size_t n)
{
	struct row *there = find(of(b), table, row);

	if (!there || there->version != version)
		return -ENOENT;
	FUZZ_HOLDS(there->n >= n);
	memcpy(ret, there->sealed, n);
	return 0;
}

static int insert(struct store_backend *b, const struct stored_row *row)
{
	int r = trouble(of(b), BACKEND_WRITE);

	if (r < 0)
		return r;
	if (find(of(b), row->table, row->row))
		return -EEXIST;
	put_in(table_of(of(b), row->table),
	       (struct row){ row->row, row->owner, row->version, row->n,
			     copy_sealed(row->sealed, row->n) });
	note_before(of(b), row->table, (struct row){ .row = row->row });
	return 0;
}

static int replace(struct store_backend *b, const struct stored_row *row)
{
	struct row *there = find(of(b), row->table, row->row);
	int r = trouble(of(b), BACKEND_WRITE);

	if (r < 0)
		return r;
	FUZZ_HOLDS(there);
	note_before(of(b), row->table, *there);
	*there = (struct row){ row->row, row->owner, row->version, row->n,
			       copy_sealed(row->sealed, row->n) };
	return 0;
}

static int remove_row(struct store_backend *b, enum store_table table, uint64_t row)
{
	struct row *there = find(of(b), table, row);
	int r = trouble(of(b), BACKEND_WRITE);

	if (r < 0)
		return r;
	FUZZ_HOLDS(there);
	note_before(of(b), table, take_out(table_of(of(b), table), there));
	return 0;
}

static int write_meta(struct store_backend *b, enum store_meta which, const uint8_t *value,
		      size_t n)
{
	struct meta_value *to = &of(b)->disk->meta[which - 1];

	FUZZ_HOLDS(n <= sizeof(to->bytes));
	to->n = n;
	memcpy(to->bytes, value, n);
	return 0;
}

static struct undo *take_undo(struct backend *b)
{
	struct undo *u = b->undo;

	if (u)
		b->undo = u->next;
	return u;
}

static void rollback(struct store_backend *b)
{
	struct undo *u;

	while ((u = take_undo(of(b)))) {
		struct rows *rows = table_of(of(b), u->table);
		struct row *there = find(of(b), u->table, u->before.row);

		if (there)
			free(take_out(rows, there).sealed);
		if (u->before.sealed)
			put_in(rows, u->before);
		free(u);
	}
	if (of(b)->in_change)
		memcpy(of(b)->disk->meta, of(b)->meta_before, sizeof(of(b)->meta_before));
	of(b)->in_change = false;
}

static int commit(struct store_backend *b)
{
	int r = trouble(of(b), BACKEND_COMMIT);
	struct undo *u;

	if (r < 0) {
		rollback(b);
		return r;
	}
	while ((u = take_undo(of(b)))) {
		free(u->before.sealed);
		free(u);
	}
	of(b)->in_change = false;
	return 0;
}

static bool is_broken(const struct store_backend *b)
{
	return ((const struct backend *)b)->broken;
}

static int renew(struct store_backend *b, int (*check)(void *userdata, struct store_backend *copy),
		 void *userdata)
{
	struct backend copy = { .base = b[0], .disk = of(b)->disk };
	int r = trouble(of(b), BACKEND_RENEW);

	if (r == 0)
		r = check(userdata, &copy.base);
	if (r == 0)
		of(b)->broken = false;
	return r;
}

static int rewrite(struct store_backend *b, const struct store_rewriting *how)
{
	struct disk disk = { .exists = true };
	struct backend copy = { .base = b[0], .disk = &disk };
	int r = how->fill(how->userdata, &copy.base, disk.meta);

	while (copy.undo)
		free(take_undo(&copy));
	if (r == 0)
		r = how->check(how->userdata, &copy.base);
	if (r == 0)
		r = trouble(of(b), BACKEND_RENEW);
	if (r < 0) {
		disk_done(&disk);
		return r;
	}
	disk_done(of(b)->disk);
	*of(b)->disk = disk;
	return 0;
}

static void settle(struct store_backend *b)
{
	(void)b;
}

static void close_backend(struct store_backend *b)
{
	FUZZ_HOLDS(!of(b)->in_change && !of(b)->undo);
	free(b);
}

static const struct store_backend_ops ops = {
	.close = close_backend,
	.format = format,
	.read_meta = read_meta,
	.read_table = read_table,
	.read_owners = read_owners,
	.read_ended = read_ended,
	.read_ended_row = read_ended_row,
	.read_from = read_from,
	.trust = trust,
	.begin = begin,
	.head = head,
	.insert = insert,
	.replace = replace,
	.remove = remove_row,
	.write_meta = write_meta,
	.commit = commit,
	.rollback = rollback,
	.is_broken = is_broken,
	.renew = renew,
	.rewrite = rewrite,
	.settle = settle,
};

/* ---- in place of store-sqlite.c -------------------------------------------------------------- */

int store_sqlite_exists(const struct state_dir *dir)
{
	(void)dir;
	return the.disk.exists;
}

int store_sqlite_create(const struct state_dir *dir,
			const struct meta_value values[static META_LAST], struct store_error *e)
{
	(void)dir;
	(void)e;
	the.disk.exists = true;
	memcpy(the.disk.meta, values, sizeof(the.disk.meta));
	return 0;
}

int store_sqlite_open(const struct state_dir *dir, struct store_backend **ret,
		      struct store_error *e)
{
	struct backend *b;

	(void)dir;
	(void)e;
	if (!the.disk.exists)
		return -ENOENT;
	b = calloc(1, sizeof(*b));
	FUZZ_HOLDS(b);
	*b = (struct backend){ .base = { .ops = &ops }, .disk = &the.disk };
	*ret = &b->base;
	return 0;
}
