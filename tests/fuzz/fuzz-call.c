/*
 * tests/fuzz/fuzz-call.c - parameters of every method that the interface has, read by a table that
 * is made of the interface's own text: what is taken is of the type and number that it names, and
 * the same when it is written and read once more; what is refused, is refused for the first member
 * that is wrong.
 *
 * The first byte of an input is the method. If the second is 0, the rest is the parameters as they
 * are; else each member is made of a byte for its name and what follows for its value, so that most
 * inputs are JSON and known names come often.
 */
#include "tests/fuzz/fuzz.h"

#include "protocol/call-read.h"
#include "protocol/interface.h"

enum {
	METHODS_MAX = 32,
	FIELDS_MAX = 8,
	WORDS_MAX = 12,
	ENUMS_MAX = 8,
	NAME_MAX_ = 32,
	TEXT_MAX = 64 * 1024,
	SLOT = sizeof(struct field_strings), /* the largest */
};

struct words {
	char name[NAME_MAX_];
	char text[WORDS_MAX][NAME_MAX_];
	const char *list[WORDS_MAX + 1];
};

struct method {
	char names[FIELDS_MAX][NAME_MAX_];
	struct field fields[FIELDS_MAX];
	size_t n;
};

static struct interface {
	struct words enums[ENUMS_MAX];
	size_t n_enums;
	struct method methods[METHODS_MAX];
	size_t n;
} the;

/* ---- the interface --------------------------------------------------------------------------- */

/* Over blanks, line ends and comments. */
static const char *skip(const char *p)
{
	while (*p && strchr(" \t\n,", *p))
		p++;
	return *p == '#' ? skip(p + strcspn(p, "\n")) : p;
}

static const char *take_word(const char *p, char ret[static NAME_MAX_])
{
	size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

	FUZZ_HOLDS(n > 0 && n < NAME_MAX_);
	memcpy(ret, p, n);
	ret[n] = '\0';
	return p + n;
}

/* "type NAME (a, b)": an enumeration, unless members have types. */
static void take_enum(const char *p)
{
	struct words *words = &the.enums[the.n_enums];
	size_t n = 0;

	FUZZ_HOLDS(the.n_enums < ENUMS_MAX);
	p = skip(take_word(p, words->name));
	for (p = skip(p + 1); *p != ')'; p = skip(p)) {
		FUZZ_HOLDS(n < WORDS_MAX);
		p = take_word(p, words->text[n]);
		words->list[n] = words->text[n];
		n++;
		if (*p == ':')
			return;
	}
	words->list[n] = NULL;
	the.n_enums++;
}

static const char *take_type(const char *p, struct field *field)
{
	char name[NAME_MAX_];
	bool many;

	field->required = *p != '?';
	p += !field->required;
	many = strncmp(p, "[]", 2) == 0;
	p = take_word(p + (many ? 2 : 0), name);
	field->type = many			    ? FIELD_STRINGS
		      : strcmp(name, "string") == 0 ? FIELD_STRING
		      : strcmp(name, "int") == 0    ? FIELD_INT
		      : strcmp(name, "bool") == 0   ? FIELD_BOOL
						    : FIELD_CHOICE;
	for (size_t i = 0; i < the.n_enums; i++)
		if (strcmp(the.enums[i].name, name) == 0)
			field->choices = the.enums[i].list;
	FUZZ_HOLDS(field->type != FIELD_CHOICE || field->choices);
	return p;
}

/* "method NAME(a: T, b: ?T)" */
static void take_method(const char *p)
{
	struct method *m = &the.methods[the.n++];
	char name[NAME_MAX_];

	FUZZ_HOLDS(the.n <= METHODS_MAX);
	p = take_word(p, name);
	for (p = skip(p + 1); *p != ')'; p = skip(p)) {
		struct field *field = &m->fields[m->n];

		FUZZ_HOLDS(m->n < FIELDS_MAX);
		p = take_word(p, m->names[m->n]);
		*field =
			(struct field){ .name = m->names[m->n], .offset = (uint16_t)(m->n * SLOT) };
		FUZZ_HOLDS(*p == ':');
		p = take_type(skip(p + 1), field);
		m->n++;
	}
}

static void take_interface(void)
{
	struct span text = interface_text();
	char *copy = fuzz_text((const uint8_t *)text.p, text.n);

	for (const char *p = copy; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, "type ", 5) == 0)
			take_enum(p + 5);
		else if (strncmp(p, "method ", 7) == 0)
			take_method(p + 7);
	}
	free(copy);
	FUZZ_HOLDS(the.n >= 20 && the.n_enums >= 3);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static struct span take(const uint8_t **data, size_t *n, size_t wanted)
{
	struct span taken = { (const char *)*data, wanted < *n ? wanted : *n };

	*data += taken.n;
	*n -= taken.n;
	return taken;
}

static void put_quoted(struct json_writer *w, struct span text)
{
	json_put_raw(w, SPAN("\""));
	json_put_raw(w, text);
	json_put_raw(w, SPAN("\""));
}

static void put_member(struct json_writer *w, const struct method *m, const uint8_t **data,
		       size_t *n)
{
	static const char *const values[] = { "null",	   "true",
					      "false",	   "0",
					      "-1",	   "9223372036854775807",
					      "[]",	   "{}",
					      "\"none\"",  "\"process\"",
					      "\"unit\"",  "\"active\"",
					      "[\"a:b\"]", "[\"a:b\",\"a:c\"]" };
	uint8_t byte = fuzz_byte(data, n);

	if (m->n > 0 && byte < 240)
		put_quoted(w, span_of(m->names[byte % m->n]));
	else
		put_quoted(w, take(data, n, byte % 16));
	json_put_raw(w, SPAN(":"));
	byte = fuzz_byte(data, n);
	if (byte < ARRAY_SIZE(values))
		json_put_raw(w, span_of(values[byte]));
	else if (byte < 64)
		put_quoted(w, take(data, n, byte - ARRAY_SIZE(values)));
	else if (byte < 80)
		for (int i = 0; i <= byte - 50; i++)
			json_put_raw(w, i == 0		? SPAN("[\"x\"")
					: i < byte - 50 ? SPAN(",\"y\"")
							: SPAN("]"));
	else
		json_put_raw(w, take(data, n, byte % 32));
}

static struct span make_params(const struct method *m, const uint8_t *data, size_t n, char *buf)
{
	struct json_writer w;
	bool raw = fuzz_byte(&data, &n) == 0;

	json_writer_init(&w, buf, TEXT_MAX);
	if (raw) {
		json_put_raw(&w, (struct span){ (const char *)data, n });
		return (struct span){ buf, w.n };
	}
	json_put_raw(&w, SPAN("{"));
	for (bool first = true; n > 0; first = false) {
		if (!first)
			json_put_raw(&w, SPAN(","));
		put_member(&w, m, &data, &n);
	}
	json_put_raw(&w, SPAN("}"));
	return (struct span){ buf, w.n };
}

/* ---- what must hold -------------------------------------------------------------------------- */

static struct span text_of(struct json_value string, char *room)
{
	struct span text;

	FUZZ_HOLDS(json_string(string, room, TEXT_MAX, &text) == 0);
	return text;
}

/* An integer in digits, of 64 bits. */
static bool is_int(struct span raw)
{
	static const char largest[] = "9223372036854775807", smallest[] = "9223372036854775808";
	bool minus = raw.p[0] == '-';
	struct span digits = { raw.p + minus, raw.n - minus };

	if (span_is(raw, "-0") || digits.n > 19)
		return false;
	for (size_t i = 0; i < digits.n; i++)
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
	return digits.n < 19 || memcmp(digits.p, minus ? smallest : largest, 19) <= 0;
}

static bool is_choice(struct span text, const char *const *choices)
{
	while (*choices && !span_is(text, *choices))
		choices++;
	return *choices;
}

static bool are_strings(struct json_value list)
{
	struct json_iter it = json_iter(list);
	struct json_value element;
	unsigned n = 0;

	while (json_next_element(&it, &element))
		if (element.type != JSON_STRING || n++ == SCOPES_MAX)
			return false;
	return true;
}

static bool fits(const struct field *field, struct json_value value, char *room)
{
	switch ((enum field_type)field->type) {
	case FIELD_BOOL:
		return value.type == JSON_TRUE || value.type == JSON_FALSE;
	case FIELD_INT:
		return value.type == JSON_NUMBER && is_int(value.raw);
	case FIELD_STRING:
		return value.type == JSON_STRING;
	case FIELD_STRINGS:
		return value.type == JSON_ARRAY && are_strings(value);
	case FIELD_CHOICE:
		return value.type == JSON_STRING && is_choice(text_of(value, room), field->choices);
	case FIELD_ARRAY:
		return value.type == JSON_ARRAY;
	}
	return false;
}

static const struct field *field_of(const struct method *m, struct json_value key, char *room)
{
	struct span name = text_of(key, room);

	for (size_t i = 0; i < m->n; i++)
		if (span_is(name, m->names[i]))
			return &m->fields[i];
	return NULL;
}

/*
 * The first member that is wrong, as it is written; p NULL: none. *ret_seen: fields that are there.
 */
static struct span first_wrong(const struct method *m, struct json_value params, char *room,
			       unsigned *ret_seen)
{
	struct json_iter it = json_iter(params);
	struct json_value key, value;
	const struct field *field;

	*ret_seen = 0;
	while (json_next_member(&it, &key, &value)) {
		field = field_of(m, key, room);
		if (field && value.type == JSON_NULL)
			continue;
		if (!field || !fits(field, value, room))
			return (struct span){ key.raw.p + 1, key.raw.n - 2 };
		*ret_seen |= 1U << (field - m->fields);
	}
	for (size_t i = 0; i < m->n; i++)
		if (m->fields[i].required && !(*ret_seen & 1U << i))
			return span_of(m->names[i]);
	return SPAN_NONE;
}

/* What was taken, as JSON. */
static void write_field(struct json_writer *w, const struct field *field, const void *at)
{
	const struct field_strings *strings = at;
	const struct field_int *number = at;

	switch ((enum field_type)field->type) {
	case FIELD_BOOL:
		json_put_bool(w, ((const struct field_bool *)at)->value);
		break;
	case FIELD_INT:
		json_put_int(w, number->value);
		break;
	case FIELD_STRING:
		json_put_string(w, *(const struct span *)at);
		break;
	case FIELD_STRINGS:
		FUZZ_HOLDS(strings->n <= SCOPES_MAX);
		json_open(w, '[');
		for (unsigned i = 0; i < strings->n; i++)
			json_put_string(w, strings->v[i]);
		json_close(w, ']');
		break;
	case FIELD_CHOICE:
		json_put_string(w, span_of(field->choices[number->value]));
		break;
	case FIELD_ARRAY: /* no method of io.jeton.Agent has one */
		FUZZ_HOLDS(false);
		break;
	}
}

static bool is_there(const struct field *field, const void *at)
{
	if (field->type == FIELD_STRING)
		return ((const struct span *)at)->p;
	return *(const bool *)at;
}

static struct span write_all(const struct method *m, const char *taken, char *buf)
{
	struct json_writer w;

	json_writer_init(&w, buf, 2 * TEXT_MAX);
	json_open(&w, '{');
	for (size_t i = 0; i < m->n; i++) {
		const char *at = taken + m->fields[i].offset;

		if (!is_there(&m->fields[i], at))
			continue;
		json_key(&w, m->names[i]);
		write_field(&w, &m->fields[i], at);
	}
	json_close(&w, '}');
	FUZZ_HOLDS(!w.overflow);
	return (struct span){ buf, w.n };
}

struct room {
	struct json_scratch scratch;
	char text[TEXT_MAX], again[2 * TEXT_MAX], third[2 * TEXT_MAX], other[TEXT_MAX];
	char space[TEXT_MAX];
	char taken[FIELDS_MAX * SLOT];
};

static bool read_params(struct room *room, const struct method *m, struct span text,
			struct bad_parameter *bad)
{
	struct text_space space = { room->space, sizeof(room->space), 0 };
	struct json_value params = json_root(text);

	return params_read(&params, m->fields, m->n, &space, room->taken, sizeof(room->taken), bad);
}

static void check_taken(struct room *room, const struct method *m, unsigned seen)
{
	struct bad_parameter bad;
	struct span again, third;

	for (size_t i = 0; i < m->n; i++)
		FUZZ_HOLDS(is_there(&m->fields[i], room->taken + m->fields[i].offset) ==
			   !!(seen & 1U << i));
	again = write_all(m, room->taken, room->again);
	FUZZ_HOLDS(json_check(again, &room->scratch) == JSON_OK);
	FUZZ_HOLDS(read_params(room, m, again, &bad));
	third = write_all(m, room->taken, room->third);
	FUZZ_HOLDS(span_equal(again, third));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct room room;
	const struct method *m;
	struct bad_parameter bad;
	struct span text, wrong;
	unsigned seen;

	if (the.n == 0)
		take_interface();
	m = &the.methods[fuzz_byte(&data, &n) % the.n];
	text = make_params(m, data, n, room.text);
	if (text.n > TEXT_MAX || json_check(text, &room.scratch) != JSON_OK)
		return 0;
	wrong = first_wrong(m, json_root(text), room.other, &seen);
	if (read_params(&room, m, text, &bad)) {
		FUZZ_HOLDS(!wrong.p);
		check_taken(&room, m, seen);
	} else {
		FUZZ_HOLDS(wrong.p && span_equal(bad.name, wrong));
	}
	return 0;
}
