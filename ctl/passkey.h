/*
 * ctl/passkey.h - the key that a passphrase makes, and what it seals: the key of a backup. Slow on
 * purpose, and by what stands in the file's head.
 */
#pragma once

#include "ctl/secret.h"
#include "protocol/backup.h"

/*
 * Starts the library that does it: 0, or -EIO where there are no random numbers. Before all else.
 */
int passkey_start(void) MUST_USE;

/* What a new file's head says of it: the cost, and a fresh salt. */
void passkey_choose(struct backup_file_head *head);

/*
 * Makes the key of the passphrase as the head says; takes a second or so, and that much memory. 0,
 * with what secret_done() ends, or -ENOMEM.
 */
int passkey_make(const struct secret *passphrase, const struct backup_file_head *head,
		 struct secret *ret) MUST_USE;

/* Seals a backup's key into the head, bound to what else stands there. */
void passkey_seal(const struct secret *passkey, const uint8_t key[static BACKUP_KEY_LEN],
		  struct backup_file_head *head);

/* Opens it. 0, or -EKEYREJECTED: another passphrase, or the head was altered. */
int passkey_open(const struct secret *passkey, const struct backup_file_head *head,
		 uint8_t ret_key[static BACKUP_KEY_LEN]) MUST_USE;
