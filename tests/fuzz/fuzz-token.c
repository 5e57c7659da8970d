/*
 * tests/fuzz/fuzz-token.c - any text as a token, as a text that has tokens in it, and as scopes.
 */
#include "tests/fuzz/fuzz.h"

#include "protocol/scope.h"
#include "protocol/token.h"

static void check_token(struct span text)
{
	char digits[TOKEN_ID_LEN];
	struct span secret;
	uint64_t id, again;

	if (!token_read(text, &id, &secret))
		return;
	FUZZ_HOLDS(text.n == TOKEN_LEN && secret.p == text.p + TOKEN_SECRET_AT);
	token_id_write(id, digits);
	FUZZ_HOLDS(memcmp(digits, text.p + 6, sizeof(digits)) == 0);
	FUZZ_HOLDS(token_id_read((struct span){ digits, sizeof(digits) }, &again) && again == id);
}

/* Each that is found is one, within what was searched, and behind the one before. */
static void check_finding(struct span text)
{
	struct span found, secret;
	uint64_t id;

	while (token_find(text, &found)) {
		FUZZ_HOLDS(found.p >= text.p && found.p + found.n <= text.p + text.n);
		FUZZ_HOLDS(token_read(found, &id, &secret));
		text.n -= (size_t)(found.p + found.n - text.p);
		text.p = found.p + found.n;
	}
}

/* A token made of the input's bits reads as itself, and is found where nothing else is near. */
static void check_making(const uint8_t *data, size_t n)
{
	char text[1 + TOKEN_LEN + 1] = " ";
	uint8_t bits[8 + TOKEN_RANDOM_LEN] = { 0 };
	struct span token = { text + 1, TOKEN_LEN }, found;
	uint64_t id = 0, read_id;

	memcpy(bits, data, n < sizeof(bits) ? n : sizeof(bits));
	memcpy(&id, bits, sizeof(id));
	token_make(id, bits + 8, text + 1);
	text[1 + TOKEN_LEN] = '.';
	FUZZ_HOLDS(token_read(token, &read_id, &found) && read_id == id);
	FUZZ_HOLDS(token_find((struct span){ text, sizeof(text) }, &found) && found.p == token.p);
}

/* Two scopes, apart by a newline. */
static void check_scopes(struct span text)
{
	const char *at = memchr(text.p, '\n', text.n);
	struct span a = { text.p, at ? (size_t)(at - text.p) : text.n };
	struct span b = at ? (struct span){ at + 1, text.n - a.n - 1 } : a;
	char cut[SCOPE_MAX];
	struct span both = { cut, 0 };

	FUZZ_HOLDS(!scope_is_plain(a) || scope_is_pattern(a));
	if (!scope_is_pattern(a) || !scope_is_pattern(b))
		return;
	FUZZ_HOLDS(scope_is_within(a, &a, 1));
	both.n = scope_cut(a, b, cut);
	if (both.n) {
		FUZZ_HOLDS(scope_is_pattern(both));
		FUZZ_HOLDS(scope_is_within(both, &a, 1) && scope_is_within(both, &b, 1));
	}
	/* What is within the other is all of what they have in common. */
	if (scope_is_within(a, &b, 1))
		FUZZ_HOLDS(span_equal(both, a) || (both.n && scope_is_within(a, &both, 1)));
	if (scope_is_plain(a))
		FUZZ_HOLDS(scope_matches(b, a) == scope_is_within(a, &b, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *copy = fuzz_copy(data, n);
	struct span text = { copy, n };

	check_token(text);
	check_finding(text);
	check_making(data, n);
	check_scopes(text);
	return 0;
}
