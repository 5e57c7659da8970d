/*
 * tests/unit/test-store-damage.c - whatever becomes of the files: it is noticed, with not a byte
 * changed, or does no harm; and never is a record another than the one that was put.
 *
 * JETON_EXHAUSTIVE=1 tries every bit of the pages' unused space, too, which takes minutes.
 */
#include <stdlib.h>

#include "tests/unit/store-files.h"

/* A store that was opened in spite of damage is one to go on with. */
static void must_go_on(struct box *b, size_t where)
{
	struct rows expected = b->expected;

	UNIT_CHECK(box_put_one(b, STORE_ENDED, 30), "bit %zu: no change is kept", where);
	box_close(b);
	UNIT_CHECK(box_open(b) == 0, "bit %zu: does not open after a change: %s", where,
		   b->error.text);
	UNIT_CHECK(rows_equal(&b->found, &b->expected), "bit %zu: other rows after a change",
		   where);
	b->expected = expected;
}

static bool is_refusal(int r)
{
	return r == -EBADMSG || r == -EMEDIUMTYPE || r == -EPROTONOSUPPORT;
}

/*
 * Bits of bytes that are not 0, and one bit of a few of the others, which are unused space for the
 * most part.
 */
static bool is_worth_a_try(const struct bytes *f, size_t bit)
{
	static int exhaustive = -1;

	if (exhaustive < 0)
		exhaustive = getenv("JETON_EXHAUSTIVE") != NULL;
	return exhaustive || bit % (307 * box_thinning()) == 0 ||
	       (f->p[bit / 8] != 0 && bit % 8 == bit / 8 % 8 && bit / 8 % box_thinning() == 0);
}

START_TEST(every_flipped_bit_of_a_store_is_noticed_or_does_no_harm)
{
	unsigned n_refused = 0, n_harmless = 0;
	struct image m;
	struct box b;

	stopped_box(&b, &m);
	for (size_t bit = 0, end = used(&m) * 8; bit < end; bit++) {
		uint8_t *byte = &m.files[0].p[bit / 8], flip = (uint8_t)(1 << bit % 8);
		int r;

		if (!is_worth_a_try(&m.files[0], bit))
			continue;
		*byte ^= flip;
		box_put_back(&b, &m);
		r = open_or_untouched(&b, &m, "bit", bit);
		UNIT_CHECK(r == 0 || is_refusal(r), "bit %zu: %s (%d)", bit, b.error.text, r);
		if (r == 0) {
			UNIT_CHECK(rows_equal(&b.found, &b.expected), "bit %zu: other rows", bit);
			must_go_on(&b, bit);
			box_close(&b);
		}
		*byte ^= flip;
		n_refused += r < 0;
		n_harmless += r == 0;
	}
	ck_assert_uint_gt(n_refused, 1000 / box_thinning());
	ck_assert_uint_gt(n_harmless, 10 / box_thinning());
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(every_flipped_bit_of_a_log_is_noticed)
{
	unsigned n_refused = 0;
	struct image m;
	struct box b;

	killed_box(&b, &m);
	image_done(&m);
	box_must_open(&b);
	for (uint64_t row = 20; row < 23; row++)
		ck_assert(box_put_one(&b, STORE_ACTIVE, row));
	m = box_image(&b);
	for (size_t bit = 0; bit < m.files[1].n * 8; bit++) {
		uint8_t *byte = &m.files[1].p[bit / 8], flip = (uint8_t)(1 << bit % 8);
		int r;

		if (!is_worth_a_try(&m.files[1], bit))
			continue;
		box_close(&b);
		*byte ^= flip;
		box_put_back(&b, &m);
		r = open_or_untouched(&b, &m, "bit", bit);
		UNIT_CHECK(r == -EBADMSG, "bit %zu: %s (%d)", bit, b.error.text, r);
		*byte ^= flip;
		n_refused++;
	}
	ck_assert_uint_gt(n_refused, 500 / box_thinning());
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_store_cut_short_anywhere_is_refused)
{
	struct image m, cut;
	struct box b;

	stopped_box(&b, &m);
	for (size_t n = 1, end = used(&m); n < end;
	     n += n < 200 || end - n < 200 ? 1 : 97 * box_thinning()) {
		int r;

		cut = m;
		cut.files[0].n = n;
		box_put_back(&b, &cut);
		r = open_or_untouched(&b, &cut, "cut at", n);
		UNIT_CHECK(is_refusal(r), "cut at %zu: %s (%d)", n, b.error.text, r);
	}
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_log_cut_short_anywhere_gives_what_was_kept_so_far)
{
	struct image m, cut;
	uint64_t last = UINT64_MAX;
	struct box b;

	killed_box(&b, &m);
	for (size_t n = m.files[1].n; n > 0; n -= n % 4120 > 100 ? 97 : 1) {
		uint64_t sum = 0;

		cut = m;
		cut.files[1].n = n;
		box_put_back(&b, &cut);
		UNIT_CHECK(open_or_untouched(&b, &cut, "cut at", n) == 0, "cut at %zu: %s", n,
			   b.error.text);
		for (unsigned t = STORE_ACTIVE; t < BOX_TABLES; t++)
			for (size_t row = 0; row < BOX_ROWS; row++)
				sum += b.found.version[t][row];
		UNIT_CHECK(sum <= last || sum <= 15, "cut at %zu: more than with a longer log", n);
		last = sum;
		box_close(&b);
	}
	image_done(&m);
	box_done(&b);
}
END_TEST

/* The tail of a file that lost its last blocks in a power cut is zeros on ext4. */
START_TEST(zeros_in_place_of_any_page_are_noticed)
{
	struct image m;
	struct box b;

	stopped_box(&b, &m);
	for (size_t at = 0; at < used(&m); at += 4096) {
		struct image zeroed = m;
		int r;

		zeroed.files[0].p = malloc(m.files[0].n);
		memcpy(zeroed.files[0].p, m.files[0].p, m.files[0].n);
		memset(zeroed.files[0].p + at, 0, m.files[0].n - at);
		box_put_back(&b, &zeroed);
		r = open_or_untouched(&b, &zeroed, "page", at / 4096);
		UNIT_CHECK(is_refusal(r), "page %zu: %s (%d)", at / 4096, b.error.text, r);
		free(zeroed.files[0].p);
	}
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(another_key_is_refused_with_not_a_byte_changed)
{
	struct image m;
	struct box b;

	for (int with_log = 0; with_log < 2; with_log++) {
		with_log ? killed_box(&b, &m) : stopped_box(&b, &m);
		for (size_t bit = 0; bit < 8 * STORE_KEY_LEN; bit += 5) {
			b.key[bit / 8] ^= (uint8_t)(1 << bit % 8);
			ck_assert_int_eq(open_or_untouched(&b, &m, "bit", bit), -EKEYREJECTED);
			ck_assert_ptr_nonnull(strstr(b.error.text, "another master key"));
			b.key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		box_must_hold(&b);
		image_done(&m);
		box_done(&b);
	}
}
END_TEST

START_TEST(a_store_that_is_opened_and_not_started_is_left_as_it_was)
{
	struct image m;
	struct box b;

	for (int with_log = 0; with_log < 2; with_log++) {
		with_log ? killed_box(&b, &m) : stopped_box(&b, &m);
		ck_assert_int_eq(store_open(b.dir, b.key, &b.mem, &b.store, &b.error), 0);
		box_close(&b);
		ck_assert(box_is(&b, &m));
		image_done(&m);
		box_done(&b);
	}
}
END_TEST

/* ---- by hand --------------------------------------------------------------------------------- */

START_TEST(rows_left_out_put_back_exchanged_or_moved_by_hand_are_noticed)
{
	static const char *const tricks[] = {
		"DELETE FROM active WHERE row = 8",
		"DELETE FROM ended WHERE row = 5",
		"DELETE FROM credentials",
		"UPDATE active SET sealed = (SELECT sealed FROM active WHERE row = 8) WHERE row = "
		"1",
		"UPDATE active SET row = 1000 WHERE row = 8",
		"UPDATE active SET version = version + 1 WHERE row = 8",
		"UPDATE ended SET owner = owner + 1 WHERE row = 5",
		"UPDATE ended SET owner = (SELECT owner FROM ended WHERE row = 5) WHERE row = 4",
		"INSERT INTO active SELECT 9, version, sealed FROM active WHERE row = 8",
		"INSERT INTO credentials SELECT row, version, sealed FROM active WHERE row = 8",
		"INSERT INTO active SELECT row, version, sealed FROM ended WHERE row = 5",
		"CREATE TEMP TABLE x AS SELECT * FROM active WHERE row IN (1, 8);"
		"UPDATE active SET (version, sealed) = (SELECT version, sealed FROM x WHERE row = "
		"9 - active.row) WHERE row IN (1, 8)",
		"UPDATE active SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE row = 8",
		"UPDATE active SET sealed = CAST(sealed || x'00' AS BLOB) WHERE row = 8",
		"UPDATE active SET sealed = x'' WHERE row = 8",
		"UPDATE active SET sealed = zeroblob(1000000) WHERE row = 8",
		"UPDATE active SET sealed = zeroblob(39) WHERE row = 8",
		"INSERT INTO active VALUES (-1, 1, x'00')",
		"INSERT INTO active VALUES (50, 5000000000, x'00')",
		"UPDATE meta SET value = x'00' WHERE key = 1",
		"UPDATE meta SET value = zeroblob(16) WHERE key = 1",
		"UPDATE meta SET value = zeroblob(16) WHERE key = 2",
		"UPDATE meta SET value = zeroblob(length(value)) WHERE key = 3",
		"DELETE FROM meta WHERE key = 1",
		"DELETE FROM meta WHERE key = 2",
		"DELETE FROM meta WHERE key = 3",
		"DROP INDEX ended_by_owner",
		"DROP INDEX ended_by_owner; CREATE INDEX ended_by_owner ON ended (owner) WHERE row "
		"> 4",
		"CREATE TABLE more (x)",
		"CREATE TRIGGER t AFTER INSERT ON active BEGIN DELETE FROM ended; END",
		"CREATE VIEW v AS SELECT * FROM active",
		"DROP TABLE credentials",
		"ALTER TABLE active ADD COLUMN more ANY",
		"PRAGMA user_version = 0",
		"PRAGMA auto_vacuum = 1; VACUUM",
	};
	struct image m, altered;
	struct box b;

	stopped_box(&b, &m);
	for (size_t i = 0; i < ARRAY_SIZE(tricks); i++) {
		int r;

		box_put_back(&b, &m);
		by_hand(&b, tricks[i]);
		altered = box_image(&b);
		r = open_or_untouched(&b, &altered, tricks[i], i);
		UNIT_CHECK(r == -EBADMSG, "%s: %s (%d)", tricks[i], b.error.text, r);
		image_done(&altered);
	}
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_row_of_before_put_back_by_hand_is_noticed)
{
	struct store_change *c;
	struct image m;
	struct box b;

	stopped_box(&b, &m);
	image_done(&m);
	/* A look by hand does no harm. */
	by_hand(&b, "SELECT count(*) FROM active");
	box_must_open(&b);
	box_close(&b);
	by_hand(&b, "CREATE TABLE kept AS SELECT * FROM active WHERE row = 8");
	m = box_image(&b);
	by_hand(&b, "DROP TABLE kept");
	box_must_open(&b);
	c = box_change(&b);
	box_delete(&b, c, STORE_ACTIVE, 8);
	ck_assert(box_do(&b, c));
	ck_assert(box_put_one(&b, STORE_ACTIVE, 7));
	box_close(&b);
	box_write(&b, "store.db.new", m.files[0]);
	{
		char sql[512];

		snprintf(sql, sizeof(sql),
			 "ATTACH '%s/store.db.new' AS old; INSERT INTO active SELECT * FROM "
			 "old.kept",
			 b.dir);
		by_hand(&b, sql);
		ck_assert_int_eq(box_open(&b), -EBADMSG);
		snprintf(sql, sizeof(sql),
			 "ATTACH '%s/store.db.new' AS old; DELETE FROM active WHERE row = 8;"
			 "REPLACE INTO active SELECT * FROM old.active WHERE row = 7",
			 b.dir);
		by_hand(&b, sql);
		ck_assert_int_eq(box_open(&b), -EBADMSG);
	}
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(a_vacuum_by_hand_does_no_harm)
{
	struct image m;
	struct box b;

	stopped_box(&b, &m);
	by_hand(&b, "VACUUM");
	box_must_hold(&b);
	must_go_on(&b, 0);
	image_done(&m);
	box_done(&b);
}
END_TEST

START_TEST(rows_of_another_store_under_the_same_key_do_not_open)
{
	struct box b, other;
	struct image m, m2;
	char sql[256];

	stopped_box(&b, &m);
	stopped_box(&other, &m2);
	snprintf(sql, sizeof(sql),
		 "ATTACH '%s/store.db' AS o; REPLACE INTO active SELECT * FROM o.active WHERE row "
		 "= 8",
		 other.dir);
	by_hand(&b, sql);
	ck_assert_int_eq(box_open(&b), -EBADMSG);
	image_done(&m);
	image_done(&m2);
	box_done(&b);
	box_done(&other);
}
END_TEST

/* With a log of one change: it has a few of the store's pages only. */
static void change_and_be_killed(struct box *b, enum store_table table, uint64_t row,
				 struct image *ret)
{
	box_must_open(b);
	UNIT_CHECK(box_put_one(b, table, row), "not kept");
	*ret = box_image(b);
	box_close(b);
	UNIT_CHECK(ret->files[1].n > 0 && ret->files[1].n < used(ret), "no log, or a long one");
}

START_TEST(a_log_of_another_time_or_another_store_is_noticed)
{
	struct image start, before, after, mixed, foreign;
	struct box b, other;

	stopped_box(&b, &start);
	stopped_box(&other, &mixed);
	image_done(&mixed);
	change_and_be_killed(&b, STORE_CREDENTIALS, 40, &before);
	change_and_be_killed(&b, STORE_ACTIVE, 41, &after);
	change_and_be_killed(&other, STORE_ACTIVE, 40, &foreign);

	mixed = after;
	mixed.files[1] = foreign.files[1];
	box_put_back(&b, &mixed);
	ck_assert_int_eq(open_or_untouched(&b, &mixed, "another store's", 0), -EBADMSG);
	mixed.files[0] = start.files[0];
	mixed.files[1] = after.files[1];
	box_put_back(&b, &mixed);
	ck_assert_int_eq(open_or_untouched(&b, &mixed, "a later one's", 0), -EBADMSG);
	box_put_back(&b, &after);
	box_must_hold(&b);
	image_done(&start);
	image_done(&before);
	image_done(&after);
	image_done(&foreign);
	box_done(&b);
	box_done(&other);
}
END_TEST

UNIT_MAIN("store-damage", every_flipped_bit_of_a_store_is_noticed_or_does_no_harm,
	  every_flipped_bit_of_a_log_is_noticed, a_store_cut_short_anywhere_is_refused,
	  a_log_cut_short_anywhere_gives_what_was_kept_so_far,
	  zeros_in_place_of_any_page_are_noticed, another_key_is_refused_with_not_a_byte_changed,
	  a_store_that_is_opened_and_not_started_is_left_as_it_was,
	  rows_left_out_put_back_exchanged_or_moved_by_hand_are_noticed,
	  a_row_of_before_put_back_by_hand_is_noticed, a_vacuum_by_hand_does_no_harm,
	  rows_of_another_store_under_the_same_key_do_not_open,
	  a_log_of_another_time_or_another_store_is_noticed)
