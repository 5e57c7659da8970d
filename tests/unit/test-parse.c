/*
 * tests/unit/test-parse.c - numbers, sizes, words for yes and no, UTF-8; and whole reads and
 * writes.
 */
#include "protocol/base/parse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "protocol/base/fd.h"
#include "tests/unit/unit.h"

START_TEST(a_number_is_digits_and_no_more_than_asked)
{
	static const char *const bad[] = { "",	  "-1",	 "+1", " 1", "1 ",  "01",	"00", "1.0",
					   "0x1", "1e3", "a",  "-",  "1_0", "\xd9\xa1", "1\n" };
	char text[32];
	uint64_t n = 7, random = 1;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ck_assert_msg(parse_u64(span_of(bad[i]), UINT64_MAX, &n) == -EINVAL, "%s", bad[i]);
	ck_assert_int_eq(parse_u64(SPAN_NONE, UINT64_MAX, &n), -EINVAL);
	ck_assert_int_eq(parse_u64(SPAN("1\0"), UINT64_MAX, &n), -EINVAL);
	ck_assert_int_eq(parse_u64(SPAN("18446744073709551616"), UINT64_MAX, &n), -ERANGE);
	ck_assert_int_eq(parse_u64(SPAN("99999999999999999999999"), UINT64_MAX, &n), -ERANGE);
	ck_assert_int_eq(parse_u64(SPAN("1"), 0, &n), -ERANGE);
	ck_assert_uint_eq(n, 7);
	for (int round = 0; round < 100000; round++) {
		uint64_t value = unit_random(&random) >> (round % 65 % 64);

		sprintf(text, "%lu", value);
		UNIT_CHECK(parse_u64(span_of(text), value, &n) == 0 && n == value, "%s", text);
		UNIT_CHECK(value == 0 || parse_u64(span_of(text), value - 1, &n) == -ERANGE, "%s",
			   text);
	}
	ck_assert_int_eq(parse_u64(SPAN("18446744073709551615"), UINT64_MAX, &n), 0);
	ck_assert_uint_eq(n, UINT64_MAX);
	ck_assert_int_eq(parse_u64((struct span){ "123", 2 }, 100, &n), 0);
	ck_assert_uint_eq(n, 12);
}
END_TEST

START_TEST(a_size_is_a_number_with_a_unit_of_1024s)
{
	static const struct {
		const char *text;
		int result;
		uint64_t bytes;
	} sizes[] = {
		{ "0", 0, 0 }, { "4096", 0, 4096 }, { "4096B", 0, 4096 }, { "64K", 0, 64 << 10 },
		{ "64 K", 0, 64 << 10 }, { "256M", 0, 256 << 20 }, { "2G", 0, UINT64_C(2) << 30 },
		{ "1.5G", 0, UINT64_C(3) << 29 }, { ".5K", 0, 512 }, { "1T", 0, UINT64_C(1) << 40 },
		{ "1P", 0, UINT64_C(1) << 50 }, { "15E", 0, UINT64_C(15) << 60 }, { "0.5", 0, 0 },
		{ "18446744073709551615", 0, UINT64_MAX }, { "007", 0, 7 }, { "16E", -ERANGE, 0 },
		{ "18446744073709551616", -ERANGE, 0 }, { "18446744073709551615K", -ERANGE, 0 },
		{ "18446744073709551615E", -ERANGE, 0 }, { "", -EINVAL, 0 }, { "K", -EINVAL, 0 },
		{ "1k", -EINVAL, 0 }, { "-1", -EINVAL, 0 }, { "+1", -EINVAL, 0 },
		{ "1KB", -EINVAL, 0 },
		{ "1K 1", -EINVAL, 0 }, { "1.", -EINVAL, 0 }, { ".", -EINVAL, 0 },
		{ "1..5", -EINVAL, 0 },
		{ "1.5.5", -EINVAL, 0 }, { " 1", -EINVAL, 0 }, { "infinity", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 }, { "1K ", -EINVAL, 0 }, { "50%", -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t bytes = 0;

		ck_assert_msg(parse_size(sizes[i].text, &bytes) == sizes[i].result, "%s",
			      sizes[i].text);
		ck_assert_msg(bytes == sizes[i].bytes, "%s: %lu", sizes[i].text, bytes);
	}
}
END_TEST

START_TEST(yes_and_no_are_certain_words)
{
	static const char *const yes[] = { "yes", "YES", "Yes", "true", "on", "1", "oN" };
	static const char *const no[] = { "no", "No", "false", "FALSE", "off", "0" };
	static const char *const neither[] = { "", " yes", "yes ", "2", "-1", "maybe", "01", "ye" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		ck_assert_int_eq(parse_bool(yes[i]), 1);
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		ck_assert_int_eq(parse_bool(no[i]), 0);
	for (size_t i = 0; i < ARRAY_SIZE(neither); i++)
		ck_assert_int_eq(parse_bool(neither[i]), -EINVAL);
}
END_TEST

/* By the table of the Unicode standard of what is well-formed: how many bytes, or 0. */
static size_t well_formed(const unsigned char *p)
{
	static const unsigned char rows[][6] = {
		/* first byte from, to; second from, to; length */
		{ 0x00, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool good = p[0] >= rows[i][0] && p[0] <= rows[i][1] && p[1] >= rows[i][2] &&
			    p[1] <= rows[i][3];

		for (size_t k = 2; k < rows[i][4]; k++)
			good = good && p[k] >= 0x80 && p[k] <= 0xbf;
		if (good)
			return rows[i][4];
	}
	return 0;
}

START_TEST(utf8_is_what_the_standards_table_says)
{
	static const unsigned char edges[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
					       0xa0, 0xbf, 0xc0, 0xc2, 0xff };

	for (int first = 0; first < 256; first++)
		for (int second = 0; second < 256; second++)
			for (size_t rest = 0; rest < ARRAY_SIZE(edges) * ARRAY_SIZE(edges);
			     rest++) {
				unsigned char p[] = { (unsigned char)first, (unsigned char)second,
						      edges[rest / ARRAY_SIZE(edges)],
						      edges[rest % ARRAY_SIZE(edges)] };
				size_t n = well_formed(p);
				uint32_t code;

				for (size_t size = 0; size <= sizeof(p); size++)
					UNIT_CHECK(utf8_decode((struct span){ (char *)p, size },
							       &code) == (n <= size ? n : 0),
						   "%x %x %x %x of %zu", p[0], p[1], p[2], p[3],
						   size);
				if (n)
					UNIT_CHECK(utf8_valid((struct span){ (char *)p, n }), "%x",
						   p[0]);
			}
}
END_TEST

START_TEST(a_text_is_valid_only_as_a_whole)
{
	ck_assert(utf8_valid(SPAN("")));
	ck_assert(utf8_valid(SPAN_NONE));
	ck_assert(utf8_valid(SPAN("a\0b")));
	ck_assert(utf8_valid(SPAN("\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e")));
	ck_assert(!utf8_valid(SPAN("good\xff")));
	ck_assert(!utf8_valid(SPAN("\xc3")));
	ck_assert(!utf8_valid(SPAN("\xc3\xa9\xc3")));
	ck_assert(!utf8_valid(SPAN("\xa9" "bad")));
}
END_TEST

START_TEST(a_clean_name_has_nothing_that_deceives_on_a_terminal)
{
	static const char *const clean[] = {
		"ci", "Pr\xc3\xbcgel 1", "\xe2\x82\xac", "\xf0\x9f\x91\xbe", "a b", "~", "\xc2\xa0"
	};
	static const char *const unclean[] = {
		"a\nb", "\x1b[31m", "\x7f", "\t", "\xc2\x85", "\xc2\x9b", "\xe2\x80\xa8",
		"\xe2\x80\xa9",
		"\xe2\x80\xaa", "\xe2\x80\xae", "\xe2\x81\xa6", "\xe2\x81\xa9", "\xe2\x80\x8e",
		"\xe2\x80\x8f", "\xd8\x9c", "a\xff", "\xed\xa0\x80", "\xc0\xaf",
	};

	for (size_t i = 0; i < ARRAY_SIZE(clean); i++)
		ck_assert_msg(utf8_clean(span_of(clean[i])), "%s", clean[i]);
	for (size_t i = 0; i < ARRAY_SIZE(unclean); i++)
		ck_assert_msg(!utf8_clean(span_of(unclean[i])), "%zu", i);
	ck_assert(!utf8_clean(SPAN("a\0b")));
}
END_TEST

START_TEST(reads_and_writes_are_whole)
{
	static char data[300000], back[300000];
	_cleanup_close_ int fd = memfd_create("test", MFD_CLOEXEC);
	int pipe_fds[2];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 31);
	ck_assert_int_eq(fd_write_all(fd, data, sizeof(data)), 0);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	ck_assert_int_eq(fd_read_all(fd, back, sizeof(back)), sizeof(back));
	ck_assert_mem_eq(data, back, sizeof(data));
	ck_assert_int_eq(fd_read_all(fd, back, sizeof(back)), 0);
	ck_assert_int_eq(lseek(fd, 100, SEEK_SET), 100);
	ck_assert_int_eq(fd_read_all(fd, back, 50), 50);
	ck_assert_mem_eq(data + 100, back, 50);
	ck_assert_int_eq(fd_write_all(-1, data, 1), -EBADF);
	ck_assert_int_eq(fd_read_all(-1, back, 1), -EBADF);
	ck_assert_int_eq(fd_write_all(-1, data, 0), 0);

	/* A pipe gives and takes less at a time. */
	ck_assert_int_eq(pipe2(pipe_fds, O_CLOEXEC), 0);
	if (fork() == 0) {
		close(pipe_fds[0]);
		_exit(fd_write_all(pipe_fds[1], data, sizeof(data)) != 0);
	}
	close(pipe_fds[1]);
	memset(back, 0, sizeof(back));
	ck_assert_int_eq(fd_read_all(pipe_fds[0], back, sizeof(back)), sizeof(back));
	ck_assert_mem_eq(data, back, sizeof(data));
	close(pipe_fds[0]);
}
END_TEST

UNIT_MAIN("parse", a_number_is_digits_and_no_more_than_asked,
	  a_size_is_a_number_with_a_unit_of_1024s, yes_and_no_are_certain_words,
	  utf8_is_what_the_standards_table_says, a_text_is_valid_only_as_a_whole,
	  a_clean_name_has_nothing_that_deceives_on_a_terminal, reads_and_writes_are_whole)
