/*
 * agent/policy/map-rights.c - see map-rights.h. Sections without Map=yes count for the socket and
 * never here: whoever writes one has not said that what it tells may lie in a verifier's memory.
 */
#include "agent/policy/map-rights.h"

#include <errno.h>

#include "agent/policy/reduce.h"
#include "protocol/scope.h"

bool map_is_offered(const struct policy *p)
{
	for (size_t i = 0; i < p->n_verify; i++)
		if (p->verify[i].map)
			return true;
	return false;
}

/* The sections that count, one after the other; begins with *at 0. NULL at the end. */
static const struct policy_verify *next_section(const struct policy *p, const struct subject *peer,
						size_t *at)
{
	while (*at < p->n_verify) {
		const struct policy_verify *v = &p->verify[(*at)++];

		if (v->map && selector_matches(&v->who, peer))
			return v;
	}
	return NULL;
}

/* How many sections, how many scopes and bytes of them; *ret_all: one has no scopes. */
static size_t measure(const struct policy *p, const struct subject *peer, size_t *ret_n,
		      size_t *ret_bytes, bool *ret_all)
{
	const struct policy_verify *v;
	size_t n_sections = 0, at = 0;

	*ret_n = *ret_bytes = 0;
	*ret_all = false;
	while ((v = next_section(p, peer, &at))) {
		n_sections++;
		*ret_n += v->n_scopes;
		*ret_all = *ret_all || v->n_scopes == 0;
		for (size_t i = 0; i < v->n_scopes; i++)
			*ret_bytes += strlen(v->scopes[i].text);
	}
	return n_sections;
}

static void collect(const struct policy *p, const struct subject *peer, struct span *dst)
{
	const struct policy_verify *v;
	size_t at = 0;

	while ((v = next_section(p, peer, &at)))
		for (size_t i = 0; i < v->n_scopes; i++)
			*dst++ = span_of(v->scopes[i].text);
}

/* The texts are copied behind the spans: the policy may go before the map. */
static int take_scopes(const struct policy *p, const struct subject *peer, size_t n, size_t n_bytes,
		       struct access *ret)
{
	struct span *scopes = malloc(n * sizeof(*scopes) + n_bytes);

	if (!scopes)
		return -ENOMEM;
	collect(p, peer, scopes);
	return access_keep(scopes, n, n, ret);
}

int map_rights_of(const struct policy *p, const struct subject *peer, struct map_rights *ret)
{
	struct map_rights rights = { false, { NULL, 0, NULL } };
	size_t n, n_bytes;
	int r = 0;

	if (measure(p, peer, &n, &n_bytes, &rights.all) == 0)
		return 0;
	if (!rights.all)
		r = take_scopes(p, peer, n, n_bytes, &rights.scopes);
	if (r < 0)
		return r;
	*ret = rights;
	return 1;
}

void map_rights_done(struct map_rights *rights)
{
	access_done(&rights->scopes);
}

/* Scopes are reduced, and in order: there is one way to say the same. */
bool map_rights_equal(const struct map_rights *a, const struct map_rights *b)
{
	if (a->all != b->all || a->scopes.n != b->scopes.n)
		return false;
	for (size_t i = 0; i < a->scopes.n; i++)
		if (!span_equal(a->scopes.scopes[i], b->scopes.scopes[i]))
			return false;
	return true;
}

void map_rights_cut(const struct map_rights *rights, struct span scope,
		    void (*on_scope)(void *userdata, struct span scope), void *userdata)
{
	char text[SCOPE_MAX];

	if (rights->all)
		on_scope(userdata, scope);
	for (size_t i = 0; i < rights->scopes.n; i++) {
		struct span part = { text, scope_cut(scope, rights->scopes.scopes[i], text) };

		if (part.n > 0)
			on_scope(userdata, part);
	}
}
