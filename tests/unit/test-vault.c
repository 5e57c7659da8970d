/* tests/unit/test-vault.c - what the vault promises, one sentence at a time. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "agent/vault-internal.h"
#include "tests/unit/vault-unit.h"

/* ---- making and finding ---------------------------------------------------------------------- */

START_TEST(an_empty_vault_locks_little)
{
	struct vault *v = unit_vault(LIMIT_SMALL);

	ck_assert_uint_ge(vault_locked_bytes(v), (size_t)64 * 1024);
	ck_assert_uint_le(vault_locked_bytes(v), (size_t)128 * 1024);
	ck_assert_uint_eq(vault_locked_bytes(v), unit_mem.locked);
	ck_assert_uint_eq(vault_n_active(v), 0);
	ck_assert_uint_eq(vault_n_ended(v), 0);
	ck_assert_ptr_null(vault_next_owner(v, NULL));
	ck_assert_uint_eq(vault_next_expiry_us(v), UINT64_MAX);
	unit_done(v);
}
END_TEST

START_TEST(a_limit_that_holds_not_even_an_empty_vault_is_an_error)
{
	struct secretmem mem = {};
	struct vault *v;

	for (size_t limit = 0; limit < (size_t)310 * 1024; limit += 10000) {
		int r = vault_new(&mem, limit, NULL, &v);

		if (r == 0) {
			ck_assert_uint_le(vault_locked_bytes(v), limit);
			vault_free(v);
		} else {
			ck_assert_int_eq(r, -ENOMEM);
		}
		ck_assert_uint_eq(mem.locked, 0);
	}
}
END_TEST

START_TEST(a_token_is_found_after_its_commit_and_not_before)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref;
	struct vault_change *c = unit_prepare(v, unit_facts(7), REF_NONE, &ref);

	ck_assert_uint_eq(vault_find(v, 7), REF_NONE);
	ck_assert(vault_id_is_taken(v, 7));
	ck_assert(vault_is_busy(v, ref));
	ck_assert_uint_eq(vault_n_active(v), 0);
	ck_assert_uint_eq(vault_owner(v, ref)->n_active, 1);
	vault_commit(c);
	ck_assert_uint_eq(vault_find(v, 7), ref);
	ck_assert(!vault_is_busy(v, ref));
	ck_assert_uint_eq(vault_n_active(v), 1);
	ck_assert_uint_eq(vault_find(v, 8), REF_NONE);
	unit_done(v);
}
END_TEST

START_TEST(the_search_that_takes_as_long_for_either_finds_the_same)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	uint64_t seed = 3;
	token_ref ref, looked;

	UNIT_CHECK(vault_find_evenly(v, 7, &looked) == REF_NONE && looked == REF_NONE, "in none");
	ck_assert_ptr_null(vault_find_ended_evenly(v, 7));
	for (uint64_t i = 0; i < 5000; i++) {
		uint64_t id = unit_random(&seed) >> (i % 2 ? 0 : 50);

		if (!vault_id_is_taken(v, id))
			unit_add_id(v, id);
		if (i % 3 == 0 && vault_find(v, id))
			vault_commit(unit_prepare_end(v, vault_find(v, id), NOW + i));
		id = i % 4 ? id : unit_random(&seed);
		ref = vault_find_evenly(v, id, &looked);
		UNIT_CHECK(ref == vault_find(v, id), "another");
		UNIT_CHECK(ref == REF_NONE || looked == ref, "looked at another");
		UNIT_CHECK(looked != REF_NONE || vault_n_active(v) == 0, "nothing to look at");
		UNIT_CHECK(vault_find_ended_evenly(v, id) == vault_find_ended(v, id), "another ended");
	}
	unit_done(v);
}
END_TEST

START_TEST(a_token_rolled_back_was_never_there)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref;

	for (int i = 0; i < 1000; i++) {
		vault_rollback(unit_prepare(v, unit_facts(7), REF_NONE, &ref));
		UNIT_CHECK(!vault_id_is_taken(v, 7) && vault_n_active(v) == 0, "it is there");
		UNIT_CHECK(!vault_find_owner(v, 1000, SPAN("ci")), "its owner is there");
		UNIT_CHECK(vault_next_expiry_us(v) == UINT64_MAX, "its end is there");
	}
	ck_assert_uint_eq(unit_owners_freed, 1000);
	ck_assert_uint_le(vault_locked_bytes(v), (size_t)192 * 1024);
	vault_rollback(NULL);
	unit_done(v);
}
END_TEST

START_TEST(all_facts_come_back)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref parent = unit_add_id(v, 1);
	struct token_facts f = unit_facts(2), got;

	f.created_us = NOW + 17;
	f.expires_us = NOW + DAY + 4711;
	f.length_us = 2 * DAY + 1;
	f.last_used_us = NOW;
	f.last_used_by = SPAN("user ci");
	f.credential = SPAN("pipeline");
	f.binding = BINDING_UNIT;
	f.holder = (struct holder){ .invocation = { 1, 2, 3 }, .unit = SPAN("a.service") };
	f.uses_left = 5;
	f.replaced_by = 99;
	vault_facts(v, unit_add(v, f, parent), &got);
	ck_assert_uint_eq(got.id, 2);
	ck_assert_uint_eq(got.row, 2);
	ck_assert(span_equal(got.name, f.name) && span_equal(got.owner_name, f.owner_name));
	ck_assert_uint_eq(got.owner_uid, 1000);
	ck_assert_uint_eq(got.scopes.count, 1);
	ck_assert_uint_eq(got.scopes.n_bytes, 21);
	ck_assert_mem_eq(got.scopes.p, f.scopes.p, 21);
	ck_assert_uint_eq(got.created_us, f.created_us);
	ck_assert_uint_eq(got.expires_us, f.expires_us);
	ck_assert_uint_eq(got.length_us, f.length_us);
	ck_assert_uint_eq(got.last_used_us, f.last_used_us);
	ck_assert(span_equal(got.last_used_by, f.last_used_by));
	ck_assert(span_equal(got.issued_to, f.issued_to));
	ck_assert(span_equal(got.credential, f.credential));
	ck_assert_int_eq(got.binding, BINDING_UNIT);
	ck_assert_mem_eq(got.holder.invocation, f.holder.invocation, 16);
	ck_assert(span_equal(got.holder.unit, f.holder.unit));
	ck_assert_int_eq(got.uses_left, 5);
	ck_assert_uint_eq(got.parent, 1);
	ck_assert_uint_eq(got.replaced_by, 99);
	ck_assert_mem_eq(got.hash, f.hash, 32);
	ck_assert_int_eq(got.state, TOKEN_ACTIVE);
	ck_assert(!got.ended_us && got.ended == END_NOT);
	unit_done(v);
}
END_TEST

START_TEST(only_the_hash_of_its_secret_is_its_hash)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	token_ref ref = unit_add_id(v, 1);
	struct token_facts f = unit_facts(1);

	ck_assert(vault_hash_is(v, ref, f.hash));
	for (unsigned bit = 0; bit < 256; bit++) {
		f.hash[bit / 8] ^= (uint8_t)(1U << bit % 8);
		ck_assert(!vault_hash_is(v, ref, f.hash));
		f.hash[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
	unit_done(v);
}
END_TEST

/* ---- memory ---------------------------------------------------------------------------------- */

/* As where locked memory is not to be had: the default limit is too low for what a test needs. */
static void may_be_unlocked(struct secretmem *mem, size_t needed)
{
	*mem = (struct secretmem){ .allow_unlocked = true, .needed = needed };
}

START_TEST(an_ordinary_token_costs_at_most_160_bytes)
{
	enum { N = 100000 };
	struct secretmem mem;
	struct vault *v;
	size_t empty;

	may_be_unlocked(&mem, (size_t)32 * 1024 * 1024);
	ck_assert_int_eq(vault_new(&mem, (size_t)64 * 1024 * 1024, NULL, &v), 0);
	empty = vault_locked_bytes(v);
	for (uint64_t id = 1; id <= N; id++) {
		token_ref ref = unit_add_id(v, id * UINT64_C(0x9e3779b97f4a7c15));

		vault_used(v, ref, NOW, SPAN("api.service"));
	}
	printf("%zu bytes a token, %zu of an empty vault, %s\n",
	       (vault_locked_bytes(v) - empty) / N, empty,
	       mem.kind == MEMORY_UNLOCKED ? "not locked: the limit is too low" : "locked");
	ck_assert_uint_le(vault_locked_bytes(v) - empty, (size_t)160 * N);
	vault_free(v);
}
END_TEST

START_TEST(a_full_arena_refuses_and_goes_on)
{
	struct vault *v = unit_vault((size_t)1024 * 1024);
	uint64_t n = 0;
	token_ref ref;
	int r = 0;

	while (r == 0) {
		struct vault_change *c = unit_change(v);
		struct token_facts f = unit_facts(n + 1);

		r = vault_prepare_insert(c, &f, REF_NONE, &ref);
		if (r == 0) {
			vault_commit(c);
			n++;
		} else {
			vault_rollback(c);
		}
	}
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_gt(n, 4000);
	ck_assert_uint_le(vault_locked_bytes(v), (size_t)1024 * 1024);
	ck_assert_uint_eq(vault_n_active(v), n);
	for (uint64_t id = 1; id <= n; id++) {
		ref = vault_find(v, id);
		UNIT_CHECK(ref && vault_hash_is(v, ref, unit_facts(id).hash), "%lu is lost", id);
	}
	/* All can end, and what that frees can be used again, for what is larger too. */
	for (uint64_t id = 1; id <= n; id++)
		unit_end(v, id);
	for (uint64_t id = n + 1; id <= n + 100; id++) {
		struct token_facts f = unit_facts(id);

		f.uses_left = 3;
		f.owner_uid = (uid_t)id;
		unit_add(v, f, REF_NONE);
	}
	ck_assert_uint_eq(vault_n_active(v), 100);
	unit_done(v);
}
END_TEST

/* In a child that may lock 1 MiB: 0 where the vault found that out by itself. */
static int fill_to_the_limit(void)
{
	struct rlimit limit = { 1024 * 1024, 1024 * 1024 };
	struct secretmem mem = {};
	struct vault *v;
	uint64_t n = 0;

	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	    (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0))
		return 1;
	if (vault_new(&mem, (size_t)64 * 1024 * 1024, NULL, &v) < 0)
		return 2;
	for (int r = 0; r == 0; n++) {
		struct vault_change *c = vault_change_new(v);
		struct token_facts f = unit_facts(n + 1);

		r = vault_prepare_insert(c, &f, REF_NONE, NULL);
		if (r == 0)
			vault_commit(c);
		else
			vault_rollback(c);
		if (r < 0 && r != -ENOSPC)
			return 3;
	}
	if (n < 4000 || mem.kind == MEMORY_UNLOCKED || mem.locked > 1024 * 1024)
		return 4;
	unit_end(v, 1);
	unit_add_id(v, n + 1);
	vault_free(v);
	return 0;
}

START_TEST(the_limit_on_locked_memory_is_a_full_arena_too)
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(fill_to_the_limit());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

static bool arena_has(const struct vault *v, const char *text)
{
	const struct region *r = &v->arena.space.region;

	return memmem(r->base, r->size, text, strlen(text));
}

START_TEST(what_has_ended_is_wiped)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	static const char *const needles[] = { "needle-name", "needle/scope",	   "needle-unit",
					       "needle-by",   "needle-credential", "needle-owner" };
	struct token_facts f = unit_facts(1);
	token_ref ref;

	f.name = SPAN("needle-name");
	f.scopes = (struct packed_scopes){ (const uint8_t *)"\x0e"
							    "needle/scope:x",
					   15, 1 };
	f.issued_to = SPAN("needle-unit");
	f.credential = SPAN("needle-credential");
	f.owner_name = SPAN("needle-owner");
	ref = unit_add(v, f, REF_NONE);
	vault_used(v, ref, NOW, SPAN("needle-by"));
	for (size_t i = 0; i < ARRAY_SIZE(needles); i++)
		ck_assert_msg(arena_has(v, needles[i]), "%s", needles[i]);
	unit_end(v, 1);
	/* The label of the last use of all is kept until another comes. */
	vault_used(v, unit_add_id(v, 2), NOW, SPAN("another"));
	for (size_t i = 0; i < ARRAY_SIZE(needles) - 1; i++)
		ck_assert_msg(!arena_has(v, needles[i]), "%s", needles[i]);
	ck_assert(arena_has(v, "needle-owner"));
	unit_done(v);
}
END_TEST

/* ---- owners ---------------------------------------------------------------------------------- */

START_TEST(a_uid_of_another_name_is_another_owner)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct token_facts f = unit_facts(1);
	struct owner *owners[3];

	unit_add(v, f, REF_NONE);
	f.id = 2;
	f.owner_name = SPAN("other");
	unit_add(v, f, REF_NONE);
	f.id = 3;
	f.owner_name = SPAN_NONE;
	unit_add(v, f, REF_NONE);
	owners[0] = vault_find_owner(v, 1000, SPAN("ci"));
	owners[1] = vault_find_owner(v, 1000, SPAN("other"));
	owners[2] = vault_find_owner(v, 1000, SPAN_NONE);
	for (int i = 0; i < 3; i++) {
		ck_assert_ptr_nonnull(owners[i]);
		ck_assert_uint_eq(owners[i]->n_active, 1);
		ck_assert_ptr_ne(owners[i], owners[(i + 1) % 3]);
	}
	ck_assert_ptr_null(owners[2]->name.p);
	ck_assert_ptr_null(vault_find_owner(v, 1000, SPAN("")));
	ck_assert_ptr_null(vault_find_owner(v, 1001, SPAN("ci")));
	unit_done(v);
	ck_assert_uint_eq(unit_owners_freed, 3);
}
END_TEST

START_TEST(an_owner_lives_while_it_has_tokens_active_or_ended)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct vault_change *c;
	size_t n;
	struct owner *owner;

	unit_add_id(v, 1);
	owner = vault_find_owner(v, 1000, SPAN("ci"));
	ck_assert_ptr_null(owner->access);
	owner->access = &n;
	unit_end(v, 1);
	ck_assert_ptr_eq(vault_find_owner(v, 1000, SPAN("ci")), owner);
	ck_assert_ptr_eq(owner->access, &n);
	ck_assert_uint_eq(owner->n_active, 0);
	ck_assert_uint_eq(owner->n_ended, 1);
	c = unit_change(v);
	ck_assert_int_eq(vault_prepare_forget(c, UINT64_MAX, 1000, 10, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(unit_owners_freed, 0);
	vault_commit(c);
	ck_assert_uint_eq(unit_owners_freed, 1);
	ck_assert_ptr_null(vault_find_owner(v, 1000, SPAN("ci")));
	ck_assert_uint_eq(vault_n_ended(v), 0);
	unit_done(v);
}
END_TEST

START_TEST(each_owner_is_met_once)
{
	enum { N = 3000 };
	struct vault *v = unit_vault(LIMIT_SMALL);
	static bool seen[N];
	size_t n = 0;

	memset(seen, 0, sizeof(seen));
	for (uint64_t i = 0; i < N; i++) {
		struct token_facts f = unit_facts(i + 1);

		f.owner_uid = (uid_t)i;
		unit_add(v, f, REF_NONE);
	}
	for (struct owner *o = NULL; (o = vault_next_owner(v, o)); n++) {
		UNIT_CHECK(!seen[o->uid], "uid %u twice", o->uid);
		seen[o->uid] = true;
	}
	ck_assert_uint_eq(n, N);
	unit_done(v);
}
END_TEST

/* ---- cursors --------------------------------------------------------------------------------- */

START_TEST(a_cursor_meets_what_was_there_and_stays_the_newest_first)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct vault_cursor c;
	token_ref pending;
	struct vault_change *change;

	for (uint64_t id = 1; id <= 9; id++)
		unit_add_id(v, id);
	change = unit_prepare(v, unit_facts(10), REF_NONE, &pending);
	vault_cursor_init(&c, v, NULL, true);
	vault_commit(change);
	unit_add_id(v, 11);
	ck_assert_uint_eq(vault_cursor_peek(&c), vault_find(v, 9));
	/* It stands at 9: that one goes, and the next two with it. */
	unit_end(v, 8);
	unit_end(v, 9);
	ck_assert_uint_eq(vault_cursor_peek(&c), vault_find(v, 7));
	vault_cursor_step(&c);
	unit_end(v, 7);
	unit_end(v, 5);
	for (uint64_t id = 6; id > 0; id--) {
		if (id == 5)
			continue;
		ck_assert_uint_eq(vault_cursor_peek(&c), vault_find(v, id));
		vault_cursor_step(&c);
	}
	ck_assert_uint_eq(vault_cursor_peek(&c), REF_NONE);
	vault_cursor_step(&c);
	vault_cursor_done(&c);
	vault_cursor_done(&c);
	unit_done(v);
}
END_TEST

START_TEST(a_cursor_keeps_to_its_owner_and_stops_with_it)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct vault_cursor c, nobody;
	struct vault_change *change;
	struct token_facts f;
	size_t n;

	for (uint64_t id = 1; id <= 10; id++) {
		f = unit_facts(id);
		f.owner_uid = 1000 + (uid_t)(id % 2);
		unit_add(v, f, REF_NONE);
	}
	vault_cursor_init(&nobody, v, NULL, false);
	ck_assert_uint_eq(vault_cursor_peek(&nobody), REF_NONE);
	vault_cursor_init(&c, v, vault_find_owner(v, 1001, SPAN("ci")), false);
	for (uint64_t id = 9; id > 5; id -= 2) {
		ck_assert_uint_eq(vault_cursor_peek(&c), vault_find(v, id));
		vault_cursor_step(&c);
	}
	for (uint64_t id = 1; id <= 9; id += 2)
		unit_end(v, id);
	ck_assert_uint_eq(vault_cursor_peek(&c), REF_NONE);
	change = unit_change(v);
	ck_assert_int_eq(vault_prepare_forget(change, UINT64_MAX, 0, 100, &n), 0);
	vault_commit(change);
	ck_assert_uint_eq(unit_owners_freed, 1);
	vault_cursor_step(&c);
	vault_cursor_done(&c);
	vault_cursor_done(&nobody);
	unit_done(v);
}
END_TEST

/* ---- loading --------------------------------------------------------------------------------- */

START_TEST(tokens_are_loaded_in_any_order)
{
	enum { N = 1000 };
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct vault_cursor cursor;
	uint64_t row = N;

	/* Row i is the child of row i / 2, in an order in which parents mostly come later. */
	for (uint64_t i = 1; i <= N; i++) {
		uint64_t at = (i * 617) % (N + 1) ? (i * 617) % (N + 1) : N;
		struct token_facts f = unit_facts(at + 5000);

		f.row = at;
		f.parent = at > 1 ? at / 2 + 5000 : 0;
		ck_assert_int_eq(vault_load_active(v, &f, (uint32_t)at), 0);
	}
	ck_assert_int_eq(vault_load_done(v), 0);
	ck_assert_uint_eq(vault_n_active(v), N);
	vault_cursor_init(&cursor, v, vault_find_owner(v, 1000, SPAN("ci")), false);
	for (; row > 0; row--) {
		struct token_facts f;

		vault_facts(v, vault_cursor_peek(&cursor), &f);
		UNIT_CHECK(f.row == row, "%lu is not %lu", f.row, row);
		vault_cursor_step(&cursor);
	}
	vault_cursor_done(&cursor);
	ck_assert_uint_eq(vault_n_children(v, vault_find(v, 5001)), 2);
	unit_end(v, 5001);
	ck_assert_uint_eq(vault_n_active(v), 0);
	unit_done(v);
}
END_TEST

static int load(struct vault *v, uint64_t id, uint64_t row, uint64_t parent, enum token_state state)
{
	struct token_facts f = unit_facts(id);

	f.row = row;
	f.parent = parent;
	f.state = state;
	f.ended_us = state == TOKEN_ACTIVE ? 0 : NOW - row;
	return state == TOKEN_ACTIVE ? vault_load_active(v, &f, 1) : vault_load_ended(v, &f, 1);
}

START_TEST(what_does_not_fit_together_is_not_loaded)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct token_facts f = unit_facts(50);

	ck_assert_int_eq(load(v, 1, 1, 0, TOKEN_ACTIVE), 0);
	ck_assert_int_eq(load(v, 2, 2, 0, TOKEN_EXPIRED), 0);
	ck_assert_int_eq(load(v, 1, 3, 0, TOKEN_EXPIRED), -EBADMSG);
	for (enum token_state s = TOKEN_ACTIVE; s <= TOKEN_REVOKED; s++) {
		ck_assert_int_eq(load(v, 2, 3, 0, s), -EBADMSG);
		ck_assert_int_eq(load(v, 0, 3, 0, s), -EBADMSG);
		ck_assert_int_eq(load(v, 9, 0, 0, s), -EBADMSG);
		ck_assert_int_eq(load(v, 9, UINT64_C(1) << 48, 0, s), -EBADMSG);
	}
	f.row = 3;
	ck_assert_int_eq(vault_load_ended(v, &f, 1), -EBADMSG);
	f.state = TOKEN_REVOKED;
	ck_assert_int_eq(vault_load_active(v, &f, 1), -EBADMSG);
	ck_assert_int_eq(vault_load_done(v), 0);
	unit_done(v);

	/* No such parent; one that ended; one that is younger; oneself; one of another owner. */
	for (int i = 0; i < 5; i++) {
		static const uint64_t parents[] = { 77, 2, 4, 3, 1 };

		v = unit_vault(LIMIT_SMALL);
		f = unit_facts(1);
		f.row = 1;
		f.owner_uid = i == 4 ? 1001 : 1000;
		ck_assert_int_eq(vault_load_active(v, &f, 1), 0);
		ck_assert_int_eq(load(v, 2, 2, 0, TOKEN_REVOKED), 0);
		ck_assert_int_eq(load(v, 3, 3, parents[i], TOKEN_ACTIVE), 0);
		ck_assert_int_eq(load(v, 4, 4, 0, TOKEN_ACTIVE), 0);
		ck_assert_int_eq(vault_load_done(v), -EBADMSG);
		unit_done(v);
	}

	/* Two of a row; two of an id, with others around them and between them. */
	for (uint64_t i = 0; i < 2; i++) {
		v = unit_vault(LIMIT_SMALL);
		for (uint64_t n = 100; n < 3100; n++)
			ck_assert_int_eq(load(v, n == 2000 && i == 1 ? 200 : n,
					      n == 2000 && i == 0 ? 200 : n, 0, TOKEN_ACTIVE),
					 0);
		ck_assert_int_eq(vault_load_done(v), -EBADMSG);
		unit_done(v);
	}
}
END_TEST

START_TEST(as_many_tokens_as_are_expected_are_loaded_or_more_or_fewer)
{
	static const size_t expected[] = { 0, 1, 1023, 1024, 1025, 2000, 3000, 5000 };
	enum { N = 3000 };

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		struct vault *v = unit_vault(LIMIT_SMALL);

		ck_assert_int_eq(vault_expect(v, expected[i]), 0);
		for (uint64_t n = 1; n <= N; n++)
			ck_assert_int_eq(load(v, n, n, 0, TOKEN_ACTIVE), 0);
		ck_assert_int_eq(vault_load_done(v), 0);
		for (uint64_t n = 1; n <= N; n++)
			UNIT_CHECK(vault_find(v, n), "%lu of %zu expected", n, expected[i]);
		ck_assert(!vault_find(v, N + 1));
		unit_done(v);
	}
}
END_TEST

START_TEST(more_tokens_than_there_is_room_for_are_not_expected)
{
	struct vault *v = unit_vault(LIMIT_SMALL);

	ck_assert_int_eq(vault_expect(v, SIZE_MAX / 4 + 1), -ENOSPC);
	ck_assert_int_eq(vault_expect(v, LIMIT_SMALL / 4), -ENOSPC);
	ck_assert_int_eq(vault_expect(v, SIZE_MAX), -ENOSPC);
	ck_assert_int_eq(load(v, 1, 1, 0, TOKEN_ACTIVE), 0);
	ck_assert_int_eq(vault_load_done(v), 0);
	ck_assert(vault_find(v, 1));
	unit_done(v);
}
END_TEST

START_TEST(rows_go_on_after_the_highest_that_ever_was)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct token_facts f;

	ck_assert_int_eq(load(v, 1, 10, 0, TOKEN_ACTIVE), 0);
	ck_assert_int_eq(load(v, 2, 20, 0, TOKEN_EXPIRED), 0);
	ck_assert_int_eq(vault_load_done(v), 0);
	vault_facts(v, unit_add_id(v, 3), &f);
	ck_assert_uint_eq(f.row, 21);
	vault_set_highest_row(v, 100);
	vault_set_highest_row(v, 50);
	vault_facts(v, unit_add_id(v, 4), &f);
	ck_assert_uint_eq(f.row, 101);
	unit_done(v);
}
END_TEST

START_TEST(ended_tokens_are_loaded_in_order_of_their_ends)
{
	struct vault *v = unit_vault(LIMIT_SMALL);
	struct vault_change *c = unit_change(v);
	struct vault_row row;
	size_t n;

	/* Later rows ended sooner. */
	for (uint64_t i = 1; i <= 20; i++)
		ck_assert_int_eq(load(v, i, i, 0, TOKEN_EXPIRED), 0);
	ck_assert_int_eq(vault_load_done(v), 0);
	ck_assert_int_eq(vault_prepare_forget(c, NOW - 15, 1000, 100, &n), 0);
	ck_assert_uint_eq(n, 5);
	for (size_t i = 0; i < n; i++) {
		unit_row(c, i, &row);
		ck_assert_uint_eq(row.id, 20 - i);
	}
	vault_commit(c);
	unit_done(v);
}
END_TEST

UNIT_MAIN("vault", an_empty_vault_locks_little,
	  a_limit_that_holds_not_even_an_empty_vault_is_an_error,
	  a_token_is_found_after_its_commit_and_not_before,
	  the_search_that_takes_as_long_for_either_finds_the_same, a_token_rolled_back_was_never_there,
	  all_facts_come_back, only_the_hash_of_its_secret_is_its_hash,
	  an_ordinary_token_costs_at_most_160_bytes, a_full_arena_refuses_and_goes_on,
	  the_limit_on_locked_memory_is_a_full_arena_too, what_has_ended_is_wiped,
	  a_uid_of_another_name_is_another_owner,
	  an_owner_lives_while_it_has_tokens_active_or_ended, each_owner_is_met_once,
	  a_cursor_meets_what_was_there_and_stays_the_newest_first,
	  a_cursor_keeps_to_its_owner_and_stops_with_it, tokens_are_loaded_in_any_order,
	  what_does_not_fit_together_is_not_loaded,
	  as_many_tokens_as_are_expected_are_loaded_or_more_or_fewer,
	  more_tokens_than_there_is_room_for_are_not_expected,
	  rows_go_on_after_the_highest_that_ever_was,
	  ended_tokens_are_loaded_in_order_of_their_ends)
