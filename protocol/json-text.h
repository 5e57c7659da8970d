/* protocol/json-text.h - the text of strings, looked at fast, for the json-*.c files alone. */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

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

/*
 * The first byte in [p, end) that may not stand in a JSON string as it is (a quote, a backslash, a
 * control character) or is not ASCII; or end.
 */
static inline const char *json_plain_end(const char *p, const char *end)
{
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
