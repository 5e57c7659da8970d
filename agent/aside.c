/*
 * agent/aside.c - see aside.h. A thread for each piece, since pieces are few and idle threads cost
 * memory. Its stack is kept by libc for the next one, so that what keys have left there is wiped at
 * the end.
 */
#include "agent/aside.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* A part of it is libc's, for what each thread has of its own: sanitizers have much. */
enum { STACK = 512 * 1024, STACK_USED = 192 * 1024 };

static void *run(void *userdata)
{
	struct aside *a = userdata;

	a->work(a->userdata);
	sodium_stackzero(STACK_USED);
	(void)eventfd_write(a->event_fd, 1); /* once each: it can't be full */
	return NULL;
}

static int on_over(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct aside *a = userdata;
	eventfd_t n;

	(void)source;
	(void)events;
	if (eventfd_read(fd, &n) < 0)
		return 0;
	pthread_join(a->thread, NULL);
	a->is_running = false;
	a->done(a->userdata);
	return 0;
}

int aside_init(struct aside *a, sd_event *event, void (*done)(void *userdata), void *userdata)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), r;

	if (fd < 0)
		return -errno;
	r = sd_event_add_io(event, &a->source, fd, EPOLLIN, on_over, a);
	if (r < 0) {
		close(fd);
		return r;
	}
	a->event_fd = fd;
	a->done = done;
	a->userdata = userdata;
	return 0;
}

/* Signals are the loop's. */
int aside_start(struct aside *a, void (*work)(void *userdata))
{
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	assert(!a->is_running);
	a->work = work;
	sigfillset(&all);
	pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&a->thread, &attr, run, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	a->is_running = r == 0;
	return r;
}

void aside_done(struct aside *a)
{
	if (!a->source)
		return;
	if (a->is_running)
		pthread_join(a->thread, NULL);
	a->is_running = false;
	a->source = sd_event_source_unref(a->source);
	close(a->event_fd);
}
