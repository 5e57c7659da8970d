/*
 * agent/store.c - a store from its opening to its close.
 *
 * Until store_start() has held every row against the root, the backend has changed nothing, so that
 * whatever is wrong is found before a byte is written. The keys are in locked memory from the first
 * moment on.
 */
#include "agent/store.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "agent/masterkey.h"
#include "agent/store-load.h"
#include "agent/store-migrate.h"
#include "agent/store-sqlite.h"

enum {
	SCRATCH_AT = 256,     /* behind the keys */
	SCRATCH_FIRST = 8192, /* room for any token's record */
	THREAD_STACK = 256 * 1024,
	ALL_TABLES = 1 << STORE_ACTIVE | 1 << STORE_ENDED | 1 << STORE_CREDENTIALS |
		     1 << STORE_EVENTS | 1 << STORE_AUDIT,
};

_Static_assert(sizeof(struct store_keys) <= SCRATCH_AT, "keys");
_Static_assert(STORE_NOTE_OVERHEAD - SEAL_OVERHEAD == 0, "notes");
_Static_assert(STORE_KEY_LEN - SEAL_KEY_LEN == 0, "key");
_Static_assert(STORE_AUDIT - SEAL_TABLES == 0, "tables");
_Static_assert(STORE_CREDENTIALS - SEAL_CREDENTIALS == 0, "tables");
_Static_assert(SEAL_ROOT_LEN <= sizeof(((struct meta_value *)0)->bytes), "root");

/* ---- what is said ---------------------------------------------------------------------------- */

int store_say_damaged(const struct store *s, const char *what, struct store_error *e)
{
	/* There is nothing to put back or to move; the agent says what there is to do. */
	if (s->dir.memory)
		return store_fail(e, -EBADMSG,
				  "what Storage=volatile holds in memory is damaged or was altered (%s)",
				  what);
	return store_fail(e, -EBADMSG,
			  "the store in %s is damaged or was altered (%s): put back a backup, or "
			  "move store.db and store.db-wal away to start with an empty store",
			  s->dir.path, what);
}

int store_say_wrong_key(const struct store *s, struct store_error *e)
{
	return store_fail(e, -EKEYREJECTED,
			  "%s/store.db is sealed with another master key: put that key back (the "
			  "credential jeton.master, or the file master.key; beside a new "
			  "jeton.master, as jeton.master.old), or move the store away to start "
			  "with an empty one",
			  s->dir.path);
}

int store_say_unreadable(const struct store *s, int r, struct store_error *e)
{
	return store_fail(e, r, "can't read the store in %s: %s", s->dir.path, strerror(-r));
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int lock_keys(struct store *s, struct secretmem *mem, struct store_error *e)
{
	int r = region_init(&s->locked, mem, SCRATCH_AT + STORE_RECORD_MAX);

	if (r == 0)
		r = region_grow(&s->locked, SCRATCH_AT + SCRATCH_FIRST);
	if (r < 0)
		return store_fail(e, r,
				  "can't lock memory for the store's keys: raise the limit on "
				  "locked memory (LimitMEMLOCK=, \"ulimit -l\")");
	s->keys = (struct store_keys *)(void *)s->locked.base;
	s->seal = &s->keys->seal;
	return 0;
}

uint8_t *store_scratch(struct store *s, size_t n)
{
	size_t size = s->locked.size - SCRATCH_AT;

	if (n > STORE_RECORD_MAX || (n > size && region_grow(&s->locked, n - size) < 0))
		return NULL;
	return (uint8_t *)s->locked.base + SCRATCH_AT;
}

void store_wipe_scratch(struct store *s)
{
	secret_wipe(s->locked.base + SCRATCH_AT, s->locked.size - SCRATCH_AT);
}

int store_judge_anchor(const struct store *s, const uint8_t id[static SEAL_ID_LEN], uint64_t commits,
		       struct store_error *e)
{
	return s->anchor ? anchor_judge(s->anchor, &s->dir, id, commits, e) : 0;
}

/*
 * Before the store is there: a kill between the two leaves an anchor of none, and the next start, which
 * finds no store, makes another. That there was none must be on the disk by then: a power cut would
 * else bring back one that was moved away a moment ago.
 */
static int anchor_new_store(struct store *s, const uint8_t id[static SEAL_ID_LEN],
			    struct store_error *e)
{
	int r = s->anchor ? state_dir_sync(&s->dir) : 0;

	if (r == 0 && s->anchor)
		r = anchor_raise(s->anchor, id, 0);
	return r < 0 ? store_fail(e, r,
				  "the anchor of a new store can't be written: %s (its directory is "
				  "given by --anchor)",
				  strerror(-r))
		     : 0;
}

static int make_store(struct store *s, const uint8_t *master_key, struct store_error *e)
{
	struct meta_value values[META_LAST] = { 0 };
	struct meta_value *id = &values[META_ID - 1], *check = &values[META_KEY_CHECK - 1],
			  *root = &values[META_ROOT - 1], *key = &values[META_STORE_KEY - 1];
	uint8_t *store_key = s->keys->store_key;
	int r;

	id->n = SEAL_ID_LEN;
	randombytes_buf(id->bytes, id->n);
	check->n = SEAL_CHECK_LEN;
	seal_key_check(master_key, check->bytes);
	root->n = SEAL_ROOT_LEN;
	key->n = SEAL_STORE_KEY_LEN;
	seal_make_key(store_key);
	seal_store_key(store_key, master_key, id->bytes, s->seal->row_key, key->bytes);
	seal_init(s->seal, store_key, id->bytes);
	seal_root(s->seal, &(struct seal_root){ 0 }, root->bytes);
	r = anchor_new_store(s, id->bytes, e);
	return r < 0 ? r : store_sqlite_create(&s->dir, values, e);
}

static int read_meta(struct store *s, enum store_meta which, size_t n, struct meta_value *ret,
		     struct store_error *e)
{
	int r = s->backend->ops->read_meta(s->backend, which, ret);

	if (r == -EBADMSG || r == -ENOENT || (r == 0 && ret->n != n))
		return store_say_damaged(s, "its first values are missing", e);
	return r < 0 ? store_say_unreadable(s, r, e) : 0;
}

/*
 * The check value tells whether the key is the one, and so does whether the store's key opens.
 * Where the two disagree it is not the key that is wrong.
 */
static int take_keys(struct store *s, const uint8_t *master_key, struct store_error *e)
{
	struct meta_value check, id, sealed;
	uint8_t expected[SEAL_CHECK_LEN];
	bool is_key;
	int r;

	r = read_meta(s, META_KEY_CHECK, SEAL_CHECK_LEN, &check, e);
	if (r == 0)
		r = read_meta(s, META_ID, SEAL_ID_LEN, &id, e);
	if (r == 0)
		r = read_meta(s, META_STORE_KEY, SEAL_STORE_KEY_LEN, &sealed, e);
	if (r < 0)
		return r;
	seal_key_check(master_key, expected);
	is_key = sodium_memcmp(expected, check.bytes, sizeof(expected)) == 0;
	r = seal_open_store_key(sealed.bytes, sealed.n, master_key, id.bytes, s->seal->row_key,
				s->keys->store_key);
	if (is_key != (r == 0))
		return store_say_damaged(s, "its first values do not fit each other", e);
	if (!is_key)
		return store_say_wrong_key(s, e);
	memcpy(s->key_check, check.bytes, sizeof(s->key_check));
	seal_init(s->seal, s->keys->store_key, id.bytes);
	r = store_read_root(s->seal, s->backend, &s->root);
	if (r == -EBADMSG)
		return store_say_damaged(s, "its first values do not fit each other", e);
	if (r < 0)
		return store_say_unreadable(s, r, e);
	s->lacked_anchor = s->anchor && !anchor_is_there(s->anchor);
	return store_judge_anchor(s, id.bytes, s->root.commits, e);
}

/* ---- opening --------------------------------------------------------------------------------- */

static int open_backend(struct store *s, const uint8_t *master_key, struct store_error *e)
{
	int r = store_sqlite_open(&s->dir, &s->backend, e);

	if (r == -ENOENT) {
		r = make_store(s, master_key, e);
		return r < 0 ? r : store_sqlite_open(&s->dir, &s->backend, e);
	}
	if (r < 0 || s->backend->ops->format(s->backend) == SEAL_FORMAT)
		return r;
	r = store_migrate(s, master_key, e);
	s->backend->ops->close(s->backend);
	s->backend = NULL;
	s->is_migrated = r == 0;
	return r < 0 ? r : store_sqlite_open(&s->dir, &s->backend, e);
}

struct store_place {
	const char *state_dir, *anchor_dir; /* the latter NULL: no anchor */
	struct memory_dir *memory;	    /* instead of both; NULL: on a disk */
};

static int open_dir(struct store *s, const struct store_place *p, struct store_error *e)
{
	int r;

	if (p->memory) {
		state_dir_open_memory(p->memory, &s->dir);
		return 0;
	}
	r = state_dir_open(p->state_dir, &s->dir, e);
	if (r == 0)
		r = state_dir_lock(&s->dir, e);
	if (r == 0 && p->anchor_dir)
		r = anchor_open(p->anchor_dir, &s->dir, &s->anchor, e);
	return r;
}

static int open_somewhere(const struct store_place *place, const uint8_t *master_key,
			  struct secretmem *mem, struct store **ret,
			  struct store_error *ret_error)
{
	struct store *s = calloc(1, sizeof(*s));
	int r = s ? 0 : store_fail(ret_error, -ENOMEM, "no memory for the store");

	if (r < 0)
		return r;
	s->dir = STATE_DIR_NONE;
	pthread_mutex_init(&s->credentials_mutex, NULL);
	if (seal_start() < 0)
		r = store_fail(ret_error, -EIO, "there are no random numbers: getrandom() fails");
	if (r == 0)
		r = open_dir(s, place, ret_error);
	if (r == 0)
		r = lock_keys(s, mem, ret_error);
	if (r == 0)
		r = open_backend(s, master_key, ret_error);
	if (r == 0)
		r = take_keys(s, master_key, ret_error);
	if (r < 0) {
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

int store_open(const char *state_dir, const uint8_t *master_key, struct secretmem *mem,
	       struct store **ret, struct store_error *ret_error)
{
	return store_open_anchored(state_dir, NULL, master_key, mem, ret, ret_error);
}

int store_open_anchored(const char *state_dir, const char *anchor_dir, const uint8_t *master_key,
			struct secretmem *mem, struct store **ret, struct store_error *ret_error)
{
	struct store_place place = { .state_dir = state_dir, .anchor_dir = anchor_dir };

	return open_somewhere(&place, master_key, mem, ret, ret_error);
}

int store_open_memory(struct memory_dir *memory, const uint8_t *master_key, struct secretmem *mem,
		      struct store **ret, struct store_error *ret_error)
{
	struct store_place place = { .memory = memory };

	return open_somewhere(&place, master_key, mem, ret, ret_error);
}

/* ---- loading --------------------------------------------------------------------------------- */

static const char *table_name(enum store_table table)
{
	static const char *const names[] = { [STORE_ACTIVE] = "active tokens",
					     [STORE_ENDED] = "ended tokens",
					     [STORE_CREDENTIALS] = "credentials",
					     [STORE_EVENTS] = "events",
					     [STORE_AUDIT] = "audit" };

	return names[table];
}

int store_read_all(struct store *s, enum store_table table,
		   int (*on_row)(void *userdata, uint64_t row, uint32_t version,
				 const uint8_t *record, size_t n),
		   void *userdata, struct store_error *ret_error)
{
	struct loading l = { .s = s, .table = table, .on_row = on_row, .userdata = userdata };
	char what[64];
	int r;

	assert(!s->is_running);
	tally_forget(&s->tally, table);
	r = store_load(&l);
	if (r == 0)
		s->n_read |= 1U << table;
	if (r == 0 || l.forwarded < 0)
		return r;
	snprintf(what, sizeof(what), "a row of the %s does not open", table_name(table));
	return r == -EBADMSG ? store_say_damaged(s, what, ret_error) : store_say_unreadable(s, r, ret_error);
}

uint64_t store_n_rows(const struct store *s, enum store_table table)
{
	return s->root.tables[table - 1].n;
}

/* ---- starting -------------------------------------------------------------------------------- */

/* The thread leaves all signals to the loop. */
static int start_thread(struct store *s)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int r;

	sigfillset(&all);
	pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, THREAD_STACK);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&s->thread, &attr, store_thread, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	s->is_running = r == 0;
	return r;
}

static int check_rows(struct store *s, struct store_error *e)
{
	int r = tally_check(&s->tally, &s->root);

	if (r < 0)
		return store_say_damaged(s, "rows are missing, or were put back or exchanged", e);
	r = tally_check_owners(s->seal, &s->tally, s->backend);
	if (r == -EBADMSG)
		return store_say_damaged(s, "ended tokens are not listed as they should be", e);
	return r < 0 ? store_say_unreadable(s, r, e) : 0;
}

void store_on_thread(struct store *s, void (*enter)(void *userdata), void *userdata)
{
	s->enter = enter;
	s->enter_userdata = userdata;
}

void store_change_master_key(struct store *s, const uint8_t *master_key)
{
	uint8_t *room = store_scratch(s, SEAL_KEY_LEN);

	assert(!s->is_running && room);
	seal_key_check(master_key, s->key_check);
	seal_store_key(s->keys->store_key, master_key, s->seal->id, room, s->sealed_key);
	s->has_other_master = true;
}

/* Both values in one transaction: at each moment one of the two master keys fits. */
static int write_master_key(struct store *s)
{
	struct store_backend *b = s->backend;
	int r = b->ops->begin(b);

	if (r == 0)
		r = b->ops->write_meta(b, META_KEY_CHECK, s->key_check, sizeof(s->key_check));
	if (r == 0)
		r = b->ops->write_meta(b, META_STORE_KEY, s->sealed_key, sizeof(s->sealed_key));
	if (r < 0) {
		b->ops->rollback(b);
		return r;
	}
	return b->ops->commit(b);
}

int store_start(struct store *s, struct store_error *ret_error)
{
	int r;

	assert(s->n_read == ALL_TABLES && !s->is_running);
	region_done(&s->batches);
	r = check_rows(s, ret_error);
	if (r < 0)
		return r;
	r = s->backend->ops->trust(s->backend);
	if (r == -EBADMSG)
		return store_say_damaged(s, "its pages are not in order", ret_error);
	if (r == 0 && s->has_other_master)
		r = write_master_key(s);
	if (r == 0)
		r = queue_init(&s->queue);
	if (r < 0)
		return store_fail(ret_error, r, "can't begin to use the store in %s: %s",
				  s->dir.path, strerror(-r));
	secret_wipe(s->keys->store_key, sizeof(s->keys->store_key));
	s->has_queue = true;
	store_raise_anchor(s);
	s->highest_row = s->root.highest_row;
	r = start_thread(s);
	return r < 0 ? store_fail(ret_error, r, "can't start the store's thread: %s", strerror(-r))
		     : 0;
}

bool store_is_migrated(const struct store *s)
{
	return s->is_migrated;
}

bool store_lacked_anchor(const struct store *s)
{
	return s->lacked_anchor;
}

int store_anchor_error(struct store *s)
{
	return s->anchor_error;
}

int store_files_befell(struct store *s)
{
	return atomic_exchange(&s->files, 0);
}

uint64_t store_highest_row(const struct store *s)
{
	return s->highest_row;
}

int store_fd(const struct store *s)
{
	return s->queue.event_fd;
}

void store_seal_note(const struct store *s, uint64_t number, uint64_t at, const uint8_t *note,
		     size_t n, uint8_t *dst)
{
	seal_note(s->seal, number, at, note, n, dst);
}

int store_open_note(const struct store *s, uint64_t number, uint64_t at, const uint8_t *sealed,
		    size_t n, uint8_t *dst)
{
	return seal_open_note(s->seal, number, at, sealed, n, dst);
}

/* ---- the master key -------------------------------------------------------------------------- */

bool store_is_sealed_under(const struct store *s, const uint8_t *master_key)
{
	uint8_t check[SEAL_CHECK_LEN];

	seal_key_check(master_key, check);
	return sodium_memcmp(check, s->key_check, sizeof(check)) == 0;
}

int store_settle_key_file(struct store *s, bool is_next)
{
	int r = is_next ? masterkey_adopt_next(&s->dir) : masterkey_drop_next(&s->dir);

	s->key_is_next = is_next && r < 0;
	return r;
}

/* ---- keys that are taken away, and keys for others ------------------------------------------- */

void store_take_credentials_key(struct store *s, uint8_t *dst)
{
	assert(s->is_running && !s->credentials_are_locked && !store_is_rekeying(s));
	pthread_mutex_lock(&s->credentials_mutex);
	memcpy(dst, s->seal->credentials_key, SEAL_KEY_LEN);
	secret_wipe(s->seal->credentials_key, SEAL_KEY_LEN);
	s->credentials_are_locked = true;
	/* Where the last record was opened. */
	store_wipe_scratch(s);
	pthread_mutex_unlock(&s->credentials_mutex);
}

void store_give_credentials_key(struct store *s, const uint8_t *key)
{
	assert(s->credentials_are_locked);
	pthread_mutex_lock(&s->credentials_mutex);
	memcpy(s->seal->credentials_key, key, SEAL_KEY_LEN);
	s->credentials_are_locked = false;
	pthread_mutex_unlock(&s->credentials_mutex);
}

void store_derive_key(const struct store *s, enum store_use use, uint8_t *dst)
{
	seal_derive_key(s->seal, use, dst);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void stop_thread(struct store *s)
{
	struct pollfd p = { .fd = store_fd(s), .events = POLLIN };

	while (s->n_under_way > 0)
		if (poll(&p, 1, -1) >= 0)
			store_dispatch(s);
	queue_end(&s->queue);
	pthread_join(s->thread, NULL);
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->is_running)
		stop_thread(s);
	if (s->has_queue)
		queue_done(&s->queue);
	if (s->backend)
		s->backend->ops->close(s->backend);
	anchor_close(s->anchor);
	region_done(&s->batches);
	region_done(&s->locked);
	pthread_mutex_destroy(&s->credentials_mutex);
	/* Last: the lock goes with it. */
	state_dir_close(&s->dir);
	free(s);
}
