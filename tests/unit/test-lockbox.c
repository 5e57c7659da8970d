/*
 * tests/unit/test-lockbox.c - what a passphrase opens and what it does not; the bytes, as
 * docs/store-format.md has them. At a cost that keeps the tests short.
 */
#include "agent/lockbox.h"

#include <errno.h>
#include <sodium.h>

#include "tests/unit/unit.h"

static const struct lockbox_cost cheap = { 64 * 1024, 1 };
static const struct span right = { "correct horse", 13 };
static const uint8_t nothing[LOCKBOX_KEY_LEN];

static struct lockbox made(struct span passphrase)
{
	struct lockbox_room room;
	struct lockbox box;

	ck_assert_int_ge(sodium_init(), 0);
	ck_assert_int_eq(lockbox_make(passphrase, &cheap, 1234567890123456, 4711, &room, &box), 0);
	ck_assert_mem_eq(room.derived, nothing, sizeof(nothing));
	ck_assert_mem_eq(room.secret, nothing, sizeof(nothing));
	return box;
}

static int opens(const struct lockbox *box, struct span passphrase)
{
	struct lockbox_room room = { { 0 }, { 0 } };
	int r = lockbox_open(box, passphrase, &room);

	ck_assert_mem_eq(room.derived, nothing, sizeof(nothing));
	return r;
}

START_TEST(what_was_sealed_is_opened_by_the_passphrase)
{
	struct lockbox box = made(right);
	uint8_t keys[64], sealed[sizeof(keys) + LOCKBOX_OVERHEAD], again[sizeof(sealed)],
		opened[sizeof(keys)];
	struct lockbox_room room;

	randombytes_buf(keys, sizeof(keys));
	lockbox_seal(&box, keys, sizeof(keys), sealed);
	ck_assert_ptr_null(memmem(sealed, sizeof(sealed), keys, 8));
	lockbox_seal(&box, keys, sizeof(keys), again);
	ck_assert_mem_ne(sealed, again, 32);
	ck_assert_int_eq(lockbox_open(&box, right, &room), 0);
	ck_assert_int_eq(lockbox_unseal(&box, &room, sealed, sizeof(sealed), opened), 0);
	ck_assert_mem_eq(opened, keys, sizeof(keys));
	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* X25519 leaves the highest bit of a point out of account. */
		UNIT_CHECK(bit == 8 * 31 + 7 || lockbox_unseal(&box, &room, sealed, sizeof(sealed),
							       opened) == -EBADMSG,
			   "bit %zu", bit);
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(another_passphrase_opens_nothing)
{
	static const char *const wrong[] = { "correct hors", "correct horse ", "Correct horse",
					     "x" };
	struct lockbox box = made(right), other = made(right);
	struct lockbox_room room;
	uint8_t sealed[1 + LOCKBOX_OVERHEAD], opened;

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		ck_assert_int_eq(opens(&box, span_of(wrong[i])), -EKEYREJECTED);
	ck_assert_int_eq(opens(&box, right), 0);
	/* Each pair is its own, though the passphrase is the same. */
	ck_assert_mem_ne(box.public_key, other.public_key, sizeof(box.public_key));
	ck_assert_mem_ne(box.salt, other.salt, sizeof(box.salt));
	lockbox_seal(&box, (const uint8_t *)"x", 1, sealed);
	ck_assert_int_eq(lockbox_open(&other, right, &room), 0);
	ck_assert_int_eq(lockbox_unseal(&other, &room, sealed, sizeof(sealed), &opened), -EBADMSG);
}
END_TEST

START_TEST(a_passphrase_counts_to_its_last_byte)
{
	char longest[PASSPHRASE_MAX];
	struct lockbox box;

	memset(longest, 'p', sizeof(longest));
	box = made((struct span){ longest, sizeof(longest) });
	ck_assert_int_eq(opens(&box, (struct span){ longest, sizeof(longest) }), 0);
	ck_assert_int_eq(opens(&box, (struct span){ longest, sizeof(longest) - 1 }), -EKEYREJECTED);
	longest[sizeof(longest) - 1] = 'q';
	ck_assert_int_eq(opens(&box, (struct span){ longest, sizeof(longest) }), -EKEYREJECTED);
}
END_TEST

START_TEST(it_is_the_same_after_it_was_written_and_read)
{
	struct lockbox box = made(right), read;
	uint8_t data[LOCKBOX_LEN], again[LOCKBOX_LEN];

	lockbox_write(&box, data);
	ck_assert_int_eq(lockbox_read(data, sizeof(data), &read), 0);
	lockbox_write(&read, again);
	ck_assert_mem_eq(again, data, sizeof(data));
	ck_assert_uint_eq(read.at_us, 1234567890123456);
	ck_assert_uint_eq(read.by, 4711);
	ck_assert_int_eq(opens(&read, right), 0);
}
END_TEST

/* From the page alone. */
START_TEST(its_bytes_are_those_of_the_page)
{
	struct lockbox box = made(right);
	uint8_t d[LOCKBOX_LEN], key[32], secret[32], public[32], sum[16];

	lockbox_write(&box, d);
	ck_assert_mem_eq(d, "JetnLock\1\0\0\0", 12);
	ck_assert_mem_eq(d + 12, "\1\0\0\0", 4);
	ck_assert_mem_eq(d + 16, "\0\0\1\0\0\0\0\0", 8);
	ck_assert_int_eq(crypto_pwhash(key, 32, right.p, right.n, d + 24, 1, 64 * 1024,
				       crypto_pwhash_ALG_ARGON2ID13),
			 0);
	ck_assert_int_eq(crypto_aead_xchacha20poly1305_ietf_decrypt(secret, NULL, NULL, d + 108, 48,
								    d, 84, d + 84, key),
			 0);
	crypto_scalarmult_base(public, secret);
	ck_assert_mem_eq(public, d + 40, 32);
	crypto_generichash(sum, sizeof(sum), d, 156, NULL, 0);
	ck_assert_mem_eq(sum, d + 156, 16);
}
END_TEST

START_TEST(one_with_any_bit_turned_or_any_byte_more_or_less_is_none)
{
	struct lockbox box = made(right), read;
	uint8_t data[LOCKBOX_LEN + 1] = { 0 };
	int r;

	lockbox_write(&box, data);
	for (size_t n = 0; n <= sizeof(data); n++)
		UNIT_CHECK(n == LOCKBOX_LEN || lockbox_read(data, n, &read) < 0, "%zu bytes", n);
	for (size_t bit = 0; bit < 8 * LOCKBOX_LEN; bit++) {
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		r = lockbox_read(data, LOCKBOX_LEN, &read);
		UNIT_CHECK(r == (bit < 64		 ? -EMEDIUMTYPE
				 : bit >= 65 && bit < 72 ? -EPROTONOSUPPORT
							 : -EBADMSG),
			   "bit %zu: %d", bit, r);
		data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

/* Whole by its sum, but nothing that an agent should spend a day or all its memory on. */
START_TEST(one_at_a_cost_that_none_has_is_refused)
{
	static const struct lockbox_cost costs[] = {
		{ 64 * 1024, 0 }, { 64 * 1024, UINT32_MAX }, { 64 * 1024, 65 }, { 0, 1 },
		{ 8191, 1 },	  { UINT64_MAX, 1 },	     { 5ULL << 30, 1 },
	};
	struct lockbox box = made(right), read;
	uint8_t data[LOCKBOX_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(costs); i++) {
		box.cost = costs[i];
		lockbox_write(&box, data);
		ck_assert_int_eq(lockbox_read(data, sizeof(data), &read), -EBADMSG);
	}
	/* What stands in clear is bound to the sealed half. */
	box.cost = (struct lockbox_cost){ 64 * 1024, 2 };
	ck_assert_int_eq(opens(&box, right), -EKEYREJECTED);
}
END_TEST

START_TEST(a_point_of_small_order_is_no_public_key)
{
	struct lockbox box = made(right), read;
	uint8_t data[LOCKBOX_LEN];

	for (unsigned first = 0; first < 2; first++) {
		memset(box.public_key, 0, sizeof(box.public_key));
		box.public_key[0] = (uint8_t)first;
		lockbox_write(&box, data);
		ck_assert_int_eq(lockbox_read(data, sizeof(data), &read), -EBADMSG);
	}
}
END_TEST

UNIT_MAIN("lockbox", what_was_sealed_is_opened_by_the_passphrase, another_passphrase_opens_nothing,
	  a_passphrase_counts_to_its_last_byte, it_is_the_same_after_it_was_written_and_read,
	  its_bytes_are_those_of_the_page, one_with_any_bit_turned_or_any_byte_more_or_less_is_none,
	  one_at_a_cost_that_none_has_is_refused, a_point_of_small_order_is_no_public_key)
