/* agent/masterkey.h - where the master key comes from. */
#pragma once

#include "agent/secretmem.h"
#include "agent/store.h"

/*
 * Reads the master key into key (STORE_KEY_LEN bytes of locked memory): from the systemd credential
 * jeton.master ($CREDENTIALS_DIRECTORY/jeton.master: 32 raw bytes, or 64 hex digits) where there is
 * one; else from the file master.key in the state directory, which is made at the first start
 * (0600, written whole under another name, synced, renamed, the directory synced) - but only while
 * no store exists there. A key file must be a regular file of this user's, not reachable by others.
 * Returns 0 or a negative errno with *ret_error, a sentence that names the file and what to do.
 */
int masterkey_read(const char *state_dir, uint8_t *key, struct store_error *ret_error) MUST_USE;

/* The same from the credential alone. -ENOKEY: there is none. */
int masterkey_read_credential(uint8_t *key, struct store_error *ret_error) MUST_USE;
