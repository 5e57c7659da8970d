/*
 * protocol/map-read.c - a look-up is one way through, which ends at the first thing that is not as it
 * must be. What takes long comes first (the slot is on its way from memory while the secret is
 * hashed), and what may change comes last, so that an answer is as young as it can be: the slot, then
 * whether the map is in force, then the time.
 *
 * Invariant: what the answer rests on was all read after the call began, and the map was in force
 * when the slot said so. Each load from the map is an acquire, so none is made before one that
 * stands above it here; that costs nothing on x86 and little elsewhere.
 */
#include "protocol/map-read.h"

#include <errno.h>
#include <time.h>

#include "protocol/base/time.h"
#include "protocol/scope.h"

enum {
	/* A writer is in a slot for some ten nanoseconds, unless it is not on a processor at all. */
	TRIES = 64,
	/*
	 * The coarse clocks go by ticks, of 10 ms at most; where whatever makes the ticks is late,
	 * so are they. A token that ends within a second is held against the exact clock.
	 */
	MARGIN_US = 1000 * 1000,
	/* How much younger than the coarse clock's time a beat may be. */
	AHEAD_US = 100 * 1000,
};

#define load(field) atomic_load_explicit(field, memory_order_acquire)

static bool is_size(const struct map_head *head, uint64_t n_slots, uint64_t bytes)
{
	if (n_slots < MAP_SLOTS_MIN || n_slots > MAP_SLOTS_MAX || (n_slots & (n_slots - 1)) != 0)
		return false;
	return bytes >= map_bytes(n_slots, 0) && head->text_at == map_bytes(n_slots, 0);
}

int map_view_init(const void *map, uint64_t bytes, struct map_view *ret)
{
	const struct map_head *head = map;
	uint64_t n_slots, text_bytes;

	if (bytes < MAP_HEAD_BYTES || memcmp(head->magic, MAP_MAGIC, sizeof(head->magic)) != 0)
		return -EBADMSG;
	if (head->format != MAP_FORMAT)
		return -EPROTONOSUPPORT;
	n_slots = head->n_slots;
	text_bytes = head->text_bytes;
	if (head->head_bytes != MAP_HEAD_BYTES || !is_size(head, n_slots, bytes) ||
	    text_bytes > bytes - map_bytes(n_slots, 0))
		return -EBADMSG;
	ret->head = head;
	ret->slots = (const struct map_slot *)((const char *)map + MAP_HEAD_BYTES);
	ret->text = (const char *)map + map_bytes(n_slots, 0);
	ret->n_slots = n_slots;
	ret->text_bytes = text_bytes;
	return 0;
}

static uint64_t clock_us(clockid_t clock)
{
	struct timespec ts = { 0 };

	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- whether the map is in force ---- */

static bool is_owned(const struct map_head *head)
{
	uint32_t word = load(&head->owner);

	return !(word & FUTEX_OWNER_DIED) && (word & FUTEX_TID_MASK) != 0;
}

/* The beat is read before the clock: whoever is kept waiting in between finds it too old. */
static bool is_beating(const struct map_head *head)
{
	uint64_t beat_us = load(&head->beat_us);

	return clock_us(CLOCK_MONOTONIC_COARSE) - beat_us + AHEAD_US < MAP_STALE_US + AHEAD_US;
}

static bool is_in_force(const struct map_head *head)
{
	return load(&head->state) == MAP_GOOD && is_owned(head) && is_beating(head);
}

enum map_state map_view_state(const struct map_view *view)
{
	uint32_t state = load(&view->head->state);

	if ((state != MAP_GOOD && state != MAP_ASK) || !is_owned(view->head))
		return MAP_RETIRED;
	return state == MAP_GOOD && is_beating(view->head) ? MAP_GOOD : MAP_ASK;
}

/* ---- the slot ---- */

/* Where the id stands. Others may come and go meanwhile; an id that stands, stands where it is. */
static const struct map_slot *find_slot(const struct map_view *view, uint64_t id)
{
	uint64_t at = map_slot_of(id, view->n_slots);

	for (int i = 0; i < MAP_PROBES_MAX; i++, at = (at + 1) & (view->n_slots - 1)) {
		uint64_t other = load(&view->slots[at].id);

		if (other == id)
			return &view->slots[at];
		if (other == 0)
			break;
	}
	return NULL;
}

static void copy_fields(const struct map_slot *slot, struct map_entry *ret)
{
	ret->access_bytes = load(&slot->access_bytes);
	ret->id = load(&slot->id);
	ret->expires_us = load(&slot->expires_us);
	for (int i = 0; i < TOKEN_HASH_WORDS; i++)
		ret->hash[i] = load(&slot->hash[i]);
	ret->access_at = load(&slot->access_at);
}

/*
 * A copy of what a slot says, all of one moment. False: it was being written all the time.
 *
 * Whoever sees a field of a later change sees the odd number that was stored before it, or one above
 * it, when it looks at the number again; and the first number brings with it all that was stored
 * before it.
 */
static bool copy_slot(const struct map_slot *slot, struct map_entry *ret)
{
	for (int i = 0; i < TRIES; i++) {
		uint32_t seq = load(&slot->seq);

		copy_fields(slot, ret);
		if (!(seq & 1) && load(&slot->seq) == seq)
			return true;
#ifdef __x86_64__
		__builtin_ia32_pause();
#endif
	}
	return false;
}

/* Looks at all of both, wherever they differ. */
static bool is_same_hash(const uint64_t a[static TOKEN_HASH_WORDS],
			 const uint64_t b[static TOKEN_HASH_WORDS])
{
	uint64_t bad = 0;

	for (int i = 0; i < TOKEN_HASH_WORDS; i++)
		bad |= a[i] ^ b[i];
	return bad == 0;
}

/* ---- what it says ---- */

/* Whether that instant is still to come; *ret_now_us is the coarse clock's time. */
static bool is_to_come(uint64_t expires_us, uint64_t *ret_now_us)
{
	*ret_now_us = clock_us(CLOCK_REALTIME_COARSE);
	return *ret_now_us + MARGIN_US < expires_us || clock_us(CLOCK_REALTIME) < expires_us;
}

/*
 * Takes the next scope of the text, up to its NUL, and copies it: what is looked at twice must not
 * change in between. Returns its length; 0 where there is none, or no end of it.
 */
static size_t take_scope(const char **p, const char *end, char dst[static SCOPE_MAX])
{
	size_t room = (size_t)(end - *p), n;
	const char *nul = memchr(*p, '\0', room <= SCOPE_MAX ? room : SCOPE_MAX + 1);

	if (!nul)
		return 0;
	n = (size_t)(nul - *p);
	memcpy(dst, *p, n);
	*p = nul + 1;
	return n;
}

/* The most frequent case, of which nothing is looked at twice. */
static bool stands_here(const char *p, const char *end, struct span plain)
{
	return (size_t)(end - p) > plain.n && memcmp(p, plain.p, plain.n) == 0 && p[plain.n] == '\0';
}

/* Whether one of the access's scopes stands for the plain one. */
static bool is_reached(struct span access, struct span plain)
{
	char copy[SCOPE_MAX] NOT_ZEROED;
	const char *p = access.p, *end = p + access.n;
	struct span scope = { copy, 0 };

	while (p < end) {
		if (stands_here(p, end, plain))
			return true;
		scope.n = take_scope(&p, end, copy);
		if (scope.n == 0)
			return false;
		if (scope_is_pattern(scope) && scope_matches(scope, plain))
			return true;
	}
	return false;
}

static bool access_of(const struct map_view *view, const struct map_entry *entry, struct span *ret)
{
	if (entry->access_bytes == 0 || entry->access_bytes > MAP_ACCESS_MAX ||
	    entry->access_at > view->text_bytes ||
	    entry->access_bytes > view->text_bytes - entry->access_at)
		return false;
	*ret = (struct span){ view->text + entry->access_at, entry->access_bytes };
	return true;
}

/* No scope is longer than that, so that a text that has no end is not walked to it. */
static struct span scope_span(const char *text)
{
	return (struct span){ text, strnlen(text, SCOPE_MAX + 1) };
}

/* Whether these can be asked for; whatever else they are, the agent says what is wrong. */
static bool are_plain(const char *const *scopes)
{
	for (size_t i = 0; scopes && scopes[i]; i++)
		if (i == SCOPES_MAX || !scope_is_plain(scope_span(scopes[i])))
			return false;
	return true;
}

/* All plain. */
static bool are_reached(struct span access, const char *const *scopes)
{
	for (size_t i = 0; scopes && scopes[i]; i++)
		if (!is_reached(access, span_of(scopes[i])))
			return false;
	return true;
}

bool map_verify_near(const struct map_view *view, struct span value, const char *const *scopes,
		     struct map_found *ret)
{
	const struct map_slot *slot;
	uint64_t hash[TOKEN_HASH_WORDS], id, now_us;
	struct span secret, access;
	struct map_entry entry;

	/* Of no token is the id 0: it is what empty slots say. */
	if (!token_read(value, &id, &secret) || id == 0 || !are_plain(scopes))
		return false;
	token_hash_secret(secret.p, hash);
	slot = find_slot(view, id);
	if (!slot || !copy_slot(slot, &entry) || entry.id != id || !is_same_hash(entry.hash, hash))
		return false;
	if (!is_in_force(view->head) || !access_of(view, &entry, &access) ||
	    !is_to_come(entry.expires_us, &now_us) || !are_reached(access, scopes))
		return false;
	*ret = (struct map_found){ id, entry.expires_us, now_us, (uint64_t)(slot - view->slots) };
	return true;
}

bool map_verify(const struct map_view *view, struct span value, const char *const *scopes,
		struct map_found *ret)
{
	if (value.n == TOKEN_LEN)
		__builtin_prefetch(&view->slots[map_slot_of(token_id_guess(value.p), view->n_slots)]);
	return map_verify_near(view, value, scopes, ret);
}
