/*
 * tests/unit/map-maker.c - writes by protocol/map.h's functions, as an agent does, and is otherwise
 * as plain as can be.
 */
#include "tests/unit/map-maker.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

static void must(bool held, const char *what)
{
	if (held)
		return;
	perror(what);
	abort();
}

void map_sample_make(uint64_t id, struct map_sample *ret)
{
	uint8_t random[TOKEN_RANDOM_LEN];

	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)(id * 31 + i * 17 + (id >> 8) * 7 + (id >> 32));
	memset(ret, 0, sizeof(*ret));
	token_make(id, random, ret->value);
	ret->entry.id = id;
	ret->entry.expires_us = UINT64_C(4102444800000000);
	crypto_hash_sha256((uint8_t *)ret->entry.hash,
			   (const uint8_t *)ret->value + TOKEN_SECRET_AT, TOKEN_SECRET_LEN);
}

void map_maker_beat(struct map_maker *m)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	atomic_store_explicit(&m->head->beat_us,
			      (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000,
			      memory_order_release);
}

void map_maker_init(struct map_maker *m, uint64_t n_slots, uint64_t text_bytes)
{
	memset(m, 0, sizeof(*m));
	m->bytes = map_bytes(n_slots, text_bytes);
	m->fd = memfd_create("test-map", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	must(m->fd >= 0, "memfd_create");
	must(ftruncate(m->fd, (off_t)m->bytes) == 0, "ftruncate");
	must(fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0,
	     "F_ADD_SEALS");
	m->head = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
	must(m->head != MAP_FAILED, "mmap");
	m->slots = map_slots(m->head);
	m->text = (char *)(m->slots + n_slots);
	memcpy(m->head->magic, MAP_MAGIC, sizeof(m->head->magic));
	m->head->format = MAP_FORMAT;
	m->head->head_bytes = MAP_HEAD_BYTES;
	m->head->n_slots = n_slots;
	m->head->text_at = map_bytes(n_slots, 0);
	m->head->text_bytes = text_bytes;
	must(map_owner_init(&m->owner, m->fd) == 0 && map_owner_take(&m->owner) == 0, "an owner");
	map_maker_beat(m);
	atomic_store_explicit(&m->head->state, MAP_GOOD, memory_order_release);
}

void map_maker_done(struct map_maker *m)
{
	map_owner_done(&m->owner);
	munmap(m->head, m->bytes);
	close(m->fd);
}

uint64_t map_maker_text(struct map_maker *m, const char *text, size_t n)
{
	uint64_t at = m->text_used;

	must(n <= m->head->text_bytes - at, "room for text");
	memcpy(m->text + at, text, n);
	m->text_used += n;
	return at;
}

/* The first slot on the way of this id that is its own or empty; or with `dead`, that is dead. */
static struct map_slot *look(struct map_maker *m, uint64_t id, bool dead)
{
	uint64_t at = map_slot_of(id, m->head->n_slots);

	for (int i = 0; i < MAP_PROBES_MAX; i++, at = (at + 1) & (m->head->n_slots - 1)) {
		if (m->slots[at].id == id || m->slots[at].id == 0 ||
		    (dead && m->slots[at].access_bytes == 0))
			return &m->slots[at];
	}
	return NULL;
}

struct map_slot *map_maker_find(struct map_maker *m, uint64_t id)
{
	struct map_slot *slot = look(m, id, false);

	return slot && slot->id == id ? slot : NULL;
}

struct map_slot *map_maker_add(struct map_maker *m, const struct map_entry *entry)
{
	struct map_slot *slot = map_maker_find(m, entry->id);

	if (!slot)
		slot = look(m, entry->id, true);
	if (slot)
		map_slot_write(slot, entry);
	return slot;
}
