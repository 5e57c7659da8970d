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

/*
 * The keys that may fit where the one above does not: the credential jeton.master.old, by which an
 * administrator brings in another jeton.master; and master.key.next, which a change of keys that was
 * cut off has left. Returns 1; 0 where there is none; or as masterkey_read().
 */
int masterkey_read_old_credential(uint8_t *key, struct store_error *ret_error) MUST_USE;
int masterkey_read_next(const char *state_dir, uint8_t *key, struct store_error *ret_error) MUST_USE;

/*
 * The key that the store is to be sealed under once its own is changed: the credential, which stays
 * what it is; or, where the key is the file master.key, a new one (*ret_as_file). 0 or as
 * masterkey_read().
 */
int masterkey_for_rekey(uint8_t *key, bool *ret_as_file, struct store_error *ret_error) MUST_USE;

/* Whether the key, or an old one too, is given as a credential. */
bool masterkey_is_credential(void);
bool masterkey_has_old_credential(void);

/*
 * master.key.next: written and on the disk, in place of what had that name; given the name
 * master.key, in place of what had that one; removed. 0 or a negative errno; what could not be written
 * is removed.
 */
struct state_dir;
int masterkey_write_next(const struct state_dir *d, const uint8_t *key) MUST_USE;
int masterkey_adopt_next(const struct state_dir *d) MUST_USE;
int masterkey_drop_next(const struct state_dir *d);
