/*
 * ctl/unused.c - a use goes up the line of parents, as far as the first that was already seen to be
 * used.
 */
#include "ctl/unused.h"

#include <errno.h>

#include "protocol/base/span.h"
#include "protocol/token.h"

void unused_done(struct unused *u)
{
	free(u->tokens);
}

int unused_note(struct unused *u, const struct jeton_token *token)
{
	struct unused_token t = {
		.last_us = token->last_used_us > token->created_us ? token->last_used_us
								   : token->created_us,
		.has_parent = token->parent != NULL,
	};

	if (!token_id_read(span_of(token->id), &t.id) ||
	    (t.has_parent && !token_id_read(span_of(token->parent), &t.parent)))
		return -EBADMSG;
	if (u->n == u->size) {
		size_t size = u->size ? u->size * 2 : 64;
		struct unused_token *tokens = reallocarray(u->tokens, size, sizeof(*tokens));

		if (!tokens)
			return -ENOMEM;
		u->tokens = tokens;
		u->size = size;
	}
	u->tokens[u->n++] = t;
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = ((const struct unused_token *)a)->id, y = ((const struct unused_token *)b)->id;

	return x < y ? -1 : x > y;
}

static struct unused_token *find(const struct unused *u, uint64_t id)
{
	struct unused_token key = { .id = id };

	return u->n ? bsearch(&key, u->tokens, u->n, sizeof(key), compare) : NULL;
}

static void mark(struct unused *u, struct unused_token *t)
{
	while (t && !t->used) {
		t->used = true;
		t = t->has_parent ? find(u, t->parent) : NULL;
	}
}

void unused_judge(struct unused *u, int64_t since_us)
{
	if (u->n)
		qsort(u->tokens, u->n, sizeof(*u->tokens), compare);
	for (size_t i = 0; i < u->n; i++)
		if (u->tokens[i].last_us >= since_us)
			mark(u, &u->tokens[i]);
}

bool unused_is(const struct unused *u, const char *id)
{
	const struct unused_token *t;
	uint64_t number;

	if (!token_id_read(span_of(id), &number))
		return false;
	t = find(u, number);
	return t && !t->used;
}
