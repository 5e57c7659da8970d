/*
 * agent/vault-token.h - how a token lies in the vault's arena. For the vault's own files.
 */
#pragma once

#include "agent/arena.h"
#include "agent/token-facts.h"

/* The highest instant that a token can hold: the year 11104. */
#define TOKEN_TIME_MAX ((UINT64_C(1) << 58) - 1)
#define TOKEN_ROW_MAX ((UINT64_C(1) << 48) - 1)

enum token_flag {
	TOKEN_IS_VISIBLE = 1 << 0,  /* its insert is committed */
	TOKEN_IS_EXTENDED = 1 << 1, /* `more` is an extension */
	TOKEN_IS_ENDING = 1 << 2,   /* a step that ends it is prepared */
	TOKEN_IS_CUT = 1 << 3,	    /* a step that replaces it or cuts its life is prepared */
	TOKEN_IS_DIRTY = 1 << 4,    /* its last use is not in the store */
	TOKEN_HAS_CURSOR = 1 << 5,  /* a cursor may stand at it */
	TOKEN_IS_OVER = 1 << 6,	    /* a step that ends it at its time was prepared once: no clock
					gives it more */
	TOKEN_IS_UNKEPT = 1 << 7,   /* and the store did not keep it */
};

/*
 * A token that has nothing unusual about it is this and its texts. created_us is not kept: the
 * length of its life is, in whole seconds, and expires_us. What does not fit that is in the
 * extension.
 */
struct token {
	uint32_t next; /* in the index's bucket */
	uint32_t owner;
	uint64_t id;
	uint8_t hash[TOKEN_HASH_LEN];
	uint64_t expires_us : 58;
	uint64_t n_scopes : 6;
	uint64_t row : 48;
	uint8_t name_len;
	uint8_t flags;
	uint32_t length_s;
	uint32_t version;
	uint32_t last_used_s;  /* 0: never */
	uint32_t last_used_by; /* a label */
	uint32_t more;	       /* the label issued_to, or the extension, which then has it */
	uint32_t expiry_at;    /* its place in the order of expiry */
	uint32_t all_older, all_newer;
	uint32_t own_older, own_newer;
	char text[]; /* the name, then the scopes, each after a byte of length */
};

_Static_assert(sizeof(struct token) == 104, "every byte here is a megabyte with a million tokens");

/* A last use; from the year 2106 on the last instant that there is room for. */
static inline uint32_t token_second(uint64_t us)
{
	return us / 1000000 < UINT32_MAX ? (uint32_t)(us / 1000000) : UINT32_MAX;
}

/* What few tokens have. */
struct extension {
	uint64_t created_us;
	uint64_t length_us;
	uint64_t parent_id;
	uint64_t replaced_by;
	int64_t uses_left;
	uint32_t parent;
	uint32_t child; /* the newest */
	uint32_t sibling_older, sibling_newer;
	uint32_t n_children;
	uint32_t issued_to;  /* a label */
	uint32_t credential; /* a label */
	uint32_t bond;	     /* 0: bound to nobody */
};

/* Whom a bound token serves. */
struct bond {
	enum token_binding binding;
	int32_t pid;
	uint64_t pidfd_inode;
	uint8_t boot_or_invocation[16];
	uint32_t unit; /* a label */
};
