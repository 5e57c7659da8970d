/*
 * ctl/scan-text.c - tokens across the borders of pieces.
 *
 * What token_find() finds at the very end of the buffer is not decided before the byte after it has
 * come, and what it finds at `from` needs the byte before: so a tail of TOKEN_LEN bytes with one
 * byte before them stays for the next search. Everything that starts before `from` is decided.
 */
#include "ctl/scan-text.h"

void scan_text_start(struct scan_text *s,
		     int (*on_token)(void *userdata, struct span token, uint64_t line),
		     void *userdata)
{
	s->have = 0;
	s->filled = 0;
	s->from = 0;
	s->line = 1;
	s->on_token = on_token;
	s->userdata = userdata;
}

/* Moves `from` on, counting lines. */
static void move_to(struct scan_text *s, size_t to)
{
	const char *p = s->buffer + s->from, *end = s->buffer + to;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		s->line++;
		p++;
	}
	s->from = to;
}

/* The next token from `from` on. */
static bool find(const struct scan_text *s, struct span *ret)
{
	/* With the byte before, so that token_find() sees whether a word begins here. */
	size_t start = s->from > 0 ? s->from - 1 : 0;
	struct span text = { s->buffer + start, s->have - start };

	while (token_find(text, ret)) {
		if (ret->p >= s->buffer + s->from)
			return true;
		/* It starts at the byte before: that was decided then. */
		text.n -= (size_t)(ret->p + TOKEN_LEN - text.p);
		text.p = ret->p + TOKEN_LEN;
	}
	return false;
}

static int search(struct scan_text *s, bool at_end)
{
	struct span token;

	while (find(s, &token)) {
		size_t end = (size_t)(token.p - s->buffer) + TOKEN_LEN;
		int r;

		if (end == s->have && !at_end)
			break;
		move_to(s, end - TOKEN_LEN);
		r = s->on_token(s->userdata, token, s->line);
		if (r != 0)
			return r;
		move_to(s, end);
	}
	/*
	 * The first place where a token may start that does not end, with one byte after it, in
	 * what there is.
	 */
	if (s->have >= TOKEN_LEN && s->from < s->have - TOKEN_LEN)
		move_to(s, s->have - TOKEN_LEN);
	return 0;
}

size_t scan_text_room(struct scan_text *s, char **ret)
{
	size_t keep = s->from > 0 ? s->from - 1 : 0;

	if (s->have > SCAN_BUFFER / 2) {
		memmove(s->buffer, s->buffer + keep, s->have - keep);
		s->have -= keep;
		s->from -= keep;
	}
	*ret = s->buffer + s->have;
	return SCAN_BUFFER - s->have;
}

int scan_text_piece(struct scan_text *s, size_t n)
{
	s->have += n;
	if (s->have > s->filled)
		s->filled = s->have;
	return search(s, false);
}

int scan_text_end(struct scan_text *s)
{
	int r = search(s, true);

	explicit_bzero(s->buffer, s->filled);
	return r;
}
