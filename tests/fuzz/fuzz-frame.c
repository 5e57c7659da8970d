/*
 * tests/fuzz/fuzz-frame.c - bytes in pieces of any size, a buffer that is replaced, messages put
 * back: what comes out is what a plain search for NULs finds.
 */
#include "tests/fuzz/fuzz.h"

#include "protocol/frame.h"

enum { SMALL = 64 };

struct feed {
	const uint8_t *data;
	size_t n, at;	  /* all there is, and what was received */
	size_t message_at; /* of the next message */
	char *buf;
	struct frame frame;
};

/* The next message must be the bytes up to the next NUL. */
static void check_message(struct feed *f, struct span message)
{
	const uint8_t *start = f->data + f->message_at;
	const uint8_t *end = memchr(start, 0, f->at - f->message_at);

	FUZZ_HOLDS(end);
	FUZZ_HOLDS(span_equal(message, (struct span){ (const char *)start, (size_t)(end - start) }));
	f->message_at += message.n + 1;
}

static void take_messages(struct feed *f, bool put_back)
{
	struct span message;
	int r;

	while ((r = frame_next(&f->frame, &message)) == 1) {
		if (put_back) {
			frame_put_back(&f->frame, message);
			put_back = false;
			continue;
		}
		check_message(f, message);
	}
	FUZZ_HOLDS(r == 0);
	FUZZ_HOLDS(frame_pending(&f->frame) == f->at - f->message_at);
}

static void grow(struct feed *f, size_t size)
{
	char *larger = malloc(size);

	FUZZ_HOLDS(larger);
	frame_move(&f->frame, larger, size);
	free(f->buf);
	f->buf = larger;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct feed f = { .n = 0 };
	const uint8_t *choices = data;
	size_t n_choices = n / 4, room, piece, size = SMALL;
	char *to;

	f.data = data + n_choices;
	f.n = n - n_choices;
	if (f.n > 32 * 1024)
		return 0;
	f.buf = malloc(size);
	FUZZ_HOLDS(f.buf);
	frame_init(&f.frame, f.buf, size);
	while (f.at < f.n) {
		uint8_t choice = fuzz_byte(&choices, &n_choices);

		room = frame_room(&f.frame, &to);
		if (room == 0) {
			grow(&f, size *= 2);
			continue;
		}
		piece = 1 + choice % 64;
		piece = piece < room ? piece : room;
		piece = piece < f.n - f.at ? piece : f.n - f.at;
		memcpy(to, f.data + f.at, piece);
		f.at += piece;
		frame_received(&f.frame, piece);
		take_messages(&f, choice & 0x40);
		if (choice & 0x80)
			frame_wipe(&f.frame);
	}
	free(f.buf);
	return 0;
}
