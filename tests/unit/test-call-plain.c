/* tests/unit/test-call-plain.c - what is read in one look, held against what reads everything. */
#include "protocol/call-read-plain.h"

#include <stddef.h>
#include <stdio.h>

#include "tests/unit/unit.h"

#define HEAD "{\"method\":\"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\""
#define TOKEN "jeton_00000000001_0000000000000000000000000000000000000000001aBcDeF"

struct verify {
	struct span token;
	struct field_strings scopes;
	struct field_int bearer;
};

static const struct field fields[] = {
	{ "token", offsetof(struct verify, token), FIELD_STRING, true, NULL },
	{ "scopes", offsetof(struct verify, scopes), FIELD_STRINGS, false, NULL },
	{ "bearer", offsetof(struct verify, bearer), FIELD_INT, false, NULL },
};

static struct json_scratch scratch;

/* As dispatch.c and method-verify.c read it. */
static bool read_all(struct span message, struct verify *ret)
{
	static char room[4096];
	struct text_space text = { room, sizeof(room), 0 };
	struct bad_parameter bad;
	struct call call;

	return json_check(message, &scratch) == JSON_OK &&
	       call_read(json_noted_root(message, &scratch), &text, &call, &bad) == CALL_OK &&
	       span_is(call.method, "io.jeton.Agent.Verify") && !call.more && !call.oneway &&
	       params_read(&call.params, fields, ARRAY_SIZE(fields), &text, ret, sizeof(*ret),
			   &bad);
}

static bool same(struct span a, struct span b)
{
	return a.p == b.p && a.n == b.n;
}

static bool means_the_same(const struct plain_verify *plain, const struct verify *all)
{
	bool is_same = same(plain->token, all->token) && !all->bearer.is_set &&
		       all->scopes.is_set == (plain->n_scopes > 0) &&
		       all->scopes.n == plain->n_scopes;

	for (unsigned i = 0; is_same && i < plain->n_scopes; i++)
		is_same = same(plain->scopes[i], all->scopes.v[i]);
	return is_same;
}

/* Whether it is taken; what is, means to the others what it means here. */
static bool takes(struct span message)
{
	struct plain_verify plain;
	struct verify all;

	if (!call_read_plain_verify(message, &plain))
		return false;
	UNIT_CHECK(read_all(message, &all), "%.*s is taken, and is no good call", (int)message.n,
		   message.p);
	UNIT_CHECK(means_the_same(&plain, &all), "%.*s has two meanings", (int)message.n,
		   message.p);
	return true;
}

static const char *const good[] = {
	HEAD TOKEN "\"}}",
	HEAD TOKEN "\",\"scopes\":[\"acme/risk:read\"]}}",
	HEAD TOKEN "\",\"scopes\":[\"a:b\",\"a:c\",\"a/b/c/d:e\"]}}",
	HEAD "\"}}",
	HEAD "no token at all, {but} [a]: text,\"}}",
	HEAD "x\",\"scopes\":[\"\"]}}",
	HEAD "x\",\"scopes\":[\"a]}}\",\"}}\"]}}",
};

START_TEST(what_the_library_and_systemd_write_is_taken)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ck_assert_msg(takes(span_of(good[i])), "%s", good[i]);
}
END_TEST

START_TEST(all_else_is_left_to_those_who_look_at_everything)
{
	static const char *const others[] = {
		"",
		"{}",
		HEAD,
		HEAD TOKEN,
		HEAD TOKEN "\"",
		HEAD TOKEN "\"}",
		HEAD TOKEN "\"}}}",
		HEAD TOKEN "\"}} ",
		" " HEAD TOKEN "\"}}",
		HEAD TOKEN "\" }}",
		HEAD TOKEN "\"},\"more\":true}",
		HEAD TOKEN "\",\"token\":\"x\"}}",
		HEAD TOKEN "\",\"scopes\":null}}",
		HEAD TOKEN "\",\"scopes\":[]}}",
		HEAD TOKEN "\",\"scopes\":[\"a:b\",]}}",
		HEAD TOKEN "\",\"scopes\":[\"a:b\" ]}}",
		HEAD TOKEN "\",\"scopes\":[\"a:b\"],\"bearer\":0}}",
		HEAD TOKEN "\",\"scopes\":[\"a:b\"],\"scopes\":[\"a:c\"]}}",
		HEAD TOKEN "\",\"scopes\":[\"a:b\",1]}}",
		HEAD TOKEN "\",\"bearer\":0}}",
		HEAD "a\\u0041\"}}",
		HEAD "a\tb\"}}",
		HEAD "\xc3\xa4\"}}",
		HEAD "\xff\"}}",
		"{\"method\":\"io.jeton.Agent.Verifz\",\"parameters\":{\"token\":\"x\"}}",
		"{\"method\": \"io.jeton.Agent.Verify\",\"parameters\":{\"token\":\"x\"}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		ck_assert_msg(!takes(span_of(others[i])), "%s", others[i]);
	/* A NUL in it, where a text of C would end. */
	ck_assert(!takes((struct span){ HEAD "a\0b\"}}", sizeof(HEAD "a\0b\"}}") - 1 }));
}
END_TEST

START_TEST(as_many_scopes_as_there_may_be_are_taken_and_not_one_more)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), HEAD "x\",\"scopes\":[\"a:b\"");

	for (unsigned i = 1; i <= SCOPES_MAX; i++) {
		snprintf(text + n, sizeof(text) - (size_t)n, "]}}");
		ck_assert(takes(span_of(text)));
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",\"a:b\"");
	}
	snprintf(text + n, sizeof(text) - (size_t)n, "]}}");
	ck_assert(!takes(span_of(text)));
}
END_TEST

/* Another byte, one less, one more, or a piece of it once more. */
static size_t change(uint64_t *random, char *text, size_t n, size_t room)
{
	static const char odd[] = "\"\"\\,,:{}[]] \n\x01\x80\xc3\0";
	char byte = unit_random(random) % 4 ? odd[unit_random(random) % sizeof(odd)]
					    : (char)unit_random(random);
	size_t at = unit_random(random) % n, piece = 1 + unit_random(random) % 16;

	switch (unit_random(random) % 4) {
	case 0:
		text[at] = byte;
		return n;
	case 1:
		memmove(text + at, text + at + 1, n - at - 1);
		return n - 1;
	case 2:
		piece = 1;
		break;
	}
	if (n + piece > room || at + piece > n)
		return n;
	memmove(text + at + piece, text + at, n - at);
	if (piece == 1)
		text[at] = byte;
	return n + piece;
}

START_TEST(whatever_is_taken_means_the_same_to_those_who_look_at_everything)
{
	unsigned n_taken = 0;
	uint64_t random = 1;

	for (int round = 0; round < 400000; round++) {
		/* Of its own size, so that a sanitizer sees what is read behind it. */
		char text[256], *copy;
		size_t n = strlen(good[(size_t)round % ARRAY_SIZE(good)]);

		memcpy(text, good[(size_t)round % ARRAY_SIZE(good)], n);
		for (uint64_t i = unit_random(&random) % 4; i > 0; i--)
			n = change(&random, text, n, sizeof(text));
		copy = malloc(n);
		ck_assert_ptr_nonnull(copy);
		memcpy(copy, text, n);
		n_taken += takes((struct span){ copy, n });
		free(copy);
	}
	ck_assert_uint_ge(n_taken, 100000);
	ck_assert_uint_le(n_taken, 300000);
}
END_TEST

UNIT_MAIN("call-plain", what_the_library_and_systemd_write_is_taken,
	  all_else_is_left_to_those_who_look_at_everything,
	  as_many_scopes_as_there_may_be_are_taken_and_not_one_more,
	  whatever_is_taken_means_the_same_to_those_who_look_at_everything)
