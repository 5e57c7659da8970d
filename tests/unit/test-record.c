/*
 * tests/unit/test-record.c - tokens as bytes: what is written is read again, and nothing else is
 * taken.
 */
#include <errno.h>
#include <string.h>

#include "agent/record.h"
#include "protocol/base/time.h"
#include "protocol/scope.h"
#include "tests/unit/facts-unit.h"
#include "tests/unit/unit.h"

/* Reads from memory of exactly n bytes, so that a step too far is found by the sanitizer. */
static int read_exactly(const uint8_t *data, size_t n, struct token_facts *ret, uint8_t **ret_copy)
{
	uint8_t *copy = malloc(n ? n : 1);

	UNIT_CHECK(copy, "no memory");
	memcpy(copy, data, n);
	*ret_copy = copy;
	return record_read(copy, n, ret);
}

/* Whatever is taken must be what would be written. */
static void check_canonical(const uint8_t *data, size_t n)
{
	_cleanup_free_
	uint8_t *copy = NULL;
	uint8_t again[RECORD_MAX];
	struct token_facts facts;

	if (read_exactly(data, n, &facts, &copy) < 0)
		return;
	UNIT_CHECK(record_write(&facts, again) == n && memcmp(again, data, n) == 0,
		   "bytes were taken that are not what the facts are written as");
}

START_TEST(any_facts_are_read_as_they_were_written)
{
	uint64_t seed = 1;
	struct facts_sample s;

	for (int i = 0; i < 50000; i++) {
		_cleanup_free_
		uint8_t *copy = NULL;
		uint8_t data[RECORD_MAX];
		struct token_facts facts;
		size_t n;

		facts_fill(&seed, &s);
		n = record_write(&s.facts, data);
		UNIT_CHECK(n <= RECORD_MAX, "%zu bytes", n);
		UNIT_CHECK(read_exactly(data, n, &facts, &copy) == 0, "sample %d is refused", i);
		UNIT_CHECK(facts_same(&facts, &s.facts), "sample %d is another", i);
	}
}
END_TEST

START_TEST(the_longest_record_fits)
{
	uint64_t seed = 2;
	struct facts_sample s;
	uint8_t data[RECORD_MAX];
	struct token_facts facts;
	size_t n;

	facts_fill(&seed, &s);
	s.facts.name.n = TOKEN_NAME_MAX;
	s.facts.scopes = facts_random_scopes(&seed, s.scopes, true);
	s.facts.owner_name = (struct span){ s.labels[0], LABEL_MAX };
	s.facts.last_used_by = (struct span){ s.labels[1], LABEL_MAX };
	s.facts.credential = (struct span){ s.labels[2], LABEL_MAX };
	s.facts.issued_to = (struct span){ s.labels[3], LABEL_MAX };
	s.facts.binding = BINDING_UNIT;
	s.facts.holder = (struct holder){ .unit = { s.labels[4], LABEL_MAX } };
	s.facts.uses_left = INT64_MAX;
	s.facts.parent = s.facts.replaced_by = UINT64_MAX;
	s.facts.last_used_us = UINT32_MAX * USEC_PER_SEC;
	n = record_write(&s.facts, data);
	ck_assert_uint_le(n, RECORD_MAX);
	ck_assert_int_eq(record_read(data, n, &facts), 0);
	ck_assert(facts_same(&facts, &s.facts));
}
END_TEST

START_TEST(a_last_use_is_kept_in_whole_seconds)
{
	static const uint64_t times[][2] = {
		{ 0, 0 },
		{ 999999, 0 },
		{ 1000000, 1000000 },
		{ 1999999, 1000000 },
	};
	uint64_t seed = 3;
	struct facts_sample s;
	uint8_t data[RECORD_MAX];
	struct token_facts facts;

	facts_fill(&seed, &s);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		s.facts.last_used_us = times[i][0];
		ck_assert_int_eq(record_read(data, record_write(&s.facts, data), &facts), 0);
		ck_assert_uint_eq(facts.last_used_us, times[i][1]);
	}
}
END_TEST

START_TEST(every_truncation_is_refused)
{
	uint64_t seed = 4;
	struct facts_sample s;

	for (int i = 0; i < 200; i++) {
		uint8_t data[RECORD_MAX];
		size_t n;

		facts_fill(&seed, &s);
		n = record_write(&s.facts, data);
		for (size_t cut = 0; cut < n; cut++) {
			_cleanup_free_
			uint8_t *copy = NULL;
			struct token_facts facts;

			UNIT_CHECK(read_exactly(data, cut, &facts, &copy) == -EBADMSG,
				   "%zu bytes of %zu are taken", cut, n);
		}
	}
}
END_TEST

START_TEST(anything_after_the_end_is_refused)
{
	uint64_t seed = 5;
	struct facts_sample s;

	for (int i = 0; i < 2000; i++) {
		uint8_t data[RECORD_MAX + 16] = {};
		struct token_facts facts;
		size_t n;

		facts_fill(&seed, &s);
		n = record_write(&s.facts, data);
		memset(data + n, (int)facts_below(&seed, 256), 16);
		UNIT_CHECK(record_read(data, n + 1 + facts_below(&seed, 16), &facts) == -EBADMSG,
			   "bytes after the end are taken");
	}
}
END_TEST

START_TEST(a_flipped_bit_is_refused_or_says_something_else_properly)
{
	uint64_t seed = 6;
	struct facts_sample s;

	for (int i = 0; i < 60; i++) {
		uint8_t data[RECORD_MAX];
		size_t n;

		facts_fill(&seed, &s);
		n = record_write(&s.facts, data);
		for (size_t bit = 0; bit < n * 8; bit++) {
			data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			check_canonical(data, n);
			data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
	uint64_t seed = 7;
	struct facts_sample s;

	for (int i = 0; i < 200000; i++) {
		uint8_t data[512];
		size_t n = facts_below(&seed, sizeof(data));

		for (size_t at = 0; at < n; at++)
			data[at] = (uint8_t)unit_random(&seed);
		data[0] = 1;
		check_canonical(data, n);
	}
	/* Good ones with a few bytes changed come further. */
	for (int i = 0; i < 50000; i++) {
		uint8_t data[RECORD_MAX];
		size_t n;

		facts_fill(&seed, &s);
		n = record_write(&s.facts, data);
		for (uint64_t k = 1 + facts_below(&seed, 3); k > 0; k--)
			data[facts_below(&seed, facts_one_in(&seed, 2) ? 8 : n)] =
				(uint8_t)unit_random(&seed);
		check_canonical(data, n);
	}
}
END_TEST

/* docs/store-format.md, by hand. */
START_TEST(the_bytes_are_those_of_the_page)
{
	static const uint8_t scopes[] = "\x08"
					"acme/x:r";
	static const uint8_t head[] = {
		1,    4,    0x48, 0x08, 9,    0,    1,	  0,	/* format ... */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* id */
		7,    0,    0,	  0,	0,    0,    0,	  0,	/* row */
		0x40, 0x42, 0x0f, 0,	0,    0,    0,	  0,	/* created: 1 s */
		0x80, 0x84, 0x1e, 0,	0,    0,    0,	  0,	/* expires: 2 s */
		0xe8, 3,    0,	  0,				/* uid 1000 */
	};
	static const uint8_t tail[] = {
		'n', 'a', 'm', 'e', 8, 'a', 'c', 'm', 'e', '/', 'x', ':', 'r', /* texts */
		8,   7,	  6,   5,   4, 3,   2,	 1, /* bit 3: the boot id ... */
		8,   7,	  6,   5,   4, 3,   2,	 1, /* ... */
		9,   0,	  0,   0,   0, 0,   0,	 0, /* the inode of the pidfd */
		77,  0,	  0,   0,		    /* its number */
		5,   0,	  0,   0,   0, 0,   0,	 0, /* bit 6: the parent */
		2,   5,				    /* bit 11: revoked, with its parent, ... */
		0,   0,	  1,   0,   0, 0,   0,	 0, /* ... when */
	};
	struct token_facts facts = {
		.id = UINT64_C(0x1122334455667788),
		.row = 7,
		.name = SPAN("name"),
		.owner_uid = 1000,
		.scopes = { scopes, 9, 1 },
		.created_us = 1000000,
		.expires_us = 2000000,
		.length_us = 1000000,
		.uses_left = USES_UNLIMITED,
		.binding = BINDING_PROCESS,
		.holder = { .boot = { 8, 7, 6, 5, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1 },
			    .pidfd_inode = 9,
			    .pid = 77 },
		.parent = 5,
		.state = TOKEN_REVOKED,
		.ended = END_PARENT,
		.ended_us = 65536,
	};
	uint8_t data[RECORD_MAX];
	size_t n;

	memset(facts.hash, 0xaa, sizeof(facts.hash));
	n = record_write(&facts, data);
	ck_assert_uint_eq(n, sizeof(head) + 32 + sizeof(tail));
	ck_assert_mem_eq(data, head, sizeof(head));
	ck_assert_mem_eq(data + sizeof(head), facts.hash, 32);
	ck_assert_mem_eq(data + sizeof(head) + 32, tail, sizeof(tail));
}
END_TEST

/* A small record, with one thing changed in its bytes. */
static int read_changed(size_t at, uint64_t value, size_t n_bytes)
{
	struct token_facts facts = {
		.id = 1,
		.row = 1,
		.name = SPAN("n"),
		.expires_us = 1000000,
		.length_us = 1000000,
		.uses_left = USES_UNLIMITED,
	};
	uint8_t data[RECORD_MAX];
	size_t n = record_write(&facts, data);

	for (size_t i = 0; i < n_bytes; i++)
		data[at + i] = (uint8_t)(value >> 8 * i);
	return record_read(data, n, &facts);
}

START_TEST(values_out_of_range_are_refused)
{
	static const struct {
		size_t at, n;
		uint64_t good, bad;
	} rows[] = {
		{ 0, 1, 1, 2 },	      /* format */
		{ 0, 1, 1, 0 },	      /* format */
		{ 1, 1, 1, 0 },	      /* no name */
		{ 2, 2, 0, 1 << 12 }, /* an unknown part */
		{ 2, 2, 0, 1 << 15 }, /* an unknown part */
		{ 7, 1, 0, 1 },	      /* the byte that is 0 */
		{ 8, 8, 1, 0 },	      /* id */
		{ 16, 8, 1, 0 },      /* row */
		{ 16, 8, (UINT64_C(1) << 48) - 1, UINT64_C(1) << 48 },
		{ 76, 1, 'n', 0xff }, /* not UTF-8 */
		{ 76, 1, 'n', 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		ck_assert_int_eq(read_changed(rows[i].at, rows[i].good, rows[i].n), 0);
		ck_assert_int_eq(read_changed(rows[i].at, rows[i].bad, rows[i].n), -EBADMSG);
	}
	/* Both instants: beyond the highest. */
	ck_assert_int_eq(read_changed(32, (UINT64_C(1) << 58) - 1, 8), 0);
	ck_assert_int_eq(read_changed(32, UINT64_C(1) << 58, 8), -EBADMSG);
	ck_assert_int_eq(read_changed(24, UINT64_C(1) << 58, 8), -EBADMSG);
}
END_TEST

START_TEST(texts_that_no_reply_could_say_are_refused)
{
	static const struct span texts[] = { SPAN("ci"), SPAN("\xff"), SPAN("c\0i") };

	for (size_t i = 0; i < 4 * ARRAY_SIZE(texts); i++) {
		struct span text = texts[i / 4];
		struct token_facts facts = {
			.id = 1, .row = 1, .name = SPAN("n"), .uses_left = USES_UNLIMITED
		};
		uint8_t data[RECORD_MAX];

		*(i % 4 == 0   ? &facts.owner_name
		  : i % 4 == 1 ? &facts.last_used_by
		  : i % 4 == 2 ? &facts.credential
			       : &facts.issued_to) = text;
		ck_assert_int_eq(record_read(data, record_write(&facts, data), &facts),
				 i < 4 ? 0 : -EBADMSG);
	}
}
END_TEST

START_TEST(scopes_that_are_none_are_refused)
{
	static const uint8_t *const bad[] = {
		(const uint8_t *)"\x04"
				 "acme",
		(const uint8_t *)"\x05"
				 "a:b:c",
		(const uint8_t *)"\x03"
				 "a: ",
		(const uint8_t *)"\x01"
				 ":",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct token_facts facts = {
			.id = 1,
			.row = 1,
			.name = SPAN("n"),
			.scopes = { bad[i], (uint16_t)(bad[i][0] + 1), 1 },
			.uses_left = USES_UNLIMITED,
		};
		uint8_t data[RECORD_MAX];
		size_t n = record_write(&facts, data);

		ck_assert_int_eq(record_read(data, n, &facts), -EBADMSG);
	}
}
END_TEST

UNIT_MAIN("record", any_facts_are_read_as_they_were_written, the_longest_record_fits,
	  a_last_use_is_kept_in_whole_seconds, every_truncation_is_refused,
	  anything_after_the_end_is_refused,
	  a_flipped_bit_is_refused_or_says_something_else_properly, random_bytes_do_no_harm,
	  the_bytes_are_those_of_the_page, values_out_of_range_are_refused,
	  texts_that_no_reply_could_say_are_refused, scopes_that_are_none_are_refused)
