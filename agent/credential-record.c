/*
 * agent/credential-record.c - see credential-record.h. The value comes last, so that it can be
 * opened straight into its place and is never copied on its way to the store. Invariant: given facts
 * are written in one way only, and no other is read.
 */
#include "agent/credential-record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "protocol/base/parse.h"

enum { FORMAT = 1, FIXED_LEN = 32 };

/* Instants are below. */
#define INSTANT_END (UINT64_C(1) << 58)

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

bool credential_name_is_valid(struct span name)
{
	if (name.n < 1 || name.n > CREDENTIAL_NAME_MAX || span_is(name, ".") || span_is(name, ".."))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (!is_name_byte(name.p[i]))
			return false;
	return true;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_number(uint8_t *p, uint64_t value, unsigned n_bytes)
{
	for (unsigned i = 0; i < n_bytes; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

static size_t put_tail(uint8_t *p, struct span tail)
{
	if (tail.p && tail.n > 0)
		memcpy(p, tail.p, tail.n);
	return tail.n;
}

size_t credential_record_write(const struct credential_record *record, uint8_t *dst)
{
	bool is_value = record->kind == CREDENTIAL_VALUE;
	struct span tail = is_value ? record->value : record->fetched_by;

	assert(credential_name_is_valid(record->name));
	assert(tail.n <= (is_value ? CREDENTIAL_VALUE_MAX : CREDENTIAL_BY_MAX));
	memset(dst, 0, FIXED_LEN);
	dst[0] = FORMAT;
	dst[1] = (uint8_t)record->kind;
	dst[2] = (uint8_t)record->name.n;
	put_number(dst + 4, tail.n, 4);
	if (is_value) {
		dst[3] = (uint8_t)record->form;
		put_number(dst + 8, record->revision, 8);
		put_number(dst + 16, record->updated_us, 8);
		put_number(dst + 24, record->expires_us, 8);
	} else {
		put_number(dst + 8, record->fetched_us, 8);
	}
	memcpy(dst + FIXED_LEN, record->name.p, record->name.n);
	return FIXED_LEN + record->name.n + put_tail(dst + FIXED_LEN + record->name.n, tail);
}

/* ---- reading --------------------------------------------------------------------------------- */

static uint64_t get_number(const uint8_t *p, unsigned n_bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n_bytes; i++)
		value |= (uint64_t)p[i] << 8 * i;
	return value;
}

/* JSON has no NUL in a text, and no text has one here. */
static bool is_text(struct span text)
{
	return utf8_valid(text) && !memchr(text.p, '\0', text.n);
}

static bool value_is_good(const struct credential_record *r)
{
	if (r->revision < 1 || r->revision > INT64_MAX || r->updated_us >= INSTANT_END ||
	    r->expires_us >= INSTANT_END)
		return false;
	switch (r->form) {
	case CREDENTIAL_NONE:
		return r->value.n == 0 && r->expires_us == 0;
	case CREDENTIAL_TEXT:
		return r->value.n > 0 && r->value.n <= CREDENTIAL_VALUE_MAX && is_text(r->value);
	case CREDENTIAL_DATA:
		return r->value.n > 0 && r->value.n <= CREDENTIAL_VALUE_MAX;
	}
	return false;
}

static bool fetched_is_good(const struct credential_record *r, const uint8_t *data)
{
	return data[3] == 0 && r->fetched_us > 0 && r->fetched_us < INSTANT_END &&
	       r->fetched_by.n <= CREDENTIAL_BY_MAX && is_text(r->fetched_by) &&
	       get_number(data + 16, 8) == 0 && get_number(data + 24, 8) == 0;
}

static bool is_good(const struct credential_record *r, const uint8_t *data)
{
	if (!credential_name_is_valid(r->name))
		return false;
	switch (r->kind) {
	case CREDENTIAL_VALUE:
		return value_is_good(r);
	case CREDENTIAL_FETCHED:
		return fetched_is_good(r, data);
	}
	return false;
}

int credential_record_read(const uint8_t *data, size_t n, struct credential_record *ret)
{
	struct credential_record r = { 0 };
	struct span tail;

	if (n < FIXED_LEN || n > CREDENTIAL_RECORD_MAX || data[0] != FORMAT)
		return -EBADMSG;
	r.kind = (enum credential_record_kind)data[1];
	r.name = (struct span){ (const char *)data + FIXED_LEN, data[2] };
	tail.n = (size_t)get_number(data + 4, 4);
	if (n != FIXED_LEN + r.name.n + tail.n)
		return -EBADMSG;
	tail.p = r.name.p + r.name.n;
	if (r.kind == CREDENTIAL_VALUE) {
		r.form = (enum credential_form)data[3];
		r.revision = get_number(data + 8, 8);
		r.updated_us = get_number(data + 16, 8);
		r.expires_us = get_number(data + 24, 8);
		r.value = tail;
	} else {
		r.fetched_us = get_number(data + 8, 8);
		r.fetched_by = tail;
	}
	if (!is_good(&r, data))
		return -EBADMSG;
	*ret = r;
	return 0;
}
