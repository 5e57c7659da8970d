/* tests/unit/vault-unit.h - a vault to try things on, and short ways to say usual things. */
#pragma once

#include "agent/vault.h"
#include "protocol/base/time.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1700000000000000)
#define DAY (SEC_PER_DAY * USEC_PER_SEC)
#define LIMIT_SMALL ((size_t)4 * 1024 * 1024)

static struct secretmem unit_mem;
static unsigned unit_owners_freed;

static inline void on_owner_free(struct owner *owner)
{
	(void)owner;
	unit_owners_freed++;
}

static inline struct vault *unit_vault(size_t limit)
{
	struct vault *v;

	unit_mem = (struct secretmem){};
	unit_owners_freed = 0;
	ck_assert_int_eq(vault_new(&unit_mem, limit, on_owner_free, &v), 0);
	return v;
}

/* Frees it, and whoever lost track of locked memory fails. */
static inline void unit_done(struct vault *v)
{
	vault_free(v);
	ck_assert_uint_eq(unit_mem.locked, 0);
}

/* A plain token of the owner "ci". */
static inline struct token_facts unit_facts(uint64_t id)
{
	struct token_facts f = {
		.id = id,
		.name = SPAN("a-token-of-16-ch"),
		.owner_uid = 1000,
		.owner_name = SPAN("ci"),
		.scopes = { (const uint8_t *)"\x14"
					     "acme/pipeline-a:read",
			    21, 1 },
		.created_us = NOW,
		.expires_us = NOW + 30 * DAY,
		.length_us = 30 * DAY,
		.uses_left = USES_UNLIMITED,
		.issued_to = SPAN("nightly.service"),
	};

	for (size_t i = 0; i < sizeof(f.hash); i++)
		f.hash[i] = (uint8_t)(id >> 8 * (i % 8)) ^ (uint8_t)i;
	return f;
}

static inline struct vault_change *unit_change(struct vault *v)
{
	struct vault_change *c = vault_change_new(v);

	UNIT_CHECK(c, "no memory");
	return c;
}

/* Prepares a token of these facts in a change of its own. */
static inline struct vault_change *unit_prepare(struct vault *v, struct token_facts f,
						token_ref parent, token_ref *ret)
{
	struct vault_change *c = unit_change(v);

	UNIT_CHECK(vault_prepare_insert(c, &f, parent, ret) == 0, "insert failed");
	return c;
}

/* A token, made and visible. */
static inline token_ref unit_add(struct vault *v, struct token_facts f, token_ref parent)
{
	token_ref ref;

	vault_commit(unit_prepare(v, f, parent, &ref));
	return ref;
}

static inline token_ref unit_add_id(struct vault *v, uint64_t id)
{
	return unit_add(v, unit_facts(id), REF_NONE);
}

static inline token_ref unit_derive(struct vault *v, uint64_t id, token_ref parent)
{
	struct token_facts f = unit_facts(id);

	f.expires_us = vault_expires_us(v, parent);
	f.length_us = f.expires_us - f.created_us;
	return unit_add(v, f, parent);
}

/* Prepares the end of a token by its owner. */
static inline struct vault_change *unit_prepare_end(struct vault *v, token_ref ref, uint64_t at_us)
{
	struct vault_change *c = unit_change(v);

	UNIT_CHECK(vault_prepare_end(c, ref, TOKEN_REVOKED, END_OWNER, at_us) == 0, "end failed");
	return c;
}

static inline void unit_end(struct vault *v, uint64_t id)
{
	vault_commit(unit_prepare_end(v, vault_find(v, id), NOW));
}

/* What step i of a change is for the store, read again. The facts live until the next call. */
static inline struct token_facts unit_row(const struct vault_change *c, size_t i,
					  struct vault_row *ret_row)
{
	static uint8_t data[RECORD_MAX];
	struct token_facts facts = {};

	vault_change_row(c, i, data, ret_row);
	if (ret_row->n > 0)
		UNIT_CHECK(record_read(data, ret_row->n, &facts) == 0, "step %zu is no record", i);
	return facts;
}
