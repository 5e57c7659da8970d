/*
 * agent/map-owner.c
 *
 * When a thread dies the kernel goes through the list of the robust mutexes that it has, and marks
 * the futex of each. The list is the C library's, its links are in the mutexes, and the futex of each
 * is where the library has said it is beside the links. A map that had all of a mutex would tell its
 * readers addresses of the agent's. So the mutex lies across the end of a mapping of the head: what
 * is before its links in the map, its links in a page that is this process's alone.
 */
#include "agent/map-owner.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>

/* Whole pages, whatever their size. */
enum { BYTES = MAP_HEAD_BYTES, BEHIND = 64 * 1024 };

/* The C library's affair, and as old as robust mutexes. */
static_assert(offsetof(pthread_mutex_t, __data.__lock) == 0 &&
		      offsetof(pthread_mutex_t, __data.__list) ==
			      MAP_HEAD_BYTES - offsetof(struct map_head, owner),
	      "the futex comes first, and the links where the head ends");

static pthread_mutex_t *mutex_of(const struct map_owner *o)
{
	return (pthread_mutex_t *)(void *)(o->head + offsetof(struct map_head, owner));
}

int map_owner_init(struct map_owner *o, int fd)
{
	char *p = mmap(NULL, BYTES + BEHIND, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	if (mmap(p, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int r = -errno;

		munmap(p, BYTES + BEHIND);
		return r;
	}
	*o = (struct map_owner){ .head = p };
	return 0;
}

int map_owner_take(struct map_owner *o)
{
	pthread_mutexattr_t attr;
	int r = pthread_mutexattr_init(&attr);

	if (r != 0)
		return -r;
	(void)pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	(void)pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	r = pthread_mutex_init(mutex_of(o), &attr);
	(void)pthread_mutexattr_destroy(&attr);
	if (r == 0)
		r = pthread_mutex_lock(mutex_of(o));
	o->is_taken = r == 0;
	return -r;
}

void map_owner_done(struct map_owner *o)
{
	if (!o->head)
		return;
	/* Else the end of this thread would write to where it was. */
	if (o->is_taken)
		(void)pthread_mutex_unlock(mutex_of(o));
	munmap(o->head, BYTES + BEHIND);
	*o = (struct map_owner){ 0 };
}
