/* tests/unit/test-loadcred.c - the addresses from which systemd asks, and all that are not its. */
#include "agent/loadcred.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

/* An address by its text, whose first byte stands for NUL. */
#define ADDRESS(text) "\0" text, sizeof(text)

struct example {
	const char *address;
	size_t n;
	const char *unit, *credential;
};

static const struct example good[] = {
	{ ADDRESS("0123456789abcdef/unit/app.service/key"), "app.service", "key" },
	{ ADDRESS("123456789abcdef/unit/app.service/key"), "app.service", "key" },
	{ ADDRESS("adf9d86b6eda275e/unit/foobar.service/credx"), "foobar.service", "credx" },
	/* A random number may begin with any zeros. */
	{ ADDRESS("0/unit/a.service/k"), "a.service", "k" },
	{ ADDRESS("f00/unit/a.service/k"), "a.service", "k" },
	{ ADDRESS("ffffffffffffffff/unit/nightly@etc-x\\x2dy.service/a.b_c-d"),
	  "nightly@etc-x\\x2dy.service", "a.b_c-d" },
	{ ADDRESS("ffffffffffffffff/unit/x.mount/k"), "x.mount", "k" },
	{ ADDRESS("ffffffffffffffff/unit/x.socket/k"), "x.socket", "k" },
};

static const struct {
	const char *address;
	size_t n;
} bad[] = {
	{ "", 0 },
	{ "", 1 },
	{ ADDRESS("") },
	/* Not abstract: a path in the file system. */
	{ "/run/0123456789abcdef/unit/app.service/key", 42 },
	{ "0123456789abcdef/unit/app.service/key", 37 },
	/* Its number. */
	{ ADDRESS("/unit/app.service/key") },
	{ ADDRESS("0123456789abcdef0/unit/app.service/key") },
	{ ADDRESS("0123456789ABCDEF/unit/app.service/key") },
	{ ADDRESS("0x23456789abcdef/unit/app.service/key") },
	{ ADDRESS("0123456789abcdeg/unit/app.service/key") },
	{ ADDRESS(" 123456789abcdef/unit/app.service/key") },
	{ ADDRESS("-123456789abcdef/unit/app.service/key") },
	{ ADDRESS("\0000123456789abcdef/unit/app.service/key") },
	/* Its middle. */
	{ ADDRESS("0123456789abcdef") },
	{ ADDRESS("0123456789abcdef/") },
	{ ADDRESS("0123456789abcdef/unit") },
	{ ADDRESS("0123456789abcdef/unit/") },
	{ ADDRESS("0123456789abcdef//unit/app.service/key") },
	{ ADDRESS("0123456789abcdef/user/app.service/key") },
	{ ADDRESS("0123456789abcdef/Unit/app.service/key") },
	{ ADDRESS("0123456789abcdef/units/app.service/key") },
	{ ADDRESS("0123456789abcdef\0unit/app.service/key") },
	/* The unit. */
	{ ADDRESS("0123456789abcdef/unit//key") },
	{ ADDRESS("0123456789abcdef/unit/app.service") },
	{ ADDRESS("0123456789abcdef/unit/app.service\0/key") },
	{ ADDRESS("0123456789abcdef/unit/app\n.service/key") },
	{ ADDRESS("0123456789abcdef/unit/app .service/key") },
	{ ADDRESS("0123456789abcdef/unit/app\x7f.service/key") },
	{ ADDRESS("0123456789abcdef/unit/\x1b[1mapp.service/key") },
	/* The credential. */
	{ ADDRESS("0123456789abcdef/unit/app.service/") },
	{ ADDRESS("0123456789abcdef/unit/app.service//") },
	{ ADDRESS("0123456789abcdef/unit/app.service//key") },
	{ ADDRESS("0123456789abcdef/unit/app.service/key/") },
	{ ADDRESS("0123456789abcdef/unit/app.service/dir/key") },
	{ ADDRESS("0123456789abcdef/unit/app.service/key\0") },
	{ ADDRESS("0123456789abcdef/unit/app.service/key\0more") },
	{ ADDRESS("0123456789abcdef/unit/app.service/ke y") },
	{ ADDRESS("0123456789abcdef/unit/app.service/key\n") },
};

/* The same bytes, with nothing readable behind them. */
static bool parse(const char *address, size_t n, struct span *unit, struct span *credential)
{
	static char copy[256];

	/* At the end of the buffer, where a sanitizer or valgrind sees a read too far. */
	memcpy(copy + sizeof(copy) - n, address, n);
	return loadcred_parse(copy + sizeof(copy) - n, n, unit, credential);
}

START_TEST(systemds_addresses_say_the_unit_and_the_credential)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct span unit, credential;

		/* sizeof counts the NUL that ends the text in place of the one before it. */
		ck_assert_msg(parse(good[i].address, good[i].n, &unit, &credential), "%s",
			      good[i].address + 1);
		ck_assert(span_is(unit, good[i].unit));
		ck_assert(span_is(credential, good[i].credential));
	}
}
END_TEST

START_TEST(whatever_else_is_none_of_systemds)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct span unit = SPAN_NONE, credential = SPAN_NONE;

		ck_assert_msg(!parse(bad[i].address, bad[i].n, &unit, &credential), "%zu: %s", i,
			      bad[i].address + (bad[i].n > 0));
		ck_assert(!unit.p && !credential.p);
	}
}
END_TEST

START_TEST(an_address_cut_anywhere_is_none_or_names_a_shorter_credential)
{
	const char *whole = good[0].address;

	for (size_t n = 0; n < good[0].n; n++) {
		struct span unit, credential;
		bool is_one = parse(whole, n, &unit, &credential);

		ck_assert_msg(is_one == (n > strlen("0123456789abcdef/unit/app.service/") + 1), "%zu", n);
		if (is_one)
			ck_assert(span_is(unit, "app.service") && credential.n < strlen("key"));
	}
}
END_TEST

START_TEST(no_byte_makes_it_anothers)
{
	char address[64];
	size_t n = good[0].n;

	for (size_t at = 0; at < n; at++)
		for (int byte = 0; byte < 256; byte++) {
			struct span unit, credential;

			memcpy(address, good[0].address, n);
			address[at] = (char)byte;
			if (!parse(address, n, &unit, &credential))
				continue;
			UNIT_CHECK(address[0] == '\0', "byte %zu as %d", at, byte);
			UNIT_CHECK(unit.n + credential.n == strlen("app.service") + strlen("key"),
				   "byte %zu as %d", at, byte);
			UNIT_CHECK(!memchr(unit.p, '/', unit.n) && !memchr(credential.p, '/', credential.n),
				   "byte %zu as %d", at, byte);
		}
}
END_TEST

UNIT_MAIN("loadcred", systemds_addresses_say_the_unit_and_the_credential,
	  whatever_else_is_none_of_systemds,
	  an_address_cut_anywhere_is_none_or_names_a_shorter_credential, no_byte_makes_it_anothers)
