/*
 * agent/store-change.c - the loop's side: changes are sealed as they are built, rows opened as they
 * are taken.
 *
 * So the queue and the thread hold nothing that anyone might not see, and need no locked memory.
 */
#include "agent/store-impl.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static struct store_change *change_of(struct job *j)
{
	return (struct store_change *)j;
}

static struct store_rows *rows_of(struct job *j)
{
	return (struct store_rows *)j;
}

/* ---- changes --------------------------------------------------------------------------------- */

struct store_change *store_change_new(struct store *s)
{
	struct store_change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->store = s;
	c->job.kind = JOB_CHANGE;
	return c;
}

void store_change_free(struct store_change *c)
{
	struct change_step *step, *next;

	if (!c)
		return;
	for (step = c->first; step; step = next) {
		next = step->next;
		free(step);
	}
	free(c);
}

static struct change_step *add_step(struct store_change *c, enum store_table table, uint64_t row,
				    uint32_t old_version, size_t n)
{
	struct change_step *step;

	assert(table >= STORE_ACTIVE && table <= STORE_AUDIT);
	assert(row >= 1 && row <= INT64_MAX);
	step = malloc(sizeof(*step) + n);
	if (!step)
		return NULL;
	*step = (struct change_step){
		.place = { .table = (uint8_t)table, .row = row },
		.old_version = old_version,
		.n = n,
	};
	if (c->first)
		c->last->next = step;
	else
		c->first = step;
	c->last = step;
	c->job.n_bytes += sizeof(*step) + n;
	return step;
}

int store_change_put(struct store_change *c, enum store_table table, uint64_t row,
		     uint32_t old_version, uint32_t version, uid_t owner, const uint8_t *record,
		     size_t n)
{
	const struct seal *seal = c->store->seal;
	struct change_step *step;

	assert(version >= 1 && version != old_version && n <= STORE_RECORD_MAX);
	assert(table != STORE_CREDENTIALS || !c->store->credentials_are_locked);
	step = add_step(c, table, row, old_version, n + SEAL_OVERHEAD);
	if (!step)
		return -ENOMEM;
	step->place.version = version;
	step->owner = owner;
	step->place.owner = table == STORE_ENDED ? seal_owner_tag(seal, owner) : 0;
	seal_row(seal, &step->place, record, n, step->sealed);
	return 0;
}

int store_change_delete(struct store_change *c, enum store_table table, uint64_t row,
			uint32_t old_version)
{
	assert(old_version >= 1);
	return add_step(c, table, row, old_version, 0) ? 0 : -ENOMEM;
}

void store_submit_job(struct store *s, struct job *j)
{
	assert(s->is_running);
	s->n_under_way++;
	queue_submit(&s->queue, j);
}

void store_submit(struct store *s, struct store_change *c, void (*done)(void *userdata, int r),
		  void *userdata)
{
	c->done = done;
	c->userdata = userdata;
	store_submit_job(s, &c->job);
}

/* ---- reading --------------------------------------------------------------------------------- */

static int read_ended(struct store_backend *b, const struct rows_asked *asked, stored_row_fn on_row,
		      void *userdata)
{
	return b->ops->read_ended(b, &asked->ended, on_row, userdata);
}

static int read_ended_row(struct store_backend *b, const struct rows_asked *asked,
			  stored_row_fn on_row, void *userdata)
{
	return b->ops->read_ended_row(b, asked->first_row, on_row, userdata);
}

static int read_from(struct store_backend *b, const struct rows_asked *asked, stored_row_fn on_row,
		     void *userdata)
{
	return b->ops->read_from(b, asked->table, asked->first_row, asked->max, on_row, userdata);
}

/* Takes over a copy of `rows`, which has what is to be read and who is to be told. */
static void ask(struct store *s, const struct store_rows *rows)
{
	struct store_rows *copy = malloc(sizeof(*copy));

	if (!copy) {
		rows->done(rows->userdata, NULL, -ENOMEM);
		return;
	}
	*copy = *rows;
	copy->store = s;
	copy->live_at = &s->live;
	copy->live_next = s->live;
	if (copy->live_next)
		copy->live_next->live_at = &copy->live_next;
	s->live = copy;
	store_submit_job(s, &copy->job);
}

void store_read_ended(struct store *s, uid_t owner, bool any, uint64_t before_row, unsigned max,
		      void (*done)(void *userdata, struct store_rows *rows, int r), void *userdata)
{
	struct rows_asked asked = {
		.ended = {
			.owner = any ? 0 : seal_owner_tag(s->seal, owner),
			.before_row = before_row,
			.max = max,
		},
		.owner = owner,
	};

	assert(max >= 1 && max <= STORE_READ_MAX);
	ask(s, &(struct store_rows){ .read = read_ended,
				     .asked = asked,
				     .done = done,
				     .userdata = userdata });
}

void store_read_ended_row(struct store *s, uint64_t row,
			  void (*done)(void *userdata, struct store_rows *rows, int r),
			  void *userdata)
{
	ask(s, &(struct store_rows){ .read = read_ended_row,
				     .asked = { .first_row = row },
				     .done = done,
				     .userdata = userdata });
}

void store_read_from(struct store *s, enum store_table table, uint64_t first_row, unsigned max,
		     void (*done)(void *userdata, struct store_rows *rows, int r), void *userdata)
{
	assert(max >= 1 && max <= STORE_READ_MAX);
	assert(table >= STORE_ACTIVE && table <= STORE_AUDIT);
	ask(s, &(struct store_rows){
			.read = read_from,
			.asked = { .table = table, .first_row = first_row, .max = max },
			.done = done,
			.userdata = userdata });
}

int store_rows_next(struct store_rows *rows, uint64_t *ret_row, uint32_t *ret_version,
		    const uint8_t **ret_record, size_t *ret_n)
{
	struct row_copy *row = rows->first;
	uint8_t *record;
	size_t n;
	int r;

	if (!row)
		return 0;
	if (row->place.table == STORE_CREDENTIALS && rows->store->credentials_are_locked)
		return -ENOKEY;
	if (row->n < SEAL_OVERHEAD || row->n > STORE_RECORD_MAX + SEAL_OVERHEAD)
		return -EBADMSG;
	n = row->n - SEAL_OVERHEAD;
	record = store_scratch(rows->store, n);
	if (!record)
		return -ENOMEM;
	r = seal_open_row(rows->store->seal, &row->place, row->sealed, row->n, record);
	if (r < 0)
		return r;
	*ret_row = row->place.row;
	*ret_version = row->place.version;
	*ret_record = record;
	*ret_n = n;
	rows->first = row->next;
	free(row);
	return 1;
}

void store_rows_free(struct store_rows *rows)
{
	struct row_copy *row, *next;

	if (!rows)
		return;
	/* The last one that was opened is a held value. */
	if (rows->asked.table == STORE_CREDENTIALS)
		store_wipe_scratch(rows->store);
	*rows->live_at = rows->live_next;
	if (rows->live_next)
		rows->live_next->live_at = rows->live_at;
	for (row = rows->first; row; row = next) {
		next = row->next;
		free(row);
	}
	free(rows);
}

/* ---- calling back ---------------------------------------------------------------------------- */

static void call_change(struct store *s, struct job *j, int r)
{
	struct store_change *c = change_of(j);
	void (*done)(void *userdata, int r) = c->done;
	void *userdata = c->userdata;

	s->n_under_way--;
	store_change_free(c);
	done(userdata, r);
}

static void call_rows(struct store *s, struct job *j)
{
	struct store_rows *rows = rows_of(j);

	s->n_under_way--;
	if (j->r == 0) {
		rows->done(rows->userdata, rows, 0);
		return;
	}
	rows->done(rows->userdata, NULL, j->r);
	store_rows_free(rows);
}

static void put_in_front(struct job **stack, struct job *j)
{
	j->next = *stack;
	*stack = j;
}

/*
 * Sorts failed changes: those of rows to be called back from the last to the first, barriers behind
 * all of them. A change of keys that waited with them is called back first: whoever waits for a
 * change finds none under way that was asked for before.
 */
static void sort_failed(struct store *s, struct job_list *failed, struct job **stack,
			struct job_list *barriers, int r)
{
	struct job *j;

	while ((j = job_list_take(failed)))
		if (j->kind == JOB_REKEY) {
			j->r = r;
			store_call_rekeyed(s, j);
		} else if (change_of(j)->first)
			put_in_front(stack, j);
		else
			job_list_add(barriers, j);
}

/*
 * Everything that waits was prepared on top of what failed, also what is submitted while this goes
 * on: it fails first, so that the caller takes back its steps in the opposite order of making them.
 */
static void call_failed(struct store *s, struct job_list *failed, int r)
{
	struct job_list barriers = { NULL, NULL };
	struct job *j, *stack = NULL;

	for (;;) {
		sort_failed(s, failed, &stack, &barriers, r);
		*failed = queue_take_changes(&s->queue);
		if (failed->first)
			continue;
		if (!stack)
			break;
		j = stack;
		stack = j->next;
		call_change(s, j, r);
	}
	queue_resume(&s->queue);
	while ((j = job_list_take(&barriers)))
		call_change(s, j, r);
}

void store_dispatch(struct store *s)
{
	struct job_list l = queue_collect(&s->queue);
	struct job *j;

	queue_hold(&s->queue);
	while ((j = l.first)) {
		if (j->failed) {
			call_failed(s, &l, j->r);
			continue;
		}
		(void)job_list_take(&l);
		if (j->kind == JOB_CHANGE)
			call_change(s, j, 0);
		else if (j->kind == JOB_READ)
			call_rows(s, j);
		else
			store_call_rekeyed(s, j);
	}
	queue_release(&s->queue);
}
