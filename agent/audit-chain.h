/*
 * agent/audit-chain.h - what makes entries of the audit a chain: each has its number, one more than
 * the one before, and the SHA-256 of the record before it. Pure.
 */
#pragma once

#include "agent/audit-record.h"

/* The end of a chain, to which the next entry is tied. Zeros: the chain is empty. */
struct audit_link {
	uint64_t seq;
	uint8_t hash[AUDIT_HASH_LEN]; /* of that entry's record */
};

/*
 * Gives the entry the next number, and writes its record to dst, tied to the link, which moves on
 * to it. Gives the record's length.
 */
size_t audit_chain_add(struct audit_link *link, struct audit_entry *entry,
		       uint8_t dst[static AUDIT_RECORD_MAX]);

/* The link that a record of this number makes. */
void audit_chain_link(uint64_t seq, const uint8_t *record, size_t n, struct audit_link *ret);

enum audit_damage {
	AUDIT_WHOLE,
	AUDIT_ALTERED,	 /* its record is not the one that the next is tied to, or is none */
	AUDIT_MISSING,	 /* it, and those up to the next that is there, are gone */
	AUDIT_REORDERED, /* another's record stands in its place */
};

/* "altered" and so on. */
const char *audit_damage_text(enum audit_damage damage);

/* A reading of a chain from its oldest entry on. Zeros: before the first. */
struct audit_check {
	uint64_t next; /* the row that comes next; 0: whichever is the first */
	bool is_tied;  /* hash counts: the record before was whole */
	uint8_t hash[AUDIT_HASH_LEN];
};

/* What came out of one row. Damage of others and of its own may come together. */
struct audit_finding {
	uint64_t missing; /* the first that is missing before it; 0: none is */
	uint64_t altered; /* that was altered: the one before this row, or this one; 0: none */
	uint64_t reordered; /* this row; 0: not */
	bool has_entry;	    /* entry is what stands there */
	struct audit_entry entry;
};

/*
 * Looks at the next row that is there; rows come in ascending order. n 0: its record could not be
 * opened.
 */
void audit_check_row(struct audit_check *c, uint64_t row, const uint8_t *record, size_t n,
		     struct audit_finding *ret);

/*
 * Entries up to `row` were deleted for newer ones while the chain was being read: that those from
 * c->next on are not there is no damage.
 */
void audit_check_skip(struct audit_check *c, uint64_t row);

/*
 * The rows are over, and this is where the chain ends: 0; or the first that is missing, or
 * the last, altered: *ret_damage says which.
 */
uint64_t audit_check_end(const struct audit_check *c, const struct audit_link *last,
			 enum audit_damage *ret_damage);
