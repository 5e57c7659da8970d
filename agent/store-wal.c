/*
 * agent/store-wal.c - shows that nothing but the last, unfinished commit is missing from a log.
 *
 * A commit is synced before the next one begins, so where the checksums break, the mark of one
 * commit at most may follow: that of the one that was under way. And what breaks them is a page
 * that was not written, or not all of it; a page that is whole but for one bit was. The format is
 * the one of https://www.sqlite.org/fileformat2.html, section 4.
 */
#include "agent/store-wal.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "protocol/base/fd.h"

enum {
	HEADER_LEN = 32,
	FRAME_HEADER_LEN = 24,
	PAGE_MAX = 65536,
	MAGIC = 0x377f0682, /* the lowest bit: checksums of big-endian words */
};

struct wal {
	int fd;
	uint32_t page_size;
	bool big_endian;
	uint8_t salt[8];
	uint32_t sum[2];
	uint8_t frame[FRAME_HEADER_LEN + PAGE_MAX];
};

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t get_le32(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* n: a multiple of 8. */
static void sum_up(struct wal *w, const uint8_t *p, size_t n)
{
	uint32_t (*get)(const uint8_t *) = w->big_endian ? get_be32 : get_le32;

	for (size_t i = 0; i < n; i += 8) {
		w->sum[0] += get(p + i) + w->sum[1];
		w->sum[1] += get(p + i + 4) + w->sum[0];
	}
}

static bool sum_is(const struct wal *w, const uint8_t *p)
{
	return w->sum[0] == get_be32(p) && w->sum[1] == get_be32(p + 4);
}

static bool header_is_good(struct wal *w, const uint8_t *h)
{
	uint32_t magic = get_be32(h);

	if ((magic & ~1U) != MAGIC)
		return false;
	w->big_endian = magic & 1;
	w->page_size = get_be32(h + 8);
	memcpy(w->salt, h + 16, sizeof(w->salt));
	sum_up(w, h, 24);
	return sum_is(w, h + 24) && w->page_size >= 512 && w->page_size <= PAGE_MAX;
}

static void sum_up_frame(struct wal *w)
{
	sum_up(w, w->frame, 8);
	sum_up(w, w->frame + FRAME_HEADER_LEN, w->page_size);
}

static bool salt_is_ours(const struct wal *w)
{
	return memcmp(w->frame + 8, w->salt, sizeof(w->salt)) == 0;
}

/* What is summed up of a frame, word for word. */
static uint32_t frame_word(const struct wal *w, size_t i)
{
	uint32_t (*get)(const uint8_t *) = w->big_endian ? get_be32 : get_le32;

	return get(w->frame + 4 * i + (i < 2 ? 0 : FRAME_HEADER_LEN - 8));
}

/*
 * Whether a sum that is off by these two words would be right if one bit of the frame were another.
 * What a bit adds to the sum depends on how many words follow: f and g are what one more in either
 * word of the sum, at that point, comes to in the end.
 */
static bool sum_is_one_bit_off(const struct wal *w, const uint32_t off[static 2])
{
	uint32_t f[2] = { 1, 0 }, g[2] = { 0, 1 };

	for (size_t i = 2 + w->page_size / 4; i-- > 0;) {
		const uint32_t *comes_to = i % 2 ? g : f;
		uint32_t *before = i % 2 ? f : g, word = frame_word(w, i);

		for (unsigned bit = 0; bit < 32; bit++) {
			uint32_t more =
				word >> bit & 1 ? -(UINT32_C(1) << bit) : UINT32_C(1) << bit;

			if (more * comes_to[0] == off[0] && more * comes_to[1] == off[1])
				return true;
		}
		before[0] += comes_to[0];
		before[1] += comes_to[1];
	}
	return false;
}

static int n_bits(const uint8_t *a, const uint8_t *b, size_t n)
{
	int bits = 0;

	for (size_t i = 0; i < n; i++)
		bits += __builtin_popcount(a[i] ^ b[i]);
	return bits;
}

static void put_be32(uint8_t *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* Whether the frame, of which this should be the sum, is broken in one bit alone. */
static bool frame_is_one_bit_off(const struct wal *w)
{
	const uint8_t *stored = w->frame + 16;
	uint32_t off[2] = { get_be32(stored) - w->sum[0], get_be32(stored + 4) - w->sum[1] };
	uint8_t sum[8];

	put_be32(sum, w->sum[0]);
	put_be32(sum + 4, w->sum[1]);
	if (n_bits(w->frame + 8, w->salt, sizeof(w->salt)) + n_bits(stored, sum, sizeof(sum)) == 1)
		return true;
	return salt_is_ours(w) && sum_is_one_bit_off(w, off);
}

/* 1: the next whole frame; 0: there is none. */
static int next_frame(struct wal *w)
{
	size_t n = FRAME_HEADER_LEN + w->page_size;
	ssize_t got = fd_read_all(w->fd, w->frame, n);

	return got < 0 ? (int)got : (size_t)got == n;
}

/*
 * Where no header tells how to read on: all zeros is what a power cut may leave of a log just
 * begun.
 */
static int check_headless(struct wal *w)
{
	ssize_t n;

	while ((n = fd_read_all(w->fd, w->frame, sizeof(w->frame))) > 0)
		for (ssize_t i = 0; i < n; i++)
			if (w->frame[i] != 0)
				return -EBADMSG;
	return (int)n;
}

/*
 * Whether a frame belongs to this run of the log, as far as a broken one can tell: frames of
 * earlier runs share neither half.
 */
static bool frame_is_ours(const struct wal *w)
{
	return memcmp(w->frame + 8, w->salt, 4) == 0 || memcmp(w->frame + 12, w->salt + 4, 4) == 0;
}

/* From the first broken frame on: how many commits were written? */
static int check_tail(struct wal *w)
{
	unsigned n_commits = 0;
	int r = 1;

	for (; r > 0; r = next_frame(w))
		n_commits += frame_is_ours(w) && get_be32(w->frame + 4) != 0;
	if (r < 0)
		return r;
	return n_commits > 1 ? -EBADMSG : 0;
}

static int check_log(struct wal *w)
{
	uint8_t header[HEADER_LEN];
	ssize_t n = fd_read_all(w->fd, header, sizeof(header));
	int r;

	if (n < 0)
		return (int)n;
	if (n < HEADER_LEN)
		return 0;
	if (!header_is_good(w, header))
		return check_headless(w);
	while ((r = next_frame(w)) > 0) {
		sum_up_frame(w);
		if (!salt_is_ours(w) || !sum_is(w, w->frame + 16))
			return frame_is_one_bit_off(w) ? -EBADMSG : check_tail(w);
	}
	return r;
}

int wal_check(int fd)
{
	struct wal *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->fd = fd;
	r = check_log(w);
	free(w);
	return r;
}
