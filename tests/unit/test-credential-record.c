/*
 * tests/unit/test-credential-record.c - credentials as bytes: what is written is read again, and
 * nothing else is taken.
 */
#include <errno.h>
#include <string.h>

#include "agent/credential-record.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1700000000000000)

static uint8_t data[CREDENTIAL_RECORD_MAX + 64];
static char value[CREDENTIAL_VALUE_MAX];

static uint64_t below(uint64_t *seed, uint64_t n)
{
	return unit_random(seed) % n;
}

/* Any name; its bytes are in dst. */
static struct span random_name(uint64_t *seed, char dst[static CREDENTIAL_NAME_MAX])
{
	static const char chars[] = "abcXYZ019._-";
	size_t n = 1 + below(seed, CREDENTIAL_NAME_MAX);

	for (size_t i = 0; i < n; i++)
		dst[i] = chars[below(seed, sizeof(chars) - 1)];
	dst[0] = 'a';
	return (struct span){ dst, n };
}

static struct credential_record random_record(uint64_t *seed, char name[static CREDENTIAL_NAME_MAX])
{
	struct credential_record r = {
		.kind = below(seed, 3) ? CREDENTIAL_VALUE : CREDENTIAL_FETCHED,
		.name = random_name(seed, name),
	};
	size_t n = 1 + below(seed, below(seed, 20) ? 200 : CREDENTIAL_VALUE_MAX);

	if (r.kind == CREDENTIAL_FETCHED) {
		memset(value, 'u', sizeof(value));
		r.fetched_us = 1 + below(seed, NOW);
		r.fetched_by = (struct span){ value, below(seed, CREDENTIAL_BY_MAX + 1) };
		return r;
	}
	r.form = (enum credential_form)below(seed, 3);
	r.revision = 1 + below(seed, INT64_MAX);
	r.updated_us = below(seed, NOW);
	if (r.form == CREDENTIAL_NONE)
		return r;
	r.expires_us = below(seed, 2) ? NOW : 0;
	for (size_t i = 0; i < n; i++)
		value[i] = r.form == CREDENTIAL_TEXT ? (char)(1 + below(seed, 127))
						     : (char)unit_random(seed);
	r.value = (struct span){ value, n };
	return r;
}

static bool same(const struct credential_record *a, const struct credential_record *b)
{
	return a->kind == b->kind && span_equal(a->name, b->name) && a->form == b->form &&
	       a->revision == b->revision && a->updated_us == b->updated_us &&
	       a->expires_us == b->expires_us && span_equal(a->value, b->value) &&
	       a->fetched_us == b->fetched_us && span_equal(a->fetched_by, b->fetched_by);
}

START_TEST(what_is_written_is_read_again)
{
	uint64_t seed = 1;

	for (int i = 0; i < 3000; i++) {
		char name[CREDENTIAL_NAME_MAX];
		struct credential_record r = random_record(&seed, name), read;
		size_t n = credential_record_write(&r, data);

		UNIT_CHECK(n <= CREDENTIAL_RECORD_MAX, "%zu bytes", n);
		UNIT_CHECK(credential_record_read(data, n, &read) == 0, "it is refused");
		UNIT_CHECK(same(&r, &read), "another one is read");
	}
}
END_TEST

START_TEST(the_longest_of_all_fits)
{
	char name[CREDENTIAL_NAME_MAX];
	struct credential_record read, r = {
		.kind = CREDENTIAL_VALUE,
		.name = { name, sizeof(name) },
		.form = CREDENTIAL_DATA,
		.revision = INT64_MAX,
		.value = { value, CREDENTIAL_VALUE_MAX },
	};

	memset(name, 'n', sizeof(name));
	ck_assert_uint_eq(credential_record_write(&r, data), CREDENTIAL_RECORD_MAX);
	ck_assert_int_eq(credential_record_read(data, CREDENTIAL_RECORD_MAX, &read), 0);
	ck_assert_int_eq(credential_record_read(data, CREDENTIAL_RECORD_MAX + 1, &read), -EBADMSG);
}
END_TEST

START_TEST(a_value_that_is_not_given_yet_has_its_room_at_the_end)
{
	struct credential_record read, r = {
		.kind = CREDENTIAL_VALUE,
		.name = SPAN("modulos"),
		.form = CREDENTIAL_TEXT,
		.revision = 1,
		.value = { NULL, 5 },
	};
	size_t n = credential_record_write(&r, data);

	memcpy(data + n - 5, "hello", 5);
	ck_assert_int_eq(credential_record_read(data, n, &read), 0);
	ck_assert(span_is(read.value, "hello"));
}
END_TEST

START_TEST(every_truncation_and_every_byte_more_is_refused)
{
	uint64_t seed = 2;

	for (int i = 0; i < 200; i++) {
		char name[CREDENTIAL_NAME_MAX];
		struct credential_record read, r = random_record(&seed, name);
		size_t n = credential_record_write(&r, data);

		for (size_t cut = 0; cut < n && cut < 400; cut++) {
			_cleanup_free_ uint8_t *exact = malloc(cut + 1);

			memcpy(exact, data, cut);
			UNIT_CHECK(credential_record_read(exact, cut, &read) == -EBADMSG,
				   "%zu of %zu bytes are taken", cut, n);
		}
		UNIT_CHECK(credential_record_read(data, n + 1, &read) == -EBADMSG, "and one more");
	}
}
END_TEST

/* What is read after any change is written as the very same bytes: there is one way for each. */
START_TEST(a_flipped_bit_is_refused_or_says_something_else_properly)
{
	uint64_t seed = 3;

	for (int i = 0; i < 100; i++) {
		char name[CREDENTIAL_NAME_MAX];
		struct credential_record read, r = random_record(&seed, name);
		size_t n = credential_record_write(&r, data);

		for (size_t bit = 0; bit < n * 8 && bit < 3000; bit++) {
			static uint8_t again[CREDENTIAL_RECORD_MAX];

			data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			if (credential_record_read(data, n, &read) == 0)
				UNIT_CHECK(credential_record_write(&read, again) == n &&
						   memcmp(again, data, n) == 0,
					   "bit %zu is dropped", bit);
			data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
	}
}
END_TEST

START_TEST(random_bytes_do_no_harm)
{
	uint64_t seed = 4;
	struct credential_record read;

	for (int i = 0; i < 200000; i++) {
		uint8_t bytes[128];
		size_t n = below(&seed, sizeof(bytes) + 1);

		for (size_t k = 0; k < n; k++)
			bytes[k] = (uint8_t)(unit_random(&seed) >> below(&seed, 40));
		bytes[0] = 1;
		(void)!credential_record_read(bytes, n, &read);
	}
}
END_TEST

/* A good record of a text, with one thing changed in its bytes. */
static int read_changed(size_t at, uint64_t to, size_t n_bytes)
{
	struct credential_record read, r = {
		.kind = CREDENTIAL_VALUE,
		.name = SPAN("name"),
		.form = CREDENTIAL_TEXT,
		.revision = 7,
		.updated_us = NOW,
		.expires_us = NOW,
		.value = SPAN("value"),
	};
	size_t n = credential_record_write(&r, data);

	for (size_t i = 0; i < n_bytes; i++)
		data[at + i] = (uint8_t)(to >> 8 * i);
	return credential_record_read(data, n, &read);
}

START_TEST(values_out_of_range_are_refused)
{
	static const struct {
		size_t at, n_bytes;
		uint64_t to;
	} bad[] = {
		{ 0, 1, 0 },	       { 0, 1, 2 },	      /* format */
		{ 1, 1, 0 },	       { 1, 1, 3 },	      /* kind */
		{ 1, 1, 2 },				      /* a last fetch is no such thing */
		{ 2, 1, 0 },	       { 2, 1, 65 },	      /* the name's length */
		{ 3, 1, 0 },	       { 3, 1, 3 },	      /* form */
		{ 4, 4, 4 },	       { 4, 4, UINT32_MAX },  /* the value's length */
		{ 8, 8, 0 },	       { 8, 8, UINT64_MAX },  /* revision */
		{ 16, 8, UINT64_MAX }, { 24, 8, 1ULL << 58 }, /* instants */
		{ 32, 1, 0 },	       { 32, 1, '/' },	      /* the name */
		{ 36, 1, 0 },	       { 36, 1, 0x80 },	      /* the text */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		UNIT_CHECK(read_changed(bad[i].at, bad[i].to, bad[i].n_bytes) == -EBADMSG,
			   "%zu: %llu at %zu is taken", i, (unsigned long long)bad[i].to,
			   bad[i].at);
	ck_assert_int_eq(read_changed(24, 0, 8), 0);
	ck_assert_int_eq(read_changed(36, 'V', 1), 0);
}
END_TEST

START_TEST(what_was_forgotten_has_no_value)
{
	struct credential_record read, r = {
		.kind = CREDENTIAL_VALUE,
		.name = SPAN("n"),
		.revision = 3,
	};
	size_t n = credential_record_write(&r, data);

	ck_assert_int_eq(credential_record_read(data, n, &read), 0);
	r.form = CREDENTIAL_DATA;
	n = credential_record_write(&r, data);
	ck_assert_int_eq(credential_record_read(data, n, &read), -EBADMSG);
	r = (struct credential_record){
		.kind = CREDENTIAL_VALUE, .name = SPAN("n"), .revision = 3, .value = SPAN("v")
	};
	n = credential_record_write(&r, data);
	ck_assert_int_eq(credential_record_read(data, n, &read), -EBADMSG);
}
END_TEST

START_TEST(names_are_those_of_the_interface)
{
	static const char *const good[] = { "a", "A-b_c.9", "...", "-", "modulos" };
	static const char *const bad[] = { "", ".", "..", "a b", "a/b", "#a", "a,b", "\xc3\xa9" };
	char long_one[CREDENTIAL_NAME_MAX + 1];

	memset(long_one, 'x', sizeof(long_one));
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ck_assert_msg(credential_name_is_valid(span_of(good[i])), "%s", good[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(!credential_name_is_valid(span_of(bad[i])), "%s", bad[i]);
	ck_assert(credential_name_is_valid((struct span){ long_one, CREDENTIAL_NAME_MAX }));
	ck_assert(!credential_name_is_valid((struct span){ long_one, CREDENTIAL_NAME_MAX + 1 }));
	ck_assert(!credential_name_is_valid((struct span){ "a\0b", 3 }));
}
END_TEST

/* docs/store-format.md, byte by byte. */
START_TEST(the_bytes_are_those_of_the_page)
{
	static const uint8_t held[] = {
		1, 1, 2, 2, 3, 0,    0, 0, 5, 0, 0, 0, 0, 0,   0,   0, 0x11, 0x22, 0,
		0, 0, 0, 0, 0, 0x33, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 0, 1,    0xff,
	};
	static const uint8_t fetched[] = {
		1, 2, 1, 0, 4, 0, 0, 0, 0x44, 0, 0, 0, 0, 0,   0,   0,	 0,   0,   0,
		0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0, 'x', 'u', 's', 'e', 'r',
	};
	struct credential_record r = {
		.kind = CREDENTIAL_VALUE,
		.name = SPAN("ab"),
		.form = CREDENTIAL_DATA,
		.revision = 5,
		.updated_us = 0x2211,
		.expires_us = 0x33,
		.value = { "\0\1\xff", 3 },
	};

	ck_assert_uint_eq(credential_record_write(&r, data), sizeof(held));
	ck_assert_mem_eq(data, held, sizeof(held));
	r = (struct credential_record){
		.kind = CREDENTIAL_FETCHED,
		.name = SPAN("x"),
		.fetched_us = 0x44,
		.fetched_by = SPAN("user"),
	};
	ck_assert_uint_eq(credential_record_write(&r, data), sizeof(fetched));
	ck_assert_mem_eq(data, fetched, sizeof(fetched));
}
END_TEST

UNIT_MAIN("credential-record", what_is_written_is_read_again, the_longest_of_all_fits,
	  a_value_that_is_not_given_yet_has_its_room_at_the_end,
	  every_truncation_and_every_byte_more_is_refused,
	  a_flipped_bit_is_refused_or_says_something_else_properly, random_bytes_do_no_harm,
	  values_out_of_range_are_refused, what_was_forgotten_has_no_value,
	  names_are_those_of_the_interface, the_bytes_are_those_of_the_page)
