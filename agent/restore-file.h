/*
 * agent/restore-file.h - what lies in the state directory to be restored: a backup whose key is
 * sealed to this agent. docs/backup-format.md has it.
 *
 * The key pair is derived from the store's keys whenever it is needed; its public half lies beside
 * the file's place, for whoever brings one.
 */
#pragma once

#include <sodium.h>

#include "agent/state-dir.h"
#include "agent/store.h"
#include "protocol/backup.h"

/* What lies open of it; for locked memory. */
struct restore_open {
	uint8_t key[BACKUP_KEY_LEN];
	crypto_secretstream_xchacha20poly1305_state stream;
	uint8_t block[BACKUP_BLOCK];
};

struct restore_file {
	struct state_dir dir;
	int fd;
	uint8_t start[BACKUP_START_LEN];
	struct restore_open *open; /* the caller's */
	uint8_t *sealed;
	bool at_end;
};

#define RESTORE_FILE_NONE ((struct restore_file){ .dir = STATE_DIR_NONE, .fd = -1 })

/*
 * Sees to it that the store's public key lies in the state directory. secret: STORE_KEY_LEN bytes
 * of locked memory to work in, wiped. 0 or a negative errno with *e.
 */
int restore_file_publish(const char *state_dir, const struct store *store, uint8_t *secret,
			 struct store_error *e) MUST_USE;

/* Whether there is one, of any kind. */
bool restore_file_is_there(const char *state_dir);

/*
 * Opens it; secret as above. open: locked memory that is used until restore_file_close(). Returns
 * 0, to be closed; or with *e -ENOENT: there is none; -EBADMSG: it is none for this agent, or
 * others could have written it; or another errno.
 */
int restore_file_open(const char *state_dir, const struct store *store, uint8_t *secret,
		      struct restore_open *open, struct restore_file *ret, struct store_error *e)
	MUST_USE;

/* Reads it from its start again. 0 or a negative errno. */
int restore_file_rewind(struct restore_file *f) MUST_USE;

/*
 * Opens the next block into f->open->block. 1; 0: the one before was the last, and nothing follows
 * it; -EBADMSG: it was altered or cut; or another errno.
 */
int restore_file_next(struct restore_file *f) MUST_USE;

/*
 * Leaves what came of it for whoever brought it; where that can't be written, only the log has it.
 */
void restore_file_tell(const struct restore_file *f, struct backup_result *result);

/* It is done with: removes it, for good. 0 or a negative errno. */
int restore_file_remove(const struct restore_file *f) MUST_USE;

/* Puts what can't be used out of the way, under the name restore.bad. 0 or a negative errno. */
int restore_file_set_aside(const char *state_dir) MUST_USE;

/* Closes it, and wipes what was open. Harmless twice, and on none. */
void restore_file_close(struct restore_file *f);
