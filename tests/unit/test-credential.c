/*
 * tests/unit/test-credential.c - held secrets: what is put is what is opened, what is gone is gone,
 * and a change that fails was never there.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/credential.h"
#include "tests/unit/unit.h"

#define NOW UINT64_C(1700000000000000)

/* In ordinary memory: here they are no secrets. One for each table that stands at once. */
static uint8_t keys[4][CREDENTIAL_KEY_LEN];
static uint8_t record[CREDENTIAL_RECORD_MAX];

static struct credentials *make(void)
{
	static unsigned next;
	struct credentials *all;

	ck_assert_int_eq(credentials_new(keys[next++ % ARRAY_SIZE(keys)], &all), 0);
	return all;
}

static struct credential_change *prepare_put(struct credentials *all, const char *name,
					     struct span value, uint64_t *ret_revision)
{
	struct credential_change *c;

	UNIT_CHECK(credential_prepare_put(all, span_of(name), CREDENTIAL_TEXT, value, NOW, 0,
					  ret_revision, &c) == 0,
		   "it can't be put");
	return c;
}

static uint64_t put(struct credentials *all, const char *name, const char *value)
{
	uint64_t revision;

	credential_commit(prepare_put(all, name, span_of(value), &revision));
	return revision;
}

static void forget(struct credentials *all, const char *name)
{
	struct credential_change *c;

	UNIT_CHECK(credential_prepare_forget(all, span_of(name), NOW, &c) == 0, "can't forget");
	credential_commit(c);
}

static bool holds(const struct credentials *all, const char *name, const char *value)
{
	const struct credential *c = credentials_find(all, span_of(name));
	char opened[CREDENTIAL_VALUE_MAX];

	if (!c || c->form == CREDENTIAL_NONE)
		return !value;
	credential_open(all, c, opened);
	return value && span_is((struct span){ opened, c->n }, value);
}

/* Loads row i of a change into others, as if from the store. */
static int load_row(const struct credential_change *c, size_t i, struct credentials *into)
{
	struct credential_row row;

	credential_change_row(c, i, record, &row);
	return credentials_load(into, row.row, row.version, record, row.n);
}

START_TEST(what_is_put_is_what_is_opened)
{
	struct credentials *all = make();
	uint64_t seed = 1;

	for (unsigned i = 0; i < 300; i++) {
		static char bytes[CREDENTIAL_VALUE_MAX], opened[CREDENTIAL_VALUE_MAX];
		struct span value = {
			bytes, 1 + unit_random(&seed) % (i % 10 ? 300 : CREDENTIAL_VALUE_MAX)
		};
		const struct credential *found;
		struct credential_change *c;
		uint64_t revision;

		for (size_t k = 0; k < value.n; k++)
			bytes[k] = (char)unit_random(&seed);
		UNIT_CHECK(credential_prepare_put(all, SPAN("n"), CREDENTIAL_DATA, value, NOW + i,
						  NOW + 2 * i, &revision, &c) == 0,
			   "it can't be put");
		credential_commit(c);
		found = credentials_find(all, SPAN("n"));
		UNIT_CHECK(found && found->n == value.n && found->form == CREDENTIAL_DATA &&
				   found->revision == i + 1 &&
				   found->updated_us == NOW + i &&
				   found->expires_us == NOW + 2 * i,
			   "its facts are others");
		credential_open(all, found, opened);
		UNIT_CHECK(memcmp(opened, bytes, value.n) == 0, "another value is opened");
	}
	credentials_free(all);
}
END_TEST

START_TEST(a_change_is_seen_when_it_is_committed_and_not_before)
{
	struct credentials *all = make();
	struct credential_change *c;
	uint64_t revision;

	c = prepare_put(all, "n", SPAN("one"), &revision);
	ck_assert(holds(all, "n", NULL));
	ck_assert_uint_eq(credentials_n_held(all), 0);
	credential_commit(c);
	ck_assert(holds(all, "n", "one"));
	ck_assert_uint_eq(credentials_n_held(all), 1);
	c = prepare_put(all, "n", SPAN("two"), &revision);
	ck_assert(holds(all, "n", "one"));
	credential_commit(c);
	ck_assert(holds(all, "n", "two"));
	ck_assert_int_eq(credential_prepare_forget(all, SPAN("n"), NOW, &c), 0);
	ck_assert(holds(all, "n", "two"));
	credential_commit(c);
	ck_assert(holds(all, "n", NULL));
	ck_assert_uint_eq(credentials_n_held(all), 0);
	credentials_free(all);
}
END_TEST

START_TEST(a_change_that_is_rolled_back_was_never_there)
{
	struct credentials *all = make();
	struct credential_change *c;
	uint64_t revision;

	credential_rollback(prepare_put(all, "n", SPAN("one"), &revision));
	ck_assert_ptr_null(credentials_find(all, SPAN("n")));
	ck_assert_uint_eq(put(all, "n", "two"), 1);
	credential_rollback(prepare_put(all, "n", SPAN("three"), &revision));
	ck_assert_uint_eq(revision, 2);
	ck_assert(holds(all, "n", "two"));
	ck_assert_int_eq(credential_prepare_forget(all, SPAN("n"), NOW, &c), 0);
	credential_rollback(c);
	ck_assert(holds(all, "n", "two"));
	ck_assert_uint_eq(credentials_n_held(all), 1);
	ck_assert_uint_eq(put(all, "n", "four"), 2);
	credentials_free(all);
}
END_TEST

START_TEST(a_revision_never_starts_again)
{
	struct credentials *all = make();

	for (uint64_t i = 1; i < 100; i++) {
		ck_assert_uint_eq(put(all, "n", "value"), i);
		if (i % 3 == 0)
			forget(all, "n");
	}
	credentials_free(all);
}
END_TEST

START_TEST(one_change_of_a_value_at_a_time)
{
	struct credentials *all = make();
	struct credential_change *c, *other;
	uint64_t revision;

	c = prepare_put(all, "n", SPAN("one"), &revision);
	ck_assert_int_eq(credential_prepare_put(all, SPAN("n"), CREDENTIAL_TEXT, SPAN("two"), NOW,
						0, &revision, &other),
			 -EBUSY);
	ck_assert_int_eq(credential_prepare_forget(all, SPAN("n"), NOW, &other), -EBUSY);
	credential_rollback(prepare_put(all, "other", SPAN("two"), &revision));
	credential_commit(c);
	credential_commit(prepare_put(all, "n", SPAN("two"), &revision));
	credentials_free(all);
}
END_TEST

START_TEST(what_is_not_held_can_not_be_forgotten)
{
	struct credentials *all = make();
	struct credential_change *c;

	ck_assert_int_eq(credential_prepare_forget(all, SPAN("n"), NOW, &c), -ENOENT);
	put(all, "n", "one");
	forget(all, "n");
	ck_assert_int_eq(credential_prepare_forget(all, SPAN("n"), NOW, &c), -ENOENT);
	credentials_free(all);
}
END_TEST

START_TEST(a_row_is_followed_by_the_next_version_of_itself)
{
	struct credentials *all = make();
	struct credential_row row;
	struct credential_change *c;
	uint64_t revision, first = 0;

	for (uint32_t i = 1; i < 10; i++) {
		c = prepare_put(all, "n", SPAN("value"), &revision);
		ck_assert_uint_eq(credential_change_n(c), 1);
		credential_change_row(c, 0, record, &row);
		first = first ? first : row.row;
		ck_assert_uint_eq(row.row, first);
		ck_assert_uint_eq(row.old_version, i - 1);
		ck_assert_uint_eq(row.version, i);
		/* One that fails uses up no version. */
		credential_rollback(c);
		c = prepare_put(all, "n", SPAN("value"), &revision);
		credential_change_row(c, 0, record, &row);
		ck_assert_uint_eq(row.version, i);
		if (i == 1)
			first = row.row;
		credential_commit(c);
	}
	credentials_free(all);
}
END_TEST

START_TEST(what_the_store_gets_is_what_is_loaded)
{
	struct credentials *all = make(), *loaded = make();
	struct credential_change *c;
	uint64_t revision;

	put(all, "n", "one");
	c = prepare_put(all, "n", SPAN("two"), &revision);
	ck_assert_int_eq(load_row(c, 0, loaded), 0);
	credential_commit(c);
	ck_assert(holds(loaded, "n", "two"));
	ck_assert_uint_eq(credentials_find(loaded, SPAN("n"))->revision, 2);
	ck_assert_uint_eq(put(loaded, "n", "three"), 3);
	credentials_free(loaded);

	loaded = make();
	ck_assert_int_eq(credential_prepare_forget(all, SPAN("n"), NOW, &c), 0);
	ck_assert_int_eq(load_row(c, 0, loaded), 0);
	credential_commit(c);
	ck_assert(holds(loaded, "n", NULL));
	ck_assert_uint_eq(put(loaded, "n", "three"), 3);
	credentials_free(loaded);
	credentials_free(all);
}
END_TEST

START_TEST(a_name_twice_is_refused_at_the_load)
{
	struct credentials *all = make(), *loaded = make();
	struct credential_change *c;
	struct credential_row row;
	uint64_t revision;

	c = prepare_put(all, "n", SPAN("one"), &revision);
	credential_change_row(c, 0, record, &row);
	ck_assert_int_eq(credentials_load(loaded, 1, 1, record, row.n), 0);
	ck_assert_int_eq(credentials_load(loaded, 2, 1, record, row.n), -EBADMSG);
	ck_assert_int_eq(credentials_load(loaded, 3, 1, record, row.n - 1), -EBADMSG);
	credential_rollback(c);
	credentials_free(all);
	credentials_free(loaded);
}
END_TEST

START_TEST(names_stand_in_order_whatever_comes_and_goes)
{
	struct credentials *all = make();
	uint64_t seed = 5, revision;
	bool there[500] = { false };

	for (int i = 0; i < 5000; i++) {
		unsigned k = (unsigned)(unit_random(&seed) % ARRAY_SIZE(there));
		char name[16];

		snprintf(name, sizeof(name), "n%03u", k);
		if (i % 2)
			credential_rollback(prepare_put(all, name, SPAN("v"), &revision));
		else
			there[k] = put(all, name, "v");
	}
	for (size_t k = 0, n = 0; k <= ARRAY_SIZE(there); k++) {
		static struct span at;
		const struct credential *c;
		char name[16];

		if (k < ARRAY_SIZE(there) && !there[k])
			continue;
		c = credentials_after(all, n ? at : SPAN_NONE);
		snprintf(name, sizeof(name), "n%03zu", k);
		if (k == ARRAY_SIZE(there)) {
			ck_assert_ptr_null(c);
			ck_assert_uint_eq(credentials_n_held(all), n);
			break;
		}
		UNIT_CHECK(c && strcmp(c->name, name) == 0, "%s is not next", name);
		at = span_of(c->name);
		n++;
	}
	ck_assert_ptr_nonnull(credentials_after(all, SPAN("a")));
	ck_assert_ptr_null(credentials_after(all, SPAN("z")));
	credentials_free(all);
}
END_TEST

/* ---- last fetches ---------------------------------------------------------------------------- */

START_TEST(a_fetch_is_kept_once_and_again_when_that_fails)
{
	struct credentials *all = make();
	struct credential_change *c;

	ck_assert_int_eq(credentials_prepare_fetched(all, 10, &c), 0);
	ck_assert_ptr_null(c);
	put(all, "held", "value");
	for (int i = 0; i < 3; i++) {
		credentials_fetched(all, SPAN("held"), NOW + 1, SPAN("nightly.service"));
		credentials_fetched(all, SPAN("minted"), NOW + 2, SPAN("ci"));
	}
	ck_assert_uint_eq(credentials_find(all, SPAN("minted"))->fetched_us, NOW + 2);
	ck_assert_str_eq(credentials_find(all, SPAN("held"))->fetched_by, "nightly.service");
	ck_assert_int_eq(credentials_prepare_fetched(all, 10, &c), 0);
	ck_assert_uint_eq(credential_change_n(c), 2);
	credential_rollback(c);
	ck_assert_int_eq(credentials_prepare_fetched(all, 10, &c), 0);
	ck_assert_uint_eq(credential_change_n(c), 2);
	credential_commit(c);
	ck_assert_int_eq(credentials_prepare_fetched(all, 10, &c), 0);
	ck_assert_ptr_null(c);
	credentials_free(all);
}
END_TEST

START_TEST(a_fetch_while_another_is_being_kept_is_kept_next)
{
	struct credentials *all = make();
	struct credential_change *c, *next;

	credentials_fetched(all, SPAN("a"), NOW, SPAN("x"));
	ck_assert_int_eq(credentials_prepare_fetched(all, 10, &c), 0);
	credentials_fetched(all, SPAN("a"), NOW + 1, SPAN("x"));
	credentials_fetched(all, SPAN("b"), NOW + 1, SPAN("x"));
	/* a is passed over, b is not. */
	ck_assert_int_eq(credentials_prepare_fetched(all, 10, &next), 0);
	ck_assert_uint_eq(credential_change_n(next), 1);
	credential_commit(c);
	credential_commit(next);
	ck_assert_int_eq(credentials_prepare_fetched(all, 10, &c), 0);
	ck_assert_uint_eq(credential_change_n(c), 1);
	credential_commit(c);
	credentials_free(all);
}
END_TEST

START_TEST(fetches_are_loaded_beside_values)
{
	struct credentials *all = make(), *loaded = make();
	struct credential_change *c, *fetched;
	uint64_t revision;

	c = prepare_put(all, "n", SPAN("value"), &revision);
	credentials_fetched(all, SPAN("n"), NOW, SPAN("ci"));
	ck_assert_int_eq(credentials_prepare_fetched(all, 10, &fetched), 0);
	/* Rows come in any order. */
	ck_assert_int_eq(load_row(fetched, 0, loaded), 0);
	ck_assert_uint_eq(credentials_find(loaded, SPAN("n"))->fetched_us, NOW);
	ck_assert_str_eq(credentials_find(loaded, SPAN("n"))->fetched_by, "ci");
	ck_assert_int_eq(load_row(fetched, 0, loaded), -EBADMSG);
	ck_assert_uint_eq(put(loaded, "n", "value"), 1);
	credential_rollback(fetched);
	credential_rollback(c);
	/* It stands as long as its fetch is to be kept. */
	ck_assert_ptr_nonnull(credentials_find(all, SPAN("n")));
	credentials_free(all);
	credentials_free(loaded);
}
END_TEST

START_TEST(who_fetched_is_a_text_or_nobody)
{
	struct credentials *all = make();
	char longest[CREDENTIAL_BY_MAX + 1];

	memset(longest, 'x', sizeof(longest));
	credentials_fetched(all, SPAN("n"), NOW, (struct span){ longest, CREDENTIAL_BY_MAX });
	ck_assert_uint_eq(strlen(credentials_find(all, SPAN("n"))->fetched_by), CREDENTIAL_BY_MAX);
	credentials_fetched(all, SPAN("n"), NOW, (struct span){ longest, sizeof(longest) });
	ck_assert_str_eq(credentials_find(all, SPAN("n"))->fetched_by, "");
	credentials_fetched(all, SPAN("n"), NOW, SPAN("\xff\xfe"));
	ck_assert_str_eq(credentials_find(all, SPAN("n"))->fetched_by, "");
	credentials_free(all);
}
END_TEST

/* ---- from a backup --------------------------------------------------------------------------- */

/* A value (NULL: forgotten) of this revision, put or forgotten then. */
static struct credential_record there(const char *name, const char *value, uint64_t revision,
				      uint64_t updated_us)
{
	return (struct credential_record){
		.kind = CREDENTIAL_VALUE,
		.name = span_of(name),
		.form = value ? CREDENTIAL_TEXT : CREDENTIAL_NONE,
		.revision = revision,
		.updated_us = updated_us,
		.expires_us = value ? NOW + 5 : 0,
		.value = span_of(value),
	};
}

static int restore(struct credentials *all, struct credential_record r)
{
	struct credential_change *c;
	int k = credential_prepare_restore(all, &r, &c);

	if (k == 0)
		credential_commit(c);
	return k;
}

START_TEST(what_comes_from_a_backup_keeps_its_revision_and_its_times)
{
	struct credentials *all = make();
	const struct credential *c;

	ck_assert_int_eq(restore(all, there("n", "old", 7, NOW - 9)), 0);
	ck_assert(holds(all, "n", "old"));
	c = credentials_find(all, SPAN("n"));
	ck_assert_uint_eq(c->revision, 7);
	ck_assert_uint_eq(c->updated_us, NOW - 9);
	ck_assert_uint_eq(c->expires_us, NOW + 5);
	ck_assert_int_eq(restore(all, there("n", "old", 7, NOW - 9)), -EEXIST);
	ck_assert_uint_eq(put(all, "n", "new"), 8);
	credentials_free(all);
}
END_TEST

START_TEST(nothing_from_a_backup_comes_over_what_was_put_or_forgotten_later)
{
	struct credentials *all = make();

	put(all, "n", "here");
	ck_assert_int_eq(restore(all, there("n", "same revision", 1, NOW + 1)), -EEXIST);
	ck_assert_int_eq(restore(all, there("n", "earlier", 9, NOW - 1)), -EEXIST);
	ck_assert_int_eq(restore(all, there("n", NULL, 9, NOW - 1)), -EEXIST);
	ck_assert(holds(all, "n", "here"));
	forget(all, "n");
	ck_assert_int_eq(restore(all, there("n", "earlier", 9, NOW - 1)), -EEXIST);
	ck_assert(holds(all, "n", NULL));
	ck_assert_int_eq(restore(all, there("n", "later", 9, NOW + 1)), 0);
	ck_assert(holds(all, "n", "later"));
	ck_assert_int_eq(restore(all, there("n", NULL, 10, NOW + 2)), 0);
	ck_assert(holds(all, "n", NULL));
	ck_assert_uint_eq(put(all, "n", "next"), 11);
	credentials_free(all);
}
END_TEST

START_TEST(of_a_name_that_was_forgotten_there_the_revision_comes_and_no_event)
{
	struct credentials *all = make(), *loaded = make();
	struct credential_record r = there("n", NULL, 4, NOW);
	struct credential_change *c;
	struct credential_row row;

	ck_assert_int_eq(credential_prepare_restore(all, &r, &c), 0);
	credential_change_row(c, 0, record, &row);
	ck_assert(!row.is_put && !row.is_forgotten);
	ck_assert_int_eq(load_row(c, 0, loaded), 0);
	credential_commit(c);
	ck_assert_uint_eq(put(all, "n", "next"), 5);
	ck_assert_uint_eq(put(loaded, "n", "next"), 5);
	credentials_free(all);
	credentials_free(loaded);
}
END_TEST

START_TEST(a_restore_waits_for_a_change_of_the_same_value_and_can_be_rolled_back)
{
	struct credentials *all = make();
	struct credential_record r = there("n", "there", 4, NOW + 1);
	struct credential_change *c;
	uint64_t revision;

	c = prepare_put(all, "n", SPAN("here"), &revision);
	ck_assert_int_eq(restore(all, r), -EBUSY);
	credential_rollback(c);
	ck_assert_int_eq(credential_prepare_restore(all, &r, &c), 0);
	credential_rollback(c);
	ck_assert_ptr_null(credentials_find(all, SPAN("n")));
	credentials_free(all);
}
END_TEST

UNIT_MAIN("credential", what_is_put_is_what_is_opened,
	  a_change_is_seen_when_it_is_committed_and_not_before,
	  a_change_that_is_rolled_back_was_never_there, a_revision_never_starts_again,
	  one_change_of_a_value_at_a_time, what_is_not_held_can_not_be_forgotten,
	  a_row_is_followed_by_the_next_version_of_itself, what_the_store_gets_is_what_is_loaded,
	  a_name_twice_is_refused_at_the_load, names_stand_in_order_whatever_comes_and_goes,
	  a_fetch_is_kept_once_and_again_when_that_fails,
	  a_fetch_while_another_is_being_kept_is_kept_next, fetches_are_loaded_beside_values,
	  who_fetched_is_a_text_or_nobody,
	  what_comes_from_a_backup_keeps_its_revision_and_its_times,
	  nothing_from_a_backup_comes_over_what_was_put_or_forgotten_later,
	  of_a_name_that_was_forgotten_there_the_revision_comes_and_no_event,
	  a_restore_waits_for_a_change_of_the_same_value_and_can_be_rolled_back)
