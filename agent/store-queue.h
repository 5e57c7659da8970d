/*
 * agent/store-queue.h - jobs on their way to the store's thread and back, in order.
 *
 * A failure stops the thread from taking anything until the loop has called back those that failed:
 * what was submitted in between was prepared as if they had succeeded.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"

enum job_kind { JOB_READ, JOB_CHANGE, JOB_REKEY };

/* Embedded in what is to be done. */
struct job {
	struct job *next;
	enum job_kind kind;
	bool failed;	/* of a change */
	size_t n_bytes; /* of a change */
	int r;
};

struct job_list {
	struct job *first, *last;
};

struct store_queue {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	int event_fd;
	bool held; /* the loop's: tells the thread of new jobs only at the end */

	/* Under the mutex. */
	struct job_list waiting, finished;
	bool idle;    /* the thread sleeps, or is about to */
	bool stopped; /* by a failure, until queue_resume() */
	bool ending;
};

void job_list_add(struct job_list *l, struct job *j);
struct job *job_list_take(struct job_list *l); /* the first, or NULL */

/* 0 or a negative errno. */
int queue_init(struct store_queue *q) MUST_USE;
void queue_done(struct store_queue *q);

/* ---- the loop's side ------------------------------------------------------------------------- */

/* Appends a job; the thread is woken unless the queue is held. */
void queue_submit(struct store_queue *q, struct job *j);

/* Between the two the thread is not woken for each job, but once at the end. */
void queue_hold(struct store_queue *q);
void queue_release(struct store_queue *q);

/* Takes all that is finished, and makes the descriptor unreadable. */
struct job_list queue_collect(struct store_queue *q);

/* After a failure: takes all changes that wait, and changes of keys, in order; reads stay. */
struct job_list queue_take_changes(struct store_queue *q);

/* Hands each job that waits to on_job, in order; while the thread is stopped. */
void queue_each_waiting(struct store_queue *q, void (*on_job)(void *userdata, struct job *j),
			void *userdata);

/* What the thread was stopped for has been dealt with: it goes on. */
void queue_resume(struct store_queue *q);

/* Lets queue_next() end once nothing waits. */
void queue_end(struct store_queue *q);

/* ---- the thread's side ----------------------------------------------------------------------- */

/*
 * Waits for jobs and takes the next: a single one, or as many changes as follow each other, up to
 * max_changes and max_bytes (always one); none once it is until_us (CLOCK_MONOTONIC; UINT64_MAX:
 * never). False where there is none and none will come.
 */
bool queue_next(struct store_queue *q, size_t max_changes, size_t max_bytes, uint64_t until_us,
		struct job_list *ret);

/* Makes event_fd readable, though nothing is finished. */
void queue_poke(struct store_queue *q);

/* Takes all reads that wait, ahead of what waits before them; does not wait itself. */
struct job_list queue_take_reads(struct store_queue *q);

/*
 * Gives back what was done. With `stop` (some of it failed, or the keys are others now) the thread
 * gets nothing more before queue_resume().
 */
void queue_finish(struct store_queue *q, struct job_list *done, bool stop);
