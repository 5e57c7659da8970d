/*
 * protocol/frame.h - cuts what a connection receives into messages. Bytes in, spans out: no
 * sockets, no JSON.
 *
 * The buffer is lent by the caller, who may replace it by a larger one (frame_move). Each byte is
 * looked at once, however the bytes arrive.
 */
#pragma once

#include <stddef.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/* Bytes of a message, less the NUL that ends it. */
#define FRAME_MAX ((size_t)128 * 1024)
/* A buffer that holds the largest message. */
#define FRAME_BUF_MAX (FRAME_MAX + 1)

struct frame {
	char *buf;
	size_t size;
	size_t start;	/* of the first byte not yet given out */
	size_t scanned; /* no NUL stands between start and here */
	size_t end;	/* of what was received */
	size_t written; /* no byte from here on was written since the last wipe */
};

/* Starts with nothing received. The buffer, of `size` bytes, stays the caller's. */
void frame_init(struct frame *f, char *buf, size_t size);

/*
 * Makes room to receive into: *ret_room. It ends the life of every span that frame_next() gave.
 * Returns the number of bytes; 0 where the buffer is full of what was not yet given out (if
 * frame_next() found none, one unfinished message): frame_move() then helps, up to FRAME_BUF_MAX.
 */
size_t frame_room(struct frame *f, char **ret_room);

/* n bytes, no more than frame_room() gave, were received into the room. */
void frame_received(struct frame *f, size_t n);

/*
 * Gives the next whole message, without its NUL, valid until the next frame_room() or frame_move().
 * Returns 1; 0 where none is complete; or -EMSGSIZE where the message so far exceeds FRAME_MAX.
 */
int frame_next(struct frame *f, struct span *ret_message) MUST_USE;

/*
 * Puts back the message that frame_next() gave last, while its span still lives: it will be given
 * again.
 */
void frame_put_back(struct frame *f, struct span message);

/* Bytes received and not yet given out. */
size_t frame_pending(const struct frame *f);

/*
 * Copies what is pending to another buffer of `size` bytes (at least frame_pending()) and wipes the
 * old one.
 */
void frame_move(struct frame *f, char *buf, size_t size);

/*
 * Overwrites all that was ever received and is no longer pending. It ends the life of spans given.
 */
void frame_wipe(struct frame *f);
