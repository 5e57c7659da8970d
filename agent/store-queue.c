/*
 * agent/store-queue.c - two lists under one mutex. Each side is woken once for many jobs: the
 * thread when it sleeps, the loop when nothing was waiting for it yet.
 */
#include "agent/store-queue.h"

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>

#include "protocol/base/time.h"

void job_list_add(struct job_list *l, struct job *j)
{
	j->next = NULL;
	if (l->first)
		l->last->next = j;
	else
		l->first = j;
	l->last = j;
}

struct job *job_list_take(struct job_list *l)
{
	struct job *j = l->first;

	if (j)
		l->first = j->next;
	return j;
}

static void append(struct job_list *to, struct job_list *from)
{
	if (!from->first)
		return;
	if (to->first)
		to->last->next = from->first;
	else
		to->first = from->first;
	to->last = from->last;
	*from = (struct job_list){ NULL, NULL };
}

int queue_init(struct store_queue *q)
{
	*q = (struct store_queue){ .event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	if (q->event_fd < 0)
		return -errno;
	pthread_mutex_init(&q->mutex, NULL);
	pthread_cond_init(&q->wake, NULL);
	return 0;
}

void queue_done(struct store_queue *q)
{
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->mutex);
	close(q->event_fd);
}

/* ---- the loop's side ------------------------------------------------------------------------- */

static void wake_thread(struct store_queue *q)
{
	if (!q->idle)
		return;
	q->idle = false;
	pthread_cond_signal(&q->wake);
}

void queue_submit(struct store_queue *q, struct job *j)
{
	pthread_mutex_lock(&q->mutex);
	job_list_add(&q->waiting, j);
	if (!q->held)
		wake_thread(q);
	pthread_mutex_unlock(&q->mutex);
}

void queue_hold(struct store_queue *q)
{
	q->held = true;
}

void queue_release(struct store_queue *q)
{
	q->held = false;
	pthread_mutex_lock(&q->mutex);
	if (q->waiting.first)
		wake_thread(q);
	pthread_mutex_unlock(&q->mutex);
}

struct job_list queue_collect(struct store_queue *q)
{
	struct job_list l;
	uint64_t n;

	/* Before the list is taken: what is finished afterwards makes it readable again. */
	(void)!read(q->event_fd, &n, sizeof(n));
	pthread_mutex_lock(&q->mutex);
	l = q->finished;
	q->finished = (struct job_list){ NULL, NULL };
	pthread_mutex_unlock(&q->mutex);
	return l;
}

static struct job_list take(struct store_queue *q, bool reads)
{
	struct job_list all, taken = { NULL, NULL };
	struct job *j;

	pthread_mutex_lock(&q->mutex);
	all = q->waiting;
	q->waiting = (struct job_list){ NULL, NULL };
	while ((j = job_list_take(&all)))
		job_list_add((j->kind == JOB_READ) == reads ? &taken : &q->waiting, j);
	pthread_mutex_unlock(&q->mutex);
	return taken;
}

struct job_list queue_take_changes(struct store_queue *q)
{
	return take(q, false);
}

void queue_each_waiting(struct store_queue *q, void (*on_job)(void *userdata, struct job *j),
			void *userdata)
{
	pthread_mutex_lock(&q->mutex);
	for (struct job *j = q->waiting.first; j; j = j->next)
		on_job(userdata, j);
	pthread_mutex_unlock(&q->mutex);
}

void queue_resume(struct store_queue *q)
{
	pthread_mutex_lock(&q->mutex);
	q->stopped = false;
	wake_thread(q);
	pthread_mutex_unlock(&q->mutex);
}

void queue_end(struct store_queue *q)
{
	pthread_mutex_lock(&q->mutex);
	q->ending = true;
	wake_thread(q);
	pthread_mutex_unlock(&q->mutex);
}

/* ---- the thread's side ----------------------------------------------------------------------- */

static bool may_take(const struct store_queue *q)
{
	return !q->stopped && (q->waiting.first || q->ending);
}

static void take_changes(struct store_queue *q, size_t max_changes, size_t max_bytes,
			 struct job_list *ret)
{
	size_t n = 0, n_bytes = 0;

	do {
		n++;
		n_bytes += q->waiting.first->n_bytes;
		job_list_add(ret, job_list_take(&q->waiting));
	} while (n < max_changes && q->waiting.first && q->waiting.first->kind == JOB_CHANGE &&
		 n_bytes + q->waiting.first->n_bytes <= max_bytes);
}

/* Whether there is something to take, or to end for, before that time. */
static bool wait_for_jobs(struct store_queue *q, uint64_t until_us)
{
	struct timespec until = { .tv_sec = (time_t)(until_us / USEC_PER_SEC),
				  .tv_nsec = (long)(until_us % USEC_PER_SEC * 1000) };
	int error = 0;

	while (!may_take(q) && error != ETIMEDOUT) {
		q->idle = true;
		error = until_us == UINT64_MAX
				? pthread_cond_wait(&q->wake, &q->mutex)
				: pthread_cond_clockwait(&q->wake, &q->mutex, CLOCK_MONOTONIC, &until);
	}
	q->idle = false;
	return may_take(q);
}

bool queue_next(struct store_queue *q, size_t max_changes, size_t max_bytes, uint64_t until_us,
		struct job_list *ret)
{
	bool goes_on = true;

	*ret = (struct job_list){ NULL, NULL };
	pthread_mutex_lock(&q->mutex);
	if (wait_for_jobs(q, until_us)) {
		goes_on = q->waiting.first;
		if (goes_on && q->waiting.first->kind == JOB_CHANGE)
			take_changes(q, max_changes, max_bytes, ret);
		else if (goes_on)
			job_list_add(ret, job_list_take(&q->waiting));
	}
	pthread_mutex_unlock(&q->mutex);
	return goes_on;
}

void queue_poke(struct store_queue *q)
{
	(void)!write(q->event_fd, &(uint64_t){ 1 }, sizeof(uint64_t));
}

struct job_list queue_take_reads(struct store_queue *q)
{
	return take(q, true);
}

void queue_finish(struct store_queue *q, struct job_list *done, bool stop)
{
	bool was_empty;

	pthread_mutex_lock(&q->mutex);
	was_empty = !q->finished.first;
	append(&q->finished, done);
	q->stopped |= stop;
	pthread_mutex_unlock(&q->mutex);
	if (was_empty)
		queue_poke(q);
}
