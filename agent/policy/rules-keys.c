/*
 * agent/policy/rules-keys.c
 *
 * A key is a function that gets one value, and a line in its section's table. Most of them add
 * words to the section that is being read, which is always the last of its kind in the policy, so
 * that an array that grows leaves no pointer behind.
 */
#include "agent/policy/rules-keys.h"

#include <errno.h>

#include "agent/policy/words.h"
#include "protocol/base/parse.h"
#include "protocol/base/time.h"
#include "protocol/scope.h"

#define LIFETIME_LEAST_US (60 * USEC_PER_SEC)
/* 10 years, as the highest that the settings take. */
#define LIFETIME_MOST_US (UINT64_C(315576000) * USEC_PER_SEC)

/* Grows by doubling: an array is full whenever its length is a power of two. */
void *rules_add_element(void **array, size_t *n, size_t size)
{
	char *grown = *array;

	if ((*n & (*n - 1)) == 0) {
		grown = reallocarray(*array, *n > 0 ? *n * 2 : 1, size);
		if (!grown)
			return NULL;
		*array = grown;
	}
	return memset(grown + (*n)++ * size, 0, size);
}

static struct policy_selector *access_who(struct rules *r)
{
	return &rules_access(r)->who;
}

static struct policy_selector *fetch_who(struct rules *r)
{
	return &rules_fetch(r)->who;
}

static struct policy_selector *verify_who(struct rules *r)
{
	return &rules_verify(r)->who;
}

/* Says of a word what is wrong with it. */
static int wrong_word(struct rules *r, struct span word, const char *why)
{
	return rules_mistake(r, "%s=: '%.*s%s' %s", r->key->name, word.n > 64 ? 64 : (int)word.n,
			     word.p, word.n > 64 ? "..." : "", why);
}

static int fill_id(struct rules *r, struct span word, struct policy_id *ret)
{
	const char *why = word_check_id(word, &ret->number, &ret->id);

	if (why)
		return wrong_word(r, word, why);
	ret->place = rules_place(r);
	ret->exists = ret->number;
	ret->text = strndup(word.p, word.n);
	return ret->text ? 0 : -ENOMEM;
}

static int add_user(struct rules *r, struct policy_selector *who, struct span word)
{
	struct policy_id *id = RULES_ADD(who->users, who->n_users);

	if (!id)
		return -ENOMEM;
	if (!span_is(word, "*"))
		return fill_id(r, word, id);
	id->any = true;
	id->place = rules_place(r);
	id->text = strdup("*");
	return id->text ? 0 : -ENOMEM;
}

static int add_group(struct rules *r, struct policy_selector *who, struct span word)
{
	struct policy_id *id = RULES_ADD(who->groups, who->n_groups);

	if (!id)
		return -ENOMEM;
	if (span_is(word, "*"))
		return wrong_word(r, word, "stands for users only; everyone is 'User=*'");
	return fill_id(r, word, id);
}

static int add_unit(struct rules *r, struct policy_selector *who, struct span word)
{
	const char *why = word_check_unit(word);
	char **unit;

	if (why)
		return wrong_word(r, word, why);
	unit = RULES_ADD(who->units, who->n_units);
	if (unit)
		*unit = strndup(word.p, word.n);
	return unit && *unit ? 0 : -ENOMEM;
}

static int add_selectors(struct rules *r, struct policy_selector *who, const char *value,
			 int (*add)(struct rules *r, struct policy_selector *who, struct span word))
{
	struct span rest = span_of(value), word;
	int ret = 0;

	while (ret == 0 && word_next(&rest, &word))
		ret = add(r, who, word);
	return ret;
}

static int add_scopes(struct rules *r, struct policy_scope **scopes, size_t *n, const char *value)
{
	struct span rest = span_of(value), word;

	while (word_next(&rest, &word)) {
		const char *why = word_check_scope(word);
		struct policy_scope *scope;

		if (why)
			return wrong_word(r, word, why);
		scope = RULES_ADD(*scopes, *n);
		if (!scope)
			return -ENOMEM;
		scope->place = rules_place(r);
		scope->text = strndup(word.p, word.n);
		if (!scope->text)
			return -ENOMEM;
	}
	return 0;
}

#define DEFINE_SELECTOR_KEYS(kind)                                        \
	static int kind##_user(struct rules *r, const char *value)        \
	{                                                                 \
		return add_selectors(r, kind##_who(r), value, add_user);  \
	}                                                                 \
	static int kind##_group(struct rules *r, const char *value)       \
	{                                                                 \
		return add_selectors(r, kind##_who(r), value, add_group); \
	}

#define DEFINE_PEER_KEYS(kind)                                           \
	static int kind##_unit(struct rules *r, const char *value)       \
	{                                                                \
		return add_selectors(r, kind##_who(r), value, add_unit); \
	}                                                                \
	static int kind##_container(struct rules *r, const char *value)  \
	{                                                                \
		return take_container(r, kind##_who(r), value);          \
	}

static int take_container(struct rules *r, struct policy_selector *who, const char *value)
{
	int yes = parse_bool(value);

	if (yes < 0)
		return wrong_word(r, span_of(value), "is neither yes nor no");
	who->container = yes;
	return 0;
}

DEFINE_SELECTOR_KEYS(access)
DEFINE_SELECTOR_KEYS(fetch)
DEFINE_PEER_KEYS(fetch)
DEFINE_SELECTOR_KEYS(verify)
DEFINE_PEER_KEYS(verify)

static int access_peer_key(struct rules *r, const char *value)
{
	(void)value;
	return rules_mistake(r,
			     "%s= has no place in [Access], which says what a user reaches "
			     "wherever it is used from; "
			     "restrict by unit in [Fetch] or [Verify]",
			     r->key->name);
}

static int access_scope(struct rules *r, const char *value)
{
	struct policy_access *a = rules_access(r);

	return add_scopes(r, &a->scopes, &a->n_scopes, value);
}

static int verify_scope(struct rules *r, const char *value)
{
	struct policy_verify *v = rules_verify(r);

	return add_scopes(r, &v->scopes, &v->n_scopes, value);
}

static int verify_map(struct rules *r, const char *value)
{
	int yes = parse_bool(value);

	if (yes < 0)
		return wrong_word(r, span_of(value), "is neither yes nor no");
	rules_verify(r)->map = yes;
	return 0;
}

static int fetch_credential(struct rules *r, const char *value)
{
	struct span rest = span_of(value), word;

	while (word_next(&rest, &word)) {
		const char *why = word_check_credential(word);
		struct policy_credential_name *name;

		if (why)
			return wrong_word(r, word, why);
		name = RULES_ADD(rules_fetch(r)->credentials, rules_fetch(r)->n_credentials);
		if (!name)
			return -ENOMEM;
		name->place = rules_place(r);
		name->name = strndup(word.p, word.n);
		if (!name->name)
			return -ENOMEM;
	}
	return 0;
}

static int credential_description(struct rules *r, const char *value)
{
	rules_credential(r)->description = strdup(value);
	return rules_credential(r)->description ? 0 : -ENOMEM;
}

static int credential_kind(struct rules *r, const char *value)
{
	if (strcmp(value, "held") != 0 && strcmp(value, "minted") != 0)
		return wrong_word(r, span_of(value), "is neither held nor minted");
	rules_credential(r)->minted = strcmp(value, "minted") == 0;
	return 0;
}

static int credential_owner(struct rules *r, const char *value)
{
	if (strpbrk(value, " \t"))
		return wrong_word(r, span_of(value),
				  "is more than one user; a token has one owner");
	if (strcmp(value, "*") == 0)
		return wrong_word(r, span_of(value),
				  "is everyone; a token has one owner, by name or number");
	return fill_id(r, span_of(value), &rules_credential(r)->owner);
}

static int credential_scope(struct rules *r, const char *value)
{
	struct policy_credential *c = rules_credential(r);
	int ret = add_scopes(r, &c->scopes, &c->n_scopes, value);

	if (ret == 0 && c->n_scopes > SCOPES_MAX)
		return rules_mistake(r, "%zu scopes in [Credential %s]; a token has at most %d",
				     c->n_scopes, c->name, SCOPES_MAX);
	return ret;
}

static int credential_lifetime(struct rules *r, const char *value)
{
	uint64_t us;

	if (time_parse_span(value, &us) < 0)
		return wrong_word(r, span_of(value),
				  "is no span of time; write it as in '15min' or '1h 30min'");
	if (us < LIFETIME_LEAST_US)
		return wrong_word(r, span_of(value), "is too short; a token lives 1min or longer");
	if (us > LIFETIME_MOST_US)
		return wrong_word(r, span_of(value), "is too long; a token lives 10y at most");
	rules_credential(r)->lifetime_us = us;
	return 0;
}

static int credential_binding(struct rules *r, const char *value)
{
	static const char *const bindings[] = { "none", "process", "unit" };

	for (size_t i = 0; i < ARRAY_SIZE(bindings); i++) {
		if (strcmp(value, bindings[i]) == 0) {
			rules_credential(r)->binding = (uint8_t)i;
			return 0;
		}
	}
	return wrong_word(r, span_of(value), "is none of none, process and unit");
}

static int credential_max_tokens(struct rules *r, const char *value)
{
	uint64_t n;

	if (parse_u64(span_of(value), POLICY_MAX_TOKENS_MOST, &n) < 0 || n == 0)
		return wrong_word(r, span_of(value), "is no number from 1 to 10000000");
	rules_credential(r)->max_tokens = n;
	return 0;
}

const struct key access_keys[] = {
	{ "User", access_user, 0 },
	{ "Group", access_group, 0 },
	{ "Scope", access_scope, 0 },
	{ "Unit", access_peer_key, KEY_NO_PLACE },
	{ "Container", access_peer_key, KEY_NO_PLACE },
	{ NULL, NULL, 0 },
};

const struct key credential_keys[] = {
	{ "Description", credential_description, KEY_ONCE },
	{ "Kind", credential_kind, KEY_ONCE },
	{ "Owner", credential_owner, KEY_ONCE | KEY_MINTED },
	{ "Scope", credential_scope, KEY_MINTED },
	{ "Lifetime", credential_lifetime, KEY_ONCE | KEY_MINTED },
	{ "Binding", credential_binding, KEY_ONCE | KEY_MINTED },
	{ "MaxTokens", credential_max_tokens, KEY_ONCE | KEY_MINTED },
	{ NULL, NULL, 0 },
};

const struct key fetch_keys[] = {
	{ "Credential", fetch_credential, 0 },
	{ "User", fetch_user, 0 },
	{ "Group", fetch_group, 0 },
	{ "Unit", fetch_unit, 0 },
	{ "Container", fetch_container, KEY_ONCE },
	{ NULL, NULL, 0 },
};

const struct key verify_keys[] = {
	{ "User", verify_user, 0 },   { "Group", verify_group, 0 },
	{ "Unit", verify_unit, 0 },   { "Container", verify_container, KEY_ONCE },
	{ "Scope", verify_scope, 0 }, { "Map", verify_map, KEY_ONCE },
	{ NULL, NULL, 0 },
};
