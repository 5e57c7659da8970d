/*
 * agent/event-record.h - an event, and its bytes in the store; docs/store-format.md has them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

/* The numbers are on disk; the order is that of the interface. */
enum event_kind {
	EVENT_ISSUED = 1,
	EVENT_DERIVED,
	EVENT_ROTATED,
	EVENT_REVOKED,
	EVENT_EXPIRED,
	EVENT_PUT,
	EVENT_FORGOTTEN,
	EVENT_RELOADED,
	EVENT_LOCKED,
	EVENT_UNLOCKED,
};

enum { OWNER_TAG_LEN = 16, EVENT_CREDENTIAL_MAX = 64, EVENT_RECORD_MAX = 256 };

/*
 * What happened, by reference: whom it concerns can be told when the token is long forgotten, and
 * the event stays small.
 */
struct event {
	uint64_t number; /* its seq */
	uint64_t at_us;
	uint64_t token;	  /* its id; 0: it is about none */
	char *credential; /* put, forgotten; else NULL */
	uid_t owner_uid;  /* of the token */
	enum event_kind kind;
	uint8_t owner_tag[OWNER_TAG_LEN]; /* see owner_tag() */
};

/* What stands for the name of an owner (p NULL: none, all zeros). */
void owner_tag(struct span name, uint8_t ret[static OWNER_TAG_LEN]);

/* Writes the record to dst and gives its length. */
size_t event_record_write(const struct event *event, uint8_t dst[static EVENT_RECORD_MAX]);

/*
 * Reads a record; the credential is the caller's, to free. 0; -EBADMSG where it is none, every byte
 * is distrusted; -ENOMEM.
 */
int event_record_read(const uint8_t *data, size_t n, struct event *ret) MUST_USE;
