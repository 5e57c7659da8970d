/* tests/unit/test-scan-text.c - ctl/scan-text.c */
#include "ctl/scan-text.h"
#include "tests/unit/unit.h"

enum { FOUND_MAX = 64 };

struct found {
	size_t n;
	uint64_t ids[FOUND_MAX];
	uint64_t lines[FOUND_MAX];
};

static struct scan_text scan;

static int on_token(void *userdata, struct span token, uint64_t line)
{
	struct found *f = userdata;
	struct span secret;

	ck_assert_uint_lt(f->n, FOUND_MAX);
	ck_assert(token_read(token, &f->ids[f->n], &secret));
	f->lines[f->n++] = line;
	return 0;
}

/* Feeds text in pieces of `step` bytes at most. */
static struct found scanned(struct span text, size_t step)
{
	struct found f = { .n = 0 };

	scan_text_start(&scan, on_token, &f);
	while (text.n > 0) {
		size_t n;
		char *room;

		n = scan_text_room(&scan, &room);
		if (n < SCAN_BUFFER / 2)
			ck_abort_msg("no room");
		n = n < step ? n : step;
		n = n < text.n ? n : text.n;
		memcpy(room, text.p, n);
		text.p += n;
		text.n -= n;
		if (scan_text_piece(&scan, n) != 0)
			ck_abort_msg("stopped");
	}
	scan_text_end(&scan);
	/* Check notes every assertion: one for all bytes. */
	ck_assert(scan.buffer[0] == 0 &&
		  memcmp(scan.buffer, scan.buffer + 1, SCAN_BUFFER - 1) == 0);
	return f;
}

/* Appends a token of this id. */
static char *put_token(char *p, uint64_t id)
{
	uint8_t random[TOKEN_RANDOM_LEN];

	memset(random, (int)id, sizeof(random));
	token_make(id, random, p);
	return p + TOKEN_LEN;
}

/*
 * Two on the first line, one on the second, two glued to other words, one at the very end.
 */
static size_t make_text(char *dst)
{
	char *p = dst;

	p = put_token(p, 1);
	*p++ = ' ';
	p = put_token(p, 2);
	p = stpcpy(p, "\n\"");
	p = put_token(p, 3);
	p = stpcpy(p, "\"\n\nx");
	p = put_token(p, 4);
	p = stpcpy(p, " ");
	p = put_token(p, 5);
	p = stpcpy(p, "x-jeton_jeton_ ");
	p = put_token(p, 6);
	return (size_t)(p - dst);
}

START_TEST(in_pieces_of_any_size_the_same_is_found)
{
	char text[1024];
	size_t n = make_text(text);

	for (size_t step = 1; step <= n; step++) {
		struct found f = scanned((struct span){ text, n }, step);

		ck_assert_uint_eq(f.n, 6);
		for (size_t i = 0; i < 6; i++) {
			static const uint64_t ids[] = { 1, 2, 3, 4, 5, 6 }, lines[] = { 1, 1, 2, 4, 4, 4 };

			ck_assert_uint_eq(f.ids[i], ids[i]);
			ck_assert_uint_eq(f.lines[i], lines[i]);
		}
	}
}
END_TEST

START_TEST(around_the_buffers_border_nothing_is_lost_found_twice_or_made_up)
{
	static char text[3 * SCAN_BUFFER];

	for (size_t border = SCAN_BUFFER / 2; border <= SCAN_BUFFER; border += SCAN_BUFFER / 2)
		for (size_t shift = 0; shift < TOKEN_LEN + 4; shift++)
			for (int glued = 0; glued < 3; glued++) {
				size_t at = border - shift;
				struct found f;

				memset(text, '.', sizeof(text));
				put_token(text + at, 7);
				text[0] = '\n';
				text[at - 1] = glued == 1 ? 'x' : '.';
				text[at + TOKEN_LEN] = glued == 2 ? '_' : '\n';
				f = scanned((struct span){ text, border + 1000 }, border);
				ck_assert_uint_eq(f.n, 1);
				ck_assert_uint_eq(f.lines[0], 2);
			}
}
END_TEST

START_TEST(lines_are_counted_through_any_bytes)
{
	static char text[SCAN_BUFFER * 2];
	uint64_t state = 5, lines = 1;
	size_t n = sizeof(text) - TOKEN_LEN - 1;
	struct found f;

	for (size_t i = 0; i < n; i++) {
		text[i] = (char)(unit_random(&state) % 64);
		lines += text[i] == '\n';
	}
	text[n - 1] = ' ';
	put_token(text + n, 9);
	lines = 1;
	for (size_t i = 0; i < n; i++)
		lines += text[i] == '\n';
	f = scanned((struct span){ text, n + TOKEN_LEN }, 65536);
	ck_assert_uint_eq(f.n, 1);
	ck_assert_uint_eq(f.lines[0], lines);
}
END_TEST

static int stop(void *userdata, struct span token, uint64_t line)
{
	(void)userdata, (void)token, (void)line;
	return 5;
}

START_TEST(whoever_is_told_of_a_token_can_stop_the_scan)
{
	char *room;

	scan_text_start(&scan, stop, NULL);
	scan_text_room(&scan, &room);
	put_token(room, 1);
	room[TOKEN_LEN] = '\n';
	ck_assert_int_eq(scan_text_piece(&scan, TOKEN_LEN + 1), 5);
	scan_text_start(&scan, stop, NULL);
	scan_text_room(&scan, &room);
	put_token(room, 1);
	ck_assert_int_eq(scan_text_piece(&scan, TOKEN_LEN - 1), 0);
	ck_assert_int_eq(scan_text_piece(&scan, 1), 5);
	scan_text_end(&scan);
}
END_TEST

UNIT_MAIN("scan-text", in_pieces_of_any_size_the_same_is_found,
	  around_the_buffers_border_nothing_is_lost_found_twice_or_made_up,
	  lines_are_counted_through_any_bytes, whoever_is_told_of_a_token_can_stop_the_scan)
