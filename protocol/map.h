/*
 * protocol/map.h - the verifier's map as it lies in memory: one writer, an agent's loop, and any
 * number of readers that have it read-only. docs/map-format.md has the protocol, and why each order
 * of loads and stores is needed.
 *
 * A map is 64 KiB of head, then the slots, then the text. Its sizes are fixed when it is made; one
 * that gets full is retired, and another is made. It is only ever believed where it says yes: a
 * reader who finds anything else asks the agent.
 */
#pragma once

#include <assert.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"
#include "protocol/token-hash.h"

#define MAP_MAGIC "JETONMAP" /* less its NUL */

enum {
	MAP_FORMAT = 1,
	MAP_HEAD_BYTES = 64 * 1024, /* whole pages, however large these are */
	MAP_SLOT_BYTES = 64,
	MAP_SLOTS_MIN = 64,
	MAP_SLOTS_MAX = 1 << 27,
	/* A token stands no further than so many slots from where its search begins, or not at all. */
	MAP_PROBES_MAX = 256,
	/* 32 scopes of 128 bytes, each with a NUL. */
	MAP_ACCESS_MAX = 32 * 129,
	MAP_BEAT_US = 500 * 1000,	/* how often the writer beats */
	MAP_STALE_US = 2 * 1000 * 1000, /* a beat as old as that is no longer believed */
};

/* What a map is worth. Anything else is as MAP_RETIRED. */
enum map_state {
	MAP_GOOD = 1,	 /* what is found is so */
	MAP_ASK = 2,	 /* not for now (locked, the clock astray, …): ask the agent */
	MAP_RETIRED = 3, /* for ever: get another */
};

struct map_head {
	char magic[8];
	uint32_t format;
	uint32_t head_bytes; /* MAP_HEAD_BYTES; the slots begin there */
	uint64_t n_slots;    /* a power of two, MAP_SLOTS_MIN to MAP_SLOTS_MAX */
	uint64_t text_at;    /* the first byte behind the slots */
	uint64_t text_bytes; /* up to the end of the map */
	uint64_t reserved[3];
	char unused[MAP_HEAD_BYTES - 128];

	/* What changes while readers look: the last cache line of the head. */
	_Atomic uint32_t state; /* enum map_state */
	uint32_t reserved_2;
	_Atomic uint64_t beat_us; /* CLOCK_MONOTONIC of the writer's last beat */
	uint64_t reserved_3[3];
	/*
	 * The futex of a robust mutex that the writer's thread has for as long as the map is not
	 * retired: the thread's id while that lives; when it dies, however it does, the kernel sets
	 * FUTEX_OWNER_DIED and clears the id, before it closes a file of the process. It stands so
	 * that the links of the mutex, which are addresses, begin where the head ends: the writer has
	 * memory of its own there (agent/map-owner.h).
	 */
	_Atomic uint32_t owner;
	char of_mutex[20];
};

/* One token. Fields change only while seq is odd; each is one atomic word, so that no copy is undefined. */
struct map_slot {
	_Atomic uint32_t seq;	       /* odd: being written; else it grows by 2 with each change */
	_Atomic uint32_t access_bytes; /* of the text; 0: nobody lives here (any more) */
	_Atomic uint64_t id;	       /* 0: nobody ever did; where a search ends */
	_Atomic uint64_t expires_us;   /* since the epoch */
	_Atomic uint64_t hash[TOKEN_HASH_WORDS]; /* token_hash_secret() */
	_Atomic uint64_t access_at; /* from the start of the text: scopes, each ended by a NUL */
};

static_assert(sizeof(struct map_slot) == MAP_SLOT_BYTES, "a slot is a cache line");
static_assert(offsetof(struct map_slot, access_bytes) == 4 && offsetof(struct map_slot, id) == 8 &&
		      offsetof(struct map_slot, expires_us) == 16 &&
		      offsetof(struct map_slot, hash) == 24 &&
		      offsetof(struct map_slot, access_at) == 56,
	      "no reader has it otherwise");
static_assert(sizeof(struct map_head) == MAP_HEAD_BYTES &&
		      offsetof(struct map_head, n_slots) == 16 &&
		      offsetof(struct map_head, text_at) == 24 &&
		      offsetof(struct map_head, state) == MAP_HEAD_BYTES - 64 &&
		      offsetof(struct map_head, beat_us) == MAP_HEAD_BYTES - 56 &&
		      offsetof(struct map_head, owner) == MAP_HEAD_BYTES - 24,
	      "no reader has it otherwise");
static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2,
	      "a lock would have to lie in the map");

/* Where the search for an id begins; n_slots as in the head. It goes on slot by slot, round the end. */
static inline uint64_t map_slot_of(uint64_t id, uint64_t n_slots)
{
	return id * UINT64_C(0x9E3779B97F4A7C15) >> (64 - __builtin_ctzll(n_slots));
}

/* The size of a map of so many slots and so much text, which is given as a multiple of 64. */
static inline uint64_t map_bytes(uint64_t n_slots, uint64_t text_bytes)
{
	return MAP_HEAD_BYTES + n_slots * MAP_SLOT_BYTES + text_bytes;
}

static inline struct map_slot *map_slots(struct map_head *head)
{
	return (struct map_slot *)((char *)head + MAP_HEAD_BYTES);
}

/* ---- writing: for the one thread that does ---- */

/* What a slot is to say. */
struct map_entry {
	uint64_t id;
	uint64_t expires_us;
	uint64_t hash[TOKEN_HASH_WORDS];
	uint64_t access_at;
	uint32_t access_bytes;
};

/*
 * Opens a slot for changes, and closes it. What is changed between is changed by map_put(), whose
 * release keeps it behind the odd number that a reader then sees.
 */
static inline void map_slot_open(struct map_slot *slot)
{
	uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);

	atomic_store_explicit(&slot->seq, seq + 1, memory_order_relaxed);
}

static inline void map_slot_close(struct map_slot *slot)
{
	uint32_t seq = atomic_load_explicit(&slot->seq, memory_order_relaxed);

	atomic_store_explicit(&slot->seq, seq + 1, memory_order_release);
}

#define map_put(field, value) atomic_store_explicit(field, value, memory_order_release)

/* Nobody lives in this slot any more; its id stays, so that searches go on past it. */
static inline void map_slot_kill(struct map_slot *slot)
{
	map_slot_open(slot);
	map_put(&slot->access_bytes, 0);
	map_slot_close(slot);
}

/* A slot that is empty, dead, or this token's own says this now. The text must be there before. */
static inline void map_slot_write(struct map_slot *slot, const struct map_entry *entry)
{
	map_slot_open(slot);
	map_put(&slot->id, entry->id);
	map_put(&slot->expires_us, entry->expires_us);
	for (int i = 0; i < TOKEN_HASH_WORDS; i++)
		map_put(&slot->hash[i], entry->hash[i]);
	map_put(&slot->access_at, entry->access_at);
	map_put(&slot->access_bytes, entry->access_bytes);
	map_slot_close(slot);
}
