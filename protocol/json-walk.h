/*
 * protocol/json-walk.h - one step of a walk through checked JSON, inline, for what is read with every call; the rest of the
 * world has json_next_element().
 */
#pragma once

#include "protocol/json-text.h"
#include "protocol/json.h"

/* Between values nothing else is as low as a space. */
static inline const char *json_walk_space(const char *p, const char *end)
{
	while (p < end && (unsigned char)*p <= ' ')
		p++;
	return p;
}

/* Past the string or container at p. */
const char *json_skip_unnoted(const char *p, const char *end);

static inline const char *json_walk_string(struct json_iter *it, bool *ret_is_plain)
{
	uint32_t note;

	if (!it->notes)
		return json_skip_unnoted(it->p, it->end);
	note = *it->notes;
	it->notes += NOTES_OF_STRING;
	*ret_is_plain = !(note & 1);
	return it->p + (note >> 1);
}

static inline const char *json_walk_container(struct json_iter *it, const uint32_t **ret_notes)
{
	const uint32_t *notes = it->notes;

	if (!notes)
		return json_skip_unnoted(it->p, it->end);
	*ret_notes = notes + NOTES_OF_CONTAINER;
	it->notes += notes[1];
	return it->p + notes[0];
}

static inline const char *json_walk_word(const char *p, const char *end)
{
	while (p < end && *p != ',' && *p != ']' && *p != '}' && *p > ' ')
		p++;
	return p;
}

/* The value at it->p, which is moved past it. */
static inline void json_walk_value(struct json_iter *it, struct json_value *ret)
{
	const char *start = it->p;

	ret->notes = NULL;
	ret->is_plain = false;
	if (*start == '"') {
		ret->type = JSON_STRING;
		it->p = json_walk_string(it, &ret->is_plain);
	} else if (*start == '{' || *start == '[') {
		ret->type = *start == '{' ? JSON_OBJECT : JSON_ARRAY;
		it->p = json_walk_container(it, &ret->notes);
	} else {
		ret->type = *start == 't' ? JSON_TRUE : *start == 'f' ? JSON_FALSE :
			    *start == 'n' ? JSON_NULL : JSON_NUMBER;
		it->p = json_walk_word(start, it->end);
	}
	ret->raw = (struct span){ start, (size_t)(it->p - start) };
}

/* As json_next_element(). */
static inline __attribute__((always_inline)) bool json_walk(struct json_iter *it,
							    struct json_value *ret_value)
{
	it->p = json_walk_space(it->p, it->end);
	if (it->p == it->end)
		return false;
	json_walk_value(it, ret_value);
	it->p = json_walk_space(it->p, it->end);
	if (it->p < it->end)
		it->p++; /* the comma; or the colon, where this was a key */
	return true;
}

/* Whether a string that is_plain is this text. */
static inline bool json_plain_is(struct json_value string, const char *text)
{
	const char *p = string.raw.p + 1;
	size_t n = string.raw.n - 2;

	if (n == 0 || *p != *text)
		return n == 0 && !*text;
	return strlen(text) == n && memcmp(p, text, n) == 0;
}
