/*
 * agent/credential-record.h - what is kept of credentials as bytes, for the store: a held value, or
 * when one was last fetched. docs/store-format.md has the format.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum {
	CREDENTIAL_NAME_MAX = 64,
	CREDENTIAL_VALUE_MAX = 48 * 1024,
	CREDENTIAL_BY_MAX = 256, /* of whoever fetched last */
	CREDENTIAL_HEAD_MAX = 32 + CREDENTIAL_NAME_MAX,
	CREDENTIAL_RECORD_MAX = CREDENTIAL_HEAD_MAX + CREDENTIAL_VALUE_MAX,
};

/* The numbers are on disk. */
enum credential_record_kind { CREDENTIAL_VALUE = 1, CREDENTIAL_FETCHED = 2 };
enum credential_form { CREDENTIAL_NONE, CREDENTIAL_TEXT, CREDENTIAL_DATA };

/* Whether this can be a credential's name. */
bool credential_name_is_valid(struct span name);

/* Spans belong to whoever filled this in. */
struct credential_record {
	enum credential_record_kind kind;
	struct span name;

	/* CREDENTIAL_VALUE. Form none: it was forgotten, and only its revision is remembered. */
	enum credential_form form;
	uint64_t revision; /* of the last Put, from 1 on */
	uint64_t updated_us;
	uint64_t expires_us; /* 0: never */
	struct span value;

	/* CREDENTIAL_FETCHED */
	uint64_t fetched_us;
	struct span fetched_by;
};

/*
 * Writes the record to dst (CREDENTIAL_RECORD_MAX bytes) and gives its length. Where value.p is
 * NULL, its value.n bytes are left for the caller to fill in: they are the last ones.
 */
size_t credential_record_write(const struct credential_record *record, uint8_t *dst);

/*
 * Reads a record: *ret borrows from data. Returns 0, or -EBADMSG where it is none, cut short, too
 * long, or holds what is out of range: every byte is distrusted, although the store has proved them
 * ours.
 */
int credential_record_read(const uint8_t *data, size_t n, struct credential_record *ret) MUST_USE;
