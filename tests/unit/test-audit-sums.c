/* tests/unit/test-audit-sums.c - what is counted, in tables that never grow; and the sentences. */
#include "agent/audit-sums.h"

#include <string.h>

#include "agent/audit-words.h"
#include "tests/unit/unit.h"

static struct audit_verified verified;
static struct audit_repeats repeats;

static void clear(void)
{
	memset(&verified, 0, sizeof(verified));
	memset(&repeats, 0, sizeof(repeats));
}

static struct audit_verifier verifier(uid_t uid, const char *unit)
{
	return (struct audit_verifier){ audit_verifier_tag(uid, unit), uid, unit };
}

/* ---- verifications --------------------------------------------------------------------------- */

START_TEST(whatever_is_verified_is_counted_once_and_for_all)
{
	uint64_t random = 3, n_told = 0, n_told_by_token = 0;
	const unsigned n = 200000;

	clear();
	for (unsigned round = 1; round <= 3; round++) {
		struct audit_entry e;
		unsigned at = 0;

		n_told = n_told_by_token = 0;
		for (unsigned i = 0; i < n; i++) {
			struct audit_verifier who =
				verifier(1000 + (uid_t)(i % 3), i % 2 ? "api.service" : "");

			audit_verified_count(&verified,
					     (unit_random(&random) % (round * 500) + 1) *
						     UINT64_C(0x9e3779b97f4a7c15),
					     &who, 1);
		}
		while (audit_verified_take(&verified, &at, &e)) {
			n_told += e.count;
			n_told_by_token += e.token ? e.count : 0;
		}
		ck_assert_uint_eq(n_told, n);
		ck_assert_uint_gt(n_told_by_token, n / 20);
		ck_assert(!audit_verified_take(&verified, &at, &e));
	}
}
END_TEST

START_TEST(sums_are_by_token_uid_and_unit)
{
	/* Numbers and letters that are near one another. */
	struct audit_verifier a = verifier(1, "a.service"), b = verifier(1, "b.service"),
			      c = verifier(2, "a.service");
	const struct audit_verifier *all[] = { &a, &b, &c };
	unsigned found = 0, at = 0;
	struct audit_entry e;

	clear();
	for (unsigned i = 0; i < 3; i++)
		for (unsigned n = 0; n <= i; n++)
			audit_verified_count(&verified, 77, all[i], 1);
	while (audit_verified_take(&verified, &at, &e)) {
		for (unsigned i = 0; i < 3; i++)
			if (e.peer_uid == all[i]->uid && strcmp(e.unit, all[i]->unit) == 0) {
				ck_assert_uint_eq(e.count, i + 1);
				found++;
			}
		ck_assert_uint_eq(e.token, 77);
	}
	ck_assert_uint_eq(found, 3);
}
END_TEST

/* ---- repeats --------------------------------------------------------------------------------- */

static struct audit_note refusal(uid_t uid)
{
	return (struct audit_note){ .entry = { .count = 1,
					       .peer_uid = uid,
					       .peer_pid = 5,
					       .token = 9,
					       .owner_uid = 7,
					       .operation = "verify",
					       .result = "TokenExpired",
					       .credential = "k" } };
}

static enum audit_repeat again(uid_t uid, uint64_t token, pid_t pid)
{
	uint64_t key = audit_repeat_key(uid, AUDIT_VERIFY, 3, 0);
	enum audit_repeat r = audit_repeats_count(&repeats, key, token, pid, SPAN("k"));
	struct audit_note note = refusal(uid);

	if (r == AUDIT_FIRST)
		audit_repeats_first(&repeats, key, &note);
	return r;
}

START_TEST(the_first_is_told_and_repeats_as_a_sum_once_a_period)
{
	struct audit_note note;
	uint32_t others;
	unsigned at = 0;

	clear();
	ck_assert_int_eq(again(1, 9, 5), AUDIT_FIRST);
	for (unsigned i = 0; i < 17; i++)
		ck_assert_int_eq(again(1, 9, 5), AUDIT_AGAIN);
	ck_assert(audit_repeats_take(&repeats, &at, &note, &others));
	ck_assert_uint_eq(note.entry.count, 17);
	ck_assert_uint_eq(note.entry.token, 9);
	ck_assert_int_eq(note.entry.peer_pid, 5);
	ck_assert(!audit_repeats_take(&repeats, &at, &note, &others));
	/* It goes on, and is still no first. */
	ck_assert_int_eq(again(1, 9, 5), AUDIT_AGAIN);
	at = 0;
	ck_assert(audit_repeats_take(&repeats, &at, &note, &others));
	ck_assert_uint_eq(note.entry.count, 1);
	/* After a period of nothing it is. */
	at = 0;
	ck_assert(!audit_repeats_take(&repeats, &at, &note, &others));
	ck_assert_int_eq(again(1, 9, 5), AUDIT_FIRST);
}
END_TEST

START_TEST(what_repeats_do_not_have_in_common_is_not_in_their_sum)
{
	struct audit_note note;
	uint32_t others;
	unsigned at = 0;

	clear();
	again(1, 9, 5);
	again(1, 10, 5);
	again(1, 9, 6);
	ck_assert(audit_repeats_take(&repeats, &at, &note, &others));
	ck_assert_uint_eq(note.entry.token, 0);
	ck_assert_uint_eq(note.entry.owner_uid, AUDIT_NO_UID);
	ck_assert_int_eq(note.entry.peer_pid, 0);
	ck_assert_str_eq(note.entry.credential, "k");
}
END_TEST

START_TEST(what_has_no_room_is_counted_too)
{
	unsigned n_first = 0, n_others = 0, at = 0;
	struct audit_note note;
	uint32_t others;

	clear();
	for (uid_t uid = 0; uid < 1000; uid++)
		switch (again(uid, 9, 5)) {
		case AUDIT_FIRST:
			n_first++;
			break;
		case AUDIT_OTHERS:
			n_others++;
			break;
		case AUDIT_AGAIN:
			ck_abort_msg("uid %u was not there before", (unsigned)uid);
		}
	ck_assert_uint_eq(n_first, AUDIT_REPEAT_SLOTS);
	ck_assert_uint_eq(n_first + n_others, 1000);
	ck_assert(!audit_repeats_take(&repeats, &at, &note, &others));
	ck_assert_uint_eq(others, n_others);
	/* All of them did it once: there is room for others. */
	ck_assert_int_eq(again(5000, 9, 5), AUDIT_FIRST);
}
END_TEST

/* ---- sentences ------------------------------------------------------------------------------- */

static struct audit_entry entry(const char *operation, const char *result)
{
	struct audit_entry e = {
		.count = 1, .peer_uid = 1000, .peer_pid = 42, .owner_uid = AUDIT_NO_UID
	};

	audit_text(e.operation, sizeof(e.operation), span_of(operation));
	audit_text(e.result, sizeof(e.result), span_of(result));
	return e;
}

static const char *said(const struct audit_entry *e, const char *why)
{
	static char text[512];

	ck_assert_uint_eq(audit_sentence(e, why, 990, text, sizeof(text)), strlen(text));
	return text;
}

START_TEST(sentences_are_for_people)
{
	struct audit_entry e = entry("issue", "ok");

	e.token = 10;
	e.owner_uid = 1001;
	audit_text(e.unit, sizeof(e.unit), SPAN("ci.service"));
	ck_assert_str_eq(said(&e, ""), "token 0000000000A was issued, of uid 1001, by uid 1000 "
				       "(ci.service, pid 42)");
	e = entry("fetch", "NoSuchCredential");
	audit_text(e.credential, sizeof(e.credential), SPAN("modulos"));
	ck_assert_str_eq(said(&e, "no policy"), "refused: Fetch of modulos by uid 1000 (pid 42): "
						"NoSuchCredential: no policy");
	e.count = 17;
	ck_assert_str_eq(
		said(&e, ""),
		"refused: Fetch of modulos by uid 1000 (pid 42), 17 times: NoSuchCredential");
	e = entry("load-credential", "CredentialEmpty");
	audit_text(e.credential, sizeof(e.credential), SPAN("k"));
	audit_text(e.unit, sizeof(e.unit), SPAN("a.service"));
	ck_assert_str_eq(said(&e, "put it in"),
			 "LoadCredential=k of a.service is refused: put it in");
	e = entry("expire", "ok");
	e.token = 10;
	e.peer_uid = 990;
	e.peer_pid = 0;
	ck_assert_str_eq(said(&e, ""), "token 0000000000A came to its end by itself");
	e = entry("gap", "journal");
	e.count = 3;
	ck_assert_str_eq(said(&e, ""), "3 entries are missing here (journal)");
}
END_TEST

START_TEST(a_sentence_that_does_not_fit_is_cut)
{
	struct audit_entry e = entry("issue", "ok");
	char text[32];

	for (size_t size = 1; size <= sizeof(text); size++) {
		memset(text, 'x', sizeof(text));
		ck_assert_uint_lt(audit_sentence(&e, "why", 990, text, size), size);
		ck_assert_uint_lt(strnlen(text, sizeof(text)), size);
	}
}
END_TEST

START_TEST(every_entry_has_a_kind_whatever_its_words_are)
{
	static const char *const words[] = { "issue", "gap", "load-credential", "list",
					     "x",     "ok",  "StoreFailed" };

	for (size_t o = 0; o < ARRAY_SIZE(words); o++)
		for (size_t r = 0; r < ARRAY_SIZE(words); r++) {
			struct audit_entry e = entry(words[o], words[r]);

			ck_assert_uint_eq(strlen(audit_kind_of(&e).message_id), 32);
			ck_assert_int_ge(audit_kind_of(&e).priority, 3);
			ck_assert_uint_gt(strlen(said(&e, "")), 0);
		}
}
END_TEST

UNIT_MAIN("audit-sums", whatever_is_verified_is_counted_once_and_for_all,
	  sums_are_by_token_uid_and_unit, the_first_is_told_and_repeats_as_a_sum_once_a_period,
	  what_repeats_do_not_have_in_common_is_not_in_their_sum, what_has_no_room_is_counted_too,
	  sentences_are_for_people, a_sentence_that_does_not_fit_is_cut,
	  every_entry_has_a_kind_whatever_its_words_are)
