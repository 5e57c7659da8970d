/*
 * agent/map.c - see map.h; docs/map-format.md has what readers rely on.
 *
 * The memory is taken by fallocate() beforehand, bit by bit, so that no store into the map can fail
 * (a full tmpfs is SIGBUS) and none takes long; and it is let go of bit by bit, for the same reason.
 * It is sealed against a change of its size, and, since what is mapped here is all that is ever
 * written to, against any other mapping that is.
 *
 * A token keeps its slot for as long as another does not need it, and a slot that was used is never
 * empty again: so a search ends at the first empty slot. Accesses are kept once each, however many
 * tokens have them; what nobody has any more stays where it is, for the next that has it.
 *
 * Invariants: text[] has each access at most once; n of an access counts the slots that point to it.
 */
#include "agent/map.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "agent/closer.h"
#include "agent/map-owner.h"
#include "agent/map-pages.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL, ACCESSES_FIRST = 64 };

/* An access in the text. */
struct kept {
	uint64_t at;
	uint32_t bytes;
	uint32_t n; /* slots that have it */
};

struct map {
	int fd; /* while it is made, to write; then to open it anew from */
	uint64_t bytes, filled, unmapped;
	struct map_owner owner;
	struct map_head *head;
	struct map_slot *slots;
	char *text;
	uint64_t text_used, text_living;
	uint64_t n_used, n_living;
	struct kept *kept; /* by hash, with linear probing; bytes 0: free */
	size_t n_kept, kept_room; /* a power of two */
	uint8_t key[crypto_shorthash_KEYBYTES]; /* scopes are chosen by users */
};

/* ---- the memory ------------------------------------------------------------------------------ */

static int make_memfd(uint64_t bytes)
{
	_cleanup_close_ int fd =
		memfd_create("jeton-map", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

	/* Before Linux 6.3 there is no such flag. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("jeton-map", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || fchmod(fd, 0400) < 0 || ftruncate(fd, (off_t)bytes) < 0)
		return -errno;
	return steal_fd(&fd);
}

int map_new(uint64_t n_slots, uint64_t text_bytes, struct map **ret)
{
	struct map *m = calloc(1, sizeof(*m));
	void *p = MAP_FAILED;

	if (!m)
		return -ENOMEM;
	m->bytes = map_bytes(n_slots, text_bytes);
	m->fd = make_memfd(m->bytes);
	if (m->fd >= 0)
		p = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	m->kept = calloc(ACCESSES_FIRST, sizeof(*m->kept));
	if (p == MAP_FAILED || !m->kept || map_owner_init(&m->owner, m->fd) < 0) {
		int r = m->fd < 0 ? m->fd : -ENOMEM;

		if (p != MAP_FAILED)
			munmap(p, m->bytes);
		free(m->kept);
		if (m->fd >= 0)
			close(m->fd);
		free(m);
		return r;
	}
	(void)madvise(p, m->bytes, MADV_DONTDUMP);
	m->head = p;
	m->slots = map_slots(m->head);
	m->text = (char *)(m->slots + n_slots);
	m->kept_room = ACCESSES_FIRST;
	randombytes_buf(m->key, sizeof(m->key));
	*ret = m;
	return 0;
}

/* The head, and the lock that tells readers whether this thread lives. */
static int begin(struct map *m)
{
	struct map_head *h = m->head;
	int r;

	memcpy(h->magic, MAP_MAGIC, sizeof(h->magic));
	h->format = MAP_FORMAT;
	h->head_bytes = MAP_HEAD_BYTES;
	h->n_slots = (uint64_t)(m->text - (char *)m->slots) / MAP_SLOT_BYTES;
	h->text_at = (uint64_t)(m->text - (char *)h);
	h->text_bytes = m->bytes - h->text_at;
	r = map_owner_take(&m->owner);
	if (r == 0)
		map_set_state(m, MAP_ASK);
	return r;
}

/* From here on the mappings that are there are the only way to write to it. */
static int seal(struct map *m)
{
	char path[64];
	int fd;

	if (fcntl(m->fd, F_ADD_SEALS, SEALS | F_SEAL_FUTURE_WRITE) < 0 &&
	    fcntl(m->fd, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", m->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	close(m->fd);
	m->fd = fd;
	return 0;
}

int map_fill(struct map *m, uint64_t bytes)
{
	uint64_t left = m->bytes - m->filled, n = bytes < left ? bytes : left;
	int r;

	if (left == 0)
		return 1;
	if (fallocate(m->fd, 0, (off_t)m->filled, (off_t)n) < 0)
		return errno == EINTR ? 0 : -errno;
	if (n < left) {
		m->filled += n;
		return 0;
	}
	r = seal(m);
	if (r == 0)
		r = begin(m);
	if (r < 0)
		return r;
	m->filled = m->bytes;
	map_pages_join_soon(m->fd, m->head->text_at);
	return 1;
}

bool map_is_whole(const struct map *m)
{
	return m->filled == m->bytes;
}

uint64_t map_size(const struct map *m)
{
	return m->bytes;
}

int map_open(const struct map *m)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", m->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

void map_set_state(struct map *m, enum map_state state)
{
	atomic_store_explicit(&m->head->state, state, memory_order_seq_cst);
}

void map_beat(struct map *m, uint64_t monotonic_us)
{
	atomic_store_explicit(&m->head->beat_us, monotonic_us, memory_order_release);
}

void map_retire(struct map *m)
{
	if (map_is_whole(m))
		map_set_state(m, MAP_RETIRED);
	map_owner_done(&m->owner);
}

bool map_free_some(struct map *m, uint64_t bytes)
{
	uint64_t left = m->bytes - m->unmapped, n = bytes < left ? bytes : left;

	munmap((char *)m->head + m->unmapped, n);
	m->unmapped += n;
	if (n < left)
		return false;
	/* Where no reader has it any more, all its memory goes with that. */
	closer_close(&m->fd, 1);
	free(m->kept);
	free(m);
	return true;
}

void map_free(struct map *m)
{
	if (!m)
		return;
	map_retire(m);
	while (!map_free_some(m, m->bytes))
		;
}

/* ---- accesses -------------------------------------------------------------------------------- */

static size_t place_of(const struct map *m, struct span text)
{
	uint8_t hash[crypto_shorthash_BYTES];
	uint64_t number;

	crypto_shorthash(hash, (const uint8_t *)text.p, text.n, m->key);
	memcpy(&number, hash, sizeof(number));
	return number & (m->kept_room - 1);
}

/* Where this access is, or the free place where it would be. */
static struct kept *find_access(const struct map *m, struct span text)
{
	size_t i = place_of(m, text);

	while (m->kept[i].bytes &&
	       (m->kept[i].bytes != text.n || memcmp(m->text + m->kept[i].at, text.p, text.n) != 0))
		i = (i + 1) & (m->kept_room - 1);
	return &m->kept[i];
}

static bool make_room(struct map *m)
{
	struct kept *old = m->kept;
	size_t old_room = m->kept_room;

	if (m->n_kept < m->kept_room / 2)
		return true;
	m->kept = calloc(2 * old_room, sizeof(*m->kept));
	if (!m->kept) {
		m->kept = old;
		return false;
	}
	m->kept_room = 2 * old_room;
	for (size_t i = 0; i < old_room; i++)
		if (old[i].bytes)
			*find_access(m, (struct span){ m->text + old[i].at, old[i].bytes }) = old[i];
	free(old);
	return true;
}

/* The access, written to the text where it is not there; NULL: there is no room. */
static struct kept *keep_access(struct map *m, struct span text)
{
	struct kept *k = find_access(m, text);

	if (k->bytes)
		return k;
	if (text.n == 0 || text.n > m->head->text_bytes - m->text_used || !make_room(m))
		return NULL;
	k = find_access(m, text);
	memcpy(m->text + m->text_used, text.p, text.n);
	*k = (struct kept){ .at = m->text_used, .bytes = (uint32_t)text.n };
	m->text_used += text.n;
	m->n_kept++;
	return k;
}

static void take_access(struct map *m, struct kept *k)
{
	if (k->n++ == 0)
		m->text_living += k->bytes;
}

/* The slot has it no more. */
static void drop_access(struct map *m, const struct map_slot *slot)
{
	struct kept *k =
		find_access(m, (struct span){ m->text + slot->access_at, slot->access_bytes });

	if (--k->n == 0)
		m->text_living -= k->bytes;
}

/* ---- slots ----------------------------------------------------------------------------------- */

/*
 * The token's own slot, or NULL; then *ret_free (may be NULL) is the first that it could have, or
 * NULL.
 */
static struct map_slot *find_slot(const struct map *m, uint64_t id, struct map_slot **ret_free)
{
	uint64_t n_slots = m->head->n_slots, at = map_slot_of(id, n_slots);
	struct map_slot *free_slot = NULL, *slot = NULL;

	for (int i = 0; i < MAP_PROBES_MAX; i++, at = (at + 1) & (n_slots - 1)) {
		slot = &m->slots[at];
		if (slot->id == id)
			return slot;
		if (!free_slot && slot->access_bytes == 0)
			free_slot = slot;
		if (slot->id == 0)
			break;
	}
	if (ret_free)
		*ret_free = free_slot;
	return NULL;
}

static bool says(const struct map_slot *slot, const struct map_entry *entry)
{
	return slot->access_bytes == entry->access_bytes && slot->access_at == entry->access_at &&
	       slot->expires_us == entry->expires_us &&
	       memcmp((const void *)slot->hash, entry->hash, sizeof(entry->hash)) == 0;
}

static void kill_slot(struct map *m, struct map_slot *slot)
{
	drop_access(m, slot);
	map_slot_kill(slot);
	m->n_living--;
}

static void write_slot(struct map *m, struct map_slot *slot, const struct map_entry *entry)
{
	if (slot->access_bytes)
		kill_slot(m, slot);
	m->n_used += slot->id == 0;
	m->n_living++;
	map_slot_write(slot, entry);
}

bool map_enter(struct map *m, const struct map_token *token)
{
	struct map_slot *free_slot = NULL, *slot = find_slot(m, token->id, &free_slot);
	struct kept *k = slot || free_slot ? keep_access(m, token->access) : NULL;
	struct map_entry entry = { .id = token->id, .expires_us = token->expires_us };

	if (!k) {
		map_leave(m, token->id);
		return false;
	}
	memcpy(entry.hash, token->hash, sizeof(entry.hash));
	entry.access_at = k->at;
	entry.access_bytes = k->bytes;
	if (slot && says(slot, &entry))
		return true;
	/* Before the slot lets go of its own, which may be the same. */
	take_access(m, k);
	write_slot(m, slot ? slot : free_slot, &entry);
	return true;
}

void map_leave(struct map *m, uint64_t id)
{
	struct map_slot *slot = find_slot(m, id, NULL);

	if (slot && slot->access_bytes)
		kill_slot(m, slot);
}

bool map_has(const struct map *m, uint64_t id)
{
	const struct map_slot *slot = find_slot(m, id, NULL);

	return slot && slot->access_bytes;
}

uint64_t map_n_tokens(const struct map *m)
{
	return m->n_living;
}

uint64_t map_n_text(const struct map *m)
{
	return m->text_living;
}

bool map_is_crowded(const struct map *m)
{
	return m->n_used > m->head->n_slots / 10 * 7 ||
	       m->text_used > m->head->text_bytes - MAP_ACCESS_MAX;
}
