/* agent/detached.c - see detached.h. */
#include "agent/detached.h"

#include <pthread.h>
#include <signal.h>

enum { STACK = 64 * 1024 };

/* Signals are the loop's. */
bool detached_start(void *(*run)(void *userdata), void *userdata)
{
	pthread_t thread;
	pthread_attr_t attr;
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK);
	r = pthread_create(&thread, &attr, run, userdata);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r == 0;
}
