/*
 * protocol/json-write.c - straight into the caller's buffer. A piece is written whole or not at
 * all, and after the first that did not fit none is: callers look at `overflow` once, at the end.
 */
#include "protocol/json.h"

#include "protocol/json-at.h"
#include "protocol/json-text.h"

void json_writer_init(struct json_writer *w, char *buf, size_t size)
{
	*w = (struct json_writer){ .buf = buf, .size = size };
}

static void put(struct json_writer *w, const char *p, size_t n)
{
	char *to = json_room(w, n);

	if (!to || n == 0)
		return;
	memcpy(to, p, n);
	w->n += n;
}

void json_open(struct json_writer *w, char bracket)
{
	char *to = json_room_for_item(w, 1);

	if (!to)
		return;
	*to = bracket;
	w->n++;
}

void json_close(struct json_writer *w, char bracket)
{
	put(w, &bracket, 1);
	w->comma = true;
}

static void put_escaped(struct json_writer *w, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[0x20] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
	};
	char text[] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 0xf] };
	size_t n = sizeof(text);

	if (c >= 0x20 || letters[c]) {
		text[1] = c >= 0x20 ? (char)c : letters[c];
		n = 2;
	}
	put(w, text, n);
}

/* Most texts need no escapes: one look, one copy. */
static bool put_plain_string(struct json_writer *w, struct span text)
{
	char *to;

	if (json_plain_end(text.p, text.p + text.n) != text.p + text.n)
		return false;
	to = json_room_for_item(w, text.n + 2);
	if (to) {
		*to = '"';
		memcpy(to + 1, text.p, text.n);
		to[text.n + 1] = '"';
		w->n += text.n + 2;
		w->comma = true;
	}
	return true;
}

void json_put_string(struct json_writer *w, struct span text)
{
	const char *p = text.p, *end = text.p + text.n;

	if (text.n > 0 && put_plain_string(w, text))
		return;
	json_open(w, '"');
	while (p < end) {
		const char *plain = json_plain_end(p, end);

		/* Of what is not plain, only ASCII needs an escape. */
		while (plain < end && (unsigned char)*plain >= 0x80)
			plain++;
		put(w, p, (size_t)(plain - p));
		p = plain;
		if (p < end && ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\'))
			put_escaped(w, (unsigned char)*p++);
	}
	put(w, "\"", 1);
	w->comma = true;
}

void json_put_string_or_null(struct json_writer *w, struct span text)
{
	if (text.p)
		json_put_string(w, text);
	else
		json_put_null(w);
}

/*
 * All eight digits of a number of that many. All at once: it is parted into two of four digits, these into pairs and
 * these into digits, of a byte each in the end. A multiplication and a shift divide what is as small as that exactly.
 */
static inline void put_eight(char *to, uint32_t number)
{
	uint64_t fours = number / 10000 | (uint64_t)(number % 10000) << 32, pairs, digits, high;

	high = fours * 5243 >> 19 & UINT64_C(0x0000007f0000007f); /* a hundredth */
	pairs = high | (fours - 100 * high) << 16;
	high = pairs * 103 >> 10 & UINT64_C(0x000f000f000f000f); /* a tenth */
	digits = htole64((high | (pairs - 10 * high) << 8) + EACH_BYTE('0'));
	memcpy(to, &digits, sizeof(digits));
}

/* A number of up to eight digits, with no zeros before it. */
static inline char *put_few(char *to, uint32_t number)
{
	char digits[8];
	size_t n = 1;

	if (number < 10) {
		*to = (char)('0' + number);
		return to + 1;
	}
	if (number >= 10000000) {
		put_eight(to, number);
		return to + 8;
	}
	put_eight(digits, number);
	for (uint32_t least = 10; n < sizeof(digits) && number >= least; least *= 10)
		n++;
	memcpy(to, digits + sizeof(digits) - n, n);
	return to + n;
}

static char *put_number(char *to, uint64_t number)
{
	enum { EIGHT = 100000000 };

	if (number < EIGHT)
		return put_few(to, (uint32_t)number);
	if (number / EIGHT < EIGHT)
		to = put_few(to, (uint32_t)(number / EIGHT));
	else
		to = put_number(to, number / EIGHT);
	put_eight(to, (uint32_t)(number % EIGHT));
	return to + 8;
}

char *json_int_at(char *to, int64_t value)
{
	if (value >= 0)
		return put_number(to, (uint64_t)value);
	*to = '-';
	return put_number(to + 1, -(uint64_t)value);
}

void json_put_int(struct json_writer *w, int64_t value)
{
	char text[JSON_INT_ROOM] NOT_ZEROED, *end = json_int_at(text, value);

	json_put_value(w, (struct span){ text, (size_t)(end - text) });
}

/* Whether none of n bytes needs a look; up to 15 behind them are there, too. */
static inline bool is_plain(const char *p, size_t n)
{
#ifdef __SSE2__
	for (; n > 16; p += 16, n -= 16)
		if (json_odd_bits(p))
			return false;
	return !(json_odd_bits(p) & ((1U << n) - 1));
#else
	return json_plain_end(p, p + n) == p + n;
#endif
}

/* As memcpy(), for what is short more often than not: no call. */
static inline void copy(char *to, const char *p, size_t n)
{
	uint64_t first, last;

	if (n < 8) {
		for (size_t i = 0; i < n; i++)
			to[i] = p[i];
	} else if (n <= 16) {
		memcpy(&first, p, 8);
		memcpy(&last, p + n - 8, 8);
		memcpy(to, &first, 8);
		memcpy(to + n - 8, &last, 8);
	} else {
		memcpy(to, p, n);
	}
}

char *json_string_at(char *to, struct span text)
{
	struct json_writer w;

	*to = '"';
	copy(to + 1, text.p, text.n);
	if (is_plain(to + 1, text.n)) {
		to[text.n + 1] = '"';
		return to + text.n + 2;
	}
	json_writer_init(&w, to, JSON_STRING_ROOM(text.n));
	json_put_string(&w, text);
	return to + w.n;
}

void json_put_bool(struct json_writer *w, bool value)
{
	json_put_value(w, value ? SPAN("true") : SPAN("false"));
}

void json_put_null(struct json_writer *w)
{
	json_put_value(w, SPAN("null"));
}

void json_put_raw(struct json_writer *w, struct span bytes)
{
	put(w, bytes.p, bytes.n);
	w->comma = false;
}

void json_put_value(struct json_writer *w, struct span json)
{
	char *to = json_room_for_item(w, json.n);

	if (!to || json.n == 0)
		return;
	memcpy(to, json.p, json.n);
	w->n += json.n;
	w->comma = true;
}
