/*
 * tests/fuzz/fuzz-policy.c - any bytes as the files of the policies' directories: they are a policy,
 * or have a mistake that is told with its place; and decisions by it.
 */
#include "tests/fuzz/files.h"

#include "agent/policy/access.h"
#include "agent/policy/policy.h"
#include "protocol/scope.h"

static void on_name(void *userdata, struct policy_id *id, bool group)
{
	(void)userdata;
	FUZZ_HOLDS(id->text && !id->number);
	id->exists = strlen(id->text) % 2;
	id->id = group ? 100 : 1000;
}

static void on_scope(void *userdata, struct span scope)
{
	(void)userdata;
	FUZZ_HOLDS(scope_is_pattern(scope));
}

static void decide(struct policy *p)
{
	static const gid_t groups[] = { 100 };
	const struct subject who = { .uid = 1000, .groups = groups, .n_groups = 1, .unit = "a.service" };
	const struct policy_credential *c;
	struct span name = SPAN_NONE;
	struct access access;

	policy_each_name(p, on_name, NULL);
	FUZZ_HOLDS(access_of(p, &who, &access) == 0);
	for (size_t i = 0; i < access.n; i++)
		FUZZ_HOLDS(scope_is_pattern(access.scopes[i]));
	verify_tells(p, &who, access.scopes, access.n, on_scope, NULL);
	access_done(&access);
	while ((c = policy_credential_after(p, name))) {
		name = span_of(c->name);
		FUZZ_HOLDS(policy_find_credential(p, name) == c);
		(void)fetch_is_allowed(p, &who, name, false, NULL);
		(void)fetch_is_allowed(p, &who, name, true, NULL);
		FUZZ_HOLDS(c->n_scopes <= SCOPES_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const dirs[] = { "/etc/jeton/policy.d", "/usr/lib/jeton/policy.d" };
	struct policy_error error = { .line = 0 };
	struct policy *p = NULL;
	int r;

	fuzz_files_set(data, n, ".policy");
	r = policy_load(dirs, ARRAY_SIZE(dirs), 0, &p, &error);
	if (r == 0) {
		decide(p);
		policy_free(p);
	} else {
		FUZZ_HOLDS(r == -EINVAL && error.message[0] && error.file[0]);
		FUZZ_HOLDS(!strchr(error.message, '\n'));
	}
	return 0;
}
