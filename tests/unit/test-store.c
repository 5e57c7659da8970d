/* tests/unit/test-store.c - what is kept is there again, and is read. */
#include "agent/store.h"

#include "agent/store-impl.h"
#include "tests/unit/store-box.h"

/* ---- keeping --------------------------------------------------------------------------------- */

START_TEST(a_new_store_is_empty_and_opens_again)
{
	struct box b;

	box_init(&b);
	for (int i = 0; i < 3; i++) {
		box_must_open(&b);
		ck_assert(rows_equal(&b.found, &b.expected));
		ck_assert_uint_eq(store_highest_row(b.store), 0);
		box_close(&b);
		ck_assert(!box_has(&b, "store.db-wal"));
		ck_assert(!box_has(&b, "store.db-shm"));
		ck_assert(!box_has(&b, "store.db.new"));
	}
	box_done(&b);
}
END_TEST

START_TEST(what_was_put_changed_moved_and_deleted_is_so_after_a_restart)
{
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	box_must_hold(&b);
	box_must_hold(&b);
	box_done(&b);
}
END_TEST

START_TEST(a_thousand_random_changes_under_way_at_once_end_as_they_were_submitted)
{
	struct box b;
	uint64_t random = 1;

	box_init(&b);
	for (int round = 0; round < 5; round++) {
		box_must_open(&b);
		b.n_kept = b.n_failed = 0;
		for (int i = 0; i < 1000; i++) {
			struct store_change *c = box_change(&b);
			unsigned n = 1 + (unsigned)(unit_random(&random) % 3);

			for (unsigned k = 0; k < n; k++) {
				enum store_table table =
					1 + unit_random(&random) % (BOX_TABLES - 1);
				uint64_t row = 1 + unit_random(&random) % 200;

				if (b.expected.version[table][row] && unit_random(&random) % 3 == 0)
					box_delete(&b, c, table, row);
				else
					box_put(&b, c, table, row);
			}
			box_submit(&b, c);
		}
		box_wait(&b, 1000);
		ck_assert_uint_eq(b.n_failed, 0);
		box_must_hold(&b);
		box_close(&b);
	}
	box_done(&b);
}
END_TEST

static int on_full_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
		       size_t n)
{
	size_t *total = userdata;

	ck_assert_uint_eq(version, 1);
	for (size_t i = 0; i < n; i++)
		UNIT_CHECK(record[i] == (uint8_t)(i ^ row), "byte %zu of %zu", i, n);
	*total += n;
	return 0;
}

static int on_large_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			size_t n)
{
	ck_assert_uint_eq(n, row);
	return on_full_row(userdata, row, version, record, n);
}

START_TEST(records_of_any_length_come_back_whole)
{
	static const size_t lengths[] = { 1, 2, 4000, 4096, 8192, 8193, 65536, STORE_RECORD_MAX };
	uint8_t *record = malloc(STORE_RECORD_MAX);
	size_t total = 0, expected = 0;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	for (size_t k = 0; k < ARRAY_SIZE(lengths); k++) {
		struct store_change *c = box_change(&b);

		for (size_t i = 0; i < lengths[k]; i++)
			record[i] = (uint8_t)(i ^ lengths[k]);
		ck_assert_int_eq(store_change_put(c, STORE_CREDENTIALS, lengths[k], 0, 1, 0, record,
						  lengths[k]),
				 0);
		ck_assert(box_do(&b, c));
		expected += lengths[k];
	}
	box_close(&b);
	ck_assert_int_eq(store_open(b.dir, b.key, &b.mem, &b.store, &b.error), 0);
	ck_assert_int_eq(store_read_all(b.store, STORE_CREDENTIALS, on_large_row, &total, &b.error),
			 0);
	ck_assert_uint_eq(total, expected);
	box_done(&b);
	free(record);
}
END_TEST

START_TEST(the_highest_row_is_remembered_after_it_is_gone)
{
	struct store_change *c;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	ck_assert(box_put_one(&b, STORE_ACTIVE, 900));
	c = box_change(&b);
	box_delete(&b, c, STORE_ACTIVE, 900);
	ck_assert(box_do(&b, c));
	ck_assert(box_put_one(&b, STORE_ACTIVE, 5));
	ck_assert(box_put_one(&b, STORE_CREDENTIALS, 1000));
	box_must_hold(&b);
	ck_assert_uint_eq(store_highest_row(b.store), 900);
	ck_assert(box_put_one(&b, STORE_ENDED, 901));
	box_must_hold(&b);
	ck_assert_uint_eq(store_highest_row(b.store), 901);
	box_done(&b);
}
END_TEST

static int stop_reading(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			size_t n)
{
	(void)row;
	(void)version;
	(void)record;
	(void)n;
	++*(int *)userdata;
	return -ECANCELED;
}

START_TEST(reading_stops_where_the_reader_says_so)
{
	struct box b;
	int n = 0;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	box_close(&b);
	ck_assert_int_eq(store_open(b.dir, b.key, &b.mem, &b.store, &b.error), 0);
	ck_assert_int_eq(store_read_all(b.store, STORE_ACTIVE, stop_reading, &n, &b.error),
			 -ECANCELED);
	ck_assert_int_eq(n, 1);
	ck_assert_int_eq(box_load(&b), 0);
	ck_assert(rows_equal(&b.found, &b.expected));
	box_done(&b);
}
END_TEST

/* So many that they are read by a thread of their own, in several large batches, or small ones. */
enum { MANY = BOX_ROWS - 1, SOME = 1000 };

static const struct {
	uint64_t active, audit;
} fillings[] = { { MANY, SOME }, { SOME, MANY } };

static void box_fill_many(struct box *b, size_t which)
{
	struct store_change *c = box_change(b);

	for (uint64_t row = 1; row <= fillings[which].active; row++)
		box_put(b, c, STORE_ACTIVE, row);
	for (uint64_t row = 1; row <= fillings[which].audit; row++)
		box_put(b, c, STORE_AUDIT, row);
	ck_assert(box_do(b, c));
}

static int stop_at_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
		       size_t n)
{
	ck_assert(record_is(STORE_ACTIVE, row, version, record, n));
	return row == *(uint64_t *)userdata ? -ECANCELED : 0;
}

static void expect_many_are_read(size_t which)
{
	const uint64_t n = fillings[which].active, stops[] = { 1, n / 2, n };
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill_many(&b, which);
	box_must_hold(&b);
	box_close(&b);
	for (size_t i = 0; i < ARRAY_SIZE(stops); i++) {
		uint64_t stop = stops[i];

		ck_assert_int_eq(store_open(b.dir, b.key, &b.mem, &b.store, &b.error), 0);
		ck_assert_int_eq(store_read_all(b.store, STORE_ACTIVE, stop_at_row, &stop,
						&b.error),
				 -ECANCELED);
		ck_assert_int_eq(box_load(&b), 0);
		ck_assert(rows_equal(&b.found, &b.expected));
		box_close(&b);
	}
	box_done(&b);
}

START_TEST(many_rows_are_read_as_few_are)
{
	for (size_t which = 0; which < ARRAY_SIZE(fillings); which++)
		expect_many_are_read(which);
}
END_TEST

static void flip_bits(struct bytes f, size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++)
		f.p[i] ^= 1;
}

static void expect_damage_among_many_is_noticed(size_t which)
{
	struct bytes f;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill_many(&b, which);
	box_close(&b);
	f = box_read(&b, "store.db");
	for (size_t part = 2; part <= 16; part *= 2) {
		/* Further than the room that a page may have left goes. */
		flip_bits(f, f.n / part, 512);
		box_write(&b, "store.db", f);
		ck_assert_int_eq(box_open(&b), -EBADMSG);
		flip_bits(f, f.n / part, 512);
	}
	box_write(&b, "store.db", f);
	box_must_open(&b);
	ck_assert(rows_equal(&b.found, &b.expected));
	free(f.p);
	box_done(&b);
}

START_TEST(a_row_among_many_that_does_not_open_is_noticed)
{
	for (size_t which = 0; which < ARRAY_SIZE(fillings); which++)
		expect_damage_among_many_is_noticed(which);
}
END_TEST

START_TEST(some_rows_as_large_as_a_token_may_be_are_read)
{
	enum { LARGE = 8192, N = 300 };
	uint8_t record[LARGE];
	struct store_change *c;
	size_t total = 0;
	struct box b;

	box_init(&b);
	box_must_open(&b);
	c = box_change(&b);
	for (uint64_t row = LARGE; row < LARGE + N; row++) {
		for (size_t i = 0; i < LARGE; i++)
			record[i] = (uint8_t)(i ^ row);
		ck_assert_int_eq(store_change_put(c, STORE_ACTIVE, row, 0, 1, 0, record, LARGE), 0);
	}
	ck_assert(box_do(&b, c));
	box_close(&b);
	ck_assert_int_eq(store_open(b.dir, b.key, &b.mem, &b.store, &b.error), 0);
	ck_assert_int_eq(store_read_all(b.store, STORE_ACTIVE, on_full_row, &total, &b.error), 0);
	ck_assert_uint_eq(total, N * (size_t)LARGE);
	box_done(&b);
}
END_TEST

START_TEST(nothing_that_was_put_can_be_read_on_the_disk)
{
	static const uint8_t record[] = "a name, a scope and 1234567 that nobody shall read";
	struct store_change *c;
	struct image m;
	struct box b;
	uid_t owner = 0x12345678;

	box_init(&b);
	box_must_open(&b);
	c = box_change(&b);
	for (unsigned t = STORE_ACTIVE; t < BOX_TABLES; t++)
		ck_assert_int_eq(store_change_put(c, t, 1, 0, 1, owner, record, sizeof(record)), 0);
	ck_assert(box_do(&b, c));
	m = box_image(&b);
	for (size_t i = 0; i < ARRAY_SIZE(box_files); i++) {
		struct bytes f = m.files[i];
		uint32_t swapped = __builtin_bswap32(owner);

		for (size_t n = 4; f.p && n < sizeof(record); n += 8)
			ck_assert(!memmem(f.p, f.n, record + n - 4, 8));
		ck_assert(!f.p || !memmem(f.p, f.n, &owner, 4));
		ck_assert(!f.p || !memmem(f.p, f.n, &swapped, 4));
		ck_assert(!f.p || !memmem(f.p, f.n, b.key, 8));
	}
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(files_are_for_the_agent_alone_whatever_the_umask)
{
	static const char *const names[] = { "store.db", "store.db-wal" };
	mode_t before = umask(0);
	struct stat st;
	char path[128];
	struct box b;

	box_init(&b);
	for (int round = 0; round < 2; round++) {
		box_must_open(&b);
		ck_assert(box_put_one(&b, STORE_ACTIVE, 1));
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			box_path(&b, names[i], path);
			ck_assert_int_eq(stat(path, &st), 0);
			ck_assert_uint_eq(st.st_mode & 07777, 0600);
		}
		box_close(&b);
		umask(0777);
	}
	umask(before);
	box_done(&b);
}
END_TEST

/* ---- ended rows ------------------------------------------------------------------------------ */

struct listing {
	enum store_table table; /* 0: STORE_ENDED */
	unsigned n;
	uint64_t rows[64];
	bool called;
	int last; /* result of store_rows_next() */
};

static void on_listing(void *userdata, struct store_rows *rows, int r)
{
	struct listing *l = userdata;
	enum store_table table = l->table ? l->table : STORE_ENDED;
	const uint8_t *record;
	uint32_t version;
	size_t n;

	ck_assert_int_eq(r, 0);
	while ((l->last = store_rows_next(rows, &l->rows[l->n], &version, &record, &n)) == 1) {
		UNIT_CHECK(record_is(table, l->rows[l->n], version, record, n),
			   "not the record of row %lu", (unsigned long)l->rows[l->n]);
		l->n++;
	}
	store_rows_free(rows);
	l->called = true;
}

static void wait_listing(struct box *b, struct listing *l)
{
	struct pollfd p = { .fd = store_fd(b->store), .events = POLLIN };

	while (!l->called) {
		UNIT_CHECK(poll(&p, 1, 100000) == 1, "the store does not answer");
		store_dispatch(b->store);
	}
}

START_TEST(ended_rows_are_listed_by_owner_the_highest_first)
{
	struct box b;

	box_init(&b);
	box_must_open(&b);
	for (uint64_t row = 1; row <= 200; row++)
		ck_assert(box_put_one(&b, STORE_ENDED, row));
	for (uint64_t before = 0; before < 210; before += 7)
		for (unsigned max = 1; max <= 64; max += 21)
			for (uid_t owner = 999; owner <= 1003; owner++) {
				bool any = owner == 1003;
				struct listing l = { 0 };
				uint64_t row = before;
				unsigned n = 0;

				store_read_ended(b.store, owner, any, before, max, on_listing, &l);
				wait_listing(&b, &l);
				while (n < max && row > 1) {
					row--;
					if (row > 200 || (!any && box_owner(row) != owner))
						continue;
					UNIT_CHECK(n < l.n && l.rows[n] == row,
						   "row %lu is missing", (unsigned long)row);
					n++;
				}
				UNIT_CHECK(l.n == n, "%u rows instead of %u", l.n, n);
			}
	box_done(&b);
}
END_TEST

START_TEST(a_single_ended_row_is_read_as_the_changes_before_have_left_it)
{
	struct box b;

	box_init(&b);
	box_must_open(&b);
	for (int i = 0; i < 10; i++) {
		struct store_change *c = box_change(&b);
		struct listing l = { 0 };

		if (i % 3 == 2)
			box_delete(&b, c, STORE_ENDED, 5);
		else
			box_put(&b, c, STORE_ENDED, 5);
		box_submit(&b, c);
		store_read_ended_row(b.store, 5, on_listing, &l);
		wait_listing(&b, &l);
		ck_assert_uint_eq(l.n, i % 3 == 2 ? 0 : 1);
	}
	box_done(&b);
}
END_TEST

START_TEST(rows_of_any_table_are_read_from_a_number_on)
{
	struct box b;

	box_init(&b);
	box_must_open(&b);
	for (enum store_table t = STORE_ACTIVE; t <= STORE_AUDIT; t++)
		for (uint64_t row = 1; row <= 100; row += 3)
			ck_assert(box_put_one(&b, t, row));
	for (enum store_table t = STORE_ACTIVE; t <= STORE_AUDIT; t++)
		for (uint64_t first = 0; first < 103; first++)
			for (unsigned max = 1; max <= 64; max += 9) {
				struct listing l = { .table = t };
				uint64_t row = first < 1 ? 1 : first + (102 - (first - 1)) % 3;
				unsigned n = 0;

				store_read_from(b.store, t, first, max, on_listing, &l);
				wait_listing(&b, &l);
				ck_assert_int_eq(l.last, 0);
				for (; n < max && row <= 100; n++, row += 3)
					UNIT_CHECK(n < l.n && l.rows[n] == row,
						   "row %lu is missing", (unsigned long)row);
				UNIT_CHECK(l.n == n, "%u rows instead of %u", l.n, n);
			}
	box_done(&b);
}
END_TEST

/* ---- keys ------------------------------------------------------------------------------------ */

START_TEST(without_their_key_credentials_do_not_open_and_all_else_goes_on)
{
	struct listing l = { .table = STORE_CREDENTIALS };
	uint8_t key[STORE_KEY_LEN];
	struct box b;

	box_init(&b);
	box_must_open(&b);
	box_fill(&b);
	store_take_credentials_key(b.store, key);
	store_read_from(b.store, STORE_CREDENTIALS, 1, 10, on_listing, &l);
	wait_listing(&b, &l);
	ck_assert_uint_eq(l.n, 0);
	ck_assert_int_eq(l.last, -ENOKEY);
	ck_assert_ptr_null(memmem(b.store->locked.base, b.store->locked.size, key, sizeof(key)));
	ck_assert(box_put_one(&b, STORE_ACTIVE, 20));
	ck_assert(box_put_one(&b, STORE_AUDIT, 20));
	store_give_credentials_key(b.store, key);
	l = (struct listing){ .table = STORE_CREDENTIALS };
	store_read_from(b.store, STORE_CREDENTIALS, 1, 10, on_listing, &l);
	wait_listing(&b, &l);
	ck_assert_uint_eq(l.n, 1);
	ck_assert(box_put_one(&b, STORE_CREDENTIALS, 1));
	box_must_hold(&b);
	box_done(&b);
}
END_TEST

START_TEST(keys_for_other_uses_differ_and_are_the_same_after_a_restart)
{
	uint8_t keys[2][STORE_USE_AUDIT + 1][STORE_KEY_LEN];
	struct box b;

	box_init(&b);
	for (unsigned i = 0; i < 2; i++) {
		box_must_open(&b);
		for (enum store_use use = STORE_USE_RESTORE; use <= STORE_USE_AUDIT; use++)
			store_derive_key(b.store, use, keys[i][use]);
		box_close(&b);
	}
	for (enum store_use use = STORE_USE_RESTORE; use <= STORE_USE_AUDIT; use++) {
		ck_assert_mem_eq(keys[0][use], keys[1][use], STORE_KEY_LEN);
		for (enum store_use other = STORE_USE_RESTORE; other < use; other++)
			ck_assert_mem_ne(keys[0][use], keys[0][other], STORE_KEY_LEN);
	}
	box_done(&b);
}
END_TEST

UNIT_MAIN("store", a_new_store_is_empty_and_opens_again,
	  what_was_put_changed_moved_and_deleted_is_so_after_a_restart,
	  a_thousand_random_changes_under_way_at_once_end_as_they_were_submitted,
	  records_of_any_length_come_back_whole, the_highest_row_is_remembered_after_it_is_gone,
	  reading_stops_where_the_reader_says_so, many_rows_are_read_as_few_are,
	  a_row_among_many_that_does_not_open_is_noticed,
	  some_rows_as_large_as_a_token_may_be_are_read,
	  nothing_that_was_put_can_be_read_on_the_disk,
	  files_are_for_the_agent_alone_whatever_the_umask,
	  ended_rows_are_listed_by_owner_the_highest_first,
	  a_single_ended_row_is_read_as_the_changes_before_have_left_it,
	  rows_of_any_table_are_read_from_a_number_on,
	  without_their_key_credentials_do_not_open_and_all_else_goes_on,
	  keys_for_other_uses_differ_and_are_the_same_after_a_restart)
