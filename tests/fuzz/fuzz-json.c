/*
 * tests/fuzz/fuzz-json.c - any bytes as a message: the judge of JSON, all that walks what it took,
 * the reader of calls and of parameters; and the writer, whose text must be judged good and say the
 * same.
 */
#include "tests/fuzz/fuzz.h"

#include "protocol/call-read.h"
#include "protocol/json.h"

static struct json_scratch scratch;

/* Writes the value anew, by what the reader says of it. Depth is bounded by JSON_DEPTH_MAX. */
static void rewrite(struct json_value value, struct json_writer *w)
{
	_cleanup_free_ char *text = NULL;
	struct json_iter it;
	struct json_value key, item;
	struct span span;
	int64_t n;

	FUZZ_HOLDS(value.raw.n > 0);
	switch (value.type) {
	case JSON_NULL:
		json_put_null(w);
		break;
	case JSON_FALSE:
	case JSON_TRUE:
		json_put_bool(w, value.type == JSON_TRUE);
		break;
	case JSON_NUMBER:
		if (json_int(value, &n) == 0)
			json_put_int(w, n);
		else
			json_put_value(w, value.raw);
		break;
	case JSON_STRING:
		text = malloc(value.raw.n);
		FUZZ_HOLDS(text);
		FUZZ_HOLDS(json_string(value, text, value.raw.n, &span) == 0);
		json_put_string(w, span);
		break;
	case JSON_ARRAY:
		json_open(w, '[');
		for (it = json_iter(value); json_next_element(&it, &item);)
			rewrite(item, w);
		json_close(w, ']');
		break;
	case JSON_OBJECT:
		json_open(w, '{');
		for (it = json_iter(value); json_next_member(&it, &key, &item);) {
			FUZZ_HOLDS(key.type == JSON_STRING);
			/* A key that needs no escapes is all that the writer takes as one. */
			json_put_value(w, key.raw);
			w->comma = false;
			json_put_raw(w, SPAN(":"));
			rewrite(item, w);
		}
		json_close(w, '}');
		break;
	}
}

/* Where there is no room for all of it nothing is written beyond, and that is told. */
static void check_overflow(struct span text, size_t n)
{
	_cleanup_free_ char *small = malloc(n / 2 + 1);
	struct json_writer w;

	FUZZ_HOLDS(small && n > 0);
	json_writer_init(&w, small, n / 2);
	rewrite(json_root(text), &w);
	FUZZ_HOLDS(w.overflow);
}

static void check_rewriting(struct span text)
{
	/* A control character that was one byte behind a backslash becomes six. */
	size_t size = text.n * 6 + 64;
	char *buf = malloc(size), *again = malloc(size);
	struct json_writer first, second;
	struct span written;

	FUZZ_HOLDS(buf && again);
	json_writer_init(&first, buf, size);
	rewrite(json_root(text), &first);
	FUZZ_HOLDS(!first.overflow);
	/* By the judge's notes it says the same. */
	json_writer_init(&second, again, size);
	rewrite(json_noted_root(text, &scratch), &second);
	FUZZ_HOLDS(span_equal((struct span){ buf, first.n }, (struct span){ again, second.n }));
	check_overflow(text, first.n);
	written = (struct span){ buf, first.n };
	if (first.n <= JSON_TEXT_MAX) {
		FUZZ_HOLDS(json_check(written, &scratch) == JSON_OK);
		json_writer_init(&second, again, size);
		rewrite(json_root(written), &second);
		FUZZ_HOLDS(span_equal(written, (struct span){ again, second.n }));
	}
	free(buf);
	free(again);
}

/* One of each type, by names that the dictionary and the corpus have. */
static const char *const words[] = { "none", "process", "unit", NULL };
struct parameters {
	struct field_bool flag;
	struct field_int number, word;
	struct span text, token;
	struct field_strings scopes;
};
static const struct field fields[] = {
	{ "asFd", offsetof(struct parameters, flag), FIELD_BOOL, false, NULL },
	{ "uses", offsetof(struct parameters, number), FIELD_INT, false, NULL },
	{ "binding", offsetof(struct parameters, word), FIELD_CHOICE, false, words },
	{ "name", offsetof(struct parameters, text), FIELD_STRING, false, NULL },
	{ "token", offsetof(struct parameters, token), FIELD_STRING, true, NULL },
	{ "scopes", offsetof(struct parameters, scopes), FIELD_STRINGS, false, NULL },
};

/* size: for texts that were written with escapes. */
static void check_call(struct span text, size_t size)
{
	struct text_space space = { malloc(size ? size : 1), size, 0 };
	struct bad_parameter bad = { SPAN_NONE };
	struct parameters p;
	struct call call;

	FUZZ_HOLDS(space.buf && json_check(text, &scratch) == JSON_OK);
	switch (call_read(json_noted_root(text, &scratch), &space, &call, &bad)) {
	case CALL_OK:
		FUZZ_HOLDS(call.method.p);
		if (params_read(&call.params, fields, ARRAY_SIZE(fields), &space, &p, sizeof(p),
				&bad)) {
			FUZZ_HOLDS(p.token.p);
			FUZZ_HOLDS(p.scopes.n <= SCOPES_MAX);
			FUZZ_HOLDS(!p.word.is_set || (p.word.value >= 0 && p.word.value < 3));
		} else {
			FUZZ_HOLDS(bad.name.p);
		}
		break;
	case CALL_INVALID:
		FUZZ_HOLDS(bad.name.p);
		break;
	case CALL_IS_NONE:
		break;
	}
	FUZZ_HOLDS(space.n <= size);
	free(space.buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *copy = NULL;
	struct span text;

	if (n > JSON_TEXT_MAX)
		return 0;
	copy = fuzz_copy(data, n);
	text = (struct span){ copy, n };
	if (json_check(text, &scratch) != JSON_OK)
		return 0;
	check_rewriting(text);
	check_call(text, n + 1);
	check_call(text, n / 32);
	FUZZ_HOLDS(n == 0 || memcmp(copy, data, n) == 0);
	return 0;
}
