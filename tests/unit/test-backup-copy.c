/*
 * tests/unit/test-backup-copy.c - a backup's file as the tool proves it: any byte that is missing,
 * too many or another is found out, and any passphrase but its own.
 */
#include "ctl/backup-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

#include "ctl/passkey.h"
#include "protocol/base/fd.h"
#include "tests/unit/unit.h"

enum { BLOCKS_MAX = 3, FILE_MAX = BACKUP_FILE_HEAD_LEN + BLOCKS_MAX * BACKUP_SEALED + 1 };

static uint8_t file[FILE_MAX];
static size_t file_n;
static uint8_t key[BACKUP_KEY_LEN];

/* Cheap, as there are thousands to open. */
static void make_passkey(const char *passphrase, const struct backup_file_head *head,
			 struct secret *ret)
{
	struct secret s;

	ck_assert_int_eq(secret_init(&s, 100), 0);
	s.n = strlen(passphrase);
	memcpy(s.p, passphrase, s.n);
	ck_assert_int_eq(passkey_make(&s, head, ret), 0);
	secret_done(&s);
}

static void add_block(crypto_secretstream_xchacha20poly1305_state *stream, uint8_t *block,
		      size_t at, bool last)
{
	backup_pad(block, at);
	crypto_secretstream_xchacha20poly1305_push(
		stream, file + file_n, NULL, block, BACKUP_BLOCK, NULL, 0,
		last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL : 0);
	file_n += BACKUP_SEALED;
}

/* A file of so many blocks (1 to 3), with one token, sealed by "secret". */
static void make_file(unsigned n_blocks)
{
	static uint8_t block[BACKUP_BLOCK];
	const struct backup_entry head = { .kind = BACKUP_HEAD, .taken_us = 7, .host = SPAN("h") };
	const struct backup_entry token = { .kind = BACKUP_ACTIVE,
					    .owner = SPAN("ci"),
					    .record = SPAN("record") };
	const struct backup_entry end = { .kind = BACKUP_END, .counts = { 1, 0, 0 } };
	struct backup_file_head h = { .passes = 1, .memory_kib = 8 };
	crypto_secretstream_xchacha20poly1305_state stream;
	struct secret passkey;
	size_t at = 0;

	randombytes_buf(h.salt, sizeof(h.salt));
	crypto_secretstream_xchacha20poly1305_keygen(key);
	crypto_secretstream_xchacha20poly1305_init_push(&stream, h.start, key);
	make_passkey("secret", &h, &passkey);
	passkey_seal(&passkey, key, &h);
	secret_done(&passkey);
	backup_file_head_write(&h, file);
	file_n = BACKUP_FILE_HEAD_LEN;
	ck_assert(backup_put(block, &at, &head) && backup_put(block, &at, &token));
	for (; n_blocks > 1; n_blocks--, at = 0)
		add_block(&stream, block, at, false);
	ck_assert(backup_put(block, &at, &end));
	add_block(&stream, block, at, true);
}

/* A descriptor of the file's first n bytes, behind its head. */
static int blocks_fd(size_t n)
{
	int fd = memfd_create("blocks", MFD_CLOEXEC);

	UNIT_CHECK(fd >= 0, "memfd");
	UNIT_CHECK(fd_write_all(fd, file + BACKUP_FILE_HEAD_LEN, n - BACKUP_FILE_HEAD_LEN) == 0 &&
			   lseek(fd, 0, SEEK_SET) == 0,
		   "memfd");
	return fd;
}

static enum copy_end copy_n(size_t n, struct copied *ret)
{
	_cleanup_close_ int fd = blocks_fd(n);
	struct backup_file_head h;

	UNIT_CHECK(backup_file_head_read(file, &h) == BACKUP_GOOD, "head");
	return backup_copy(key, h.start, fd, -1, NULL, NULL, ret);
}

static enum copy_end copy(void)
{
	struct copied c;

	return copy_n(file_n, &c);
}

/* Whether the passphrase opens the head as it is now. */
static bool head_opens(const char *passphrase)
{
	struct backup_file_head h;
	struct secret passkey;
	uint8_t opened[BACKUP_KEY_LEN];
	int r;

	if (backup_file_head_read(file, &h) != BACKUP_GOOD || h.passes > 1 || h.memory_kib > 1024)
		return false;
	make_passkey(passphrase, &h, &passkey);
	r = passkey_open(&passkey, &h, opened);
	secret_done(&passkey);
	return r == 0 && memcmp(opened, key, sizeof(key)) == 0;
}

static void set_up(unsigned n_blocks)
{
	ck_assert_int_eq(passkey_start(), 0);
	make_file(n_blocks);
}

START_TEST(a_whole_file_is_copied_as_it_is_and_told_of)
{
	struct copied c;
	uint8_t out[BACKUP_SEALED];
	int from, to = memfd_create("to", MFD_CLOEXEC);
	struct backup_file_head h;

	set_up(2);
	ck_assert(head_opens("secret"));
	from = blocks_fd(file_n);
	ck_assert_int_eq(backup_file_head_read(file, &h), BACKUP_GOOD);
	ck_assert_int_eq(backup_copy(key, h.start, from, to, NULL, NULL, &c), COPY_WHOLE);
	ck_assert_uint_eq(c.taken_us, 7);
	ck_assert_str_eq(c.host, "h");
	ck_assert_uint_eq(c.counts.active, 1);
	ck_assert_uint_eq(c.n_bytes, 2 * BACKUP_SEALED);
	ck_assert_int_eq(lseek(to, 0, SEEK_CUR), 2 * BACKUP_SEALED);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_int_eq(pread(to, out, sizeof(out), i * BACKUP_SEALED), sizeof(out));
		ck_assert_mem_eq(out, file + BACKUP_FILE_HEAD_LEN + i * BACKUP_SEALED, sizeof(out));
	}
	close(from);
	close(to);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_not_whole)
{
	struct copied c;

	set_up(2);
	for (size_t n = BACKUP_FILE_HEAD_LEN; n < file_n; n += n % BACKUP_SEALED < 300 ? 1 : 499)
		UNIT_CHECK(copy_n(n, &c) == COPY_CUT, "cut at %zu", n);
}
END_TEST

START_TEST(a_block_with_any_bit_turned_does_not_open)
{
	set_up(1);
	for (size_t i = BACKUP_FILE_HEAD_LEN; i < file_n;
	     i += i < BACKUP_FILE_HEAD_LEN + 64 || i + 64 > file_n ? 1 : 401)
		for (int bit = 0; bit < 8; bit += 1 + (int)(i % 3)) {
			file[i] ^= (uint8_t)(1 << bit);
			UNIT_CHECK(copy() == COPY_ALTERED, "byte %zu, bit %d", i, bit);
			file[i] ^= (uint8_t)(1 << bit);
		}
	ck_assert_int_eq(copy(), COPY_WHOLE);
}
END_TEST

START_TEST(a_head_with_any_bit_turned_opens_nothing)
{
	set_up(1);
	for (size_t i = 0; i < BACKUP_FILE_HEAD_LEN; i++)
		for (int bit = 0; bit < 8; bit++) {
			file[i] ^= (uint8_t)(1 << bit);
			UNIT_CHECK(!head_opens("secret") || copy() == COPY_ALTERED,
				   "byte %zu, bit %d", i, bit);
			file[i] ^= (uint8_t)(1 << bit);
		}
	ck_assert(head_opens("secret"));
}
END_TEST

START_TEST(no_other_passphrase_opens_it)
{
	set_up(1);
	ck_assert(head_opens("secret"));
	ck_assert(!head_opens("secre"));
	ck_assert(!head_opens("secret "));
	ck_assert(!head_opens("Secret"));
	ck_assert(!head_opens(""));
}
END_TEST

START_TEST(blocks_exchanged_doubled_left_out_or_added_are_found)
{
	static uint8_t before[FILE_MAX];
	uint8_t *blocks = file + BACKUP_FILE_HEAD_LEN;
	size_t whole;

	set_up(3);
	whole = file_n;
	memcpy(before, file, sizeof(file));
	memcpy(blocks, before + BACKUP_FILE_HEAD_LEN + BACKUP_SEALED, BACKUP_SEALED);
	ck_assert_int_eq(copy(), COPY_ALTERED);
	memcpy(file, before, sizeof(file));
	memmove(blocks + BACKUP_SEALED, blocks + 2 * BACKUP_SEALED, BACKUP_SEALED);
	file_n -= BACKUP_SEALED;
	ck_assert_int_eq(copy(), COPY_ALTERED);
	memcpy(file, before, sizeof(file));
	file_n = whole;
	ck_assert_int_eq(copy(), COPY_WHOLE);
	file[file_n++] = 0;
	ck_assert_int_eq(copy(), COPY_LONGER);
}
END_TEST

START_TEST(what_can_not_be_written_is_told)
{
	struct backup_file_head h;
	struct copied c;
	int from, to;

	set_up(1);
	from = blocks_fd(file_n);
	to = memfd_create("to", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ck_assert_int_eq(fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW), 0);
	ck_assert_int_eq(backup_file_head_read(file, &h), BACKUP_GOOD);
	ck_assert_int_eq(backup_copy(key, h.start, from, to, NULL, NULL, &c), COPY_NOT_WRITTEN);
	ck_assert_int_eq(c.error, EPERM);
	close(from);
	close(to);
}
END_TEST

UNIT_MAIN("backup-copy", a_whole_file_is_copied_as_it_is_and_told_of,
	  a_file_cut_anywhere_is_not_whole, a_block_with_any_bit_turned_does_not_open,
	  a_head_with_any_bit_turned_opens_nothing, no_other_passphrase_opens_it,
	  blocks_exchanged_doubled_left_out_or_added_are_found, what_can_not_be_written_is_told)
