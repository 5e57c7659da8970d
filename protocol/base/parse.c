/*
 * protocol/base/parse.c - strict readers. strtoull and its kin take signs, spaces, other bases and
 * a locale's digits, and tell an overflow by errno alone: none of that is wanted of a setting or a
 * peer.
 */
#include "protocol/base/parse.h"

#include <errno.h>
#include <strings.h>

#define BILLION UINT64_C(1000000000)

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Puts a digit behind *n. Returns false where that is over max. */
static bool append_digit(uint64_t *n, char digit, uint64_t max)
{
	uint64_t next;

	if (__builtin_mul_overflow(*n, 10, &next) ||
	    __builtin_add_overflow(next, (uint64_t)(digit - '0'), &next) || next > max)
		return false;
	*n = next;
	return true;
}

int parse_u64(struct span text, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (text.n == 0 || (text.n > 1 && text.p[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < text.n; i++) {
		if (!is_digit(text.p[i]))
			return -EINVAL;
		if (!append_digit(&n, text.p[i], max))
			return -ERANGE;
	}
	*ret = n;
	return 0;
}

int parse_decimal(const char **p, unsigned __int128 *ret)
{
	const char *at = *p;
	uint64_t whole = 0, part = 0;

	for (; is_digit(*at); at++)
		if (!append_digit(&whole, *at, UINT64_MAX))
			return -ERANGE;
	if (*at == '.') {
		if (!is_digit(*++at))
			return -EINVAL;
		for (uint64_t weight = BILLION / 10; is_digit(*at); at++, weight /= 10)
			part += (uint64_t)(*at - '0') * weight;
	}
	if (at == *p)
		return -EINVAL;
	*p = at;
	*ret = (unsigned __int128)whole * BILLION + part;
	return 0;
}

int decimal_times(unsigned __int128 billionths, uint64_t unit, uint64_t *ret)
{
	unsigned __int128 n;

	if (__builtin_mul_overflow(billionths, unit, &n) || n / BILLION > UINT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)(n / BILLION);
	return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "BKMGTPE";
	unsigned __int128 number;
	const char *unit;
	int r;

	r = parse_decimal(&text, &number);
	if (r < 0)
		return r;
	text += strspn(text, " \t");
	unit = *text ? strchr(units, *text++) : units;
	if (!unit || *text)
		return -EINVAL;
	return decimal_times(number, UINT64_C(1) << 10 * (unit - units), ret_bytes);
}

int parse_bool(const char *text)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };

	for (int i = 0; i < (int)ARRAY_SIZE(words); i++)
		if (strcasecmp(text, words[i]) == 0)
			return i % 2;
	return -EINVAL;
}

size_t utf8_decode(struct span text, uint32_t *ret)
{
	/* The least number that needs so many bytes. */
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char lead = text.n ? (unsigned char)text.p[0] : 0xff;
	size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0x80 ? 2 : 1;
	uint32_t code = n == 1 ? lead : lead & (0x7fu >> n);

	if (text.n < n || (n > 1 && (lead < 0xc2 || lead > 0xf4)))
		return 0;
	for (size_t i = 1; i < n; i++) {
		unsigned char next = (unsigned char)text.p[i];

		if ((next & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (next & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret = code;
	return n;
}

static bool is_clean(uint32_t code)
{
	/* First and last of what is not fit for a name. */
	static const uint32_t unfit[][2] = {
		{ 0, 0x1f },	    { 0x7f, 0x9f },	{ 0x61c, 0x61c },
		{ 0x200e, 0x200f }, { 0x2028, 0x202e }, { 0x2066, 0x2069 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(unfit); i++)
		if (code >= unfit[i][0] && code <= unfit[i][1])
			return false;
	return true;
}

static bool utf8_fits(struct span text, bool clean)
{
	uint32_t code;

	for (size_t n; text.n > 0; text.p += n, text.n -= n) {
		n = utf8_decode(text, &code);
		if (n == 0 || (clean && !is_clean(code)))
			return false;
	}
	return true;
}

bool utf8_valid(struct span text)
{
	return utf8_fits(text, false);
}

bool utf8_clean(struct span text)
{
	return utf8_fits(text, true);
}
