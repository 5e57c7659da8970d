/* tests/unit/test-audit-record.c - entries of the audit as bytes, and as a chain. */
#include "agent/audit-chain.h"

#include <string.h>

#include "tests/unit/unit.h"

enum { N = 12 };

static struct audit_entry sample(void)
{
	struct audit_entry e = {
		.seq = 0x0102030405060708,
		.at_us = 1700000000123456,
		.token = UINT64_MAX - 1,
		.count = 17,
		.peer_uid = 1000,
		.peer_pid = 4242,
		.owner_uid = 1001,
		.operation = "verify",
		.result = "PermissionDenied",
		.credential = "modulos",
		.unit = "nightly@7.service",
	};

	return e;
}

/* ---- records --------------------------------------------------------------------------------- */

START_TEST(a_record_holds_all_of_its_entry)
{
	struct audit_entry e = sample(), back;
	uint8_t record[AUDIT_RECORD_MAX], previous[AUDIT_HASH_LEN], read[AUDIT_HASH_LEN];
	size_t n;

	memset(previous, 7, sizeof(previous));
	for (unsigned i = 0; i < 2; i++) {
		/* With nothing behind it. */
		uint8_t *alone;

		n = audit_record_write(&e, previous, record);
		alone = malloc(n);
		ck_assert_ptr_nonnull(alone);
		memcpy(alone, record, n);
		ck_assert_int_eq(audit_record_read(alone, n, &back, read), 0);
		free(alone);
		ck_assert_mem_eq(&back, &e, sizeof(e));
		ck_assert_mem_eq(read, previous, sizeof(read));
		memset(e.credential, 0, sizeof(e.credential));
		memset(e.unit, 0, sizeof(e.unit));
		e.owner_uid = AUDIT_NO_UID;
		e.token = 0;
	}
}
END_TEST

START_TEST(a_record_that_is_read_is_the_one_way_to_write_its_entry)
{
	uint8_t record[AUDIT_RECORD_MAX], again[AUDIT_RECORD_MAX], previous[AUDIT_HASH_LEN] = { 1 };
	struct audit_entry e = sample(), back;
	uint64_t random = 7;

	for (unsigned i = 0; i < 200000; i++) {
		size_t n = audit_record_write(&e, previous, record), at = unit_random(&random) % n;
		uint8_t read[AUDIT_HASH_LEN];

		record[at] = (uint8_t)unit_random(&random);
		if (audit_record_read(record, n, &back, read) < 0)
			continue;
		UNIT_CHECK(audit_record_write(&back, read, again) == n &&
				   memcmp(record, again, n) == 0,
			   "byte %zu may be %u", at, record[at]);
	}
}
END_TEST

START_TEST(a_record_cut_or_longer_is_none)
{
	uint8_t record[AUDIT_RECORD_MAX + 1] = { 0 }, previous[AUDIT_HASH_LEN] = { 0 };
	struct audit_entry e = sample(), back;
	size_t n = audit_record_write(&e, previous, record);

	for (size_t i = 0; i <= n + 1; i++)
		if (i != n)
			ck_assert_int_lt(audit_record_read(record, i, &back, previous), 0);
}
END_TEST

START_TEST(what_no_terminal_should_see_does_not_come_into_an_entry)
{
	struct audit_entry e = { 0 };

	audit_text(e.credential, sizeof(e.credential), SPAN("a\nb\x1b[1m\xc3\xa4 c"));
	ck_assert_str_eq(e.credential, "a?b?[1m???c");
	audit_text(e.operation, sizeof(e.operation), SPAN("longer-than-any-operation-can-ever-be"));
	ck_assert_uint_eq(strlen(e.operation), AUDIT_OPERATION_MAX);
	audit_text(e.unit, sizeof(e.unit), SPAN_NONE);
	ck_assert_str_eq(e.unit, "");
}
END_TEST

/* ---- the chain ------------------------------------------------------------------------------- */

struct chain {
	struct audit_link last;
	size_t n[N + 1]; /* by row; 0: gone */
	uint8_t record[N + 1][AUDIT_RECORD_MAX];
};

static void make_chain(struct chain *c)
{
	memset(c, 0, sizeof(*c));
	for (unsigned i = 1; i <= N; i++) {
		struct audit_entry e = sample();

		e.token = i;
		c->n[i] = audit_chain_add(&c->last, &e, c->record[i]);
	}
}

/* What was found in reading all of it. */
struct found {
	unsigned n_entries;
	unsigned n_damages;
	uint64_t altered, missing, reordered; /* the first of each */
};

static void note(uint64_t seq, uint64_t *first, struct found *f)
{
	if (!seq)
		return;
	f->n_damages++;
	if (!*first)
		*first = seq;
}

static struct found read_chain(const struct chain *c)
{
	struct audit_check check = { 0 };
	struct audit_finding finding;
	enum audit_damage damage = AUDIT_MISSING;
	struct found f = { 0 };
	uint64_t seq;

	for (unsigned row = 1; row <= N; row++) {
		if (c->n[row] == 0)
			continue;
		audit_check_row(&check, row, c->record[row], c->n[row], &finding);
		note(finding.missing, &f.missing, &f);
		note(finding.altered, &f.altered, &f);
		note(finding.reordered, &f.reordered, &f);
		f.n_entries += finding.has_entry;
	}
	seq = audit_check_end(&check, &c->last, &damage);
	note(seq, damage == AUDIT_MISSING ? &f.missing : &f.altered, &f);
	return f;
}

START_TEST(a_chain_as_it_was_written_is_whole)
{
	static struct chain c;
	struct found f;

	make_chain(&c);
	f = read_chain(&c);
	ck_assert_uint_eq(f.n_entries, N);
	ck_assert_uint_eq(f.n_damages, 0);
}
END_TEST

START_TEST(entries_deleted_at_its_front_are_no_damage)
{
	static struct chain c;
	struct found f;

	make_chain(&c);
	for (unsigned i = 1; i < N; i++) {
		c.n[i] = 0;
		f = read_chain(&c);
		ck_assert_uint_eq(f.n_entries, N - i);
		ck_assert_uint_eq(f.n_damages, 0);
	}
}
END_TEST

START_TEST(each_entry_that_is_gone_is_missed)
{
	static struct chain c;

	for (unsigned i = 2; i <= N; i++) {
		struct found f;

		make_chain(&c);
		c.n[i] = 0;
		f = read_chain(&c);
		ck_assert_uint_eq(f.missing, i);
		ck_assert_uint_eq(f.n_entries, N - 1);
	}
}
END_TEST

START_TEST(each_byte_that_is_altered_is_noticed)
{
	static struct chain c;

	for (unsigned i = 1; i <= N; i++)
		for (size_t at = 0;; at++) {
			struct found f;

			make_chain(&c);
			if (at == c.n[i])
				break;
			c.record[i][at] ^= 1;
			f = read_chain(&c);
			/* In what ties it to the one before, it is the tie that is broken. */
			UNIT_CHECK(f.altered == i || f.reordered == i ||
					   (at >= 48 && at < 80 && f.altered == i - 1),
				   "entry %u, byte %zu", i, at);
		}
}
END_TEST

START_TEST(an_entry_that_says_something_else_is_noticed_though_it_is_well_formed)
{
	static struct chain c;

	for (unsigned i = 1; i <= N; i++) {
		struct audit_entry e = sample();
		struct audit_link before = { 0 };
		struct found f;

		make_chain(&c);
		if (i > 1)
			audit_chain_link(i - 1, c.record[i - 1], c.n[i - 1], &before);
		e.peer_uid = 0;
		c.n[i] = audit_chain_add(&before, &e, c.record[i]);
		f = read_chain(&c);
		ck_assert_uint_eq(f.altered, i);
		ck_assert_uint_eq(f.n_damages, 1);
	}
}
END_TEST

START_TEST(entries_that_have_changed_places_are_noticed)
{
	static struct chain c, other;

	for (unsigned i = 1; i < N; i++) {
		struct found f;

		make_chain(&c);
		other = c;
		c.n[i] = other.n[i + 1];
		c.n[i + 1] = other.n[i];
		memcpy(c.record[i], other.record[i + 1], AUDIT_RECORD_MAX);
		memcpy(c.record[i + 1], other.record[i], AUDIT_RECORD_MAX);
		f = read_chain(&c);
		ck_assert_uint_eq(f.reordered, i);
		ck_assert_uint_eq(f.n_damages, 2);
	}
}
END_TEST

START_TEST(what_newer_entries_take_the_place_of_while_it_is_read_is_no_damage)
{
	static struct chain c;
	struct audit_check check = { 0 };
	struct audit_finding finding;

	make_chain(&c);
	audit_check_row(&check, 1, c.record[1], c.n[1], &finding);
	audit_check_skip(&check, 4);
	audit_check_row(&check, 5, c.record[5], c.n[5], &finding);
	ck_assert(!finding.missing && !finding.altered && !finding.reordered && finding.has_entry);
	audit_check_row(&check, 7, c.record[7], c.n[7], &finding);
	ck_assert_uint_eq(finding.missing, 6);
}
END_TEST

UNIT_MAIN("audit-record", a_record_holds_all_of_its_entry,
	  a_record_that_is_read_is_the_one_way_to_write_its_entry, a_record_cut_or_longer_is_none,
	  what_no_terminal_should_see_does_not_come_into_an_entry,
	  a_chain_as_it_was_written_is_whole, entries_deleted_at_its_front_are_no_damage,
	  each_entry_that_is_gone_is_missed, each_byte_that_is_altered_is_noticed,
	  an_entry_that_says_something_else_is_noticed_though_it_is_well_formed,
	  entries_that_have_changed_places_are_noticed,
	  what_newer_entries_take_the_place_of_while_it_is_read_is_no_damage)
