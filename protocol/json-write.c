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
	if (w->overflow || n > w->size - w->n) {
		w->overflow = true;
		return;
	}
	memcpy(w->buf + w->n, p, n);
	w->n += n;
}

/* Sets the comma that is due, if one is. */
static void start_item(struct json_writer *w)
{
	if (w->comma)
		put(w, ",", 1);
	w->comma = false;
}

void json_open(struct json_writer *w, char bracket)
{
	start_item(w);
	put(w, &bracket, 1);
}

void json_close(struct json_writer *w, char bracket)
{
	put(w, &bracket, 1);
	w->comma = true;
}

void json_key(struct json_writer *w, const char *key)
{
	start_item(w);
	put(w, "\"", 1);
	put(w, key, strlen(key));
	put(w, "\":", 2);
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

void json_put_string(struct json_writer *w, struct span text)
{
	const char *p = text.p, *end = text.p + text.n;

	start_item(w);
	put(w, "\"", 1);
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

void json_put_int(struct json_writer *w, int64_t value)
{
	char text[20], *p = text + sizeof(text);
	uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;

	do
		*--p = (char)('0' + rest % 10);
	while (rest /= 10);
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
	start_item(w);
	put(w, json.p, json.n);
	w->comma = true;
}
