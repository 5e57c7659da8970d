/*
 * protocol/token-hash.h - what is kept of a token's secret: SHA-256 of its 43 digits. By nettle, which uses the
 * instructions that processors have for it (a third of the time that libsodium takes) and needs but libc, so that
 * libjeton can have it.
 */
#pragma once

#include <stdint.h>

#include "protocol/token.h"

enum { TOKEN_HASH_WORDS = 4 };

/* The words of *ret are the hash's bytes as they lie. Takes the same time for all secrets. */
void token_hash_secret(const char secret[static TOKEN_SECRET_LEN], uint64_t ret[static TOKEN_HASH_WORDS]);
