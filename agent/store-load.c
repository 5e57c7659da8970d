/*
 * agent/store-load.c - see store-load.h. Batches in locked memory go round: while the reader fills
 * one, the caller empties those before. Opening rows is the most of it, and is done by whoever has the
 * time: a batch is handed over as it was read if the caller waits for it. There are as many as keep
 * the reader at work while the caller waits for a step of the vault's memory, which takes as long as
 * opening a thousand rows. Of some rows they are small, since a page of locked memory takes as long as
 * ten rows. Few rows, or large ones, are not worth that: one thread does both, as it does where no
 * memory or thread can be had.
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
	BATCH = 64 * 1024,
	BATCH_OF_FEW = 16 * 1024, /* holds any row but a credential's */
	BATCHES = 4,
	ROWS_FOR_TWO = 256,   /* fewer are read in less time than batches and a thread are made */
	ROWS_FOR_MUCH = 4000, /* from here on batches are large */
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

/* What stands before each row in a batch. */
struct batch_row {
	struct seal_place place;
	size_t n; /* of the row as it is sealed */
};

struct batch {
	uint8_t *memory;
	size_t used;
	bool opened;
	bool full; /* handed over */
};

struct relay {
	struct loading *l;
	struct batch batches[BATCHES];
	size_t size;	  /* of each */
	unsigned filling; /* the reader's */
	pthread_mutex_t lock;
	pthread_cond_t turned;
	bool waiting; /* the caller has nothing to do */
	bool stop;    /* the caller takes no more */
	bool over;    /* the reader gives no more */
	int r;	      /* the reader's */
};

static size_t room_of(size_t n)
{
	return sizeof(struct batch_row) + ((n + 7) & ~(size_t)7);
}

/* Opens each row in its place, behind the nonce. 0 or -EBADMSG. */
static int open_batch(const struct loading *l, struct batch *b)
{
	struct batch_row head;
	int r = 0;

	for (size_t at = 0; at < b->used && r == 0; at += room_of(head.n)) {
		uint8_t *sealed = b->memory + at + sizeof(head);

		memcpy(&head, b->memory + at, sizeof(head));
		r = seal_open_row(l->s->seal, &head.place, sealed, head.n, sealed + SEAL_NONCE_LEN);
	}
	b->opened = r == 0;
	return r;
}

static bool caller_waits(struct relay *relay)
{
	bool waits;

	pthread_mutex_lock(&relay->lock);
	waits = relay->waiting;
	pthread_mutex_unlock(&relay->lock);
	return waits;
}

/*
 * Hands the batch over, opened unless the caller has the time to do it, and waits for the next one.
 * 0, -EBADMSG, or -ECANCELED where the caller takes no more.
 */
static int hand_over(struct relay *relay)
{
	struct batch *b = &relay->batches[relay->filling];
	unsigned next = (relay->filling + 1) % BATCHES;
	int r = caller_waits(relay) ? 0 : open_batch(relay->l, b);

	if (r < 0)
		return r;
	pthread_mutex_lock(&relay->lock);
	b->full = true;
	pthread_cond_broadcast(&relay->turned);
	/* Also where the caller has stopped: it gives all back, and looks for the last one in turn. */
	while (relay->batches[next].full)
		pthread_cond_wait(&relay->turned, &relay->lock);
	r = relay->stop ? -ECANCELED : 0;
	relay->filling = next;
	pthread_mutex_unlock(&relay->lock);
	return r;
}

/* Counted before it is proved to open: if one does not, the count is of no use to anyone. */
static int relay_row(void *userdata, const struct stored_row *row)
{
	struct relay *relay = userdata;
	struct batch *b = &relay->batches[relay->filling];
	struct batch_row head = { place_of(row), row->n };
	int r;

	if (record_size(row) == SIZE_MAX || room_of(row->n) > relay->size)
		return -EBADMSG;
	if (b->used + room_of(row->n) > relay->size) {
		r = hand_over(relay);
		if (r < 0)
			return r;
		b = &relay->batches[relay->filling];
	}
	tally_add(relay->l->s->seal, &relay->l->s->tally, row);
	memcpy(b->memory + b->used, &head, sizeof(head));
	memcpy(b->memory + b->used + sizeof(head), row->sealed, row->n);
	b->used += room_of(row->n);
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

/* Takes in what a batch holds. 0, -EBADMSG, or what on_row gave, which is forwarded. */
static int empty_batch(struct loading *l, struct batch *b)
{
	struct batch_row head;
	int r = b->opened ? 0 : open_batch(l, b);

	for (size_t at = 0; r == 0 && at < b->used && l->forwarded >= 0; at += room_of(head.n)) {
		memcpy(&head, b->memory + at, sizeof(head));
		l->forwarded = l->on_row(l->userdata, head.place.row, head.place.version,
					 b->memory + at + sizeof(head) + SEAL_NONCE_LEN,
					 head.n - SEAL_OVERHEAD);
	}
	secret_wipe(b->memory, b->used);
	b->used = 0;
	b->opened = false;
	return r < 0 ? r : l->forwarded;
}

/* Waits until the batch is the caller's. Whether it is the last one. */
static bool take_over(struct relay *relay, unsigned i)
{
	bool is_last;

	pthread_mutex_lock(&relay->lock);
	relay->waiting = true;
	while (!relay->batches[i].full)
		pthread_cond_wait(&relay->turned, &relay->lock);
	relay->waiting = false;
	is_last = relay->over && relay->filling == i;
	pthread_mutex_unlock(&relay->lock);
	return is_last;
}

static void give_back(struct relay *relay, unsigned i, bool stop)
{
	pthread_mutex_lock(&relay->lock);
	relay->batches[i].full = false;
	relay->stop = stop;
	pthread_cond_broadcast(&relay->turned);
	pthread_mutex_unlock(&relay->lock);
}

/*
 * Empties one batch after the other, until the reader is over or one is not taken. 0, -EBADMSG, or
 * what on_row gave.
 */
static int take_rows(struct relay *relay)
{
	bool is_last;
	unsigned i = 0;
	int r = 0;

	do {
		is_last = take_over(relay, i);
		if (r >= 0)
			r = empty_batch(relay->l, &relay->batches[i]);
		give_back(relay, i, r < 0);
		i = (i + 1) % BATCHES;
	} while (!is_last);
	return r;
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
static bool load_by_two(struct loading *l, size_t batch, int *ret)
{
	struct relay relay = {
		.l = l,
		.size = batch,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.turned = PTHREAD_COND_INITIALIZER,
	};
	pthread_t reader;
	int r;

	for (unsigned i = 0; i < BATCHES; i++)
		relay.batches[i].memory = (uint8_t *)l->s->batches.base + i * batch;
	if (start_reader(&relay, &reader) < 0)
		return false;
	r = take_rows(&relay);
	pthread_join(reader, NULL);
	*ret = r < 0 ? r : relay.r;
	return true;
}

/* They stay for the next table, until the store starts. */
static int make_batches(struct store *s, size_t batch)
{
	size_t n = BATCHES * batch;
	int r = s->batches.base ? 0
				: region_init(&s->batches, s->locked.mem, BATCHES * (size_t)BATCH);

	if (r < 0 || n <= s->batches.size)
		return r;
	return region_grow(&s->batches, n - s->batches.size);
}

int store_load(struct loading *l)
{
	uint64_t n_rows = store_n_rows(l->s, l->table);
	size_t batch = n_rows < ROWS_FOR_MUCH ? BATCH_OF_FEW : BATCH;
	int r;

	/* Credentials are few, and may be larger than a batch. */
	if (l->table == STORE_CREDENTIALS || n_rows < ROWS_FOR_TWO ||
	    make_batches(l->s, batch) < 0 || !load_by_two(l, batch, &r))
		return load_alone(l);
	return r;
}
