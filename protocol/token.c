/*
 * protocol/token.c - a token's text. The digits are in ASCII order, so that texts of one length
 * compare as the numbers do: what is over the largest id or secret is found without decoding it.
 * Nothing here branches on a digit or looks one up, but for the checksum's table, and the work on a
 * text of the right length is the same whatever stands in it.
 */
#include "protocol/token.h"

#include <assert.h>
#include <endian.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define PREFIX "jeton_"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define CHECK_AT (TOKEN_LEN - TOKEN_CHECK_LEN)
#define RADIX 62
#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (uint64_t)(c))

/* 2^64 - 1 and 2^256 - 1 */
static const char largest_id[] = "LygHa16AHYF";
static const char largest_secret[] = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1";

/*
 * CRC-32 (IEEE) of eight bytes at a time. A table's entry is the sum of its index's bits, each with
 * a constant of its own: that lets the compiler make the tables.
 */
#define BIT(i, n, sum) ((i) >> (n) & 1 ? (sum) : 0u)
#define ENTRY(i, a, b, c, d, e, f, g, h)                                                           \
	(BIT(i, 0, a) ^ BIT(i, 1, b) ^ BIT(i, 2, c) ^ BIT(i, 3, d) ^ BIT(i, 4, e) ^ BIT(i, 5, f) ^ \
	 BIT(i, 6, g) ^ BIT(i, 7, h))
#define ENTRIES_4(i, ...)                                                                          \
	ENTRY(i, __VA_ARGS__), ENTRY(i + 1, __VA_ARGS__), ENTRY(i + 2, __VA_ARGS__),               \
		ENTRY(i + 3, __VA_ARGS__)
#define ENTRIES_16(i, ...)                                                                         \
	ENTRIES_4(i, __VA_ARGS__), ENTRIES_4(i + 4, __VA_ARGS__), ENTRIES_4(i + 8, __VA_ARGS__),   \
		ENTRIES_4(i + 12, __VA_ARGS__)
#define ENTRIES_64(i, ...)                                                                         \
	ENTRIES_16(i, __VA_ARGS__), ENTRIES_16(i + 16, __VA_ARGS__),                               \
		ENTRIES_16(i + 32, __VA_ARGS__), ENTRIES_16(i + 48, __VA_ARGS__)
#define ENTRIES_256(...)                                                                           \
	{                                                                                          \
		ENTRIES_64(0u, __VA_ARGS__), ENTRIES_64(64u, __VA_ARGS__),                         \
			ENTRIES_64(128u, __VA_ARGS__), ENTRIES_64(192u, __VA_ARGS__)               \
	}

static const uint32_t crc_table[8][256] = {
	ENTRIES_256(0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832,
		    0x1db71064, 0x3b6e20c8, 0x76dc4190, 0xedb88320),
	ENTRIES_256(0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08,
		    0x4ac21251, 0x958424a2, 0xf0794f05, 0x3b83984b),
	ENTRIES_256(0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8,
		    0x1c26a370, 0x384d46e0, 0x709a8dc0, 0xe1351b80),
	ENTRIES_256(0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef,
		    0x5019579f, 0xa032af3e, 0x9b14583d, 0xed59b63b),
	ENTRIES_256(0x3d6029b0, 0x7ac05360, 0xf580a6c0, 0x30704bc1,
		    0x60e09782, 0xc1c12f04, 0x58f35849, 0xb1e6b092),
	ENTRIES_256(0xcb5cd3a5, 0x4dc8a10b, 0x9b914216, 0xec53826d,
		    0x03d6029b, 0x07ac0536, 0x0f580a6c, 0x1eb014d8),
	ENTRIES_256(0xa6770bb4, 0x979f1129, 0xf44f2413, 0x33ef4e67,
		    0x67de9cce, 0xcfbd399c, 0x440b7579, 0x8816eaf2),
	ENTRIES_256(0xccaa009e, 0x4225077d, 0x844a0efa, 0xd3e51bb5,
		    0x7cbb312b, 0xf9766256, 0x299dc2ed, 0x533b85da),
};

static uint64_t load(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* The state of the checksum after "jeton", which leaves whole words. */
#define CRC_START 0xfd309b84
#define CRC_FROM 5

/* The checksum of a text that begins with "jeton", up to where its check stands. */
static uint32_t crc_of(const char *text)
{
	uint32_t crc = CRC_START;

	static_assert((CHECK_AT - CRC_FROM) % 8 == 0, "whole words");
	for (size_t at = CRC_FROM; at < CHECK_AT; at += 8) {
		uint64_t word = le64toh(load(text + at)) ^ crc;

		crc = crc_table[7][word & 0xff] ^ crc_table[6][word >> 8 & 0xff] ^
		      crc_table[5][word >> 16 & 0xff] ^ crc_table[4][word >> 24 & 0xff] ^
		      crc_table[3][word >> 32 & 0xff] ^ crc_table[2][word >> 40 & 0xff] ^
		      crc_table[1][word >> 48 & 0xff] ^ crc_table[0][word >> 56];
	}
	return ~crc;
}

static char digit_char(uint32_t digit)
{
	/* From 'Z' to 'a' there are 6 characters, from '9' to 'A' 7. */
	return (char)('0' + digit + ((9 - digit) >> 31) * 7 + ((35 - digit) >> 31) * 6);
}

/*
 * Five digits a division. Divisors are constants, so that it is a multiplication: always the same
 * time.
 */
enum { CHUNK = 5, CHUNK_RADIX = RADIX * RADIX * RADIX * RADIX * RADIX };

static inline void write_digits(uint32_t number, char *dst, size_t digits)
{
	for (; digits > 0; number /= RADIX)
		dst[--digits] = digit_char(number % RADIX);
}

/*
 * The last `digits` digits of a number of `limbs` 32-bit limbs, the most significant first. Ends
 * the number.
 */
static void write_number(uint32_t *limb, size_t limbs, char *dst, size_t digits)
{
	while (digits > 0) {
		size_t n = digits < CHUNK ? digits : CHUNK;
		uint64_t rest = 0;

		for (size_t i = 0; i < limbs; i++) {
			rest = rest << 32 | limb[i];
			limb[i] = (uint32_t)(rest / CHUNK_RADIX);
			rest %= CHUNK_RADIX;
		}
		digits -= n;
		write_digits((uint32_t)rest, dst + digits, n);
	}
}

/* digit_char() of eight at once, a byte each. */
static uint64_t digit_chars(uint64_t digits)
{
	uint64_t over_9 = (digits + EACH_BYTE(0x80 - 10)) >> 7 & EACH_BYTE(1);
	uint64_t over_35 = (digits + EACH_BYTE(0x80 - 36)) >> 7 & EACH_BYTE(1);

	return digits + EACH_BYTE('0') + 7 * over_9 + 6 * over_35;
}

/* Its five digits, the first one in the lowest byte. */
static inline uint64_t five_digits(uint32_t number)
{
	uint64_t digits = 0;

	for (int i = 0; i < CHUNK; i++, number /= RADIX)
		digits = digits << 8 | number % RADIX;
	return digits;
}

void token_id_write(uint64_t id, char dst[static TOKEN_ID_LEN])
{
	/* A digit, and two times five. */
	uint64_t rest = id / CHUNK_RADIX;
	uint64_t middle = digit_chars(five_digits((uint32_t)(rest % CHUNK_RADIX)));
	uint64_t last = digit_chars(five_digits((uint32_t)(id % CHUNK_RADIX)));

	static_assert(TOKEN_ID_LEN == 2 * CHUNK + 1, "a digit is left");
	dst[0] = digit_char((uint32_t)(rest / CHUNK_RADIX));
	middle = htole64(middle);
	last = htole64(last);
	memcpy(dst + 1, &middle, CHUNK);
	memcpy(dst + 1 + CHUNK, &last, CHUNK);
}

void token_make(uint64_t id, const uint8_t random[static TOKEN_RANDOM_LEN],
		char dst[static TOKEN_LEN])
{
	uint32_t limbs[TOKEN_RANDOM_LEN / 4], crc;

	memcpy(limbs, random, sizeof(limbs));
	for (size_t i = 0; i < ARRAY_SIZE(limbs); i++)
		limbs[i] = be32toh(limbs[i]);

	memcpy(dst, PREFIX, PREFIX_LEN);
	token_id_write(id, dst + PREFIX_LEN);
	dst[TOKEN_SECRET_AT - 1] = '_';
	write_number(limbs, ARRAY_SIZE(limbs), dst + TOKEN_SECRET_AT, TOKEN_SECRET_LEN);
	crc = crc_of(dst);
	write_number(&crc, 1, dst + CHECK_AT, TOKEN_CHECK_LEN);
	explicit_bzero(limbs, sizeof(limbs));
}

/* The high bit of each byte of w (none has it) that is from lo to hi. */
#define IN_RANGE(w, lo, hi) (((w) + EACH_BYTE(0x80 - (lo))) & ~((w) + EACH_BYTE(0x7f - (hi))))

/* 0 where all of these eight bytes are digits. */
static uint64_t not_digits(uint64_t word)
{
	uint64_t low = word & EACH_BYTE(0x7f), folded = low | EACH_BYTE(0x20);
	uint64_t good = IN_RANGE(low, '0', '9') | IN_RANGE(folded, 'a', 'z');

	return (~good | word) & EACH_BYTE(0x80);
}

/*
 * Whether n bytes (8 or more) are a larger number than largest, if they are digits. Words from the end on; the first
 * overlaps the next: no harm to the order of texts.
 */
static inline bool is_over(const char *text, const char *largest, size_t n)
{
	bool borrow = false;

	for (size_t left = n; left > 0; left = left > 8 ? left - 8 : 0) {
		size_t at = left > 8 ? left - 8 : 0;
		uint64_t rest;
		bool less = __builtin_sub_overflow(be64toh(load(largest + at)),
						   be64toh(load(text + at)), &rest);

		borrow = less | __builtin_sub_overflow(rest, borrow, &rest);
	}
	return borrow;
}

/* The high bit of each byte of low (none has it) that is over c, as a 1. */
#define OVER(low, c) (((low) + EACH_BYTE(0x7f - (c))) >> 7 & EACH_BYTE(1))

/*
 * The number that the last n of eight digits are, from a word as it was loaded. All at once: digits of
 * a byte each are joined to pairs, these to fours, these to the eight. What are no digits are some
 * number.
 */
static inline uint64_t eight_digits(uint64_t loaded, unsigned n)
{
	uint64_t zeros = n < 8 ? ~(~UINT64_C(0) << (64 - 8 * n)) : 0;
	uint64_t low = ((le64toh(loaded) & ~zeros) | (EACH_BYTE('0') & zeros)) & EACH_BYTE(0x7f);
	uint64_t digits = low - EACH_BYTE('0') - OVER(low, '9') * 7 - OVER(low, 'Z') * 6;
	uint64_t pairs, fours;

	pairs = (digits & UINT64_C(0x00ff00ff00ff00ff)) * RADIX +
		(digits >> 8 & UINT64_C(0x00ff00ff00ff00ff));
	fours = (pairs & UINT64_C(0x0000ffff0000ffff)) * (RADIX * RADIX) +
		(pairs >> 16 & UINT64_C(0x0000ffff0000ffff));
	return (fours & UINT32_MAX) * (RADIX * RADIX * RADIX * RADIX) + (fours >> 32);
}

static inline uint64_t id_value(const char text[static TOKEN_ID_LEN])
{
	static_assert(TOKEN_ID_LEN == 8 + 3, "eight digits, and three");
	return eight_digits(load(text), 8) * (RADIX * RADIX * RADIX) +
	       eight_digits(load(text + TOKEN_ID_LEN - 8), 3);
}

#ifdef __SSE2__
/* A bit for each of sixteen bytes that is no digit. */
static inline unsigned not_digits_16(const char *text)
{
	__m128i c = _mm_loadu_si128((const __m128i *)(const void *)text);
	__m128i folded = _mm_or_si128(c, _mm_set1_epi8(0x20));
	/* As signed numbers, what is no ASCII is below all digits. */
	__m128i digit = _mm_and_si128(_mm_cmpgt_epi8(c, _mm_set1_epi8('0' - 1)),
				      _mm_cmplt_epi8(c, _mm_set1_epi8('9' + 1)));
	__m128i letter = _mm_and_si128(_mm_cmpgt_epi8(folded, _mm_set1_epi8('a' - 1)),
				       _mm_cmplt_epi8(folded, _mm_set1_epi8('z' + 1)));

	return 0xffff ^ (unsigned)_mm_movemask_epi8(_mm_or_si128(digit, letter));
}

/* 0 where all n bytes (16 or more) are digits. */
static inline uint64_t not_all_digits(const char *text, size_t n)
{
	unsigned bad = not_digits_16(text + n - 16);

	for (size_t at = 0; at + 16 < n; at += 16)
		bad |= not_digits_16(text + at);
	return bad;
}
#else
static inline uint64_t not_all_digits(const char *text, size_t n)
{
	uint64_t bad = not_digits(load(text + n - 8));

	for (size_t at = 0; at + 8 < n; at += 8)
		bad |= not_digits(load(text + at));
	return bad;
}
#endif

/* 0 where an id's digits are such, and no larger a number than there is. */
static inline uint64_t not_id(const char *text)
{
	return not_digits(load(text)) | not_digits(load(text + TOKEN_ID_LEN - 8)) |
	       is_over(text, largest_id, TOKEN_ID_LEN);
}

bool token_id_read(struct span text, uint64_t *ret)
{
	if (text.n != TOKEN_ID_LEN || not_id(text.p))
		return false;
	*ret = id_value(text.p);
	return true;
}

uint64_t token_id_guess(const char text[static TOKEN_LEN])
{
	return id_value(text + PREFIX_LEN);
}

/* 0 where two texts of n bytes are the same; looks at all of them. */
static unsigned differ(const char *a, const char *b, size_t n)
{
	unsigned bad = 0;

	for (size_t i = 0; i < n; i++)
		bad |= (unsigned char)(a[i] ^ b[i]);
	return bad;
}

bool token_read(struct span text, uint64_t *ret_id, struct span *ret_secret)
{
	const char *id, *secret;
	uint64_t bad;

	if (text.n != TOKEN_LEN)
		return false;
	id = text.p + PREFIX_LEN;
	secret = text.p + TOKEN_SECRET_AT;
	bad = differ(text.p, PREFIX, PREFIX_LEN) | differ(secret - 1, "_", 1);
	bad |= not_id(id) | is_over(secret, largest_secret, TOKEN_SECRET_LEN);
	/* The secret, and the check behind it. */
	bad |= not_all_digits(secret, TOKEN_SECRET_LEN + TOKEN_CHECK_LEN);
	bad |= eight_digits(load(text.p + TOKEN_LEN - 8), TOKEN_CHECK_LEN) ^ crc_of(text.p);
	if (bad)
		return false;
	*ret_id = id_value(id);
	*ret_secret = (struct span){ secret, TOKEN_SECRET_LEN };
	return true;
}

bool token_find(struct span text, struct span *ret_token)
{
	const char *p = text.p, *end = p + text.n;
	struct span secret;
	uint64_t id;

	while ((p = memmem(p, (size_t)(end - p), PREFIX, PREFIX_LEN)) && end - p >= TOKEN_LEN) {
		if (token_read((struct span){ p, TOKEN_LEN }, &id, &secret)) {
			*ret_token = (struct span){ p, TOKEN_LEN };
			return true;
		}
		p += PREFIX_LEN;
	}
	return false;
}
