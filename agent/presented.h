/* agent/presented.h - a token's value that somebody presents: whose it is, and how it stands. */
#pragma once

#include "agent/request.h"
#include "agent/token-facts.h"

enum verdict {
	VERDICT_GOOD,
	VERDICT_INVALID, /* no token of ours, or not with this secret */
	VERDICT_EXPIRED, /* its time is over; it may still be in the vault */
	VERDICT_REVOKED,
	VERDICT_ENDED, /* it may be this ended one: the store knows */
};

struct presented {
	uint64_t id;
	token_ref ref; /* GOOD, EXPIRED, REVOKED */
	uint64_t row;  /* ENDED */
	uint8_t hash[TOKEN_HASH_LEN];
};

/* Judges a value. Takes the same time for all texts of a token's form that are none of ours. */
enum verdict present(struct agent *a, struct span value, uint64_t now_us, struct presented *ret);

/*
 * Answers for all verdicts but VERDICT_GOOD: that the token is invalid, expired or revoked, each to
 * one who has its secret.
 */
enum dispatched reply_verdict(struct request *req, enum verdict verdict,
			      const struct presented *presented);

/* Whether the hash is that of the ended token; constant-time. */
bool is_hash_of(const struct token_facts *facts, const uint8_t *hash);
