/*
 * protocol/map-hash.c - SHA-256 (FIPS 180-4) of exactly 43 bytes. They are one block with their
 * padding, so there is no state to keep and no length to look at. x86-64 has instructions for it,
 * which take a third of the time.
 */
#include "protocol/map-hash.h"

#include <endian.h>
#include <string.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { BLOCK_WORDS = 16, ROUNDS = 64 };

static const uint32_t constants[ROUNDS] __attribute__((aligned(16))) = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2,
};

static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
				   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

/* ---- by every processor ---- */

static inline uint32_t turn(uint32_t x, unsigned bits)
{
	return x >> bits | x << (32 - bits);
}

/* The secret, a one, zeroes, and its length in bits. */
static void fill_block(const char *secret, uint32_t w[static BLOCK_WORDS])
{
	unsigned char block[BLOCK_WORDS * 4] = { 0 };

	memcpy(block, secret, TOKEN_SECRET_LEN);
	block[TOKEN_SECRET_LEN] = 0x80;
	memcpy(w, block, sizeof(block));
	for (size_t i = 0; i < BLOCK_WORDS; i++)
		w[i] = be32toh(w[i]);
	w[BLOCK_WORDS - 1] = TOKEN_SECRET_LEN * 8;
	explicit_bzero(block, sizeof(block));
}

/*
 * What the word of this round of sixteen is, once w has what the sixteen before it were. Places are
 * constants where this is unrolled, as those in mix().
 */
static inline uint32_t next_word(uint32_t w[static BLOCK_WORDS], bool mixed, size_t round)
{
	uint32_t a = w[(round + 1) % 16], b = w[(round + 14) % 16], *word = &w[round];

	if (mixed)
		*word += (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[(round + 9) % 16] +
			 (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
	return *word;
}

/* One round. Nothing moves: what is called a in it stands one place before the last round's. */
static inline void mix(uint32_t s[static 8], size_t round, uint32_t in)
{
#define STATE(i) s[((i) + 64 - round) % 8]
	uint32_t a = STATE(0), e = STATE(4);
	uint32_t one = STATE(7) + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
		       ((e & STATE(5)) ^ (~e & STATE(6))) + in;

	STATE(3) += one;
	STATE(7) = one + (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) +
		   ((a & STATE(1)) ^ (a & STATE(2)) ^ (STATE(1) & STATE(2)));
#undef STATE
}

static void hash_portably(const char secret[static TOKEN_SECRET_LEN],
			  uint64_t ret[static MAP_HASH_WORDS])
{
	uint32_t w[BLOCK_WORDS], s[8];

	fill_block(secret, w);
	memcpy(s, start, sizeof(s));
	for (size_t from = 0; from < ROUNDS; from += BLOCK_WORDS)
#pragma GCC unroll 16
		for (size_t i = 0; i < BLOCK_WORDS; i++)
			mix(s, i, constants[from + i] + next_word(w, from > 0, i));
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		s[i] = htobe32(s[i] + start[i]);
	memcpy(ret, s, sizeof(s));
	explicit_bzero(w, sizeof(w));
}

struct map_hash map_hash_portable(void)
{
	return (struct map_hash){ hash_portably };
}

/* ---- by the instructions of x86-64 ---- */

#ifdef __x86_64__

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

/* The block, as four times four words. Nothing of it goes through memory. */
static inline WITH_SHA void load_block(const char *secret, __m128i w[static 4])
{
	const __m128i turn_words = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	/* The last sixteen digits overlap what went before by five, which is left out. */
	const __m128i turn_last =
		_mm_set_epi64x((long long)0x808080800d0e0f80ULL, 0x090a0b0c05060708);
	const char *last = secret + TOKEN_SECRET_LEN - 16;

	w[0] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)secret), turn_words);
	w[1] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(secret + 16)),
				turn_words);
	w[2] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)last), turn_last);
	w[2] = _mm_or_si128(w[2], _mm_set_epi32(0, 0x00000080, 0, 0));
	w[3] = _mm_set_epi32(TOKEN_SECRET_LEN * 8, 0, 0, 0);
}

/* Puts the four words after next in the place of the first four of the sixteen. */
#define NEXT_WORDS(a, b, c, d) \
	_mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(a, b), _mm_alignr_epi8(d, c, 4)), d)

static WITH_SHA void hash_by_instructions(const char secret[static TOKEN_SECRET_LEN],
					  uint64_t ret[static MAP_HASH_WORDS])
{
	const __m128i first =
		_mm_set_epi32((int)start[0], (int)start[1], (int)start[4], (int)start[5]);
	const __m128i second =
		_mm_set_epi32((int)start[2], (int)start[3], (int)start[6], (int)start[7]);
	const __m128i turn_words = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	__m128i abef = first, cdgh = second, w[4];

	load_block(secret, w);
#pragma GCC unroll 16
	for (int i = 0; i < ROUNDS / 4; i++) {
		const __m128i *k = (const __m128i *)(const void *)constants + i;
		__m128i in = _mm_add_epi32(w[i % 4], *k);

		cdgh = _mm_sha256rnds2_epu32(cdgh, abef, in);
		abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(in, 0x0e));
		w[i % 4] = NEXT_WORDS(w[i % 4], w[(i + 1) % 4], w[(i + 2) % 4], w[(i + 3) % 4]);
	}
	abef = _mm_shuffle_epi32(_mm_add_epi32(abef, first), 0x1b);
	cdgh = _mm_shuffle_epi32(_mm_add_epi32(cdgh, second), 0x1b);
	_mm_storeu_si128((__m128i *)(void *)ret,
			 _mm_shuffle_epi8(_mm_unpacklo_epi64(abef, cdgh), turn_words));
	_mm_storeu_si128((__m128i *)(void *)(ret + 2),
			 _mm_shuffle_epi8(_mm_unpackhi_epi64(abef, cdgh), turn_words));
}

static bool has_instructions(void)
{
	unsigned a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1U << 29;
}

struct map_hash map_hash_pick(void)
{
	return has_instructions() ? (struct map_hash){ hash_by_instructions } : map_hash_portable();
}

#else

struct map_hash map_hash_pick(void)
{
	return map_hash_portable();
}

#endif
