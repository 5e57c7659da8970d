/*
 * agent/vault-token.c - a token in the arena: made from facts, told as facts, tied to others,
 * freed.
 *
 * A plain token is one piece of the arena. What only some have (a parent, children, uses, a holder
 * ...) is in an extension that is made when it is first needed and stays until the token goes.
 *
 * Invariant: token_free() is right for a token however far token_new() came with it.
 */
#include "agent/vault-internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "protocol/base/time.h"

uint64_t token_hash(const void *object)
{
	const struct token *t = object;

	return index_mix(t->id);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Whether the instants follow from the length of life in whole seconds and the end. */
static bool life_is_plain(const struct token_facts *f)
{
	return f->length_us % USEC_PER_SEC == 0 && f->length_us / USEC_PER_SEC <= UINT32_MAX &&
	       f->expires_us >= f->created_us && f->expires_us - f->created_us == f->length_us;
}

static bool is_plain(const struct token_facts *f)
{
	return life_is_plain(f) && f->binding == BINDING_NONE && f->uses_left == USES_UNLIMITED &&
	       !f->parent && !f->replaced_by && !f->credential.p;
}

static token_ref alloc_token(struct vault *v, const struct token_facts *f)
{
	token_ref ref;
	struct token *t;

	assert(f->name.n > 0 && f->name.n <= TOKEN_NAME_MAX && f->scopes.count < 64);
	assert(f->expires_us <= TOKEN_TIME_MAX && f->row <= TOKEN_ROW_MAX);
	ref = arena_alloc(&v->arena, sizeof(*t) + f->name.n + f->scopes.n_bytes);
	if (!ref)
		return REF_NONE;
	t = token_at(v, ref);
	t->id = f->id;
	memcpy(t->hash, f->hash, sizeof(t->hash));
	t->expires_us = f->expires_us & TOKEN_TIME_MAX;
	t->row = f->row & TOKEN_ROW_MAX;
	t->name_len = (uint8_t)f->name.n;
	t->n_scopes = f->scopes.count & 63U;
	t->length_s = (uint32_t)(f->length_us / USEC_PER_SEC);
	t->last_used_s = token_second(f->last_used_us);
	t->expiry_at = EXPIRY_NOT;
	memcpy(t->text, f->name.p, f->name.n);
	if (f->scopes.n_bytes > 0)
		memcpy(t->text + f->name.n, f->scopes.p, f->scopes.n_bytes);
	return ref;
}

int token_extend(struct vault *v, struct token *t)
{
	struct extension *e;
	uint32_t ref;

	if (t->flags & TOKEN_IS_EXTENDED)
		return 0;
	ref = arena_alloc(&v->arena, sizeof(*e));
	if (!ref)
		return -ENOSPC;
	e = arena_at(&v->arena, ref);
	e->created_us = token_created_us(v, t);
	e->length_us = token_length_us(v, t);
	e->uses_left = USES_UNLIMITED;
	e->issued_to = t->more;
	t->more = ref;
	t->flags |= TOKEN_IS_EXTENDED;
	return 0;
}

static int set_bond(struct vault *v, struct extension *e, const struct token_facts *f)
{
	struct bond *bond;
	bool full = false;

	if (f->binding == BINDING_NONE)
		return 0;
	e->bond = arena_alloc(&v->arena, sizeof(*bond));
	if (!e->bond)
		return -ENOSPC;
	bond = arena_at(&v->arena, e->bond);
	bond->binding = f->binding;
	bond->pid = f->holder.pid;
	bond->pidfd_inode = f->holder.pidfd_inode;
	memcpy(bond->boot_or_invocation,
	       f->binding == BINDING_PROCESS ? f->holder.boot : f->holder.invocation,
	       sizeof(bond->boot_or_invocation));
	bond->unit = label_get(&v->labels, f->holder.unit, &full);
	return full ? -ENOSPC : 0;
}

static int set_extension(struct vault *v, struct token *t, const struct token_facts *f)
{
	struct extension *e;
	bool full = false;

	if (is_plain(f))
		return 0;
	if (token_extend(v, t) < 0)
		return -ENOSPC;
	e = extension_at(v, t);
	e->created_us = f->created_us;
	e->length_us = f->length_us;
	e->parent_id = f->parent;
	e->replaced_by = f->replaced_by;
	e->uses_left = f->uses_left;
	e->credential = label_get(&v->labels, f->credential, &full);
	label_count_minted(&v->labels, e->credential, 1);
	return full ? -ENOSPC : set_bond(v, e, f);
}

static int set_all(struct vault *v, struct token *t, const struct token_facts *f)
{
	bool full = false;

	t->owner = owner_get(v, f->owner_uid, f->owner_name);
	if (!t->owner)
		return -ENOSPC;
	t->more = label_get(&v->labels, f->issued_to, &full);
	t->last_used_by = label_get(&v->labels, f->last_used_by, &full);
	return full ? -ENOSPC : set_extension(v, t, f);
}

/* Tokens that are ending are counted: a rollback brings them back into every order. */
static int reserve(struct vault *v)
{
	size_t n = v->ids.n + 1;

	if (index_reserve(&v->ids, n) < 0 || expiry_reserve(&v->expiry, n) < 0)
		return -ENOSPC;
	return dirty_reserve(&v->dirty, n) < 0 ? -ENOMEM : 0;
}

token_ref token_new(struct vault *v, const struct token_facts *facts, int *ret_r)
{
	token_ref ref = alloc_token(v, facts);
	int r;

	if (!ref) {
		*ret_r = -ENOSPC;
		return REF_NONE;
	}
	r = set_all(v, token_at(v, ref), facts);
	if (r == 0)
		r = reserve(v);
	if (r < 0) {
		token_free(v, ref);
		*ret_r = r;
		return REF_NONE;
	}
	return ref;
}

static void free_bond(struct vault *v, uint32_t ref)
{
	if (!ref)
		return;
	label_put(&v->labels, ((struct bond *)arena_at(&v->arena, ref))->unit);
	arena_free(&v->arena, ref);
}

void token_free(struct vault *v, token_ref ref)
{
	struct token *t = token_at(v, ref);
	const struct extension *e = extension_of(v, t);
	uint32_t owner = t->owner;

	if (e) {
		free_bond(v, e->bond);
		label_put(&v->labels, e->issued_to);
		label_count_minted(&v->labels, e->credential, -1);
		label_put(&v->labels, e->credential);
		arena_free(&v->arena, t->more);
	} else {
		label_put(&v->labels, t->more);
	}
	label_put(&v->labels, t->last_used_by);
	arena_free(&v->arena, ref);
	if (owner)
		owner_release(v, owner);
}

/* ---- orders ---------------------------------------------------------------------------------- */

static bool is_minted(const struct vault *v, const struct token *t)
{
	const struct extension *e = extension_of(v, t);

	return e && e->credential;
}

void token_link(struct vault *v, token_ref ref)
{
	struct token *t = token_at(v, ref);
	struct owner_entry *owner = owner_at(v, t->owner);

	t->all_newer = t->own_newer = REF_NONE;
	t->all_older = v->newest;
	*(v->newest ? &token_at(v, v->newest)->all_newer : &v->oldest) = ref;
	v->newest = ref;
	t->own_older = owner->newest;
	*(owner->newest ? &token_at(v, owner->newest)->own_newer : &owner->oldest) = ref;
	owner->newest = ref;
	owner->owner.n_active++;
	owner->owner.n_minted += is_minted(v, t);
}

void token_unlink(struct vault *v, token_ref ref)
{
	const struct token *t = token_at(v, ref);
	struct owner_entry *owner = owner_at(v, t->owner);

	cursors_leave(v, ref);
	*(t->all_newer ? &token_at(v, t->all_newer)->all_older : &v->newest) = t->all_older;
	*(t->all_older ? &token_at(v, t->all_older)->all_newer : &v->oldest) = t->all_newer;
	*(t->own_newer ? &token_at(v, t->own_newer)->own_older : &owner->newest) = t->own_older;
	*(t->own_older ? &token_at(v, t->own_older)->own_newer : &owner->oldest) = t->own_newer;
	owner->owner.n_active--;
	owner->owner.n_minted -= is_minted(v, t);
}

/* ---- parents and children -------------------------------------------------------------------- */

void token_adopt(struct vault *v, token_ref parent, token_ref child)
{
	struct extension *p = extension_at(v, token_at(v, parent));
	struct extension *c = extension_at(v, token_at(v, child));

	c->parent = parent;
	c->sibling_newer = REF_NONE;
	c->sibling_older = p->child;
	if (p->child)
		extension_at(v, token_at(v, p->child))->sibling_newer = child;
	p->child = child;
	p->n_children++;
}

void token_orphan(struct vault *v, token_ref child)
{
	struct extension *c = extension_of(v, token_at(v, child));
	struct extension *p;

	if (!c || !c->parent)
		return;
	p = extension_at(v, token_at(v, c->parent));
	if (c->sibling_newer)
		extension_at(v, token_at(v, c->sibling_newer))->sibling_older = c->sibling_older;
	else
		p->child = c->sibling_older;
	if (c->sibling_older)
		extension_at(v, token_at(v, c->sibling_older))->sibling_newer = c->sibling_newer;
	p->n_children--;
	c->parent = c->sibling_older = c->sibling_newer = REF_NONE;
}

token_ref token_next_below(const struct vault *v, token_ref root, token_ref ref, bool into)
{
	const struct extension *e = extension_of(v, token_at(v, ref));

	if (into && e && e->child)
		return e->child;
	while (ref != root) {
		if (e->sibling_older)
			return e->sibling_older;
		ref = e->parent;
		e = extension_at(v, token_at(v, ref));
	}
	return REF_NONE;
}

uint32_t vault_n_minted(const struct vault *v, struct span credential)
{
	return labels_n_minted(&v->labels, credential);
}

unsigned vault_n_children(const struct vault *v, token_ref ref)
{
	const struct extension *e = extension_of(v, token_at(v, ref));

	return e ? e->n_children : 0;
}

/* ---- facts ----------------------------------------------------------------------------------- */

uint64_t token_created_us(const struct vault *v, const struct token *t)
{
	const struct extension *e = extension_of(v, t);

	return e ? e->created_us : t->expires_us - t->length_s * USEC_PER_SEC;
}

uint64_t token_length_us(const struct vault *v, const struct token *t)
{
	const struct extension *e = extension_of(v, t);

	return e ? e->length_us : t->length_s * USEC_PER_SEC;
}

static struct packed_scopes scopes_of(const struct token *t)
{
	const uint8_t *p = (const uint8_t *)t->text + t->name_len;
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_scopes; i++)
		n += 1U + p[n];
	return (struct packed_scopes){ p, (uint16_t)n, (uint8_t)t->n_scopes };
}

static void tell_bond(const struct vault *v, const struct bond *bond, struct token_facts *ret)
{
	ret->binding = bond->binding;
	ret->holder.pid = bond->pid;
	ret->holder.pidfd_inode = bond->pidfd_inode;
	memcpy(bond->binding == BINDING_PROCESS ? ret->holder.boot : ret->holder.invocation,
	       bond->boot_or_invocation, sizeof(bond->boot_or_invocation));
	ret->holder.unit = label_text(&v->labels, bond->unit);
}

static void tell_extension(const struct vault *v, const struct extension *e,
			   struct token_facts *ret)
{
	ret->uses_left = e->uses_left;
	ret->parent = e->parent_id;
	ret->replaced_by = e->replaced_by;
	ret->credential = label_text(&v->labels, e->credential);
	if (e->bond)
		tell_bond(v, arena_at(&v->arena, e->bond), ret);
}

void vault_facts(const struct vault *v, token_ref ref, struct token_facts *ret)
{
	const struct token *t = token_at(v, ref);
	const struct extension *e = extension_of(v, t);
	const struct owner *owner = &owner_at(v, t->owner)->owner;

	*ret = (struct token_facts){
		.id = t->id,
		.row = t->row,
		.name = { t->text, t->name_len },
		.owner_uid = owner->uid,
		.owner_name = owner->name,
		.scopes = scopes_of(t),
		.created_us = token_created_us(v, t),
		.expires_us = t->expires_us,
		.last_used_us = t->last_used_s * USEC_PER_SEC,
		.last_used_by = label_text(&v->labels, t->last_used_by),
		.state = TOKEN_ACTIVE,
		.uses_left = USES_UNLIMITED,
		.length_us = token_length_us(v, t),
		.issued_to = label_text(&v->labels, e ? e->issued_to : t->more),
	};
	memcpy(ret->hash, t->hash, sizeof(ret->hash));
	if (e)
		tell_extension(v, e, ret);
}
