/*
 * tests/support/clock.c - see clock.h. What an executable defines comes before what libraries do, so
 * that sd-event asks here too. That is all it knows of time: clock_gettime(), and a timerfd for each
 * clock, set to instants of that clock. So the timers here are the kernel's, set to the real instant
 * that the wanted one is at, and set again whenever the clock was moved.
 *
 * Nothing is asked of the kernel that an agent behind its walls may not ask: the page is mapped
 * before main(), and whoever hears the bell is a thread from before the walls.
 */
#include "tests/support/clock.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
	TIMERS_MAX = 1024, /* by their descriptors */
	FROZEN_BOOT_S = 1000,
};
static const int64_t PER_SEC = 1000000000;

struct timer {
	bool known;
	enum test_clock clock;
	int64_t at_ns; /* by the clock of the tests; 0: none */
};

static struct {
	struct test_clock_page *page;
	bool frozen;
	int64_t frozen_ns[TEST_CLOCKS];
	pthread_mutex_t mutex; /* of the timers */
	struct timer timers[TIMERS_MAX];
} the = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* ---- what libc has --------------------------------------------------------------------------- */

static struct {
	int (*gettime)(clockid_t clock, struct timespec *ret);
	int (*create)(int clock, int flags);
	int (*settime)(int fd, int flags, const struct itimerspec *new, struct itimerspec *old);
} real;

static void find(void *where, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	memcpy(where, &found, sizeof(found));
}

static void find_real(void)
{
	if (real.settime)
		return;
	find(&real.gettime, "clock_gettime");
	find(&real.create, "timerfd_create");
	find(&real.settime, "timerfd_settime");
}

/* ---- instants -------------------------------------------------------------------------------- */

static bool clock_of(clockid_t id, enum test_clock *ret)
{
	switch (id) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
		*ret = TEST_CLOCK_REALTIME;
		return true;
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		*ret = TEST_CLOCK_BOOTTIME;
		return true;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_MONOTONIC_RAW:
		*ret = TEST_CLOCK_MONOTONIC;
		return true;
	default:
		return false;
	}
}

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * PER_SEC + t->tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / PER_SEC, .tv_nsec = ns % PER_SEC };
}

static int64_t offset_ns(enum test_clock clock)
{
	return the.page ? atomic_load(&the.page->offset_us[clock]) * 1000 : 0;
}

/* No clock is before its epoch. */
static int64_t shifted(enum test_clock clock, int64_t real_ns)
{
	int64_t ns = real_ns + offset_ns(clock);

	return ns < 0 ? 0 : ns;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
	enum test_clock clock;
	int r = 0;

	find_real();
	if (!clock_of(id, &clock))
		return real.gettime(id, ret);
	if (!the.frozen)
		r = real.gettime(id, ret);
	if (r == 0)
		*ret = timespec_of(the.frozen ? the.frozen_ns[clock]
					      : shifted(clock, ns_of(ret)));
	return r;
}

/* ---- timers ---------------------------------------------------------------------------------- */

static bool is_timer(int fd)
{
	return fd >= 0 && fd < TIMERS_MAX && the.timers[fd].known;
}

/* The real instant at which the timer has to fire; 1: at once, 0: never, as things stand. */
static int64_t real_instant(const struct timer *t)
{
	int64_t ns;

	if (t->at_ns == 0)
		return 0;
	if (the.frozen)
		return t->at_ns <= the.frozen_ns[t->clock] ? 1 : 0;
	ns = t->at_ns - offset_ns(t->clock);
	return ns < 1 ? 1 : ns;
}

static int arm(int fd)
{
	struct itimerspec its = { .it_value = timespec_of(real_instant(&the.timers[fd])) };

	return real.settime(fd, TFD_TIMER_ABSTIME, &its, NULL);
}

static void arm_all(void)
{
	pthread_mutex_lock(&the.mutex);
	/* One that was closed meanwhile is no timer, which the kernel says. */
	for (int fd = 0; fd < TIMERS_MAX; fd++)
		if (is_timer(fd))
			(void)arm(fd);
	pthread_mutex_unlock(&the.mutex);
}

int timerfd_create(int id, int flags)
{
	enum test_clock clock;
	int fd;

	find_real();
	fd = real.create(id, flags);
	if (fd < 0 || fd >= TIMERS_MAX)
		return fd;
	pthread_mutex_lock(&the.mutex);
	the.timers[fd] = (struct timer){ .known = clock_of(id, &clock), .clock = clock };
	pthread_mutex_unlock(&the.mutex);
	return fd;
}

/* TFD_TIMER_CANCEL_ON_SET is not acted: nothing here asks for it. */
int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old)
{
	int r;

	find_real();
	if (!is_timer(fd) || old || new->it_interval.tv_sec || new->it_interval.tv_nsec ||
	    (!(flags & TFD_TIMER_ABSTIME) && !the.frozen))
		return real.settime(fd, flags, new, old);
	pthread_mutex_lock(&the.mutex);
	the.timers[fd].at_ns = ns_of(&new->it_value);
	if (!(flags & TFD_TIMER_ABSTIME) && the.timers[fd].at_ns)
		the.timers[fd].at_ns += the.frozen_ns[the.timers[fd].clock];
	r = arm(fd);
	pthread_mutex_unlock(&the.mutex);
	return r;
}

/* ---- shifted --------------------------------------------------------------------------------- */

static void *hear(void *bell)
{
	int fd = (int)(intptr_t)bell;
	char byte;

	while (read(fd, &byte, 1) == 1) {
		uint32_t turn = atomic_load(&the.page->turn);

		arm_all();
		atomic_store(&the.page->seen, turn);
	}
	return NULL;
}

static void hear_the_bell(const char *path)
{
	sigset_t all, before;
	pthread_t thread;
	char bell[4096];
	int fd;

	snprintf(bell, sizeof(bell), "%s.bell", path);
	fd = open(bell, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		abort();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, hear, (void *)(intptr_t)fd) != 0)
		abort();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("JETON_TEST_CLOCK");
	void *page;
	int fd;

	find_real();
	if (!path)
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	page = mmap(NULL, sizeof(*the.page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || page == MAP_FAILED) {
		fprintf(stderr, "JETON_TEST_CLOCK=%s: %s\n", path, strerror(errno));
		abort();
	}
	close(fd);
	the.page = page;
	hear_the_bell(path);
}

/* ---- frozen ---------------------------------------------------------------------------------- */

void test_clock_freeze(uint64_t realtime_us)
{
	for (int i = 0; i < TEST_CLOCKS; i++)
		the.frozen_ns[i] = FROZEN_BOOT_S * PER_SEC;
	the.frozen_ns[TEST_CLOCK_REALTIME] = (int64_t)realtime_us * 1000;
	the.frozen = true;
	arm_all();
}

void test_clock_advance(uint64_t us)
{
	assert(the.frozen);
	for (int i = 0; i < TEST_CLOCKS; i++)
		the.frozen_ns[i] += (int64_t)us * 1000;
	arm_all();
}

void test_clock_set(uint64_t realtime_us)
{
	assert(the.frozen);
	the.frozen_ns[TEST_CLOCK_REALTIME] = (int64_t)realtime_us * 1000;
	arm_all();
}

void test_clock_thaw(void)
{
	the.frozen = false;
	/* What was set while it was frozen is over with what set it. */
	memset(the.timers, 0, sizeof(the.timers));
}
