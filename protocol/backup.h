/*
 * protocol/backup.h - a sealed copy of what an agent holds, as bytes: what the agent gives, what
 * lies in a file, and what an agent takes back. docs/backup-format.md has the format.
 *
 * All three are a head in clear and then blocks, sealed one after the other as one stream, all of
 * one size. Here are the heads, and what stands in an opened block. It knows no cipher: whoever
 * has the key opens and seals.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum {
	BACKUP_FORMAT = 1,
	BACKUP_KEY_LEN = 32,		   /* of the stream */
	BACKUP_START_LEN = 24,		   /* what the stream's cipher starts from */
	BACKUP_BLOCK = 64 * 1024,	   /* opened */
	BACKUP_SEALED = BACKUP_BLOCK + 17, /* sealed */

	BACKUP_SALT_LEN = 16,
	BACKUP_NONCE_LEN = 24,
	BACKUP_LOCKED_KEY_LEN = BACKUP_KEY_LEN + 16, /* the key, sealed under a passphrase */
	BACKUP_BOXED_KEY_LEN = BACKUP_KEY_LEN + 48,  /* the key, sealed to an agent */

	BACKUP_HOST_MAX = 64,
	BACKUP_OWNER_MAX = 256,
};

/* ---- heads ----------------------------------------------------------------------------------- */

/* What is wrong with a head. */
enum backup_fault {
	BACKUP_GOOD,
	BACKUP_IS_NONE,	 /* something else */
	BACKUP_IS_OLDER, /* of a format that is no longer read */
	BACKUP_IS_NEWER, /* of a format that is not known yet */
	BACKUP_IS_BAD,	 /* a value in it that none has */
};

/* What comes from the agent. The key is a secret. */
struct backup_stream_head {
	uint8_t key[BACKUP_KEY_LEN];
	uint8_t start[BACKUP_START_LEN];
};
enum { BACKUP_STREAM_HEAD_LEN = 16 + BACKUP_KEY_LEN + BACKUP_START_LEN };
void backup_stream_head_write(const struct backup_stream_head *head, uint8_t *dst);
enum backup_fault backup_stream_head_read(const uint8_t *data, struct backup_stream_head *ret)
	MUST_USE;

/*
 * What a file begins with. The passphrase's cost is bounded when it is read: a file that somebody
 * made up can't have its reader take more than a gigabyte, or minutes.
 */
enum {
	BACKUP_PASSES_MAX = 16,
	BACKUP_MEMORY_MIN_KIB = 8,
	BACKUP_MEMORY_MAX_KIB = 1024 * 1024,
};
struct backup_file_head {
	uint32_t passes;     /* Argon2id */
	uint32_t memory_kib; /* Argon2id */
	uint8_t salt[BACKUP_SALT_LEN];
	uint8_t nonce[BACKUP_NONCE_LEN];
	uint8_t locked_key[BACKUP_LOCKED_KEY_LEN];
	uint8_t start[BACKUP_START_LEN];
};
enum {
	BACKUP_FILE_BOUND_LEN = 16 + 8 + BACKUP_SALT_LEN, /* what the sealed key is bound to */
	BACKUP_FILE_HEAD_LEN =
		BACKUP_FILE_BOUND_LEN + BACKUP_NONCE_LEN + BACKUP_LOCKED_KEY_LEN + BACKUP_START_LEN,
};
void backup_file_head_write(const struct backup_file_head *head, uint8_t *dst);
enum backup_fault backup_file_head_read(const uint8_t *data, struct backup_file_head *ret) MUST_USE;

/* What an agent finds in its state directory. */
struct backup_restore_head {
	uint8_t boxed_key[BACKUP_BOXED_KEY_LEN];
	uint8_t start[BACKUP_START_LEN];
};
enum { BACKUP_RESTORE_HEAD_LEN = 16 + BACKUP_BOXED_KEY_LEN + BACKUP_START_LEN };
void backup_restore_head_write(const struct backup_restore_head *head, uint8_t *dst);
enum backup_fault backup_restore_head_read(const uint8_t *data, struct backup_restore_head *ret)
	MUST_USE;

/*
 * What an agent leaves there when it has taken it in. Numbers of tokens, unless said otherwise;
 * the order is that of the file.
 */
enum backup_outcome {
	BACKUP_CAME_BACK,	/* are active here now */
	BACKUP_ENDED_CAME_BACK, /* had ended, and are among the ended ones again */
	BACKUP_ENDED_NOW,	/* were active here, and are known by the copy to have ended */
	BACKUP_WERE_KNOWN,	/* stay as they are here */
	BACKUP_HAD_EXPIRED,	/* left out, as is all below */
	BACKUP_WERE_BOUND,
	BACKUP_NO_PARENT, /* it has ended here, or was left out itself */
	BACKUP_NO_OWNER,  /* no such user here */
	BACKUP_NO_ROOM,	  /* MemoryLimit= */
	BACKUP_CREDENTIALS_CAME_BACK,
	BACKUP_CREDENTIALS_KEPT, /* not taken: what is here was put or forgotten later */
	BACKUP_OUTCOMES,
};
struct backup_result {
	uint8_t start[BACKUP_START_LEN]; /* of what was taken in: tells one from another */
	bool is_whole; /* false: the agent could not take it in; its log says why */
	uint64_t n[BACKUP_OUTCOMES];
};
enum { BACKUP_RESULT_LEN = 16 + BACKUP_START_LEN + 8 + 8 * BACKUP_OUTCOMES };
void backup_result_write(const struct backup_result *result, uint8_t *dst);
enum backup_fault backup_result_read(const uint8_t *data, struct backup_result *ret) MUST_USE;

/* ---- blocks ---------------------------------------------------------------------------------- */

/* The numbers are in files. The order is that of a copy. */
enum backup_kind {
	BACKUP_HEAD = 1,       /* once, first */
	BACKUP_ACTIVE = 2,     /* a token that was active */
	BACKUP_ENDED = 3,      /* one that had ended */
	BACKUP_CREDENTIAL = 4, /* a held value, or a last fetch */
	BACKUP_END = 5,	       /* once, last */
};

struct backup_counts {
	uint64_t active, ended, credentials;
};

/* Spans belong to the block, or to whoever filled this in. */
struct backup_entry {
	enum backup_kind kind;
	uint64_t taken_us;  /* head: since the epoch */
	struct span host;   /* head: its name; may be empty */
	struct span owner;  /* tokens: the owner's name, for who reads no records; n 0: none */
	struct span record; /* tokens and credentials, as the store has it */
	struct backup_counts counts; /* end: entries of each kind */
};

/*
 * Adds an entry to a block at *at, and moves that. False where there is no room for it: then
 * nothing has changed. An empty block has room for any.
 */
bool backup_put(uint8_t *block, size_t *at, const struct backup_entry *entry) MUST_USE;

/* Fills the rest of the block, from `at` on, with nothing. */
void backup_pad(uint8_t *block, size_t at);

/*
 * The next entry of a block at *at, which moves on. Returns 1; 0 at the end of the block; -EBADMSG:
 * what stands there is none.
 */
int backup_next(const uint8_t *block, size_t *at, struct backup_entry *ret) MUST_USE;

/* A copy as it is read, entry by entry; all zeros at first. */
struct backup_order {
	enum backup_kind last;
	struct backup_counts seen;
};

/* Takes note of the next entry: 0; -EBADMSG: it can't stand here, or the counts are not right. */
int backup_order_add(struct backup_order *o, const struct backup_entry *entry) MUST_USE;

/* Whether all of a copy was seen. */
static inline bool backup_order_is_whole(const struct backup_order *o)
{
	return o->last == BACKUP_END;
}
