/*
 * ctl/json-print.c - walks the text and sets it anew. Depth is bounded by json_check(), so it may
 * call itself.
 */
#include "ctl/json-print.h"

struct look {
	bool pretty;
	unsigned level;
	FILE *out;
};

static void print_value(struct json_value value, struct look look);

static void new_line(struct look look)
{
	if (look.pretty)
		fprintf(look.out, "\n%*s", (int)look.level * 2, "");
}

static void print_raw(struct json_value value, struct look look)
{
	fwrite(value.raw.p, 1, value.raw.n, look.out);
}

/* What stands between brackets; with_keys: of an object. */
static void print_inside(struct json_value value, bool with_keys, struct look look)
{
	struct look inside = { look.pretty, look.level + 1, look.out };
	struct json_iter it = json_iter(value);
	struct json_value key, item;
	bool any = false;

	for (; with_keys ? json_next_member(&it, &key, &item) : json_next_element(&it, &item);
	     any = true) {
		if (any)
			putc(',', look.out);
		new_line(inside);
		if (with_keys) {
			print_raw(key, look);
			fputs(look.pretty ? ": " : ":", look.out);
		}
		print_value(item, inside);
	}
	if (any)
		new_line(look);
}

static void print_value(struct json_value value, struct look look)
{
	bool object = value.type == JSON_OBJECT;

	if (!object && value.type != JSON_ARRAY) {
		print_raw(value, look);
		return;
	}
	putc(object ? '{' : '[', look.out);
	print_inside(value, object, look);
	putc(object ? '}' : ']', look.out);
}

void json_print(struct json_value value, bool pretty, unsigned level, FILE *out)
{
	print_value(value, (struct look){ pretty, level, out });
}
