/*
 * ctl/backup-copy.c - see backup-copy.h. What is written is what was proved: a block goes out only
 * after it has opened. Opened blocks are in locked memory alone.
 */
#include "ctl/backup-copy.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "ctl/secret.h"
#include "protocol/base/fd.h"

/* In locked memory. */
struct opened {
	crypto_secretstream_xchacha20poly1305_state stream;
	uint8_t block[BACKUP_BLOCK];
};

struct copy {
	int from, to;
	void (*on_entry)(void *userdata, const struct backup_entry *entry);
	void *userdata;
	struct opened *opened;
	uint8_t *sealed;
	struct backup_order order;
	struct copied *copied;
};

_Static_assert(BACKUP_KEY_LEN == crypto_secretstream_xchacha20poly1305_KEYBYTES, "key");
_Static_assert(BACKUP_START_LEN == crypto_secretstream_xchacha20poly1305_HEADERBYTES, "header");
_Static_assert(BACKUP_SEALED == BACKUP_BLOCK + crypto_secretstream_xchacha20poly1305_ABYTES,
	       "a sealed block");

static enum copy_end failed(struct copy *c, enum copy_end how, int r)
{
	c->copied->error = -r;
	return how;
}

static void note_head(struct copied *copied, const struct backup_entry *e)
{
	copied->taken_us = e->taken_us;
	memcpy(copied->host, e->host.p, e->host.n);
	copied->host[e->host.n] = '\0';
}

static bool take_entries(struct copy *c)
{
	struct backup_entry entry;
	size_t at = 0;
	int r;

	while ((r = backup_next(c->opened->block, &at, &entry)) > 0) {
		if (backup_order_add(&c->order, &entry) < 0)
			return false;
		if (entry.kind == BACKUP_HEAD)
			note_head(c->copied, &entry);
		if (c->on_entry)
			c->on_entry(c->userdata, &entry);
	}
	c->copied->counts = c->order.seen;
	return r == 0;
}

/* Whether this is the end of the stream, and the stream is whole. */
static enum copy_end end_of(struct copy *c)
{
	char more;
	ssize_t n = fd_read_all(c->from, &more, 1);

	if (n < 0)
		return failed(c, COPY_NOT_READ, (int)n);
	if (n > 0)
		return COPY_LONGER;
	return backup_order_is_whole(&c->order) ? COPY_WHOLE : COPY_ALTERED;
}

/* One block. *ret_last: it was the last. COPY_WHOLE: so far. */
static enum copy_end copy_block(struct copy *c, bool *ret_last)
{
	ssize_t n = fd_read_all(c->from, c->sealed, BACKUP_SEALED);
	uint8_t tag;
	int r;

	if (n < 0)
		return failed(c, COPY_NOT_READ, (int)n);
	if (n < BACKUP_SEALED)
		return COPY_CUT;
	if (crypto_secretstream_xchacha20poly1305_pull(&c->opened->stream, c->opened->block, NULL,
						       &tag, c->sealed, BACKUP_SEALED, NULL,
						       0) < 0 ||
	    !take_entries(c))
		return COPY_ALTERED;
	r = c->to < 0 ? 0 : fd_write_all(c->to, c->sealed, BACKUP_SEALED);
	if (r < 0)
		return failed(c, COPY_NOT_WRITTEN, r);
	c->copied->n_bytes += BACKUP_SEALED;
	*ret_last = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
	return COPY_WHOLE;
}

static enum copy_end copy_all(struct copy *c)
{
	enum copy_end how = COPY_WHOLE;
	bool last = false;

	while (how == COPY_WHOLE && !last)
		how = copy_block(c, &last);
	return how == COPY_WHOLE ? end_of(c) : how;
}

enum copy_end backup_copy(const uint8_t key[static BACKUP_KEY_LEN],
			  const uint8_t start[static BACKUP_START_LEN], int from, int to,
			  void (*on_entry)(void *userdata, const struct backup_entry *entry),
			  void *userdata, struct copied *ret)
{
	_cleanup_(secret_done) struct secret opened = { NULL, 0, 0 };
	_cleanup_free_ uint8_t *sealed = malloc(BACKUP_SEALED);
	struct copy c = {
		.from = from,
		.to = to,
		.on_entry = on_entry,
		.userdata = userdata,
		.sealed = sealed,
		.copied = ret,
	};

	*ret = (struct copied){ 0 };
	if (!sealed || secret_init(&opened, sizeof(struct opened)) < 0)
		return COPY_NO_MEMORY;
	c.opened = (struct opened *)(void *)opened.p;
	if (crypto_secretstream_xchacha20poly1305_init_pull(&c.opened->stream, start, key) < 0)
		return COPY_ALTERED;
	return copy_all(&c);
}
