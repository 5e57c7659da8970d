/*
 * protocol/backup.c - see backup.h. Blocks are all of one size, so that a file tells how much there
 * is in all and nothing of any one record; an entry never goes over the end of its block, so that
 * each can be read by itself. Given facts are written in one way only, and no other is read.
 */
#include "protocol/backup.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	NAME_LEN = 15,	/* of what it is; a byte of format follows */
	ENTRY_HEAD = 3, /* a byte of kind, two of length */
	ENTRY_MAX = BACKUP_BLOCK - ENTRY_HEAD,
};

static const char stream_name[NAME_LEN + 1] = "jeton stream";
static const char file_name[NAME_LEN + 1] = "jeton backup";
static const char restore_name[NAME_LEN + 1] = "jeton restore";
static const char result_name[NAME_LEN + 1] = "jeton restored";

_Static_assert(ENTRY_MAX <= UINT16_MAX, "two bytes have the length of an entry");

static uint8_t *put_number(uint8_t *p, uint64_t value, unsigned n_bytes)
{
	for (unsigned i = 0; i < n_bytes; i++)
		p[i] = (uint8_t)(value >> 8 * i);
	return p + n_bytes;
}

static uint64_t get_number(const uint8_t *p, unsigned n_bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < n_bytes; i++)
		value |= (uint64_t)p[i] << 8 * i;
	return value;
}

static uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t n)
{
	if (n > 0)
		memcpy(p, bytes, n);
	return p + n;
}

static const uint8_t *get_bytes(const uint8_t *p, void *dst, size_t n)
{
	memcpy(dst, p, n);
	return p + n;
}

/* ---- heads ----------------------------------------------------------------------------------- */

static uint8_t *put_name(uint8_t *p, const char name[static NAME_LEN])
{
	p = put_bytes(p, name, NAME_LEN);
	*p++ = BACKUP_FORMAT;
	return p;
}

static enum backup_fault judge_name(const uint8_t *p, const char name[static NAME_LEN])
{
	if (memcmp(p, name, NAME_LEN) != 0)
		return BACKUP_IS_NONE;
	if (p[NAME_LEN] < BACKUP_FORMAT)
		return BACKUP_IS_OLDER;
	return p[NAME_LEN] > BACKUP_FORMAT ? BACKUP_IS_NEWER : BACKUP_GOOD;
}

void backup_stream_head_write(const struct backup_stream_head *head, uint8_t *dst)
{
	dst = put_name(dst, stream_name);
	dst = put_bytes(dst, head->key, sizeof(head->key));
	put_bytes(dst, head->start, sizeof(head->start));
}

enum backup_fault backup_stream_head_read(const uint8_t *data, struct backup_stream_head *ret)
{
	enum backup_fault fault = judge_name(data, stream_name);

	if (fault != BACKUP_GOOD)
		return fault;
	data = get_bytes(data + NAME_LEN + 1, ret->key, sizeof(ret->key));
	get_bytes(data, ret->start, sizeof(ret->start));
	return BACKUP_GOOD;
}

void backup_file_head_write(const struct backup_file_head *head, uint8_t *dst)
{
	dst = put_name(dst, file_name);
	dst = put_number(dst, head->passes, 4);
	dst = put_number(dst, head->memory_kib, 4);
	dst = put_bytes(dst, head->salt, sizeof(head->salt));
	dst = put_bytes(dst, head->nonce, sizeof(head->nonce));
	dst = put_bytes(dst, head->locked_key, sizeof(head->locked_key));
	put_bytes(dst, head->start, sizeof(head->start));
}

static bool is_affordable(const struct backup_file_head *head)
{
	return head->passes >= 1 && head->passes <= BACKUP_PASSES_MAX &&
	       head->memory_kib >= BACKUP_MEMORY_MIN_KIB &&
	       head->memory_kib <= BACKUP_MEMORY_MAX_KIB;
}

enum backup_fault backup_file_head_read(const uint8_t *data, struct backup_file_head *ret)
{
	enum backup_fault fault = judge_name(data, file_name);
	struct backup_file_head head;

	if (fault != BACKUP_GOOD)
		return fault;
	data += NAME_LEN + 1;
	head.passes = (uint32_t)get_number(data, 4);
	head.memory_kib = (uint32_t)get_number(data + 4, 4);
	data = get_bytes(data + 8, head.salt, sizeof(head.salt));
	data = get_bytes(data, head.nonce, sizeof(head.nonce));
	data = get_bytes(data, head.locked_key, sizeof(head.locked_key));
	get_bytes(data, head.start, sizeof(head.start));
	if (!is_affordable(&head))
		return BACKUP_IS_BAD;
	*ret = head;
	return BACKUP_GOOD;
}

void backup_restore_head_write(const struct backup_restore_head *head, uint8_t *dst)
{
	dst = put_name(dst, restore_name);
	dst = put_bytes(dst, head->boxed_key, sizeof(head->boxed_key));
	put_bytes(dst, head->start, sizeof(head->start));
}

enum backup_fault backup_restore_head_read(const uint8_t *data, struct backup_restore_head *ret)
{
	enum backup_fault fault = judge_name(data, restore_name);

	if (fault != BACKUP_GOOD)
		return fault;
	data = get_bytes(data + NAME_LEN + 1, ret->boxed_key, sizeof(ret->boxed_key));
	get_bytes(data, ret->start, sizeof(ret->start));
	return BACKUP_GOOD;
}

void backup_result_write(const struct backup_result *result, uint8_t *dst)
{
	dst = put_name(dst, result_name);
	dst = put_bytes(dst, result->start, sizeof(result->start));
	dst = put_number(dst, result->is_whole, 8);
	for (size_t i = 0; i < BACKUP_OUTCOMES; i++)
		dst = put_number(dst, result->n[i], 8);
}

enum backup_fault backup_result_read(const uint8_t *data, struct backup_result *ret)
{
	enum backup_fault fault = judge_name(data, result_name);

	if (fault != BACKUP_GOOD)
		return fault;
	data = get_bytes(data + NAME_LEN + 1, ret->start, sizeof(ret->start));
	ret->is_whole = get_number(data, 8) != 0;
	for (size_t i = 0; i < BACKUP_OUTCOMES; i++)
		ret->n[i] = get_number(data + 8 + 8 * i, 8);
	return BACKUP_GOOD;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static size_t length_of(const struct backup_entry *e)
{
	switch (e->kind) {
	case BACKUP_HEAD:
		return 8 + e->host.n;
	case BACKUP_ACTIVE:
	case BACKUP_ENDED:
		return 2 + e->owner.n + e->record.n;
	case BACKUP_CREDENTIAL:
		return e->record.n;
	case BACKUP_END:
		return 3 * 8;
	}
	return 0;
}

static void put_inside(uint8_t *p, const struct backup_entry *e)
{
	switch (e->kind) {
	case BACKUP_HEAD:
		p = put_number(p, e->taken_us, 8);
		put_bytes(p, e->host.p, e->host.n);
		return;
	case BACKUP_ACTIVE:
	case BACKUP_ENDED:
		p = put_number(p, e->owner.n, 2);
		p = put_bytes(p, e->owner.p, e->owner.n);
		put_bytes(p, e->record.p, e->record.n);
		return;
	case BACKUP_CREDENTIAL:
		put_bytes(p, e->record.p, e->record.n);
		return;
	case BACKUP_END:
		p = put_number(p, e->counts.active, 8);
		p = put_number(p, e->counts.ended, 8);
		put_number(p, e->counts.credentials, 8);
		return;
	}
}

bool backup_put(uint8_t *block, size_t *at, const struct backup_entry *entry)
{
	size_t n = length_of(entry);
	uint8_t *p = block + *at;

	assert(n > 0 && n <= ENTRY_MAX);
	assert(entry->host.n <= BACKUP_HOST_MAX && entry->owner.n <= BACKUP_OWNER_MAX);
	if (BACKUP_BLOCK - *at < ENTRY_HEAD + n)
		return false;
	*p++ = (uint8_t)entry->kind;
	p = put_number(p, n, 2);
	put_inside(p, entry);
	*at += ENTRY_HEAD + n;
	return true;
}

void backup_pad(uint8_t *block, size_t at)
{
	memset(block + at, 0, BACKUP_BLOCK - at);
}

static bool read_head(struct span inside, struct backup_entry *ret)
{
	if (inside.n < 8 || inside.n > 8 + BACKUP_HOST_MAX)
		return false;
	ret->taken_us = get_number((const uint8_t *)inside.p, 8);
	ret->host = (struct span){ inside.p + 8, inside.n - 8 };
	return true;
}

static bool read_token(struct span inside, struct backup_entry *ret)
{
	size_t n = inside.n < 2 ? SIZE_MAX : (size_t)get_number((const uint8_t *)inside.p, 2);

	if (n > BACKUP_OWNER_MAX || inside.n - 2 <= n)
		return false;
	ret->owner = (struct span){ inside.p + 2, n };
	ret->record = (struct span){ inside.p + 2 + n, inside.n - 2 - n };
	return true;
}

static bool read_end(struct span inside, struct backup_entry *ret)
{
	const uint8_t *p = (const uint8_t *)inside.p;

	if (inside.n != 3 * 8)
		return false;
	ret->counts.active = get_number(p, 8);
	ret->counts.ended = get_number(p + 8, 8);
	ret->counts.credentials = get_number(p + 16, 8);
	return true;
}

static bool read_inside(struct span inside, struct backup_entry *ret)
{
	switch (ret->kind) {
	case BACKUP_HEAD:
		return read_head(inside, ret);
	case BACKUP_ACTIVE:
	case BACKUP_ENDED:
		return read_token(inside, ret);
	case BACKUP_CREDENTIAL:
		ret->record = inside;
		return inside.n > 0;
	case BACKUP_END:
		return read_end(inside, ret);
	}
	return false;
}

static bool is_empty(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

int backup_next(const uint8_t *block, size_t *at, struct backup_entry *ret)
{
	const uint8_t *p = block + *at;
	size_t left = BACKUP_BLOCK - *at;
	struct backup_entry e = { 0 };
	struct span inside;

	if (left < ENTRY_HEAD || p[0] == 0)
		return is_empty(p, left) ? 0 : -EBADMSG;
	inside = (struct span){ (const char *)p + ENTRY_HEAD, (size_t)get_number(p + 1, 2) };
	if (inside.n > left - ENTRY_HEAD || p[0] > BACKUP_END)
		return -EBADMSG;
	e.kind = (enum backup_kind)p[0];
	if (!read_inside(inside, &e))
		return -EBADMSG;
	*at += ENTRY_HEAD + inside.n;
	*ret = e;
	return 1;
}

/* ---- the order of entries -------------------------------------------------------------------- */

static bool counts_are(const struct backup_counts *a, const struct backup_counts *b)
{
	return a->active == b->active && a->ended == b->ended && a->credentials == b->credentials;
}

static bool may_follow(const struct backup_order *o, const struct backup_entry *e)
{
	switch (e->kind) {
	case BACKUP_HEAD:
		return o->last == 0;
	case BACKUP_ACTIVE:
	case BACKUP_ENDED:
	case BACKUP_CREDENTIAL:
		return o->last >= BACKUP_HEAD && o->last <= e->kind;
	case BACKUP_END:
		return o->last >= BACKUP_HEAD && o->last < BACKUP_END &&
		       counts_are(&e->counts, &o->seen);
	}
	return false;
}

int backup_order_add(struct backup_order *o, const struct backup_entry *entry)
{
	if (!may_follow(o, entry))
		return -EBADMSG;
	o->last = entry->kind;
	o->seen.active += entry->kind == BACKUP_ACTIVE;
	o->seen.ended += entry->kind == BACKUP_ENDED;
	o->seen.credentials += entry->kind == BACKUP_CREDENTIAL;
	return 0;
}
