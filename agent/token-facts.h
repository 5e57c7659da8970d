/*
 * agent/token-facts.h - what there is to know of a token, however it is kept: what the vault, the
 * store and replies share.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base/span.h"

/* The order of these is the order in the interface and of the numbers on disk. */
enum token_state { TOKEN_ACTIVE, TOKEN_EXPIRED, TOKEN_REVOKED };
enum token_binding { BINDING_NONE, BINDING_PROCESS, BINDING_UNIT };
enum end_reason {
	END_NOT,
	END_EXPIRED,
	END_OWNER,
	END_ADMINISTRATOR,
	END_PRESENTED,
	END_PARENT,
	END_BINDING,
	END_USES,
	END_ROTATED,
};

enum { TOKEN_NAME_MAX = 128, TOKEN_HASH_LEN = 32, TOKEN_CHILDREN_MAX = 100, LABEL_MAX = 256 };

#define USES_UNLIMITED INT64_C(-1)

/*
 * Scopes one after the other: each a byte of length, then its text. In n_bytes of p. count 0 means:
 * none were given, all that the owner has.
 */
struct packed_scopes {
	const uint8_t *p;
	uint16_t n_bytes;
	uint8_t count;
};

/* Whom a bound token serves. Binding none: all zeros. */
struct holder {
	uint8_t boot[16];	/* process: of this boot of the machine */
	uint64_t pidfd_inode;	/* process */
	int32_t pid;		/* process */
	uint8_t invocation[16]; /* unit */
	struct span unit;	/* unit: its name */
};

/* Spans and packed scopes belong to whoever filled this in. */
struct token_facts {
	uint64_t id;  /* never 0 */
	uint64_t row; /* grows with each token made; its place in the store */
	struct span name;
	uid_t owner_uid;
	struct span owner_name; /* p NULL: its uid had none */
	struct packed_scopes scopes;
	uint64_t created_us;
	uint64_t expires_us;
	uint64_t last_used_us;	  /* 0: never; kept in whole seconds */
	struct span last_used_by; /* p NULL: nobody */
	enum token_state state;
	enum token_binding binding;
	struct holder holder;
	int64_t uses_left;	/* USES_UNLIMITED: no limit */
	uint64_t parent;	/* an id; 0: none */
	uint64_t replaced_by;	/* an id; 0: none */
	uint64_t length_us;	/* of life as it was given, however expires_us has since been cut */
	struct span credential; /* p NULL: none */
	struct span issued_to;	/* p NULL: unknown */
	uint64_t ended_us;	/* 0: not yet */
	enum end_reason ended;
	uint8_t hash[TOKEN_HASH_LEN]; /* SHA-256 of the secret's 43 digits */
};

/* Steps over packed scopes: *at starts at 0. False at the end. */
static inline bool packed_scopes_next(const struct packed_scopes *s, unsigned *at, struct span *ret)
{
	if (*at >= s->n_bytes)
		return false;
	*ret = (struct span){ (const char *)s->p + *at + 1, s->p[*at] };
	*at += 1U + s->p[*at];
	return true;
}
