/*
 * protocol/json.h - a strict JSON reader (RFC 8259) that allocates nothing and copies nothing, and
 * a writer into a buffer.
 *
 * Reading goes in two steps. json_check() looks at every byte of a text once; it alone judges what
 * is JSON. The rest walks text that json_check() took, and cannot fail but for types. The text is
 * never changed, so it can be walked again.
 */
#pragma once

#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum {
	/* Containers within each other, the top object counted. */
	JSON_DEPTH_MAX = 16,
	/* Bytes of a text: a message (FRAME_MAX) fits. */
	JSON_TEXT_MAX = 128 * 1024,
	/* A member needs at least 5 bytes ("":0 and a comma), so that no text has more keys. */
	JSON_KEYS_MAX = JSON_TEXT_MAX / 5 + 1,
	/*
	 * A string has one note and at least 2 bytes, a container two and 2; but of those that are
	 * still open there may be the first byte alone.
	 */
	JSON_NOTES_MAX = JSON_TEXT_MAX + JSON_DEPTH_MAX,
	/* Bytes of a text that json_check_short() takes. */
	JSON_SHORT_MAX = 768,
};

/*
 * The memory that json_check() needs beside the text, about 730 KB, of which it touches 8 bytes a
 * key: where each key of the open objects stands, and up to 5 bytes of its start; and 4 or 8 bytes a
 * string or container: how long it is. Nothing of values. It needs no preparation. After the call
 * only the notes mean something, to json_noted_root().
 */
struct json_scratch {
	uint64_t keys[JSON_KEYS_MAX];
	uint32_t notes[JSON_NOTES_MAX]; /* protocol/json-text.h */
};

enum json_error {
	JSON_OK,
	JSON_NOT_JSON,	  /* grammar, trailing bytes, raw control characters */
	JSON_NOT_OBJECT,  /* valid, but the top is no object */
	JSON_BAD_UTF8,	  /* also lone surrogates in \u escapes, and a byte order mark */
	JSON_NUL,	  /* \u0000 */
	JSON_DUPLICATE,	  /* a key twice in one object, however it is spelt */
	JSON_TOO_DEEP,	  /* over JSON_DEPTH_MAX */
};

/*
 * Judges text, of at most JSON_TEXT_MAX bytes, as one JSON object with white space around it. What
 * is wrong first is what it says, but that a key twice is seen at the end of its object, and
 * JSON_NOT_OBJECT at the end of all. Time is linear in the length (n log n in the number of keys an
 * object has); the stack does not grow with depth.
 */
enum json_error json_check(struct span text, struct json_scratch *scratch) MUST_USE;

/* Memory for a short text, 4 KB: for whoever has no other at hand. */
struct json_short_scratch {
	uint64_t keys[JSON_SHORT_MAX / 5 + 1];
	uint32_t notes[JSON_SHORT_MAX + JSON_DEPTH_MAX];
};

/* The same for a text of at most JSON_SHORT_MAX bytes. After the call scratch means nothing. */
enum json_error json_check_short(struct span text, struct json_short_scratch *scratch) MUST_USE;

/* For people: "a key stands twice in one object". A constant; never NULL. */
const char *json_error_text(enum json_error error);

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/* A value within checked text. raw spans all of it: quotes, brackets. */
struct json_value {
	enum json_type type;
	struct span raw;
	const uint32_t *notes; /* of what is in it; NULL: there are none */
	bool is_plain;	       /* a string that is known to have no escapes */
};

/* Walks the members of an object or the elements of an array. */
struct json_iter {
	const char *p;
	const char *end;
	const uint32_t *notes; /* of what stands from p on; NULL: there are none */
};

/* The object that checked text is, without the white space around it. */
struct json_value json_root(struct span text);

/*
 * The same of the text that was checked last with this scratch: by the notes it has, nothing is searched for its end a
 * second time. Values are good as long as the scratch is not used again.
 */
struct json_value json_noted_root(struct span text, const struct json_scratch *scratch);

/* Starts a walk through value, a JSON_OBJECT or JSON_ARRAY. */
struct json_iter json_iter(struct json_value value);

/* The next member or element; *ret_key is a JSON_STRING. Returns false at the end. */
bool json_next_member(struct json_iter *it, struct json_value *ret_key,
		      struct json_value *ret_value);
bool json_next_element(struct json_iter *it, struct json_value *ret_value);

/* Whether a JSON_STRING spells text, escapes considered. */
bool json_string_is(struct json_value string, const char *text);

/* The member of this key, escapes considered; false where there is none. */
bool json_member(struct json_value object, const char *key, struct json_value *ret);

/*
 * The text of a JSON_STRING. Where it has no escapes *ret is within it; else it is decoded to dst,
 * of `size` bytes, and *ret is there. A decoded text is never longer than its raw form. Returns 0,
 * or -ENOBUFS where the decoded text is longer than size; dst may then hold a part of it.
 */
int json_string(struct json_value string, char *dst, size_t size, struct span *ret) MUST_USE;

/*
 * A JSON_NUMBER as a 64-bit integer. Returns 0; or -EINVAL where it is written with a fraction or
 * an exponent or as "-0"; or -ERANGE: nothing is rounded.
 */
int json_int(struct json_value number, int64_t *ret) MUST_USE;

/*
 * Writes JSON into a buffer that it does not own. Once something did not fit, `overflow` is set and
 * nothing more is written; what stands there until then, `n` bytes, is as it was. Commas are set by
 * the writer: keys and values call for one where one belongs. That keys and values take turns and
 * brackets match is the caller's part.
 */
struct json_writer {
	char *buf;
	size_t size;
	size_t n;
	bool overflow;
	bool comma; /* the next key or value is preceded by one */
};

/* Starts with nothing written to buf, of `size` bytes. */
void json_writer_init(struct json_writer *w, char *buf, size_t size);

/* Opens an object or array: '{' or '['. */
void json_open(struct json_writer *w, char bracket);
/* Closes it: '}' or ']'. */
void json_close(struct json_writer *w, char bracket);

/* Where n more bytes go, which the caller then counts; or NULL, and `overflow` is set. */
static inline char *json_room(struct json_writer *w, size_t n)
{
	if (w->overflow || n > w->size - w->n) {
		w->overflow = true;
		return NULL;
	}
	return w->buf + w->n;
}

/* Likewise for a key or value, with the comma that is due before it. */
static inline char *json_room_for_item(struct json_writer *w, size_t n)
{
	char *to = json_room(w, n + w->comma);

	if (to && w->comma) {
		*to++ = ',';
		w->n++;
		w->comma = false;
	}
	return to;
}

/*
 * key: a literal that needs no escapes, such as "name". Inline, so that its length is known to the compiler: a reply
 * is mostly keys.
 */
static inline void json_key(struct json_writer *w, const char *key)
{
	size_t n = strlen(key);
	char *to = json_room_for_item(w, n + 3);

	if (!to)
		return;
	*to = '"';
	memcpy(to + 1, key, n);
	memcpy(to + 1 + n, "\":", 2);
	w->n += n + 3;
}

/* A word of ours, such as "active", that needs no escapes. */
static inline void json_put_word(struct json_writer *w, const char *word)
{
	size_t n = strlen(word);
	char *to = json_room_for_item(w, n + 2);

	if (!to)
		return;
	*to = '"';
	memcpy(to + 1, word, n);
	to[n + 1] = '"';
	w->n += n + 2;
	w->comma = true;
}

/* A string with the escapes it needs. text is valid UTF-8. */
void json_put_string(struct json_writer *w, struct span text);
/* Likewise; null where text is absent. */
void json_put_string_or_null(struct json_writer *w, struct span text);
void json_put_int(struct json_writer *w, int64_t value);
void json_put_bool(struct json_writer *w, bool value);
void json_put_null(struct json_writer *w);

/*
 * Bytes that are no value, such as the NUL that ends a message: as they are, with no comma before,
 * nor before what comes next.
 */
void json_put_raw(struct json_writer *w, struct span bytes);
/* A value already in JSON, with the comma it calls for. */
void json_put_value(struct json_writer *w, struct span json);
