/*
 * tests/unit/test-frame.c - messages come out as they went in, however the bytes arrive, and
 * nothing stays behind.
 */
#include "protocol/frame.h"

#include <errno.h>

#include "tests/unit/unit.h"

static void receive(struct frame *f, const char *p, size_t n)
{
	char *room;

	ck_assert_uint_ge(frame_room(f, &room), n);
	memcpy(room, p, n);
	frame_received(f, n);
}

static void expect(struct frame *f, struct span expected)
{
	struct span message;

	ck_assert_int_eq(frame_next(f, &message), 1);
	ck_assert_ptr_nonnull(message.p);
	ck_assert(span_equal(message, expected));
}

START_TEST(messages_are_cut_at_their_nul_and_given_in_order)
{
	char buf[64];
	struct frame f;
	struct span message;

	frame_init(&f, buf, sizeof(buf));
	ck_assert_int_eq(frame_next(&f, &message), 0);
	receive(&f, "one\0two\0\0thr", 12);
	expect(&f, SPAN("one"));
	expect(&f, SPAN("two"));
	expect(&f, SPAN(""));
	ck_assert_int_eq(frame_next(&f, &message), 0);
	ck_assert_uint_eq(frame_pending(&f), 3);
	receive(&f, "ee", 2);
	ck_assert_int_eq(frame_next(&f, &message), 0);
	receive(&f, "\0", 1);
	expect(&f, SPAN("three"));
	ck_assert_uint_eq(frame_pending(&f), 0);
}
END_TEST

START_TEST(a_message_put_back_is_given_again_and_what_follows_after_it)
{
	char buf[64], other[64];
	struct frame f;
	struct span message;

	frame_init(&f, buf, sizeof(buf));
	receive(&f, "zero\0one\0two", 12);
	expect(&f, SPAN("zero"));
	ck_assert_int_eq(frame_next(&f, &message), 1);
	frame_put_back(&f, message);
	ck_assert_uint_eq(frame_pending(&f), 7);
	ck_assert_int_eq(frame_next(&f, &message), 1);
	ck_assert(span_is(message, "one"));
	frame_put_back(&f, message);
	frame_move(&f, other, sizeof(other));
	expect(&f, SPAN("one"));
	receive(&f, "\0", 1);
	expect(&f, SPAN("two"));
	ck_assert_int_eq(frame_next(&f, &message), 0);
}
END_TEST

START_TEST(any_stream_in_any_pieces_gives_the_same_messages)
{
	static char stream[1 << 16];
	static char small[300], large[FRAME_BUF_MAX];
	uint64_t random = 1;

	for (int round = 0; round < 300; round++) {
		size_t size = 1 + unit_random(&random) % 3000, sent = 0, given = 0;
		struct frame f;

		for (size_t i = 0; i < size; i++)
			stream[i] = unit_random(&random) % 40 ? (char)('a' + i % 26) : '\0';
		frame_init(&f, small, 1 + unit_random(&random) % sizeof(small));
		while (sent < size) {
			struct span message;
			char *room;
			size_t n = frame_room(&f, &room);
			int r;

			if (n == 0) {
				frame_move(&f, large, sizeof(large));
				n = frame_room(&f, &room);
			}
			n = 1 + unit_random(&random) % n;
			if (n > size - sent)
				n = size - sent;
			memcpy(room, stream + sent, n);
			frame_received(&f, n);
			sent += n;
			while ((r = frame_next(&f, &message)) == 1) {
				if (unit_random(&random) % 8 == 0) {
					frame_put_back(&f, message);
					continue;
				}
				UNIT_CHECK(message.n == strlen(stream + given) &&
						   memcmp(message.p, stream + given, message.n) ==
							   0,
					   "message at %zu", given);
				given += message.n + 1;
				if (unit_random(&random) % 4 == 0)
					break;
			}
			UNIT_CHECK(r >= 0 && frame_pending(&f) == sent - given, "pending");
			if (unit_random(&random) % 8 == 0)
				frame_wipe(&f);
		}
	}
}
END_TEST

START_TEST(a_message_of_the_most_bytes_is_given_and_one_byte_more_is_too_long)
{
	static char buf[FRAME_BUF_MAX], larger[FRAME_BUF_MAX + 100];
	struct frame f;
	struct span message;
	char *room;

	frame_init(&f, buf, sizeof(buf));
	ck_assert_uint_eq(frame_room(&f, &room), FRAME_MAX + 1);
	memset(room, 'x', FRAME_MAX);
	frame_received(&f, FRAME_MAX);
	ck_assert_int_eq(frame_next(&f, &message), 0);
	receive(&f, "\0", 1);
	ck_assert_int_eq(frame_next(&f, &message), 1);
	ck_assert_uint_eq(message.n, FRAME_MAX);

	frame_init(&f, buf, sizeof(buf));
	memset(buf, 'x', sizeof(buf));
	frame_received(&f, sizeof(buf));
	ck_assert_int_eq(frame_next(&f, &message), -EMSGSIZE);
	ck_assert_int_eq(frame_next(&f, &message), -EMSGSIZE);
	ck_assert_uint_eq(frame_room(&f, &room), 0);

	/* Also where it is whole, in a buffer larger than need be. */
	frame_init(&f, larger, sizeof(larger));
	memset(larger, 'x', FRAME_MAX + 1);
	larger[FRAME_MAX + 1] = '\0';
	frame_received(&f, FRAME_MAX + 2);
	ck_assert_int_eq(frame_next(&f, &message), -EMSGSIZE);
	ck_assert_int_eq(frame_next(&f, &message), -EMSGSIZE);
}
END_TEST

START_TEST(a_full_buffer_asks_for_a_larger_one)
{
	char small[8], large[32];
	struct frame f;
	struct span message;
	char *room;

	frame_init(&f, small, sizeof(small));
	receive(&f, "ab\0cdefg", 8);
	expect(&f, SPAN("ab"));
	ck_assert_uint_eq(frame_room(&f, &room), 3);
	receive(&f, "hij", 3);
	ck_assert_int_eq(frame_next(&f, &message), 0);
	ck_assert_uint_eq(frame_room(&f, &room), 0);
	frame_move(&f, large, sizeof(large));
	receive(&f, "k\0", 2);
	expect(&f, SPAN("cdefghijk"));
	for (size_t i = 0; i < sizeof(small); i++)
		ck_assert_int_eq(small[i], 0);
}
END_TEST

/* Where SECRET, or as much of it as 3 bytes, stands in a buffer. */
static bool holds_secret(const char *buf, size_t n)
{
	for (size_t i = 0; i + 3 <= n; i++)
		if (memcmp(buf + i, "SEC", 3) == 0 || memcmp(buf + i, "CRE", 3) == 0 ||
		    memcmp(buf + i, "RET", 3) == 0)
			return true;
	return false;
}

START_TEST(what_was_given_out_is_wiped_and_what_is_pending_kept)
{
	for (size_t pending = 0; pending < 20; pending++) {
		char buf[64] = "";
		struct frame f;
		struct span message;

		frame_init(&f, buf, sizeof(buf));
		receive(&f, "SECRET-SECRET-SECRET\0abcdefghijklmnopqrst", 21 + pending);
		expect(&f, SPAN("SECRET-SECRET-SECRET"));
		frame_wipe(&f);
		ck_assert(!holds_secret(buf, sizeof(buf)));
		receive(&f, "\0SECRET\0", 8);
		expect(&f, (struct span){ "abcdefghijklmnopqrst", pending });
		expect(&f, SPAN("SECRET"));
		/* Moved to the front, all of it may stand further on as well. */
		receive(&f, "x", 1);
		frame_wipe(&f);
		ck_assert(!holds_secret(buf, sizeof(buf)));
		ck_assert_int_eq(frame_next(&f, &message), 0);
		receive(&f, "\0", 1);
		expect(&f, SPAN("x"));
		frame_wipe(&f);
		for (size_t i = 0; i < sizeof(buf); i++)
			ck_assert_int_eq(buf[i], 0);
	}
}
END_TEST

UNIT_MAIN("frame", messages_are_cut_at_their_nul_and_given_in_order,
	  a_message_put_back_is_given_again_and_what_follows_after_it,
	  any_stream_in_any_pieces_gives_the_same_messages,
	  a_message_of_the_most_bytes_is_given_and_one_byte_more_is_too_long,
	  a_full_buffer_asks_for_a_larger_one, what_was_given_out_is_wiped_and_what_is_pending_kept)
