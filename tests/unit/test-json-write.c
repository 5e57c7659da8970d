/* tests/unit/test-json-write.c - the writer, held against the judge and the walk. */
#include "protocol/json-at.h"
#include "protocol/json.h"

#include <stdio.h>

#include "tests/unit/json-help.h"
#include "tests/unit/unit.h"

/* Writes one of everything, and the NUL. */
static void write_all(struct json_writer *w)
{
	json_open(w, '{');
	json_key(w, "list");
	json_open(w, '[');
	json_put_int(w, INT64_MIN);
	json_put_int(w, 0);
	json_put_int(w, INT64_MAX);
	json_open(w, '{');
	json_close(w, '}');
	json_open(w, '[');
	json_close(w, ']');
	json_put_value(w, SPAN("{\"raw\":1}"));
	json_close(w, ']');
	json_key(w, "yes");
	json_put_bool(w, true);
	json_key(w, "no");
	json_put_bool(w, false);
	json_key(w, "none");
	json_put_string_or_null(w, SPAN_NONE);
	json_key(w, "empty");
	json_put_string_or_null(w, SPAN(""));
	json_key(w, "text");
	json_put_string(w, SPAN("a\"b\\c/\n\t\r\b\f\x01\x1f\x7f\xc3\xa9\xf0\x9d\x84\x9e long "
				"enough for words"));
	json_key(w, "null");
	json_put_null(w);
	json_close(w, '}');
	json_put_raw(w, (struct span){ "", 1 });
}

static const char all_written[] = "{\"list\":[-9223372036854775808,0,9223372036854775807,{},[],{"
				  "\"raw\":1}],\"yes\":true,\"no\":false,"
				  "\"none\":null,\"empty\":\"\",\"text\":\"a\\\"b\\\\c/"
				  "\\n\\t\\r\\b\\f\\u0001\\u001f\x7f\xc3\xa9"
				  "\xf0\x9d\x84\x9e long enough for words\",\"null\":null}";

START_TEST(what_is_written_is_json_with_commas_where_they_belong)
{
	char buf[2 * sizeof(all_written)];
	struct json_writer w;

	json_writer_init(&w, buf, sizeof(buf));
	write_all(&w);
	write_all(&w);
	ck_assert(!w.overflow);
	ck_assert_uint_eq(w.n, 2 * sizeof(all_written));
	ck_assert_str_eq(buf, all_written);
	ck_assert_str_eq(buf + sizeof(all_written), all_written);
	ck_assert_int_eq(judge((struct span){ buf, sizeof(all_written) - 1 }), JSON_OK);
}
END_TEST

START_TEST(what_does_not_fit_is_noticed_and_not_written)
{
	for (size_t size = 0; size < sizeof(all_written); size++) {
		char *buf = malloc(size + 8);
		struct json_writer w;

		ck_assert_ptr_nonnull(buf);
		memset(buf, '#', size + 8);
		json_writer_init(&w, buf, size);
		write_all(&w);
		ck_assert(w.overflow);
		ck_assert_uint_le(w.n, size);
		ck_assert_mem_eq(buf, all_written, w.n);
		for (size_t i = w.n; i < size + 8; i++)
			UNIT_CHECK(buf[i] == '#', "%zu of %zu", i, size);
		free(buf);
	}
}
END_TEST

START_TEST(every_text_comes_back_as_it_was_written)
{
	uint64_t random = 31;

	for (int round = 0; round < 50000; round++) {
		char text[160], buf[1000], decoded[160];
		struct span found;
		struct json_writer w;
		size_t n = 0;

		for (uint64_t left = unit_random(&random) % 30; left > 0; left--) {
			uint32_t code = (uint32_t)(unit_random(&random) % (1u << (1 + left % 20)));

			if (code > 0 && (code < 0xd800 || code > 0xdfff))
				n += encode(code, text + n);
		}
		json_writer_init(&w, buf, sizeof(buf));
		json_open(&w, '{');
		json_key(&w, "k");
		json_put_string(&w, (struct span){ text, n });
		json_close(&w, '}');
		UNIT_CHECK(!w.overflow && judge((struct span){ buf, w.n }) == JSON_OK, "%.*s",
			   (int)w.n, buf);
		found = only_text((struct span){ buf, w.n }, decoded, sizeof(decoded));
		UNIT_CHECK(span_equal(found, (struct span){ text, n }), "%.*s", (int)w.n, buf);
	}
}
END_TEST

START_TEST(a_text_is_the_same_wherever_room_is_known_to_be)
{
	static const char *const odd[] = { "x", "\"", "\\", "\n", "\x01", "\x7f", "\xc3\xa9" };

	for (size_t n = 0; n <= 70; n++)
		for (size_t at = 0; at <= n; at++)
			for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
				char text[80], buf[600], *tight;
				struct json_writer w;
				size_t length;

				memset(text, 'a', sizeof(text));
				memcpy(text + at, odd[i], strlen(odd[i]));
				length = n > at + strlen(odd[i]) ? n : at + strlen(odd[i]);
				json_writer_init(&w, buf, sizeof(buf));
				json_put_string(&w, (struct span){ text, length });
				/* No more is touched than is asked for. */
				tight = malloc(JSON_STRING_ROOM(length));
				UNIT_CHECK(tight &&
						   json_string_at(tight,
								  (struct span){ text, length }) ==
							   tight + w.n &&
						   memcmp(tight, buf, w.n) == 0,
					   "%.*s", (int)length, text);
				free(tight);
			}
}
END_TEST

START_TEST(every_length_of_number_is_written_as_printf_does)
{
	char text[JSON_INT_ROOM + 1], expected[JSON_INT_ROOM + 1];
	int64_t power = 1;

	for (int digits = 1; digits <= 18; digits++, power *= 10)
		for (int64_t near = -1; near <= 1; near++)
			for (int64_t sign = -1; sign <= 1; sign += 2) {
				int64_t n = sign * (power + near);

				snprintf(expected, sizeof(expected), "%lld", (long long)n);
				*json_int_at(text, n) = '\0';
				ck_assert_str_eq(text, expected);
			}
	*json_int_at(text, INT64_MIN) = '\0';
	ck_assert_str_eq(text, "-9223372036854775808");
	*json_int_at(text, INT64_MAX) = '\0';
	ck_assert_str_eq(text, "9223372036854775807");
}
END_TEST

UNIT_MAIN("json-write", a_text_is_the_same_wherever_room_is_known_to_be,
	  every_length_of_number_is_written_as_printf_does,
	  what_is_written_is_json_with_commas_where_they_belong,
	  what_does_not_fit_is_noticed_and_not_written, every_text_comes_back_as_it_was_written)
