/*
 * tests/fuzz/fuzz-moved.c - what an agent tells of two tokens, look after look, any names and any
 * instants: whether all have moved is what a plain reading of all looks says.
 *
 * A look is two tokens. Of each one byte says who used it last, and of what kind the instant is that
 * follows: none, a byte of it, or all eight.
 */
#include "tests/fuzz/fuzz.h"

#include "ctl/moved.h"

enum { LOOKS_MAX = 64 };
#define QUIET_US INT64_C(60)

/* NULL: the agent has no word for it. */
static const char *const users[] = { NULL, "", "a", "b", "unit a", "somebody", "A", "a " };

struct looks {
	struct jeton_token old[LOOKS_MAX], successor[LOOKS_MAX];
	size_t n;
};

static int64_t take_instant(uint8_t kind, const uint8_t **data, size_t *n)
{
	int64_t us = 0;

	if (kind < 2)
		return kind == 0 ? JETON_UNSET : fuzz_byte(data, n);
	for (unsigned i = 0; i < sizeof(us); i++)
		us = (int64_t)((uint64_t)us << 8 | fuzz_byte(data, n));
	return us;
}

static struct jeton_token take_token(const uint8_t **data, size_t *n)
{
	uint8_t byte = fuzz_byte(data, n);

	return (struct jeton_token){
		.last_used_by = users[byte % ARRAY_SIZE(users)],
		.last_used_us = take_instant(byte / ARRAY_SIZE(users) % 3, data, n),
	};
}

/* ---- the plain reading ----------------------------------------------------------------------- */

static bool is_used(const struct jeton_token *t)
{
	return t->last_used_us != JETON_UNSET;
}

static const char *user_of(const struct jeton_token *t)
{
	return t->last_used_by ? t->last_used_by : "somebody";
}

/* The last look that saw this user use one; NULL: none did. */
static const struct jeton_token *last_by(const struct jeton_token *tokens, size_t n, const char *user)
{
	while (n-- > 0)
		if (is_used(&tokens[n]) && strcmp(user_of(&tokens[n]), user) == 0)
			return &tokens[n];
	return NULL;
}

static bool has_moved(const struct looks *l, const char *user)
{
	const struct jeton_token *old = last_by(l->old, l->n, user);
	const struct jeton_token *new = last_by(l->successor, l->n, user);

	return !old || (new && new->last_used_us > old->last_used_us);
}

static bool all_have_moved(const struct looks *l, int64_t now_us)
{
	bool any_new = false;
	int64_t old_us = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (is_used(&l->old[i]) && !has_moved(l, user_of(&l->old[i])))
			return false;
		any_new |= is_used(&l->successor[i]);
		old_us = is_used(&l->old[i]) ? l->old[i].last_used_us : old_us;
	}
	return any_new && old_us <= now_us - QUIET_US;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_(moved_done) struct moved m = { 0 };
	int64_t now_us = 100 + fuzz_byte(&data, &n);
	struct looks l = { .n = 0 };
	const char *laggard;

	while (n > 0 && l.n < LOOKS_MAX) {
		l.old[l.n] = take_token(&data, &n);
		l.successor[l.n++] = take_token(&data, &n);
		FUZZ_HOLDS(moved_note(&m, &l.old[l.n - 1], &l.successor[l.n - 1]) == 0);
		FUZZ_HOLDS(m.n <= ARRAY_SIZE(users));
		FUZZ_HOLDS(moved_all(&m, now_us, QUIET_US) == all_have_moved(&l, now_us));
		laggard = moved_laggard(&m);
		FUZZ_HOLDS(!laggard || !has_moved(&l, laggard));
	}
	return 0;
}
