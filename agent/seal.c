/*
 * agent/seal.c - the keys of a store and what is done with them.
 *
 * Everything sealed is XChaCha20-Poly1305 with a random nonce of 24 bytes, which is wide enough
 * never to repeat, so that no counter has to survive a crash. What a piece is good for stands in
 * the associated data: a row moved to another place, another version or another store does not
 * open.
 *
 * The root's sums are XORs of a keyed function of 128 bits over each row's place and nonce. The
 * nonce makes the sum stand for these very bytes: of two rows that were sealed for one place at
 * different times, only the one that was kept fits.
 */
#include "agent/seal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "agent/secretmem.h"

/* What a sealed piece is; the first byte of its associated data after the format. */
enum piece { PIECE_ROW = 1, PIECE_ROOT = 2, PIECE_NOTE = 3, PIECE_KEY = 4 };

/* Numbers of the derived keys, under the context of each. */
enum {
	KEY_ROWS = 1,
	KEY_SETS = 2,
	KEY_OWNERS = 3,
	KEY_CREDENTIALS = 4,
	KEY_OTHERS = 5,
	KEY_NOTES = 9,
};
enum { KEY_CHECK = 1, KEY_WRAP = 2 };

/* As much of the stack as hashing a key may have written on. */
enum { HASH_STACK = 4096 };

static const char kdf_master[crypto_kdf_CONTEXTBYTES + 1] = "JetonMst";
static const char kdf_store[crypto_kdf_CONTEXTBYTES + 1] = "JetonSto";
static const char kdf_others[crypto_kdf_CONTEXTBYTES + 1] = "JetonOth";

_Static_assert(SEAL_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(SEAL_OVERHEAD == SEAL_NONCE_LEN + crypto_aead_xchacha20poly1305_ietf_ABYTES,
	       "overhead");
_Static_assert(SEAL_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(SEAL_KEY_LEN == crypto_kdf_KEYBYTES, "key");
_Static_assert(crypto_shorthash_siphashx24_KEYBYTES == 16 &&
		       crypto_shorthash_siphashx24_BYTES == 16,
	       "sums");

static uint8_t *put_number(uint8_t *dst, uint64_t v, unsigned n_bytes)
{
	for (unsigned i = 0; i < n_bytes; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
	return dst + n_bytes;
}

static uint64_t get_u64(const uint8_t *p)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 8; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

int seal_start(void)
{
	return sodium_init() < 0 ? -EIO : 0;
}

static void derive(uint8_t *ret, size_t n, uint64_t number, const char *context, const uint8_t *key)
{
	crypto_kdf_derive_from_key(ret, n, number, context, key);
}

void seal_make_key(uint8_t *ret)
{
	randombytes_buf(ret, SEAL_KEY_LEN);
}

void seal_init(struct seal *s, const uint8_t *store_key, const uint8_t id[static SEAL_ID_LEN])
{
	derive(s->row_key, SEAL_KEY_LEN, KEY_ROWS, kdf_store, store_key);
	derive(s->credentials_key, SEAL_KEY_LEN, KEY_CREDENTIALS, kdf_store, store_key);
	derive(s->other_key, SEAL_KEY_LEN, KEY_OTHERS, kdf_store, store_key);
	derive(s->note_key, SEAL_KEY_LEN, KEY_NOTES, kdf_store, store_key);
	derive(s->set_key, sizeof(s->set_key), KEY_SETS, kdf_store, store_key);
	derive(s->owner_key, sizeof(s->owner_key), KEY_OWNERS, kdf_store, store_key);
	memcpy(s->id, id, SEAL_ID_LEN);
	s->format = SEAL_FORMAT;
	sodium_stackzero(HASH_STACK);
}

void seal_init_1(struct seal *s, const uint8_t *master_key, const uint8_t id[static SEAL_ID_LEN])
{
	/*
	 * The row key's room holds the store's own key until the others are made of it, so that it
	 * never leaves locked memory.
	 */
	uint8_t *own = s->row_key;

	crypto_generichash_blake2b_salt_personal(own, SEAL_KEY_LEN, NULL, 0, master_key,
						 SEAL_KEY_LEN, id,
						 (const uint8_t *)"jeton store key");
	derive(s->set_key, sizeof(s->set_key), KEY_SETS, kdf_store, own);
	derive(s->owner_key, sizeof(s->owner_key), KEY_OWNERS, kdf_store, own);
	derive(own, SEAL_KEY_LEN, KEY_ROWS, kdf_store, own);
	memcpy(s->credentials_key, s->row_key, SEAL_KEY_LEN);
	memset(s->note_key, 0, sizeof(s->note_key));
	memset(s->other_key, 0, sizeof(s->other_key));
	memcpy(s->id, id, SEAL_ID_LEN);
	s->format = 1;
	sodium_stackzero(HASH_STACK);
}

void seal_derive_key(const struct seal *s, uint64_t number, uint8_t *ret)
{
	assert(s->format == SEAL_FORMAT);
	derive(ret, SEAL_KEY_LEN, number, kdf_others, s->other_key);
	sodium_stackzero(HASH_STACK);
}

void seal_key_check(const uint8_t *master_key, uint8_t ret[static SEAL_CHECK_LEN])
{
	crypto_kdf_derive_from_key(ret, SEAL_CHECK_LEN, KEY_CHECK, kdf_master, master_key);
	sodium_stackzero(HASH_STACK);
}

/* ---- sealing --------------------------------------------------------------------------------- */

enum { AD_MAX = 2 + SEAL_ID_LEN + 1 + 4 + 8 + 8 };

static void seal_piece(const uint8_t *key, const uint8_t *ad, size_t n_ad, const uint8_t *plain,
		       size_t n, uint8_t *dst)
{
	uint8_t *body = dst + SEAL_NONCE_LEN;

	randombytes_buf(dst, SEAL_NONCE_LEN);
	crypto_aead_xchacha20poly1305_ietf_encrypt(body, NULL, plain, n, ad, n_ad, NULL, dst, key);
}

static int open_piece(const uint8_t *key, const uint8_t *ad, size_t n_ad, const uint8_t *sealed,
		      size_t n, uint8_t *dst)
{
	const uint8_t *body = sealed + SEAL_NONCE_LEN;

	if (n < SEAL_OVERHEAD)
		return -EBADMSG;
	/* With no room to open into, the library only checks the tag. */
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(dst, NULL, NULL, body, n - SEAL_NONCE_LEN,
						       ad, n_ad, sealed, key) < 0)
		return -EBADMSG;
	return 0;
}

static size_t row_ad(const struct seal *s, const struct seal_place *place,
		     uint8_t ad[static AD_MAX])
{
	uint8_t *p = ad;

	*p++ = s->format;
	*p++ = PIECE_ROW;
	memcpy(p, s->id, SEAL_ID_LEN);
	p = put_number(p + SEAL_ID_LEN, place->table, 1);
	p = put_number(p, place->version, 4);
	p = put_number(p, place->row, 8);
	p = put_number(p, place->owner, 8);
	return (size_t)(p - ad);
}

static const uint8_t *row_key(const struct seal *s, const struct seal_place *place)
{
	return place->table == SEAL_CREDENTIALS ? s->credentials_key : s->row_key;
}

void seal_row(const struct seal *s, const struct seal_place *place, const uint8_t *record, size_t n,
	      uint8_t *dst)
{
	uint8_t ad[AD_MAX];

	seal_piece(row_key(s, place), ad, row_ad(s, place, ad), record, n, dst);
}

int seal_open_row(const struct seal *s, const struct seal_place *place, const uint8_t *sealed,
		  size_t n, uint8_t *dst)
{
	uint8_t ad[AD_MAX];

	return open_piece(row_key(s, place), ad, row_ad(s, place, ad), sealed, n, dst);
}

/* ---- a store's key --------------------------------------------------------------------------- */

static size_t key_ad(const uint8_t *id, uint8_t ad[static AD_MAX])
{
	ad[0] = SEAL_FORMAT;
	ad[1] = PIECE_KEY;
	memcpy(ad + 2, id, SEAL_ID_LEN);
	return 2 + SEAL_ID_LEN;
}

void seal_store_key(const uint8_t *store_key, const uint8_t *master_key,
		    const uint8_t id[static SEAL_ID_LEN], uint8_t *room,
		    uint8_t dst[static SEAL_STORE_KEY_LEN])
{
	uint8_t ad[AD_MAX];

	derive(room, SEAL_KEY_LEN, KEY_WRAP, kdf_master, master_key);
	seal_piece(room, ad, key_ad(id, ad), store_key, SEAL_KEY_LEN, dst);
	secret_wipe(room, SEAL_KEY_LEN);
	sodium_stackzero(HASH_STACK);
}

int seal_open_store_key(const uint8_t *sealed, size_t n, const uint8_t *master_key,
			const uint8_t id[static SEAL_ID_LEN], uint8_t *room, uint8_t *ret)
{
	uint8_t ad[AD_MAX];
	int r;

	if (n != SEAL_STORE_KEY_LEN)
		return -EBADMSG;
	derive(room, SEAL_KEY_LEN, KEY_WRAP, kdf_master, master_key);
	r = open_piece(room, ad, key_ad(id, ad), sealed, n, ret);
	secret_wipe(room, SEAL_KEY_LEN);
	sodium_stackzero(HASH_STACK);
	return r;
}

static size_t note_ad(const struct seal *s, uint64_t number, uint64_t at,
		      uint8_t ad[static AD_MAX])
{
	ad[0] = s->format;
	ad[1] = PIECE_NOTE;
	memcpy(ad + 2, s->id, SEAL_ID_LEN);
	return (size_t)(put_number(put_number(ad + 2 + SEAL_ID_LEN, number, 8), at, 8) - ad);
}

void seal_note(const struct seal *s, uint64_t number, uint64_t at, const uint8_t *note, size_t n,
	       uint8_t *dst)
{
	uint8_t ad[AD_MAX];

	seal_piece(s->note_key, ad, note_ad(s, number, at, ad), note, n, dst);
}

int seal_open_note(const struct seal *s, uint64_t number, uint64_t at, const uint8_t *sealed,
		   size_t n, uint8_t *dst)
{
	uint8_t ad[AD_MAX];

	return open_piece(s->note_key, ad, note_ad(s, number, at, ad), sealed, n, dst);
}

/* ---- sets and the root ----------------------------------------------------------------------- */

uint64_t seal_owner_tag(const struct seal *s, uid_t owner)
{
	uint8_t text[4], tag[16];
	uint64_t v;

	put_number(text, owner, sizeof(text));
	crypto_shorthash_siphashx24(tag, text, sizeof(text), s->owner_key);
	v = get_u64(tag);
	return v != 0 ? v : 1;
}

static void xor_into(struct seal_set *set, const uint8_t value[static 16])
{
	for (unsigned i = 0; i < sizeof(set->sum); i++)
		set->sum[i] ^= value[i];
}

static void xor_row(const struct seal *s, struct seal_set *set, const struct seal_place *place,
		    const uint8_t *nonce)
{
	uint8_t text[1 + 4 + 8 + SEAL_NONCE_LEN], value[16];
	uint8_t *p = text;

	p = put_number(p, place->table, 1);
	p = put_number(p, place->version, 4);
	p = put_number(p, place->row, 8);
	memcpy(p, nonce, SEAL_NONCE_LEN);
	crypto_shorthash_siphashx24(value, text, sizeof(text), s->set_key);
	xor_into(set, value);
}

static struct seal_set *set_of(struct seal_root *root, const struct seal_place *place)
{
	assert(place->table >= 1 && place->table <= SEAL_TABLES);
	return &root->tables[place->table - 1];
}

void seal_root_add(const struct seal *s, struct seal_root *root, const struct seal_place *place,
		   const uint8_t nonce[static SEAL_NONCE_LEN])
{
	struct seal_set *set = set_of(root, place);

	set->n++;
	xor_row(s, set, place, nonce);
}

void seal_root_remove(const struct seal *s, struct seal_root *root, const struct seal_place *place,
		      const uint8_t nonce[static SEAL_NONCE_LEN])
{
	struct seal_set *set = set_of(root, place);

	set->n--;
	xor_row(s, set, place, nonce);
}

void seal_set_add_pair(const struct seal *s, struct seal_set *set, uint64_t row, uint64_t owner)
{
	uint8_t text[8 + 8], value[16];

	put_number(put_number(text, row, 8), owner, 8);
	crypto_shorthash_siphashx24(value, text, sizeof(text), s->set_key);
	set->n++;
	xor_into(set, value);
}

bool seal_set_equal(const struct seal_set *a, const struct seal_set *b)
{
	return a->n == b->n && memcmp(a->sum, b->sum, sizeof(a->sum)) == 0;
}

enum { ROOT_PLAIN = SEAL_ROOT_LEN - SEAL_OVERHEAD };

/* The audit came with format 2. */
static unsigned n_tables(const struct seal *s)
{
	return s->format == 1 ? SEAL_TABLES - 1 : SEAL_TABLES;
}

static size_t root_len(const struct seal *s)
{
	return s->format == 1 ? SEAL_ROOT_LEN_1 : SEAL_ROOT_LEN;
}

static size_t root_ad(const struct seal *s, uint8_t ad[static AD_MAX])
{
	ad[0] = s->format;
	ad[1] = PIECE_ROOT;
	memcpy(ad + 2, s->id, SEAL_ID_LEN);
	return 2 + SEAL_ID_LEN;
}

void seal_root(const struct seal *s, const struct seal_root *root,
	       uint8_t dst[static SEAL_ROOT_LEN])
{
	uint8_t plain[ROOT_PLAIN], ad[AD_MAX];
	uint8_t *p = put_number(put_number(plain, root->commits, 8), root->highest_row, 8);

	assert(s->format == SEAL_FORMAT);
	for (unsigned i = 0; i < SEAL_TABLES; i++) {
		p = put_number(p, root->tables[i].n, 8);
		memcpy(p, root->tables[i].sum, sizeof(root->tables[i].sum));
		p += sizeof(root->tables[i].sum);
	}
	seal_piece(s->row_key, ad, root_ad(s, ad), plain, sizeof(plain), dst);
}

int seal_open_root(const struct seal *s, const uint8_t *sealed, size_t n, struct seal_root *ret)
{
	uint8_t plain[ROOT_PLAIN], ad[AD_MAX];
	const uint8_t *p = plain + 16;
	int r;

	if (n != root_len(s))
		return -EBADMSG;
	r = open_piece(s->row_key, ad, root_ad(s, ad), sealed, n, plain);
	if (r < 0)
		return r;
	*ret = (struct seal_root){ .commits = get_u64(plain), .highest_row = get_u64(plain + 8) };
	for (unsigned i = 0; i < n_tables(s); i++) {
		ret->tables[i].n = get_u64(p);
		memcpy(ret->tables[i].sum, p + 8, sizeof(ret->tables[i].sum));
		p += 8 + sizeof(ret->tables[i].sum);
	}
	return 0;
}
