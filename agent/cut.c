/*
 * agent/cut.c - see cut.h. Whether a single scope is reached is decided without making the cut; the
 * cut itself is made on the stack for what tokens and users usually have, and in ordinary memory
 * beyond (scopes are no secrets).
 */
#include "agent/cut.h"

#include <stdlib.h>

#include "protocol/scope.h"

bool cut_matches(const struct packed_scopes *scopes, const struct access *access, struct span plain)
{
	struct span scope;
	unsigned at = 0;
	bool within = scopes->count == 0;

	while (!within && packed_scopes_next(scopes, &at, &scope))
		within = scope_matches(scope, plain);
	for (size_t i = 0; within && i < access->n; i++)
		if (scope_matches(access->scopes[i], plain))
			return true;
	return false;
}

struct cut {
	struct span *v;
	char (*texts)[SCOPE_MAX];
	size_t n;
};

/* Adds what two scopes share, unless something there has it; what it has of others goes. */
static void add(struct cut *cut, struct span a, struct span b)
{
	struct span scope;
	size_t kept = 0;

	scope.n = scope_cut(a, b, cut->texts[cut->n]);
	scope.p = cut->texts[cut->n];
	if (scope.n == 0 || scope_is_within(scope, cut->v, cut->n))
		return;
	for (size_t i = 0; i < cut->n; i++)
		if (!scope_is_within(cut->v[i], &scope, 1)) {
			memmove(cut->texts[kept], cut->v[i].p, cut->v[i].n);
			cut->v[kept] = (struct span){ cut->texts[kept], cut->v[i].n };
			kept++;
		}
	memmove(cut->texts[kept], scope.p, scope.n);
	cut->v[kept] = (struct span){ cut->texts[kept], scope.n };
	cut->n = kept + 1;
}

static void make(struct cut *cut, const struct packed_scopes *scopes, const struct access *access)
{
	struct span scope;
	unsigned at = 0;

	while (packed_scopes_next(scopes, &at, &scope))
		for (size_t i = 0; i < access->n; i++)
			add(cut, scope, access->scopes[i]);
}

enum { ON_STACK = 16 };

/* Makes the cut and hands it to `use`. */
static bool with_cut(const struct packed_scopes *scopes, const struct access *access,
		     bool (*use)(const struct cut *cut, void *userdata), void *userdata, bool *ret)
{
	size_t most = (size_t)scopes->count * access->n + 1;
	_cleanup_free_
	void *memory = NULL;
	struct span v[ON_STACK] NOT_ZEROED;
	char texts[ON_STACK][SCOPE_MAX] NOT_ZEROED;
	struct cut cut = { v, texts, 0 };

	if (most > ON_STACK) {
		memory = malloc(most * (sizeof(*cut.v) + SCOPE_MAX));
		if (!memory)
			return false;
		cut.v = memory;
		cut.texts = (void *)(cut.v + most);
	}
	make(&cut, scopes, access);
	*ret = use(&cut, userdata);
	return true;
}

struct each {
	void (*on_scope)(void *userdata, struct span scope);
	void *userdata;
};

static bool use_each(const struct cut *cut, void *userdata)
{
	const struct each *each = userdata;

	for (size_t i = 0; i < cut->n; i++)
		each->on_scope(each->userdata, cut->v[i]);
	return true;
}

/* Whether there is one scope, and one of the access has all of it: then nothing is cut, whatever else there is. */
static bool is_whole(const struct packed_scopes *scopes, const struct access *access,
		     struct span *ret)
{
	unsigned at = 0;

	if (scopes->count != 1 || !packed_scopes_next(scopes, &at, ret))
		return false;
	for (size_t i = 0; i < access->n; i++)
		if (scope_is_left_whole(*ret, access->scopes[i]))
			return true;
	return false;
}

bool cut_each(const struct packed_scopes *scopes, const struct access *access,
	      void (*on_scope)(void *userdata, struct span scope), void *userdata)
{
	struct each each = { on_scope, userdata };
	struct cut all = { access->scopes, NULL, access->n };
	struct span whole;
	bool unused;

	if (scopes->count == 0)
		return use_each(&all, &each);
	if (is_whole(scopes, access, &whole)) {
		on_scope(userdata, whole);
		return true;
	}
	return with_cut(scopes, access, use_each, &each, &unused);
}

static bool use_covers(const struct cut *cut, void *userdata)
{
	const struct span *inner = userdata;

	return scope_is_within(*inner, cut->v, cut->n);
}

bool cut_covers(const struct packed_scopes *scopes, const struct access *access, struct span inner)
{
	bool covers;

	if (scopes->count == 0)
		return scope_is_within(inner, access->scopes, access->n);
	return with_cut(scopes, access, use_covers, &inner, &covers) && covers;
}
