/*
 * protocol/map-hold.c
 *
 * A look-up writes to no memory that another processor writes to at the same time, so that two of
 * them do twice as much as one: what it counts, it counts in a stripe of its processor's. A stripe
 * is only a place that is likely to be near; whoever is moved to another processor meanwhile goes on
 * in the one where it began, so all that is written is atomic.
 *
 * Letting go of a map. Who looks up says so in its stripe, and then looks whether the map is open;
 * who lets go closes it, and then waits until nobody is in any stripe. Both are sequentially
 * consistent, so one of them sees the other. Whoever comes late takes itself out again without
 * having looked at the map.
 *
 * Uses. Each stripe has an entry for each slot: which token, and a word with how often and when it
 * was found good. A slot that goes to another token takes its entry along; the uses of the one
 * before go to the list of the displaced. The word has a mark of the token's, so that who was slow
 * and adds to it after that finds that it is another's.
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

enum {
	STRIPES_MAX = 16,
	/* A stripe's word: who is within, and above that how often the map said yes. */
	WITHIN_BITS = 20,
	/* Entries that share a mark of whether any of them was used: a page of them. */
	PAGE_ENTRIES = 256,
	/* An entry's word, from above: the token's mark, the second of its last use, how often. */
	MARK_BITS = 8,
	SECOND_BITS = 28, /* since the hold was made: eight years */
	COUNT_BITS = 28,
	DISPLACED_MAX = 1 << 20,
};

#define WITHIN_MASK ((UINT64_C(1) << WITHIN_BITS) - 1)
#define ONE_YES (UINT64_C(1) << WITHIN_BITS)
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define SECOND_MASK ((UINT64_C(1) << SECOND_BITS) - 1)
#define MARK_SHIFT (SECOND_BITS + COUNT_BITS)

struct stripe {
	_Atomic uint64_t word;
	char alone[120]; /* processors fetch lines in pairs */
};

struct entry {
	_Atomic uint64_t id;
	_Atomic uint64_t word;
};

struct map_hold {
	struct stripe stripes[STRIPES_MAX];
	unsigned n_stripes; /* a power of two */
	atomic_bool is_open;

	/* Changed only while it is closed and nobody is within. */
	struct map_view view;
	void *map;
	uint64_t map_bytes;
	struct entry *entries; /* n_slots for each stripe; NULL: there is no map */
	uint64_t entries_bytes;
	_Atomic uint8_t *is_used; /* one for each PAGE_ENTRIES of them */
	uint64_t n_pages;
	uint64_t cursor; /* the page where collecting goes on */

	uint64_t since_s;
	pthread_mutex_t lock; /* of what follows, and of the ids of entries */
	uint64_t n_yes;	      /* that the stripes no longer have */
	struct map_use *displaced;
	size_t n_displaced, displaced_size;
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
	hold->since_s = time_now_us() / USEC_PER_SEC;
	pthread_mutex_init(&hold->lock, NULL);
	*ret = hold;
	return 0;
}

static void unmap(struct map_hold *hold)
{
	if (!hold->entries)
		return;
	munmap(hold->map, hold->map_bytes);
	munmap(hold->entries, hold->entries_bytes);
	free((void *)hold->is_used);
	hold->entries = NULL;
	hold->is_used = NULL;
	hold->n_pages = 0;
}

void map_hold_free(struct map_hold *hold)
{
	if (!hold)
		return;
	unmap(hold);
	pthread_mutex_destroy(&hold->lock);
	free(hold->displaced);
	free(hold);
}

/* ---- uses ---- */

static uint64_t mark_of(uint64_t id)
{
	return (id ^ id >> 32) << MARK_SHIFT;
}

/* The word with one use more, at this second. */
static uint64_t with_use(uint64_t word, uint64_t second)
{
	uint64_t last = word >> COUNT_BITS & SECOND_MASK;

	if (second > last)
		word += (second - last) << COUNT_BITS;
	/* A count that is full stays so. */
	return (word & COUNT_MASK) == COUNT_MASK ? word : word + 1;
}

/* Adds a use to the entry, where it is this token's. */
static bool add_use(struct entry *entry, uint64_t id, uint64_t second)
{
	uint64_t word = atomic_load_explicit(&entry->word, memory_order_relaxed);

	do {
		if (atomic_load_explicit(&entry->id, memory_order_acquire) != id ||
		    ((word ^ mark_of(id)) >> MARK_SHIFT) != 0)
			return false;
	} while (!atomic_compare_exchange_weak(&entry->word, &word, with_use(word, second)));
	return true;
}

/* Locked. */
static void note_displaced(struct map_hold *hold, const struct map_use *use)
{
	size_t size = hold->displaced_size ? hold->displaced_size * 2 : 64;
	struct map_use *larger;

	if (hold->n_displaced == hold->displaced_size) {
		larger = size > DISPLACED_MAX
				 ? NULL
				 : reallocarray(hold->displaced, size, sizeof(*larger));
		if (!larger)
			return;
		hold->displaced = larger;
		hold->displaced_size = size;
	}
	hold->displaced[hold->n_displaced++] = *use;
}

static struct map_use use_of(const struct map_hold *hold, uint64_t id, uint64_t word)
{
	uint64_t second = hold->since_s + (word >> COUNT_BITS & SECOND_MASK);

	return (struct map_use){ id, word & COUNT_MASK, second * USEC_PER_SEC };
}

/* Gives the entry to this token, with no use yet. */
static void move_in(struct map_hold *hold, struct entry *entry, uint64_t id)
{
	struct map_use use;

	pthread_mutex_lock(&hold->lock);
	use = use_of(hold, entry->id, atomic_exchange(&entry->word, mark_of(id)));
	if (use.count > 0)
		note_displaced(hold, &use);
	atomic_store_explicit(&entry->id, id, memory_order_release);
	pthread_mutex_unlock(&hold->lock);
}

/*
 * The entry is changed before its page's mark is looked at, and whoever collects takes the mark away
 * before it looks at the entries: either the use is seen, or the mark is set again.
 */
static void note_use(struct map_hold *hold, unsigned stripe, const struct map_found *found)
{
	uint64_t at = stripe * hold->view.n_slots + found->slot;
	uint64_t now_s = found->now_us / USEC_PER_SEC;
	uint64_t second = now_s > hold->since_s ? (now_s - hold->since_s) & SECOND_MASK : 0;
	_Atomic uint8_t *is_used = &hold->is_used[at / PAGE_ENTRIES];

	while (!add_use(&hold->entries[at], found->id, second))
		move_in(hold, &hold->entries[at], found->id);
	if (!atomic_load(is_used))
		atomic_store(is_used, 1);
}

/* ---- looking up ---- */

/* Whether there is a map, and the caller is now within. Else it is not. */
static bool enter(struct map_hold *hold, unsigned *ret_stripe)
{
	unsigned stripe = (unsigned)sched_getcpu() & (hold->n_stripes - 1);

	if (!atomic_load_explicit(&hold->is_open, memory_order_relaxed))
		return false;
	atomic_fetch_add(&hold->stripes[stripe].word, 1);
	*ret_stripe = stripe;
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

static bool verify_within(struct map_hold *hold, unsigned stripe, struct span value,
			  const char *const *scopes, struct map_found *ret)
{
	struct map_key key;

	if (!map_key_read(&hold->view, value, &key))
		return false;
	__builtin_prefetch(&hold->entries[stripe * hold->view.n_slots + key.slot], 1);
	if (!map_verify_key(&hold->view, &key, scopes, ret))
		return false;
	note_use(hold, stripe, ret);
	return true;
}

bool map_hold_verify(struct map_hold *hold, struct span value, const char *const *scopes,
		     struct map_found *ret)
{
	unsigned stripe;
	bool yes;

	if (!enter(hold, &stripe))
		return false;
	yes = verify_within(hold, stripe, value, scopes, ret);
	leave(hold, stripe, yes);
	return yes;
}

enum map_state map_hold_state(struct map_hold *hold)
{
	enum map_state state;
	unsigned stripe;

	if (!enter(hold, &stripe))
		return MAP_RETIRED;
	state = map_view_state(&hold->view);
	leave(hold, stripe, false);
	return state;
}

/* Locked. */
static void take_counts(struct map_hold *hold)
{
	for (unsigned i = 0; i < hold->n_stripes; i++) {
		uint64_t yes = atomic_load(&hold->stripes[i].word) & ~WITHIN_MASK;

		atomic_fetch_sub(&hold->stripes[i].word, yes);
		hold->n_yes += yes >> WITHIN_BITS;
	}
}

uint64_t map_hold_count(struct map_hold *hold)
{
	uint64_t n;

	pthread_mutex_lock(&hold->lock);
	take_counts(hold);
	n = hold->n_yes;
	pthread_mutex_unlock(&hold->lock);
	return n;
}

/* ---- collecting ---- */

static size_t collect_displaced(struct map_hold *hold, struct map_use uses[], size_t max)
{
	size_t n;

	pthread_mutex_lock(&hold->lock);
	take_counts(hold);
	n = hold->n_displaced < max ? hold->n_displaced : max;
	hold->n_displaced -= n;
	if (n > 0)
		memcpy(uses, hold->displaced + hold->n_displaced, n * sizeof(*uses));
	pthread_mutex_unlock(&hold->lock);
	return n;
}

/* Takes the uses of a page of entries, which has marks of some; fewer where there is no room. */
static size_t collect_page(struct map_hold *hold, uint64_t page, struct map_use uses[], size_t max)
{
	uint64_t at = page * PAGE_ENTRIES, end = at + PAGE_ENTRIES, word;
	size_t n = 0;

	atomic_store(&hold->is_used[page], 0);
	pthread_mutex_lock(&hold->lock);
	for (; at < end && at < hold->n_stripes * hold->view.n_slots && n < max; at++) {
		if (!(atomic_load(&hold->entries[at].word) & COUNT_MASK))
			continue;
		word = atomic_fetch_and(&hold->entries[at].word, ~UINT64_C(0) << MARK_SHIFT);
		uses[n++] = use_of(hold, hold->entries[at].id, word);
	}
	pthread_mutex_unlock(&hold->lock);
	if (n == max)
		atomic_store(&hold->is_used[page], 1);
	return n;
}

size_t map_hold_collect(struct map_hold *hold, struct map_use uses[], size_t max)
{
	size_t n = collect_displaced(hold, uses, max);

	for (uint64_t i = 0; i < hold->n_pages && n < max; i++) {
		if (atomic_load(&hold->is_used[hold->cursor]))
			n += collect_page(hold, hold->cursor, uses + n, max - n);
		if (n < max)
			hold->cursor = (hold->cursor + 1) % hold->n_pages;
	}
	return n;
}

void map_hold_put_back(struct map_hold *hold, const struct map_use uses[], size_t n)
{
	pthread_mutex_lock(&hold->lock);
	for (size_t i = 0; i < n; i++)
		note_displaced(hold, &uses[i]);
	pthread_mutex_unlock(&hold->lock);
}

/* ---- taking a map, and letting go of it ---- */

/* Of what its owner could make shorter, a part might be gone when it is looked at. */
static int map_whole(int fd, void **ret, uint64_t *ret_bytes)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *p;

	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EBADMSG;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < MAP_HEAD_BYTES)
		return -EBADMSG;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

/* Pages of it take memory when they are first written to. */
static int make_entries(struct map_hold *hold, uint64_t n_slots)
{
	uint64_t n = n_slots * hold->n_stripes;
	void *p;

	hold->n_pages = (n + PAGE_ENTRIES - 1) / PAGE_ENTRIES;
	hold->is_used = calloc(hold->n_pages, 1);
	if (!hold->is_used)
		return -ENOMEM;
	p = mmap(NULL, n * sizeof(struct entry), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		free((void *)hold->is_used);
		return -ENOMEM;
	}
	hold->entries = p;
	hold->entries_bytes = n * sizeof(struct entry);
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
		r = make_entries(hold, view.n_slots);
	if (r < 0) {
		munmap(map, bytes);
		return r;
	}
	hold->view = view;
	hold->map = map;
	hold->map_bytes = bytes;
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
	struct map_use uses[PAGE_ENTRIES + 1];

	if (!atomic_exchange(&hold->is_open, false))
		return;
	wait_for_all(hold);
	for (uint64_t page = 0; page < hold->n_pages; page++)
		if (hold->is_used[page])
			map_hold_put_back(hold, uses,
					  collect_page(hold, page, uses, ARRAY_SIZE(uses)));
	unmap(hold);
}
