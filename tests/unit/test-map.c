/* tests/unit/test-map.c - one verifier's map, as its writer has it and as its readers find it. */
#include "agent/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/unit/unit.h"

enum { SLOTS = 256, TEXT = 16 * 1024 };

static const char text_a[] = "a:b", text_b[] = "a/b:c\0x/y:*";
#define ACCESS_A ((struct span){ text_a, sizeof(text_a) })
#define ACCESS_B ((struct span){ text_b, sizeof(text_b) })

static struct map *whole_map(uint64_t n_slots, uint64_t text_bytes)
{
	struct map *m = NULL;

	ck_assert_int_eq(map_new(n_slots, text_bytes, &m), 0);
	ck_assert(!map_is_whole(m));
	while (!map_is_whole(m))
		ck_assert_int_ge(map_fill(m, 64 * 1024), 0);
	return m;
}

/* A reader's own mapping. */
struct reader {
	int fd;
	uint64_t bytes;
	struct map_head *head;
};

static struct reader reader_of(const struct map *m)
{
	struct reader r = { .fd = map_open(m), .bytes = map_size(m) };

	ck_assert_int_ge(r.fd, 0);
	r.head = mmap(NULL, r.bytes, PROT_READ, MAP_SHARED, r.fd, 0);
	ck_assert(r.head != MAP_FAILED);
	return r;
}

static void reader_done(struct reader *r)
{
	munmap(r->head, r->bytes);
	close(r->fd);
}

/* What stands in the map of the id; NULL: nothing. */
static const struct map_slot *look(const struct reader *r, uint64_t id)
{
	const struct map_slot *slots = map_slots(r->head);
	uint64_t n = r->head->n_slots, at = map_slot_of(id, n);

	for (int i = 0; i < MAP_PROBES_MAX && slots[at].id; i++, at = (at + 1) & (n - 1)) {
		ck_assert_uint_eq(slots[at].seq % 2, 0);
		if (slots[at].id == id)
			return slots[at].access_bytes ? &slots[at] : NULL;
	}
	return NULL;
}

static bool enter(struct map *m, uint64_t id, uint64_t expires_us, struct span access)
{
	uint8_t hash[TOKEN_HASH_LEN];
	struct map_token token = { id, expires_us, hash, access };

	for (size_t i = 0; i < sizeof(hash); i++)
		hash[i] = (uint8_t)(id * 7 + i);
	return map_enter(m, &token);
}

static bool stands(const struct reader *r, uint64_t id, uint64_t expires_us, struct span access)
{
	const struct map_slot *slot = look(r, id);
	const char *text = (const char *)r->head + r->head->text_at;
	const uint8_t *hash;

	if (!slot)
		return false;
	hash = (const uint8_t *)slot->hash;
	for (size_t i = 0; i < TOKEN_HASH_LEN; i++)
		ck_assert_uint_eq(hash[i], (uint8_t)(id * 7 + i));
	return slot->expires_us == expires_us && slot->access_bytes == access.n &&
	       memcmp(text + slot->access_at, access.p, access.n) == 0;
}

START_TEST(a_map_says_what_was_entered_until_it_is_taken_out)
{
	struct map *m = whole_map(SLOTS, TEXT);
	struct reader r = reader_of(m);

	ck_assert_uint_eq(r.head->n_slots, SLOTS);
	ck_assert_uint_eq(r.head->text_bytes, TEXT);
	ck_assert_uint_eq(r.head->state, MAP_ASK);
	ck_assert(!look(&r, 5));
	ck_assert(enter(m, 5, 100, ACCESS_A));
	ck_assert(stands(&r, 5, 100, ACCESS_A) && map_has(m, 5) && !map_has(m, 6));
	ck_assert(enter(m, 5, 50, ACCESS_B));
	ck_assert(stands(&r, 5, 50, ACCESS_B));
	ck_assert_uint_eq(map_n_tokens(m), 1);
	ck_assert_uint_eq(map_n_text(m), sizeof(text_b));
	map_leave(m, 5);
	map_leave(m, 5);
	map_leave(m, 6);
	ck_assert(!look(&r, 5) && !map_has(m, 5));
	ck_assert_uint_eq(map_n_tokens(m), 0);
	ck_assert_uint_eq(map_n_text(m), 0);
	ck_assert(enter(m, 5, 70, ACCESS_A));
	ck_assert(stands(&r, 5, 70, ACCESS_A));
	reader_done(&r);
	map_free(m);
}
END_TEST

START_TEST(an_access_stands_in_the_text_once_however_many_have_it)
{
	struct map *m = whole_map(SLOTS, TEXT);
	struct reader r = reader_of(m);

	for (uint64_t id = 1; id <= 100; id++)
		ck_assert(enter(m, id, 1, id % 2 ? ACCESS_A : ACCESS_B));
	for (uint64_t id = 3; id <= 100; id++)
		ck_assert_uint_eq(look(&r, id)->access_at, look(&r, id - 2)->access_at);
	ck_assert_uint_eq(map_n_text(m), sizeof(text_a) + sizeof(text_b));
	reader_done(&r);
	map_free(m);
}
END_TEST

/* Also after many have come and gone in the same slots. */
START_TEST(a_map_is_as_a_plain_list_of_what_came_and_went)
{
	enum { IDS = 400 };
	struct map *m = whole_map(SLOTS, TEXT);
	struct reader r = reader_of(m);
	uint64_t random = 1, expires[IDS + 1] = { 0 };
	bool b[IDS + 1] = { false };
	size_t n = 0;

	for (int i = 0; i < 20000; i++) {
		uint64_t id = unit_random(&random) % IDS + 1, key = id * UINT64_C(0x9E3779B97F4A7C15);

		if (unit_random(&random) % 3 == 0 || n > SLOTS / 2) {
			map_leave(m, key);
			n -= expires[id] != 0;
			expires[id] = 0;
		} else if (enter(m, key, (uint64_t)i + 1, i % 2 ? ACCESS_A : ACCESS_B)) {
			n += expires[id] == 0;
			expires[id] = (uint64_t)i + 1;
			b[id] = i % 2 == 0;
		} else {
			/* Its way is full of others, living or dead: it is out, and was before. */
			n -= expires[id] != 0;
			expires[id] = 0;
		}
		ck_assert_uint_eq(map_n_tokens(m), n);
		ck_assert_int_eq(map_has(m, key), expires[id] != 0);
	}
	for (uint64_t id = 1; id <= IDS; id++) {
		uint64_t key = id * UINT64_C(0x9E3779B97F4A7C15);

		UNIT_CHECK(expires[id] ? stands(&r, key, expires[id], b[id] ? ACCESS_B : ACCESS_A)
				       : !look(&r, key),
			   "id %llu", (unsigned long long)id);
	}
	reader_done(&r);
	map_free(m);
}
END_TEST

START_TEST(what_has_no_room_is_not_in_it_and_the_rest_is_right)
{
	struct map *m = whole_map(MAP_SLOTS_MIN, TEXT);
	struct reader r = reader_of(m);
	char scope[64];
	uint64_t id;

	/* slots */
	for (id = 1; enter(m, id, 1, ACCESS_A); id++)
		ck_assert_int_eq(map_is_crowded(m), map_n_tokens(m) > MAP_SLOTS_MIN / 10 * 7);
	ck_assert_uint_eq(id, MAP_SLOTS_MIN + 1);
	ck_assert(!map_has(m, id));
	map_leave(m, 7);
	ck_assert(enter(m, id, 1, ACCESS_A) && stands(&r, id, 1, ACCESS_A));
	reader_done(&r);
	map_free(m);

	/* text; of a token that was in it nothing of before is left */
	m = whole_map(SLOTS, 8 * 1024);
	r = reader_of(m);
	ck_assert(enter(m, 1, 1, ACCESS_A) && enter(m, 2, 1, ACCESS_A));
	for (int i = 0;; i++) {
		int n = snprintf(scope, sizeof(scope), "a/b-%048d:read", i) + 1;

		if (!enter(m, 1, 1, (struct span){ scope, (size_t)n }))
			break;
		ck_assert_uint_eq(map_n_text(m), sizeof(text_a) + (size_t)n);
	}
	ck_assert(map_is_crowded(m) && !map_has(m, 1) && stands(&r, 2, 1, ACCESS_A));
	/* What stands there already takes no room. */
	ck_assert(enter(m, 1, 1, ACCESS_A) && stands(&r, 1, 1, ACCESS_A));
	reader_done(&r);
	map_free(m);
}
END_TEST

START_TEST(what_readers_are_given_can_be_read_and_nothing_else)
{
	struct map *m = whole_map(SLOTS, TEXT);
	struct reader r = reader_of(m);
	char path[64];
	struct stat st;

	ck_assert_int_eq(fcntl(r.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	ck_assert_int_eq(fcntl(r.fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fstat(r.fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0400);
	ck_assert_int_eq(mprotect(r.head, r.bytes, PROT_READ | PROT_WRITE), -1);
	ck_assert_int_eq(ftruncate(r.fd, 0), -1);
	ck_assert_int_eq(fcntl(r.fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
	/* Not even by who may open it anew: root, and whoever it is of. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", r.fd);
	if (fchmod(r.fd, 0600) == 0) {
		int fd = open(path, O_RDWR | O_CLOEXEC);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(write(fd, "x", 1), -1);
		ck_assert_int_eq(errno, EPERM);
		ck_assert(mmap(NULL, r.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
		ck_assert_int_eq(ftruncate(fd, 0), -1);
		ck_assert_int_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), -1);
		close(fd);
	}
	/* And its maker still can. */
	ck_assert(enter(m, 1, 1, ACCESS_A) && stands(&r, 1, 1, ACCESS_A));
	reader_done(&r);
	map_free(m);
}
END_TEST

START_TEST(who_keeps_a_map_sees_that_it_is_retired_and_nobody_owns_it)
{
	struct map *m = whole_map(SLOTS, TEXT), *other = whole_map(SLOTS, TEXT);
	struct reader r = reader_of(m);

	map_set_state(m, MAP_GOOD);
	map_beat(m, 4711);
	ck_assert_uint_eq(r.head->state, MAP_GOOD);
	ck_assert_uint_eq(r.head->beat_us, 4711);
	ck_assert_uint_eq(r.head->owner & FUTEX_TID_MASK, (unsigned)gettid());
	map_free(m);
	ck_assert_uint_eq(r.head->state, MAP_RETIRED);
	ck_assert_uint_eq(r.head->owner, 0);
	map_free(other);
	reader_done(&r);
}
END_TEST

UNIT_MAIN("map", a_map_says_what_was_entered_until_it_is_taken_out,
	  an_access_stands_in_the_text_once_however_many_have_it,
	  a_map_is_as_a_plain_list_of_what_came_and_went,
	  what_has_no_room_is_not_in_it_and_the_rest_is_right,
	  what_readers_are_given_can_be_read_and_nothing_else,
	  who_keeps_a_map_sees_that_it_is_retired_and_nobody_owns_it)
