/*
 * tests/fuzz/fuzz-backup.c - any bytes as the heads of what backups are, as an opened block, and as
 * the order of a copy: what is read is written as the same bytes.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>

#include "protocol/backup.h"

static uint8_t block[BACKUP_BLOCK], again[BACKUP_BLOCK];

static void check_file_head(const uint8_t *data)
{
	struct backup_file_head head;
	uint8_t written[BACKUP_FILE_HEAD_LEN];

	if (backup_file_head_read(data, &head) != BACKUP_GOOD)
		return;
	FUZZ_HOLDS(head.passes >= 1 && head.passes <= BACKUP_PASSES_MAX);
	FUZZ_HOLDS(head.memory_kib >= BACKUP_MEMORY_MIN_KIB &&
		   head.memory_kib <= BACKUP_MEMORY_MAX_KIB);
	backup_file_head_write(&head, written);
	FUZZ_HOLDS(memcmp(written, data, sizeof(written)) == 0);
}

static void check_other_heads(const uint8_t *data)
{
	struct backup_stream_head stream;
	struct backup_restore_head restore;
	struct backup_result result;
	uint8_t written[256];

	if (backup_stream_head_read(data, &stream) == BACKUP_GOOD) {
		backup_stream_head_write(&stream, written);
		FUZZ_HOLDS(memcmp(written, data, BACKUP_STREAM_HEAD_LEN) == 0);
	}
	if (backup_restore_head_read(data, &restore) == BACKUP_GOOD) {
		backup_restore_head_write(&restore, written);
		FUZZ_HOLDS(memcmp(written, data, BACKUP_RESTORE_HEAD_LEN) == 0);
	}
	if (backup_result_read(data, &result) == BACKUP_GOOD) {
		struct backup_result second;

		backup_result_write(&result, written);
		FUZZ_HOLDS(backup_result_read(written, &second) == BACKUP_GOOD);
		FUZZ_HOLDS(second.is_whole == result.is_whole);
		FUZZ_HOLDS(memcmp(second.n, result.n, sizeof(result.n)) == 0);
	}
}

static void check_heads(const uint8_t *data, size_t n)
{
	uint8_t head[256] = { 0 };

	memcpy(head, data, n < sizeof(head) ? n : sizeof(head));
	check_file_head(head);
	check_other_heads(head);
}

static bool is_within(struct span s)
{
	return !s.p || (s.p >= (char *)block && s.p + s.n <= (char *)block + BACKUP_BLOCK);
}

/* What may stand in the order, and no other. `last` is what was before. */
static void check_order(struct backup_order *o, const struct backup_entry *e)
{
	struct backup_order before = *o;

	if (backup_order_add(o, e) < 0) {
		FUZZ_HOLDS(before.last == o->last && memcmp(&before.seen, &o->seen, sizeof(before.seen)) == 0);
		return;
	}
	FUZZ_HOLDS(before.last != BACKUP_END && (before.last == 0) == (e->kind == BACKUP_HEAD));
	FUZZ_HOLDS(o->last == e->kind);
	FUZZ_HOLDS(backup_order_is_whole(o) == (e->kind == BACKUP_END));
}

/* The bytes stand at the start of a block, or with `at_end` at its end. */
static void check_block(const uint8_t *data, size_t n, bool at_end)
{
	struct backup_order order = { 0 };
	size_t start = at_end ? BACKUP_BLOCK - n : 0, at = start, put = start;
	struct backup_entry e;
	int r;

	memcpy(block + start, data, n);
	while ((r = backup_next(block, &at, &e)) == 1) {
		FUZZ_HOLDS(at <= BACKUP_BLOCK);
		FUZZ_HOLDS(is_within(e.host) && is_within(e.owner) && is_within(e.record));
		FUZZ_HOLDS(e.host.n <= BACKUP_HOST_MAX && e.owner.n <= BACKUP_OWNER_MAX);
		check_order(&order, &e);
		FUZZ_HOLDS(backup_put(again, &put, &e) && put == at);
	}
	FUZZ_HOLDS(r == 0 || r == -EBADMSG);
	FUZZ_HOLDS(memcmp(again + start, block + start, at - start) == 0);
	memset(block + start, 0, n);
	memset(again + start, 0, at - start);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t choice = fuzz_byte(&data, &n);

	if (n > BACKUP_BLOCK)
		return 0;
	if (choice & 1)
		check_heads(data, n);
	else
		check_block(data, n, choice & 2);
	return 0;
}
