/*
 * tests/unit/test-seal.c - what is sealed opens in its place alone, and a root stands for one set
 * of rows alone.
 */
#include "agent/seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static const uint8_t master[SEAL_KEY_LEN] = "a master key of thirty-two bytes";
static const uint8_t id[SEAL_ID_LEN] = "a store's id";

enum { TEXT_LEN = 57 };

struct sealed {
	struct seal seal;
	struct seal_place place;
	uint8_t text[TEXT_LEN], bytes[TEXT_LEN + SEAL_OVERHEAD];
};

static void seal_text(struct sealed *s)
{
	memset(s, 0, sizeof(*s));
	UNIT_CHECK(seal_start() == 0, "no random numbers");
	seal_init(&s->seal, master, id);
	s->place = (struct seal_place){ .table = 2, .row = 77, .version = 5, .owner = 123456789 };
	memset(s->text, 'x', sizeof(s->text));
	seal_row(&s->seal, &s->place, s->text, sizeof(s->text), s->bytes);
}

static int open_text(const struct sealed *s)
{
	uint8_t opened[TEXT_LEN];
	int r = seal_open_row(&s->seal, &s->place, s->bytes, sizeof(s->bytes), opened);

	/* Only to prove it gives the same answer. */
	UNIT_CHECK(seal_open_row(&s->seal, &s->place, s->bytes, sizeof(s->bytes), NULL) == r,
		   "two answers");
	UNIT_CHECK(r < 0 || memcmp(opened, s->text, sizeof(opened)) == 0,
		   "opens to something else");
	return r;
}

START_TEST(what_is_sealed_opens_again)
{
	uint8_t record[300], opened[300], sealed[300 + SEAL_OVERHEAD];
	struct seal_place place = { .table = 1, .row = 1, .version = 1 };
	struct seal s;

	seal_init(&s, master, id);
	for (size_t n = 0; n < sizeof(record); n++) {
		memset(record, (int)n, sizeof(record));
		seal_row(&s, &place, record, n, sealed);
		UNIT_CHECK(seal_open_row(&s, &place, sealed, n + SEAL_OVERHEAD, opened) == 0,
			   "%zu bytes", n);
		UNIT_CHECK(memcmp(record, opened, n) == 0, "%zu bytes", n);
	}
}
END_TEST

START_TEST(a_flipped_bit_anywhere_is_noticed)
{
	struct sealed s;

	seal_text(&s);
	for (size_t bit = 0; bit < 8 * sizeof(s.bytes); bit++) {
		s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		UNIT_CHECK(open_text(&s) == -EBADMSG, "bit %zu", bit);
		s.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	ck_assert_int_eq(open_text(&s), 0);
}
END_TEST

START_TEST(it_opens_at_no_other_length)
{
	uint8_t longer[TEXT_LEN + SEAL_OVERHEAD + 8] = { 0 }, opened[TEXT_LEN + 8];
	struct sealed s;

	seal_text(&s);
	memcpy(longer, s.bytes, sizeof(s.bytes));
	for (size_t n = 0; n <= sizeof(longer); n++)
		UNIT_CHECK(seal_open_row(&s.seal, &s.place, longer, n, opened) ==
				   (n == sizeof(s.bytes) ? 0 : -EBADMSG),
			   "%zu bytes", n);
}
END_TEST

START_TEST(it_opens_in_no_other_place_store_or_under_another_key)
{
	struct sealed s, other;
	uint8_t key[SEAL_KEY_LEN];

	seal_text(&s);
	for (unsigned bit = 0; bit < 64; bit++) {
		other = s;
		other.place.row ^= UINT64_C(1) << bit;
		UNIT_CHECK(open_text(&other) == -EBADMSG, "row, bit %u", bit);
		other = s;
		other.place.owner ^= UINT64_C(1) << bit;
		UNIT_CHECK(open_text(&other) == -EBADMSG, "owner, bit %u", bit);
		other = s;
		other.place.version ^= 1U << bit % 32;
		UNIT_CHECK(open_text(&other) == -EBADMSG, "version, bit %u", bit % 32);
		other = s;
		other.place.table ^= (uint8_t)(1 << bit % 8);
		UNIT_CHECK(open_text(&other) == -EBADMSG, "table, bit %u", bit % 8);
	}
	for (unsigned bit = 0; bit < 8 * SEAL_KEY_LEN; bit++) {
		memcpy(key, master, sizeof(key));
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		other = s;
		seal_init(&other.seal, key, id);
		UNIT_CHECK(open_text(&other) == -EBADMSG, "key, bit %u", bit);
	}
	for (unsigned bit = 0; bit < 8 * SEAL_ID_LEN; bit++) {
		memcpy(key, id, SEAL_ID_LEN);
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		other = s;
		seal_init(&other.seal, master, key);
		UNIT_CHECK(open_text(&other) == -EBADMSG, "store, bit %u", bit);
		memcpy(other.seal.row_key, s.seal.row_key, sizeof(s.seal.row_key));
		UNIT_CHECK(open_text(&other) == -EBADMSG, "store with the same key, bit %u", bit);
	}
}
END_TEST

START_TEST(the_same_record_is_never_sealed_to_the_same_bytes)
{
	struct sealed a, b;

	for (int i = 0; i < 100; i++) {
		seal_text(&a);
		seal_text(&b);
		UNIT_CHECK(memcmp(a.bytes, b.bytes, SEAL_NONCE_LEN) != 0, "a nonce twice");
		UNIT_CHECK(memcmp(a.bytes + SEAL_NONCE_LEN, b.bytes + SEAL_NONCE_LEN, TEXT_LEN) !=
				   0,
			   "the same bytes");
	}
}
END_TEST

enum { MANY_NONCES = 200000, NONCES_A_START = 20000 };

static int compare_nonces(const void *a, const void *b)
{
	return memcmp(a, b, SEAL_NONCE_LEN);
}

static bool is_one_twice(uint8_t (*nonces)[SEAL_NONCE_LEN])
{
	qsort(nonces, MANY_NONCES, sizeof(*nonces), compare_nonces);
	for (size_t i = 1; i < MANY_NONCES; i++)
		if (memcmp(nonces[i - 1], nonces[i], SEAL_NONCE_LEN) == 0)
			return true;
	return false;
}

/* A start after an old copy was put back is one with the keys and the rows of before. */
START_TEST(no_nonce_is_given_twice_however_often_the_same_store_is_started)
{
	uint8_t(*nonces)[SEAL_NONCE_LEN] = calloc(MANY_NONCES, sizeof(*nonces));
	struct sealed s;

	ck_assert_ptr_nonnull(nonces);
	seal_text(&s);
	for (size_t i = 0; i < MANY_NONCES; i++) {
		if (i % NONCES_A_START == 0)
			seal_text(&s);
		else
			seal_row(&s.seal, &s.place, s.text, sizeof(s.text), s.bytes);
		memcpy(nonces[i], s.bytes, SEAL_NONCE_LEN);
	}
	ck_assert(!is_one_twice(nonces));
	/* As it would be seen. */
	memcpy(nonces[MANY_NONCES / 3], nonces[7], SEAL_NONCE_LEN);
	ck_assert(is_one_twice(nonces));
	free(nonces);
}
END_TEST

START_TEST(keys_differ_from_each_other_and_from_what_is_kept_in_clear)
{
	uint8_t check[SEAL_CHECK_LEN], other[SEAL_CHECK_LEN], key[SEAL_KEY_LEN] = { 0 };
	struct seal s;

	seal_init(&s, master, id);
	seal_key_check(master, check);
	ck_assert_int_ne(memcmp(s.row_key, s.set_key, 16), 0);
	ck_assert_int_ne(memcmp(s.row_key, s.owner_key, 16), 0);
	ck_assert_int_ne(memcmp(s.set_key, s.owner_key, 16), 0);
	ck_assert_int_ne(memcmp(s.row_key, s.credentials_key, 16), 0);
	ck_assert_int_ne(memcmp(s.row_key, s.other_key, 16), 0);
	ck_assert_int_ne(memcmp(s.credentials_key, s.other_key, 16), 0);
	ck_assert_int_ne(memcmp(s.row_key, master, 16), 0);
	ck_assert_ptr_null(memmem(&s, sizeof(s), check, sizeof(check)));
	seal_key_check(master, other);
	ck_assert_int_eq(memcmp(check, other, sizeof(check)), 0);
	seal_key_check(key, other);
	ck_assert_int_ne(memcmp(check, other, sizeof(check)), 0);
}
END_TEST

/* What stores of before are read with when they are taken over. */
START_TEST(the_first_format_stays_as_it_is)
{
	static const uint8_t sealed[] = { 0x02, 0x47, 0x22, 0x57, 0x59, 0x65, 0x42, 0xb7,
					  0x0c, 0x7a, 0x04, 0x51, 0xa6, 0xe3, 0xe6, 0x51,
					  0x66, 0x1f, 0x27, 0x2c, 0xa2, 0x95, 0xf1, 0x69,
					  0x1b, 0x31, 0xce, 0xc4, 0xaa, 0x50, 0xb9, 0xbb,
					  0xba, 0x5e, 0x9d, 0xf3, 0x8a, 0xd0, 0x7d, 0x85,
					  0xc6, 0xc5, 0x17, 0xbc, 0xf1, 0xfc, 0x02, 0x77 };
	static const uint8_t check[SEAL_CHECK_LEN] = { 0xbd, 0x9a, 0x9d, 0x68, 0x16, 0xea,
						       0xd3, 0x2c, 0xf4, 0x3f, 0xb7, 0x0c,
						       0xc8, 0xd1, 0x60, 0x5e };
	struct seal_place place = { .table = 2, .row = 77, .version = 5, .owner = 123456789 };
	struct seal_root root = { 0 };
	uint8_t opened[sizeof(sealed) - SEAL_OVERHEAD], got[SEAL_CHECK_LEN];
	struct seal s;

	seal_init_1(&s, master, id);
	ck_assert_int_eq(seal_open_row(&s, &place, sealed, sizeof(sealed), opened), 0);
	ck_assert_mem_eq(opened, "a record", sizeof(opened));
	seal_key_check(master, got);
	ck_assert_mem_eq(got, check, sizeof(got));
	ck_assert_uint_eq(seal_owner_tag(&s, 1000), UINT64_C(0x63f27f82c82f2151));
	seal_root_add(&s, &root, &place, sealed);
	ck_assert_mem_eq(root.tables[1].sum,
			 ((const uint8_t[]){ 0x1d, 0x01, 0x4f, 0xd6, 0x19, 0x03, 0x49, 0xec, 0x40,
					     0x86, 0x59, 0x33, 0x09, 0xc7, 0xf2, 0xc2 }),
			 16);
}
END_TEST

/* On disk for good: these values may never change while SEAL_FORMAT is 2. */
START_TEST(the_format_stays_as_it_is)
{
	static const uint8_t row[] = {
		0x04, 0x7b, 0xa0, 0x3c, 0x90, 0xc3, 0xf3, 0xf5, 0xd3, 0x68, 0xd6, 0x09,
		0xe1, 0xe5, 0x72, 0x02, 0x09, 0x83, 0xd2, 0xa1, 0x23, 0x63, 0x31, 0x65,
		0x9f, 0x52, 0xb1, 0x50, 0xb3, 0x89, 0x1f, 0xe4, 0x06, 0x1f, 0x11, 0x31,
		0xba, 0xbd, 0xa7, 0x02, 0xf8, 0xa9, 0x40, 0xe6, 0x09, 0x01, 0x30, 0xc8
	};
	static const uint8_t credential[] = {
		0x61, 0xdf, 0x1d, 0x47, 0xa8, 0x16, 0xe4, 0xd4, 0x8d, 0x2a, 0x86, 0x7c,
		0xc8, 0x5e, 0x84, 0xf6, 0xdd, 0x1c, 0x18, 0x91, 0x1f, 0x19, 0x40, 0x89,
		0x21, 0xb8, 0x7d, 0x24, 0xeb, 0xdd, 0x86, 0x77, 0x8b, 0x2a, 0xbc, 0x33,
		0xc1, 0x96, 0xb6, 0xf8, 0x4a, 0x80, 0x79, 0x7b, 0xef, 0x75, 0x30, 0xa0
	};
	static const uint8_t key[] = {
		0x0b, 0x7b, 0x7f, 0xc9, 0x20, 0x17, 0x3a, 0xcc, 0x7f, 0xa5, 0x7c, 0x68,
		0x6d, 0xe7, 0x3b, 0xea, 0x45, 0xce, 0xe4, 0x6b, 0xad, 0x57, 0xd7, 0x9f,
		0xc1, 0xeb, 0x68, 0x92, 0xb0, 0x28, 0x81, 0x52, 0xb4, 0x8d, 0xf8, 0x59,
		0xa5, 0xd6, 0x8f, 0x04, 0x57, 0x15, 0x2e, 0x6c, 0x70, 0x5d, 0x04, 0x09,
		0xbe, 0x90, 0x85, 0xc1, 0x99, 0xb4, 0xd3, 0x79, 0x1c, 0x5a, 0x1a, 0xcd,
		0xc3, 0xe1, 0x09, 0x09, 0x08, 0xc6, 0x05, 0xcd, 0x34, 0x74, 0x66, 0x8a
	};
	static const uint8_t other[] = {
		0x3d, 0x3d, 0x47, 0x04, 0x4b, 0xda, 0x98, 0xbb, 0x44, 0xc1, 0x41, 0x05,
		0x8c, 0x88, 0xcf, 0xbb, 0x40, 0xba, 0x3f, 0x87, 0x17, 0x05, 0x6b, 0xa6,
		0xf6, 0x0d, 0x6e, 0x9a, 0x89, 0x14, 0xc5, 0xda
	};
	static const uint8_t sum[] = {
		0xc5, 0xe5, 0xfd, 0x06, 0x38, 0x7c, 0xcf, 0x0e, 0xec, 0xcb, 0xbf, 0x01,
		0x66, 0x1b, 0x15, 0x5f
	};
	static const uint8_t sealed_root[] = {
		0xf8, 0xba, 0x01, 0x18, 0xe2, 0x2c, 0x30, 0x1a, 0xf4, 0xe5, 0xee, 0xfa,
		0xb2, 0xf0, 0x9f, 0x4e, 0xc9, 0xde, 0x28, 0x63, 0x35, 0xc1, 0xaa, 0x54,
		0xd0, 0xbe, 0x3f, 0xbf, 0xaf, 0xad, 0xa3, 0x43, 0x57, 0x50, 0x43, 0x45,
		0xad, 0xa5, 0x51, 0x1b, 0x6b, 0xdd, 0x90, 0x1b, 0x62, 0xd2, 0x39, 0xd8,
		0x6a, 0x01, 0xce, 0x64, 0x06, 0x06, 0x71, 0x77, 0xbe, 0x88, 0x1f, 0x0e,
		0x19, 0x83, 0xeb, 0x26, 0x11, 0xb6, 0x93, 0xa4, 0x3e, 0xaf, 0x3f, 0x06,
		0x58, 0x5d, 0x4a, 0x39, 0xf2, 0xe1, 0x1b, 0x48, 0xbd, 0x7e, 0xa0, 0xd4,
		0x7b, 0xc2, 0x64, 0x82, 0xc0, 0x17, 0xa9, 0x50, 0xe2, 0x09, 0x4a, 0xdd,
		0xd0, 0x06, 0xe4, 0x1f, 0x0b, 0xf2, 0x71, 0x70, 0x28, 0x9d, 0x54, 0x69,
		0x5e, 0x77, 0x74, 0x6a, 0xcf, 0x03, 0x0d, 0x62, 0xa4, 0x31, 0x79, 0x46,
		0x25, 0xf5, 0x1a, 0xec, 0x07, 0xcd, 0xe1, 0xcd, 0xbf, 0x27, 0x7c, 0x19,
		0xb0, 0xd9, 0xc3, 0x2d, 0x63, 0xbf, 0x79, 0x3a, 0x6a, 0xb8, 0x57, 0xf1,
		0x93, 0x87, 0x3a, 0x01, 0xf5, 0x1a, 0x9f, 0xa9, 0xc8, 0x17, 0x4e, 0xab,
		0x02, 0x9d, 0x81, 0xbc, 0xf5, 0x1f, 0x26, 0x51, 0x0d, 0x09, 0x83, 0x32,
		0x3b, 0xdf, 0x16, 0xa2, 0x8f, 0x9a, 0x0f, 0x4d
	};
	struct seal_place place = { .table = 2, .row = 77, .version = 5, .owner = 123456789 };
	struct seal_root root = { 0 };
	uint8_t opened[SEAL_KEY_LEN], room[SEAL_KEY_LEN];
	struct seal s;

	seal_init(&s, master, id);
	ck_assert_int_eq(seal_open_row(&s, &place, row, sizeof(row), opened), 0);
	ck_assert_mem_eq(opened, "a record", 8);
	seal_root_add(&s, &root, &place, (const uint8_t *)"\7\7\7\7\7\7\7\7\7\7\7\7"
							  "\7\7\7\7\7\7\7\7\7\7\7\7");
	ck_assert_mem_eq(root.tables[1].sum, sum, sizeof(sum));
	place.table = 3;
	place.owner = 0;
	ck_assert_int_eq(seal_open_row(&s, &place, credential, sizeof(credential), opened), 0);
	ck_assert_mem_eq(opened, "a record", 8);
	ck_assert_int_eq(seal_open_store_key(key, sizeof(key), master, id, room, opened), 0);
	ck_assert_mem_eq(opened, "the key of a store, of 32 bytes.", 32);
	seal_derive_key(&s, 1, opened);
	ck_assert_mem_eq(opened, other, sizeof(other));
	ck_assert_uint_eq(seal_owner_tag(&s, 1000), UINT64_C(0x9fc97ed5f27a78ec));
	ck_assert_int_eq(seal_open_root(&s, sealed_root, sizeof(sealed_root), &root), 0);
	ck_assert_uint_eq(root.commits, 7);
	ck_assert_uint_eq(root.highest_row, 9);
	ck_assert_mem_eq(root.tables[1].sum, sum, sizeof(sum));
}
END_TEST

/* ---- a store's key --------------------------------------------------------------------------- */

START_TEST(a_stores_key_opens_under_its_master_key_and_for_its_store_alone)
{
	uint8_t store_key[SEAL_KEY_LEN], opened[SEAL_KEY_LEN], room[SEAL_KEY_LEN];
	uint8_t sealed[SEAL_STORE_KEY_LEN], key[SEAL_KEY_LEN], nothing[SEAL_KEY_LEN] = { 0 };

	UNIT_CHECK(seal_start() == 0, "no random numbers");
	seal_make_key(store_key);
	seal_store_key(store_key, master, id, room, sealed);
	ck_assert_mem_eq(room, nothing, sizeof(room));
	ck_assert_int_eq(seal_open_store_key(sealed, sizeof(sealed), master, id, room, opened), 0);
	ck_assert_mem_eq(opened, store_key, sizeof(opened));
	ck_assert_mem_eq(room, nothing, sizeof(room));
	for (size_t n = 0; n < sizeof(sealed); n++)
		UNIT_CHECK(seal_open_store_key(sealed, n, master, id, room, opened) == -EBADMSG,
			   "%zu bytes", n);
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		UNIT_CHECK(seal_open_store_key(sealed, sizeof(sealed), master, id, room, opened) ==
				   -EBADMSG,
			   "bit %zu", bit);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (unsigned bit = 0; bit < 8 * SEAL_KEY_LEN; bit++) {
		memcpy(key, master, sizeof(key));
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		UNIT_CHECK(seal_open_store_key(sealed, sizeof(sealed), key, id, room, opened) ==
				   -EBADMSG,
			   "key, bit %u", bit);
	}
	for (unsigned bit = 0; bit < 8 * SEAL_ID_LEN; bit++) {
		memcpy(key, id, SEAL_ID_LEN);
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		UNIT_CHECK(seal_open_store_key(sealed, sizeof(sealed), master, key, room, opened) ==
				   -EBADMSG,
			   "store, bit %u", bit);
	}
}
END_TEST

START_TEST(credentials_have_a_key_of_their_own)
{
	uint8_t sealed[TEXT_LEN + SEAL_OVERHEAD], text[TEXT_LEN] = "a value";
	struct seal_place place = { .table = SEAL_CREDENTIALS, .row = 1, .version = 1 };
	struct seal s, without;

	seal_init(&s, master, id);
	without = s;
	memset(without.credentials_key, 0, sizeof(without.credentials_key));
	for (place.table = 1; place.table <= SEAL_TABLES; place.table++) {
		seal_row(&s, &place, text, sizeof(text), sealed);
		UNIT_CHECK(seal_open_row(&without, &place, sealed, sizeof(sealed), NULL) ==
				   (place.table == SEAL_CREDENTIALS ? -EBADMSG : 0),
			   "table %u", place.table);
	}
}
END_TEST

START_TEST(an_owner_has_one_tag_and_owners_have_different_ones)
{
	uint64_t tags[2000];
	struct seal s;

	seal_init(&s, master, id);
	for (uid_t owner = 0; owner < ARRAY_SIZE(tags); owner++) {
		tags[owner] = seal_owner_tag(&s, owner);
		UNIT_CHECK(tags[owner] != 0 && tags[owner] != owner &&
				   tags[owner] == seal_owner_tag(&s, owner),
			   "owner %u", owner);
		for (uid_t other = 0; other < owner; other++)
			UNIT_CHECK(tags[other] != tags[owner], "owners %u and %u", other, owner);
	}
}
END_TEST

static const uint8_t *nonce_of(unsigned i)
{
	static uint8_t nonce[SEAL_NONCE_LEN];

	memset(nonce, (int)i + 1, sizeof(nonce));
	return nonce;
}

START_TEST(a_root_stands_for_its_rows_in_whatever_order_they_came)
{
	struct seal_root forth = { 0 }, back = { 0 }, none = { 0 };
	struct seal s;

	seal_init(&s, master, id);
	for (unsigned i = 0; i < 100; i++) {
		struct seal_place a = { .table = (uint8_t)(1 + i % 3), .row = i, .version = 1 };
		struct seal_place b = { .table = (uint8_t)(1 + (99 - i) % 3),
					.row = 99 - i,
					.version = 1 };

		seal_root_add(&s, &forth, &a, nonce_of(i));
		seal_root_add(&s, &back, &b, nonce_of(99 - i));
	}
	for (unsigned t = 0; t < SEAL_TABLES; t++)
		ck_assert(seal_set_equal(&forth.tables[t], &back.tables[t]));
	for (unsigned i = 0; i < 100; i++) {
		struct seal_place a = { .table = (uint8_t)(1 + i % 3), .row = i, .version = 1 };

		seal_root_remove(&s, &forth, &a, nonce_of(i));
	}
	for (unsigned t = 0; t < SEAL_TABLES; t++)
		ck_assert(seal_set_equal(&forth.tables[t], &none.tables[t]));
}
END_TEST

START_TEST(a_root_tells_a_row_from_any_other)
{
	struct seal_place place = { .table = 1, .row = 77, .version = 5 };
	struct seal_root root = { 0 }, other;
	uint8_t nonce[SEAL_NONCE_LEN] = { 1 };
	struct seal s;

	seal_init(&s, master, id);
	seal_root_add(&s, &root, &place, nonce);
	for (unsigned bit = 0; bit < 64; bit++) {
		struct seal_place p = place;

		memset(&other, 0, sizeof(other));
		p.row ^= UINT64_C(1) << bit;
		seal_root_add(&s, &other, &p, nonce);
		UNIT_CHECK(!seal_set_equal(&root.tables[0], &other.tables[0]), "row, bit %u", bit);

		memset(&other, 0, sizeof(other));
		p = place;
		p.version ^= 1U << bit % 32;
		seal_root_add(&s, &other, &p, nonce);
		UNIT_CHECK(!seal_set_equal(&root.tables[0], &other.tables[0]), "version, bit %u",
			   bit);
	}
	for (unsigned bit = 0; bit < 8 * SEAL_NONCE_LEN; bit++) {
		memset(&other, 0, sizeof(other));
		nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
		seal_root_add(&s, &other, &place, nonce);
		UNIT_CHECK(!seal_set_equal(&root.tables[0], &other.tables[0]), "nonce, bit %u",
			   bit);
		nonce[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	/* Twice the same row sums up to nothing, but is counted. */
	memset(&other, 0, sizeof(other));
	seal_root_add(&s, &other, &place, nonce);
	seal_root_add(&s, &other, &place, nonce);
	ck_assert(!seal_set_equal(&(struct seal_set){ 0 }, &other.tables[0]));
}
END_TEST

START_TEST(a_root_opens_unaltered_alone)
{
	struct seal_root root = { .commits = 7, .highest_row = UINT64_MAX - 1 }, opened;
	uint8_t sealed[SEAL_ROOT_LEN];
	struct seal s;

	seal_init(&s, master, id);
	for (unsigned i = 0; i < SEAL_TABLES; i++) {
		root.tables[i].n = i * UINT64_C(0x123456789a);
		memset(root.tables[i].sum, (int)(3 * i), sizeof(root.tables[i].sum));
	}
	seal_root(&s, &root, sealed);
	ck_assert_int_eq(seal_open_root(&s, sealed, sizeof(sealed), &opened), 0);
	ck_assert_mem_eq(&root, &opened, sizeof(root));
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		UNIT_CHECK(seal_open_root(&s, sealed, sizeof(sealed), &opened) == -EBADMSG,
			   "bit %zu", bit);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t n = 0; n < sizeof(sealed); n++)
		UNIT_CHECK(seal_open_root(&s, sealed, n, &opened) == -EBADMSG, "%zu bytes", n);
}
END_TEST

UNIT_MAIN("seal", what_is_sealed_opens_again, a_flipped_bit_anywhere_is_noticed,
	  it_opens_at_no_other_length, it_opens_in_no_other_place_store_or_under_another_key,
	  the_same_record_is_never_sealed_to_the_same_bytes,
	  no_nonce_is_given_twice_however_often_the_same_store_is_started,
	  keys_differ_from_each_other_and_from_what_is_kept_in_clear, the_first_format_stays_as_it_is,
	  the_format_stays_as_it_is,
	  a_stores_key_opens_under_its_master_key_and_for_its_store_alone,
	  credentials_have_a_key_of_their_own, an_owner_has_one_tag_and_owners_have_different_ones,
	  a_root_stands_for_its_rows_in_whatever_order_they_came, a_root_tells_a_row_from_any_other,
	  a_root_opens_unaltered_alone)
