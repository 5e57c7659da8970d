/*
 * tests/unit/map-maker.h - a verifier's map of the tests' own making, with no agent. Its maker is
 * the one thread that made it.
 */
#pragma once

#include "agent/map-owner.h"
#include "protocol/map.h"
#include "protocol/token.h"

struct map_maker {
	int fd; /* the map's memfd, sealed as an agent's is */
	uint64_t bytes;
	struct map_owner owner;
	struct map_head *head;
	struct map_slot *slots;
	char *text;
	uint64_t text_used;
};

/* A token and what the map is to say of it. */
struct map_sample {
	char value[TOKEN_LEN + 1];
	struct map_entry entry; /* that ends in the year 2100, with no access yet */
};

/* The sample of this id, the same each time. */
void map_sample_make(uint64_t id, struct map_sample *ret);

/* An empty map, in force, its owner the calling thread, which beats once. Aborts where it can't. */
void map_maker_init(struct map_maker *m, uint64_t n_slots, uint64_t text_bytes);
void map_maker_done(struct map_maker *m);

void map_maker_beat(struct map_maker *m);

/* Adds to the text; gives where it stands. text: scopes, each with a NUL behind it. */
uint64_t map_maker_text(struct map_maker *m, const char *text, size_t n);

/* Writes an entry to the first slot that may have it; gives the slot, or NULL where none may. */
struct map_slot *map_maker_add(struct map_maker *m, const struct map_entry *entry);

/* The slot where this id stands, living or dead, or NULL. */
struct map_slot *map_maker_find(struct map_maker *m, uint64_t id);
