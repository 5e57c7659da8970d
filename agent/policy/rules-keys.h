/*
 * agent/policy/rules-keys.h - what each key does with its value. Inside of rules.c; nobody else
 * includes it.
 */
#pragma once

#include <string.h>

#include "agent/policy/policy.h"

enum { KEYS_MAX = 8 };

struct rules;

enum key_flags {
	KEY_ONCE = 1,	  /* a second one in a section is a mistake; else they add up */
	KEY_MINTED = 2,	  /* of minted credentials only */
	KEY_NO_PLACE = 4, /* known, and always refused, with the reason */
};

struct key {
	const char *name; /* NULL: the end of the table */
	/*
	 * Takes the value into the section that is being read. 0, -EINVAL with *r->error, or
	 * -ENOMEM.
	 */
	int (*take)(struct rules *r, const char *value);
	unsigned flags; /* of enum key_flags */
};

struct section_kind {
	const char *name;
	const char *title; /* as messages call it */
	bool takes_name;
	const struct key *keys;
	/* Adds a section to the policy; judges it when all of it is read. As a key's take. */
	int (*begin)(struct rules *r, const char *name);
	int (*end)(struct rules *r);
};

/* The reading of one file. */
struct rules {
	struct policy *policy;
	const char *path;
	struct policy_error *error;

	/*
	 * The section that is being read: its kind, its line, and where each of its keys stood
	 * first (0: nowhere).
	 */
	const struct section_kind *kind;
	unsigned section_line;
	unsigned key_lines[KEYS_MAX];
	/* The line that is being read, and its key. */
	unsigned line;
	const struct key *key;
};

/* Keys of each section, at most KEYS_MAX. */
extern const struct key access_keys[], credential_keys[], fetch_keys[], verify_keys[];

/* Puts down a mistake in the line that is being read. -EINVAL. */
#define rules_mistake(r, ...) policy_mistake((r)->error, (r)->path, (r)->line, __VA_ARGS__)

/*
 * Adds an element of `size` bytes, all zeros, to an array that is only ever grown by this. NULL
 * where memory is short.
 */
void *rules_add_element(void **array, size_t *n, size_t size);
#define RULES_ADD(array, n) \
	((__typeof__(array))rules_add_element((void **)&(array), &(n), sizeof(*(array))))
#define RULES_LAST(array, n) (&(array)[(n)-1])

static inline struct policy_place rules_place(const struct rules *r)
{
	return (struct policy_place){ r->path, r->line };
}

/* The section that is being read, where it is of that kind: it is the last one of the policy. */
static inline struct policy_access *rules_access(struct rules *r)
{
	return RULES_LAST(r->policy->access, r->policy->n_access);
}

static inline struct policy_credential *rules_credential(struct rules *r)
{
	return RULES_LAST(r->policy->credentials, r->policy->n_credentials);
}

static inline struct policy_fetch *rules_fetch(struct rules *r)
{
	return RULES_LAST(r->policy->fetch, r->policy->n_fetch);
}

static inline struct policy_verify *rules_verify(struct rules *r)
{
	return RULES_LAST(r->policy->verify, r->policy->n_verify);
}
