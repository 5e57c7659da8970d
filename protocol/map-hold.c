/*
 * protocol/map-hold.c
 *
 * A look-up writes to no memory that another processor writes to at the same time, so that two of
 * them do twice as much as one: what it counts, it counts in a stripe of its processor's. A stripe
 * is only a place that is likely to be near; whoever is moved to another processor meanwhile goes on
 * in the one where it began, so all that is written is atomic.
 *
 * What a look-up waits for is memory: of a million tokens each slot comes from there, and takes three
 * times as long as the hash. So the first thing that it does, before it has even said that it is
 * within, is to have the slot, the one behind it (every third search goes on to that) and the word
 * fetched. It goes by addresses that may be those of a map that is gone: to fetch what is not there
 * does nothing.
 *
 * Letting go of a map. Who looks up says so in its stripe, and then looks whether the map is open;
 * who lets go closes it, and then waits until nobody is in any stripe. Both are sequentially
 * consistent, so one of them sees the other. Whoever comes late takes itself out again without
 * having looked at the map.
 *
 * Uses. Each stripe has a word for each slot: how often and when its token was found good, and a
 * mark of which token that was. Where the slot has gone to another token, what was noted of the one
 * before is of no use any more: it has ended.
 */
#include "protocol/map-hold.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#include "protocol/base/time.h"
#include "protocol/map-memory.h"

enum {
	STRIPES_MAX = 8, /* so that their words take no more memory than the map */
	/* A stripe's word: who is within, and above that how often the map said yes. */
	WITHIN_BITS = 16,
	/* Words that share a mark of whether any of them was used: a page of them. */
	PAGE_WORDS = 512,
	/* Such a word, from above: the token's mark, the second of its last use, how often. */
	SECOND_BITS = 20, /* the lowest: it is told within twelve days */
	COUNT_BITS = 26,
	KEPT_MAX = 1 << 20,
};

#define WITHIN_MASK ((UINT64_C(1) << WITHIN_BITS) - 1)
#define ONE_YES (UINT64_C(1) << WITHIN_BITS)
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define SECOND_MASK ((UINT64_C(1) << SECOND_BITS) - 1)
#define MARK_MASK (~UINT64_C(0) << (SECOND_BITS + COUNT_BITS))

struct stripe {
	_Atomic uint64_t word;
	char alone[120]; /* processors fetch lines in pairs */
};

struct map_hold {
	struct stripe stripes[STRIPES_MAX];
	unsigned n_stripes; /* a power of two */
	atomic_bool is_open;
	/* Where the slots and the words are, or were; n_slots 0: never anywhere. To fetch by alone. */
	struct {
		_Atomic uintptr_t slots, words;
		_Atomic uint64_t n_slots;
	} hint;

	/* Changed only while it is closed and nobody is within. */
	struct map_view view;
	void *map;
	uint64_t map_bytes;
	_Atomic uint64_t *words; /* n_slots for each stripe; NULL: there is no map */
	uint64_t n_words;
	_Atomic uint8_t *is_used; /* one for each PAGE_WORDS of them */
	uint64_t n_pages;
	uint64_t cursor; /* the page where collecting goes on */

	pthread_mutex_t lock; /* of n_yes */
	uint64_t n_yes;	      /* that the stripes no longer have */

	/* Of the thread that collects: what is to be told, and is in no word. */
	struct map_use *kept;
	size_t n_kept, kept_size;
};

/* ---- the hold ---- */

static unsigned stripes_for(long processors)
{
	unsigned n = 1;

	while (n < STRIPES_MAX && n < processors)
		n *= 2;
	return n;
}

int map_hold_new(struct map_hold **ret)
{
	struct map_hold *hold =
		aligned_alloc(128, sizeof(*hold) + 127 - (sizeof(*hold) + 127) % 128);

	if (!hold)
		return -ENOMEM;
	memset(hold, 0, sizeof(*hold));
	hold->n_stripes = stripes_for(sysconf(_SC_NPROCESSORS_CONF));
	pthread_mutex_init(&hold->lock, NULL);
	*ret = hold;
	return 0;
}

static void unmap(struct map_hold *hold)
{
	void *is_used;

	if (!hold->words)
		return;
	munmap(hold->map, hold->map_bytes);
	munmap((void *)hold->words, hold->n_words * sizeof(*hold->words));
	hold->words = NULL;
	hold->n_pages = 0;
	/* A child that is made in between must not free it again. */
	is_used = (void *)hold->is_used;
	hold->is_used = NULL;
	free(is_used);
}

void map_hold_free(struct map_hold *hold)
{
	if (!hold)
		return;
	unmap(hold);
	pthread_mutex_destroy(&hold->lock);
	free(hold->kept);
	free(hold);
}

/* ---- uses ---- */

/* Not as map_slot_of() has it: those who live in one slot have that in common. */
static uint64_t mark_of(uint64_t id)
{
	return id * UINT64_C(0xC2B2AE3D27D4EB4F) & MARK_MASK;
}

/* The word of this token with one use more, at this second. A count that is full stays so. */
static uint64_t with_use(uint64_t word, uint64_t mark, uint64_t second)
{
	uint64_t count = (word & MARK_MASK) == mark ? word & COUNT_MASK : 0;

	return mark | (second & SECOND_MASK) << COUNT_BITS | (count + (count < COUNT_MASK));
}

/*
 * The word is changed before its page's mark is looked at, and whoever collects takes the mark away
 * before it looks at the words: either the use is seen, or the mark is set again.
 */
static void note_use(struct map_hold *hold, unsigned stripe, const struct map_found *found)
{
	uint64_t at = stripe * hold->view.n_slots + found->slot, mark = mark_of(found->id);
	uint64_t second = found->now_us / USEC_PER_SEC;
	_Atomic uint8_t *is_used = &hold->is_used[at / PAGE_WORDS];
	uint64_t word = atomic_load_explicit(&hold->words[at], memory_order_relaxed);

	while (!atomic_compare_exchange_weak(&hold->words[at], &word, with_use(word, mark, second)))
		;
	if (!atomic_load(is_used))
		atomic_store(is_used, 1);
}

/* ---- looking up ---- */

static unsigned stripe_here(const struct map_hold *hold)
{
	return (unsigned)sched_getcpu() & (hold->n_stripes - 1);
}

#define hint_of(field) atomic_load_explicit(&(field), memory_order_relaxed)

static void fetch(const struct map_hold *hold, unsigned stripe, const char *value)
{
	uint64_t n_slots = hint_of(hold->hint.n_slots), slot, word;
	uintptr_t at;

	if (n_slots == 0)
		return;
	slot = map_slot_of(token_id_guess(value), n_slots);
	word = stripe * n_slots + slot;
	at = hint_of(hold->hint.slots) + slot * MAP_SLOT_BYTES;
	__builtin_prefetch((const void *)at);
	__builtin_prefetch((const void *)(at + MAP_SLOT_BYTES));
	__builtin_prefetch((const void *)(hint_of(hold->hint.words) + word * sizeof(*hold->words)), 1);
}

/* Whether there is a map, and the caller is now within. Else it is not. */
static bool enter(struct map_hold *hold, unsigned stripe)
{
	if (!atomic_load_explicit(&hold->is_open, memory_order_relaxed))
		return false;
	atomic_fetch_add(&hold->stripes[stripe].word, 1);
	if (atomic_load(&hold->is_open))
		return true;
	atomic_fetch_sub(&hold->stripes[stripe].word, 1);
	return false;
}

static void leave(struct map_hold *hold, unsigned stripe, bool yes)
{
	atomic_fetch_add_explicit(&hold->stripes[stripe].word, (yes ? ONE_YES : 0) - 1,
				  memory_order_release);
}

bool map_hold_verify(struct map_hold *hold, struct span value, const char *const *scopes,
		     struct map_found *ret)
{
	unsigned stripe = stripe_here(hold);
	bool yes;

	if (value.n != TOKEN_LEN)
		return false;
	fetch(hold, stripe, value.p);
	if (!enter(hold, stripe))
		return false;
	yes = map_verify_near(&hold->view, value, scopes, ret);
	if (yes)
		note_use(hold, stripe, ret);
	leave(hold, stripe, yes);
	return yes;
}

enum map_state map_hold_state(struct map_hold *hold)
{
	enum map_state state;
	unsigned stripe = stripe_here(hold);

	if (!enter(hold, stripe))
		return MAP_RETIRED;
	state = map_view_state(&hold->view);
	leave(hold, stripe, false);
	return state;
}

/* Takes them out of the stripes, where there is room for a year's. */
uint64_t map_hold_count(struct map_hold *hold)
{
	uint64_t n;

	pthread_mutex_lock(&hold->lock);
	for (unsigned i = 0; i < hold->n_stripes; i++) {
		uint64_t yes = atomic_load(&hold->stripes[i].word) & ~WITHIN_MASK;

		atomic_fetch_sub(&hold->stripes[i].word, yes);
		hold->n_yes += yes >> WITHIN_BITS;
	}
	n = hold->n_yes;
	pthread_mutex_unlock(&hold->lock);
	return n;
}

/* ---- collecting ---- */

static void keep(struct map_hold *hold, const struct map_use *use)
{
	size_t size = hold->kept_size ? hold->kept_size * 2 : 64;
	struct map_use *larger;

	if (hold->n_kept == hold->kept_size) {
		larger = size > KEPT_MAX ? NULL : reallocarray(hold->kept, size, sizeof(*larger));
		if (!larger)
			return;
		hold->kept = larger;
		hold->kept_size = size;
	}
	hold->kept[hold->n_kept++] = *use;
}

void map_hold_put_back(struct map_hold *hold, const struct map_use uses[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		keep(hold, &uses[i]);
}

static size_t collect_kept(struct map_hold *hold, struct map_use uses[], size_t max)
{
	size_t n = hold->n_kept < max ? hold->n_kept : max;

	hold->n_kept -= n;
	if (n > 0)
		memcpy(uses, hold->kept + hold->n_kept, n * sizeof(*uses));
	return n;
}

/* Takes what a word says. False: nothing, or of a token whose slot has gone to another. */
static bool take_word(struct map_hold *hold, uint64_t at, uint64_t now_s, struct map_use *ret)
{
	const struct map_slot *slot = &hold->view.slots[at & (hold->view.n_slots - 1)];
	uint64_t word, ago_s;

	if (!(atomic_load(&hold->words[at]) & COUNT_MASK))
		return false;
	word = atomic_exchange(&hold->words[at], 0);
	ago_s = (now_s - (word >> COUNT_BITS)) & SECOND_MASK;
	ret->id = atomic_load(&slot->id);
	ret->count = word & COUNT_MASK;
	/* A clock that was set back since: it is not in the future. */
	ret->last_us = (ago_s > SECOND_MASK / 2 ? now_s : now_s - ago_s) * USEC_PER_SEC;
	return mark_of(ret->id) == (word & MARK_MASK);
}

/* Takes what a page of words says; fewer where there is no room. */
static size_t collect_page(struct map_hold *hold, uint64_t page, struct map_use uses[], size_t max)
{
	uint64_t at = page * PAGE_WORDS, end = at + PAGE_WORDS, now_s;
	size_t n = 0;

	atomic_store(&hold->is_used[page], 0);
	now_s = time_now_us() / USEC_PER_SEC;
	for (; at < end && at < hold->n_words && n < max; at++)
		n += take_word(hold, at, now_s, &uses[n]);
	if (n == max)
		atomic_store(&hold->is_used[page], 1);
	return n;
}

size_t map_hold_collect(struct map_hold *hold, struct map_use uses[], size_t max)
{
	size_t n = collect_kept(hold, uses, max);

	for (uint64_t i = 0; i < hold->n_pages && n < max; i++) {
		if (atomic_load(&hold->is_used[hold->cursor]))
			n += collect_page(hold, hold->cursor, uses + n, max - n);
		if (n < max)
			hold->cursor = (hold->cursor + 1) % hold->n_pages;
	}
	return n;
}

/* ---- taking a map, and letting go of it ---- */

/* Of what its owner could make shorter, a part might be gone when it is looked at. */
static int map_whole(int fd, void **ret, uint64_t *ret_bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EBADMSG;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < MAP_HEAD_BYTES)
		return -EBADMSG;
	*ret_bytes = (uint64_t)st.st_size;
	return map_memory(fd, *ret_bytes, ret);
}

/* Pages of them take memory when they are first written to. */
static int make_words(struct map_hold *hold, uint64_t n_slots)
{
	uint64_t n = n_slots * hold->n_stripes;
	void *p;

	hold->n_pages = (n + PAGE_WORDS - 1) / PAGE_WORDS;
	hold->is_used = calloc(hold->n_pages, 1);
	if (!hold->is_used)
		return -ENOMEM;
	p = mmap(NULL, n * sizeof(*hold->words), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		free((void *)hold->is_used);
		hold->is_used = NULL;
		return -ENOMEM;
	}
	hold->words = p;
	hold->n_words = n;
	hold->cursor = 0;
	return 0;
}

int map_hold_put(struct map_hold *hold, int fd)
{
	struct map_view view;
	uint64_t bytes = 0;
	void *map = NULL;
	int r = map_whole(fd, &map, &bytes);

	if (r < 0)
		return r;
	r = map_view_init(map, bytes, &view);
	if (r == 0)
		r = make_words(hold, view.n_slots);
	if (r < 0) {
		munmap(map, bytes);
		return r;
	}
	hold->view = view;
	hold->map = map;
	hold->map_bytes = bytes;
	atomic_store(&hold->hint.slots, (uintptr_t)view.slots);
	atomic_store(&hold->hint.words, (uintptr_t)hold->words);
	atomic_store(&hold->hint.n_slots, view.n_slots);
	atomic_store(&hold->is_open, true);
	return 0;
}

static void wait_for_all(struct map_hold *hold)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 };

	for (unsigned i = 0; i < hold->n_stripes; i++)
		while (atomic_load(&hold->stripes[i].word) & WITHIN_MASK)
			(void)nanosleep(&pause, NULL);
}

void map_hold_drop(struct map_hold *hold)
{
	struct map_use uses[PAGE_WORDS + 1];

	if (!atomic_exchange(&hold->is_open, false))
		return;
	wait_for_all(hold);
	for (uint64_t page = 0; page < hold->n_pages; page++)
		if (hold->is_used[page])
			map_hold_put_back(hold, uses,
					  collect_page(hold, page, uses, ARRAY_SIZE(uses)));
	unmap(hold);
}
