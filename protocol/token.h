/* protocol/token.h - the form of a token: made, read, checked and found; nothing is kept. */
#pragma once

#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/* jeton_<id>_<secret><check> */
enum {
	TOKEN_ID_LEN = 11,
	TOKEN_SECRET_LEN = 43,
	TOKEN_CHECK_LEN = 6,
	TOKEN_SECRET_AT = 6 + TOKEN_ID_LEN + 1,
	TOKEN_LEN = TOKEN_SECRET_AT + TOKEN_SECRET_LEN + TOKEN_CHECK_LEN, /* 67 */
	TOKEN_RANDOM_LEN = 32,
};

/* Writes the 11 digits of an id; no NUL is added. */
void token_id_write(uint64_t id, char dst[static TOKEN_ID_LEN]);

/* Whether text is the 11 digits of a 64-bit number; then *ret is it. */
bool token_id_read(struct span text, uint64_t *ret);

/* Writes the token of this id and these 256 random bits (big-endian); no NUL is added. */
void token_make(uint64_t id, const uint8_t random[static TOKEN_RANDOM_LEN],
		char dst[static TOKEN_LEN]);

/*
 * Whether text has the form of a token, in its one canonical spelling, with the right checksum;
 * then *ret_id is its id and *ret_secret the 43 digits of its secret, within text. Nothing is known
 * of whether it was ever issued. What is refused takes the same time wherever a text of the right
 * length is wrong.
 */
bool token_read(struct span text, uint64_t *ret_id, struct span *ret_secret);

/*
 * What the id of these TOKEN_LEN bytes is if they are a token, and else any number: for whoever can
 * do something with the id that does no harm, before it is known whether there is one.
 */
uint64_t token_id_guess(const char text[static TOKEN_LEN]);

/*
 * Finds the next token by pattern and checksum, whatever stands before and behind it: in a log of JSON that is "\n", in an
 * address "%3D". *ret_token is within text. Returns false where there is none.
 */
bool token_find(struct span text, struct span *ret_token);
