/* protocol/call-read.c - see call-read.h. Nothing here knows a method's meaning, or allocates. */
#include "protocol/call-read.h"

#include <assert.h>

#include "protocol/json-walk.h"

static struct span inside_quotes(struct json_value string)
{
	return (struct span){ string.raw.p + 1, string.raw.n - 2 };
}

static inline bool is(struct json_value key, const char *text)
{
	return key.is_plain ? json_plain_is(key, text) : json_string_is(key, text);
}

/* The text of a string value, in the message where it can be, else in the space. */
static inline bool text_of(struct json_value string, struct text_space *text, struct span *ret)
{
	if (string.is_plain) {
		*ret = inside_quotes(string);
		return true;
	}
	if (json_string(string, text->buf + text->n, text->size - text->n, ret) < 0)
		return false;
	if (ret->p == text->buf + text->n)
		text->n += ret->n;
	return true;
}

static bool read_flag(struct json_value value, bool *ret)
{
	if (value.type != JSON_TRUE && value.type != JSON_FALSE && value.type != JSON_NULL)
		return false;
	*ret = value.type == JSON_TRUE;
	return true;
}

/* One member of the message itself. False where it is wrong. */
static inline bool read_member(struct json_value key, struct json_value value,
			       struct text_space *text, struct call *call)
{
	bool upgrade;

	if (is(key, "method"))
		return value.type == JSON_STRING && text_of(value, text, &call->method);
	if (is(key, "parameters")) {
		call->params = value;
		return value.type == JSON_OBJECT || value.type == JSON_NULL;
	}
	if (is(key, "more"))
		return read_flag(value, &call->more);
	if (is(key, "oneway"))
		return read_flag(value, &call->oneway);
	if (is(key, "upgrade"))
		return read_flag(value, &upgrade) && !upgrade;
	return false;
}

enum call_result call_read(struct json_value message, struct text_space *text, struct call *ret,
			   struct bad_parameter *ret_bad)
{
	struct json_iter it = json_iter(message);
	struct call call = { .params = { .type = JSON_NULL } };
	struct json_value key, value;
	struct bad_parameter bad = { SPAN_NONE };

	while (json_walk(&it, &key) && json_walk(&it, &value))
		if (!read_member(key, value, text, &call) && !bad.name.p)
			bad.name = inside_quotes(key);

	if (bad.name.p && (call.method.p || span_is(bad.name, "method"))) {
		*ret = call;
		*ret_bad = bad;
		return CALL_INVALID;
	}
	if (!call.method.p)
		return CALL_IS_NONE;
	*ret = call;
	return CALL_OK;
}

static bool read_strings(struct json_value value, struct text_space *text,
			 struct field_strings *ret)
{
	struct json_iter it;
	struct json_value element;

	if (value.type != JSON_ARRAY)
		return false;
	ret->is_set = true;
	it = json_iter(value);
	while (json_walk(&it, &element)) {
		if (element.type != JSON_STRING || ret->n == ARRAY_SIZE(ret->v))
			return false;
		if (!text_of(element, text, &ret->v[ret->n++]))
			return false;
	}
	return true;
}

static bool read_choice(struct json_value value, const char *const *choices, struct field_int *ret)
{
	if (value.type != JSON_STRING)
		return false;
	for (int64_t i = 0; choices[i]; i++)
		if (json_string_is(value, choices[i])) {
			*ret = (struct field_int){ true, i };
			return true;
		}
	return false;
}

static bool read_field(const struct field *field, struct json_value value, struct text_space *text,
		       void *at)
{
	struct field_bool *flag = at;
	struct field_int *number = at;

	switch ((enum field_type)field->type) {
	case FIELD_BOOL:
		flag->is_set = true;
		flag->value = value.type == JSON_TRUE;
		return value.type == JSON_TRUE || value.type == JSON_FALSE;
	case FIELD_INT:
		number->is_set = true;
		return value.type == JSON_NUMBER && json_int(value, &number->value) == 0;
	case FIELD_STRING:
		return value.type == JSON_STRING && text_of(value, text, at);
	case FIELD_STRINGS:
		return read_strings(value, text, at);
	case FIELD_CHOICE:
		return read_choice(value, field->choices, at);
	case FIELD_ARRAY:
		*(struct json_value *)at = value;
		return value.type == JSON_ARRAY;
	}
	return false;
}

static const struct field *find_field(const struct field fields[], size_t n, struct json_value key)
{
	for (size_t i = 0; i < n; i++)
		if (is(key, fields[i].name))
			return &fields[i];
	return NULL;
}

bool params_read(const struct json_value *params, const struct field fields[], size_t n_fields,
		 struct text_space *text, void *ret, size_t ret_size, struct bad_parameter *ret_bad)
{
	struct json_value key, value;
	const struct field *field;
	uint32_t seen = 0;

	assert(n_fields <= 32);
	memset(ret, 0, ret_size);
	if (params->type == JSON_OBJECT) {
		struct json_iter it = json_iter(*params);

		while (json_walk(&it, &key) && json_walk(&it, &value)) {
			field = find_field(fields, n_fields, key);
			if (field && value.type == JSON_NULL)
				continue;
			if (!field ||
			    !read_field(field, value, text, (char *)ret + field->offset)) {
				ret_bad->name = inside_quotes(key);
				return false;
			}
			seen |= UINT32_C(1) << (field - fields);
		}
	}
	for (size_t i = 0; i < n_fields; i++)
		if (fields[i].required && !(seen & (UINT32_C(1) << i))) {
			ret_bad->name = span_of(fields[i].name);
			return false;
		}
	return true;
}
