/*
 * agent/store-thread.c - the thread that keeps what was submitted: many changes in one commit.
 *
 * Whoever waits is told only after the commit is on the disk; work that can wait follows after
 * that. The anchor is raised before anyone hears that a token has ended, so that no copy without
 * that is taken for the store; else at most once a second, since each time is a sync. A batch fails as a
 * whole, and then nothing more is taken before the loop has heard of it
 * (see store-queue.h).
 */
#include "agent/store-impl.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "protocol/base/time.h"

enum {
	BATCH_CHANGES = 1024,
	BATCH_BYTES = 4 * 1024 * 1024,
};

/* ---- a new copy, where a sync has failed ----------------------------------------------------- */

/* Every row of the last commit, and nothing else, must be in the copy. */
static int check_copy(void *userdata, struct store_backend *copy)
{
	struct store *s = userdata;

	return tally_check_all(s->seal, &s->root, copy, s);
}

static uint64_t monotonic_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * USEC_PER_SEC + (uint64_t)t.tv_nsec / 1000;
}

/*
 * Not more than once a second, and for a fifth of the time at most: it copies all there is, and
 * reads wait for it.
 */
static void try_to_renew(struct store *s)
{
	uint64_t begin_us = monotonic_us(), end_us;

	if (begin_us < s->renew_at_us)
		return;
	if (s->backend->ops->renew(s->backend, check_copy, s) == 0)
		return;
	end_us = monotonic_us();
	s->renew_at_us = end_us + USEC_PER_SEC + 4 * (end_us - begin_us);
}

static bool is_broken(const struct store *s)
{
	return s->backend->ops->is_broken(s->backend);
}

bool store_mend(struct store *s)
{
	if (is_broken(s))
		try_to_renew(s);
	return !is_broken(s);
}

/* ---- the anchor ------------------------------------------------------------------------------ */

static const uint64_t ANCHOR_US = USEC_PER_SEC, ANCHOR_FAILED_US = 10 * USEC_PER_SEC;

void store_raise_anchor(struct store *s)
{
	int r;

	if (!s->anchor)
		return;
	r = anchor_raise(s->anchor, s->seal->id, s->root.commits);
	s->anchor_at_us = monotonic_us() + (r < 0 ? ANCHOR_FAILED_US : ANCHOR_US);
	if (atomic_exchange(&s->anchor_error, r) != r)
		queue_poke(&s->queue);
}

/* When the anchor is to be raised, CLOCK_MONOTONIC; UINT64_MAX: it need not be. */
static uint64_t anchor_due_us(const struct store *s)
{
	return s->anchor && anchor_is_behind(s->anchor, s->root.commits) ? s->anchor_at_us : UINT64_MAX;
}

static void raise_anchor_in_time(struct store *s)
{
	uint64_t due_us = anchor_due_us(s);

	if (due_us != UINT64_MAX && monotonic_us() >= due_us)
		store_raise_anchor(s);
}

/* An active token's row goes only when the token has ended. */
static bool ends_a_token(const struct job_list *batch)
{
	for (const struct job *j = batch->first; j; j = j->next)
		for (const struct change_step *step = ((const struct store_change *)j)->first; step;
		     step = step->next)
			if (step->place.table == STORE_ACTIVE && step->n == 0)
				return true;
	return false;
}

/* ---- changes --------------------------------------------------------------------------------- */

/* The bytes that stand for the row in the root leave it. */
static int take_out(struct store *s, struct seal_root *root, const struct change_step *step)
{
	struct seal_place old = step->place;
	uint8_t nonce[SEAL_NONCE_LEN];
	int r;

	r = s->backend->ops->head(s->backend, old.table, old.row, step->old_version, nonce,
				  sizeof(nonce));
	if (r < 0)
		return r;
	old.version = step->old_version;
	seal_root_remove(s->seal, root, &old, nonce);
	return 0;
}

static int put_in(struct store *s, struct seal_root *root, const struct change_step *step)
{
	struct store_backend *b = s->backend;
	struct stored_row row = {
		.table = step->place.table,
		.row = step->place.row,
		.owner = step->place.owner,
		.version = step->place.version,
		.sealed = step->sealed,
		.n = step->n,
	};

	seal_root_add(s->seal, root, &step->place, step->sealed);
	if ((row.table == STORE_ACTIVE || row.table == STORE_ENDED) && row.row > root->highest_row)
		root->highest_row = row.row;
	return step->old_version ? b->ops->replace(b, &row) : b->ops->insert(b, &row);
}

static int apply_step(struct store *s, struct seal_root *root, const struct change_step *step)
{
	int r = step->old_version ? take_out(s, root, step) : 0;

	if (r < 0)
		return r;
	if (step->n > 0)
		return put_in(s, root, step);
	return s->backend->ops->remove(s->backend, step->place.table, step->place.row);
}

static int apply_all(struct store *s, const struct job_list *batch, struct seal_root *root)
{
	for (const struct job *j = batch->first; j; j = j->next)
		for (const struct change_step *step = ((const struct store_change *)j)->first; step;
		     step = step->next) {
			int r = apply_step(s, root, step);

			if (r < 0)
				return r;
		}
	return 0;
}

static int transact(struct store *s, const struct job_list *batch)
{
	struct store_backend *b = s->backend;
	struct seal_root root = s->root;
	uint8_t sealed[SEAL_ROOT_LEN];
	int r = b->ops->begin(b);

	if (r == 0)
		r = apply_all(s, batch, &root);
	if (r == 0) {
		root.commits++;
		seal_root(s->seal, &root, sealed);
		r = b->ops->write_meta(b, META_ROOT, sealed, sizeof(sealed));
	}
	if (r < 0) {
		b->ops->rollback(b);
		return r;
	}
	r = b->ops->commit(b);
	if (r == 0)
		s->root = root;
	return r;
}

/* Barriers alone change nothing; all that was before them is kept. */
static bool has_steps(const struct job_list *batch)
{
	for (const struct job *j = batch->first; j; j = j->next)
		if (((const struct store_change *)j)->first)
			return true;
	return false;
}

/* What is noticed only now is told to the loop, which has the log. */
static void note_files(struct store *s, int files)
{
	s->files = files;
	queue_poke(&s->queue);
}

/* As transact(), but what was taken away is made anew first. */
static int transact_anew(struct store *s, const struct job_list *batch)
{
	int r = transact(s, batch);

	if (r == -EEXIST && is_broken(s))
		note_files(s, -EEXIST);
	if (r != -ESTALE)
		return r;
	try_to_renew(s);
	note_files(s, is_broken(s) ? -EIO : -ESTALE);
	return is_broken(s) ? -EIO : transact(s, batch);
}

static int keep(struct store *s, const struct job_list *batch)
{
	int r;

	if (!has_steps(batch))
		return 0;
	if (is_broken(s))
		try_to_renew(s);
	r = transact_anew(s, batch);
	/* Before anyone hears of the failure: what is refused must not come back after a crash. */
	if (r < 0 && is_broken(s))
		try_to_renew(s);
	return r;
}

static void mark(struct job_list *batch, int r)
{
	for (struct job *j = batch->first; j; j = j->next) {
		j->failed = r < 0;
		j->r = r;
	}
}

/* ---- reads ----------------------------------------------------------------------------------- */

static int copy_row(void *userdata, const struct stored_row *row)
{
	struct store_rows *rows = userdata;
	struct row_copy *copy = malloc(sizeof(*copy) + row->n);

	if (!copy)
		return -ENOMEM;
	*copy = (struct row_copy){ .place = place_of(row), .n = row->n };
	if (row->n > 0)
		memcpy(copy->sealed, row->sealed, row->n);
	if (rows->first)
		rows->last->next = copy;
	else
		rows->first = copy;
	rows->last = copy;
	return 0;
}

void store_read_rows(struct store *s, struct store_rows *rows)
{
	rows->job.r = rows->read(s->backend, &rows->asked, copy_row, rows);
}

/* At the end: what is in files that have lost their names would go with them. */
static void keep_files(struct store *s)
{
	int r = s->backend->ops->begin(s->backend);

	if (r == 0)
		s->backend->ops->rollback(s->backend);
	else if (r == -ESTALE)
		try_to_renew(s);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void run_changes(struct store *s, struct job_list *batch)
{
	int r = keep(s, batch);

	if (r == 0 && s->anchor && ends_a_token(batch))
		store_raise_anchor(s);
	mark(batch, r);
	queue_finish(&s->queue, batch, r < 0);
	s->backend->ops->settle(s->backend);
	if (r == 0 && is_broken(s))
		try_to_renew(s);
}

static void run_read(struct store *s, struct job_list *batch)
{
	store_read_rows(s, (struct store_rows *)batch->first);
	queue_finish(&s->queue, batch, false);
}

static void run_rekey(struct store *s, struct job_list *batch)
{
	queue_finish(&s->queue, batch, store_run_rekey(s, batch->first));
}

static void (*const run[])(struct store *s, struct job_list *batch) = {
	[JOB_READ] = run_read,
	[JOB_CHANGE] = run_changes,
	[JOB_REKEY] = run_rekey,
};

void *store_thread(void *userdata)
{
	struct store *s = userdata;
	struct job_list batch;

	(void)pthread_setname_np(pthread_self(), "store");
	if (s->enter)
		s->enter(s->enter_userdata);
	while (queue_next(&s->queue, BATCH_CHANGES, BATCH_BYTES, anchor_due_us(s), &batch)) {
		if (batch.first)
			run[batch.first->kind](s, &batch);
		raise_anchor_in_time(s);
	}
	keep_files(s);
	store_raise_anchor(s);
	return NULL;
}
