/*
 * ctl/scan-text.h - tokens in a stream of bytes, that comes in pieces of any size. Pure.
 *
 * A token counts wherever it stands, across the borders of pieces as well.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"
#include "protocol/token.h"

enum { SCAN_BUFFER = 256 * 1024 };

struct scan_text {
	char buffer[SCAN_BUFFER];
	size_t have;
	size_t filled; /* the most that it ever was: to be wiped */
	size_t from;   /* where the search goes on */
	uint64_t line; /* that `from` is on */
	/* token: TOKEN_LEN bytes, good until it returns. Other than 0 ends the scan with that. */
	int (*on_token)(void *userdata, struct span token, uint64_t line);
	void *userdata;
};

/* Starts a stream. */
void scan_text_start(struct scan_text *s,
		     int (*on_token)(void *userdata, struct span token, uint64_t line),
		     void *userdata);

/* Room for the next piece: *ret, at least half the buffer. */
size_t scan_text_room(struct scan_text *s, char **ret);

/* n bytes came into the room. Returns 0 or what on_token returned. */
int scan_text_piece(struct scan_text *s, size_t n) MUST_USE;

/* The stream is over: what was read is wiped. */
void scan_text_end(struct scan_text *s);
