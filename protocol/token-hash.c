/* protocol/token-hash.c - see token-hash.h. */
#include "protocol/token-hash.h"

#include <assert.h>
#include <nettle/sha2.h>
#include <string.h>

void token_hash_secret(const char secret[static TOKEN_SECRET_LEN], uint64_t ret[static TOKEN_HASH_WORDS])
{
	struct sha256_ctx sha;

	static_assert(sizeof(uint64_t[TOKEN_HASH_WORDS]) == SHA256_DIGEST_SIZE, "a SHA-256");
	sha256_init(&sha);
	sha256_update(&sha, TOKEN_SECRET_LEN, (const uint8_t *)secret);
	sha256_digest(&sha, SHA256_DIGEST_SIZE, (uint8_t *)ret);
	/* It has the digits. */
	explicit_bzero(&sha, sizeof(sha));
}
