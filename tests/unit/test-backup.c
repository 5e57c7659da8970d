/*
 * tests/unit/test-backup.c - a backup as bytes: heads and blocks say again what they were given, and
 * nothing else is taken.
 */
#include <errno.h>
#include <string.h>

#include "protocol/backup.h"
#include "tests/unit/unit.h"

static uint8_t block[BACKUP_BLOCK];
static char filler[BACKUP_BLOCK];

static struct backup_entry entry_of(enum backup_kind kind)
{
	return (struct backup_entry){
		.kind = kind,
		.taken_us = UINT64_C(1700000000000000),
		.host = SPAN("build-7"),
		.owner = SPAN("ci"),
		.record = SPAN("a record, as the store has it"),
		.counts = { 3, 2, 1 },
	};
}

static void put(size_t *at, enum backup_kind kind)
{
	struct backup_entry e = entry_of(kind);

	UNIT_CHECK(backup_put(block, at, &e), "no room");
}

/* One of each kind, and the rest of the block empty. Gives where the entries end. */
static size_t put_one_of_each(void)
{
	size_t at = 0;

	for (int kind = BACKUP_HEAD; kind <= BACKUP_END; kind++)
		put(&at, (enum backup_kind)kind);
	backup_pad(block, at);
	return at;
}

START_TEST(entries_are_read_as_they_were_put)
{
	struct backup_entry e;
	size_t at = 0, end = put_one_of_each();

	ck_assert_int_eq(backup_next(block, &at, &e), 1);
	ck_assert_int_eq(e.kind, BACKUP_HEAD);
	ck_assert_uint_eq(e.taken_us, UINT64_C(1700000000000000));
	ck_assert(span_is(e.host, "build-7"));
	for (int kind = BACKUP_ACTIVE; kind <= BACKUP_ENDED; kind++) {
		ck_assert_int_eq(backup_next(block, &at, &e), 1);
		ck_assert_int_eq((int)e.kind, kind);
		ck_assert(span_is(e.owner, "ci"));
		ck_assert(span_is(e.record, "a record, as the store has it"));
	}
	ck_assert_int_eq(backup_next(block, &at, &e), 1);
	ck_assert_int_eq(e.kind, BACKUP_CREDENTIAL);
	ck_assert(span_is(e.record, "a record, as the store has it"));
	ck_assert_int_eq(backup_next(block, &at, &e), 1);
	ck_assert_int_eq(e.kind, BACKUP_END);
	ck_assert_uint_eq(e.counts.active, 3);
	ck_assert_uint_eq(e.counts.ended, 2);
	ck_assert_uint_eq(e.counts.credentials, 1);
	ck_assert_uint_eq(at, end);
	ck_assert_int_eq(backup_next(block, &at, &e), 0);
}
END_TEST

START_TEST(what_does_not_fit_is_left_out_whole_and_an_empty_block_has_room_for_any)
{
	struct backup_entry small = entry_of(BACKUP_CREDENTIAL), large = small, read;
	size_t at = 0, before, n = 0;

	/* Longer than any record there is. */
	large.record = (struct span){ filler, BACKUP_BLOCK - 3 };
	ck_assert(backup_put(block, &at, &large));
	ck_assert_uint_eq(at, BACKUP_BLOCK);
	at = 0;
	while (backup_put(block, &at, &small))
		n++;
	before = at;
	ck_assert(!backup_put(block, &at, &large));
	ck_assert_uint_eq(at, before);
	backup_pad(block, at);
	for (at = 0; backup_next(block, &at, &read) == 1; n--)
		ck_assert(span_equal(read.record, small.record));
	ck_assert_uint_eq(at, before);
	ck_assert_uint_eq(n, 0);
}
END_TEST

/* Whatever a block holds, reading it comes to an end within it. */
START_TEST(any_bytes_are_entries_within_the_block_or_refused)
{
	uint64_t seed = 1;

	for (int i = 0; i < 3000; i++) {
		struct backup_entry e;
		size_t at = 0, end = put_one_of_each();
		int r;

		for (int k = 0; k < 3; k++)
			block[unit_random(&seed) % end] = (uint8_t)unit_random(&seed);
		while ((r = backup_next(block, &at, &e)) == 1) {
			const char *last = e.record.p ? e.record.p + e.record.n : (char *)block;

			UNIT_CHECK(at <= BACKUP_BLOCK, "beyond the block");
			UNIT_CHECK(last <= (char *)block + BACKUP_BLOCK, "a record beyond it");
		}
		UNIT_CHECK(r == 0 || r == -EBADMSG, "result %d", r);
	}
}
END_TEST

START_TEST(nothing_stands_behind_the_last_entry)
{
	struct backup_entry e;
	size_t end = put_one_of_each(), at;

	for (size_t i = end + 1; i < BACKUP_BLOCK; i += 97) {
		block[i] ^= 1;
		at = end;
		UNIT_CHECK(backup_next(block, &at, &e) == -EBADMSG, "byte %zu", i);
		block[i] ^= 1;
	}
}
END_TEST

/* The kinds of a copy in their order: 0 where the last one is refused. */
static bool order_is(const char *kinds, struct backup_counts counts)
{
	struct backup_order o = { 0 };
	int r = 0;

	for (; *kinds && r == 0; kinds++) {
		struct backup_entry e = entry_of((enum backup_kind)(*kinds - '0'));

		e.counts = counts;
		r = backup_order_add(&o, &e);
	}
	return r == 0 && backup_order_is_whole(&o);
}

START_TEST(a_copy_is_whole_in_one_order_and_with_its_own_counts_only)
{
	ck_assert(order_is("15", (struct backup_counts){ 0, 0, 0 }));
	ck_assert(order_is("1223445", (struct backup_counts){ 2, 1, 2 }));
	ck_assert(!order_is("1223445", (struct backup_counts){ 2, 1, 1 }));
	ck_assert(!order_is("122344", (struct backup_counts){ 2, 1, 2 }));
	ck_assert(!order_is("1325", (struct backup_counts){ 1, 1, 0 }));
	ck_assert(!order_is("225", (struct backup_counts){ 2, 0, 0 }));
	ck_assert(!order_is("115", (struct backup_counts){ 0, 0, 0 }));
	ck_assert(!order_is("155", (struct backup_counts){ 0, 0, 0 }));
	ck_assert(!order_is("152", (struct backup_counts){ 0, 0, 0 }));
	ck_assert(!order_is("5", (struct backup_counts){ 0, 0, 0 }));
	ck_assert(!order_is("", (struct backup_counts){ 0, 0, 0 }));
}
END_TEST

/* ---- heads ----------------------------------------------------------------------------------- */

static struct backup_file_head a_file_head(void)
{
	struct backup_file_head h;

	memset(&h, 7, sizeof(h));
	h.passes = 3;
	h.memory_kib = 256 * 1024;
	return h;
}

START_TEST(a_files_head_is_read_as_it_was_written)
{
	struct backup_file_head h = a_file_head(), read;
	uint8_t data[BACKUP_FILE_HEAD_LEN];

	backup_file_head_write(&h, data);
	ck_assert_int_eq(backup_file_head_read(data, &read), BACKUP_GOOD);
	ck_assert_mem_eq(&h, &read, sizeof(h));
}
END_TEST

START_TEST(other_files_and_other_formats_are_told_apart)
{
	struct backup_file_head h = a_file_head(), read;
	uint8_t data[BACKUP_FILE_HEAD_LEN];

	for (size_t i = 0; i < 15; i++) {
		backup_file_head_write(&h, data);
		data[i] ^= 0x20;
		ck_assert_int_eq(backup_file_head_read(data, &read), BACKUP_IS_NONE);
	}
	backup_file_head_write(&h, data);
	data[15] = BACKUP_FORMAT + 1;
	ck_assert_int_eq(backup_file_head_read(data, &read), BACKUP_IS_NEWER);
	data[15] = BACKUP_FORMAT - 1;
	ck_assert_int_eq(backup_file_head_read(data, &read), BACKUP_IS_OLDER);
}
END_TEST

START_TEST(a_file_can_not_have_its_reader_take_any_memory_or_time)
{
	static const struct {
		uint32_t passes, memory_kib;
		enum backup_fault fault;
	} cases[] = {
		{ 1, 8, BACKUP_GOOD },
		{ 16, 1024 * 1024, BACKUP_GOOD },
		{ 0, 1024, BACKUP_IS_BAD },
		{ 17, 1024, BACKUP_IS_BAD },
		{ UINT32_MAX, 1024, BACKUP_IS_BAD },
		{ 3, 7, BACKUP_IS_BAD },
		{ 3, 0, BACKUP_IS_BAD },
		{ 3, 1024 * 1024 + 1, BACKUP_IS_BAD },
		{ 3, 100 * 1024 * 1024, BACKUP_IS_BAD },
		{ 3, UINT32_MAX, BACKUP_IS_BAD },
	};
	struct backup_file_head h = a_file_head(), read;
	uint8_t data[BACKUP_FILE_HEAD_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		h.passes = cases[i].passes;
		h.memory_kib = cases[i].memory_kib;
		backup_file_head_write(&h, data);
		UNIT_CHECK(backup_file_head_read(data, &read) == cases[i].fault, "case %zu", i);
	}
}
END_TEST

START_TEST(the_other_heads_are_read_as_they_were_written)
{
	struct backup_stream_head s, s2;
	struct backup_restore_head r, r2;
	struct backup_result result = { .is_whole = true }, result2;
	uint8_t data[256];

	memset(&s, 1, sizeof(s));
	backup_stream_head_write(&s, data);
	ck_assert_int_eq(backup_stream_head_read(data, &s2), BACKUP_GOOD);
	ck_assert_mem_eq(&s, &s2, sizeof(s));
	ck_assert_int_eq(backup_restore_head_read(data, &r2), BACKUP_IS_NONE);
	memset(&r, 2, sizeof(r));
	backup_restore_head_write(&r, data);
	ck_assert_int_eq(backup_restore_head_read(data, &r2), BACKUP_GOOD);
	ck_assert_mem_eq(&r, &r2, sizeof(r));
	for (size_t i = 0; i < BACKUP_OUTCOMES; i++)
		result.n[i] = i << 33 | i;
	backup_result_write(&result, data);
	ck_assert_int_eq(backup_result_read(data, &result2), BACKUP_GOOD);
	ck_assert_mem_eq(result.n, result2.n, sizeof(result.n));
	ck_assert(result2.is_whole);
}
END_TEST

UNIT_MAIN("backup", entries_are_read_as_they_were_put,
	  what_does_not_fit_is_left_out_whole_and_an_empty_block_has_room_for_any,
	  any_bytes_are_entries_within_the_block_or_refused, nothing_stands_behind_the_last_entry,
	  a_copy_is_whole_in_one_order_and_with_its_own_counts_only,
	  a_files_head_is_read_as_it_was_written, other_files_and_other_formats_are_told_apart,
	  a_file_can_not_have_its_reader_take_any_memory_or_time,
	  the_other_heads_are_read_as_they_were_written)
