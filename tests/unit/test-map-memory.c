/* tests/unit/test-map-memory.c - a map's memory in large pages: protocol/map-memory.h, agent/map-pages.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/map-pages.h"
#include "protocol/map-memory.h"
#include "tests/unit/unit.h"

enum { WORD = sizeof(uint64_t), LARGE = MAP_PAGE_BYTES };

/* Each word of it is its own number. */
static int make_file(uint64_t bytes)
{
	int fd = memfd_create("map", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint64_t *p;

	ck_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert(p != MAP_FAILED);
	for (uint64_t i = 0; i < bytes / WORD; i++)
		p[i] = i;
	munmap(p, bytes);
	return fd;
}

static void is_whole(const uint64_t *p, uint64_t bytes)
{
	for (uint64_t i = 0; i < bytes / WORD; i++)
		if (p[i] != i)
			ck_abort_msg("word %llu is another", (unsigned long long)i);
}

/* Of the mapping at p, in KiB, what /proc says; -1: there is no such mapping. */
static long in_smaps(const void *p, const char *key)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long from, to;
	bool here = false;
	char line[300];
	long kib = -1;

	ck_assert_ptr_nonnull(f);
	while (kib < 0 && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			here = from == (uintptr_t)p;
		else if (here && strncmp(line, key, strlen(key)) == 0)
			kib = atol(line + strlen(key));
	}
	fclose(f);
	return kib;
}

/* Mappings of a map, and of what nobody may look at. Others come and go by themselves. */
static unsigned n_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[300];
	unsigned n = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/memfd:map") || strstr(line, " ---p 00000000 00:00 0");
	fclose(f);
	return n;
}

/* Below a large page, one, with a rest that is no page, and more. */
static const uint64_t sizes[] = { 4096, 70000, LARGE - 4096, LARGE, LARGE + 64, 3 * LARGE + 70016 };

static void map_and_look(uint64_t bytes)
{
	int fd = make_file(bytes);
	unsigned before = n_mappings();
	void *p;

	ck_assert_int_eq(map_memory(fd, bytes, &p), 0);
	is_whole(p, bytes);
	if (bytes >= LARGE)
		ck_assert_uint_eq((uintptr_t)p % LARGE, 0);
	/* Nothing beside it is left, and after munmap() nothing at all. */
	ck_assert_uint_eq(n_mappings(), before + 1);
	munmap(p, bytes);
	ck_assert_uint_eq(n_mappings(), before);
	close(fd);
}

START_TEST(a_map_of_any_size_is_mapped_at_a_large_page_and_nothing_beside_it)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		map_and_look(sizes[i]);
}
END_TEST

START_TEST(what_can_not_be_mapped_leaves_nothing)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	unsigned before = n_mappings();
	void *p;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		ck_assert_int_eq(map_memory(fd, sizes[i], &p), -ENODEV);
	ck_assert_int_eq(map_memory(-1, LARGE, &p), -EBADF);
	ck_assert_uint_eq(n_mappings(), before);
	close(fd);
}
END_TEST

static void join_and_look(uint64_t bytes)
{
	int fd = make_file(bytes), r = map_pages_join(fd, bytes);
	unsigned before = n_mappings();
	void *p;

	ck_assert_int_eq(map_memory(fd, bytes, &p), 0);
	is_whole(p, bytes);
	/* A kernel that gives none says so. */
	if (r == 0)
		ck_assert_int_eq(in_smaps(p, "ShmemPmdMapped:"),
				 (long)(bytes / LARGE) * LARGE / 1024);
	munmap(p, bytes);
	ck_assert_uint_eq(n_mappings(), before);
	close(fd);
}

START_TEST(a_map_in_large_pages_is_the_same_one)
{
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		join_and_look(sizes[i]);
}
END_TEST

/* The descriptor and the mapping that there were stay good, and no thread or mapping of its own is left. */
START_TEST(a_map_that_is_read_gets_large_pages_meanwhile)
{
	uint64_t bytes = 4 * LARGE;
	int fd = make_file(bytes), last = dup(fd), next;
	void *p;

	close(last);
	ck_assert_int_eq(map_memory(fd, bytes, &p), 0);
	map_pages_join_soon(fd, bytes);
	for (int i = 0; i < 20; i++)
		is_whole(p, bytes);
	/* Its copy of the descriptor goes when it is done. */
	for (int tries = 0; tries < 10000; tries++) {
		next = dup(fd);
		close(next);
		if (next == last)
			break;
		usleep(1000);
	}
	ck_assert_int_eq(next, last);
	is_whole(p, bytes);
	munmap(p, bytes);
	close(fd);
}
END_TEST

UNIT_MAIN("map-memory", a_map_of_any_size_is_mapped_at_a_large_page_and_nothing_beside_it,
	  what_can_not_be_mapped_leaves_nothing, a_map_in_large_pages_is_the_same_one,
	  a_map_that_is_read_gets_large_pages_meanwhile)
