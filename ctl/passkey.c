/*
 * ctl/passkey.c - Argon2id with libsodium's figures for what is moderately urgent: a guess costs
 * 256 MiB and most of a second, and so does opening a backup. They stand in the file, so that
 * others can be chosen one day.
 */
#include "ctl/passkey.h"

#include <errno.h>
#include <sodium.h>

enum { PASSKEY_LEN = crypto_aead_xchacha20poly1305_ietf_KEYBYTES };

_Static_assert(BACKUP_SALT_LEN == crypto_pwhash_argon2id_SALTBYTES, "salt");
_Static_assert(BACKUP_NONCE_LEN == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(BACKUP_LOCKED_KEY_LEN == BACKUP_KEY_LEN + crypto_aead_xchacha20poly1305_ietf_ABYTES,
	       "sealed key");
_Static_assert(crypto_pwhash_argon2id_OPSLIMIT_MODERATE <= BACKUP_PASSES_MAX &&
		       crypto_pwhash_argon2id_MEMLIMIT_MODERATE / 1024 <= BACKUP_MEMORY_MAX_KIB,
	       "what is written can be read");

int passkey_start(void)
{
	return sodium_init() < 0 ? -EIO : 0;
}

void passkey_choose(struct backup_file_head *head)
{
	head->passes = crypto_pwhash_argon2id_OPSLIMIT_MODERATE;
	head->memory_kib = crypto_pwhash_argon2id_MEMLIMIT_MODERATE / 1024;
	randombytes_buf(head->salt, sizeof(head->salt));
}

int passkey_make(const struct secret *passphrase, const struct backup_file_head *head,
		 struct secret *ret)
{
	struct secret s;

	if (secret_init(&s, PASSKEY_LEN) < 0)
		return -ENOMEM;
	if (crypto_pwhash_argon2id((uint8_t *)s.p, PASSKEY_LEN, passphrase->p, passphrase->n,
				   head->salt, head->passes, (size_t)head->memory_kib * 1024,
				   crypto_pwhash_argon2id_ALG_ARGON2ID13) < 0) {
		secret_done(&s);
		return -ENOMEM;
	}
	s.n = PASSKEY_LEN;
	*ret = s;
	return 0;
}

void passkey_seal(const struct secret *passkey, const uint8_t key[static BACKUP_KEY_LEN],
		  struct backup_file_head *head)
{
	uint8_t written[BACKUP_FILE_HEAD_LEN];

	randombytes_buf(head->nonce, sizeof(head->nonce));
	backup_file_head_write(head, written);
	crypto_aead_xchacha20poly1305_ietf_encrypt(head->locked_key, NULL, key, BACKUP_KEY_LEN,
						   written, BACKUP_FILE_BOUND_LEN, NULL,
						   head->nonce, (const uint8_t *)passkey->p);
}

int passkey_open(const struct secret *passkey, const struct backup_file_head *head,
		 uint8_t ret_key[static BACKUP_KEY_LEN])
{
	uint8_t written[BACKUP_FILE_HEAD_LEN];
	int r;

	backup_file_head_write(head, written);
	r = crypto_aead_xchacha20poly1305_ietf_decrypt(ret_key, NULL, NULL, head->locked_key,
						       sizeof(head->locked_key), written,
						       BACKUP_FILE_BOUND_LEN, head->nonce,
						       (const uint8_t *)passkey->p);
	return r < 0 ? -EKEYREJECTED : 0;
}
