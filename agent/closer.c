/*
 * agent/closer.c - the first thread starts with the first stranger's descriptor: most agents never see one. Another one
 * is added while those that are there have not taken what they were given before, since each may be held up.
 */
#include "agent/closer.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/detached.h"

enum {
	THREADS_MAX = 8,
	/* All descriptors that an agent may have are in it, where LimitNOFILE= is as its unit has it; and more. */
	WAY_BYTES = 1024 * 1024,
	/* So many on their way are waited for, a moment, lest descriptors run out. */
	MANY = 4096,
	WAIT_MS = 2,
};

/* The way to the threads, a pipe; the process has one. The loop alone starts them, and writes. */
static int to_threads = -1, from_loop = -1;
static unsigned n_threads;
static atomic_uint n_untaken; /* that no thread has taken yet */
static atomic_uint n_closed;

static void *close_all(void *userdata)
{
	int fd;

	(void)userdata;
	(void)pthread_setname_np(pthread_self(), "closer");
	while (read(from_loop, &fd, sizeof(fd)) == sizeof(fd)) {
		atomic_fetch_sub(&n_untaken, 1);
		close(fd);
		atomic_fetch_add(&n_closed, 1);
	}
	return NULL;
}

static bool make_way(void)
{
	int ends[2];

	if (to_threads >= 0)
		return true;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	/* The loop must never wait for a thread. */
	(void)fcntl(ends[1], F_SETFL, O_NONBLOCK);
	(void)fcntl(ends[1], F_SETPIPE_SZ, WAY_BYTES);
	from_loop = ends[0];
	to_threads = ends[1];
	return true;
}

static void start_another(void)
{
	if (make_way() && detached_start(close_all, NULL))
		n_threads++;
}

/* Whether a thread has it, or will. */
static bool hand_over(int fd)
{
	atomic_fetch_add(&n_untaken, 1);
	if (write(to_threads, &fd, sizeof(fd)) == sizeof(fd))
		return true;
	atomic_fetch_sub(&n_untaken, 1);
	return false;
}

/*
 * Descriptors come faster than they are closed where all that the threads lack is a processor. Where they are held up,
 * nothing is waited for a second time.
 */
static void let_them_catch_up(void)
{
	static unsigned closed_before;
	static bool is_vain;
	unsigned closed = atomic_load(&n_closed);

	if (atomic_load(&n_untaken) < MANY || (is_vain && closed == closed_before))
		return;
	for (int ms = 0; ms < WAIT_MS && atomic_load(&n_untaken) >= MANY; ms++)
		(void)poll(NULL, 0, 1);
	closed_before = atomic_load(&n_closed);
	is_vain = closed_before == closed;
}

void closer_close(const int fds[], size_t n)
{
	if (n_threads == 0 || (n_threads < THREADS_MAX && atomic_load(&n_untaken) > 0))
		start_another();
	for (size_t i = 0; i < n; i++)
		if (n_threads == 0 || !hand_over(fds[i]))
			close(fds[i]);
	let_them_catch_up();
}

void closer_close_socket(int fd)
{
	int unread = -1;

	/* After that nothing more can be put into it, and the client hears nothing of it. */
	if (shutdown(fd, SHUT_RD) == 0 && ioctl(fd, FIONREAD, &unread) == 0 && unread == 0)
		close(fd);
	else
		closer_close(&fd, 1);
}
