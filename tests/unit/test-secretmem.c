/*
 * tests/unit/test-secretmem.c - locked memory and pools.
 *
 * What depends on the limit is done in a child that has one and may not exceed it. valgrind knows
 * no memfd_secret; the tests take whatever kind they get there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "agent/secretmem.h"
#include "tests/unit/unit.h"

enum { NOBODY = 65534 };

#define KIB ((size_t)1024)

/* A kind as the settings of a struct secretmem that lead to it. */
static const struct secretmem kinds[] = {
	{ .kind = MEMORY_SECRETMEM },
	{ .kind = MEMORY_LOCKED, .no_secretmem = true },
	{ .kind = MEMORY_UNLOCKED, .allow_unlocked = true, .needed = SIZE_MAX },
};

/* Whether limits on locked memory hold for this process: not for valgrind's or as root. */
static bool drop_privileges(size_t memlock)
{
	struct rlimit limit = { memlock, memlock };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return false;
	return geteuid() != 0 || setresuid(NOBODY, NOBODY, NOBODY) == 0;
}

/* Runs body in a child of this limit; its result is the line it failed at, or 0. */
static int in_child(size_t memlock, int (*body)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(drop_privileges(memlock) ? body() & 0xff : 0xff);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* For bodies: the line, as far as an exit status holds it. */
#define EXPECT(held)                                                       \
	do {                                                               \
		if (!(held)) {                                             \
			fprintf(stderr, "line %d: %s\n", __LINE__, #held); \
			return 1;                                          \
		}                                                          \
	} while (0)

static bool is_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

START_TEST(what_has_grown_is_zeroed_and_stays_where_it_is)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct secretmem mem = kinds[k];
		struct region r;
		char *base;

		ck_assert_int_eq(region_init(&r, &mem, 1024 * KIB), 0);
		base = r.base;
		ck_assert_uint_eq(r.size, 0);
		for (size_t i = 1; i <= 16; i++) {
			size_t before = r.size;

			ck_assert_int_eq(region_grow(&r, i * 1000), 0);
			ck_assert_uint_ge(r.size, before + i * 1000);
			ck_assert_uint_eq(r.size % 4096, 0);
			ck_assert_ptr_eq(r.base, base);
			ck_assert(is_zero(r.base + before, r.size - before));
			memset(r.base + before, (int)i, r.size - before);
			for (size_t at = 0; at < before; at += 512)
				ck_assert_int_ne(r.base[at], 0);
		}
		region_done(&r);
		ck_assert_uint_eq(mem.locked, 0);
	}
}
END_TEST

START_TEST(all_regions_are_counted)
{
	struct secretmem mem = {};
	struct region a, b;

	ck_assert_int_eq(region_init(&a, &mem, 64 * KIB), 0);
	ck_assert_int_eq(region_init(&b, &mem, 64 * KIB), 0);
	ck_assert_uint_eq(mem.locked, 0);
	ck_assert_int_eq(region_grow(&a, 8 * KIB), 0);
	ck_assert_int_eq(region_grow(&b, 1), 0);
	ck_assert_uint_eq(mem.locked, a.size + b.size);
	region_done(&a);
	ck_assert_uint_eq(mem.locked, b.size);
	region_done(&a);
	region_done(&b);
	ck_assert_uint_eq(mem.locked, 0);
}
END_TEST

START_TEST(a_region_never_exceeds_its_reservation)
{
	struct secretmem mem = {};
	struct region r;

	ck_assert_int_eq(region_init(&r, &mem, 32 * KIB), 0);
	ck_assert_int_eq(region_grow(&r, 33 * KIB), -ENOSPC);
	ck_assert_int_eq(region_grow(&r, SIZE_MAX), -ENOSPC);
	ck_assert_int_eq(region_grow(&r, 32 * KIB), 0);
	ck_assert_int_eq(region_grow(&r, 1), -ENOSPC);
	ck_assert_uint_eq(r.size, 32 * KIB);
	ck_assert_int_eq(region_grow(&r, 0), 0);
	region_done(&r);
	ck_assert_int_eq(region_init(&r, &mem, SIZE_MAX), -ENOMEM);
}
END_TEST

/* The VmFlags of the mapping that p is in; false where it is in none. */
static bool mapping_flags(const void *p, char *dst, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	bool in = false;
	unsigned long from, to;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			in = from <= (unsigned long)p && (unsigned long)p < to;
		else if (in && strncmp(line, "VmFlags:", 8) == 0)
			break;
	}
	in = in && strncmp(line, "VmFlags:", 8) == 0;
	snprintf(dst, size, "%s", in ? line + 8 : "");
	fclose(f);
	return in;
}

START_TEST(it_is_locked_not_dumped_and_not_inherited)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct secretmem mem = kinds[k];
		struct region r;
		char flags[512];

		ck_assert_int_eq(region_init(&r, &mem, 1024 * KIB), 0);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(region_grow(&r, 8 * KIB), 0);
		for (size_t at = 0; at < r.size; at += 4096) {
			ck_assert(mapping_flags(r.base + at, flags, sizeof(flags)));
			ck_assert_msg(strstr(flags, " dd") && strstr(flags, " dc"), "%s", flags);
			ck_assert_msg(!strstr(flags, " lo") == (mem.kind == MEMORY_UNLOCKED), "%s",
				      flags);
		}
		region_done(&r);
	}
}
END_TEST

static struct region inherited;

/* A write from memory that is not there is EFAULT. */
static int look_at_inherited(void)
{
	int fds[2];

	EXPECT(pipe(fds) == 0);
	EXPECT(write(fds[1], inherited.base, 1) == -1 && errno == EFAULT);
	return 0;
}

START_TEST(a_child_does_not_have_it)
{
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		struct secretmem mem = kinds[k];

		ck_assert_int_eq(region_init(&inherited, &mem, 64 * KIB), 0);
		ck_assert_int_eq(region_grow(&inherited, 64 * KIB), 0);
		ck_assert_int_eq(in_child(8192 * KIB, look_at_inherited), 0);
		region_done(&inherited);
	}
}
END_TEST

static size_t count_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(no_descriptor_of_it_is_left_open)
{
	size_t before = count_fds();
	struct secretmem mem = {};
	struct region r;

	ck_assert_int_eq(region_init(&r, &mem, 1024 * KIB), 0);
	for (int i = 0; i < 8; i++)
		ck_assert_int_eq(region_grow(&r, 4 * KIB), 0);
	ck_assert_uint_eq(count_fds(), before);
	region_done(&r);
	ck_assert_uint_eq(count_fds(), before);
}
END_TEST

START_TEST(memfd_secret_is_not_read_through_proc)
{
	struct secretmem mem = {};
	struct region r;
	char byte;
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(region_init(&r, &mem, 64 * KIB), 0);
	ck_assert_int_eq(region_grow(&r, 64 * KIB), 0);
	/* Another kernel, or valgrind: nothing to see. */
	if (mem.kind == MEMORY_SECRETMEM)
		for (size_t at = 0; at < r.size; at += 4096)
			ck_assert_int_eq(pread(fd, &byte, 1, (off_t)(r.base + at)), -1);
	region_done(&r);
	close(fd);
}
END_TEST

static int the_limit(void)
{
	EXPECT(secretmem_limit() == 96 * KIB);
	return 0;
}

START_TEST(the_limit_is_the_one_in_force)
{
	ck_assert_int_eq(in_child(96 * KIB, the_limit), 0);
	/* Whatever it is here, it is what the kernel goes by. */
	ck_assert_uint_gt(secretmem_limit(), 0);
}
END_TEST

/* Whether something is mapped there, so that nothing else can come to lie in it. */
static bool is_taken(void *p)
{
	void *got = mmap(p, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(got, 4096);
	return got != p;
}

static int over_the_limit(void)
{
	for (int k = 0; k < 2; k++) {
		struct secretmem mem = kinds[k];
		struct region r;
		size_t before;

		EXPECT(region_init(&r, &mem, 4096 * KIB) == 0);
		EXPECT(region_grow(&r, 64 * KIB) == 0);
		EXPECT(mem.decided && mem.kind != MEMORY_UNLOCKED);
		memset(r.base, 'x', r.size);
		before = r.size;
		for (int i = 0; i < 3; i++) {
			EXPECT(region_grow(&r, 1024 * KIB) == -ENOMEM);
			EXPECT(r.size == before && mem.locked == before);
			EXPECT(is_taken(r.base + r.size));
		}
		EXPECT(region_grow(&r, 16 * KIB) == 0);
		EXPECT(is_zero(r.base + before, r.size - before));
		EXPECT(r.base[0] == 'x');
		region_done(&r);
	}
	return 0;
}

START_TEST(over_the_limit_nothing_changes_and_less_still_fits)
{
	ck_assert_int_eq(in_child(256 * KIB, over_the_limit), 0);
}
END_TEST

static int never_unlocked(void)
{
	for (int k = 0; k < 2; k++) {
		struct secretmem mem = kinds[k];
		struct region r;

		EXPECT(region_init(&r, &mem, 64 * KIB) == 0);
		EXPECT(region_grow(&r, 64 * KIB) == -ENOMEM);
		EXPECT(!mem.decided && mem.locked == 0 && r.size == 0);
		region_done(&r);
	}
	return 0;
}

START_TEST(memory_that_cannot_be_locked_is_not_used)
{
	ck_assert_int_eq(in_child(0, never_unlocked), 0);
	ck_assert_int_eq(in_child(16 * KIB, never_unlocked), 0);
}
END_TEST

static int unlocked_if_allowed(void)
{
	for (int k = 0; k < 2; k++) {
		struct secretmem mem = kinds[k];
		struct region r;

		mem.allow_unlocked = true;
		EXPECT(region_init(&r, &mem, 256 * KIB) == 0);
		EXPECT(region_grow(&r, 64 * KIB) == 0);
		EXPECT(mem.decided && mem.kind == MEMORY_UNLOCKED && mem.locked == r.size);
		EXPECT(region_grow(&r, 64 * KIB) == 0);
		EXPECT(is_zero(r.base, r.size));
		region_done(&r);
	}
	return 0;
}

START_TEST(memory_is_unlocked_only_where_that_is_allowed)
{
	ck_assert_int_eq(in_child(0, unlocked_if_allowed), 0);
	ck_assert_int_eq(in_child(16 * KIB, unlocked_if_allowed), 0);
}
END_TEST

static int locked_where_it_can_be(void)
{
	struct secretmem mem = { .allow_unlocked = true, .needed = 128 * KIB };
	struct region r;

	EXPECT(region_init(&r, &mem, 1024 * KIB) == 0);
	EXPECT(region_grow(&r, 64 * KIB) == 0);
	EXPECT(mem.kind != MEMORY_UNLOCKED);
	/* The kind once decided holds: what does not fit is not there, rather than unlocked. */
	EXPECT(region_grow(&r, 512 * KIB) == -ENOMEM);
	region_done(&r);
	mem = (struct secretmem){ .allow_unlocked = true, .needed = 512 * KIB };
	EXPECT(region_init(&r, &mem, 1024 * KIB) == 0);
	EXPECT(region_grow(&r, 64 * KIB) == 0);
	EXPECT(mem.kind == MEMORY_UNLOCKED);
	region_done(&r);
	return 0;
}

START_TEST(what_an_empty_agent_needs_decides_before_the_first_region)
{
	ck_assert_int_eq(in_child(256 * KIB, locked_where_it_can_be), 0);
}
END_TEST

START_TEST(ordinary_memory_is_not_counted)
{
	struct region r;

	ck_assert_int_eq(region_init(&r, NULL, 1024 * KIB), 0);
	ck_assert_int_eq(region_grow(&r, 5000), 0);
	ck_assert(is_zero(r.base, r.size));
	ck_assert_int_eq(region_grow(&r, 1024 * KIB), -ENOSPC);
	region_done(&r);
}
END_TEST

START_TEST(a_wipe_leaves_nothing)
{
	char secret[100];

	memset(secret, 's', sizeof(secret));
	secret_wipe(secret, sizeof(secret));
	ck_assert(is_zero(secret, sizeof(secret)));
}
END_TEST

START_TEST(a_pool_gives_each_buffer_to_one_user_at_a_time)
{
	static const size_t sizes[] = { 1, 8, 64, 100, 4096, 5000, 70000 };
	enum { MAX = 20 };

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		struct secretmem mem = {};
		struct pool p;
		char *bufs[MAX];

		ck_assert_int_eq(pool_init(&p, &mem, sizes[s], MAX, 3), 0);
		ck_assert_uint_eq(mem.locked, 0);
		for (int round = 0; round < 3; round++) {
			for (int i = 0; i < MAX; i++) {
				bufs[i] = pool_get(&p);
				ck_assert_ptr_nonnull(bufs[i]);
				ck_assert_uint_eq((uintptr_t)bufs[i] % 64, 0);
				ck_assert(is_zero(bufs[i], sizes[s]));
				memset(bufs[i], i + 1, sizes[s]);
			}
			ck_assert_ptr_null(pool_get(&p));
			ck_assert_uint_eq(p.n_used, MAX);
			for (int i = 0; i < MAX; i++) {
				for (size_t at = 0; at < sizes[s]; at++)
					UNIT_CHECK(bufs[i][at] == i + 1, "two have one buffer");
				secret_wipe(bufs[i], sizes[s]);
				pool_put(&p, bufs[i]);
			}
			pool_put(&p, NULL);
			ck_assert_uint_eq(p.n_used, 0);
		}
		pool_done(&p);
		ck_assert_uint_eq(mem.locked, 0);
	}
}
END_TEST

static int pool_at_the_limit(void)
{
	struct secretmem mem = {};
	struct pool p;
	char *last = NULL, *buf;
	size_t n = 0;

	EXPECT(pool_init(&p, &mem, 16 * KIB, 1000, 8) == 0);
	while ((buf = pool_get(&p))) {
		memset(buf, 1, 16 * KIB);
		last = buf;
		n++;
	}
	/* The step that does not fit any more is made as small as it can be. */
	EXPECT(n == 256 / 16 - 1 || n == 256 / 16);
	pool_put(&p, last);
	EXPECT(pool_get(&p) == last && !pool_get(&p));
	pool_done(&p);
	return 0;
}

START_TEST(a_pool_uses_the_limit_up_and_goes_on)
{
	ck_assert_int_eq(in_child(256 * KIB, pool_at_the_limit), 0);
}
END_TEST

UNIT_MAIN("secretmem", what_has_grown_is_zeroed_and_stays_where_it_is, all_regions_are_counted,
	  a_region_never_exceeds_its_reservation, it_is_locked_not_dumped_and_not_inherited,
	  a_child_does_not_have_it, no_descriptor_of_it_is_left_open,
	  memfd_secret_is_not_read_through_proc, the_limit_is_the_one_in_force,
	  over_the_limit_nothing_changes_and_less_still_fits,
	  memory_that_cannot_be_locked_is_not_used, memory_is_unlocked_only_where_that_is_allowed,
	  what_an_empty_agent_needs_decides_before_the_first_region, ordinary_memory_is_not_counted,
	  a_wipe_leaves_nothing, a_pool_gives_each_buffer_to_one_user_at_a_time,
	  a_pool_uses_the_limit_up_and_goes_on)
