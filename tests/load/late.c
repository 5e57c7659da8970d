/*
 * tests/load/late.c - put in front of libc (LD_PRELOAD), it makes an agent that starves somebody: of a hundred answers
 * three come five milliseconds late. tests/load/starving.py must find that. It spins, since an agent may not sleep.
 */
#include <dlfcn.h>
#include <sys/socket.h>
#include <time.h>

static long long now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
	static ssize_t (*real)(int, const void *, size_t, int);
	static unsigned n_sent;

	if (!real)
		real = (ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
	if (++n_sent % 33 == 0)
		for (long long end = now_ns() + 5000000; now_ns() < end;)
			;
	return real(fd, bytes, n, flags);
}
