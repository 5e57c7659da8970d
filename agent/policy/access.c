/*
 * agent/policy/access.c
 *
 * Sections only ever add: what no section gives is refused, so the order of files and sections
 * never matters. Nothing is looked up here, and on the good path of Verify and Fetch nothing is
 * allocated.
 */
#include "agent/policy/access.h"

#include <errno.h>
#include <fnmatch.h>

#include "agent/policy/reduce.h"
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

int access_keep(struct span *scopes, size_t n, size_t room, struct access *ret)
{
	char *text = (char *)(scopes + room);

	if (scopes_reduce(scopes, &n) < 0) {
		free(scopes);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++) {
		scopes[i].p = memcpy(text, scopes[i].p, scopes[i].n);
		text += scopes[i].n;
	}
	*ret = (struct access){ scopes, n, scopes };
	return 0;
}

int access_of(const struct policy *p, const struct subject *owner, struct access *ret)
{
	size_t n, n_bytes;
	struct span *scopes;

	measure(p, owner, &n, &n_bytes);
	if (n == 0) {
		*ret = (struct access){ NULL, 0, NULL };
		return 0;
	}
	scopes = malloc(n * sizeof(*scopes) + n_bytes);
	if (!scopes)
		return -ENOMEM;
	return access_keep(scopes, collect(p, owner, scopes), n, ret);
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

typedef void on_scope_fn(void *userdata, struct span scope);

static bool is_told_whole(const struct policy *p, const struct subject *peer, struct span scope)
{
	struct told t = { .policy = p, .peer = peer };
	struct span told;

	while (told_next(&t, &told))
		if (scope_is_within(scope, &told, 1))
			return true;
	return false;
}

/* What of the scopes is told: those that are told whole themselves, and of others each part. */
static void each_told(const struct policy *p, const struct subject *peer,
		      const struct span scopes[], size_t n, on_scope_fn *on_whole,
		      on_scope_fn *on_part, void *userdata)
{
	for (size_t i = 0; i < n; i++) {
		struct told t = { .policy = p, .peer = peer };
		struct span told;
		char text[SCOPE_MAX];

		if (is_told_whole(p, peer, scopes[i])) {
			on_whole(userdata, scopes[i]);
			continue;
		}
		while (told_next(&t, &told)) {
			struct span part = { text, scope_cut(scopes[i], told, text) };

			if (part.n > 0)
				on_part(userdata, part);
		}
	}
}

struct counts {
	size_t n_whole, n_parts;
};

static void count_whole(void *userdata, struct span scope)
{
	(void)scope;
	((struct counts *)userdata)->n_whole++;
}

static void count_part(void *userdata, struct span scope)
{
	(void)scope;
	((struct counts *)userdata)->n_parts++;
}

struct kept {
	struct span *scopes;
	size_t n;
	char *text; /* where the next one goes */
};

static void keep(void *userdata, struct span scope)
{
	struct kept *k = userdata;

	k->scopes[k->n++] = (struct span){ memcpy(k->text, scope.p, scope.n), scope.n };
	k->text += scope.n;
}

/*
 * Tells parts of scopes, of which several may be the same, or within another. Where memory is short
 * they are told as they come: that is more words for the same.
 */
static void tell_parts(const struct policy *p, const struct subject *peer,
		       const struct span scopes[], size_t n, size_t n_told, on_scope_fn *on_scope,
		       void *userdata)
{
	_cleanup_free_ char *memory = malloc(n_told * (sizeof(struct span) + SCOPE_MAX));
	struct kept k = { .n = 0 };

	if (memory) {
		k.scopes = (struct span *)memory;
		k.text = memory + n_told * sizeof(struct span);
		each_told(p, peer, scopes, n, keep, keep, &k);
	}
	if (!memory || scopes_reduce(k.scopes, &k.n) < 0) {
		each_told(p, peer, scopes, n, on_scope, on_scope, userdata);
		return;
	}
	for (size_t i = 0; i < k.n; i++)
		on_scope(userdata, k.scopes[i]);
}

static void ignore(void *userdata, struct span scope)
{
	(void)userdata;
	(void)scope;
}

void verify_tells(const struct policy *p, const struct subject *peer, const struct span scopes[],
		  size_t n, void (*on_scope)(void *userdata, struct span scope), void *userdata)
{
	struct counts count = { 0, 0 };

	if (tells_all(p, peer)) {
		for (size_t i = 0; i < n; i++)
			on_scope(userdata, scopes[i]);
		return;
	}
	each_told(p, peer, scopes, n, count_whole, count_part, &count);
	/* As it is nearly always: no scope is cut, so none can be within another. */
	if (count.n_parts == 0)
		each_told(p, peer, scopes, n, on_scope, ignore, userdata);
	else
		tell_parts(p, peer, scopes, n, count.n_whole + count.n_parts, on_scope, userdata);
}

/* ---- [Credential] and [Fetch] ---------------------------------------------------------------- */

static int compare_spans(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int r = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return r != 0 ? r : (x->n > y->n) - (x->n < y->n);
}

static int compare_name(const void *key, const void *element)
{
	const struct span *name = key;
	const struct policy_credential *c = element;
	struct span other = span_of(c->name);

	return compare_spans(name, &other);
}

/* How many come before this name, or are of it. Goes as deep whether one is of it or not. */
static size_t n_up_to(const struct policy *p, struct span name)
{
	size_t low = 0, high = p->n_credentials;

	while (low < high) {
		size_t at = low + (high - low) / 2;

		if (compare_name(&name, &p->credentials[at]) < 0)
			high = at;
		else
			low = at + 1;
	}
	return low;
}

const struct policy_credential *policy_find_credential(const struct policy *p, struct span name)
{
	size_t n = name.n > 0 ? n_up_to(p, name) : 0;

	if (n == 0 || compare_name(&name, &p->credentials[n - 1]) != 0)
		return NULL;
	return &p->credentials[n - 1];
}

const struct policy_credential *policy_credential_after(const struct policy *p, struct span name)
{
	size_t n = name.p ? n_up_to(p, name) : 0;

	return n < p->n_credentials ? &p->credentials[n] : NULL;
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

bool fetch_others_match(const struct policy *p, const struct subject *peer, struct span credential)
{
	bool any = false;

	for (size_t i = 0; i < p->n_fetch; i++)
		if (!fetch_names(&p->fetch[i], credential))
			any |= selector_matches(&p->fetch[i].who, peer);
	return any;
}

bool fetch_needs_unit(const struct policy *p, struct span credential)
{
	for (size_t i = 0; i < p->n_fetch; i++)
		if (p->fetch[i].who.n_units > 0 &&
		    (!credential.p || fetch_names(&p->fetch[i], credential)))
			return true;
	return false;
}
