/*
 * tests/fuzz/fuzz-time.c - any text as what people write: spans, instants, sizes, numbers, and text
 * that is to go to a terminal. What is written of a value reads as the same value.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "ctl/text.h"
#include "protocol/base/parse.h"
#include "protocol/base/time.h"

#define NOW UINT64_C(1800000000000000)
#define LAST UINT64_C(253402300800000000) /* the end of the year 9999 */

static void check_span(const char *text)
{
	uint64_t us, again;
	char written[40];

	if (time_parse_span(text, &us) < 0)
		return;
	FUZZ_HOLDS(us <= INT64_MAX);
	time_format_span(us, written, sizeof(written));
	FUZZ_HOLDS(time_parse_span(written, &again) == 0);
	FUZZ_HOLDS(again == us - us % USEC_PER_SEC);
}

static void check_instant(const char *text)
{
	char local[64], relative[40];
	uint64_t us, span;

	if (time_parse_when(text, NOW, &us) < 0)
		return;
	FUZZ_HOLDS(us < LAST);
	if (time_parse_span(text, &span) == 0)
		FUZZ_HOLDS(us == NOW + span);
	FUZZ_HOLDS(strlen(time_format_local(us, local, sizeof(local))) > 0);
	FUZZ_HOLDS(strlen(time_format_relative(us, NOW, relative, sizeof(relative))) > 0);
}

static void check_numbers(const char *text, struct span span)
{
	const char *p = text;
	unsigned __int128 billionths;
	uint64_t number, again;
	char written[32];

	if (parse_u64(span, UINT64_MAX, &number) == 0) {
		snprintf(written, sizeof(written), "%ju", (uintmax_t)number);
		FUZZ_HOLDS(span_is(span, written));
		FUZZ_HOLDS(number == 0 || parse_u64(span, number - 1, &again) == -ERANGE);
	}
	if (parse_decimal(&p, &billionths) == 0) {
		FUZZ_HOLDS(p > text && p <= text + span.n);
		if (decimal_times(billionths, 1000, &number) == 0)
			FUZZ_HOLDS(number / 1000 <= billionths / 1000000000);
	}
	if (parse_size(text, &number) == 0)
		FUZZ_HOLDS(strspn(text, "0123456789. \tBKMGTPE") == span.n);
	FUZZ_HOLDS(parse_bool(text) <= 1);
}

/* What is printed is what is escaped, where there is room for all of it. */
static void check_printed(struct span text)
{
	char printed[4096] = "", escaped[sizeof(printed)];
	FILE *out;
	size_t n;

	if (text.n * TEXT_ESCAPED_MAX >= sizeof(printed))
		return;
	out = fmemopen(printed, sizeof(printed), "w");
	FUZZ_HOLDS(out);
	text_print(out, text);
	FUZZ_HOLDS(fclose(out) == 0);
	n = text_escape(text, escaped, sizeof(escaped));
	FUZZ_HOLDS(memcmp(printed, escaped, n) == 0 && printed[n] == '\0');
}

/* A text is UTF-8 if each of its characters is; and what goes to a terminal is clean. */
static void check_text(struct span text)
{
	char escaped[256];
	struct span rest = text;
	uint32_t c;
	size_t n;

	while (rest.n > 0 && (n = utf8_decode(rest, &c)) > 0) {
		FUZZ_HOLDS(n <= rest.n && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF));
		rest = (struct span){ rest.p + n, rest.n - n };
	}
	FUZZ_HOLDS(utf8_valid(text) == (rest.n == 0));
	FUZZ_HOLDS(!utf8_clean(text) || utf8_valid(text));
	n = text_escape(text, escaped, sizeof(escaped));
	FUZZ_HOLDS(n < sizeof(escaped) && escaped[n] == '\0');
	FUZZ_HOLDS(utf8_clean((struct span){ escaped, n }));
	if (utf8_clean(text) && text.n < sizeof(escaped))
		FUZZ_HOLDS(span_is(text, escaped));
	FUZZ_HOLDS(text_width((struct span){ escaped, n }) <= n);
	FUZZ_HOLDS(text_fit((struct span){ escaped, n }, 20).n <= n);
	check_printed(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_cleanup_free_ char *copy = fuzz_copy(data, n);
	_cleanup_free_ char *text = fuzz_text(data, n);

	/* Else each date has libc look at /etc/localtime. */
	(void)setenv("TZ", "UTC0", 0);
	check_text((struct span){ copy, n });
	check_span(text);
	check_instant(text);
	check_numbers(text, span_of(text));
	return 0;
}
