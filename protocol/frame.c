/*
 * protocol/frame.c - one buffer: [given out | pending | room], and a mark of how far it was ever
 * written.
 *
 * An unfinished message is moved to the front once at most, since afterwards it starts there, and
 * the scan for its NUL goes on where it stopped: a peer that sends byte by byte costs no more than
 * one that doesn't.
 */
#include "protocol/frame.h"

#include <assert.h>
#include <errno.h>

void frame_init(struct frame *f, char *buf, size_t size)
{
	*f = (struct frame){ .buf = buf, .size = size };
}

size_t frame_room(struct frame *f, char **ret_room)
{
	if (f->start > 0) {
		memmove(f->buf, f->buf + f->start, f->end - f->start);
		f->scanned -= f->start;
		f->end -= f->start;
		f->start = 0;
	}
	*ret_room = f->buf + f->end;
	return f->size - f->end;
}

void frame_received(struct frame *f, size_t n)
{
	assert(n <= f->size - f->end);
	f->end += n;
	if (f->end > f->written)
		f->written = f->end;
}

int frame_next(struct frame *f, struct span *ret_message)
{
	char *nul = NULL;
	size_t n;

	if (f->scanned < f->end)
		nul = memchr(f->buf + f->scanned, '\0', f->end - f->scanned);
	f->scanned = nul ? (size_t)(nul - f->buf) : f->end;
	n = f->scanned - f->start;
	if (n > FRAME_MAX)
		return -EMSGSIZE;
	if (!nul)
		return 0;
	*ret_message = (struct span){ f->buf + f->start, n };
	f->start = ++f->scanned;
	return 1;
}

void frame_put_back(struct frame *f, struct span message)
{
	f->start = (size_t)(message.p - f->buf);
	/* Its NUL is found again at once. */
	f->scanned = f->start + message.n;
	assert(f->scanned < f->end);
}

size_t frame_pending(const struct frame *f)
{
	return f->end - f->start;
}

void frame_move(struct frame *f, char *buf, size_t size)
{
	size_t n = frame_pending(f);
	struct frame moved = { .buf = buf, .size = size, .end = n, .written = n };

	assert(size >= n);
	moved.scanned = f->scanned - f->start;
	memcpy(buf, f->buf + f->start, n);
	explicit_bzero(f->buf, f->written);
	*f = moved;
}

void frame_wipe(struct frame *f)
{
	explicit_bzero(f->buf, f->start);
	explicit_bzero(f->buf + f->end, f->written - f->end);
	f->written = f->end;
}
