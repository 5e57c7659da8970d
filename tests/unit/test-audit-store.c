/*
 * tests/unit/test-audit-store.c - the chain through changes that are kept and that fail, and
 * through a store.
 *
 *	test-audit-store alter|remove|exchange|cut STATE-DIRECTORY SEQ
 *
 * does to the store of an agent that does not run what only somebody with its keys can do; for
 * tests/agent/test-audit.py.
 */
#include "agent/audit-internal.h"

#include <sodium.h>

#include "agent/masterkey.h"
#include "tests/unit/store-box.h"

/* An agent of which nothing but the audit and the store is there. */
static void agent_of(struct box *b, struct agent *a)
{
	memset(a, 0, sizeof(*a));
	a->store = b ? b->store : NULL;
	ck_assert_int_eq(audit_init(a), 0);
}

static struct audit_entry entry(uint64_t token)
{
	return (struct audit_entry){ .at_us = 1700000000000000 + token,
				     .token = token,
				     .count = 1,
				     .owner_uid = AUDIT_NO_UID,
				     .operation = "issue",
				     .result = "ok" };
}

static int on_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record, size_t n)
{
	return audit_load(userdata, row, version, record, n);
}

static int on_other_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			size_t n)
{
	(void)userdata, (void)row, (void)version, (void)record, (void)n;
	return 0;
}

/* Opens the store as the agent does at its start. */
static void open_all(struct box *b, struct agent *a)
{
	UNIT_CHECK(store_open(b->dir, b->key, &b->mem, &b->store, &b->error) == 0, "%s",
		   b->error.text);
	agent_of(b, a);
	for (unsigned t = STORE_ACTIVE; t <= STORE_AUDIT; t++)
		UNIT_CHECK(store_read_all(b->store, t, t == STORE_AUDIT ? on_row : on_other_row, a,
					  &b->error) == 0,
			   "%s", b->error.text);
	ck_assert_int_eq(audit_load_done(a), 0);
	UNIT_CHECK(store_start(b->store, &b->error) == 0, "%s", b->error.text);
}

static void close_all(struct box *b, struct agent *a)
{
	audit_done(a);
	box_close(b);
}

/* One change with so many entries; kept, or rolled back as after a failure. */
static void add(struct box *b, struct agent *a, unsigned n, bool keep)
{
	struct store_change *c = box_change(b);
	struct audit_list list = { .n = 0 };

	for (unsigned i = 0; i < n; i++) {
		struct audit_entry e = entry(a->audit->prepared.seq + 1);

		ck_assert_int_eq(audit_add(a, &list, c, &e), 0);
	}
	if (!keep) {
		store_change_free(c);
		audit_drop(a, &list);
		return;
	}
	UNIT_CHECK(box_do(b, c), "not kept");
	audit_keep(a, &list);
}

/* Whatever the order of rows, and however long a record is that is none of ours. */
START_TEST(the_next_entry_is_tied_to_the_highest_row_that_was_loaded)
{
	static const struct {
		uint64_t row;
		size_t n;
	} rows[] = { { 2, 100 }, { 3, AUDIT_RECORD_MAX },
		     { 1, 90 },	 { 5, AUDIT_RECORD_MAX + 1 },
		     { 4, 120 }, { 7, 80 },
		     { 6, 80 } };
	static uint8_t record[AUDIT_RECORD_MAX + 1];

	for (size_t n = 1; n <= ARRAY_SIZE(rows); n++) {
		struct audit_link expected = { 0 };
		struct agent a;

		agent_of(NULL, &a);
		for (size_t i = 0; i < n; i++) {
			memset(record, (int)i + 1, rows[i].n);
			ck_assert_int_eq(audit_load(&a, rows[i].row, 1, record, rows[i].n), 0);
			if (rows[i].row > expected.seq)
				audit_chain_link(rows[i].row, record, rows[i].n, &expected);
		}
		ck_assert_int_eq(audit_load_done(&a), 0);
		ck_assert_uint_eq(audit_last(&a).seq, expected.seq);
		ck_assert_mem_eq(audit_last(&a).hash, expected.hash, AUDIT_HASH_LEN);
		audit_done(&a);
	}
}
END_TEST

struct reading {
	struct audit_check check;
	unsigned n, n_damages;
	bool done;
};

static void on_rows(void *userdata, struct store_rows *rows, int r)
{
	struct reading *reading = userdata;
	struct audit_finding f;
	const uint8_t *record;
	uint64_t row;
	uint32_t version;
	size_t n;

	ck_assert_int_eq(r, 0);
	while ((r = store_rows_next(rows, &row, &version, &record, &n)) > 0) {
		audit_check_row(&reading->check, row, record, n, &f);
		reading->n += f.has_entry;
		reading->n_damages +=
			(f.altered ? 1U : 0) + (f.missing ? 1U : 0) + (f.reordered ? 1U : 0);
	}
	ck_assert_int_eq(r, 0);
	store_rows_free(rows);
	reading->done = true;
}

/* Reads at most 64 entries, and holds them against the end of the chain. */
static struct reading read_chain(struct box *b, struct agent *a)
{
	struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };
	struct reading reading = { .n = 0 };
	struct audit_link last = audit_last(a);
	enum audit_damage damage;

	store_read_from(b->store, STORE_AUDIT, 1, STORE_READ_MAX, on_rows, &reading);
	while (!reading.done) {
		UNIT_CHECK(poll(&p, 1, 100000) == 1, "the store does not answer");
		store_dispatch(b->store);
	}
	reading.n_damages += audit_check_end(&reading.check, &last, &damage) ? 1U : 0;
	return reading;
}

START_TEST(the_chain_goes_on_over_changes_and_starts)
{
	struct reading reading;
	struct agent a;
	struct box b;

	box_init(&b);
	for (unsigned i = 0; i < 5; i++) {
		open_all(&b, &a);
		ck_assert_uint_eq(audit_last(&a).seq, i * 4);
		add(&b, &a, 3, true);
		add(&b, &a, 1, true);
		reading = read_chain(&b, &a);
		ck_assert_uint_eq(reading.n, 4 * (i + 1));
		ck_assert_uint_eq(reading.n_damages, 0);
		close_all(&b, &a);
	}
	box_done(&b);
}
END_TEST

START_TEST(a_change_that_fails_gives_its_numbers_back)
{
	struct reading reading;
	struct agent a;
	struct box b;

	box_init(&b);
	open_all(&b, &a);
	add(&b, &a, 2, true);
	add(&b, &a, 3, false);
	add(&b, &a, 2, true);
	reading = read_chain(&b, &a);
	ck_assert_uint_eq(reading.n, 4);
	ck_assert_uint_eq(reading.n_damages, 0);
	ck_assert_uint_eq(audit_last(&a).seq, 4);
	close_all(&b, &a);
	box_done(&b);
}
END_TEST

START_TEST(the_oldest_go_so_that_no_more_than_the_limit_stay)
{
	struct reading reading;
	struct agent a;
	struct box b;

	box_init(&b);
	for (unsigned i = 0; i < 4; i++) {
		open_all(&b, &a);
		a.audit->max = 10;
		add(&b, &a, 7, true);
		add(&b, &a, 7, false);
		reading = read_chain(&b, &a);
		ck_assert_uint_eq(reading.n, i == 0 ? 7 : 10);
		ck_assert_uint_eq(reading.n_damages, 0);
		ck_assert_uint_eq(audit_last(&a).seq - audit_first(&a) + 1, reading.n);
		close_all(&b, &a);
	}
	box_done(&b);
}
END_TEST

START_TEST(a_lower_limit_is_come_to_in_the_end)
{
	struct reading reading;
	struct agent a;
	struct box b;

	box_init(&b);
	open_all(&b, &a);
	add(&b, &a, 40, true);
	a.audit->max = 10;
	for (unsigned i = 0; i < 40; i++)
		add(&b, &a, 1, true);
	reading = read_chain(&b, &a);
	ck_assert_uint_eq(reading.n, 10);
	close_all(&b, &a);
	box_done(&b);
}
END_TEST

/* ---- somebody with the keys ------------------------------------------------------------------ */

struct records {
	uint8_t bytes[BOX_ROWS][AUDIT_RECORD_MAX];
	size_t n[BOX_ROWS];
};

static int note_record(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
		       size_t n)
{
	struct records *records = userdata;

	(void)version;
	if (row >= BOX_ROWS || n > AUDIT_RECORD_MAX)
		return -EBADMSG;
	memcpy(records->bytes[row], record, n);
	records->n[row] = n;
	return 0;
}

static void replace(struct box *b, uint64_t row, const uint8_t *record, size_t n)
{
	struct store_change *c = box_change(b);

	UNIT_CHECK(store_change_delete(c, STORE_AUDIT, row, 1) == 0 && box_do(b, c), "deleted");
	if (n == 0)
		return;
	c = box_change(b);
	UNIT_CHECK(store_change_put(c, STORE_AUDIT, row, 0, 1, 0, record, n) == 0 && box_do(b, c),
		   "put");
}

static void do_to(struct box *b, const struct records *all, const char *what, uint64_t seq)
{
	uint8_t record[AUDIT_RECORD_MAX];

	memcpy(record, all->bytes[seq], all->n[seq]);
	if (strcmp(what, "alter") == 0) {
		record[32] ^= 1; /* who it was */
		replace(b, seq, record, all->n[seq]);
	} else if (strcmp(what, "exchange") == 0) {
		replace(b, seq, all->bytes[seq + 1], all->n[seq + 1]);
		replace(b, seq + 1, record, all->n[seq]);
	} else if (strcmp(what, "remove") == 0) {
		replace(b, seq, NULL, 0);
	} else {
		for (; seq < BOX_ROWS && all->n[seq]; seq++)
			replace(b, seq, NULL, 0);
	}
}

static struct records all_records;

static void alter(const char *what, const char *state, const uint8_t *key, uint64_t seq)
{
	struct box b;

	memset(&b, 0, sizeof(b));
	b.mem.no_secretmem = b.mem.allow_unlocked = true;
	UNIT_CHECK(store_open(state, key, &b.mem, &b.store, &b.error) == 0, "%s", b.error.text);
	for (unsigned t = STORE_ACTIVE; t <= STORE_AUDIT; t++)
		UNIT_CHECK(store_read_all(b.store, t, t == STORE_AUDIT ? note_record : on_other_row,
					  &all_records, &b.error) == 0,
			   "%s", b.error.text);
	UNIT_CHECK(store_start(b.store, &b.error) == 0, "%s", b.error.text);
	do_to(&b, &all_records, what, seq);
	box_close(&b);
}

START_TEST(a_chain_with_a_hole_stops_no_change)
{
	struct reading reading;
	struct agent a;
	struct box b;

	box_init(&b);
	open_all(&b, &a);
	add(&b, &a, 20, true);
	close_all(&b, &a);
	memset(&all_records, 0, sizeof(all_records));
	alter("remove", b.dir, b.key, 5);
	open_all(&b, &a);
	ck_assert_uint_eq(read_chain(&b, &a).n_damages, 1);
	a.audit->max = 10;
	/* Those before the hole go, the hole, and those behind it. */
	for (unsigned i = 0; i < 20; i++)
		add(&b, &a, 1, true);
	reading = read_chain(&b, &a);
	ck_assert_uint_eq(reading.n, 10);
	ck_assert_uint_eq(reading.n_damages, 0);
	close_all(&b, &a);
	box_done(&b);
}
END_TEST

int main(int argc, char *argv[])
{
	const TTest *const tests[] = {
		the_chain_goes_on_over_changes_and_starts,
		a_change_that_fails_gives_its_numbers_back,
		the_oldest_go_so_that_no_more_than_the_limit_stay,
		a_lower_limit_is_come_to_in_the_end,
		a_chain_with_a_hole_stops_no_change,
		the_next_entry_is_tied_to_the_highest_row_that_was_loaded,
	};
	struct store_error error;
	uint8_t key[STORE_KEY_LEN];

	if (sodium_init() < 0)
		return EXIT_FAILURE;
	if (argc < 4)
		return unit_run("audit-store", tests, ARRAY_SIZE(tests));
	if (masterkey_read(argv[2], key, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return EXIT_FAILURE;
	}
	alter(argv[1], argv[2], key, strtoull(argv[3], NULL, 10));
	return EXIT_SUCCESS;
}
