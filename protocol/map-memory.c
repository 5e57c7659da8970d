/* protocol/map-memory.c - see map-memory.h. */
#include "protocol/map-memory.h"

#include <errno.h>
#include <sys/mman.h>

/* Address space that nobody else gets meanwhile. */
static char *reserve(uint64_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void give_back(char *from, char *to)
{
	if (to > from)
		munmap(from, (size_t)(to - from));
}

static uint64_t rounded_up(uint64_t n, uint64_t multiple)
{
	return (n + multiple - 1) / multiple * multiple;
}

static int map_at(void *place, int flags, int fd, uint64_t bytes, void **ret)
{
	void *p = mmap(place, bytes, PROT_READ, MAP_SHARED | flags, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return 0;
}

int map_memory(int fd, uint64_t bytes, void **ret)
{
	uint64_t room = rounded_up(bytes, MAP_PAGE_BYTES) + MAP_PAGE_BYTES;
	char *p = bytes < MAP_PAGE_BYTES ? NULL : reserve(room), *at, *end;
	int r;

	if (!p)
		return map_at(NULL, 0, fd, bytes, ret);
	at = (char *)rounded_up((uintptr_t)p, MAP_PAGE_BYTES);
	end = at + rounded_up(bytes, (uint64_t)getpagesize());
	r = map_at(at, MAP_FIXED, fd, bytes, ret);
	if (r < 0) {
		munmap(p, room);
		return r;
	}
	give_back(p, at);
	give_back(end, p + room);
	return 0;
}
