/*
 * protocol/base/parse.c - strict readers. strtoull and its kin take signs, spaces, other bases and a
 * locale's digits, and tell an overflow by errno alone: none of that is wanted of a setting or a peer.
 */
#include "protocol/base/parse.h"

#include <errno.h>
#include <strings.h>

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
	bool in_range = true;
	uint64_t n = 0;

	if (text.n == 0 || (text.n > 1 && text.p[0] == '0'))
		return -EINVAL;
	for (size_t i = 0; i < text.n; i++) {
		if (!is_digit(text.p[i]))
			return -EINVAL;
		in_range = in_range && append_digit(&n, text.p[i], max);
	}
	if (!in_range)
		return -ERANGE;
	*ret = n;
	return 0;
}

int decimal_read(const char **p, struct decimal *ret)
{
	struct decimal number = { 0 };
	const char *at = *p;
	bool in_range = true;

	for (; is_digit(*at); at++)
		in_range = in_range && append_digit(&number.whole, *at, UINT64_MAX);
	if (*at == '.') {
		if (!is_digit(*++at))
			return -EINVAL;
		for (uint32_t weight = 100000000; is_digit(*at); at++, weight /= 10)
			number.billionths += (uint32_t)(*at - '0') * weight;
	}
	if (at == *p)
		return -EINVAL;
	if (!in_range)
		return -ERANGE;
	*p = at;
	*ret = number;
	return 0;
}

int decimal_times(struct decimal number, uint64_t unit, uint64_t *ret)
{
	uint64_t part = (uint64_t)((unsigned __int128)number.billionths * unit / 1000000000);
	uint64_t n;

	if (__builtin_mul_overflow(number.whole, unit, &n) || __builtin_add_overflow(n, part, &n))
		return -ERANGE;
	*ret = n;
	return 0;
}

int parse_size(const char *text, uint64_t *ret_bytes)
{
	static const char units[] = "BKMGTPE";
	struct decimal number;
	unsigned shift = 0;
	int r;

	r = decimal_read(&text, &number);
	if (r < 0)
		return r;
	text += strspn(text, " \t");
	if (*text) {
		const char *unit = strchr(units, *text++);

		if (!unit || *text)
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units);
	}
	return decimal_times(number, UINT64_C(1) << shift, ret_bytes);
}

int parse_bool(const char *text)
{
	static const char *const words[][2] = {
		{ "no", "yes" }, { "n", "y" },	{ "false", "true" },
		{ "f", "t" },	 { "off", "on" }, { "0", "1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		for (int value = 0; value < 2; value++)
			if (strcasecmp(text, words[i][value]) == 0)
				return value;
	return -EINVAL;
}

size_t utf8_decode(struct span text, uint32_t *ret)
{
	/* The least number that needs so many bytes. */
	static const uint32_t least[] = { [2] = 0x80, [3] = 0x800, [4] = 0x10000 };
	unsigned char lead;
	uint32_t code;
	size_t n;

	if (text.n == 0)
		return 0;
	lead = (unsigned char)text.p[0];
	if (lead < 0x80) {
		*ret = lead;
		return 1;
	}
	n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
	if (lead < 0xc2 || lead > 0xf4 || text.n < n)
		return 0;
	code = lead & (0x7fu >> n);
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

static bool is_any(uint32_t code)
{
	(void)code;
	return true;
}

static bool is_clean(uint32_t code)
{
	/* First and last of what is not fit for a name. */
	static const uint32_t unfit[][2] = {
		{ 0, 0x1f },	      { 0x7f, 0x9f },	    { 0x61c, 0x61c },
		{ 0x200e, 0x200f },   { 0x2028, 0x202e },   { 0x2066, 0x2069 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(unfit); i++)
		if (code >= unfit[i][0] && code <= unfit[i][1])
			return false;
	return true;
}

/* Whether text is UTF-8 of characters that are all fit. */
static bool utf8_all(struct span text, bool (*fit)(uint32_t code))
{
	while (text.n > 0) {
		uint32_t code;
		size_t n = utf8_decode(text, &code);

		if (n == 0 || !fit(code))
			return false;
		text.p += n;
		text.n -= n;
	}
	return true;
}

bool utf8_valid(struct span text)
{
	return utf8_all(text, is_any);
}

bool utf8_clean(struct span text)
{
	return utf8_all(text, is_clean);
}
