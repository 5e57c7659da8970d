/*
 * agent/record.h - a token as bytes, for the store. One format for active and ended ones;
 * docs/store-format.md has it.
 */
#pragma once

#include <stddef.h>

#include "agent/token-facts.h"
#include "protocol/base/cleanup.h"

/* Holds any record: 32 scopes of 128 bytes, a name, labels and what is fixed. */
enum { RECORD_MAX = 8192 };

/*
 * Writes the record of these facts to dst (RECORD_MAX bytes) and gives its length. id and row are
 * part of it.
 */
size_t record_write(const struct token_facts *facts, uint8_t *dst);

/*
 * Reads a record: *ret borrows from data. Returns 0, or -EBADMSG where it is no record, cut short,
 * too long, or holds a value out of range; every byte is distrusted, although the store has proved
 * them ours.
 */
int record_read(const uint8_t *data, size_t n, struct token_facts *ret) MUST_USE;

/* Only whose token it is; nothing else is looked at. 0, or -EBADMSG where it is too short. */
int record_owner(const uint8_t *data, size_t n, uid_t *ret) MUST_USE;
