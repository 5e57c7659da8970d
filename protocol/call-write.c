/*
 * protocol/call-write.c
 *
 * Secrets pass here into a buffer that the caller keeps locked; nothing is copied elsewhere on the
 * way.
 */
#include "protocol/call-write.h"

#include <errno.h>

#include "protocol/base/parse.h"

/* As the interface is named in every call. */
#define INTERFACE "io.jeton.Agent."

/* Ends a string that was written raw, which the writer does not take for a value. */
static void end_quoted(struct json_writer *w)
{
	json_put_raw(w, SPAN("\""));
	w->comma = true;
}

static bool texts_valid(const char *const *texts)
{
	for (; texts && *texts; texts++)
		if (!utf8_valid(span_of(*texts)))
			return false;
	return true;
}

static bool param_valid(const struct param *p)
{
	if (p->type == PARAM_TYPE_TEXTS)
		return texts_valid(p->texts);
	if (p->type == PARAM_TYPE_TEXT)
		return p->text.p ? utf8_valid(p->text) : !p->is_needed;
	return true;
}

int params_check(const struct param params[], const char **ret_name)
{
	for (const struct param *p = params; p->name; p++) {
		if (!param_valid(p)) {
			*ret_name = p->name;
			return -EINVAL;
		}
	}
	return 0;
}

static void write_base64(struct json_writer *w, struct span bytes)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = (const unsigned char *)bytes.p;

	/* The quote is written as a value, so that the writer sets the comma. */
	json_put_value(w, SPAN("\""));
	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t n = bytes.n - i < 3 ? bytes.n - i : 3;
		uint32_t bits = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
				(n > 2 ? in[i + 2] : 0u);
		char group[4] = { digits[bits >> 18], digits[bits >> 12 & 63],
				  n > 1 ? digits[bits >> 6 & 63] : '=',
				  n > 2 ? digits[bits & 63] : '=' };

		json_put_raw(w, (struct span){ group, sizeof(group) });
		explicit_bzero(group, sizeof(group));
	}
	end_quoted(w);
}

static void write_texts(struct json_writer *w, const char *const *texts)
{
	json_open(w, '[');
	for (; *texts; texts++)
		json_put_string(w, span_of(*texts));
	json_close(w, ']');
}

static bool is_absent(const struct param *p)
{
	switch (p->type) {
	case PARAM_TYPE_TEXT:
	case PARAM_TYPE_DATA:
		return !p->text.p;
	case PARAM_TYPE_TEXTS:
		return !p->texts;
	case PARAM_TYPE_INT:
		return p->number == -1;
	case PARAM_TYPE_TRUE:
		return p->number == 0;
	case PARAM_TYPE_END:
		break;
	}
	return true;
}

static void write_param(struct json_writer *w, const struct param *p)
{
	if (is_absent(p))
		return;
	json_key(w, p->name);
	switch (p->type) {
	case PARAM_TYPE_TEXT:
		json_put_string(w, p->text);
		break;
	case PARAM_TYPE_TEXTS:
		write_texts(w, p->texts);
		break;
	case PARAM_TYPE_INT:
		json_put_int(w, p->number);
		break;
	case PARAM_TYPE_TRUE:
		json_put_bool(w, true);
		break;
	case PARAM_TYPE_DATA:
		write_base64(w, p->text);
		break;
	case PARAM_TYPE_END:
		break;
	}
}

static void write_more(struct json_writer *w, bool more)
{
	if (more) {
		json_key(w, "more");
		json_put_bool(w, true);
	}
}

static void end(struct json_writer *w)
{
	json_close(w, '}');
	json_put_raw(w, (struct span){ "", 1 });
}

void call_write(struct json_writer *w, const char *method, bool more, const struct param params[])
{
	json_open(w, '{');
	json_key(w, "method");
	/* A method's name is a literal of ours: it needs no escapes. */
	json_put_value(w, SPAN("\"" INTERFACE));
	json_put_raw(w, span_of(method));
	end_quoted(w);
	write_more(w, more);
	if (params[0].name) {
		json_key(w, "parameters");
		json_open(w, '{');
		for (const struct param *p = params; p->name; p++)
			write_param(w, p);
		json_close(w, '}');
	}
	end(w);
}

void call_write_json(struct json_writer *w, struct span method, bool more, struct span parameters)
{
	json_open(w, '{');
	json_key(w, "method");
	json_put_string(w, method);
	write_more(w, more);
	if (parameters.n > 0) {
		json_key(w, "parameters");
		json_put_value(w, parameters);
	}
	end(w);
}
