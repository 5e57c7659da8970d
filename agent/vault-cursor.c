/*
 * agent/vault-cursor.c - walking tokens over any number of calls.
 *
 * A cursor stands at the token it will give next. It goes from newer to older ones, and what is
 * made later is newer than all, so new ones are never met; when the token it stands at goes, it
 * steps on. A flag on the token spares all others the search among cursors.
 */
#include "agent/vault-internal.h"

static token_ref older(const struct vault_cursor *c, const struct token *t)
{
	return c->all ? t->all_older : t->own_older;
}

/* Stands at ref, or at the first visible one that is older. */
static void stand(struct vault_cursor *c, token_ref ref)
{
	while (ref && !(token_at(c->vault, ref)->flags & TOKEN_IS_VISIBLE))
		ref = older(c, token_at(c->vault, ref));
	c->at = ref;
	if (ref)
		token_at(c->vault, ref)->flags |= TOKEN_HAS_CURSOR;
}

void vault_cursor_init(struct vault_cursor *c, struct vault *v, struct owner *owner, bool all)
{
	*c = (struct vault_cursor){ .vault = v, .owner = all ? NULL : owner, .all = all };
	c->next = v->cursors;
	if (c->next)
		c->next->prev = c;
	v->cursors = c;
	if (all)
		stand(c, v->newest);
	else if (owner)
		stand(c, entry_of(owner)->newest);
}

token_ref vault_cursor_peek(const struct vault_cursor *c)
{
	return c->at;
}

void vault_cursor_step(struct vault_cursor *c)
{
	if (c->at)
		stand(c, older(c, token_at(c->vault, c->at)));
}

void vault_cursor_done(struct vault_cursor *c)
{
	if (!c->vault)
		return;
	if (c->prev)
		c->prev->next = c->next;
	else
		c->vault->cursors = c->next;
	if (c->next)
		c->next->prev = c->prev;
	*c = (struct vault_cursor){};
}

void cursors_leave(struct vault *v, token_ref ref)
{
	if (!(token_at(v, ref)->flags & TOKEN_HAS_CURSOR))
		return;
	for (struct vault_cursor *c = v->cursors; c; c = c->next)
		if (c->at == ref)
			vault_cursor_step(c);
}

void cursors_stop(struct vault *v, const struct owner *owner)
{
	for (struct vault_cursor *c = v->cursors; c; c = c->next) {
		if (c->owner == owner) {
			c->owner = NULL;
			c->at = REF_NONE;
		}
	}
}
