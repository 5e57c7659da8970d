/*
 * agent/lockbox.c - see lockbox.h. All that stands in clear is bound to the sealed half, so that
 * none of it can be exchanged; the sum at the end tells damage from a wrong passphrase before
 * anyone is asked for one.
 */
#include "agent/lockbox.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "agent/secretmem.h"

/* As bytes. */
enum {
	FORMAT = 1,
	AT_FORMAT = 8,
	AT_PASSES = 12,
	AT_MEMORY = 16,
	AT_SALT = 24,
	AT_PUBLIC = 40,
	AT_TIME = 72,
	AT_BY = 80,
	AT_SECRET = 84, /* what is before it is bound to it */
	AT_SUM = AT_SECRET + LOCKBOX_SECRET_LEN,
	NONCE_LEN = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
};
static const char magic[] = "JetnLock";

/* Beyond these no file of ours is: it would only keep whoever opens it busy. */
static const uint64_t MEMORY_MAX = UINT64_C(4) << 30;
static const uint32_t PASSES_MAX = 64;

const struct lockbox_cost lockbox_cost = { UINT64_C(64) << 20, 3 };

_Static_assert(LOCKBOX_KEY_LEN == crypto_box_PUBLICKEYBYTES, "a public key's size");
_Static_assert(LOCKBOX_KEY_LEN == crypto_box_SECRETKEYBYTES, "a secret key's size");
_Static_assert(LOCKBOX_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "a key's size");
_Static_assert(LOCKBOX_SALT_LEN == crypto_pwhash_argon2id_SALTBYTES, "the salt's size");
_Static_assert(LOCKBOX_OVERHEAD == crypto_box_SEALBYTES, "what sealing adds");
_Static_assert(sizeof(magic) - 1 == AT_FORMAT && AT_SUM + 16 == LOCKBOX_LEN, "the layout");

static void put_number(uint8_t *dst, uint64_t v, unsigned n_bytes)
{
	for (unsigned i = 0; i < n_bytes; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_number(const uint8_t *p, unsigned n_bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n_bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* ---- the key pair ---------------------------------------------------------------------------- */

/* What stands in clear: AT_SECRET bytes. */
static void write_clear(const struct lockbox *box, uint8_t *dst)
{
	memset(dst, 0, AT_SECRET);
	memcpy(dst, magic, sizeof(magic) - 1);
	dst[AT_FORMAT] = FORMAT;
	put_number(dst + AT_PASSES, box->cost.passes, 4);
	put_number(dst + AT_MEMORY, box->cost.memory, 8);
	memcpy(dst + AT_SALT, box->salt, sizeof(box->salt));
	memcpy(dst + AT_PUBLIC, box->public_key, sizeof(box->public_key));
	put_number(dst + AT_TIME, box->at_us, 8);
	put_number(dst + AT_BY, box->by, 4);
}

static int derive(const struct lockbox *box, struct span passphrase, uint8_t *dst)
{
	assert(passphrase.n > 0 && passphrase.n <= PASSPHRASE_MAX);
	/* It fails for want of memory alone: the cost is within what it takes. */
	return crypto_pwhash(dst, LOCKBOX_KEY_LEN, passphrase.p, passphrase.n, box->salt,
			     box->cost.passes, (size_t)box->cost.memory,
			     crypto_pwhash_ALG_ARGON2ID13) == 0
		       ? 0
		       : -ENOMEM;
}

int lockbox_make(struct span passphrase, const struct lockbox_cost *cost, uint64_t at_us, uid_t by,
		 struct lockbox_room *room, struct lockbox *ret)
{
	struct lockbox box = { .cost = *cost, .at_us = at_us, .by = by };
	uint8_t clear[AT_SECRET];
	int r;

	randombytes_buf(box.salt, sizeof(box.salt));
	r = derive(&box, passphrase, room->derived);
	if (r == 0) {
		crypto_box_keypair(box.public_key, room->secret);
		randombytes_buf(box.secret, NONCE_LEN);
		write_clear(&box, clear);
		crypto_aead_xchacha20poly1305_ietf_encrypt(box.secret + NONCE_LEN, NULL,
							   room->secret, sizeof(room->secret),
							   clear, sizeof(clear), NULL, box.secret,
							   room->derived);
		*ret = box;
	}
	secret_wipe(room, sizeof(*room));
	return r;
}

int lockbox_open(const struct lockbox *box, struct span passphrase, struct lockbox_room *room)
{
	uint8_t clear[AT_SECRET];
	int r = derive(box, passphrase, room->derived);

	write_clear(box, clear);
	if (r == 0 && crypto_aead_xchacha20poly1305_ietf_decrypt(
			      room->secret, NULL, NULL, box->secret + NONCE_LEN,
			      sizeof(box->secret) - NONCE_LEN, clear, sizeof(clear), box->secret,
			      room->derived) != 0)
		r = -EKEYREJECTED;
	secret_wipe(room->derived, sizeof(room->derived));
	return r;
}

void lockbox_seal(const struct lockbox *box, const uint8_t *p, size_t n, uint8_t *dst)
{
	/* It fails on points of small order alone, and lockbox_read() takes none. */
	int r = crypto_box_seal(dst, p, n, box->public_key);

	assert(r == 0);
}

int lockbox_unseal(const struct lockbox *box, const struct lockbox_room *room,
		   const uint8_t *sealed, size_t n, uint8_t *dst)
{
	return crypto_box_seal_open(dst, sealed, n, box->public_key, room->secret) == 0 ? 0
											: -EBADMSG;
}

/* ---- as bytes -------------------------------------------------------------------------------- */

static void sum(const uint8_t *data, uint8_t *dst)
{
	crypto_generichash(dst, LOCKBOX_LEN - AT_SUM, data, AT_SUM, NULL, 0);
}

void lockbox_write(const struct lockbox *box, uint8_t dst[static LOCKBOX_LEN])
{
	write_clear(box, dst);
	memcpy(dst + AT_SECRET, box->secret, sizeof(box->secret));
	sum(dst, dst + AT_SUM);
}

static bool is_at_a_cost_of_ours(const struct lockbox_cost *cost)
{
	return cost->memory >= crypto_pwhash_argon2id_MEMLIMIT_MIN && cost->memory <= MEMORY_MAX &&
	       cost->passes >= crypto_pwhash_argon2id_OPSLIMIT_MIN && cost->passes <= PASSES_MAX;
}

/* Sealing to a point of small order fails, and would be no seal. */
static bool is_public_key(const uint8_t *key)
{
	static const uint8_t any[LOCKBOX_KEY_LEN] = { 1 };
	uint8_t shared[LOCKBOX_KEY_LEN];

	return crypto_scalarmult(shared, any, key) == 0;
}

int lockbox_read(const uint8_t *data, size_t n, struct lockbox *ret)
{
	struct lockbox box;
	uint8_t again[LOCKBOX_LEN];

	if (n < AT_FORMAT + 1 || memcmp(data, magic, sizeof(magic) - 1) != 0)
		return -EMEDIUMTYPE;
	if (data[AT_FORMAT] > FORMAT)
		return -EPROTONOSUPPORT;
	if (n != LOCKBOX_LEN)
		return -EBADMSG;
	box = (struct lockbox){
		.cost = { get_number(data + AT_MEMORY, 8),
			  (uint32_t)get_number(data + AT_PASSES, 4) },
		.at_us = get_number(data + AT_TIME, 8),
		.by = (uid_t)get_number(data + AT_BY, 4),
	};
	memcpy(box.salt, data + AT_SALT, sizeof(box.salt));
	memcpy(box.public_key, data + AT_PUBLIC, sizeof(box.public_key));
	memcpy(box.secret, data + AT_SECRET, sizeof(box.secret));
	lockbox_write(&box, again);
	if (memcmp(data, again, LOCKBOX_LEN) != 0 || !is_at_a_cost_of_ours(&box.cost) ||
	    !is_public_key(box.public_key))
		return -EBADMSG;
	*ret = box;
	return 0;
}
