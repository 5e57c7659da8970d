/*
 * agent/lock.c - see lock.h.
 *
 *	locking: key and file (thread) -> refuse all else, wait for changes -> seal and wipe keys
 *	         -> wait for values on their way -> wipe -> answer
 *	unlocking: key, and the file goes (thread) -> keys are back -> answer
 *
 * The file is there before anything is refused, so that what can't be written changes nothing; a
 * crash at any point leaves an agent that is locked, or one that nobody was told is.
 *
 * Invariant: keys are in the clear in one place at a time: in use, in the room in locked memory
 * (while they are moved), or nowhere.
 */
#include "agent/lock.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "agent/aside.h"
#include "agent/backup.h"
#include "agent/change.h"
#include "agent/credential.h"
#include "agent/last-use.h"
#include "agent/leftovers.h"
#include "agent/lock-file.h"
#include "agent/maps.h"
#include "agent/restore.h"
#include "protocol/base/time.h"

enum {
	KEYS_LEN = CREDENTIAL_KEY_LEN + STORE_KEY_LEN,
	RETRY_MAX_S = 60, /* between two attempts, after many wrong ones */
};
static const uint64_t LOOK_EVERY_US = 10 * 1000; /* for values on their way */
static const uint64_t LOOK_UNTIL_US = 1000 * 1000;
static const uint64_t TAKE_BACK_EVERY_US = USEC_PER_SEC;

_Static_assert(sizeof(((struct lock_room *)0)->keys) == KEYS_LEN, "room for the keys");

/* A Lock or Unlock that waits for the end of another. */
struct turn {
	struct turn *next;
	struct pending *pending;
};

struct lock {
	struct agent *agent;
	struct state_dir dir;
	struct aside aside;
	struct lockbox box; /* of the last locking */
	uint8_t sealed[KEYS_LEN + LOCKBOX_OVERHEAD];

	/* What is under way. */
	bool is_busy;
	struct pending *caller;
	uid_t by;
	struct lockbox new_box; /* the thread's, while it runs */
	int r;			/* likewise */
	enum lock_result result;
	uint64_t look_until_us; /* CLOCK_MONOTONIC */
	sd_event_source *look_timer;
	sd_event_source *take_back_timer; /* of the file of a Lock that was refused */
	struct turn *first_turn, **end_turn;

	unsigned n_wrong;	/* since it was locked, or started */
	uint64_t not_before_us; /* CLOCK_MONOTONIC */
	enum event_kind untold; /* 0: none */
	bool is_telling;
};

/* ---- keys ------------------------------------------------------------------------------------ */

/* All that opens a held secret: sealed to the box, and wiped. */
static void seal_keys(struct lock *l)
{
	struct agent *a = l->agent;
	struct lock_room *room = &a->scratch->lock;

	credentials_take_key(a->credentials, room->keys);
	store_take_credentials_key(a->store, room->keys + CREDENTIAL_KEY_LEN);
	lockbox_seal(&l->box, room->keys, KEYS_LEN, l->sealed);
	secret_wipe(room, sizeof(*room));
}

/* Those that the thread has opened. */
static void give_keys_back(struct lock *l)
{
	struct agent *a = l->agent;
	struct lock_room *room = &a->scratch->lock;

	credentials_give_key(a->credentials, room->keys);
	store_give_credentials_key(a->store, room->keys + CREDENTIAL_KEY_LEN);
	secret_wipe(room, sizeof(*room));
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_told(struct agent *a, int r)
{
	a->lock->is_telling = false;
	if (r == 0)
		a->lock->untold = 0;
}

void lock_tell(struct agent *a)
{
	struct lock *l = a->lock;

	if (l->untold && !l->is_busy && !l->is_telling)
		l->is_telling = change_submit_event(a, l->untold, on_told) == 0;
}

static void say_state(const struct agent *a)
{
	(void)sd_notifyf(0, "STATUS=%s%zu tokens", a->locked ? "Locked, " : "",
			 vault_n_active(a->vault));
}

/* ---- the end of a Lock or Unlock ------------------------------------------------------------- */

static void finish(struct lock *l, enum lock_result result)
{
	struct turn *turn;

	l->result = result;
	l->is_busy = false;
	pending_complete(STEAL_PTR(l->caller));
	while ((turn = l->first_turn)) {
		l->first_turn = turn->next;
		pending_complete(turn->pending);
		free(turn);
	}
	l->end_turn = &l->first_turn;
	change_complete_deferred(l->agent);
}

/* ---- locking --------------------------------------------------------------------------------- */

static int take_back_later(struct lock *l)
{
	int r = sd_event_source_set_time_relative(l->take_back_timer, TAKE_BACK_EVERY_US);

	return r < 0 ? r : sd_event_source_set_enabled(l->take_back_timer, SD_EVENT_ONESHOT);
}

/*
 * It was refused, and leaves nothing behind. Where even that fails, the disk takes nothing at all:
 * once it does again, the file goes.
 */
static void take_back(struct lock *l)
{
	if (lock_file_remove(&l->dir) == 0)
		return;
	log_error("%s/locked can't be removed again: it is tried once a second, and a start before "
		  "that comes up locked",
		  l->dir.path);
	(void)take_back_later(l);
}

static int on_take_back(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct lock *l = userdata;

	(void)source;
	(void)at_us;
	/* Of another Lock it is, or will be. */
	if (l->agent->locked)
		return 0;
	return l->is_busy || lock_file_remove(&l->dir) < 0 ? take_back_later(l) : 0;
}

static void work_lock(void *userdata)
{
	struct lock *l = userdata;
	struct lock_room *room = &l->agent->scratch->lock;
	struct span passphrase = { room->passphrase, room->passphrase_n };

	l->r = lockbox_make(passphrase, &lockbox_cost, l->new_box.at_us, l->by, &room->box,
			    &l->new_box);
	secret_wipe(room, sizeof(*room));
	l->result = LOCK_NO_MEMORY;
	if (l->r < 0)
		return;
	l->result = LOCK_STORE_FAILED;
	l->r = lock_file_write(&l->dir, &l->new_box);
}

static void look_for_leftovers(struct lock *l)
{
	struct agent *a = l->agent;

	if (leftovers_are_there(a) && agent_monotonic(a) < l->look_until_us &&
	    sd_event_source_set_time_relative(l->look_timer, LOOK_EVERY_US) >= 0 &&
	    sd_event_source_set_enabled(l->look_timer, SD_EVENT_ONESHOT) >= 0)
		return;
	leftovers_drop(a);
	leftovers_wipe(a);
	log_notice("locked by uid %u: nothing but `jetonctl unlock` and revoking is possible now",
		   (unsigned)l->by);
	say_state(a);
	finish(l, LOCK_DONE);
}

static int on_look(sd_event_source *source, uint64_t at_us, void *userdata)
{
	(void)source;
	(void)at_us;
	look_for_leftovers(userdata);
	return 0;
}

/* All changes that were under way are done, or rolled back. */
static void on_settled(struct agent *a, int r)
{
	struct lock *l = a->lock;

	on_told(a, r);
	seal_keys(l);
	leftovers_note(a);
	l->look_until_us = agent_monotonic(a) + LOOK_UNTIL_US;
	look_for_leftovers(l);
}

/* The file is there. */
static void shut(struct lock *l)
{
	struct agent *a = l->agent;

	last_use_keep_fetches(a);
	l->box = l->new_box;
	l->untold = EVENT_LOCKED;
	a->locked = true;
	maps_state_changed(a);
	backup_end_all(a);
	restore_stop(a);
	if (change_submit_event(a, EVENT_LOCKED, on_settled) == 0)
		return;
	a->locked = false;
	maps_state_changed(a);
	l->untold = 0;
	take_back(l);
	finish(l, LOCK_NO_MEMORY);
}

static void on_lock_worked(struct lock *l)
{
	if (l->r == 0) {
		shut(l);
		return;
	}
	log_error("can't lock the agent: %s%s: %s",
		  l->result == LOCK_STORE_FAILED ? "no file can be kept in " : "",
		  l->result == LOCK_STORE_FAILED ? l->dir.path : "no memory for the passphrase",
		  strerror(-l->r));
	if (l->result == LOCK_STORE_FAILED)
		take_back(l);
	finish(l, l->result);
}

/* ---- unlocking ------------------------------------------------------------------------------- */

static void work_unlock(void *userdata)
{
	struct lock *l = userdata;
	struct lock_room *room = &l->agent->scratch->lock;
	struct span passphrase = { room->passphrase, room->passphrase_n };
	int r;

	l->r = lockbox_open(&l->box, passphrase, &room->box);
	secret_wipe(room->passphrase, sizeof(room->passphrase));
	l->result = l->r == -EKEYREJECTED ? LOCK_WRONG_PASSPHRASE : LOCK_NO_MEMORY;
	if (l->r == 0) {
		r = lockbox_unseal(&l->box, &room->box, l->sealed, sizeof(l->sealed), room->keys);
		/* This process sealed it, or its memory is not to be trusted with anything. */
		assert(r == 0);
		l->result = LOCK_STORE_FAILED;
		l->r = lock_file_remove(&l->dir);
	}
	secret_wipe(&room->box, sizeof(room->box));
	if (l->r < 0)
		secret_wipe(room->keys, sizeof(room->keys));
}

/* 1, 2, 4 … seconds. */
static void slow_down(struct lock *l)
{
	unsigned delay_s = l->n_wrong < 6 ? 1U << l->n_wrong : RETRY_MAX_S;

	l->n_wrong++;
	l->not_before_us = agent_monotonic(l->agent) + delay_s * USEC_PER_SEC;
	log_warning("uid %u gave a wrong passphrase, %u by now: none is looked at for %u s",
		    (unsigned)l->by, l->n_wrong, delay_s);
}

static void on_unlock_told(struct agent *a, int r)
{
	on_told(a, r);
	finish(a->lock, LOCK_DONE);
}

static void open_up(struct lock *l)
{
	struct agent *a = l->agent;

	give_keys_back(l);
	a->locked = false;
	maps_state_changed(a);
	l->n_wrong = 0;
	l->untold = EVENT_UNLOCKED;
	log_notice("unlocked by uid %u", (unsigned)l->by);
	say_state(a);
	(void)restore_begin(a);
	if (change_submit_event(a, EVENT_UNLOCKED, on_unlock_told) < 0)
		finish(l, LOCK_DONE);
}

static void on_unlock_worked(struct lock *l)
{
	if (l->r == 0) {
		open_up(l);
		return;
	}
	if (l->result == LOCK_WRONG_PASSPHRASE)
		slow_down(l);
	else
		log_error("can't unlock the agent: %s: %s",
			  l->result == LOCK_STORE_FAILED ? "the file that says it is locked stays"
							 : "no memory for the passphrase",
			  strerror(-l->r));
	finish(l, l->result);
}

/* ---- beginning ------------------------------------------------------------------------------- */

static void on_worked(void *userdata)
{
	struct lock *l = userdata;

	if (l->agent->locked)
		on_unlock_worked(l);
	else
		on_lock_worked(l);
}

static int begin(struct agent *a, struct span passphrase, uid_t by, struct pending *p,
		 void (*work)(void *userdata))
{
	struct lock *l = a->lock;
	struct lock_room *room = &a->scratch->lock;
	int r;

	assert(!l->is_busy && passphrase.n > 0 && passphrase.n <= sizeof(room->passphrase));
	memcpy(room->passphrase, passphrase.p, passphrase.n);
	room->passphrase_n = passphrase.n;
	l->by = by;
	r = aside_start(&l->aside, work);
	if (r < 0) {
		secret_wipe(room, sizeof(*room));
		return r;
	}
	l->is_busy = true;
	l->caller = p;
	return 0;
}

int lock_begin(struct agent *a, struct span passphrase, uid_t by, struct pending *p)
{
	assert(!a->locked);
	a->lock->new_box.at_us = agent_now(a);
	return begin(a, passphrase, by, p, work_lock);
}

int lock_undo(struct agent *a, struct span passphrase, uid_t by, struct pending *p)
{
	assert(a->locked);
	return begin(a, passphrase, by, p, work_unlock);
}

enum lock_result lock_last_result(const struct agent *a)
{
	return a->lock->result;
}

unsigned lock_retry_after_s(struct agent *a)
{
	uint64_t now = agent_monotonic(a), until = a->lock->not_before_us;

	return until > now ? (unsigned)((until - now + USEC_PER_SEC - 1) / USEC_PER_SEC) : 0;
}

bool lock_is_busy(const struct agent *a)
{
	return a->lock->is_busy;
}

int lock_wait(struct agent *a, struct pending *p)
{
	struct turn *turn = calloc(1, sizeof(*turn));

	if (!turn)
		return -ENOMEM;
	turn->pending = p;
	*a->lock->end_turn = turn;
	a->lock->end_turn = &turn->next;
	return 0;
}

bool lock_is_waited_for(const struct agent *a, const struct pending *p)
{
	if (p == a->lock->caller)
		return true;
	for (const struct turn *turn = a->lock->first_turn; turn; turn = turn->next)
		if (turn->pending == p)
			return true;
	return false;
}

/* ---- birth and end --------------------------------------------------------------------------- */

int lock_load(struct agent *a, struct store_error *e)
{
	struct lock *l = calloc(1, sizeof(*l));
	int r = 0;

	if (!l)
		return -ENOMEM;
	l->agent = a;
	l->dir = STATE_DIR_NONE;
	l->end_turn = &l->first_turn;
	a->lock = l;
	if (a->memory_dir)
		state_dir_open_memory(a->memory_dir, &l->dir);
	else
		r = state_dir_open(a->paths.state, &l->dir, e);
	if (r == 0)
		r = lock_file_read(&l->dir, &l->box, e);
	a->locked = r > 0;
	return r < 0 ? r : 0;
}

void lock_loaded(struct agent *a)
{
	char when[64];

	if (!a->locked)
		return;
	seal_keys(a->lock);
	leftovers_wipe(a);
	time_format_local(a->lock->box.at_us, when, sizeof(when));
	log_warning("it is locked since %s, by uid %u: `jetonctl unlock` unlocks it", when,
		    (unsigned)a->lock->box.by);
}

int lock_start(struct agent *a)
{
	struct lock *l = a->lock;
	int r = sd_event_add_time(a->event, &l->look_timer, CLOCK_MONOTONIC, 0, 1000, on_look, l);

	if (r >= 0)
		r = sd_event_source_set_enabled(l->look_timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(a->event, &l->take_back_timer, CLOCK_MONOTONIC, 0, 1000,
				      on_take_back, l);
	if (r >= 0)
		r = sd_event_source_set_enabled(l->take_back_timer, SD_EVENT_OFF);
	return r < 0 ? r : aside_init(&l->aside, a->event, on_worked, l);
}

void lock_done(struct agent *a)
{
	struct lock *l = a->lock;
	struct turn *turn;

	if (!l)
		return;
	aside_done(&l->aside);
	sd_event_source_unref(l->look_timer);
	sd_event_source_unref(l->take_back_timer);
	while ((turn = l->first_turn)) {
		l->first_turn = turn->next;
		free(turn);
	}
	state_dir_close(&l->dir);
	free(l);
	a->lock = NULL;
}
