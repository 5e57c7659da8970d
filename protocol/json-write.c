/*
 * protocol/json-write.c - straight into the caller's buffer. A piece is written whole or not at
 * all, and after the first that did not fit none is: callers look at `overflow` once, at the end.
 */
#include "protocol/json.h"

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

/* Writes the number so that it ends before `end`, by two digits a division. Returns its start. */
static char *put_digits(char *end, uint64_t number)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";

	for (; number >= 10; number /= 100) {
		*--end = pairs[number % 100 * 2 + 1];
		*--end = pairs[number % 100 * 2];
	}
	if (number > 0)
		*--end = (char)('0' + number);
	return end;
}

void json_put_int(struct json_writer *w, int64_t value)
{
	char text[20] NOT_ZEROED, *end = text + sizeof(text);
	char *p = put_digits(end, value < 0 ? -(uint64_t)value : (uint64_t)value);

	if (p == end)
		*--p = '0';
	if (value < 0)
		*--p = '-';
	json_put_value(w, (struct span){ p, (size_t)(text + sizeof(text) - p) });
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
