/*
 * agent/store-load.c - see store-load.h. Two batches in locked memory go back and forth: while the
 * reader fills one, the caller empties the other. They are so large that the reader goes on while the
 * caller waits for a step of the vault's memory, which takes as long as opening a thousand rows. Few
 * rows, or large ones, are not worth that: one thread does both, as it does where no memory or
 * thread can be had.
 *
 * Invariant: a batch is the reader's while it is not full, the caller's while it is. Only the
 * reader touches the backend and the tally until it has been joined.
 */
#include "agent/store-load.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum {
	BATCH = 128 * 1024,
	ROWS_FOR_TWO = 2048, /* fewer are read in less time than batches and a thread are made */
	READER_STACK = 256 * 1024, /* SQLite reads on it */
};

/*
 * ---- one thread -------------------------------------------------------------------------------
 */

/* Bytes of the record behind a stored row; SIZE_MAX where it can be none. */
static size_t record_size(const struct stored_row *row)
{
	return row->n < SEAL_OVERHEAD || row->n - SEAL_OVERHEAD > STORE_RECORD_MAX
		       ? SIZE_MAX
		       : row->n - SEAL_OVERHEAD;
}

static int open_row(struct loading *l, const struct stored_row *row, uint8_t *dst)
{
	struct seal_place place = place_of(row);
	int r = seal_open_row(l->s->seal, &place, row->sealed, row->n, dst);

	if (r == 0)
		tally_add(l->s->seal, &l->s->tally, row);
	return r;
}

static int load_row(void *userdata, const struct stored_row *row)
{
	struct loading *l = userdata;
	size_t n = record_size(row);
	uint8_t *record;
	int r;

	if (n == SIZE_MAX)
		return -EBADMSG;
	record = store_scratch(l->s, n);
	if (!record)
		return -ENOMEM;
	r = open_row(l, row, record);
	if (r < 0)
		return r;
	r = l->on_row(l->userdata, row->row, row->version, record, n);
	secret_wipe(record, n);
	if (r < 0)
		l->forwarded = r;
	return r < 0 ? r : 0;
}

static int load_alone(struct loading *l)
{
	return l->s->backend->ops->read_table(l->s->backend, l->table, load_row, l);
}

/*
 * ---- two threads ------------------------------------------------------------------------------
 */

/* What stands before each record in a batch. */
struct batch_row {
	uint64_t row;
	uint32_t version;
	uint32_t n;
};

struct batch {
	uint8_t *memory; /* BATCH bytes */
	size_t used;
	bool full; /* handed over */
};

struct relay {
	struct loading *l;
	struct batch batches[2];
	unsigned filling; /* the reader's */
	pthread_mutex_t lock;
	pthread_cond_t turned;
	bool stop; /* the caller takes no more */
	bool over; /* the reader gives no more */
	int r;	   /* the reader's */
};

/* Hands the batch over, and waits for the other one. False where the caller takes no more. */
static bool hand_over(struct relay *relay)
{
	struct batch *next = &relay->batches[!relay->filling];
	bool stop;

	pthread_mutex_lock(&relay->lock);
	relay->batches[relay->filling].full = true;
	pthread_cond_broadcast(&relay->turned);
	while (next->full && !relay->stop)
		pthread_cond_wait(&relay->turned, &relay->lock);
	stop = relay->stop;
	relay->filling = !relay->filling;
	pthread_mutex_unlock(&relay->lock);
	return !stop;
}

static int relay_row(void *userdata, const struct stored_row *row)
{
	struct relay *relay = userdata;
	size_t n = record_size(row), room = sizeof(struct batch_row) + ((n + 7) & ~(size_t)7);
	struct batch *b = &relay->batches[relay->filling];
	struct batch_row head = { row->row, row->version, (uint32_t)n };
	int r;

	if (n == SIZE_MAX || room > BATCH)
		return -EBADMSG;
	if (b->used + room > BATCH) {
		if (!hand_over(relay))
			return -ECANCELED;
		b = &relay->batches[relay->filling];
	}
	r = open_row(relay->l, row, b->memory + b->used + sizeof(head));
	if (r < 0)
		return r;
	memcpy(b->memory + b->used, &head, sizeof(head));
	b->used += room;
	return 0;
}

static void *read_rows(void *userdata)
{
	struct relay *relay = userdata;
	struct loading *l = relay->l;
	int r = l->s->backend->ops->read_table(l->s->backend, l->table, relay_row, relay);

	pthread_mutex_lock(&relay->lock);
	relay->batches[relay->filling].full = true;
	relay->over = true;
	relay->r = r;
	pthread_cond_broadcast(&relay->turned);
	pthread_mutex_unlock(&relay->lock);
	return NULL;
}

/* Takes in what a batch holds. */
static int empty_batch(struct loading *l, struct batch *b)
{
	struct batch_row head;
	int r = 0;

	for (size_t at = 0; at < b->used && r >= 0;
	     at += sizeof(head) + ((head.n + 7) & ~(size_t)7)) {
		memcpy(&head, b->memory + at, sizeof(head));
		r = l->on_row(l->userdata, head.row, head.version, b->memory + at + sizeof(head),
			      head.n);
	}
	secret_wipe(b->memory, b->used);
	b->used = 0;
	return r;
}

/* Empties one batch after the other, until the reader is over or a row is not taken. */
static void take_rows(struct relay *relay)
{
	struct loading *l = relay->l;
	bool is_last;
	int r = 0;

	for (unsigned i = 0;; i = !i) {
		struct batch *b = &relay->batches[i];

		pthread_mutex_lock(&relay->lock);
		while (!b->full)
			pthread_cond_wait(&relay->turned, &relay->lock);
		is_last = relay->over && relay->filling == i;
		pthread_mutex_unlock(&relay->lock);

		if (r >= 0)
			r = empty_batch(l, b);
		pthread_mutex_lock(&relay->lock);
		b->full = false;
		relay->stop = r < 0;
		pthread_cond_broadcast(&relay->turned);
		pthread_mutex_unlock(&relay->lock);
		if (is_last)
			break;
	}
	if (r < 0)
		l->forwarded = r;
}

/* The reader leaves all signals to the caller. */
static int start_reader(struct relay *relay, pthread_t *ret)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int r;

	sigfillset(&all);
	pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, READER_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(ret, &attr, read_rows, relay);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return r;
}

/* False where it could not be tried. */
static bool load_by_two(struct loading *l, struct region *memory, int *ret)
{
	struct relay relay = {
		.l = l,
		.batches = { { .memory = (uint8_t *)memory->base },
			     { .memory = (uint8_t *)memory->base + BATCH } },
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.turned = PTHREAD_COND_INITIALIZER,
	};
	pthread_t reader;

	if (start_reader(&relay, &reader) < 0)
		return false;
	take_rows(&relay);
	pthread_join(reader, NULL);
	*ret = l->forwarded < 0 ? l->forwarded : relay.r;
	return true;
}

int store_load(struct loading *l)
{
	struct region memory;
	bool done = false;
	int r = 0;

	/* Credentials are few, and may be larger than a batch. */
	if (l->table == STORE_CREDENTIALS || store_n_rows(l->s, l->table) < ROWS_FOR_TWO ||
	    region_init(&memory, l->s->locked.mem, 2 * (size_t)BATCH) < 0)
		return load_alone(l);
	if (region_grow(&memory, 2 * (size_t)BATCH) == 0)
		done = load_by_two(l, &memory, &r);
	region_done(&memory);
	return done ? r : load_alone(l);
}
