/*
 * agent/audit-record.h - what was done or refused, and its bytes in the store;
 * docs/store-format.md has them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/credential-record.h"
#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum {
	AUDIT_OPERATION_MAX = 24,
	AUDIT_RESULT_MAX = 32,
	AUDIT_UNIT_MAX = 255,
	AUDIT_HASH_LEN = 32,
	AUDIT_HEAD_LEN = 80,
	AUDIT_RECORD_MAX = AUDIT_HEAD_LEN + AUDIT_OPERATION_MAX + AUDIT_RESULT_MAX +
			   CREDENTIAL_NAME_MAX + AUDIT_UNIT_MAX,
};

#define AUDIT_NO_UID ((uid_t)-1)

/*
 * All texts are printable ASCII with no space in them, so that no log, terminal or reader of JSON
 * is to be feared for. Never a value.
 */
struct audit_entry {
	uint64_t seq; /* from 1 on; 0: not given yet */
	uint64_t at_us;
	uint64_t token;	 /* its id; 0: about none */
	uint32_t count;	 /* how many like it this one stands for; 1 or more */
	uid_t peer_uid;	 /* whoever asked; the agent's own where nobody did */
	pid_t peer_pid;	 /* 0: nobody asked, or not known, or several did */
	uid_t owner_uid; /* of the token; AUDIT_NO_UID: about none */
	char operation[AUDIT_OPERATION_MAX + 1];
	char result[AUDIT_RESULT_MAX + 1]; /* "ok", or the error's name without its interface */
	char credential[CREDENTIAL_NAME_MAX + 1]; /* "": about none */
	char unit[AUDIT_UNIT_MAX + 1];		  /* of the peer; "": not known */
};

/* Copies text to one of the fields above: cut to fit, and what may not stand there is a '?'. */
void audit_text(char *dst, size_t size, struct span text);

/* Whether it tells of something that was done. */
bool audit_is_ok(const struct audit_entry *entry);

/*
 * Writes the record to dst and gives its length. previous: the hash of the record before it, zeros
 * where there was none.
 */
size_t audit_record_write(const struct audit_entry *entry,
			  const uint8_t previous[static AUDIT_HASH_LEN],
			  uint8_t dst[static AUDIT_RECORD_MAX]);

/*
 * Reads a record. 0, or -EBADMSG where it is none: every byte is distrusted, although the store has
 * proved them ours.
 */
int audit_record_read(const uint8_t *data, size_t n, struct audit_entry *ret,
		      uint8_t ret_previous[static AUDIT_HASH_LEN]) MUST_USE;

/* When it was, as far as that is a record; else 0. */
uint64_t audit_record_at_us(const uint8_t *data, size_t n);
