/* protocol/json-text.h - the text of strings, looked at fast, for the json-*.c files alone. */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/*
 * json_check()'s notes, in the order in which strings and containers begin. Of a string there is one: its length with its
 * quotes, times two, and one more if it has escapes. Of a container there are two: its length with its brackets, and how
 * many notes there are of it and of what is in it.
 */
enum { NOTES_OF_STRING = 1, NOTES_OF_CONTAINER = 2 };

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (uint64_t)(c))

static inline uint64_t json_load(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/* The high bit of each byte that is a quote, a backslash, a control character or no ASCII. */
static inline uint64_t json_odd_bytes(uint64_t word)
{
	uint64_t low = word & EACH_BYTE(0x7f);
	uint64_t plain = low + EACH_BYTE(0x80 - ' ');

	plain &= (low ^ EACH_BYTE('"')) + EACH_BYTE(0x7f);
	plain &= (low ^ EACH_BYTE('\\')) + EACH_BYTE(0x7f);
	return (~plain | word) & EACH_BYTE(0x80);
}

/* Likewise of sixteen bytes at p, where the processor has them at once: a bit each. */
#ifdef __SSE2__
static inline unsigned json_odd_bits(const char *p)
{
	__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
	/* As signed numbers, what is no ASCII is below a space, too. */
	__m128i odd = _mm_cmplt_epi8(bytes, _mm_set1_epi8(' '));

	odd = _mm_or_si128(odd, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
	odd = _mm_or_si128(odd, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
	return (unsigned)_mm_movemask_epi8(odd);
}
#endif

/*
 * The first byte in [p, end) that may not stand in a JSON string as it is (a quote, a backslash, a
 * control character) or is not ASCII; or end.
 */
static inline const char *json_plain_end(const char *p, const char *end)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		unsigned odd = json_odd_bits(p);

		if (odd)
			return p + __builtin_ctz(odd);
	}
#endif
	for (; end - p >= 8; p += 8) {
		uint64_t odd = json_odd_bytes(json_load(p));

		if (odd)
			return p + (__builtin_ctzll(odd) >> 3);
	}
	while (p < end && *p >= ' ' && *p != '"' && *p != '\\' && (unsigned char)*p < 0x80)
		p++;
	return p;
}

/* The decoded text of a string in checked JSON, byte by byte. */
struct json_bytes {
	const char *p; /* at first, what follows the opening quote */
	/* What is left of the last escape, the last byte first. */
	unsigned char left[4];
	unsigned n_left;
};

/* Decodes the escape at b->p into b->left, and moves past it. */
void json_decode_escape(struct json_bytes *b);

/* The next byte; or -1 at the closing quote, again and again. */
static inline int json_next_byte(struct json_bytes *b)
{
	if (b->n_left == 0) {
		if (*b->p == '"')
			return -1;
		if (*b->p != '\\')
			return (unsigned char)*b->p++;
		json_decode_escape(b);
	}
	return b->left[--b->n_left];
}
