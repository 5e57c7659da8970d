/*
 * agent/map-pages.c - the thread has the memory mapped anew, to read: so it depends on nothing that
 * the loop may let go of meanwhile, and ends by itself.
 */
#include "agent/map-pages.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "agent/detached.h"
#include "protocol/map-memory.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

int map_pages_join(int fd, uint64_t bytes)
{
	uint64_t whole = bytes - bytes % MAP_PAGE_BYTES;
	void *p;
	int r;

	if (whole == 0)
		return 0;
	r = map_memory(fd, whole, &p);
	if (r < 0)
		return r;
	(void)madvise(p, whole, MADV_DONTDUMP);
	r = madvise(p, whole, MADV_COLLAPSE) < 0 ? -errno : 0;
	munmap(p, whole);
	return r;
}

struct job {
	int fd;
	uint64_t bytes;
};

static void *run(void *userdata)
{
	struct job *job = userdata;

	(void)pthread_setname_np(pthread_self(), "map-pages");
	(void)map_pages_join(job->fd, job->bytes);
	close(job->fd);
	free(job);
	return NULL;
}

void map_pages_join_soon(int fd, uint64_t bytes)
{
	struct job *job = bytes < MAP_PAGE_BYTES ? NULL : malloc(sizeof(*job));

	if (!job)
		return;
	*job = (struct job){ fcntl(fd, F_DUPFD_CLOEXEC, 3), bytes };
	if (job->fd >= 0 && detached_start(run, job))
		return;
	if (job->fd >= 0)
		close(job->fd);
	free(job);
}
