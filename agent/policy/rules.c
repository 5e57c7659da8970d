/*
 * agent/policy/rules.c
 *
 * Two tables are the language: which sections there are (here), and which keys each takes
 * (rules-keys.c). A section is judged as a whole where the next one begins, and what takes all
 * files to judge, once they are all read.
 */
#include "agent/policy/rules.h"

#include <errno.h>
#include <stdio.h>

#include "agent/policy/ini.h"
#include "agent/policy/near.h"
#include "agent/policy/rules-keys.h"
#include "agent/policy/words.h"

/* ---- sections -------------------------------------------------------------------------------- */

static int access_begin(struct rules *r, const char *argument)
{
	struct policy_access *a = RULES_ADD(r->policy->access, r->policy->n_access);

	(void)argument;
	if (!a)
		return -ENOMEM;
	a->place = rules_place(r);
	return 0;
}

static int credential_begin(struct rules *r, const char *name)
{
	const char *why = word_check_credential(span_of(name));
	struct policy_credential *c;

	if (why)
		return rules_mistake(r, "[Credential %.64s]: the name %s", name, why);
	c = RULES_ADD(r->policy->credentials, r->policy->n_credentials);
	if (!c)
		return -ENOMEM;
	c->place = rules_place(r);
	c->max_tokens = POLICY_MAX_TOKENS_DEFAULT;
	c->name = strdup(name);
	return c->name ? 0 : -ENOMEM;
}

static int fetch_begin(struct rules *r, const char *argument)
{
	struct policy_fetch *f = RULES_ADD(r->policy->fetch, r->policy->n_fetch);

	(void)argument;
	if (!f)
		return -ENOMEM;
	f->place = rules_place(r);
	return 0;
}

static int verify_begin(struct rules *r, const char *argument)
{
	struct policy_verify *v = RULES_ADD(r->policy->verify, r->policy->n_verify);

	(void)argument;
	if (!v)
		return -ENOMEM;
	v->place = rules_place(r);
	return 0;
}

/* A mistake of the section as a whole stands at its first line. */
static int section_mistake(struct rules *r, const char *message)
{
	return policy_mistake(r->error, r->path, r->section_line, "%s %s", r->kind->title, message);
}

static int access_end(struct rules *r)
{
	const struct policy_access *a = rules_access(r);

	if (a->who.n_users + a->who.n_groups == 0)
		return section_mistake(
			r, "says for nobody; give User= or Group= (everyone is 'User=*')");
	if (a->n_scopes == 0)
		return section_mistake(r, "gives nothing; add Scope=");
	return 0;
}

static int peer_end(struct rules *r, const struct policy_selector *who)
{
	if (who->n_users + who->n_groups + who->n_units == 0)
		return section_mistake(
			r, "says for nobody; give User=, Group= or Unit= (everyone is 'User=*')");
	return 0;
}

static int fetch_end(struct rules *r)
{
	if (rules_fetch(r)->n_credentials == 0)
		return section_mistake(r, "gives nothing; add Credential=");
	return peer_end(r, &rules_fetch(r)->who);
}

static int verify_end(struct rules *r)
{
	return peer_end(r, &rules_verify(r)->who);
}

static int credential_end(struct rules *r)
{
	const struct policy_credential *c = rules_credential(r);

	if (c->minted)
		return c->owner.text ? 0
				     : section_mistake(r, "is minted and has no owner; add Owner=");
	for (const struct key *key = r->kind->keys; key->name; key++) {
		unsigned line = r->key_lines[key - r->kind->keys];

		if (line == 0 || !(key->flags & KEY_MINTED))
			continue;
		return policy_mistake(r->error, r->path, line,
				      "%s= is for minted credentials, and %s is a held one; add "
				      "Kind=minted there or take "
				      "this line out",
				      key->name, c->name);
	}
	return 0;
}

static const struct section_kind section_kinds[] = {
	{ "Access", "[Access]", false, access_keys, access_begin, access_end },
	{ "Credential", "[Credential]", true, credential_keys, credential_begin, credential_end },
	{ "Fetch", "[Fetch]", false, fetch_keys, fetch_begin, fetch_end },
	{ "Verify", "[Verify]", false, verify_keys, verify_begin, verify_end },
};

/* ---- lines ----------------------------------------------------------------------------------- */

static const char *section_candidate(const void *userdata, size_t i)
{
	(void)userdata;
	return i < ARRAY_SIZE(section_kinds) ? section_kinds[i].name : NULL;
}

static int unknown_section(struct rules *r, const char *name, struct span word)
{
	char first[INI_SECTION_MAX + 1];
	const char *near;

	snprintf(first, sizeof(first), "%.*s", (int)word.n, word.p);
	near = near_find(first, section_candidate, NULL);
	if (near)
		return rules_mistake(r, "unknown section [%s]; did you mean [%s%s]?", name, near,
				     strcmp(near, "Credential") == 0 ? " NAME" : "");
	return rules_mistake(
		r,
		"unknown section [%s]; there are [Access], [Credential NAME], [Fetch] and [Verify]",
		name);
}

static int end_section(struct rules *r)
{
	return r->kind ? r->kind->end(r) : 0;
}

/* [Credential NAME] has its name after one word; the others have nothing there. */
static int begin_section(struct rules *r, const char *name)
{
	const char *space = strchrnul(name, ' ');
	struct span word = { name, (size_t)(space - name) };

	for (size_t i = 0; i < ARRAY_SIZE(section_kinds); i++) {
		const struct section_kind *kind = &section_kinds[i];

		if (!span_is(word, kind->name))
			continue;
		if (kind->takes_name && (!*space || !space[1]))
			return rules_mistake(r, "[%s] has no name; it is [%s NAME]", name,
					     kind->name);
		if (!kind->takes_name && *space)
			return rules_mistake(r, "[%s]: it is [%s], without a name", name,
					     kind->name);
		r->kind = kind;
		return kind->begin(r, *space ? space + 1 : NULL);
	}
	return unknown_section(r, name, word);
}

static int on_section(void *userdata, const char *name, unsigned line)
{
	struct rules *r = userdata;
	int ret = end_section(r);

	if (ret < 0)
		return ret;
	r->line = r->section_line = line;
	memset(r->key_lines, 0, sizeof(r->key_lines));
	return begin_section(r, name);
}

static const char *key_candidate(const void *userdata, size_t i)
{
	const struct section_kind *kind = userdata;

	return kind->keys[i].name;
}

static int unknown_key(struct rules *r, const char *name)
{
	const char *near = near_find(name, key_candidate, r->kind);
	char all[128] = "";
	size_t n = 0;

	if (near)
		return rules_mistake(r, "unknown key '%s=' in %s; did you mean %s=?", name,
				     r->kind->title, near);
	for (size_t i = 0; r->kind->keys[i].name; i++)
		if (!(r->kind->keys[i].flags & KEY_NO_PLACE))
			n += (size_t)snprintf(all + n, sizeof(all) - n, "%s%s=", i > 0 ? ", " : "",
					      r->kind->keys[i].name);
	return rules_mistake(r, "unknown key '%s=' in %s; it takes %s", name, r->kind->title, all);
}

static const struct key *find_key(const struct section_kind *kind, const char *name)
{
	for (const struct key *key = kind->keys; key->name; key++)
		if (strcmp(key->name, name) == 0)
			return key;
	return NULL;
}

static int on_entry(void *userdata, const char *name, const char *value, unsigned line)
{
	struct rules *r = userdata;
	unsigned *first;

	r->line = line;
	r->key = find_key(r->kind, name);
	if (!r->key)
		return unknown_key(r, name);
	first = &r->key_lines[r->key - r->kind->keys];
	if (*first != 0 && (r->key->flags & KEY_ONCE))
		return rules_mistake(r, "%s= a second time; it is already in line %u", name,
				     *first);
	if (*first == 0)
		*first = line;
	return r->key->take(r, value);
}

int rules_read(struct policy *p, const char *path, struct span text, struct policy_error *ret_error)
{
	static const struct ini_events events = { on_section, on_entry };
	struct rules r = { .policy = p, .path = path, .error = ret_error };
	int ret = ini_scan(path, text, &events, &r, ret_error);

	return ret < 0 ? ret : end_section(&r);
}

/* ---- all files together ---------------------------------------------------------------------- */

static int compare_credentials(const void *a, const void *b)
{
	const struct policy_credential *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* By name, and of one name in the order of the files. */
static int compare_credential_pointers(const void *a, const void *b)
{
	const struct policy_credential *x = *(const struct policy_credential *const *)a;
	const struct policy_credential *y = *(const struct policy_credential *const *)b;
	int r = strcmp(x->name, y->name);

	return r != 0 ? r : (x > y) - (x < y);
}

static int check_twice(const struct policy *p, struct policy_error *e)
{
	const struct policy_credential *second = NULL, *first = NULL;
	_cleanup_free_
	const struct policy_credential **sorted = NULL;

	if (p->n_credentials == 0)
		return 0;
	sorted = reallocarray(NULL, p->n_credentials, sizeof(*sorted));
	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < p->n_credentials; i++)
		sorted[i] = &p->credentials[i];
	qsort(sorted, p->n_credentials, sizeof(*sorted), compare_credential_pointers);

	for (size_t i = 1; i < p->n_credentials; i++) {
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0 &&
		    (!second || sorted[i] < second)) {
			first = sorted[i - 1];
			second = sorted[i];
		}
	}
	if (!second)
		return 0;
	return policy_mistake(
		e, second->place.path, second->place.line,
		"[Credential %s] is already in %s:%u; give this one another name or take it out",
		second->name, first->place.path, first->place.line);
}

static const char *credential_candidate(const void *userdata, size_t i)
{
	const struct policy *p = userdata;

	return i < p->n_credentials ? p->credentials[i].name : NULL;
}

static int check_defined(const struct policy *p, const struct policy_credential_name *name,
			 struct policy_error *e)
{
	struct policy_credential key = { .name = name->name };
	const char *near;

	if (p->n_credentials > 0 &&
	    bsearch(&key, p->credentials, p->n_credentials, sizeof(key), compare_credentials))
		return 0;
	near = near_find(name->name, credential_candidate, p);
	if (near)
		return policy_mistake(e, name->place.path, name->place.line,
				      "no file defines credential '%s'; did you mean '%s'?",
				      name->name, near);
	return policy_mistake(e, name->place.path, name->place.line,
			      "no file defines credential '%s'; add a section [Credential %s]",
			      name->name, name->name);
}

int rules_finish(struct policy *p, struct policy_error *ret_error)
{
	int r = check_twice(p, ret_error);

	if (r < 0)
		return r;
	if (p->n_credentials > 0)
		qsort(p->credentials, p->n_credentials, sizeof(*p->credentials),
		      compare_credentials);
	for (size_t i = 0; i < p->n_fetch; i++) {
		for (size_t j = 0; j < p->fetch[i].n_credentials; j++) {
			r = check_defined(p, &p->fetch[i].credentials[j], ret_error);
			if (r < 0)
				return r;
		}
	}
	return 0;
}
