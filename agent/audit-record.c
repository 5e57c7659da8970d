/*
 * agent/audit-record.c - see audit-record.h. Operations and results are kept as the words they are:
 * a later version reads what an earlier one wrote, whatever it calls them itself.
 */
#include "agent/audit-record.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { FORMAT = 1 };

_Static_assert(AUDIT_UNIT_MAX <= UINT8_MAX, "lengths are bytes");

static bool may_stand(char c)
{
	return c > 0x20 && c < 0x7f;
}

void audit_text(char *dst, size_t size, struct span text)
{
	size_t n = text.n < size ? text.n : size - 1;

	for (size_t i = 0; i < n; i++)
		dst[i] = may_stand(text.p[i]) ? text.p[i] : '?';
	dst[n] = '\0';
}

bool audit_is_ok(const struct audit_entry *entry)
{
	return strcmp(entry->result, "ok") == 0;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static void put_number(uint8_t *dst, uint64_t v, unsigned n_bytes)
{
	for (unsigned i = 0; i < n_bytes; i++)
		dst[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_number(const uint8_t *p, unsigned n_bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < n_bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

/* The texts of an entry in the order of their bytes, and where each length stands. */
enum { N_TEXTS = 4, LENGTHS_AT = 1 };

static const struct {
	size_t at;
	size_t max;
	bool is_needed;
} texts[N_TEXTS] = {
	{ offsetof(struct audit_entry, operation), AUDIT_OPERATION_MAX, true },
	{ offsetof(struct audit_entry, result), AUDIT_RESULT_MAX, true },
	{ offsetof(struct audit_entry, credential), CREDENTIAL_NAME_MAX, false },
	{ offsetof(struct audit_entry, unit), AUDIT_UNIT_MAX, false },
};

size_t audit_record_write(const struct audit_entry *entry,
			  const uint8_t previous[static AUDIT_HASH_LEN],
			  uint8_t dst[static AUDIT_RECORD_MAX])
{
	uint8_t *p = dst + AUDIT_HEAD_LEN;

	memset(dst, 0, AUDIT_HEAD_LEN);
	dst[0] = FORMAT;
	put_number(dst + 8, entry->seq, 8);
	put_number(dst + 16, entry->at_us, 8);
	put_number(dst + 24, entry->token, 8);
	put_number(dst + 32, entry->peer_uid, 4);
	put_number(dst + 36, (uint32_t)entry->peer_pid, 4);
	put_number(dst + 40, entry->owner_uid, 4);
	put_number(dst + 44, entry->count, 4);
	memcpy(dst + 48, previous, AUDIT_HASH_LEN);
	for (size_t i = 0; i < N_TEXTS; i++) {
		const char *text = (const char *)entry + texts[i].at;
		size_t n = strlen(text);

		dst[LENGTHS_AT + i] = (uint8_t)n;
		memcpy(p, text, n);
		p += n;
	}
	return (size_t)(p - dst);
}

/* One text of n bytes to its place in the entry. */
static bool read_text(size_t i, const uint8_t *p, size_t n, struct audit_entry *entry)
{
	char *to = (char *)entry + texts[i].at;

	if (n > texts[i].max || (texts[i].is_needed && n == 0))
		return false;
	for (size_t at = 0; at < n; at++)
		if (!may_stand((char)p[at]))
			return false;
	memcpy(to, p, n);
	to[n] = '\0';
	return true;
}

static bool is_in_range(const struct audit_entry *entry)
{
	return entry->seq > 0 && entry->seq <= INT64_MAX && entry->at_us <= INT64_MAX &&
	       entry->peer_pid >= 0 && entry->count > 0;
}

int audit_record_read(const uint8_t *data, size_t n, struct audit_entry *ret,
		      uint8_t ret_previous[static AUDIT_HASH_LEN])
{
	struct audit_entry entry = { 0 };
	size_t at = AUDIT_HEAD_LEN;

	if (n < AUDIT_HEAD_LEN || data[0] != FORMAT || data[5] || data[6] || data[7])
		return -EBADMSG;
	entry.seq = get_number(data + 8, 8);
	entry.at_us = get_number(data + 16, 8);
	entry.token = get_number(data + 24, 8);
	entry.peer_uid = (uid_t)get_number(data + 32, 4);
	entry.peer_pid = (pid_t)get_number(data + 36, 4);
	entry.owner_uid = (uid_t)get_number(data + 40, 4);
	entry.count = (uint32_t)get_number(data + 44, 4);
	for (size_t i = 0; i < N_TEXTS; i++) {
		size_t n_text = data[LENGTHS_AT + i];

		if (n_text > n - at || !read_text(i, data + at, n_text, &entry))
			return -EBADMSG;
		at += n_text;
	}
	if (at != n || !is_in_range(&entry))
		return -EBADMSG;
	memcpy(ret_previous, data + 48, AUDIT_HASH_LEN);
	*ret = entry;
	return 0;
}

uint64_t audit_record_at_us(const uint8_t *data, size_t n)
{
	return n >= AUDIT_HEAD_LEN && data[0] == FORMAT ? get_number(data + 16, 8) : 0;
}
