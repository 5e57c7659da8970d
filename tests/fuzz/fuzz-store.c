/*
 * tests/fuzz/fuzz-store.c - a store's files with changes of the input's making: what is loaded of them is
 * what was put, up to some change and with all of those before, or it is refused with a sentence and
 * not a byte has changed. Never is a record another.
 *
 * The files are in memory (memory-dir.h), as with Storage=volatile. The first byte says whether the
 * store was stopped or killed. Then come edits of 8 bytes: of which file, where, what, how.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/memory-dir.h"
#include "agent/store.h"
#include "protocol/base/fd.h"

enum { ROWS = 16, TABLES = STORE_AUDIT + 1, FILES = 2, STATES = 40, EDITS_MAX = 32, RECORD = 60, PAGE = 4096 };

/* The version of each row; 0: there is none. */
struct rows {
	uint8_t version[TABLES][ROWS];
};

struct bytes {
	uint8_t *p; /* NULL: there is no such file */
	size_t n;
};

/* What a store leaves. */
struct image {
	struct bytes files[FILES];
};

static const char *const names[FILES] = { "store.db", "store.db-wal" };
static const uint8_t key[STORE_KEY_LEN] = "the master key";
static struct secretmem mem = { .allow_unlocked = true, .no_secretmem = true };
static struct memory_dir *dir;

static struct {
	struct image stopped, killed;
	struct rows states[STATES]; /* after each change */
	unsigned n_states;
} made;

/* ---- rows ------------------------------------------------------------------------------------ */

static void fill_record(enum store_table table, uint64_t row, uint32_t version,
			uint8_t dst[static RECORD])
{
	for (unsigned i = 0; i < RECORD; i++)
		dst[i] = (uint8_t)(table * 31 + row * 7 + version * 3 + i);
	/* Whose it is stands where a token's record has it. */
	memset(dst + 40, 0, 4);
	dst[40] = 100;
}

struct loading {
	struct rows *rows;
	enum store_table table;
};

static int on_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record, size_t n)
{
	struct loading *l = userdata;
	uint8_t expected[RECORD];

	FUZZ_HOLDS(row < ROWS && version < 256 && n == RECORD);
	fill_record(l->table, row, version, expected);
	FUZZ_HOLDS(memcmp(record, expected, n) == 0);
	l->rows->version[l->table][row] = (uint8_t)version;
	return 0;
}

/* As the agent does at its start. *ret is NULL where it is refused. */
static int load(struct store **ret, struct rows *ret_rows, struct store_error *e)
{
	int r = store_open_memory(dir, key, &mem, ret, e);

	if (r < 0) {
		*ret = NULL;
		return r;
	}
	memset(ret_rows, 0, sizeof(*ret_rows));
	for (enum store_table t = STORE_ACTIVE; r == 0 && t <= STORE_AUDIT; t++)
		r = store_read_all(*ret, t, on_row, &(struct loading){ ret_rows, t }, e);
	if (r == 0)
		r = store_start(*ret, e);
	if (r < 0) {
		store_close(*ret);
		*ret = NULL;
	}
	return r;
}

/* ---- files ----------------------------------------------------------------------------------- */

static struct bytes read_file(const char *name)
{
	_cleanup_close_ int fd = memory_dir_open_file(dir, name, 0);
	struct bytes b = { NULL, 0 };

	if (fd < 0)
		return b;
	b.n = (size_t)memory_dir_size(dir, name);
	b.p = malloc(b.n + 1);
	FUZZ_HOLDS(b.p && pread(fd, b.p, b.n, 0) == (ssize_t)b.n);
	return b;
}

static void write_file(const char *name, const struct bytes *b)
{
	_cleanup_close_ int fd = -1;

	(void)memory_dir_remove(dir, name);
	if (!b->p)
		return;
	fd = memory_dir_open_file(dir, name, O_CREAT);
	FUZZ_HOLDS(fd >= 0 && pwrite(fd, b->p, b->n, 0) == (ssize_t)b->n);
}

static struct image take_image(void)
{
	struct image m;

	for (unsigned i = 0; i < FILES; i++)
		m.files[i] = read_file(names[i]);
	return m;
}

static bool is_as_in(const struct image *m)
{
	struct image now = take_image();
	bool same = true;

	for (unsigned i = 0; i < FILES; i++) {
		struct bytes *a = &now.files[i];
		const struct bytes *b = &m->files[i];

		same = same && !a->p == !b->p && a->n == b->n &&
		       (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
		free(a->p);
	}
	return same;
}

/* ---- the store that there is ------------------------------------------------------------------ */

static void on_done(void *userdata, int r)
{
	FUZZ_HOLDS(r == 0);
	*(bool *)userdata = true;
}

static void commit(struct store *s, struct store_change *c, const struct rows *rows)
{
	struct pollfd p = { .fd = store_fd(s), .events = POLLIN };
	bool done = false;

	store_submit(s, c, on_done, &done);
	while (!done) {
		(void)poll(&p, 1, -1);
		store_dispatch(s);
	}
	FUZZ_HOLDS(made.n_states < STATES);
	made.states[made.n_states++] = *rows;
}

static void put(struct store *s, struct rows *rows, enum store_table table, uint64_t row)
{
	struct store_change *c = store_change_new(s);
	uint8_t record[RECORD], old = rows->version[table][row]++;

	fill_record(table, row, old + 1u, record);
	FUZZ_HOLDS(c && store_change_put(c, table, row, old, old + 1u, 100, record, RECORD) == 0);
	commit(s, c, rows);
}

static void end(struct store *s, struct rows *rows, uint64_t row)
{
	struct store_change *c = store_change_new(s);
	uint8_t record[RECORD];

	fill_record(STORE_ENDED, row, 1, record);
	FUZZ_HOLDS(c && store_change_delete(c, STORE_ACTIVE, row,
					    rows->version[STORE_ACTIVE][row]) == 0);
	FUZZ_HOLDS(store_change_put(c, STORE_ENDED, row, 0, 1, 100, record, RECORD) == 0);
	rows->version[STORE_ACTIVE][row] = 0;
	rows->version[STORE_ENDED][row] = 1;
	commit(s, c, rows);
}

static void make_rows(struct store *s, struct rows *rows, uint64_t first)
{
	for (uint64_t row = first; row < first + 4; row++)
		put(s, rows, STORE_ACTIVE, row);
	end(s, rows, first + 1);
	put(s, rows, STORE_ACTIVE, first);
	put(s, rows, STORE_CREDENTIALS, 1);
	put(s, rows, STORE_EVENTS, first);
	put(s, rows, STORE_AUDIT, first);
}

static void make(void)
{
	struct memory_dir_error error;
	struct store_error e;
	struct rows rows;
	struct store *s;

	unsetenv("NOTIFY_SOCKET");
	FUZZ_HOLDS(memory_dir_open(&dir, &error) == 0);
	FUZZ_HOLDS(load(&s, &rows, &e) == 0);
	made.states[made.n_states++] = rows;
	make_rows(s, &rows, 1);
	store_close(s);
	made.stopped = take_image();
	FUZZ_HOLDS(load(&s, &rows, &e) == 0);
	make_rows(s, &rows, 8);
	made.killed = take_image();
	store_close(s);
	FUZZ_HOLDS(made.stopped.files[0].p && made.killed.files[1].p);
}

/* ---- edits ----------------------------------------------------------------------------------- */

static void edit_page(struct bytes *b, size_t at, size_t from, bool clear)
{
	at -= at % PAGE;
	from -= from % PAGE;
	if (at + PAGE > b->n || from + PAGE > b->n)
		return;
	if (clear)
		memset(b->p + at, 0, PAGE);
	else
		memmove(b->p + at, b->p + from, PAGE);
}

/* Eight bytes: file and how, three of a place, four of a value. */
static void edit(struct image *m, const uint8_t *p)
{
	struct bytes *b = &m->files[p[0] & 1];
	size_t at = (size_t)p[1] | (size_t)p[2] << 8 | (size_t)(p[3] & 3) << 16;
	size_t from = (size_t)p[4] | (size_t)p[5] << 8 | (size_t)(p[6] & 3) << 16;

	if (!b->p || b->n == 0)
		return;
	at %= b->n;
	switch (p[0] >> 1 & 7) {
	case 0:
		b->p[at] ^= p[4];
		break;
	case 1:
		memcpy(b->p + at, p + 4, b->n - at < 4 ? b->n - at : 4);
		break;
	case 2:
		edit_page(b, at, from % b->n, false);
		break;
	case 3:
		edit_page(b, at, 0, true);
		break;
	case 4:
		b->n = at;
		break;
	case 5:
		memset(b->p + at, 0, b->n - at);
		break;
	case 6: /* bytes from elsewhere: of a row into another's place */
		from %= b->n;
		memmove(b->p + at, b->p + from, p[7] < b->n - (at > from ? at : from) ? p[7] : 0);
		break;
	default:
		b->p[at] = (uint8_t)(b->p[at] + p[4]);
	}
}

static struct image copy_image(const struct image *from)
{
	struct image m = *from;

	for (unsigned i = 0; i < FILES; i++)
		if (m.files[i].p)
			m.files[i].p = (uint8_t *)fuzz_copy(m.files[i].p, m.files[i].n);
	return m;
}

/* ---- what must hold -------------------------------------------------------------------------- */

static bool is_a_state(const struct rows *rows)
{
	for (unsigned i = 0; i < made.n_states; i++)
		if (memcmp(rows, &made.states[i], sizeof(*rows)) == 0)
			return true;
	return false;
}

static void check(const struct image *m)
{
	struct store_error e = { "" };
	struct rows rows, again;
	struct store *s;
	int r = load(&s, &rows, &e);

	if (r < 0) {
		FUZZ_HOLDS(e.text[0] && !strchr(e.text, '\n'));
		FUZZ_HOLDS(is_as_in(m));
		return;
	}
	FUZZ_HOLDS(is_a_state(&rows));
	store_close(s);
	FUZZ_HOLDS(load(&s, &again, &e) == 0);
	FUZZ_HOLDS(memcmp(&rows, &again, sizeof(rows)) == 0);
	store_close(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t choice = fuzz_byte(&data, &n);
	struct image m;

	if (!dir)
		make();
	m = copy_image(choice & 1 ? &made.killed : &made.stopped);
	for (unsigned i = 0; i < EDITS_MAX && n >= 8; i++, data += 8, n -= 8)
		edit(&m, data);
	for (unsigned i = 0; i < FILES; i++)
		write_file(names[i], &m.files[i]);
	check(&m);
	for (unsigned i = 0; i < FILES; i++)
		free(m.files[i].p);
	return 0;
}
