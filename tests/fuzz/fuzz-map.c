/*
 * tests/fuzz/fuzz-map.c - any bytes as a verifier's map, and a map that is changed while it is read: the reader says
 * what a plain one says of the same bytes, and looks at nothing outside of them.
 *
 * The first byte of an input has choices, the second how large the map is. Edits of a good map of some tokens follow:
 * where (below), how far from there, how many bytes, the bytes. Edits from a mark on are made when the reader looks at
 * a clock, one each time: between the slot and the text, and between the beat and the expiry. Then what it says may be
 * of before or of in between, but the slot must have said yes.
 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include "protocol/map-hold.h"
#include "protocol/scope.h"

/* The last token's id is 0, which no token has. */
enum { SLOTS = 64, TEXT = 512, TOKENS = 4, ID_0 = 3, AHEAD_US = 100 * 1000, ARENA = 128 * 1024, WALL = 64 * 1024 };

/* What the first byte says. */
enum { SCOPES_OF = 0x07, BY_HOLD = 0x08, BAD_VALUE = 0x10, NEAR_ITS_END = 0x20 };

/* From where an edit's distance counts. */
enum { HEAD_START, HEAD_END, SLOT_A, SLOT_B, SLOT_C, TEXT_START, TEXT_END, ANYWHERE, N_PLACES, LATE = 0xff };

#define NOW UINT64_C(1800000000000000)
#define UPTIME UINT64_C(5000000000)

static const char access_text[] = "acme/risk:read\0acme/*:run\0acme/pay/**:*";
static const char *const asked[][3] = {
	{ NULL }, /* stands for no list */
	{ "acme/risk:read", NULL },
	{ "acme/x:run", NULL },
	{ "acme/pay/a/b:go", "acme/risk:read", NULL },
	{ "other:x", NULL },
	{ "acme/*:run", NULL },
	{ "acme/risk:rea", NULL },
	{ "", NULL },
};
/* In the place of the last but one, with BAD_VALUE: more than a call may have. */
static const char *many[SCOPES_MAX + 2];

static struct {
	char value[TOKENS][TOKEN_LEN + 1];
	struct map_entry entry[TOKENS];
	uint64_t now_us; /* the wall clock's */
	char *map;	 /* that is changed while it is read; NULL: none is */
	size_t bytes;
	uint64_t n_slots, text_bytes; /* as the head said when it was looked at */
	const uint8_t *late;
	size_t n_late;
} world;

/* ---- the map ---- */

static void make_tokens(void)
{
	static const uint64_t ids[TOKENS] = { 0x123456789abcdef, 77, UINT64_MAX, 0 };
	uint8_t random[TOKEN_RANDOM_LEN];

	for (size_t i = 0; i < TOKENS; i++) {
		memset(random, (int)(i + 1), sizeof(random));
		token_make(ids[i], random, world.value[i]);
		world.entry[i] = (struct map_entry){
			.id = ids[i],
			.expires_us = NOW + 3000000000,
			.access_bytes = sizeof(access_text),
		};
		token_hash_secret(world.value[i] + TOKEN_SECRET_AT, world.entry[i].hash);
	}
	for (size_t i = 0; i <= SCOPES_MAX; i++)
		many[i] = "acme/risk:read";
}

/* So many bytes up to where nothing may be read. The same each time: to allocate a map takes longer than all else. */
static char *walled(size_t n)
{
	static char *arena;

	if (!arena) {
		arena = mmap(NULL, ARENA + WALL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		FUZZ_HOLDS(arena != MAP_FAILED && mprotect(arena + ARENA, WALL, PROT_NONE) == 0);
	}
	return memset(arena + ARENA - n, 0, n);
}

/* A map that is cut has fewer bytes than it says. */
static void make_map(uint8_t size)
{
	size_t whole = map_bytes(SLOTS, TEXT);
	struct map_head *head;

	/* 200: whole. */
	world.bytes = size <= 200 ? whole : size < 240 ? whole - (size_t)(size - 200) * 64 : (size_t)(size - 240) * 4400;
	world.map = walled(world.bytes);
	if (world.bytes < MAP_HEAD_BYTES)
		return;
	head = (struct map_head *)(void *)world.map;
	memcpy(head->magic, MAP_MAGIC, sizeof(head->magic));
	head->format = MAP_FORMAT;
	head->head_bytes = MAP_HEAD_BYTES;
	head->n_slots = SLOTS;
	head->text_at = map_bytes(SLOTS, 0);
	head->text_bytes = TEXT;
	head->state = MAP_GOOD;
	head->beat_us = UPTIME;
	head->owner = 4711;
	if (world.bytes < whole)
		return;
	for (size_t i = 0; i < ID_0; i++)
		map_slot_write(&map_slots(head)[map_slot_of(world.entry[i].id, SLOTS)], &world.entry[i]);
	memcpy(world.map + head->text_at, access_text, sizeof(access_text));
}

static size_t slot_place(size_t i)
{
	return MAP_HEAD_BYTES + MAP_SLOT_BYTES * map_slot_of(world.entry[i].id, SLOTS);
}

static size_t place_of(uint8_t where)
{
	const size_t places[N_PLACES] = {
		[HEAD_START] = 0,
		[HEAD_END] = MAP_HEAD_BYTES - 64,
		[SLOT_A] = slot_place(0),
		[SLOT_B] = slot_place(1),
		[SLOT_C] = slot_place(2),
		[TEXT_START] = map_bytes(SLOTS, 0),
		[TEXT_END] = world.bytes > 256 ? world.bytes - 256 : 0,
		[ANYWHERE] = MAP_HEAD_BYTES,
	};

	return places[where % N_PLACES];
}

/* Makes one edit; false: there is none, or the late ones begin. */
static bool edit(const uint8_t **data, size_t *n)
{
	uint8_t where = fuzz_byte(data, n);
	size_t at, length;

	if (*n == 0 || where == LATE)
		return false;
	at = place_of(where) + (size_t)fuzz_byte(data, n) * (where % N_PLACES == ANYWHERE ? MAP_SLOT_BYTES : 1);
	length = fuzz_byte(data, n) % 64;
	length = length < *n ? length : *n;
	if (at <= world.bytes && length <= world.bytes - at)
		memcpy(world.map + at, *data, length);
	*data += length;
	*n -= length;
	return true;
}

/* What the reader asks the time of: a tick behind where it is coarse. All others are told the time. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	bool wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
	uint64_t us;

	if (!world.map)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	us = wall ? world.now_us - (clock == CLOCK_REALTIME_COARSE ? 4000 : 0) : UPTIME + 100000;

	*ts = (struct timespec){ .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000 * 1000) };
	(void)edit(&world.late, &world.n_late);
	return 0;
}

/* ---- a plain reader ---- */

static uint64_t number_at(const char *map, size_t at)
{
	uint64_t n;

	memcpy(&n, map + at, sizeof(n));
	return n;
}

static uint32_t word_at(const char *map, size_t at)
{
	return (uint32_t)number_at(map, at);
}

static int plain_view(const char *map, size_t n)
{
	uint64_t slots, text;

	if (n < 65536 || memcmp(map, "JETONMAP", 8) != 0)
		return -EBADMSG;
	if (word_at(map, 8) != 1)
		return -EPROTONOSUPPORT;
	slots = number_at(map, 16);
	text = number_at(map, 24);
	if (word_at(map, 12) != 65536 || __builtin_popcountll(slots) != 1 || slots < 64 || slots > 1 << 27 ||
	    text != 65536 + slots * 64 || text > n || number_at(map, 32) > n - text)
		return -EBADMSG;
	world.n_slots = slots;
	world.text_bytes = number_at(map, 32);
	return 0;
}

/* The slot that says something of the id, or 0. */
static size_t plain_slot(const char *map, uint64_t id)
{
	uint64_t slots = world.n_slots;
	unsigned __int128 first = (unsigned __int128)(uint64_t)(id * UINT64_C(0x9E3779B97F4A7C15)) * slots >> 64;

	for (uint64_t i = 0; i < 256; i++) {
		size_t at = 65536 + 64 * (((uint64_t)first + i) % slots);

		if (number_at(map, at + 8) == id)
			return at;
		if (number_at(map, at + 8) == 0)
			break;
	}
	return 0;
}

static bool plain_scope(const char *access, size_t n, const char *scope)
{
	for (size_t at = 0, length; at < n; at += length + 1) {
		struct span one = { access + at, strnlen(access + at, n - at) };

		length = one.n;
		if (length == n - at)
			return false;
		if (span_equal(one, span_of(scope)))
			return true;
		if (length == 0 || length > SCOPE_MAX)
			return false;
		if (scope_is_pattern(one) && scope_matches(one, span_of(scope)))
			return true;
	}
	return false;
}

/* Whether the slot has this token, whatever else. */
static bool plain_has(const char *map, size_t i)
{
	size_t at = plain_slot(map, world.entry[i].id);

	return i != ID_0 && at && word_at(map, at) % 2 == 0 && word_at(map, at + 4) &&
	       memcmp(map + at + 24, world.entry[i].hash, 32) == 0;
}

static bool plain_verify(const char *map, size_t i, const char *const *scopes)
{
	size_t at = plain_slot(map, world.entry[i].id);
	uint64_t text_bytes = world.text_bytes, access_at;
	uint32_t n, owner = word_at(map, 65512);

	if (!plain_has(map, i) || word_at(map, 65472) != 1 || owner >> 30 & 1 || (owner & 0x3fffffff) == 0)
		return false;
	if (UPTIME + 100000 - number_at(map, 65480) + AHEAD_US >= 2000000 + AHEAD_US ||
	    number_at(map, at + 16) <= world.now_us)
		return false;
	n = word_at(map, at + 4);
	access_at = number_at(map, at + 56);
	if (n > MAP_ACCESS_MAX || access_at > text_bytes || n > text_bytes - access_at)
		return false;
	for (size_t k = 0; scopes && scopes[k]; k++)
		if (k == SCOPES_MAX || !scope_is_plain(span_of(scopes[k])) ||
		    !plain_scope(map + map_bytes(world.n_slots, 0) + access_at, n, scopes[k]))
			return false;
	return true;
}

/* ---- by way of a descriptor ---- */

/* What the library does with what an agent gives it, and then the same questions. */
static void check_hold(const char *const *scopes)
{
	_cleanup_close_ int fd = memfd_create("map", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct map_use uses[TOKENS + 1];
	struct map_hold *hold;
	struct map_found found;
	uint64_t yes = 0, told = 0;
	size_t n;
	int r;

	FUZZ_HOLDS(fd >= 0 && write(fd, world.map, world.bytes) == (ssize_t)world.bytes);
	FUZZ_HOLDS(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && map_hold_new(&hold) == 0);
	r = map_hold_put(hold, fd);
	FUZZ_HOLDS(r == plain_view(world.map, world.bytes));
	for (size_t i = 0; i < TOKENS; i++) {
		bool good = map_hold_verify(hold, span_of(world.value[i]), scopes, &found);

		FUZZ_HOLDS(good == (r == 0 && plain_verify(world.map, i, scopes)));
		yes += good;
	}
	FUZZ_HOLDS((r == 0) || map_hold_state(hold) == MAP_RETIRED);
	n = map_hold_collect(hold, uses, TOKENS + 1);
	for (size_t i = 0; i < n; i++)
		told += uses[i].count;
	FUZZ_HOLDS(told == yes && map_hold_count(hold) == yes);
	map_hold_drop(hold);
	FUZZ_HOLDS(!map_hold_verify(hold, span_of(world.value[0]), NULL, &found));
	map_hold_free(hold);
}

/* ---- the target ---- */

/*
 * libFuzzer's alarm asks for the time, and would be told ours: of a reader that has hung for years. So it waits until
 * the clock is the real one again.
 */
static void hold_alarm(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	FUZZ_HOLDS(pthread_sigmask(how, &set, NULL) == 0);
}

static void check_verify(const struct map_view *view, size_t i, const char *const *scopes, bool bad_value)
{
	bool has = plain_has(world.map, i), is_good = plain_verify(world.map, i, scopes), changes = world.n_late > 0;
	struct map_found found;
	char value[TOKEN_LEN];

	memcpy(value, world.value[i], TOKEN_LEN);
	if (bad_value)
		value[(world.n_late * 7 + i) % TOKEN_LEN] ^= 0x11;
	if (!map_verify(view, (struct span){ value, bad_value && !scopes ? TOKEN_LEN - 1 : TOKEN_LEN }, scopes, &found)) {
		FUZZ_HOLDS(changes || bad_value || !is_good);
		return;
	}
	FUZZ_HOLDS(has && !bad_value && (changes || is_good));
	FUZZ_HOLDS(found.id == world.entry[i].id && found.slot < view->n_slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t choices = fuzz_byte(&data, &n), size = fuzz_byte(&data, &n);
	const char *const *scopes = choices & SCOPES_OF ? asked[choices & SCOPES_OF] : NULL;
	struct map_view view;
	char *map;
	int r;

	world.n_late = 0;
	world.now_us = NOW;
	if (!world.entry[0].id)
		make_tokens();
	if ((choices & SCOPES_OF) == 6 && (choices & BAD_VALUE))
		scopes = many;
	hold_alarm(SIG_BLOCK);
	make_map(size);
	while (edit(&data, &n))
		;
	if (choices & NEAR_ITS_END)
		world.now_us = NOW + 3000000000 - n % 3;
	map = world.map;
	r = map_view_init(map, world.bytes, &view);
	FUZZ_HOLDS(r == plain_view(map, world.bytes));
	/* Few, since they take ten times as long. */
	if ((choices & ~SCOPES_OF) == BY_HOLD)
		check_hold(scopes);
	if (r == 0) {
		world.late = data;
		world.n_late = n;
		for (size_t i = 0; i < TOKENS; i++)
			check_verify(&view, i, scopes, (choices & BAD_VALUE) && scopes != many);
		FUZZ_HOLDS(map_view_state(&view) >= MAP_GOOD);
	}
	world.map = NULL;
	hold_alarm(SIG_UNBLOCK);
	return 0;
}
