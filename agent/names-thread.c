/*
 * agent/names-thread.c
 *
 * One thread takes requests in their order and gives the answers back in the same. It and the loop
 * share the queues by reference: whoever leaves last frees them, so that the loop's end need not
 * wait for an LDAP server. A request belongs to whoever holds it; `begun` is the only part of it
 * that both look at, under the mutex.
 */
#include "agent/names-thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

struct queue {
	struct names_request *first, **end;
};

struct names_thread {
	pthread_mutex_t mutex;
	pthread_cond_t asked;
	unsigned n_ref;
	bool stop;
	struct queue requests, answers;
	int event_fd;
	const struct names_functions *fns;
};

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void queue_push(struct queue *q, struct names_request *r)
{
	r->next = NULL;
	*q->end = r;
	q->end = &r->next;
}

static struct names_request *queue_pop(struct queue *q)
{
	struct names_request *r = q->first;

	if (r) {
		q->first = r->next;
		if (!q->first)
			q->end = &q->first;
	}
	return r;
}

void names_request_free(struct names_request *r)
{
	free(r->name);
	free(r->user_name);
	free(r->groups);
	free(r);
}

static void queue_done(struct queue *q)
{
	struct names_request *r;

	while ((r = queue_pop(q)))
		names_request_free(r);
}

static struct names_thread *new_queues(const struct names_functions *fns)
{
	struct names_thread *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->event_fd < 0) {
		free(t);
		return NULL;
	}
	t->n_ref = 1;
	t->fns = fns;
	queue_init(&t->requests);
	queue_init(&t->answers);
	pthread_mutex_init(&t->mutex, NULL);
	pthread_cond_init(&t->asked, NULL);
	return t;
}

/* With the mutex held, which it gives back. */
static void unref_unlock(struct names_thread *t)
{
	bool last = --t->n_ref == 0;

	pthread_mutex_unlock(&t->mutex);
	if (!last)
		return;
	queue_done(&t->requests);
	queue_done(&t->answers);
	close(t->event_fd);
	pthread_cond_destroy(&t->asked);
	pthread_mutex_destroy(&t->mutex);
	free(t);
}

static void answer(const struct names_functions *fns, struct names_request *r)
{
	switch (r->kind) {
	case USER_BY_UID:
		r->result = lookup_user(fns, r->uid, &r->user_name, &r->groups, &r->n_groups);
		return;
	case USER_BY_NAME:
		r->result = lookup_user_id(fns, r->name, &r->id);
		return;
	case GROUP_BY_NAME:
		r->result = lookup_group_id(fns, r->name, &r->id);
		return;
	case BARRIER:
		return;
	}
}

/* With the mutex held: the next request, or NULL at the end. */
static struct names_request *wait_for_request(struct names_thread *t)
{
	struct names_request *r = NULL;

	while (!t->stop && !(r = queue_pop(&t->requests)))
		pthread_cond_wait(&t->asked, &t->mutex);
	if (r)
		r->begun = true;
	return r;
}

static void *run(void *userdata)
{
	struct names_thread *t = userdata;
	struct names_request *r;

	(void)pthread_setname_np(pthread_self(), "names");
	pthread_mutex_lock(&t->mutex);
	while ((r = wait_for_request(t))) {
		pthread_mutex_unlock(&t->mutex);
		answer(t->fns, r);
		pthread_mutex_lock(&t->mutex);
		queue_push(&t->answers, r);
		(void)eventfd_write(t->event_fd, 1); /* fails only where it is readable anyway */
	}
	unref_unlock(t);
	return NULL;
}

/* Signals are the loop's. */
static int start_thread(struct names_thread *t)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int r;

	t->n_ref++;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	r = pthread_create(&thread, &attr, run, t);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		t->n_ref--;
	return -r;
}

int names_thread_new(const struct names_functions *fns, struct names_thread **ret)
{
	struct names_thread *t = new_queues(fns);
	int r;

	if (!t)
		return -ENOMEM;
	r = start_thread(t);
	if (r < 0) {
		names_thread_leave(t);
		return r;
	}
	*ret = t;
	return 0;
}

void names_thread_leave(struct names_thread *t)
{
	if (!t)
		return;
	pthread_mutex_lock(&t->mutex);
	t->stop = true;
	pthread_cond_signal(&t->asked);
	unref_unlock(t);
}

int names_thread_fd(const struct names_thread *t)
{
	return t->event_fd;
}

void names_thread_wake(struct names_thread *t)
{
	(void)eventfd_write(t->event_fd, 1);
}

struct names_request *names_thread_ask(struct names_thread *t, struct names_request *r,
				       struct names_request *like)
{
	bool waits;

	pthread_mutex_lock(&t->mutex);
	waits = like && !like->begun;
	if (!waits) {
		queue_push(&t->requests, r);
		pthread_cond_signal(&t->asked);
	}
	pthread_mutex_unlock(&t->mutex);
	if (!waits)
		return r;
	names_request_free(r);
	return like;
}

struct names_request *names_thread_answer(struct names_thread *t)
{
	struct names_request *r;
	eventfd_t count;

	pthread_mutex_lock(&t->mutex);
	r = queue_pop(&t->answers);
	if (!r)
		(void)eventfd_read(t->event_fd, &count);
	pthread_mutex_unlock(&t->mutex);
	return r;
}
