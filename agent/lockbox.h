/*
 * agent/lockbox.h - a key pair whose secret half only a passphrase opens. What is sealed to its
 * public half, which anyone can do, is opened by whoever has the passphrase.
 *
 * Pure but for random bytes: no disk, no clock, no thread. docs/store-format.md has every byte.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/span.h"

enum {
	LOCKBOX_KEY_LEN = 32, /* either half */
	LOCKBOX_SALT_LEN = 16,
	LOCKBOX_SECRET_LEN = 24 + 32 + 16, /* the secret half, sealed: nonce, key, tag */
	LOCKBOX_OVERHEAD = 32 + 16,	   /* what sealing to the public half adds */
	LOCKBOX_LEN = 172,		   /* as bytes */
	PASSPHRASE_MAX = 1024,
};

/* What a guess costs: Argon2id with one lane. */
struct lockbox_cost {
	uint64_t memory; /* bytes */
	uint32_t passes;
};

/* What new ones are made with: half a second, and 64 MiB that a guesser needs for each at once. */
extern const struct lockbox_cost lockbox_cost;

/* Nothing in it is secret, but that it lets guesses be tried. */
struct lockbox {
	struct lockbox_cost cost;
	uint8_t salt[LOCKBOX_SALT_LEN];
	uint8_t public_key[LOCKBOX_KEY_LEN];
	uint8_t secret[LOCKBOX_SECRET_LEN];
	uint64_t at_us; /* when it was made */
	uid_t by;	/* who asked for it */
};

/*
 * Room for keys while one is made or opened, for the caller to have in locked memory and to wipe.
 * Argon2's own working memory (of lockbox_cost) comes beside it, in ordinary memory, and is unmapped
 * before these return: it holds nothing that leads back to the passphrase but by guessing.
 */
struct lockbox_room {
	uint8_t derived[LOCKBOX_KEY_LEN];
	uint8_t secret[LOCKBOX_KEY_LEN];
};

/*
 * Makes a fresh pair, whose secret half the passphrase (1 to PASSPHRASE_MAX bytes) opens; the room
 * is wiped. Takes as long as the cost says. 0 or -ENOMEM.
 */
int lockbox_make(struct span passphrase, const struct lockbox_cost *cost, uint64_t at_us, uid_t by,
		 struct lockbox_room *room, struct lockbox *ret) MUST_USE;

/*
 * Opens the secret half: it is in room->secret. Takes as long as the cost says.
 * 0; -EKEYREJECTED: it is another passphrase; -ENOMEM.
 */
int lockbox_open(const struct lockbox *box, struct span passphrase, struct lockbox_room *room)
	MUST_USE;

/* Seals n bytes to the public half. dst: n + LOCKBOX_OVERHEAD bytes. */
void lockbox_seal(const struct lockbox *box, const uint8_t *p, size_t n, uint8_t *dst);

/*
 * Opens what was sealed so, n bytes with their overhead, by the secret half that lockbox_open() has
 * left in the room. 0 or -EBADMSG.
 */
int lockbox_unseal(const struct lockbox *box, const struct lockbox_room *room,
		   const uint8_t *sealed, size_t n, uint8_t *dst) MUST_USE;

void lockbox_write(const struct lockbox *box, uint8_t dst[static LOCKBOX_LEN]);

/*
 * 0; -EMEDIUMTYPE: it is none; -EPROTONOSUPPORT: of a newer format; -EBADMSG: damaged, or at a cost
 * that no lockbox has.
 */
int lockbox_read(const uint8_t *data, size_t n, struct lockbox *ret) MUST_USE;
