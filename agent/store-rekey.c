/*
 * agent/store-rekey.c - other keys for a store that is in use.
 *
 * The thread makes the new file, changes wait behind it in the queue. They were sealed under the old
 * keys; so before the thread goes on, the loop takes the new keys and seals anew what waits, and
 * what was read and is not opened yet. While it does, the thread is stopped.
 *
 * With the file master.key, the new key is on the disk under its other name before the store is
 * sealed under it, and gets its name after that: at each moment one of the two fits.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "agent/masterkey.h"
#include "agent/sqlite-file.h"
#include "agent/store-reseal.h"

struct rekeying {
	struct job job; /* first */
	struct region locked;
	struct reseal_keys *keys;
	uint8_t key_check[SEAL_CHECK_LEN];
	bool as_file;
	void (*done)(void *userdata, int r);
	void *userdata;
};

int store_rekey(struct store *s, const uint8_t *master_key, bool as_file,
		void (*done)(void *userdata, int r), void *userdata)
{
	struct rekeying *k = calloc(1, sizeof(*k));

	assert(!s->credentials_are_locked);
	if (!k)
		return -ENOMEM;
	if (reseal_keys_make(&k->locked, s->locked.mem, s->seal->id, master_key, &k->keys) < 0) {
		free(k);
		return -ENOMEM;
	}
	seal_key_check(master_key, k->key_check);
	k->job.kind = JOB_REKEY;
	k->as_file = as_file;
	k->done = done;
	k->userdata = userdata;
	s->n_rekeys++;
	store_submit_job(s, &k->job);
	return 0;
}

bool store_is_rekeying(const struct store *s)
{
	return s->n_rekeys > 0;
}

/* ---- the thread's side ----------------------------------------------------------------------- */

static void read_meanwhile(struct store *s)
{
	struct job_list reads = queue_take_reads(&s->queue);

	if (!reads.first)
		return;
	for (struct job *j = reads.first; j; j = j->next)
		store_read_rows(s, (struct store_rows *)j);
	queue_finish(&s->queue, &reads, false);
}

static int reseal(struct store *s, struct rekeying *k)
{
	struct resealing resealing = {
		.s = s,
		.from = s->seal,
		.from_root = s->root,
		.keys = k->keys,
		.meanwhile = read_meanwhile,
	};
	int r = reseal_all(&resealing);

	if (r == 0)
		s->root = resealing.root;
	return r;
}

/*
 * What still opens with the old keys goes with them. The store is sealed under the new ones for
 * good, so what fails here is left to the next start.
 */
static void tidy_up(struct store *s, const struct rekeying *k)
{
	if (k->as_file)
		s->key_is_next = masterkey_adopt_next(&s->dir) < 0;
	(void)state_dir_remove(&s->dir, STORE_OLD_FILE);
	(void)!state_dir_sync(&s->dir);
}

bool store_run_rekey(struct store *s, struct job *j)
{
	struct rekeying *k = (struct rekeying *)j;
	int r = store_mend(s) ? 0 : -EIO;

	/* The only copy of the key that fits must not be overwritten. */
	if (r == 0 && s->key_is_next) {
		r = masterkey_adopt_next(&s->dir);
		s->key_is_next = r < 0;
	}
	if (r == 0 && k->as_file)
		r = masterkey_write_next(&s->dir, k->keys->master_key);
	if (r == 0)
		r = reseal(s, k);
	if (r == 0)
		tidy_up(s, k);
	/* Where the store's name may be the new file's, either key may be needed. */
	else if (store_mend(s) && k->as_file && !s->key_is_next)
		(void)masterkey_drop_next(&s->dir);
	secret_wipe(k->keys->master_key, sizeof(k->keys->master_key));
	secret_wipe(k->keys->store_key, sizeof(k->keys->store_key));
	k->job.r = r;
	return r == 0;
}

/* ---- the loop's side ------------------------------------------------------------------------- */

struct moving {
	const struct seal *from, *to;
	uint8_t *room;
};

/*
 * Seals anew, in place, what is sealed for *place, which has the new owner's tag afterwards (0: the
 * old one, of what is only to be opened once more). Whether it was whole.
 */
static bool seal_anew(const struct moving *m, struct seal_place *place, uint64_t owner,
		      uint8_t *sealed, size_t n)
{
	if (n < SEAL_OVERHEAD || n > STORE_RECORD_MAX + SEAL_OVERHEAD ||
	    seal_open_row(m->from, place, sealed, n, m->room) < 0)
		return false;
	if (owner)
		place->owner = owner;
	seal_row(m->to, place, m->room, n - SEAL_OVERHEAD, sealed);
	secret_wipe(m->room, n - SEAL_OVERHEAD);
	return true;
}

/* What was sealed here a moment ago can only not open if memory has failed. */
static void move_change(const struct moving *m, struct store_change *c)
{
	for (struct change_step *step = c->first; step; step = step->next) {
		uint64_t owner = step->place.owner ? seal_owner_tag(m->to, step->owner) : 0;
		bool moved = step->n == 0 ||
			     seal_anew(m, &step->place, owner, step->sealed, step->n);

		assert(moved);
	}
}

static void on_waiting(void *userdata, struct job *j)
{
	if (j->kind == JOB_CHANGE)
		move_change(userdata, (struct store_change *)j);
}

/* A row that is not whole stays as it is: whoever opens it hears of it. */
static void move_rows(const struct moving *m, struct store_rows *rows)
{
	for (struct row_copy *row = rows->first; row; row = row->next)
		(void)seal_anew(m, &row->place, 0, row->sealed, row->n);
	if (rows->asked.ended.owner)
		rows->asked.ended.owner = seal_owner_tag(m->to, rows->asked.owner);
}

static void take_new_keys(struct store *s, const struct rekeying *k)
{
	struct moving m = { .from = s->seal, .to = &k->keys->seal, .room = k->keys->room };

	queue_each_waiting(&s->queue, on_waiting, &m);
	for (struct store_rows *rows = s->live; rows; rows = rows->live_next)
		move_rows(&m, rows);
	*s->seal = k->keys->seal;
	memcpy(s->key_check, k->key_check, sizeof(s->key_check));
	queue_resume(&s->queue);
}

void store_call_rekeyed(struct store *s, struct job *j)
{
	struct rekeying *k = (struct rekeying *)j;
	void (*done)(void *userdata, int r) = k->done;
	void *userdata = k->userdata;
	int r = k->job.r;

	if (r == 0)
		take_new_keys(s, k);
	s->n_under_way--;
	s->n_rekeys--;
	region_done(&k->locked);
	free(k);
	done(userdata, r);
}
