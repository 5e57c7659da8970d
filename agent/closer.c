/*
 * agent/closer.c - the thread starts with the first stranger's descriptor: most agents never see
 * one.
 */
#include "agent/closer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#include "agent/detached.h"

/* The writing end of the way to the thread; -1: not started. The process has one. */
static int to_thread = -1;

static void *close_all(void *argument)
{
	int from_loop = (int)(intptr_t)argument, fd;

	(void)pthread_setname_np(pthread_self(), "closer");
	while (read(from_loop, &fd, sizeof(fd)) == sizeof(fd))
		close(fd);
	return NULL;
}

static void start(void)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	/* The loop must never wait for this thread. */
	(void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
	if (detached_start(close_all, (void *)(intptr_t)ends[0])) {
		to_thread = ends[1];
	} else {
		close(ends[0]);
		close(ends[1]);
	}
}

void closer_close(const int fds[], size_t n)
{
	if (to_thread < 0)
		start();
	for (size_t i = 0; i < n; i++)
		if (to_thread < 0 || write(to_thread, &fds[i], sizeof(fds[i])) != sizeof(fds[i]))
			close(fds[i]);
}
