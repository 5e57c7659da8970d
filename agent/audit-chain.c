/*
 * agent/audit-chain.c - see audit-chain.h. The store proves already that rows are its own and all
 * there; the chain is what tells even of whoever has its keys, as far as they did not write all
 * that follows anew.
 */
#include "agent/audit-chain.h"

#include <sodium.h>
#include <string.h>

_Static_assert(AUDIT_HASH_LEN - crypto_hash_sha256_BYTES == 0, "SHA-256");

void audit_chain_link(uint64_t seq, const uint8_t *record, size_t n, struct audit_link *ret)
{
	ret->seq = seq;
	crypto_hash_sha256(ret->hash, record, n);
}

size_t audit_chain_add(struct audit_link *link, struct audit_entry *entry,
		       uint8_t dst[static AUDIT_RECORD_MAX])
{
	size_t n;

	entry->seq = link->seq + 1;
	n = audit_record_write(entry, link->hash, dst);
	audit_chain_link(entry->seq, dst, n, link);
	return n;
}

const char *audit_damage_text(enum audit_damage damage)
{
	static const char *const texts[] = {
		[AUDIT_WHOLE] = "whole",
		[AUDIT_ALTERED] = "altered",
		[AUDIT_MISSING] = "missing",
		[AUDIT_REORDERED] = "reordered",
	};

	return texts[damage];
}

/* The record of the row that was awaited. */
static void judge(struct audit_check *c, uint64_t row, const uint8_t *record, size_t n,
		  struct audit_finding *ret)
{
	uint8_t previous[AUDIT_HASH_LEN];
	bool was_tied = c->is_tied;

	c->is_tied = false;
	if (n == 0 || audit_record_read(record, n, &ret->entry, previous) < 0) {
		ret->altered = row;
		return;
	}
	if (ret->entry.seq != row) {
		ret->reordered = row;
		return;
	}
	if (was_tied && memcmp(previous, c->hash, AUDIT_HASH_LEN) != 0)
		ret->altered = row - 1;
	ret->has_entry = true;
	c->is_tied = true;
	crypto_hash_sha256(c->hash, record, n);
}

void audit_check_row(struct audit_check *c, uint64_t row, const uint8_t *record, size_t n,
		     struct audit_finding *ret)
{
	*ret = (struct audit_finding){ 0 };
	if (c->next && row > c->next) {
		ret->missing = c->next;
		c->is_tied = false;
	}
	c->next = row + 1;
	judge(c, row, record, n, ret);
}

void audit_check_skip(struct audit_check *c, uint64_t row)
{
	if (c->next && c->next <= row) {
		c->next = row + 1;
		c->is_tied = false;
	}
}

uint64_t audit_check_end(const struct audit_check *c, const struct audit_link *last,
			 enum audit_damage *ret_damage)
{
	if (last->seq >= (c->next ? c->next : 1)) {
		*ret_damage = AUDIT_MISSING;
		return c->next ? c->next : 1;
	}
	if (c->is_tied && c->next == last->seq + 1 &&
	    memcmp(c->hash, last->hash, AUDIT_HASH_LEN) != 0) {
		*ret_damage = AUDIT_ALTERED;
		return last->seq;
	}
	return 0;
}
