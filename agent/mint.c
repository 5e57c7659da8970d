/*
 * agent/mint.c - see mint.h. The value exists in agent->scratch for the length of one call, then in
 * the reply alone.
 */
#include "agent/mint.h"

#include <errno.h>
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "agent/change.h"
#include "agent/holder.h"
#include "agent/reply.h"
#include "protocol/token-hash.h"

enum { LARGEST_STEP = 8 * 1024 * 1024 };

struct packed_scopes pack_scopes(const struct span scopes[], unsigned n, uint8_t *buf)
{
	struct packed_scopes packed = { .p = buf, .count = (uint8_t)n };
	uint8_t *at = buf;

	for (unsigned i = 0; i < n; i++) {
		*at++ = (uint8_t)scopes[i].n;
		memcpy(at, scopes[i].p, scopes[i].n);
		at += scopes[i].n;
	}
	packed.n_bytes = (uint16_t)(at - buf);
	return packed;
}

/*
 * Random: it tells nothing of how many there are. With 64 bits it is not given twice; what is known
 * is asked.
 */
static uint64_t new_id(struct agent *a)
{
	uint64_t id;

	do
		randombytes_buf(&id, sizeof(id));
	while (id == 0 || vault_id_is_taken(a->vault, id));
	return id;
}

int mint(struct agent *a, struct vault_change *change, struct token_facts *facts, token_ref parent)
{
	struct scratch *s = a->scratch;
	uint64_t hash[TOKEN_HASH_WORDS];

	facts->id = new_id(a);
	randombytes_buf(s->random, sizeof(s->random));
	token_make(facts->id, s->random, s->value);
	token_hash_secret(s->value + TOKEN_SECRET_AT, hash);
	memcpy(facts->hash, hash, sizeof(facts->hash));
	return vault_prepare_insert(change, facts, parent, NULL);
}

void mint_done(struct agent *a)
{
	secret_wipe(a->scratch->random, sizeof(a->scratch->random));
	secret_wipe(a->scratch->value, sizeof(a->scratch->value));
}

struct json_writer *mint_reply_begin(struct request *req, const struct token_facts *facts)
{
	struct agent *a = req->agent;
	struct json_writer *w = reply_begin(req);

	a->out_has_value = true;
	json_key(w, "token");
	json_put_string(w, (struct span){ a->scratch->value, TOKEN_LEN });
	json_key(w, "info");
	write_token(w, facts);
	return w;
}

enum dispatched mint_failed(struct request *req)
{
	struct agent *a = req->agent;
	uint64_t most = a->settings.memory_limit, kernel = secretmem_limit();
	/* The vault grows by less than this at once. */
	bool by_settings = vault_locked_bytes(a->vault) + LARGEST_STEP >= most;
	char why[160];

	snprintf(why, sizeof(why),
		 "no room for another token: %s (now %llu MiB) is reached; raise it, or end unused "
		 "tokens",
		 by_settings ? "MemoryLimit=" : "the limit on locked memory, LimitMEMLOCK=",
		 (unsigned long long)((by_settings ? most : kernel) >> 20));
	req->why = why;
	(void)reply_limit(req, by_settings ? "MemoryLimit" : "LimitMEMLOCK",
			  (int64_t)(by_settings ? most : kernel));
	req->why = NULL;
	return DISPATCH_DONE;
}

bool mint_has_room(struct agent *a, uid_t uid, struct span name)
{
	const struct owner *owner = vault_find_owner(a->vault, uid, name);

	return !owner || owner->n_active - owner->n_minted < a->settings.max_tokens_per_user;
}

enum dispatched mint_bind_to_peer(struct request *req, struct token_facts *facts,
				  struct holder_entry **ret_holder, bool *ret_ok)
{
	int r = 0;

	*ret_holder = NULL;
	if (facts->binding != BINDING_NONE)
		r = holder_of_peer(req->agent, req->connection->fd, facts->binding, &facts->holder,
				   ret_holder);
	*ret_ok = r == 0;
	if (r == -EOPNOTSUPP)
		return reply_binding_unavailable(req, facts->binding);
	return r < 0 ? reply_limit(req, r == -EMFILE ? "descriptors" : "memory", 0) : DISPATCH_DONE;
}

enum dispatched mint_submit(struct request *req, struct vault_change *change, uint64_t id,
			    struct holder_entry *holder)
{
	enum dispatched answer = change_submit(req, change, NULL, 0);

	if (answer == DISPATCH_LATER && holder)
		change_binds(req, holder, id);
	else
		holder_unpin(req->agent, holder);
	return answer;
}

static struct packed_scopes scopes_of(const struct policy_credential *c, uint8_t *packed)
{
	struct span scopes[SCOPES_MAX];

	assert(c->n_scopes <= SCOPES_MAX);
	for (size_t i = 0; i < c->n_scopes; i++)
		scopes[i] = span_of(c->scopes[i].text);
	return pack_scopes(scopes, (unsigned)c->n_scopes, packed);
}

enum identity mint_facts_of(struct agent *a, const struct policy_credential *c, uint64_t now_us,
			    uint8_t *packed, struct token_facts *ret)
{
	uint64_t length_us = c->lifetime_us ? c->lifetime_us : a->settings.default_lifetime_us;

	*ret = (struct token_facts){
		.name = span_of(c->name),
		.credential = span_of(c->name),
		.owner_uid = c->owner.id,
		.created_us = now_us,
		.length_us = length_us,
		.expires_us = now_us + length_us,
		.binding = (enum token_binding)c->binding,
		.uses_left = USES_UNLIMITED,
		.scopes = scopes_of(c, packed),
	};
	return name_of(a, c->owner.id, &ret->owner_name);
}
