/*
 * tests/fuzz/agent-threads.c - see agent-threads.h. The linker hands over what the agent's threads
 * wait by (agent.wrap): a coroutine that waits for a condition gives way to the loop, and a loop
 * that waits gives the coroutines their turn. Threads of others, libFuzzer's for one, stay threads.
 *
 * Invariant: a coroutine gives way in pthread_cond_wait() and nowhere else, with the mutex free; so
 * whatever a thread does between two waits is one step, as the queues between them have it anyway.
 */
#include "tests/fuzz/agent-threads.h"

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "agent/store-impl.h"
#include "tests/fuzz/fuzz.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif

#ifdef HAS_ASAN
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void **fake, const void *bottom, size_t n)
{
	(void)fake;
	(void)bottom;
	(void)n;
}
static void __sanitizer_finish_switch_fiber(void *fake, const void **bottom, size_t *n)
{
	(void)fake;
	(void)bottom;
	(void)n;
}
#endif

enum {
	THREADS_MAX = 8,
	STACK = 1024 * 1024, /* agent/aside.c wipes a good part of its own */
	TURNS_MAX = 100000,
};

struct thread {
	ucontext_t context;
	void *(*run)(void *userdata);
	void *userdata;
	void *stack;			 /* stays, for the next one */
	void *fake;			 /* the sanitizer's */
	const pthread_cond_t *waits_for; /* NULL: it can go on */
	bool in_use, over, detached;
};

static struct {
	bool on, store_is_held;
	ucontext_t loop;
	void *loop_fake;
	const void *loop_bottom;
	size_t loop_n;
	struct thread threads[THREADS_MAX];
	struct thread *running;
} the;

int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
			  void *userdata);
int __real_pthread_join(pthread_t thread, void **ret);
int __real_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __real_pthread_cond_signal(pthread_cond_t *cond);
int __real_pthread_cond_broadcast(pthread_cond_t *cond);
int __real_pthread_setname_np(pthread_t thread, const char *name);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
			  void *userdata);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex);
int __wrap_pthread_cond_signal(pthread_cond_t *cond);
int __wrap_pthread_cond_broadcast(pthread_cond_t *cond);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);

/* ---- to and fro ------------------------------------------------------------------------------ */

/*
 * libc's own: the sanitizer's forgets what it knows of a whole stack at each switch, for want of
 * what it is told here, and that costs more than all else.
 */
static void swap(ucontext_t *from, const ucontext_t *to)
{
	static int (*libc)(ucontext_t * from, const ucontext_t *to);
	void *found;

	if (!libc) {
		found = dlsym(RTLD_NEXT, "swapcontext");
		FUZZ_HOLDS(found);
		memcpy(&libc, &found, sizeof(libc));
	}
	FUZZ_HOLDS(libc(from, to) == 0);
}

static void give_way(struct thread *t)
{
	__sanitizer_start_switch_fiber(t->over ? NULL : &t->fake, the.loop_bottom, the.loop_n);
	swap(&t->context, &the.loop);
	__sanitizer_finish_switch_fiber(t->fake, &the.loop_bottom, &the.loop_n);
}

static void begin(void)
{
	struct thread *t = the.running;

	__sanitizer_finish_switch_fiber(NULL, &the.loop_bottom, &the.loop_n);
	t->run(t->userdata);
	t->over = true;
	give_way(t);
	abort();
}

static void go_on(struct thread *t)
{
	FUZZ_HOLDS(!the.running);
	the.running = t;
	__sanitizer_start_switch_fiber(&the.loop_fake, t->stack, STACK);
	swap(&the.loop, &t->context);
	__sanitizer_finish_switch_fiber(the.loop_fake, NULL, NULL);
	the.running = NULL;
	if (t->over && t->detached)
		t->in_use = false;
}

static void run_all(bool even_held)
{
	for (size_t i = 0; i < THREADS_MAX; i++) {
		struct thread *t = &the.threads[i];

		if (t->in_use && !t->over && !t->waits_for &&
		    (even_held || !the.store_is_held || t->run != store_thread))
			go_on(t);
	}
}

void threads_run(void)
{
	run_all(false);
}

void threads_hold_store(bool held)
{
	the.store_is_held = held;
}

void threads_begin(void)
{
	the.on = true;
	the.store_is_held = false;
}

void threads_end(void)
{
	run_all(true);
	for (size_t i = 0; i < THREADS_MAX; i++)
		FUZZ_HOLDS(!the.threads[i].in_use);
	the.on = false;
}

/* ---- what the linker hands over -------------------------------------------------------------- */

static struct thread *find_free(void)
{
	for (size_t i = 0; i < THREADS_MAX; i++)
		if (!the.threads[i].in_use)
			return &the.threads[i];
	return NULL;
}

static void *map_stack(void)
{
	void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	FUZZ_HOLDS(stack != MAP_FAILED);
	return stack;
}

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
			  void *userdata)
{
	struct thread *t = find_free();
	int state = PTHREAD_CREATE_JOINABLE;

	if (!the.on)
		return __real_pthread_create(ret, attr, run, userdata);
	FUZZ_HOLDS(t && !the.running);
	if (attr)
		pthread_attr_getdetachstate(attr, &state);
	*t = (struct thread){
		.run = run,
		.userdata = userdata,
		.stack = t->stack ? t->stack : map_stack(),
		.in_use = true,
		.detached = state == PTHREAD_CREATE_DETACHED,
	};
	getcontext(&t->context);
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = STACK;
	makecontext(&t->context, begin, 0);
	*ret = (pthread_t)(uintptr_t)t;
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
	struct thread *t = (struct thread *)(uintptr_t)thread;

	if (!the.on)
		return __real_pthread_join(thread, ret);
	for (unsigned i = 0; !t->over; i++) {
		FUZZ_HOLDS(i < TURNS_MAX);
		run_all(true);
	}
	t->in_use = false;
	return 0;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
	if (!the.on)
		return __real_pthread_cond_wait(cond, mutex);
	pthread_mutex_unlock(mutex);
	if (the.running) {
		the.running->waits_for = cond;
		give_way(the.running);
	} else {
		run_all(true);
	}
	pthread_mutex_lock(mutex);
	return 0;
}

static void wake(const pthread_cond_t *cond)
{
	for (size_t i = 0; the.on && i < THREADS_MAX; i++)
		if (the.threads[i].waits_for == cond)
			the.threads[i].waits_for = NULL;
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
	wake(cond);
	return __real_pthread_cond_signal(cond);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
	wake(cond);
	return __real_pthread_cond_broadcast(cond);
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
	return the.on ? 0 : __real_pthread_setname_np(thread, name);
}

/* Who waits is given what it waits for, or hears that it has waited long enough. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	int r = __real_poll(fds, n, the.on ? 0 : timeout);

	for (unsigned i = 0; the.on && r == 0 && timeout != 0 && i < 3; i++) {
		run_all(true);
		r = __real_poll(fds, n, 0);
	}
	return r;
}
