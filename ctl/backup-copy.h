/*
 * ctl/backup-copy.h - the blocks of a backup from one place to another, each proved on the way.
 */
#pragma once

#include "protocol/backup.h"

/* How it went. */
enum copy_end {
	COPY_WHOLE,
	COPY_CUT,	  /* it ends before its last block */
	COPY_ALTERED,	  /* a block does not open, or holds what none does */
	COPY_LONGER,	  /* something follows the last block */
	COPY_NOT_READ,	  /* error says why */
	COPY_NOT_WRITTEN, /* likewise */
	COPY_NO_MEMORY,
};

struct copied {
	uint64_t taken_us;
	char host[BACKUP_HOST_MAX + 1]; /* its bytes are anyone's */
	struct backup_counts counts;
	uint64_t n_bytes; /* of blocks that were good */
	int error;	  /* an errno */
};

/*
 * Copies the blocks that from gives, to its end, to `to` (-1: nowhere), as they are. key and start
 * open them. Each entry is shown to on_entry (may be NULL). *ret is filled as far as it went.
 */
enum copy_end backup_copy(const uint8_t key[static BACKUP_KEY_LEN],
			  const uint8_t start[static BACKUP_START_LEN], int from, int to,
			  void (*on_entry)(void *userdata, const struct backup_entry *entry),
			  void *userdata, struct copied *ret) MUST_USE;
