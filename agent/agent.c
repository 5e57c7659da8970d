/*
 * agent/agent.c - the agent's birth and end. The order matters: memory that is locked first, then
 * the store, which must be proved whole before anything listens; the socket comes last, and goes
 * first.
 */
#include "agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <systemd/sd-daemon.h>

#include "agent/audit.h"
#include "agent/authority.h"
#include "agent/backup.h"
#include "agent/change.h"
#include "agent/connection.h"
#include "agent/credential.h"
#include "agent/deadline.h"
#include "agent/denied.h"
#include "agent/holder.h"
#include "agent/last-use.h"
#include "agent/listener.h"
#include "agent/loadcred.h"
#include "agent/lock.h"
#include "agent/loop.h"
#include "agent/maps.h"
#include "agent/masterkey.h"
#include "agent/memory-dir.h"
#include "agent/outbox.h"
#include "agent/restore.h"
#include "agent/state-dir.h"
#include "agent/rules-in-force.h"
#include "agent/socket.h"
#include "agent/turns.h"
#include "agent/unsealing.h"
#include "agent/upkeep.h"
#include "agent/watch.h"
#include "protocol/base/time.h"

enum { STORE_LOCKED = 16 * 1024 }; /* what the store locks for its keys and a record */

static const uint64_t STOP_US = 900 * 1000;
static const int NO_MEMORY_PAUSE_MS = 20;

/* ---- memory ---------------------------------------------------------------------------------- */

static int lock_scratch(struct agent *a)
{
	int r = region_init(&a->scratch_region, &a->mem, sizeof(struct scratch));

	if (r == 0)
		r = region_grow(&a->scratch_region, sizeof(struct scratch));
	if (r < 0)
		return r;
	a->scratch = (struct scratch *)(void *)a->scratch_region.base;
	outbox_begin_out(a);
	a->text = (struct text_space){ a->scratch->text, sizeof(a->scratch->text), 0 };
	a->out_fd = -1;
	return 0;
}

/*
 * Half of the buffers' limit each: small ones that busy connections have, large ones for the few
 * that need them.
 */
static int lock_buffers(struct agent *a)
{
	int r = pool_init(&a->small, &a->mem, SMALL_BUF, BUFFERS_LIMIT / 2 / SMALL_BUF, 16);
	char *first;

	if (r == 0)
		r = pool_init(&a->large, &a->mem, LARGE_BUF, BUFFERS_LIMIT / 2 / LARGE_BUF, 1);
	if (r < 0)
		return r;
	/* One of each is there from the start: an agent that can't have them can't work. */
	first = pool_get(&a->small);
	pool_put(&a->small, first);
	if (!first)
		return -ENOMEM;
	first = pool_get(&a->large);
	pool_put(&a->large, first);
	return first ? 0 : -ENOMEM;
}

static int lock_memory(struct agent *a)
{
	int r = lock_scratch(a);

	if (r == 0)
		r = lock_buffers(a);
	if (r == 0)
		r = vault_new(&a->mem, a->settings.memory_limit, authority_on_owner_free,
			      &a->vault);
	return r;
}

static void unlock_memory(struct agent *a)
{
	vault_free(a->vault);
	a->vault = NULL;
	pool_done(&a->small);
	pool_done(&a->large);
	region_done(&a->scratch_region);
	a->scratch = NULL;
}

/* What an empty agent needs locked: found by building one that need not be. */
static size_t needed_memory(const struct agent *a)
{
	static struct agent trial;
	size_t needed;

	trial = (struct agent){
		.settings = a->settings,
		.mem = { .allow_unlocked = true, .needed = SIZE_MAX },
	};
	needed = lock_memory(&trial) == 0 ? trial.mem.locked : 0;
	unlock_memory(&trial);
	/* The store's keys come beside it. */
	return needed + STORE_LOCKED;
}

static int start_memory(struct agent *a)
{
	int r;

	a->mem.allow_unlocked = a->settings.allow_unlocked;
	/* A limit that holds but a part of it is as good as none: all of it is then left unlocked. */
	if (a->settings.allow_unlocked)
		a->mem.needed = needed_memory(a);
	a->json = calloc(1, sizeof(*a->json));
	if (!a->json)
		return -ENOMEM;
	r = lock_memory(a);
	if (r == 0)
		r = credentials_new(a->scratch->credentials_key, &a->credentials);
	if (r < 0) {
		unlock_memory(a);
		a->mem = (struct secretmem){ 0 };
		log_error("%zu KiB of locked memory are needed and the limit is %zu KiB: raise "
			  "LimitMEMLOCK= of the unit or `ulimit -l`, "
			  "or set AllowUnlocked=yes in %s to keep tokens in memory that can be "
			  "swapped",
			  needed_memory(a) / 1024, secretmem_limit() / 1024, a->paths.config);
		return r;
	}
	if (a->mem.kind == MEMORY_UNLOCKED)
		log_warning("memory is NOT locked (AllowUnlocked=yes): tokens' hashes and names "
			    "may reach the swap device");
	else if (a->mem.kind == MEMORY_LOCKED)
		log_notice("this kernel gives no memfd_secret: memory is locked with mlock, where "
			   "root can read it through /proc");
	return 0;
}

/* ---- walls ----------------------------------------------------------------------------------- */

/* One that will not do is told before the walls, which would not know what to do with it. */
static int make_directory(const char *what, const char *path)
{
	struct state_dir d = STATE_DIR_NONE;
	struct store_error error;
	int r = directory_make(path, strlen(path), 0700);

	if (r < 0) {
		log_error("the %s %s can't be made: %s", what, path, strerror(-r));
		return r;
	}
	r = state_dir_open(path, &d, &error);
	if (r < 0)
		log_error("%s", error.text);
	state_dir_close(&d);
	return r;
}

static int make_directories(struct agent *a)
{
	int r = make_directory("state directory", a->paths.state);

	a->sandbox.state_dir = a->paths.state;
	if (r < 0 || !a->paths.anchor)
		return r;
	a->sandbox.anchor_dir = a->paths.anchor;
	return make_directory("anchor's directory", a->paths.anchor);
}

/* The directories must be there for what may be done in them to be told. */
static int enter_sandbox(struct agent *a)
{
	bool makes_sockets = !sockets_are_passed();
	const char *sockets[] = { a->paths.socket, a->paths.credential_socket };
	int r = a->settings.storage == STORAGE_VOLATILE ? 0 : make_directories(a);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(sockets); i++)
		if (sockets[i] && makes_sockets) {
			socket_make_directory(sockets[i], a->user ? 0700 : 0755);
			a->sandbox.sockets[i] = sockets[i];
		}
	sandbox_enter_process(&a->sandbox);
	return 0;
}

/* ---- store ----------------------------------------------------------------------------------- */

static int load_row(struct agent *a, uint32_t version, const uint8_t *record, size_t n,
		    int (*load)(struct vault *v, const struct token_facts *facts, uint32_t version))
{
	struct token_facts facts;
	int r = record_read(record, n, &facts);

	return r < 0 ? r : load(a->vault, &facts, version);
}

static int on_active_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			 size_t n)
{
	(void)row;
	return load_row(userdata, version, record, n, vault_load_active);
}

static int on_ended_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			size_t n)
{
	(void)row;
	return load_row(userdata, version, record, n, vault_load_ended);
}

static int on_credential_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			     size_t n)
{
	struct agent *a = userdata;

	return credentials_load(a->credentials, row, version, record, n);
}

static int on_event_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			size_t n)
{
	struct agent *a = userdata;

	return events_load(&a->events, row, version, record, n);
}

static int on_audit_row(void *userdata, uint64_t row, uint32_t version, const uint8_t *record,
			size_t n)
{
	return audit_load(userdata, row, version, record, n);
}

static int open_persistent(struct agent *a, uint8_t *key, struct store_error *error)
{
	int r = unsealing_open(a->paths.state, a->paths.anchor, NULL, key, &a->mem, &a->store,
			       &a->unsealed, error);

	if (r == 0 && memory_dir_drop() > 0)
		log_notice("what was kept with Storage=volatile is gone, for it is "
			   "Storage=persistent now");
	return r;
}

/* The state directory is not looked at. */
static int open_volatile(struct agent *a, uint8_t *key, struct store_error *error)
{
	struct memory_dir_error e;
	int r = masterkey_is_credential() ? 0 : masterkey_read_credential(key, error);

	if (r < 0)
		return r;
	r = memory_dir_open(&a->memory_dir, &e);
	if (r < 0)
		return store_fail(error, r, "%s", e.text[0] ? e.text : strerror(-r));
	if (!memory_dir_is_kept(a->memory_dir))
		log_notice("Storage=volatile, and no service manager holds what is in memory: a "
			   "restart forgets all tokens and credentials");
	r = unsealing_open(NULL, NULL, a->memory_dir, key, &a->mem, &a->store, &a->unsealed, error);
	if (r == -EKEYREJECTED)
		return store_fail(error, r,
				  "what Storage=volatile holds in memory is sealed with another master "
				  "key: bring back that key as the credential jeton.master; "
				  MEMORY_DIR_REMEDY);
	return r;
}

static int open_store(struct agent *a, struct store_error *error)
{
	uint8_t *key = a->scratch->random;
	int r;

	_Static_assert(sizeof(a->scratch->random) >= STORE_KEY_LEN, "room for the master key");
	r = a->settings.storage == STORAGE_VOLATILE ? open_volatile(a, key, error)
						    : open_persistent(a, key, error);
	secret_wipe(key, STORE_KEY_LEN);
	return r;
}

static const char *where(const struct agent *a)
{
	return a->settings.storage == STORAGE_VOLATILE ? "memory" : a->paths.state;
}

static int load_store(struct agent *a, struct store_error *error)
{
	int r = vault_expect(a->vault, store_n_rows(a->store, STORE_ACTIVE));

	if (r == 0)
		r = store_read_all(a->store, STORE_ACTIVE, on_active_row, a, error);
	if (r == 0)
		r = store_read_all(a->store, STORE_ENDED, on_ended_row, a, error);
	if (r == 0)
		r = store_read_all(a->store, STORE_CREDENTIALS, on_credential_row, a, error);
	if (r == 0)
		r = store_read_all(a->store, STORE_EVENTS, on_event_row, a, error);
	if (r == 0)
		r = store_read_all(a->store, STORE_AUDIT, on_audit_row, a, error);
	if (r == 0)
		r = audit_load_done(a);
	if (r == 0)
		r = events_load_done(&a->events);
	if (r == 0)
		r = vault_load_done(a->vault);
	if (r == -ENOSPC || r == -ENOMEM)
		snprintf(error->text, sizeof(error->text),
			 "the tokens in %s need more than MemoryLimit=%llu MiB of locked memory, "
			 "or than the limit of %zu KiB (LimitMEMLOCK=) has: raise it",
			 where(a), (unsigned long long)(a->settings.memory_limit >> 20),
			 secretmem_limit() / 1024);
	else if (r == -EBADMSG && !error->text[0])
		snprintf(
			error->text, sizeof(error->text),
			"the store in %s holds tokens that contradict each other: restore a backup",
			where(a));
	if (r == 0) {
		store_on_thread(a->store, sandbox_enter_store, &a->sandbox);
		r = store_start(a->store, error);
	}
	if (r == 0)
		unsealing_settle(a->store, a->unsealed);
	if (r == 0 && store_lacked_anchor(a->store))
		log_warning("there was no anchor in %s, so that it could not be told whether the store "
			    "is an old copy: from now on there is one",
			    a->paths.anchor);
	if (r == 0 && store_is_migrated(a->store))
		log_notice("the store in %s is in the present format from now on; the one of before "
			   "is kept as store.db.1, for an earlier version of Jeton, and may be "
			   "removed",
			   a->paths.state);
	if (r == 0)
		vault_set_highest_row(a->vault, store_highest_row(a->store));
	return r;
}

static int start_store(struct agent *a)
{
	struct store_error error = { "" };
	int r;

	r = events_init(&a->events);
	if (r == 0)
		r = audit_init(a);
	if (r == 0)
		r = open_store(a, &error);
	if (r == 0)
		r = lock_load(a, &error);
	if (r == 0)
		r = load_store(a, &error);
	if (r == 0)
		lock_loaded(a);
	else
		log_error("%s", error.text[0] ? error.text : strerror(-r));
	if (r == -EBADMSG && a->memory_dir)
		log_error("Storage=volatile: " MEMORY_DIR_REMEDY);
	return r;
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int on_stop_signal(sd_event_source *source, const struct signalfd_siginfo *info,
			  void *userdata)
{
	(void)source;
	(void)info;
	agent_stop(userdata);
	return 0;
}

static int on_reload_signal(sd_event_source *source, const struct signalfd_siginfo *info,
			    void *userdata)
{
	struct agent *a = userdata;
	struct policy_error error;

	(void)source;
	(void)info;
	if (a->locked) {
		log_warning("the policies are not read anew while the agent is locked: unlock it "
			    "(jetonctl unlock), then reload");
		return 0;
	}
	restore_begin(a);
	/* What is wrong has been logged. */
	if (rules_reload(a, NULL, NULL, &error) == -ENOMEM)
		log_error("no memory to read the policies anew");
	return 0;
}

static int on_stop_over(sd_event_source *source, uint64_t at_us, void *userdata)
{
	struct agent *a = userdata;

	(void)source;
	(void)at_us;
	return sd_event_exit(a->event, 0);
}

void agent_stop(struct agent *a)
{
	struct connection *c;

	if (a->stopping)
		return;
	(void)sd_notify(0, "STOPPING=1");
	a->stopping = true;
	maps_retire(a);
	listener_stop(a);
	if (sd_event_add_time_relative(a->event, &a->stop_timer, CLOCK_MONOTONIC, STOP_US, 0,
				       on_stop_over, a) < 0 ||
	    !a->connections)
		(void)sd_event_exit(a->event, 0);
	/* Not at once, as one that is served may need room, and close another for it. */
	for (c = a->connections; c; c = c->next)
		turns_wait(c);
}

/* What the environment says of it may be nonsense, outside of systemd: then there is none. */
static void start_watchdog(struct agent *a)
{
	int r = sd_event_set_watchdog(a->event, true);

	if (r < 0)
		log_warning("nobody watches over this agent: WATCHDOG_USEC or WATCHDOG_PID in its "
			    "environment is wrong (%s)",
			    strerror(-r));
}

static int start_event(struct agent *a)
{
	int r = sd_event_new(&a->event);

	if (r >= 0)
		r = sd_event_add_signal(a->event, NULL, SIGTERM, on_stop_signal, a);
	if (r >= 0)
		r = sd_event_add_signal(a->event, NULL, SIGINT, on_stop_signal, a);
	if (r >= 0)
		r = sd_event_add_signal(a->event, NULL, SIGHUP, on_reload_signal, a);
	if (r >= 0)
		r = deadline_init(a);
	if (r >= 0)
		r = loop_init(a);
	if (r >= 0)
		start_watchdog(a);
	return r < 0 ? r : 0;
}

int agent_start(struct agent *a)
{
	int r;

	a->started_us = time_now_us();
	r = start_memory(a);
	if (r == 0)
		r = enter_sandbox(a);
	if (r == 0)
		r = start_store(a);
	if (r < 0)
		return r;
	r = last_use_start(a);
	if (r == 0)
		r = start_event(a);
	if (r == 0)
		r = names_new(&a->names);
	if (r == 0)
		r = change_init(a);
	if (r >= 0)
		r = audit_start(a);
	if (r >= 0)
		r = lock_start(a);
	if (r >= 0)
		r = upkeep_init(a);
	if (r >= 0)
		r = watch_init(a);
	if (r >= 0)
		r = holders_start(a);
	if (r >= 0)
		r = rules_start(a);
	if (r < 0) {
		log_error("the agent could not be started: %s", strerror(-r));
		return r;
	}
	restore_start(a);
	r = listener_start(a);
	/* All else it has told of, with the socket that it is about. */
	if (r == -ENOMEM)
		log_error("the agent could not be started: %s", strerror(-r));
	if (r == 0)
		sandbox_enter_loop(&a->sandbox);
	return r;
}

/* Needs no memory: who is not told that the agent is ready ends it. */
static void tell_ready(const struct agent *a)
{
	char text[80];

	snprintf(text, sizeof(text), "READY=1\nSTATUS=%s%zu tokens", a->locked ? "Locked, " : "",
		 vault_n_active(a->vault));
	(void)sd_notify(0, text);
}

int agent_run(struct agent *a)
{
	int r;

	log_notice("version " JETON_VERSION " serves %zu tokens at %s", vault_n_active(a->vault),
		   a->paths.socket);
	tell_ready(a);
	/*
	 * sd-event wants more memory where there are more sources. Where it can't have it nothing is lost but time; the
	 * watchdog, where there is one, ends what goes on for long.
	 */
	while ((r = loop_run(a)) == -ENOMEM)
		(void)poll(NULL, 0, NO_MEMORY_PAUSE_MS);
	if (r < 0)
		log_error("the event loop failed: %s", strerror(-r));
	return r;
}

static void close_connections(struct agent *a)
{
	while (a->connections)
		connection_close(a->connections);
}

void agent_done(struct agent *a)
{
	listener_stop(a);
	close_connections(a);
	loadcred_done(a);
	backup_end_all(a);
	restore_stop(a);
	maps_done(a);
	if (a->store && a->event) {
		audit_stop(a);
		last_use_keep_all(a);
		change_drain(a);
	}
	if (a->event) {
		change_done(a);
		upkeep_done(a);
		deadline_done(a);
		sd_event_source_unref(a->stop_timer);
	}
	/* Calls back what a slow disk has kept until now, which may bring in bound tokens. */
	store_close(a->store);
	restore_done(a);
	lock_done(a);
	memory_dir_close(a->memory_dir);
	last_use_done(a);
	holders_done(a);
	watch_done(a);
	rules_done(a);
	names_free(a->names);
	change_forget_waiting(a);
	events_done(&a->events);
	credentials_free(a->credentials);
	audit_done(a);
	denied_done(a);
	unlock_memory(a);
	free(a->json);
	loop_done(a);
	sd_event_unref(a->event);
}
