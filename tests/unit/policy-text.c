/* tests/unit/policy-text.c - see policy-text.h. */
#include "tests/unit/policy-text.h"

#include <check.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/scratch.h"

static char shown[8192];

static void show(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void show(const char *format, ...)
{
	size_t n = strlen(shown);
	va_list args;

	va_start(args, format);
	vsnprintf(shown + n, sizeof(shown) - n, format, args);
	va_end(args);
}

static void show_ids(const char *what, const struct policy_id *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		show(" %s:%s%s@%u", what, ids[i].text,
		     ids[i].any	     ? "(any)"
		     : ids[i].number ? "(number)"
				     : "",
		     ids[i].place.line);
}

static void show_who(const struct policy_selector *who)
{
	show_ids("u", who->users, who->n_users);
	show_ids("g", who->groups, who->n_groups);
	for (size_t i = 0; i < who->n_units; i++)
		show(" unit:%s", who->units[i]);
	if (who->container)
		show(" container");
}

static void show_scopes(const struct policy_scope *scopes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		show(" %s@%u", scopes[i].text, scopes[i].place.line);
}

const char *policy_text(const struct policy *p)
{
	shown[0] = '\0';
	for (size_t i = 0; i < p->n_access; i++) {
		show("access@%u", p->access[i].place.line);
		show_who(&p->access[i].who);
		show_scopes(p->access[i].scopes, p->access[i].n_scopes);
		show("\n");
	}
	for (size_t i = 0; i < p->n_credentials; i++) {
		const struct policy_credential *c = &p->credentials[i];

		show("credential %s@%u", c->name, c->place.line);
		if (c->description)
			show(" \"%s\"", c->description);
		if (c->minted) {
			show_ids("owner", &c->owner, 1);
			show(" %jus binding=%u max=%ju", (uintmax_t)(c->lifetime_us / 1000000),
			     c->binding, (uintmax_t)c->max_tokens);
			show_scopes(c->scopes, c->n_scopes);
		}
		show("\n");
	}
	for (size_t i = 0; i < p->n_fetch; i++) {
		show("fetch@%u", p->fetch[i].place.line);
		for (size_t j = 0; j < p->fetch[i].n_credentials; j++)
			show(" %s@%u", p->fetch[i].credentials[j].name,
			     p->fetch[i].credentials[j].place.line);
		show_who(&p->fetch[i].who);
		show("\n");
	}
	for (size_t i = 0; i < p->n_verify; i++) {
		show("verify@%u", p->verify[i].place.line);
		show_who(&p->verify[i].who);
		show_scopes(p->verify[i].scopes, p->verify[i].n_scopes);
		if (p->verify[i].map)
			show(" map");
		show("\n");
	}
	for (size_t i = 0; i < p->n_ignored; i++)
		show("ignored %s\n", p->ignored[i] + strlen(scratch_dir()) + 1);
	return shown;
}

struct policy *policy_of(const char *text, const char **ret_mistake)
{
	static char mistake[1024];
	const char *file = scratch_path("one.policy");
	struct policy_error e = { .line = 77 };
	struct policy *p = NULL;
	int r;

	scratch_write("one.policy", text);
	r = policy_load_files(&file, 1, &p, &e);
	if (r == 0)
		return p;
	ck_assert_int_eq(r, -EINVAL);
	ck_assert_ptr_null(p);
	ck_assert_str_eq(e.file, file);
	snprintf(mistake, sizeof(mistake), "%u: %s", e.line, e.message);
	ck_assert_msg(ret_mistake, "%s", mistake);
	*ret_mistake = mistake;
	return NULL;
}

static void give_number(void *userdata, struct policy_id *id, bool group)
{
	static const struct {
		const char *name;
		bool group;
		uint32_t id;
	} names[] = {
		{ "ci", false, 1000 }, { "bob", false, 1001 }, { "ops", false, 1002 },
		{ "api", true, 2000 }, { "dev", true, 2001 },
	};

	(void)userdata;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].group != group || strcmp(names[i].name, id->text) != 0)
			continue;
		id->id = names[i].id;
		id->exists = true;
	}
}

struct policy *policy_with_numbers(const char *text)
{
	struct policy *p = policy_of(text, NULL);

	policy_each_name(p, give_number, NULL);
	return p;
}
