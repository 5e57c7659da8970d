/*
 * tests/unit/test-restore-judge.c - what becomes of each token of a backup: of owners with other
 * numbers here, of what is known, has ended, has expired, was bound, was derived.
 */
#include "agent/restore-judge.h"

#include <poll.h>
#include <string.h>

#include "agent/names-lookup.h"
#include "tests/unit/vault-unit.h"

/* ---- accounts of this host ------------------------------------------------------------------- */

static int no_uid(uid_t uid, struct passwd *pwd, char *buf, size_t size, struct passwd **ret)
{
	(void)uid;
	(void)pwd;
	(void)buf;
	(void)size;
	*ret = NULL;
	return 0;
}

/* "ci" is 2000 here; nobody else is there. */
static int find_user(const char *name, struct passwd *pwd, char *buf, size_t size,
		     struct passwd **ret)
{
	(void)size;
	*ret = NULL;
	if (strcmp(name, "ci") != 0)
		return 0;
	*pwd = (struct passwd){ .pw_name = strcpy(buf, "ci"), .pw_uid = 2000 };
	*ret = pwd;
	return 0;
}

static int no_group(const char *name, struct group *grp, char *buf, size_t size, struct group **ret)
{
	(void)name;
	(void)grp;
	(void)buf;
	(void)size;
	*ret = NULL;
	return 0;
}

static int no_groups(const char *user, gid_t group, gid_t *groups, int *n)
{
	(void)user;
	groups[0] = group;
	*n = 1;
	return 1;
}

static const struct names_functions accounts = { no_uid, find_user, no_group, no_groups };

static void on_known(void *userdata)
{
	*(bool *)userdata = true;
}

/* Names with "ci" and "gone" looked up. */
static struct names *some_names(void)
{
	struct names *n;
	struct pollfd p;
	bool known = false;

	ck_assert_int_eq(names_new_with(&accounts, &n), 0);
	names_ask_user(n, "ci");
	names_ask_user(n, "gone");
	ck_assert_int_eq(names_barrier(n, on_known, &known), 0);
	p = (struct pollfd){ .fd = names_fd(n), .events = POLLIN };
	while (!known && poll(&p, 1, 100000) == 1)
		names_dispatch(n);
	ck_assert(known);
	return n;
}

/* ---- judging --------------------------------------------------------------------------------- */

static struct vault *v;
static struct names *names;
static token_ref ref;

static void set_up(void)
{
	v = unit_vault(LIMIT_SMALL);
	names = some_names();
	ref = REF_NONE;
}

static void take_down(void)
{
	unit_done(v);
	names_free(names);
}

static enum restore_fate judge(struct token_facts *f)
{
	return restore_judge(v, names, NOW, f, &ref);
}

static struct token_facts ended_facts(uint64_t id)
{
	struct token_facts f = unit_facts(id);

	f.state = TOKEN_REVOKED;
	f.ended = END_OWNER;
	f.ended_us = NOW + 1;
	return f;
}

/* One that is active here, as it would be: its owner has this host's number. */
static struct token_facts facts_here(uint64_t id)
{
	struct token_facts f = unit_facts(id);

	f.owner_uid = 2000;
	return f;
}

START_TEST(owners_are_found_by_name_and_get_this_hosts_number)
{
	struct token_facts f = unit_facts(1), gone = unit_facts(2), nameless = unit_facts(3);

	set_up();
	ck_assert_uint_eq(f.owner_uid, 1000);
	ck_assert_int_eq(judge(&f), FATE_INSERT);
	ck_assert_uint_eq(f.owner_uid, 2000);
	ck_assert_uint_eq(ref, REF_NONE);
	f = ended_facts(1);
	ck_assert_int_eq(judge(&f), FATE_RECALL);
	ck_assert_uint_eq(f.owner_uid, 2000);
	gone.owner_name = SPAN("gone");
	ck_assert_int_eq(judge(&gone), FATE_NO_OWNER);
	gone = ended_facts(2);
	gone.owner_name = SPAN("gone");
	ck_assert_int_eq(judge(&gone), FATE_NO_OWNER);
	/* Never looked up is not found either. */
	gone.owner_name = SPAN("unheard-of");
	ck_assert_int_eq(judge(&gone), FATE_NO_OWNER);
	nameless.owner_name = SPAN_NONE;
	ck_assert_int_eq(judge(&nameless), FATE_INSERT);
	ck_assert_uint_eq(nameless.owner_uid, 1000);
	take_down();
}
END_TEST

START_TEST(what_is_known_stays_as_it_is_here)
{
	struct token_facts f = unit_facts(1);

	set_up();
	unit_add(v, facts_here(1), REF_NONE);
	ck_assert_int_eq(judge(&f), FATE_KNOWN);
	unit_end(v, 1);
	ck_assert_int_eq(judge(&f), FATE_KNOWN);
	f = ended_facts(1);
	ck_assert_int_eq(judge(&f), FATE_KNOWN);
	take_down();
}
END_TEST

START_TEST(what_is_being_made_is_known)
{
	struct token_facts f = unit_facts(1);
	struct vault_change *c;

	set_up();
	c = unit_prepare(v, facts_here(1), REF_NONE, NULL);
	ck_assert_int_eq(judge(&f), FATE_KNOWN);
	vault_rollback(c);
	ck_assert_int_eq(judge(&f), FATE_INSERT);
	take_down();
}
END_TEST

START_TEST(what_has_ended_there_ends_here)
{
	struct token_facts f = ended_facts(1);
	struct vault_change *c;
	token_ref here;

	set_up();
	here = unit_add(v, facts_here(1), REF_NONE);
	ck_assert_int_eq(judge(&f), FATE_END);
	ck_assert_uint_eq(ref, here);
	c = unit_prepare_end(v, here, NOW);
	ck_assert_int_eq(judge(&f), FATE_WAIT);
	vault_commit(c);
	ck_assert_int_eq(judge(&f), FATE_KNOWN);
	take_down();
}
END_TEST

START_TEST(what_has_expired_is_not_revived_to_the_microsecond)
{
	struct token_facts f = unit_facts(1);

	set_up();
	f.expires_us = NOW;
	ck_assert_int_eq(judge(&f), FATE_EXPIRED);
	f.expires_us = NOW + 1;
	ck_assert_int_eq(judge(&f), FATE_INSERT);
	take_down();
}
END_TEST

START_TEST(what_was_bound_is_left_out)
{
	struct token_facts f = unit_facts(1);

	set_up();
	f.binding = BINDING_PROCESS;
	ck_assert_int_eq(judge(&f), FATE_BOUND);
	f.binding = BINDING_UNIT;
	ck_assert_int_eq(judge(&f), FATE_BOUND);
	take_down();
}
END_TEST

START_TEST(a_child_comes_back_with_a_parent_that_is_active_here_alone)
{
	struct token_facts f = unit_facts(2);
	struct vault_change *c;
	token_ref parent;

	set_up();
	f.parent = 1;
	ck_assert_int_eq(judge(&f), FATE_NO_PARENT);
	c = unit_prepare(v, facts_here(1), REF_NONE, &parent);
	ck_assert_int_eq(judge(&f), FATE_WAIT);
	vault_commit(c);
	ck_assert_int_eq(judge(&f), FATE_INSERT);
	ck_assert_uint_eq(ref, parent);
	c = unit_prepare_end(v, parent, NOW);
	ck_assert_int_eq(judge(&f), FATE_WAIT);
	vault_commit(c);
	ck_assert_int_eq(judge(&f), FATE_NO_PARENT);
	take_down();
}
END_TEST

START_TEST(a_child_has_its_parents_owner_and_no_longer_a_life)
{
	struct token_facts parent = facts_here(1), f = unit_facts(2);

	set_up();
	/* The name had another number when the parent was made here. */
	parent.owner_uid = 1234;
	parent.expires_us = NOW + DAY;
	unit_add(v, parent, REF_NONE);
	f.parent = 1;
	ck_assert_int_eq(judge(&f), FATE_INSERT);
	ck_assert_uint_eq(f.owner_uid, 1234);
	ck_assert(span_is(f.owner_name, "ci"));
	ck_assert_uint_eq(f.expires_us, NOW + DAY);
	take_down();
}
END_TEST

UNIT_MAIN("restore-judge", owners_are_found_by_name_and_get_this_hosts_number,
	  what_is_known_stays_as_it_is_here, what_is_being_made_is_known,
	  what_has_ended_there_ends_here, what_has_expired_is_not_revived_to_the_microsecond,
	  what_was_bound_is_left_out, a_child_comes_back_with_a_parent_that_is_active_here_alone,
	  a_child_has_its_parents_owner_and_no_longer_a_life)
