/*
 * ctl/scan-text.c - tokens across the borders of pieces.
 *
 * Everything that starts before `from` is decided; what is behind it is too short for a token, and stays for the next
 * search.
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

static int search(struct scan_text *s)
{
	struct span token;

	while (token_find((struct span){ s->buffer + s->from, s->have - s->from }, &token)) {
		size_t start = (size_t)(token.p - s->buffer);
		int r;

		move_to(s, start);
		r = s->on_token(s->userdata, token, s->line);
		if (r != 0)
			return r;
		move_to(s, start + TOKEN_LEN);
	}
	/* The first place where a token may start that does not end in what there is. */
	if (s->have >= TOKEN_LEN && s->from < s->have - TOKEN_LEN + 1)
		move_to(s, s->have - TOKEN_LEN + 1);
	return 0;
}

size_t scan_text_room(struct scan_text *s, char **ret)
{
	size_t keep = s->from;

	if (s->have > SCAN_BUFFER / 2) {
		memmove(s->buffer, s->buffer + keep, s->have - keep);
		s->have -= keep;
		s->from = 0;
	}
	*ret = s->buffer + s->have;
	return SCAN_BUFFER - s->have;
}

int scan_text_piece(struct scan_text *s, size_t n)
{
	s->have += n;
	if (s->have > s->filled)
		s->filled = s->have;
	return search(s);
}

void scan_text_end(struct scan_text *s)
{
	explicit_bzero(s->buffer, s->filled);
}
