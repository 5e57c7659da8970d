/*
 * agent/policy/access.c
 *
 * Sections only ever add: what no section gives is refused, so the order of files and sections
 * never matters. Nothing is looked up here, and but for access_of() nothing allocated: Verify and
 * Fetch ask on every call.
 */
#include "agent/policy/access.h"

#include <errno.h>
#include <fnmatch.h>

#include "protocol/scope.h"

/* ---- matching -------------------------------------------------------------------------------- */

static bool users_match(const struct policy_selector *s, uid_t uid)
{
	for (size_t i = 0; i < s->n_users; i++)
		if (uid != (uid_t)-1 &&
		    (s->users[i].any || (s->users[i].exists && s->users[i].id == uid)))
			return true;
	return false;
}

static bool is_in_group(const struct subject *who, gid_t group)
{
	for (size_t i = 0; i < who->n_groups; i++)
		if (who->groups[i] == group)
			return true;
	return false;
}

static bool groups_match(const struct policy_selector *s, const struct subject *who)
{
	for (size_t i = 0; i < s->n_groups; i++)
		if (s->groups[i].exists && is_in_group(who, s->groups[i].id))
			return true;
	return false;
}

bool unit_matches(const char *pattern, const char *unit)
{
	return fnmatch(pattern, unit, FNM_NOESCAPE) == 0;
}

bool selector_has_unit(const struct policy_selector *s, const char *unit)
{
	for (size_t i = 0; unit && i < s->n_units; i++)
		if (unit_matches(s->units[i], unit))
			return true;
	return false;
}

unsigned selector_misses(const struct policy_selector *s, const struct subject *who)
{
	/* The reader takes no such section: it would be for everyone. */
	unsigned misses = s->n_users + s->n_groups + s->n_units > 0 ? 0 : MISS_USER;

	if (s->n_users > 0 && !users_match(s, who->uid))
		misses |= MISS_USER;
	if (s->n_groups > 0 && !groups_match(s, who))
		misses |= MISS_GROUP;
	if (s->n_units > 0 && !selector_has_unit(s, who->unit))
		misses |= MISS_UNIT;
	if (who->no_user && !s->container && s->n_users + s->n_groups > 0)
		misses |= MISS_CONTAINER;
	return misses;
}

bool selector_matches(const struct policy_selector *s, const struct subject *who)
{
	return selector_misses(s, who) == 0;
}

/* ---- [Access] -------------------------------------------------------------------------------- */

static bool has_star(struct span scope)
{
	return memchr(scope.p, '*', scope.n) != NULL;
}

static int compare_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int r = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return r != 0 ? r : (x->n > y->n) - (x->n < y->n);
}

static int compare_stars_first(const void *a, const void *b)
{
	bool x = has_star(*(const struct span *)a), y = has_star(*(const struct span *)b);

	return x != y ? y - x : compare_spans(a, b);
}

static size_t drop_doubles(struct span scopes[], size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (kept == 0 || !span_equal(scopes[kept - 1], scopes[i]))
			scopes[kept++] = scopes[i];
	return kept;
}

/* A plain scope that differs from all others can only be within one with stars. Those are few. */
static size_t drop_plain_within(struct span scopes[], size_t n_stars, size_t n)
{
	size_t kept = n_stars;

	for (size_t i = n_stars; i < n; i++)
		if (!scope_is_within(scopes[i], scopes, n_stars))
			scopes[kept++] = scopes[i];
	return kept;
}

/*
 * One with stars may be within all others together. They are dropped one by one, each held against
 * what is then left, so that of two that stand for the same one stays.
 */
static size_t drop_stars_within(struct span scopes[], size_t n_stars, size_t n)
{
	for (size_t i = n_stars; i-- > 0;) {
		struct span one = scopes[i];

		scopes[i] = scopes[n - 1];
		if (scope_is_within(one, scopes, n - 1)) {
			n--;
			continue;
		}
		scopes[n - 1] = scopes[i];
		scopes[i] = one;
	}
	return n;
}

/* Leaves the fewest scopes that stand for the same, sorted. Gives their number. */
static size_t reduce(struct span scopes[], size_t n)
{
	size_t n_stars = 0;

	if (n < 2)
		return n;
	qsort(scopes, n, sizeof(*scopes), compare_stars_first);
	n = drop_doubles(scopes, n);
	while (n_stars < n && has_star(scopes[n_stars]))
		n_stars++;
	n = drop_plain_within(scopes, n_stars, n);
	n = drop_stars_within(scopes, n_stars, n);
	qsort(scopes, n, sizeof(*scopes), compare_spans);
	return n;
}

/* How much room all scopes of the sections that match take. */
static void measure(const struct policy *p, const struct subject *owner, size_t *ret_n,
		    size_t *ret_bytes)
{
	*ret_n = *ret_bytes = 0;
	for (size_t i = 0; i < p->n_access; i++) {
		const struct policy_access *a = &p->access[i];

		if (!selector_matches(&a->who, owner))
			continue;
		*ret_n += a->n_scopes;
		for (size_t j = 0; j < a->n_scopes; j++)
			*ret_bytes += strlen(a->scopes[j].text);
	}
}

static size_t collect(const struct policy *p, const struct subject *owner, struct span *dst)
{
	size_t n = 0;

	for (size_t i = 0; i < p->n_access; i++) {
		const struct policy_access *a = &p->access[i];

		if (!selector_matches(&a->who, owner))
			continue;
		for (size_t j = 0; j < a->n_scopes; j++)
			dst[n++] = span_of(a->scopes[j].text);
	}
	return n;
}

int access_of(const struct policy *p, const struct subject *owner, struct access *ret)
{
	size_t n, n_bytes;
	struct span *scopes;
	char *text;

	measure(p, owner, &n, &n_bytes);
	if (n == 0) {
		*ret = (struct access){ NULL, 0, NULL };
		return 0;
	}
	scopes = malloc(n * sizeof(*scopes) + n_bytes);
	if (!scopes)
		return -ENOMEM;
	text = (char *)(scopes + n);
	n = reduce(scopes, collect(p, owner, scopes));
	for (size_t i = 0; i < n; i++) {
		scopes[i].p = memcpy(text, scopes[i].p, scopes[i].n);
		text += scopes[i].n;
	}
	*ret = (struct access){ scopes, n, scopes };
	return 0;
}

void access_done(struct access *a)
{
	free(a->memory);
	*a = (struct access){ NULL, 0, NULL };
}

/* ---- [Verify] -------------------------------------------------------------------------------- */

bool verify_is_allowed(const struct policy *p, const struct subject *peer)
{
	for (size_t i = 0; i < p->n_verify; i++)
		if (selector_matches(&p->verify[i].who, peer))
			return true;
	return p->n_verify == 0;
}

bool verify_needs_peer(const struct policy *p)
{
	return p->n_verify > 0;
}

bool verify_needs_unit(const struct policy *p)
{
	for (size_t i = 0; i < p->n_verify; i++)
		if (p->verify[i].who.n_units > 0)
			return true;
	return false;
}

/* Steps over the scopes of the sections that match the peer. Begins with zeros. */
struct told {
	const struct policy *policy;
	const struct subject *peer;
	size_t section, scope;
};

static bool told_next(struct told *t, struct span *ret)
{
	for (; t->section < t->policy->n_verify; t->section++, t->scope = 0) {
		const struct policy_verify *v = &t->policy->verify[t->section];

		if (t->scope == v->n_scopes ||
		    (t->scope == 0 && !selector_matches(&v->who, t->peer)))
			continue;
		*ret = span_of(v->scopes[t->scope++].text);
		return true;
	}
	return false;
}

static bool tells_all(const struct policy *p, const struct subject *peer)
{
	for (size_t i = 0; i < p->n_verify; i++)
		if (p->verify[i].n_scopes == 0 && selector_matches(&p->verify[i].who, peer))
			return true;
	return p->n_verify == 0;
}

/*
 * A scope of the token and what a [Verify] section lets the peer know, cut to what they have in
 * common. Several such pairs may give the same, or more of it.
 */
struct pair {
	size_t i_scope, i_told;
	struct span cut;
};

/*
 * Whether the pair's cut is told by another pair too, which goes before it: one that tells more, or
 * the same and stands earlier.
 */
static bool is_told_otherwise(const struct policy *p, const struct subject *peer,
			      const struct span scopes[], size_t n, const struct pair *pair)
{
	char text[SCOPE_MAX];
	struct told t = { .policy = p, .peer = peer };
	struct span told;

	for (size_t i_told = 0; told_next(&t, &told); i_told++) {
		if (!scope_is_within(pair->cut, &told, 1))
			continue;
		for (size_t i = 0; i < n; i++) {
			struct span other = { text, 0 };

			if ((i == pair->i_scope && i_told == pair->i_told) ||
			    !scope_is_within(pair->cut, &scopes[i], 1))
				continue;
			other.n = scope_cut(scopes[i], told, text);
			if (!scope_is_within(other, &pair->cut, 1) || i < pair->i_scope ||
			    (i == pair->i_scope && i_told < pair->i_told))
				return true;
		}
	}
	return false;
}

void verify_tells(const struct policy *p, const struct subject *peer, const struct span scopes[],
		  size_t n, void (*on_scope)(void *userdata, struct span scope), void *userdata)
{
	bool all = tells_all(p, peer);

	for (size_t i = 0; i < n; i++) {
		struct told t = { .policy = p, .peer = peer };
		struct span told;

		if (all)
			on_scope(userdata, scopes[i]);
		for (size_t i_told = 0; !all && told_next(&t, &told); i_told++) {
			char text[SCOPE_MAX];
			struct pair pair = { i,
					     i_told,
					     { text, scope_cut(scopes[i], told, text) } };

			if (pair.cut.n > 0 && !is_told_otherwise(p, peer, scopes, n, &pair))
				on_scope(userdata, pair.cut);
		}
	}
}

/* ---- [Credential] and [Fetch] ---------------------------------------------------------------- */

static int compare_name(const void *key, const void *element)
{
	const struct span *name = key;
	const struct policy_credential *c = element;
	struct span other = span_of(c->name);

	return compare_spans(name, &other);
}

const struct policy_credential *policy_find_credential(const struct policy *p, struct span name)
{
	if (p->n_credentials == 0 || name.n == 0)
		return NULL;
	return bsearch(&name, p->credentials, p->n_credentials, sizeof(*p->credentials),
		       compare_name);
}

bool fetch_names(const struct policy_fetch *f, struct span credential)
{
	for (size_t i = 0; i < f->n_credentials; i++)
		if (span_is(credential, f->credentials[i].name))
			return true;
	return false;
}

bool fetch_is_allowed(const struct policy *p, const struct subject *peer, struct span credential,
		      bool by_unit_alone, const struct policy_fetch **ret_by)
{
	const struct policy_fetch *by = NULL;

	for (size_t i = 0; !by && i < p->n_fetch; i++) {
		const struct policy_fetch *f = &p->fetch[i];

		if (fetch_names(f, credential) &&
		    (by_unit_alone ? selector_has_unit(&f->who, peer->unit)
				   : selector_matches(&f->who, peer)))
			by = f;
	}
	if (ret_by)
		*ret_by = by;
	return by;
}

bool fetch_needs_unit(const struct policy *p, struct span credential)
{
	for (size_t i = 0; i < p->n_fetch; i++)
		if (p->fetch[i].who.n_units > 0 &&
		    (!credential.p || fetch_names(&p->fetch[i], credential)))
			return true;
	return false;
}
