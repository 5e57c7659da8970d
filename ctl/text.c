/*
 * ctl/text.c - what comes from elsewhere (names, file names, an agent's words) never steers a
 * terminal.
 *
 * Whether a character is clean is asked of utf8_clean(), the same judge that the agent takes names
 * by, so that what may be a name is shown as it is.
 */
#include "ctl/text.h"

#include <limits.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <wchar.h>

#include "protocol/base/parse.h"

/* By the first byte: how long a character of UTF-8 says it is; 0: it can't be a first byte. */
static size_t length_said(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

size_t text_next(struct span text, bool *ret_clean)
{
	size_t n = length_said((unsigned char)text.p[0]);

	if (n == 0 || n > text.n || !utf8_valid((struct span){ text.p, n })) {
		*ret_clean = false;
		return 1;
	}
	*ret_clean = utf8_clean((struct span){ text.p, n });
	return n;
}

/* The code point of one whole character. */
static uint32_t decode(const char *p, size_t n)
{
	static const unsigned char first_mask[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t c = (unsigned char)p[0] & first_mask[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

/* One character that is not clean, n bytes long; dst holds TEXT_ESCAPED_MAX and a NUL. */
static void spell_out(const char *p, size_t n, char *dst)
{
	unsigned char first = (unsigned char)p[0];
	uint32_t c;

	if (first == '\n' || first == '\t' || first == '\r') {
		snprintf(dst, TEXT_ESCAPED_MAX + 1, "\\%c",
			 first == '\n'	 ? 'n'
			 : first == '\t' ? 't'
					 : 'r');
		return;
	}
	c = n == 1 ? first : decode(p, n);
	snprintf(dst, TEXT_ESCAPED_MAX + 1, n == 1 ? "\\x%02x" : "\\u%04x", (unsigned)(c & 0xffff));
}

static struct span behind(struct span text, size_t n)
{
	return (struct span){ text.p + n, text.n - n };
}

/* How many bytes stand in front of the first that is not clean. */
static size_t clean_start(struct span text)
{
	size_t at = 0;

	while (at < text.n) {
		bool clean = text.p[at] >= ' ' && text.p[at] <= '~'; /* as nearly all are */
		size_t n = clean ? 1 : text_next(behind(text, at), &clean);

		if (!clean)
			break;
		at += n;
	}
	return at;
}

/* Spells out the character that text starts with, which is not clean; gives its length. */
static size_t spell_first(struct span text, char *dst)
{
	bool clean;
	size_t n = text_next(text, &clean);

	spell_out(text.p, n, dst);
	return n;
}

void text_print(FILE *out, struct span text)
{
	char spelt[TEXT_ESCAPED_MAX + 1];

	for (;;) {
		size_t n = clean_start(text);

		fwrite(text.p, 1, n, out);
		text = behind(text, n);
		if (text.n == 0)
			return;
		text = behind(text, spell_first(text, spelt));
		fputs(spelt, out);
	}
}

size_t text_escape(struct span text, char *dst, size_t size)
{
	char *at = dst, *end = dst + size - 1;
	char spelt[TEXT_ESCAPED_MAX + 1];

	/* Character by character, for what does not fit whole is left out. */
	while (text.n > 0) {
		bool clean;
		size_t n = text_next(text, &clean);
		struct span piece = { text.p, n };

		if (!clean) {
			spell_out(text.p, n, spelt);
			piece = span_of(spelt);
		}
		if (piece.n > (size_t)(end - at))
			break;
		memcpy(at, piece.p, piece.n);
		at += piece.n;
		text = behind(text, n);
	}
	*at = 0;
	return (size_t)(at - dst);
}

void text_width_init(void)
{
	setlocale(LC_CTYPE, "");
	if (MB_CUR_MAX == 1)
		setlocale(LC_CTYPE, "C.UTF-8");
}

static unsigned columns_of(const char *p, size_t n)
{
	int width;

	if (n == 1)
		return 1;
	/* glibc's wchar_t is the code point, whatever the locale. */
	width = wcwidth((wchar_t)decode(p, n));
	return width < 0 ? 1 : (unsigned)width;
}

/*
 * Walks text until it takes more than `columns`: how many bytes were walked, and in *ret_taken how
 * many columns.
 */
static size_t walk(struct span text, unsigned columns, unsigned *ret_taken)
{
	size_t at = 0;

	*ret_taken = 0;
	while (at < text.n) {
		bool clean;
		size_t n = text_next((struct span){ text.p + at, text.n - at }, &clean);
		unsigned width = columns_of(text.p + at, n);

		if (width > columns - *ret_taken)
			break;
		*ret_taken += width;
		at += n;
	}
	return at;
}

unsigned text_width(struct span text)
{
	unsigned taken;

	walk(text, UINT_MAX, &taken);
	return taken;
}

struct span text_fit(struct span text, unsigned columns)
{
	unsigned taken;

	return (struct span){ text.p, walk(text, columns, &taken) };
}
