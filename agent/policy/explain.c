/*
 * agent/policy/explain.c
 *
 * The decision itself is taken by access.h's functions, so that an explanation can't tell another
 * story than the agent acts by; what is worked out here is only which rule to show. Where nothing
 * matches, that is the one that the fewest kinds of selectors keep from matching, and of equal ones
 * the first.
 */
#include "agent/policy/explain.h"

#include <errno.h>
#include <stdio.h>

#include "agent/policy/near.h"
#include "protocol/base/parse.h"
#include "protocol/scope.h"

enum { NAMES_SHOWN = 4, SCOPES_SHOWN = 8 };

/* Whom it is about: what every line needs. */
struct about {
	const struct policy *policy;
	const struct subject *who;
	const char *who_text;
	struct explanation *lines;
	FILE *out; /* of the line that is being written */
	char *text;
	size_t n_text;
};

/* ---- lines ----------------------------------------------------------------------------------- */

void explanation_done(struct explanation *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->lines[i]);
	free(e->lines);
	*e = (struct explanation){ .allowed = false };
}

static int line_begin(struct about *a)
{
	a->out = open_memstream(&a->text, &a->n_text);
	return a->out ? 0 : -ENOMEM;
}

static int line_end(struct about *a)
{
	int failed = fclose(a->out);
	char **grown = reallocarray(a->lines->lines, a->lines->n + 1, sizeof(*grown));

	if (grown)
		a->lines->lines = grown;
	if (failed || !grown) {
		free(a->text);
		return -ENOMEM;
	}
	grown[a->lines->n++] = a->text;
	return 0;
}

/* A line of one printf. */
#define line(a, ...)                                    \
	({                                              \
		int r_ = line_begin(a);                 \
		if (r_ == 0) {                          \
			fprintf((a)->out, __VA_ARGS__); \
			r_ = line_end(a);               \
		}                                       \
		r_;                                     \
	})

static const char *separator(size_t i, size_t n, const char *last)
{
	return i == 0 ? "" : i + 1 == n ? last : ", ";
}

/* ---- selectors in words ---------------------------------------------------------------------- */

static bool has_any(const struct policy_id *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (ids[i].any)
			return true;
	return false;
}

/* "a, b or c", the first few. */
static void write_ids(FILE *out, const char *what, const struct policy_id *ids, size_t n)
{
	if (has_any(ids, n)) {
		fprintf(out, "any %s", what);
		return;
	}
	fprintf(out, "%s ", what);
	for (size_t i = 0; i < n && i < NAMES_SHOWN; i++)
		fprintf(out, "%s%s%s", separator(i, n, " or "), ids[i].text,
			ids[i].exists ? "" : " (which does not exist)");
	if (n > NAMES_SHOWN)
		fprintf(out, " or %zu more", n - NAMES_SHOWN);
}

static void write_units(FILE *out, char *const units[], size_t n)
{
	for (size_t i = 0; i < n && i < NAMES_SHOWN; i++)
		fprintf(out, "%s%s", separator(i, n, " or "), units[i]);
	if (n > NAMES_SHOWN)
		fprintf(out, " or %zu more", n - NAMES_SHOWN);
}

/* What the selectors of `kinds` ask for: "user ci", "user ci in group api from unit x.service". */
static void write_selected(FILE *out, const struct policy_selector *s, unsigned kinds)
{
	const char *in = "", *from = "";

	if (kinds & MISS_USER) {
		write_ids(out, "user", s->users, s->n_users);
		in = " in ";
		from = " from ";
	}
	if (kinds & MISS_GROUP) {
		fputs(in, out);
		write_ids(out, "group", s->groups, s->n_groups);
		from = " from ";
	}
	if (kinds & MISS_UNIT) {
		fprintf(out, "%sunit ", from);
		write_units(out, s->units, s->n_units);
	}
}

static void write_unit_miss(struct about *a, const struct policy_selector *s)
{
	if (a->who->unit)
		fprintf(a->out, "the unit is %s, not ", a->who->unit);
	else
		fputs("it is in no unit that is known, and would have to be in ", a->out);
	write_units(a->out, s->units, s->n_units);
}

/* "user bob (uid 7) is not user ci and the unit is x.service, not y.service" */
static void write_misses(struct about *a, const struct policy_selector *s, unsigned misses)
{
	const char *and = "";

	if (misses & MISS_USER) {
		fprintf(a->out, "%s is not ", a->who_text);
		write_ids(a->out, "user", s->users, s->n_users);
		and = ", and ";
	}
	if (misses & MISS_GROUP) {
		fprintf(a->out, "%s%s is not in ", and, a->who_text);
		write_ids(a->out, "group", s->groups, s->n_groups);
		and = ", and ";
	}
	if (misses & MISS_UNIT) {
		fputs(and, a->out);
		write_unit_miss(a, s);
		and = ", and ";
	}
	if (misses & MISS_CONTAINER)
		fprintf(a->out,
			"%sit is of another pid namespace, whose users count only where "
			"Container=yes is",
			and);
}

static unsigned kinds_of(const struct policy_selector *s)
{
	return (s->n_users > 0 ? MISS_USER : 0U) | (s->n_groups > 0 ? MISS_GROUP : 0U) |
	       (s->n_units > 0 ? MISS_UNIT : 0U);
}

/* ---- the nearest rule ------------------------------------------------------------------------ */

/* A rule that would have allowed it, had its selectors matched. */
struct nearest {
	const struct policy_selector *who; /* NULL: none so far */
	struct policy_place place;
	const char *scope; /* [Access]: that it gives */
	unsigned misses;
};

static void consider(struct nearest *best, const struct about *a, const struct policy_selector *who,
		     const struct policy_place *place, const char *scope)
{
	unsigned misses = selector_misses(who, a->who);

	if (best->who && __builtin_popcount(misses) >= __builtin_popcount(best->misses))
		return;
	*best = (struct nearest){ who, *place, scope, misses };
}

/*
 * "FILE:LINE [Fetch] lets user ci have it, but the unit is a.service, not b.service": what of it
 * holds, if anything, and what does not. before, after: what stands around whom it lets.
 */
static int nearest_line(struct about *a, const struct nearest *n, const char *section,
			const char *before, const char *after)
{
	unsigned holds = kinds_of(n->who) & ~n->misses;
	int r = line_begin(a);

	if (r < 0)
		return r;
	fprintf(a->out, "%s:%u [%s] ", n->place.path, n->place.line, section);
	if (holds != 0) {
		fprintf(a->out, "%s ", before);
		write_selected(a->out, n->who, holds);
		fputs(after, a->out);
	} else {
		fputs("comes nearest", a->out);
	}
	fputs(", but ", a->out);
	write_misses(a, n->who, n->misses);
	return line_end(a);
}

/* Hands the lines over, or drops them. */
static int finish(struct explanation *lines, int r, struct explanation *ret)
{
	if (r < 0) {
		explanation_done(lines);
		return r;
	}
	*ret = *lines;
	return 0;
}

/* ---- [Access] -------------------------------------------------------------------------------- */

/* How much of `wanted` a rule's scope gives: 0 none, 1 a part, 2 all. */
static int covers(const struct policy_scope *scope, struct span wanted)
{
	struct span given = span_of(scope->text);
	char common[SCOPE_MAX];

	if (scope_is_within(wanted, &given, 1))
		return 2;
	return scope_cut(given, wanted, common) > 0;
}

/* The rules that give the owner the scope, all of it or a part, a line each. */
static int giving_lines(struct about *a, struct span wanted, int how_much)
{
	int r = 0;

	for (size_t i = 0; i < a->policy->n_access; i++) {
		const struct policy_access *s = &a->policy->access[i];

		if (!selector_matches(&s->who, a->who))
			continue;
		for (size_t j = 0; r == 0 && j < s->n_scopes; j++)
			if (covers(&s->scopes[j], wanted) == how_much)
				r = line(a, "%s:%u [Access] gives %s %s%s", s->scopes[j].place.path,
					 s->scopes[j].place.line, a->who_text, s->scopes[j].text,
					 how_much == 1 ? ", which is a part of it" : "");
	}
	return r;
}

static int nearest_access(struct about *a, struct span wanted)
{
	struct nearest best = { .who = NULL };
	char before[SCOPE_MAX + 16];

	for (size_t i = 0; i < a->policy->n_access; i++) {
		const struct policy_access *s = &a->policy->access[i];

		for (size_t j = 0; j < s->n_scopes; j++)
			if (covers(&s->scopes[j], wanted) == 2)
				consider(&best, a, &s->who, &s->scopes[j].place, s->scopes[j].text);
	}
	if (!best.who)
		return line(a, "no [Access] section gives anyone %.*s", (int)wanted.n, wanted.p);
	snprintf(before, sizeof(before), "gives %s to", best.scope);
	return nearest_line(a, &best, "Access", before, "");
}

static int reach_line(struct about *a, const struct access *access)
{
	int r;

	if (access->n == 0)
		return line(a, "%s reaches nothing: no [Access] section matches", a->who_text);
	r = line_begin(a);
	if (r < 0)
		return r;
	fprintf(a->out, "%s reaches ", a->who_text);
	for (size_t i = 0; i < access->n && i < SCOPES_SHOWN; i++)
		fprintf(a->out, "%s%.*s", separator(i, access->n, " and "),
			(int)access->scopes[i].n, access->scopes[i].p);
	if (access->n > SCOPES_SHOWN)
		fprintf(a->out, " and %zu more", access->n - SCOPES_SHOWN);
	return line_end(a);
}

int explain_access(const struct policy *p, const struct subject *owner, const char *who_text,
		   struct span scope, struct explanation *ret)
{
	struct explanation lines = { .allowed = false };
	struct about a = { .policy = p, .who = owner, .who_text = who_text, .lines = &lines };
	struct access access;
	int r = access_of(p, owner, &access);

	if (r < 0)
		return r;
	lines.allowed = scope_is_within(scope, access.scopes, access.n);
	if (lines.allowed)
		r = giving_lines(&a, scope, 2);
	else
		r = nearest_access(&a, scope);
	if (r == 0 &&
	    lines.n == (lines.allowed ? 0 : 1)) /* several together, or not enough of it */
		r = giving_lines(&a, scope, 1);
	if (r == 0 && !lines.allowed)
		r = reach_line(&a, &access);
	access_done(&access);
	return finish(&lines, r, ret);
}

/* ---- [Fetch] --------------------------------------------------------------------------------- */

static const char *credential_candidate(const void *userdata, size_t i)
{
	const struct policy *p = userdata;

	return i < p->n_credentials ? p->credentials[i].name : NULL;
}

static int unknown_credential_line(struct about *a, struct span credential)
{
	bool shown = credential.n <= 64 && utf8_clean(credential);
	char name[65] = "";
	const char *near;

	if (!shown)
		return line(a, "no file defines a credential of that name");
	snprintf(name, sizeof(name), "%.*s", (int)credential.n,
		 credential.n > 0 ? credential.p : "");
	near = near_find(name, credential_candidate, a->policy);
	if (near)
		return line(a, "no file defines credential '%s'; did you mean '%s'?", name, near);
	return line(a, "no file defines credential '%s'", name);
}

static int nearest_fetch(struct about *a, const struct policy_credential *c)
{
	struct nearest best = { .who = NULL };

	for (size_t i = 0; i < a->policy->n_fetch; i++) {
		const struct policy_fetch *f = &a->policy->fetch[i];

		if (fetch_names(f, span_of(c->name)))
			consider(&best, a, &f->who, &f->place, NULL);
	}
	if (!best.who)
		return line(a, "no [Fetch] section names credential '%s'", c->name);
	return nearest_line(a, &best, "Fetch", "lets", " have it");
}

/* Where the unit alone counts, somebody may have it who may not ask for it. */
static int by_unit_line(struct about *a, const struct policy_credential *c)
{
	const struct policy_fetch *by;

	if (!fetch_is_allowed(a->policy, a->who, span_of(c->name), true, &by))
		return 0;
	return line(a,
		    "%s:%u [Fetch] lets systemd load it for unit %s (LoadCredential=), where the "
		    "unit alone counts",
		    by->place.path, by->place.line, a->who->unit);
}

static int credential_line(struct about *a, const struct policy_credential *c)
{
	if (!c->minted)
		return line(a, "%s:%u [Credential %s] is a held one", c->place.path, c->place.line,
			    c->name);
	return line(a, "%s:%u [Credential %s] is minted for user %s%s", c->place.path,
		    c->place.line, c->name, c->owner.text,
		    c->owner.exists ? "" : ", which does not exist: there will be no token");
}

int explain_fetch(const struct policy *p, const struct subject *peer, const char *who_text,
		  struct span credential, struct explanation *ret)
{
	struct explanation lines = { .allowed = false };
	struct about a = { .policy = p, .who = peer, .who_text = who_text, .lines = &lines };
	const struct policy_credential *c = policy_find_credential(p, credential);
	const struct policy_fetch *by;
	int r;

	if (!c)
		return finish(&lines, unknown_credential_line(&a, credential), ret);
	lines.allowed = fetch_is_allowed(p, peer, credential, false, &by);
	if (lines.allowed)
		r = line(&a, "%s:%u [Fetch] lets %s have it", by->place.path, by->place.line,
			 who_text);
	else
		r = nearest_fetch(&a, c);
	if (r == 0 && !lines.allowed)
		r = by_unit_line(&a, c);
	if (r == 0)
		r = credential_line(&a, c);
	return finish(&lines, r, ret);
}

/* ---- [Verify] -------------------------------------------------------------------------------- */

static int verify_line(struct about *a, const struct policy_verify *v)
{
	int r = line_begin(a);

	if (r < 0)
		return r;
	fprintf(a->out, "%s:%u [Verify] lets %s verify, and tells ", v->place.path, v->place.line,
		a->who_text);
	if (v->n_scopes == 0)
		fputs("all of a token's access", a->out);
	for (size_t i = 0; i < v->n_scopes && i < SCOPES_SHOWN; i++)
		fprintf(a->out, "%s%s", separator(i, v->n_scopes, " and "), v->scopes[i].text);
	if (v->n_scopes > SCOPES_SHOWN)
		fprintf(a->out, " and %zu more", v->n_scopes - SCOPES_SHOWN);
	if (v->map)
		fputs(", also by the map", a->out);
	return line_end(a);
}

static int allowing_verify(struct about *a)
{
	int r = 0;

	if (a->policy->n_verify == 0)
		return line(a, "there is no [Verify] section, so whoever can connect may verify, "
			       "and is told all");
	for (size_t i = 0; r == 0 && i < a->policy->n_verify; i++)
		if (selector_matches(&a->policy->verify[i].who, a->who))
			r = verify_line(a, &a->policy->verify[i]);
	return r;
}

static int nearest_verify(struct about *a)
{
	struct nearest best = { .who = NULL };
	int r;

	for (size_t i = 0; i < a->policy->n_verify; i++)
		consider(&best, a, &a->policy->verify[i].who, &a->policy->verify[i].place, NULL);
	r = nearest_line(a, &best, "Verify", "lets", " verify");
	return r < 0 ? r : line(a, "the owner of a token may verify it all the same");
}

int explain_verify(const struct policy *p, const struct subject *peer, const char *who_text,
		   struct explanation *ret)
{
	struct explanation lines = { .allowed = verify_is_allowed(p, peer) };
	struct about a = { .policy = p, .who = peer, .who_text = who_text, .lines = &lines };
	int r = lines.allowed ? allowing_verify(&a) : nearest_verify(&a);

	return finish(&lines, r, ret);
}
